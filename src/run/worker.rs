//! The timely workers. In: rows and ticks. Out: documents and completed ticks.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, TrySendError, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread::Thread;
use std::time::{Duration, Instant};

use timely::WorkerConfig;
use timely::communication::WorkerGuards;
use timely::worker::Worker;

use super::commit::{Committer, ToCommit};
use super::start::{Hydration, Start};
use super::{Fatal, RunError};
use crate::dataflow::{self, HeldBytes, Outputs, Rendered};
use crate::plan::Plan;
use crate::value::{Delta, Rows, Tick};

/// A message to a worker. Messages are handled in order.
#[derive(Debug)]
pub(super) enum Feed {
    /// Rows of a table at the first tick.
    Rows { table: usize, rows: Rows },
    /// Changes at the current tick. Their tables are indexes into the plan's.
    Changes(Vec<Delta>),
    /// Makes this the current tick: all earlier ticks are complete.
    AdvanceTo(Tick),
}

/// The capacity of the channel to one worker, in messages.
const FEED_DEPTH: usize = 12;
/// The capacity of the channel to the committer, in messages.
const COMMIT_DEPTH: usize = 256;
/// The number of messages that a worker holds for the committer before it stops producing outputs.
const HELD_OUTPUTS: usize = 8;
const IDLE: Duration = Duration::from_millis(500);
const BUSY: Duration = Duration::from_millis(1);

/// Sends messages to one worker and wakes it.
#[derive(Debug, Clone)]
pub(super) struct FeedSender {
    feed: SyncSender<Feed>,
    thread: Thread,
    abandoned: Arc<AtomicBool>,
}

impl FeedSender {
    /// Lets all workers end at once, without finishing what they were fed.
    pub(super) fn abandon(&self) {
        self.abandoned.store(true, Ordering::Release);
        self.thread.unpark();
    }

    /// Sends a message; waits while the channel is full. Returns false if the worker has ended.
    pub(super) fn send(&self, message: Feed) -> bool {
        let sent = match self.feed.try_send(message) {
            Ok(()) => true,
            Err(TrySendError::Disconnected(_)) => false,
            Err(TrySendError::Full(message)) => {
                self.thread.unpark();
                self.feed.send(message).is_ok()
            }
        };
        self.thread.unpark();
        sent
    }
}

pub(super) struct Workers {
    guards: WorkerGuards<()>,
    feeds: Vec<FeedSender>,
    to_commit: SyncSender<ToCommit>,
}

impl Workers {
    pub(super) fn feeds(&self) -> Vec<FeedSender> {
        self.feeds.clone()
    }

    pub(super) fn to_commit(&self) -> SyncSender<ToCommit> {
        self.to_commit.clone()
    }

    /// Waits for the workers to end, which they do once every feed is dropped. Returns false if one panicked.
    pub(super) fn join(self) -> bool {
        let Workers { guards, feeds, to_commit } = self;
        feeds.iter().for_each(|f| f.thread.unpark());
        let threads: Vec<Thread> = feeds.iter().map(|f| f.thread.clone()).collect();
        drop((feeds, to_commit));
        threads.iter().for_each(Thread::unpark);
        guards.join().into_iter().all(|result| result.is_ok())
    }
}

/// Starts the workers. The caller must run the returned committer, which receives their outputs.
pub(super) fn spawn(plan: &Plan, start: &Start, workers: usize, fatal: Fatal) -> Result<(Committer, Workers), RunError> {
    let (to_commit, committed) = sync_channel(COMMIT_DEPTH);
    let (senders, receivers): (Vec<_>, Vec<_>) = (0..workers).map(|_| sync_channel::<Feed>(FEED_DEPTH)).unzip();
    let receivers: Vec<Mutex<Option<Receiver<Feed>>>> = receivers.into_iter().map(|r| Mutex::new(Some(r))).collect();
    let (plan, start, out) = (Arc::new(plan.clone()), Arc::new(start.clone()), to_commit.clone());
    let abandoned = Arc::new(AtomicBool::new(false));
    let is_abandoned = abandoned.clone();
    let config = timely::Config { communication: timely::CommunicationConfig::Process(workers), worker: WorkerConfig::default() };
    let guards = timely::execute(config, move |worker| {
        let feed = receivers[worker.index()].lock().ok().and_then(|mut r| r.take()).expect("each worker takes its feed once");
        let _alarm = Alarm(fatal.clone());
        work(worker, &plan, &start, &feed, &out, &is_abandoned);
        // Drop dataflows that are not finished.
        worker.installed_dataflows().into_iter().for_each(|dataflow| worker.drop_dataflow(dataflow));
    });
    let guards = guards.map_err(|error| RunError::Bug(format!("the workers did not start: {error}")))?;
    let threads = guards.guards().iter().map(|g| g.thread().clone());
    let feeds = senders.into_iter().zip(threads).map(|(feed, thread)| FeedSender { feed, thread, abandoned: abandoned.clone() }).collect();
    Ok((Committer::new(committed, workers), Workers { guards, feeds, to_commit }))
}

/// Ends the run if its worker panics, so that no other part waits for the worker.
struct Alarm(Fatal);

impl Drop for Alarm {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let _ = self.0.try_send(RunError::Bug("a worker panicked".into()));
        }
    }
}

fn work(worker: &mut Worker, plan: &Plan, start: &Start, feed: &Receiver<Feed>, out: &SyncSender<ToCommit>, abandoned: &AtomicBool) {
    let hydrate: Vec<bool> = start.views.iter().map(|v| *v != Hydration::Stored).collect();
    let Rendered { inputs, outputs } = dataflow::render(worker, plan, &start.arrangements, start.tick, &hydrate);
    let mut inputs = Some(inputs);
    if let Some(inputs) = &mut inputs {
        inputs.advance_to(start.tick);
    }
    let mut waiting: VecDeque<ToCommit> = VecDeque::new();
    let mut complete = Tick(start.tick.0 - 1);
    let mut measuring = Measuring::default();
    while !abandoned.load(Ordering::Acquire) {
        let fed = take_feed(&mut inputs, feed);
        measuring.changed |= fed;
        let pause = if waiting.is_empty() && !measuring.changed { IDLE } else { BUSY };
        match fed {
            true => worker.step(),
            false => worker.step_or_park(Some(pause)),
        };
        // Read the frontier before the outputs, so that the outputs of all complete ticks are taken.
        let frontier = outputs.frontier();
        for view in 0..plan.views.len() {
            let changes = outputs.take_rows(view);
            if !changes.is_empty() {
                waiting.push_back(ToCommit::Rows { view, changes });
            }
            let changes = outputs.take_failures(view);
            if !changes.is_empty() {
                waiting.push_back(ToCommit::Failures { view, changes });
            }
        }
        let now = frontier.map_or(Tick(u64::MAX), |tick| Tick(tick.0.saturating_sub(1)));
        if now > complete {
            complete = now;
            waiting.push_back(ToCommit::Complete { worker: worker.index(), tick: complete });
            measuring.changed = true;
        }
        let ends = frontier.is_none() && inputs.is_none();
        if waiting.is_empty() && measuring.is_due(ends) {
            waiting.push_back(ToCommit::Held { worker: worker.index(), held: measuring.measure(&outputs) });
        }
        while let Some(message) = waiting.pop_front() {
            match out.try_send(message) {
                Ok(()) => {}
                Err(TrySendError::Full(message)) => {
                    waiting.push_front(message);
                    break;
                }
                Err(TrySendError::Disconnected(_)) => return,
            }
        }
        outputs.hold_back(waiting.len() > HELD_OUTPUTS);
        // Do not end before the inputs close: the frontier is `None` from the start if no view reads a table.
        if ends && waiting.is_empty() && !measuring.changed {
            return;
        }
    }
}

/// When memory is measured: soon after a change, but for at most a fiftieth of the time.
#[derive(Debug, Default)]
struct Measuring {
    /// Whether anything has changed since the last measurement.
    changed: bool,
    next: Option<Instant>,
}

impl Measuring {
    fn is_due(&self, ends: bool) -> bool {
        self.changed && (ends || self.next.is_none_or(|next| next <= Instant::now()))
    }

    fn measure(&mut self, outputs: &Outputs) -> Vec<HeldBytes> {
        let began = Instant::now();
        let held = outputs.held_bytes();
        self.next = Some(Instant::now() + BUSY.max(began.elapsed() * 50));
        self.changed = false;
        held
    }
}

/// Handles waiting messages of the feed. Returns whether there were any. Closes the inputs once the feed is dropped.
fn take_feed(inputs: &mut Option<dataflow::Inputs>, feed: &Receiver<Feed>) -> bool {
    let Some(open) = inputs.as_mut() else { return false };
    for taken in 0..FEED_DEPTH {
        match feed.try_recv() {
            Ok(Feed::Rows { table, rows }) => {
                open.send(table, rows.iter().map(|row| (row, 1)));
                // One block of rows per step bounds the memory of rows in flight.
                open.flush();
                return true;
            }
            Ok(Feed::Changes(deltas)) => deltas.into_iter().for_each(|d| open.send(d.table, [(d.row, d.diff)])),
            Ok(Feed::AdvanceTo(tick)) => open.advance_to(tick),
            Err(TryRecvError::Empty) => {
                open.flush();
                return taken > 0;
            }
            Err(TryRecvError::Disconnected) => {
                *inputs = None;
                return true;
            }
        }
    }
    open.flush();
    true
}
