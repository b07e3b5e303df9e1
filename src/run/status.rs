//! What a run shows of itself: to the terminal, to `tidemill status`, and to its own parts that wait for each other.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use serde::Serialize;
use tokio::sync::watch;

use super::{RunError, Setup};
use crate::dataflow::HeldBytes;
use crate::sinks::SinkError;
use crate::store::{Checkpoint, ViewInfo};
use crate::value::Tick;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SourcePhase {
    Starting,
    Snapshot,
    Following,
    /// Nothing comes; the reason is in [`SourceStatus::waiting`].
    Waiting,
}

#[derive(Debug, Clone, Serialize)]
pub struct SourceStatus {
    pub name: String,
    pub phase: SourcePhase,
    pub waiting: Option<String>,
    pub snapshot: Vec<TableProgress>,
    /// Changes received after the snapshot.
    pub rows: u64,
    /// The last committed position, in the source's own words.
    pub position: Option<String>,
    /// The commit time of the last committed transaction at the source, in ms since 1970.
    pub committed_ms: Option<u64>,
    /// How long after its commit at the source the last transaction was durable here.
    pub lag_ms: Option<u64>,
    /// Records that were left out, as of the last commit.
    pub rejected: u64,
    /// Place and reason of the first few of them.
    pub first_rejected: Vec<String>,
}

#[derive(Debug, Clone, Serialize)]
pub struct TableProgress {
    pub table: String,
    pub rows: u64,
    /// As far as known.
    pub expected: Option<u64>,
}

#[derive(Debug, Clone, Serialize)]
pub struct ViewStatus {
    pub name: String,
    pub rows: u64,
    pub bytes: u64,
    pub changes: u64,
    pub errors: u64,
}

#[derive(Debug, Clone, Serialize)]
pub struct SinkStatus {
    pub name: String,
    pub view: String,
    /// The target is right up to here.
    pub tick: Option<u64>,
    pub written: u64,
    pub waiting: Option<String>,
    /// Documents that the target refuses.
    pub refused: u64,
    /// What a reader of the target may have seen that is not so elsewhere.
    pub note: Option<String>,
}

/// How far a sink is, for whoever waits for it.
#[derive(Debug, Clone, Default)]
enum SinkProgress {
    #[default]
    Begins,
    At(Tick),
    /// The target refuses: message and way out.
    Stopped(String, Option<String>),
}

/// Shared by all parts of a run.
#[derive(Debug)]
pub struct Status {
    pub started: Instant,
    sources: Mutex<Vec<SourceStatus>>,
    views: Mutex<Vec<ViewStatus>>,
    sinks: Mutex<Vec<SinkStatus>>,
    /// For each worker, what its arrangements hold.
    held: Mutex<Vec<Vec<HeldBytes>>>,
    uncommitted_rows: AtomicU64,
    committed_tick: AtomicU64,
    ingested_tick: AtomicU64,
    /// The tick up to which everything is durable that the sources had when the run began.
    caught_up: watch::Sender<Option<Tick>>,
    sink_progress: watch::Sender<Vec<SinkProgress>>,
    /// Sinks that the state knows and the spec does not.
    left_sinks: Vec<String>,
}

impl Status {
    pub(super) fn new(setup: &Setup, left_sinks: Vec<String>) -> Status {
        let sources = setup.sources.iter().map(|s| SourceStatus {
            name: s.name.clone(),
            phase: SourcePhase::Starting,
            waiting: None,
            snapshot: s.tables.iter().map(|t| TableProgress { table: t.name.clone(), rows: 0, expected: None }).collect(),
            rows: 0,
            position: None,
            committed_ms: None,
            lag_ms: None,
            rejected: 0,
            first_rejected: Vec::new(),
        });
        let sinks = setup.sinks.iter().map(|s| SinkStatus {
            name: s.name.clone(),
            view: setup.plan.views[s.view].name.clone(),
            tick: None,
            written: 0,
            waiting: None,
            refused: 0,
            note: None,
        });
        Status {
            started: Instant::now(),
            sources: Mutex::new(sources.collect()),
            views: Mutex::new(Vec::new()),
            sinks: Mutex::new(sinks.collect()),
            held: Mutex::new(vec![Vec::new(); setup.workers]),
            uncommitted_rows: AtomicU64::new(0),
            committed_tick: AtomicU64::new(0),
            ingested_tick: AtomicU64::new(0),
            caught_up: watch::Sender::new(None),
            sink_progress: watch::Sender::new(vec![SinkProgress::default(); setup.sinks.len()]),
            left_sinks,
        }
    }

    pub fn sources(&self) -> Vec<SourceStatus> {
        locked(&self.sources).clone()
    }

    pub fn views(&self) -> Vec<ViewStatus> {
        locked(&self.views).clone()
    }

    pub fn sinks(&self) -> Vec<SinkStatus> {
        locked(&self.sinks).clone()
    }

    /// Sinks that the state knows and the spec does not.
    pub fn left_sinks(&self) -> &[String] {
        &self.left_sinks
    }

    /// The last durable tick.
    pub fn tick(&self) -> Tick {
        Tick(self.committed_tick.load(Ordering::Acquire))
    }

    /// What arrangements and operators hold, over all workers; those that hold nothing are left out.
    pub fn held_in_memory(&self) -> Vec<HeldBytes> {
        let mut total: Vec<HeldBytes> = Vec::new();
        for worker in locked(&self.held).iter() {
            for (index, held) in worker.iter().enumerate() {
                match total.get_mut(index) {
                    Some(total) => {
                        total.updates = total.updates.zip(held.updates).map(|(all, more)| all + more);
                        total.bytes += held.bytes;
                    }
                    None => total.push(held.clone()),
                }
            }
        }
        total.retain(|held| held.bytes > 0);
        total
    }

    pub(super) fn source_phase(&self, source: usize, phase: SourcePhase) {
        let mut sources = locked(&self.sources);
        sources[source].phase = phase;
        sources[source].waiting = None;
    }

    pub(super) fn source_waits(&self, source: usize, what: String) {
        let mut sources = locked(&self.sources);
        sources[source].phase = SourcePhase::Waiting;
        sources[source].waiting = Some(what);
    }

    pub(super) fn snapshot_plan(&self, source: usize, rows: &[Option<u64>]) {
        let mut sources = locked(&self.sources);
        sources[source].phase = SourcePhase::Snapshot;
        sources[source].waiting = None;
        for (table, expected) in sources[source].snapshot.iter_mut().zip(rows) {
            table.expected = *expected;
        }
    }

    pub(super) fn snapshot_rows(&self, source: usize, table: usize, rows: u64) {
        let mut sources = locked(&self.sources);
        sources[source].phase = SourcePhase::Snapshot;
        sources[source].snapshot[table].rows += rows;
    }

    pub(super) fn source_index(&self, name: &str) -> usize {
        locked(&self.sources).iter().position(|s| s.name == name).expect("every table's source is one of the run's")
    }

    /// Whether rows of a snapshot have been sent.
    pub(super) fn snapshot_began(&self, source: usize) -> bool {
        locked(&self.sources)[source].snapshot.iter().any(|t| t.rows > 0)
    }

    /// Forgets how far this run got, none of which was committed, because of a source that says what happened.
    pub(super) fn start_over(&self, because_of: usize, what: String) {
        for source in locked(&self.sources).iter_mut() {
            source.phase = SourcePhase::Starting;
            source.waiting = None;
            source.snapshot.iter_mut().for_each(|table| (table.rows, table.expected) = (0, None));
        }
        locked(&self.held).iter_mut().for_each(Vec::clear);
        self.uncommitted_rows.store(0, Ordering::Release);
        self.ingested_tick.store(self.committed_tick.load(Ordering::Acquire), Ordering::Release);
        self.source_waits(because_of, what);
    }

    pub(super) fn rows_received(&self, source: usize, rows: u64) {
        locked(&self.sources)[source].rows += rows;
    }

    pub(super) fn held(&self, worker: usize, held: Vec<HeldBytes>) {
        locked(&self.held)[worker] = held;
    }

    /// Transactions that were received and are not durable yet.
    pub fn behind(&self) -> u64 {
        self.ingested_tick.load(Ordering::Acquire).saturating_sub(self.committed_tick.load(Ordering::Acquire))
    }

    pub(super) fn uncommitted(&self, rows: u64, tick: Tick) {
        self.ingested_tick.store(tick.0, Ordering::Release);
        self.uncommitted_rows.fetch_add(rows, Ordering::AcqRel);
    }

    pub(super) fn committed(&self, rows: u64, up_to: Tick) {
        self.uncommitted_rows.fetch_sub(rows, Ordering::AcqRel);
        self.committed_tick.store(up_to.0, Ordering::Release);
    }

    pub(super) fn is_behind(&self, rows: u64, ticks: u64, next: Tick) -> bool {
        let behind = next.0.saturating_sub(self.committed_tick.load(Ordering::Acquire));
        self.uncommitted_rows.load(Ordering::Acquire) > rows || behind > ticks
    }

    pub(super) fn show(&self, checkpoint: Option<Checkpoint>, views: Vec<ViewInfo>) {
        let checkpoint = checkpoint.unwrap_or_default();
        for source in locked(&self.sources).iter_mut() {
            if let Some(at) = checkpoint.sources.get(&source.name) {
                source.position = Some(at.position.to_string());
                if source.committed_ms != at.committed_ms {
                    source.lag_ms = at.committed_ms.map(|ms| now_ms().saturating_sub(ms));
                }
                source.committed_ms = at.committed_ms;
            }
        }
        let shown =
            views.into_iter().map(|v| ViewStatus { name: v.name, rows: v.rows, bytes: v.bytes, changes: v.changes, errors: v.errors });
        *locked(&self.views) = shown.collect();
        self.committed_tick.fetch_max(checkpoint.tick.0, Ordering::AcqRel);
    }

    /// What a source has left out: how many records, and the first few of them.
    pub(super) fn show_rejected(&self, source: &str, count: u64, first: Vec<String>) {
        if let Some(source) = locked(&self.sources).iter_mut().find(|s| s.name == source) {
            (source.rejected, source.first_rejected) = (count, first);
        }
    }

    pub(super) fn caught_up(&self, tick: Tick) {
        self.caught_up.send_if_modified(|known| known.is_none() && known.replace(tick).is_none());
    }

    pub(super) fn sink_at(&self, sink: usize, tick: Tick, written: u64) {
        let mut sinks = locked(&self.sinks);
        sinks[sink].tick = Some(tick.0);
        sinks[sink].written += written;
        sinks[sink].waiting = None;
        self.sink_progress.send_modify(|sinks| sinks[sink] = SinkProgress::At(tick));
    }

    pub(super) fn sink_waits(&self, sink: usize, what: String) {
        locked(&self.sinks)[sink].waiting = Some(what);
    }

    /// The target refuses until somebody has changed something.
    pub(super) fn sink_stopped(&self, sink: usize, error: SinkError, again_in: Duration) {
        self.sink_waits(sink, format!("stopped: {error}; tries again in {:.0} s", again_in.as_secs_f64()));
        let help = match &error {
            SinkError::Stopped { help, .. } => help.clone(),
            SinkError::Option(error) => error.help.clone(),
            SinkError::Transient { .. } => None,
        };
        self.sink_progress.send_modify(|sinks| sinks[sink] = SinkProgress::Stopped(error.to_string(), help));
    }

    pub(super) fn sink_refuses(&self, sink: usize, documents: u64) {
        locked(&self.sinks)[sink].refused = documents;
    }

    pub(super) fn sink_note(&self, sink: usize, note: String) {
        locked(&self.sinks)[sink].note = Some(note);
    }

    /// Returns once what the sources had is durable and in every sink that can be written; an error where one cannot. Never where it is not
    /// `wanted`.
    pub(super) async fn wait_until_caught_up(&self, wanted: bool) -> Result<(), RunError> {
        if !wanted {
            std::future::pending::<()>().await;
        }
        let mut caught_up = self.caught_up.subscribe();
        let Some(target) = caught_up.wait_for(Option::is_some).await.ok().and_then(|tick| *tick) else { return Ok(()) };
        let mut sinks = self.sink_progress.subscribe();
        let done = |sinks: &Vec<SinkProgress>| {
            sinks.iter().all(|sink| match sink {
                SinkProgress::Begins => false,
                SinkProgress::At(tick) => *tick >= target,
                SinkProgress::Stopped(..) => true,
            })
        };
        let Ok(sinks) = sinks.wait_for(done).await.map(|sinks| sinks.clone()) else { return Ok(()) };
        for (index, sink) in sinks.into_iter().enumerate() {
            if let SinkProgress::Stopped(message, help) = sink {
                let sink_name = locked(&self.sinks)[index].name.clone();
                return Err(RunError::Sink { sink_name, error: SinkError::Stopped { message, help } });
            }
        }
        Ok(())
    }
}

fn now_ms() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |d| d.as_millis() as u64)
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}
