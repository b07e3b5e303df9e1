//! The progress of a run as shown at the terminal and by `tidemill status`. The engine makes no decisions by it.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::{Duration, SystemTime};

use serde::Serialize;

use super::Setup;
use super::progress::Progress;
use crate::dataflow::HeldBytes;
use crate::sinks::SinkError;
use crate::sources::{NOTES, Table};
use crate::store::{Checkpoint, ViewInfo};
use crate::value::Tick;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SourcePhase {
    Starting,
    Snapshot,
    Following,
    /// The source sends nothing; the reason is in [`SourceReport::waiting`].
    Waiting,
}

#[derive(Debug, Clone, Serialize)]
pub struct SourceReport {
    pub name: String,
    pub phase: SourcePhase,
    /// What the source waits for.
    pub waiting: Option<String>,
    /// Whether tables of it are captured while others are followed.
    #[serde(skip)]
    is_capturing: bool,
    /// What this capture waits for; shown as `waiting` unless the source waits for something else.
    #[serde(skip)]
    capture_waiting: Option<String>,
    pub snapshot: Vec<TableProgress>,
    /// The number of changes received after the snapshot.
    pub rows: u64,
    /// The last committed position, in the source's own notation.
    pub position: Option<String>,
    /// The commit time of the last committed transaction at the source, in ms since 1970.
    pub committed_ms: Option<u64>,
    /// The time from the last transaction's commit at the source until it was durable here.
    pub lag_ms: Option<u64>,
    /// The number of rejected records, as of the last commit.
    pub rejected: u64,
    /// Place and reason of the first few of them.
    pub first_rejected: Vec<String>,
}

#[derive(Debug, Clone, Serialize)]
pub struct TableProgress {
    pub table: String,
    pub rows: u64,
    /// The number of rows that the source expects, if known.
    pub expected: Option<u64>,
    /// Whether it is captured while other tables are followed.
    #[serde(skip)]
    is_captured: bool,
}

impl TableProgress {
    fn of_table(table: &Table) -> TableProgress {
        TableProgress { table: table.name.clone(), rows: 0, expected: None, is_captured: false }
    }
}

#[derive(Debug, Clone, Serialize)]
pub struct ViewReport {
    pub name: String,
    pub rows: u64,
    pub bytes: u64,
    pub changes: u64,
    pub errors: u64,
}

#[derive(Debug, Clone, Serialize)]
pub struct SinkReport {
    pub name: String,
    pub view: String,
    /// The last tick that the target has.
    pub tick: Option<u64>,
    /// The number of documents written in this run.
    pub written: u64,
    /// What the sink waits for.
    pub waiting: Option<String>,
    /// The number of documents that the target refuses.
    pub refused: u64,
    /// An anomaly that a reader of the target may have seen.
    pub note: Option<String>,
}

/// Shared by all parts of a run.
#[derive(Debug)]
pub struct Report {
    pub(super) progress: Progress,
    sources: Mutex<Vec<SourceReport>>,
    views: Mutex<Vec<ViewReport>>,
    sinks: Mutex<Vec<SinkReport>>,
    /// For each worker, the memory that its arrangements and operators hold.
    held: Mutex<Vec<Vec<HeldBytes>>>,
    /// What is held outside of the workers, by name.
    held_elsewhere: Mutex<BTreeMap<&'static str, usize>>,
    /// Sinks that the state knows and the spec does not.
    left_sinks: Vec<String>,
}

impl Report {
    /// `left_sinks`: the names of sinks that the state knows and the spec does not.
    pub(super) fn new(setup: &Setup, left_sinks: Vec<String>) -> Report {
        let sources = setup.sources.iter().map(|s| SourceReport {
            name: s.name.clone(),
            phase: SourcePhase::Starting,
            waiting: None,
            is_capturing: false,
            capture_waiting: None,
            snapshot: s.tables.iter().filter(|t| t.name != NOTES).map(TableProgress::of_table).collect(),
            rows: 0,
            position: None,
            committed_ms: None,
            lag_ms: None,
            rejected: 0,
            first_rejected: Vec::new(),
        });
        let sinks = setup.sinks.iter().map(|s| SinkReport {
            name: s.name.clone(),
            view: setup.plan.views[s.view].name.clone(),
            tick: None,
            written: 0,
            waiting: None,
            refused: 0,
            note: None,
        });
        Report {
            progress: Progress::new(
                setup.sources.iter().map(|source| source.name.clone()).collect(),
                setup.sinks.iter().map(|sink| sink.name.clone()).collect(),
            ),
            sources: Mutex::new(sources.collect()),
            views: Mutex::new(Vec::new()),
            sinks: Mutex::new(sinks.collect()),
            held: Mutex::new(vec![Vec::new(); setup.workers]),
            held_elsewhere: Mutex::default(),
            left_sinks,
        }
    }

    pub fn sources(&self) -> Vec<SourceReport> {
        let mut sources = locked(&self.sources).clone();
        for source in sources.iter_mut().filter(|source| source.is_capturing) {
            source.phase = SourcePhase::Snapshot;
            source.snapshot.retain(|table| table.is_captured);
            source.waiting = source.waiting.take().or(source.capture_waiting.take());
        }
        sources
    }

    pub fn views(&self) -> Vec<ViewReport> {
        locked(&self.views).clone()
    }

    pub fn sinks(&self) -> Vec<SinkReport> {
        locked(&self.sinks).clone()
    }

    /// Sinks that the state knows and the spec does not.
    pub fn left_sinks(&self) -> &[String] {
        &self.left_sinks
    }

    /// The last durable tick.
    pub fn tick(&self) -> Tick {
        self.progress.committed_tick()
    }

    /// The memory that arrangements and operators hold, summed over all workers. Omits those that hold nothing.
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
        let elsewhere = locked(&self.held_elsewhere);
        total.extend(elsewhere.iter().map(|(name, &bytes)| HeldBytes { name: (*name).into(), updates: None, bytes }));
        total.retain(|held| held.bytes > 0);
        total
    }

    pub(super) fn source_phase(&self, source: usize, phase: SourcePhase) {
        let mut sources = locked(&self.sources);
        sources[source].phase = phase;
        sources[source].waiting = None;
    }

    /// Shows what a source waits for.
    pub(super) fn source_waits(&self, source: usize, what: String) {
        let mut sources = locked(&self.sources);
        sources[source].phase = SourcePhase::Waiting;
        sources[source].waiting = Some(what);
    }

    /// Shows how many rows the snapshot of each table of a source will have, if known.
    pub(super) fn snapshot_plan(&self, source: usize, rows: &[Option<u64>]) {
        let mut sources = locked(&self.sources);
        sources[source].phase = SourcePhase::Snapshot;
        (sources[source].waiting, sources[source].is_capturing) = (None, false);
        for (table, expected) in sources[source].snapshot.iter_mut().zip(rows) {
            table.expected = *expected;
        }
    }

    /// Shows how many rows a table that is captured has in all, if known, and how many of them were captured before.
    pub(super) fn capture_plan(&self, source: usize, table: usize, expected: Option<u64>, read: u64) {
        let source = &mut locked(&self.sources)[source];
        (source.is_capturing, source.capture_waiting) = (true, None);
        if let Some(table) = source.snapshot.get_mut(table) {
            (table.expected, table.rows, table.is_captured) = (expected, read, true);
        }
    }

    /// Counts captured rows of a table.
    pub(super) fn capture_rows(&self, source: usize, table: usize, rows: u64) {
        let source = &mut locked(&self.sources)[source];
        source.capture_waiting = None;
        if let Some(table) = source.snapshot.get_mut(table) {
            table.rows += rows;
        }
    }

    /// Shows what the capture of a source waits for.
    pub(super) fn capture_waits(&self, source: usize, what: String) {
        let source = &mut locked(&self.sources)[source];
        (source.is_capturing, source.capture_waiting) = (true, Some(what));
    }

    /// The captured tables of a source join the others.
    pub(super) fn capture_ended(&self, source: usize) {
        let source = &mut locked(&self.sources)[source];
        (source.is_capturing, source.capture_waiting) = (false, None);
        source.snapshot.iter_mut().for_each(|table| table.is_captured = false);
    }

    /// Counts rows that a source has sent of a table's snapshot.
    pub(super) fn snapshot_rows(&self, source: usize, table: usize, rows: u64) {
        let mut sources = locked(&self.sources);
        sources[source].phase = SourcePhase::Snapshot;
        // The source's notes are not shown.
        if let Some(progress) = sources[source].snapshot.get_mut(table) {
            progress.rows += rows;
        }
    }

    /// Resets the progress of an abandoned attempt.
    pub(super) fn start_over(&self) {
        for source in locked(&self.sources).iter_mut().filter(|source| !source.is_capturing) {
            source.phase = SourcePhase::Starting;
            source.waiting = None;
            source.snapshot.iter_mut().for_each(|table| (table.rows, table.expected) = (0, None));
        }
        locked(&self.held).iter_mut().for_each(Vec::clear);
        locked(&self.held_elsewhere).clear();
    }

    /// Counts changes that a source has sent after its snapshot.
    pub(super) fn rows_received(&self, source: usize, rows: u64) {
        locked(&self.sources)[source].rows += rows;
    }

    /// Shows the memory that a worker holds.
    pub(super) fn held(&self, worker: usize, held: Vec<HeldBytes>) {
        locked(&self.held)[worker] = held;
    }

    /// What is held outside of the workers, under this name.
    pub(super) fn held_elsewhere(&self, name: &'static str, bytes: usize) {
        locked(&self.held_elsewhere).insert(name, bytes);
    }

    /// The number of transactions that were received and are not durable yet.
    pub fn behind(&self) -> u64 {
        self.progress.behind()
    }

    /// Shows the positions and view counts of the last commit.
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
            views.into_iter().map(|v| ViewReport { name: v.name, rows: v.rows, bytes: v.bytes, changes: v.changes, errors: v.errors });
        *locked(&self.views) = shown.collect();
    }

    /// Shows how many records of a source were rejected, and the first few of them.
    pub(super) fn show_rejected(&self, source: &str, count: u64, first: Vec<String>) {
        if let Some(source) = locked(&self.sources).iter_mut().find(|s| s.name == source) {
            (source.rejected, source.first_rejected) = (count, first);
        }
    }

    /// Shows that a sink has reached a tick, with `written` more documents.
    pub(super) fn sink_at(&self, sink: usize, tick: Tick, written: u64) {
        let mut sinks = locked(&self.sinks);
        sinks[sink].tick = Some(tick.0);
        sinks[sink].written += written;
        sinks[sink].waiting = None;
    }

    pub(super) fn sink_waits(&self, sink: usize, what: String) {
        locked(&self.sinks)[sink].waiting = Some(what);
    }

    /// Shows that the target refuses all writes until somebody fixes the cause.
    pub(super) fn sink_stopped(&self, sink: usize, error: &SinkError, again_in: Duration) {
        self.sink_waits(sink, format!("stopped: {error}; tries again in {:.0} s", again_in.as_secs_f64()));
    }

    pub(super) fn sink_refuses(&self, sink: usize, documents: u64) {
        locked(&self.sinks)[sink].refused = documents;
    }

    pub(super) fn sink_note(&self, sink: usize, note: String) {
        locked(&self.sinks)[sink].note = Some(note);
    }
}

fn now_ms() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |d| d.as_millis() as u64)
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}
