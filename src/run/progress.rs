//! The progress of a run, for the engine's own waits and recovery decisions. What users see of it is in `report`.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{Notify, watch};

use super::RunError;
use crate::sinks::SinkError;
use crate::value::Tick;

/// How often [`Progress::wait_for_room`] checks again without a commit: the attempt may have been halted.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// The progress of a sink.
#[derive(Debug, Clone, Default)]
enum SinkReached {
    #[default]
    Nothing,
    Tick(Tick),
    /// The target refuses all writes: message and help.
    Stopped(String, Option<String>),
}

#[derive(Debug)]
pub(super) struct Progress {
    source_names: Vec<String>,
    /// For each source: whether it has sent rows of a snapshot.
    snapshot_began: Vec<AtomicBool>,
    uncommitted_rows: AtomicU64,
    ingested_tick: AtomicU64,
    committed_tick: AtomicU64,
    /// Notified at each commit.
    committed: Notify,
    /// The tick at which everything that the sources had when the run began is durable; `None` before.
    caught_up: watch::Sender<Option<Tick>>,
    sink_names: Vec<String>,
    sinks: watch::Sender<Vec<SinkReached>>,
}

impl Progress {
    pub(super) fn new(source_names: Vec<String>, sink_names: Vec<String>) -> Progress {
        Progress {
            snapshot_began: source_names.iter().map(|_| AtomicBool::new(false)).collect(),
            source_names,
            uncommitted_rows: AtomicU64::new(0),
            ingested_tick: AtomicU64::new(0),
            committed_tick: AtomicU64::new(0),
            committed: Notify::new(),
            caught_up: watch::Sender::new(None),
            sinks: watch::Sender::new(vec![SinkReached::default(); sink_names.len()]),
            sink_names,
        }
    }

    /// The index of a source of the run by its name.
    pub(super) fn source_index(&self, name: &str) -> usize {
        self.source_names.iter().position(|source| source == name).expect("every table's source is one of the run's")
    }

    /// The last durable tick.
    pub(super) fn committed_tick(&self) -> Tick {
        Tick(self.committed_tick.load(Ordering::Acquire))
    }

    /// The number of transactions that were received and are not durable yet.
    pub(super) fn behind(&self) -> u64 {
        self.ingested_tick.load(Ordering::Acquire).saturating_sub(self.committed_tick().0)
    }

    pub(super) fn snapshot_sent(&self, source: usize) {
        self.snapshot_began[source].store(true, Ordering::Release);
    }

    pub(super) fn snapshot_began(&self, source: usize) -> bool {
        self.snapshot_began[source].load(Ordering::Acquire)
    }

    /// Resets the progress to the last commit.
    pub(super) fn start_over(&self) {
        self.snapshot_began.iter().for_each(|began| began.store(false, Ordering::Release));
        self.uncommitted_rows.store(0, Ordering::Release);
        self.ingested_tick.store(self.committed_tick().0, Ordering::Release);
    }

    /// A transaction with `rows` changes was ingested at `tick`.
    pub(super) fn ingested(&self, rows: u64, tick: Tick) {
        self.ingested_tick.store(tick.0, Ordering::Release);
        self.uncommitted_rows.fetch_add(rows, Ordering::AcqRel);
    }

    /// Everything up to `up_to` is durable, with `rows` more ingested changes.
    pub(super) fn committed(&self, rows: u64, up_to: Tick) {
        self.uncommitted_rows.fetch_sub(rows, Ordering::AcqRel);
        self.committed_tick.fetch_max(up_to.0, Ordering::AcqRel);
        self.committed.notify_waiters();
    }

    /// Back-pressure: returns once at most `rows` changes and `ticks` ticks before `next` are ingested but not durable, or `halted` is true.
    pub(super) async fn wait_for_room(&self, rows: u64, ticks: u64, next: Tick, halted: &AtomicBool) {
        loop {
            let committed = self.committed.notified();
            let behind = next.0.saturating_sub(self.committed_tick().0);
            let full = self.uncommitted_rows.load(Ordering::Acquire) > rows || behind > ticks;
            if !full || halted.load(Ordering::Acquire) {
                return;
            }
            let _ = tokio::time::timeout(LOOK_AGAIN, committed).await;
        }
    }

    /// Called with the tick at which everything that the sources had is durable. Only the first call counts.
    pub(super) fn caught_up(&self, tick: Tick) {
        self.caught_up.send_if_modified(|known| known.is_none() && known.replace(tick).is_none());
    }

    pub(super) fn sink_at(&self, sink: usize, tick: Tick) {
        self.sinks.send_modify(|sinks| sinks[sink] = SinkReached::Tick(tick));
    }

    /// The target refuses all writes until somebody fixes the cause.
    pub(super) fn sink_stopped(&self, sink: usize, error: &SinkError) {
        let help = match error {
            SinkError::Stopped { help, .. } => help.clone(),
            SinkError::Option(error) => error.help.clone(),
            SinkError::Transient { .. } => None,
        };
        self.sinks.send_modify(|sinks| sinks[sink] = SinkReached::Stopped(error.to_string(), help));
    }

    /// Returns once everything that the sources had is durable and in every sink that can be written, with an error if a sink cannot. Never
    /// returns unless `wanted`.
    pub(super) async fn wait_until_caught_up(&self, wanted: bool) -> Result<(), RunError> {
        if !wanted {
            std::future::pending::<()>().await;
        }
        let mut caught_up = self.caught_up.subscribe();
        let Some(target) = caught_up.wait_for(Option::is_some).await.ok().and_then(|tick| *tick) else { return Ok(()) };
        let mut sinks = self.sinks.subscribe();
        let done = |sinks: &Vec<SinkReached>| {
            sinks.iter().all(|sink| match sink {
                SinkReached::Nothing => false,
                SinkReached::Tick(tick) => *tick >= target,
                SinkReached::Stopped(..) => true,
            })
        };
        let Ok(sinks) = sinks.wait_for(done).await.map(|sinks| sinks.clone()) else { return Ok(()) };
        for (sink, sink_name) in sinks.into_iter().zip(&self.sink_names) {
            if let SinkReached::Stopped(message, help) = sink {
                return Err(RunError::Sink { sink_name: sink_name.clone(), error: SinkError::Stopped { message, help } });
            }
        }
        Ok(())
    }
}
