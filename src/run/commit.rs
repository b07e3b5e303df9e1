//! Makes ticks durable once every worker has finished them: views, changelogs, inputs and positions in one batch.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Receiver;
use std::thread::JoinHandle;

use tokio::sync::mpsc;

use super::pending::{PendingView, json_of};
use super::report::Report;
use super::start::{Hydration, Start};
use super::supervise::{Cause, Interruption};
use super::{Fatal, RunError};
use crate::dataflow::{FailureChange, HeldBytes, RowChange};
use crate::plan::Plan;
use crate::sources::NOTES;
use crate::store::{
    BulkLoad, Commit, Divergence, ErrorChange, InputDeltas, Reached, RejectedRecord, Rejections, Store, TickMark, ViewBatch, ViewChange,
};
use crate::value::{Delta, Diff, Layout, Row, Tick, row_of_key};

/// A message of a worker or of ingest to the committer.
#[derive(Debug)]
pub(super) enum ToCommit {
    Rows {
        view: usize,
        changes: Vec<RowChange>,
    },
    Failures {
        view: usize,
        changes: Vec<FailureChange>,
    },
    /// This worker has sent everything up to and including `tick`.
    Complete {
        worker: usize,
        tick: Tick,
    },
    /// The memory that the arrangements and operators of this worker hold.
    Held {
        worker: usize,
        held: Vec<HeldBytes>,
    },
    /// Sent in tick order.
    Ingested(Ingested),
    /// Everything of the first tick was ingested.
    Loaded(LoadedSnapshot),
    /// Everything that the sources had when the run began has a tick up to and including this one.
    CaughtUp(Tick),
}

#[derive(Debug)]
pub(super) enum Ingested {
    /// The tables of the deltas are indexes into the plan's.
    Transaction { mark: TickMark, deltas: Vec<Delta>, bytes: usize, rejected: Rejections },
    /// A position without changes, reached after tick `after`.
    Reached { after: Tick, reached: Reached, rejected: Rejections },
}

impl Ingested {
    fn tick(&self) -> Tick {
        match self {
            Ingested::Transaction { mark, .. } => mark.tick,
            Ingested::Reached { after, .. } => *after,
        }
    }

    /// The memory of the deltas.
    fn held_bytes(&self) -> usize {
        match self {
            Ingested::Transaction { bytes, .. } => *bytes,
            Ingested::Reached { .. } => 0,
        }
    }
}

#[derive(Debug)]
pub(super) struct LoadedSnapshot {
    pub(super) load: BulkLoad,
    pub(super) tick: Tick,
    pub(super) marks: Vec<TickMark>,
    /// The records that each source rejected in its snapshot.
    pub(super) rejected: BTreeMap<String, Rejections>,
}

pub(super) struct Committer {
    received: Receiver<ToCommit>,
    workers: usize,
}

impl Committer {
    pub(super) fn new(received: Receiver<ToCommit>, workers: usize) -> Committer {
        Committer { received, workers }
    }

    /// Runs in its own thread until every sender is dropped.
    pub(super) fn run(self, store: Store, plan: &Plan, start: &Start, report: Arc<Report>, ends: CommitterEnd) -> JoinHandle<()> {
        let fatal = ends.fatal.clone();
        let work = Work::new(store, plan.clone(), start, report, ends, self.workers);
        let body = move || {
            if let Err(error) = work.run(&self.received) {
                let _ = fatal.blocking_send(error);
            }
        };
        std::thread::Builder::new().name("commit".into()).spawn(body).expect("spawning a thread failed")
    }
}

/// The number of rejected records of a source that are shown while it runs.
const SHOWN_REJECTED: usize = 3;

struct Work {
    store: Store,
    plan: Plan,
    report: Arc<Report>,
    first: Tick,
    views: Vec<PendingView>,
    /// For each worker, the tick up to which it is complete.
    complete: Vec<Tick>,
    /// Ingested and not committed yet.
    ingested: VecDeque<Ingested>,
    /// The load of the first tick, once it is ingested and until it is committed.
    load: Option<LoadedSnapshot>,
    /// Whether the first tick is committed or needs no commit; no later tick is committed before.
    loaded: bool,
    caught_up: Option<Tick>,
    committed: Tick,
    ends: CommitterEnd,
    /// The log contradicts the stored rows: nothing more is committed.
    diverged: bool,
    /// The sources that the attempt captures.
    captured: Vec<String>,
    /// The source and the name of each staged table.
    recaptured: Vec<(String, String)>,
}

/// How the committer ends the attempt, or the run.
pub(super) struct CommitterEnd {
    pub(super) interrupt: mpsc::Sender<Interruption>,
    /// Set when nothing more is committed, so that ingest does not wait for commits.
    pub(super) halted: Arc<AtomicBool>,
    pub(super) fatal: Fatal,
}

impl Work {
    fn new(store: Store, plan: Plan, start: &Start, report: Arc<Report>, ends: CommitterEnd, workers: usize) -> Work {
        let views = plan.views.iter().zip(&start.views).map(|(view, hydration)| PendingView::new(view, *hydration)).collect();
        let committed = Tick(start.tick.0 - 1);
        let is_staged_whole = |source: &&String| {
            (0..plan.tables.len()).all(|table| plan.tables[table].source != **source || start.staged_inputs.contains(&table))
        };
        let captured: Vec<String> = start.captures.iter().chain(start.staged.keys().filter(is_staged_whole)).cloned().collect();
        let staged = start.staged_inputs.iter().map(|input| (plan.tables[*input].source.clone(), plan.tables[*input].name.clone()));
        let recaptured = staged.filter(|(source, _)| !captured.contains(source)).collect();
        Work {
            store,
            plan,
            report,
            first: start.tick,
            views,
            complete: vec![committed; workers],
            ingested: VecDeque::new(),
            load: None,
            loaded: !start.builds(),
            caught_up: None,
            committed,
            ends,
            diverged: false,
            captured,
            recaptured,
        }
    }

    fn run(mut self, received: &Receiver<ToCommit>) -> Result<(), RunError> {
        self.report.progress.committed(0, self.committed);
        self.show()?;
        self.show_rejected()?;
        while let Ok(message) = received.recv() {
            self.take(message)?;
            // Take all waiting messages into the same commit.
            while let Ok(message) = received.try_recv() {
                self.take(message)?;
            }
            self.commit_complete()?;
            if self.diverged {
                // Drain the channel until the attempt ends, so that no sender blocks.
                while received.recv().is_ok() {}
                return Ok(());
            }
        }
        Ok(())
    }

    fn take(&mut self, message: ToCommit) -> Result<(), RunError> {
        match message {
            ToCommit::Rows { view, changes } => self.take_rows(view, changes)?,
            ToCommit::Failures { view, changes } => self.views[view].take_failures(changes),
            ToCommit::Complete { worker, tick } => self.complete[worker] = tick,
            ToCommit::Held { worker, held } => {
                self.report.held(worker, held);
                self.report_held();
            }
            ToCommit::Ingested(ingested) => self.ingested.push_back(ingested),
            ToCommit::Loaded(loaded) => self.load = Some(loaded),
            ToCommit::CaughtUp(tick) => self.caught_up = Some(tick),
        }
        Ok(())
    }

    /// What is held between the workers and the disk.
    fn report_held(&self) {
        let rows = self.views.iter().map(PendingView::held_bytes).sum::<usize>();
        let ingested = self.ingested.iter().map(Ingested::held_bytes).sum::<usize>();
        let (written, cached) = self.store.memory_bytes();
        self.report.held_elsewhere("rows on their way to the store", rows + ingested);
        self.report.held_elsewhere("store: rows that are in no file yet", written as usize);
        self.report.held_elsewhere("store: cache", cached as usize);
    }

    fn take_rows(&mut self, view: usize, changes: Vec<RowChange>) -> Result<(), RunError> {
        let pending = &mut self.views[view];
        if self.loaded {
            pending.take(changes, None);
            return Ok(());
        }
        pending.take(changes, Some(self.first));
        if let Some(loaded) = &mut self.load {
            let rows = pending.take_loading();
            if !rows.is_empty() {
                loaded.load.view(view, rows.iter().map(|(key, row)| (&**key, &**row)))?;
            }
        }
        Ok(())
    }

    /// Commits everything that every worker has completed.
    fn commit_complete(&mut self) -> Result<(), RunError> {
        let complete = self.complete.iter().copied().min().unwrap_or_default();
        if !self.loaded && complete >= self.first {
            let Some(loaded) = self.load.take() else { return Ok(()) };
            self.commit_first(loaded)?;
        }
        if !self.loaded {
            return Ok(());
        }
        let mut commit = Commit { up_to: self.committed, ..Commit::default() };
        let (taken, inputs, rows) = self.take_fitting(complete)?;
        for ingested in taken {
            commit.up_to = commit.up_to.max(ingested.tick());
            let (source, rejected) = match ingested {
                Ingested::Transaction { mark, rejected, .. } => {
                    commit.reached.retain(|r| r.source != mark.source);
                    let source = mark.source.clone();
                    commit.ticks.push(mark);
                    (source, rejected)
                }
                Ingested::Reached { reached, rejected, .. } => {
                    commit.reached.retain(|r| r.source != reached.source);
                    let source = reached.source.clone();
                    commit.reached.push(reached);
                    (source, rejected)
                }
            };
            if !rejected.is_empty() {
                commit.rejected.entry(source).or_default().append(rejected);
            }
        }
        if !commit.ticks.is_empty() || !commit.reached.is_empty() {
            commit.inputs = inputs;
            let up_to = commit.up_to;
            commit.views = (0..self.views.len()).filter_map(|v| self.views[v].batch(&self.plan, v, up_to)).collect();
            self.commit(commit)?;
            self.report.progress.committed(rows, up_to);
        }
        if self.caught_up.is_some_and(|tick| tick <= self.committed) {
            self.report.progress.caught_up(self.committed);
        }
        Ok(())
    }

    /// Takes what was ingested up to and including tick `complete`: the entries, their deltas by input, and the number of deltas. If a delta
    /// contradicts the stored rows, takes only the ticks before it and interrupts the attempt.
    fn take_fitting(&mut self, complete: Tick) -> Result<(Vec<Ingested>, Vec<InputDeltas>, u64), RunError> {
        let mut taken = Vec::new();
        let mut inputs: BTreeMap<usize, Vec<(Tick, Row, Diff)>> = BTreeMap::new();
        while let Some(mut ingested) = self.ingested.pop_front_if(|i| i.tick() <= complete) {
            if let Ingested::Transaction { mark, deltas, .. } = &mut ingested {
                for delta in std::mem::take(deltas) {
                    inputs.entry(delta.table).or_default().push((mark.tick, delta.row, delta.diff));
                }
            }
            taken.push(ingested);
        }
        let mut first: Option<Divergence> = None;
        for (input, deltas) in &inputs {
            let found = self.store.divergence(*input, deltas)?;
            first = [first, found].into_iter().flatten().min_by_key(|divergence| divergence.tick);
        }
        if let Some(divergence) = first {
            self.interrupt_by(&divergence, &taken);
            taken.retain(|ingested| ingested.tick() < divergence.tick);
            inputs.values_mut().for_each(|deltas| deltas.retain(|(tick, ..)| *tick < divergence.tick));
        }
        let rows = inputs.values().map(|deltas| deltas.len() as u64).sum();
        Ok((taken, inputs.into_iter().collect(), rows))
    }

    /// Interrupts the attempt, so that the source of the divergence is captured again.
    fn interrupt_by(&mut self, divergence: &Divergence, taken: &[Ingested]) {
        self.diverged = true;
        self.ends.halted.store(true, Ordering::Release);
        let table = &self.plan.tables[divergence.input];
        let row = match &divergence.key {
            Some(key) => {
                let layout = Layout::new(&table.schema.project(&table.key));
                row_of_key(&layout, key).map_or("a row".into(), |row| format!("the row {}", json_of(&layout, &row)))
            }
            None => "a row".into(),
        };
        let position = taken.iter().find_map(|ingested| match ingested {
            Ingested::Transaction { mark, .. } if mark.tick == divergence.tick => Some(format!(" (transaction {})", mark.position)),
            _ => None,
        });
        let (name, mismatch, position) = (&table.name, divergence.mismatch, position.unwrap_or_default());
        let message = format!("the log and the stored rows of `{name}` differ: {row} {mismatch}{position}");
        let source = self.report.progress.source_index(&table.source);
        // Notes are exact only together with all rows.
        let only = (table.name != NOTES).then(|| table.name.clone());
        // If the channel is full, another source ends the attempt, and the next attempt finds this divergence again.
        let _ =
            self.ends.interrupt.try_send(Interruption { source, name: table.source.clone(), table: only, message, cause: Cause::Resync });
    }

    /// Commits the first tick: loaded rows, and the differences of views that the store has already.
    fn commit_first(&mut self, mut loaded: LoadedSnapshot) -> Result<(), RunError> {
        let (ticks, rejected) = (std::mem::take(&mut loaded.marks), std::mem::take(&mut loaded.rejected));
        let (captured, recaptured) = (self.captured.clone(), std::mem::take(&mut self.recaptured));
        let mut commit = Commit { up_to: loaded.tick, ticks, rejected, captured, recaptured, ..Commit::default() };
        let loads: Vec<usize> = (0..self.views.len()).filter(|view| self.views[*view].hydration != Hydration::Stored).collect();
        for &view in &loads {
            let rows = self.views[view].take_loading();
            loaded.load.view(view, rows.iter().map(|(key, row)| (&**key, &**row)))?;
        }
        for &view in &loads {
            let pending = &mut self.views[view];
            let mut batch = pending.batch(&self.plan, view, loaded.tick).unwrap_or(ViewBatch { view, ..ViewBatch::default() });
            batch.changes.clear();
            if pending.hydration == Hydration::Difference {
                for different in loaded.load.difference(view)? {
                    let (key, after) = different?;
                    batch.changes.push(ViewChange { tick: loaded.tick, key, after });
                }
                let stored = self.store.view(&self.plan.views[view].name);
                let stored = stored.ok_or_else(|| RunError::Bug("a view with rows is not in the store".into()))?;
                for error in stored.errors()? {
                    batch.errors.push(ErrorChange { tick: loaded.tick, message: error.message, diff: -error.count });
                }
            }
            if !batch.changes.is_empty() || !batch.errors.is_empty() {
                commit.views.push(batch);
            }
        }
        let rejects = !commit.rejected.is_empty();
        let committed = loaded.load.finish(commit)?;
        if rejects {
            self.show_rejected()?;
        }
        self.committed = committed.up_to;
        self.loaded = true;
        self.show()?;
        self.report.progress.committed(0, self.committed);
        // The load has freed about as much as the views hold.
        tidemill_allocator::return_freed();
        Ok(())
    }

    fn commit(&mut self, commit: Commit) -> Result<(), RunError> {
        let rejects = !commit.rejected.is_empty();
        let committed = self.store.commit(commit)?;
        if rejects {
            self.show_rejected()?;
        }
        self.committed = committed.up_to;
        self.show()
    }

    fn show(&self) -> Result<(), RunError> {
        self.report.show(self.store.checkpoint(), self.store.views()?);
        Ok(())
    }

    fn show_rejected(&self) -> Result<(), RunError> {
        for (source, tables) in self.store.rejected_counts()? {
            let first: Result<Vec<_>, _> = self.store.rejected(&source).take(SHOWN_REJECTED).collect();
            let first = first?.into_iter().map(|RejectedRecord { place, reason, .. }| format!("{place}: {reason}")).collect();
            self.report.show_rejected(&source, tables.values().sum(), first);
        }
        Ok(())
    }
}
