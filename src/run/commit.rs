//! Makes ticks durable once every worker has finished them: views, changelogs, inputs and positions in one batch.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Receiver;
use std::thread::JoinHandle;

use tokio::sync::mpsc;
use xxhash_rust::xxh3::xxh3_128;

use super::start::{Hydration, Start};
use super::status::Status;
use super::supervise::{Cause, Interruption};
use super::{Fatal, RunError};
use crate::dataflow::{DocumentChange, FailureChange, HeldBytes, Outcome};
use crate::plan::{Origin, Plan};
use crate::store::{
    BulkLoad, Commit, Divergence, ErrorChange, InputDeltas, MAX_KEY_BYTES, Reached, Rejected, Rejections, Store, TickMark, ViewBatch,
    ViewChange,
};
use crate::value::{Delta, Diff, Layout, Row, RowBuilder, Tick, json, row_of_key};

#[derive(Debug)]
pub(super) enum ToCommit {
    Documents {
        view: usize,
        changes: Vec<DocumentChange>,
    },
    Failures {
        view: usize,
        changes: Vec<FailureChange>,
    },
    /// This worker has sent everything up to and with `tick`.
    Complete {
        worker: usize,
        tick: Tick,
    },
    /// What this worker holds in memory.
    Held {
        worker: usize,
        held: Vec<HeldBytes>,
    },
    /// In tick order.
    Ingested(Ingested),
    /// Everything up to the first tick was ingested.
    Loaded(Loaded),
    /// The sources have nothing more of what they had when the run began, after this tick.
    CaughtUp(Tick),
}

#[derive(Debug)]
pub(super) enum Ingested {
    /// Tables as in the plan.
    Transaction { mark: TickMark, deltas: Vec<Delta>, rejected: Rejections },
    /// A mere position, reached after this tick.
    Reached { after: Tick, reached: Reached, rejected: Rejections },
}

impl Ingested {
    fn tick(&self) -> Tick {
        match self {
            Ingested::Transaction { mark, .. } => mark.tick,
            Ingested::Reached { after, .. } => *after,
        }
    }
}

#[derive(Debug)]
pub(super) struct Loaded {
    pub(super) load: BulkLoad,
    pub(super) tick: Tick,
    pub(super) marks: Vec<TickMark>,
    /// What each source left out of its snapshot.
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

    /// Runs in a thread of its own until every sender is gone.
    pub(super) fn run(self, store: Store, plan: &Plan, start: &Start, status: Arc<Status>, ends: Ends) -> JoinHandle<()> {
        let fatal = ends.fatal.clone();
        let work = Work::new(store, plan.clone(), start, status, ends, self.workers);
        let body = move || {
            if let Err(error) = work.run(&self.received) {
                let _ = fatal.blocking_send(error);
            }
        };
        std::thread::Builder::new().name("commit".into()).spawn(body).expect("the system gives a thread")
    }
}

struct Work {
    store: Store,
    plan: Plan,
    status: Arc<Status>,
    first: Tick,
    views: Vec<PendingView>,
    /// Up to where each worker is complete.
    complete: Vec<Tick>,
    ingested: VecDeque<Ingested>,
    /// The first tick's, until it is committed.
    load: Option<Loaded>,
    /// Whether the first tick is done with; nothing later is committed before.
    loaded: bool,
    caught_up: Option<Tick>,
    committed: Tick,
    ends: Ends,
    /// The log told of a row that is not held so: nothing more is committed.
    diverged: bool,
}

/// How the committer ends the attempt, or the run.
pub(super) struct Ends {
    pub(super) interrupt: mpsc::Sender<Interruption>,
    /// Set where nothing more is committed, so that nobody waits for it.
    pub(super) halted: Arc<AtomicBool>,
    pub(super) fatal: Fatal,
}

struct PendingView {
    hydration: Hydration,
    layout: Layout,
    key: Vec<usize>,
    /// Documents that wait for their tick to be complete.
    changes: Vec<DocumentChange>,
    failures: Vec<FailureChange>,
    /// The first tick's documents, until the load can take them.
    loading: Vec<(Row, Row)>,
    /// Keys without a right document, with what is stored of the reason.
    failed: HashMap<Row, String>,
}

impl Work {
    fn new(store: Store, plan: Plan, start: &Start, status: Arc<Status>, ends: Ends, workers: usize) -> Work {
        let views = plan.views.iter().zip(&start.views).map(|(view, hydration)| PendingView {
            hydration: *hydration,
            layout: Layout::new(&view.schema),
            key: view.key.clone(),
            changes: Vec::new(),
            failures: Vec::new(),
            loading: Vec::new(),
            failed: HashMap::new(),
        });
        let views = views.collect();
        let committed = Tick(start.tick.0 - 1);
        Work {
            store,
            plan,
            status,
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
        }
    }

    fn run(mut self, received: &Receiver<ToCommit>) -> Result<(), RunError> {
        self.show()?;
        self.show_rejected()?;
        while let Ok(message) = received.recv() {
            self.take(message)?;
            // Whatever else is there goes into the same commit.
            while let Ok(message) = received.try_recv() {
                self.take(message)?;
            }
            self.commit_complete()?;
            if self.diverged {
                // The attempt is about to end; until then nobody must wait for us.
                while received.recv().is_ok() {}
                return Ok(());
            }
        }
        Ok(())
    }

    fn take(&mut self, message: ToCommit) -> Result<(), RunError> {
        match message {
            ToCommit::Documents { view, changes } => self.take_documents(view, changes)?,
            ToCommit::Failures { view, changes } => self.views[view].failures.extend(changes),
            ToCommit::Complete { worker, tick } => self.complete[worker] = tick,
            ToCommit::Held { worker, held } => self.status.held(worker, held),
            ToCommit::Ingested(ingested) => self.ingested.push_back(ingested),
            ToCommit::Loaded(loaded) => self.load = Some(loaded),
            ToCommit::CaughtUp(tick) => self.caught_up = Some(tick),
        }
        Ok(())
    }

    fn take_documents(&mut self, view: usize, changes: Vec<DocumentChange>) -> Result<(), RunError> {
        let first = self.first;
        let pending = &mut self.views[view];
        let changes: Vec<DocumentChange> = changes.into_iter().map(keepable).collect();
        if pending.hydration == Hydration::Stored || self.loaded {
            pending.changes.extend(changes);
            return Ok(());
        }
        for change in changes {
            match change.outcome {
                Outcome::Document(row) if change.tick == first => pending.loading.push((change.key, row)),
                _ => pending.changes.push(change),
            }
        }
        if let Some(loaded) = &mut self.load {
            loaded.load.view(view, pending.loading.iter().map(|(k, r)| (&**k, &**r)))?;
            pending.loading.clear();
        }
        Ok(())
    }

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
                Ingested::Transaction { mark, deltas: _, rejected } => {
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
            self.status.committed(rows, up_to);
        }
        if self.caught_up.is_some_and(|tick| tick <= self.committed) {
            self.status.caught_up(self.committed);
        }
        Ok(())
    }

    /// What was ingested up to and with tick `complete`, its rows apart, as far as they fit what is held: behind that, the attempt ends.
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

    /// Lets the source be captured again that told what does not fit.
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
        let message = format!("the log and what is held of `{name}` differ: {row} {mismatch}{position}");
        let source = self.status.source_index(&table.source);
        // Where another source was quicker the attempt ends because of that one, and this comes again in the next.
        let _ = self.ends.interrupt.try_send(Interruption { source, name: table.source.clone(), message, cause: Cause::Resync });
    }

    /// The first tick: what was loaded, and what is different in views that were there.
    fn commit_first(&mut self, mut loaded: Loaded) -> Result<(), RunError> {
        let (ticks, rejected) = (std::mem::take(&mut loaded.marks), std::mem::take(&mut loaded.rejected));
        let captured = ticks.iter().map(|mark| mark.source.clone()).collect();
        let mut commit = Commit { up_to: loaded.tick, ticks, rejected, captured, ..Commit::default() };
        let loads: Vec<usize> = (0..self.views.len()).filter(|view| self.views[*view].hydration != Hydration::Stored).collect();
        for &view in &loads {
            let rows = std::mem::take(&mut self.views[view].loading);
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
        self.status.committed(0, self.committed);
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
        self.status.show(self.store.checkpoint(), self.store.views()?);
        Ok(())
    }

    fn show_rejected(&self) -> Result<(), RunError> {
        for (source, tables) in self.store.rejected_counts()? {
            let first: Result<Vec<_>, _> = self.store.rejected(&source)?.take(SHOWN_REJECTED).collect();
            let first = first?.into_iter().map(|Rejected { place, reason, .. }| format!("{place}: {reason}")).collect();
            self.status.show_rejected(&source, tables.values().sum(), first);
        }
        Ok(())
    }
}

/// A row whose key is too long for the store is an error of the view, under a key that stands for the long one.
fn keepable(change: DocumentChange) -> DocumentChange {
    let length = change.key.len();
    if length <= MAX_KEY_BYTES {
        return change;
    }
    const START: usize = 64;
    let key = [&change.key[..START], &xxh3_128(&change.key).to_be_bytes()].concat().into();
    let reason = format!("it has {length} bytes, and at most {MAX_KEY_BYTES} can be kept: let shorter columns be the view's key");
    let outcome = match change.outcome {
        Outcome::Document(_) => Outcome::Failed(reason),
        other => other,
    };
    DocumentChange { key, outcome, ..change }
}

/// Of what a source left out, so many are shown while it runs.
const SHOWN_REJECTED: usize = 3;

impl PendingView {
    /// Takes what belongs to ticks up to and with `up_to`; `None` where there is nothing.
    fn batch(&mut self, plan: &Plan, view: usize, up_to: Tick) -> Option<ViewBatch> {
        let (ready, waiting): (Vec<_>, Vec<_>) = std::mem::take(&mut self.changes).into_iter().partition(|c| c.tick <= up_to);
        self.changes = waiting;
        let (failed, waiting): (Vec<_>, Vec<_>) = std::mem::take(&mut self.failures).into_iter().partition(|f| f.tick <= up_to);
        self.failures = waiting;
        if ready.is_empty() && failed.is_empty() {
            return None;
        }
        let mut batch = ViewBatch { view, ..ViewBatch::default() };
        for failure in failed {
            let message = failure_message(plan, &failure);
            batch.errors.push(ErrorChange { tick: failure.tick, message, diff: failure.diff });
        }
        let mut ready = ready;
        ready.sort_by_key(|c| c.tick);
        for DocumentChange { tick, key, outcome } in ready {
            let reason = match &outcome {
                Outcome::Failed(reason) => Some(format!("{}: {reason}", self.describe(&key))),
                Outcome::Document(_) | Outcome::Gone => None,
            };
            self.note_failure(&mut batch, tick, &key, reason);
            let after = match outcome {
                Outcome::Document(row) => Some(row),
                Outcome::Gone | Outcome::Failed(_) => None,
            };
            batch.changes.push(ViewChange { tick, key, after });
        }
        Some(batch)
    }

    fn note_failure(&mut self, batch: &mut ViewBatch, tick: Tick, key: &Row, reason: Option<String>) {
        if self.failed.get(key) == reason.as_ref() {
            return;
        }
        if let Some(message) = self.failed.remove(key) {
            batch.errors.push(ErrorChange { tick, message, diff: -1 });
        }
        if let Some(message) = reason {
            batch.errors.push(ErrorChange { tick, message: message.clone(), diff: 1 });
            self.failed.insert(key.clone(), message);
        }
    }

    /// The key as people write it, e.g. `{"order_id":7}`.
    fn describe(&self, key: &[u8]) -> String {
        let layout = Layout::new(&self.layout.schema().project(&self.key));
        row_of_key(&layout, key).map_or("a key".into(), |row| json_of(&layout, &row))
    }
}

/// The row's key and what failed, never its other values.
fn failure_message(plan: &Plan, failure: &FailureChange) -> String {
    let (name, schema, key) = match failure.of {
        Some(Origin::Table(table)) => (plan.tables[table].full_name(), &plan.tables[table].schema, &plan.tables[table].key),
        Some(Origin::View(view)) if plan.views[view].has_key() => {
            (plan.views[view].name.clone(), &plan.views[view].schema, &plan.views[view].key)
        }
        Some(Origin::View(view)) => return format!("a row of {}: {}", plan.views[view].name, failure.failure.reason),
        Some(Origin::Own(_)) => return format!("a row of the query: {}", failure.failure.reason),
        None => return failure.failure.reason.clone(),
    };
    let layout = Layout::new(schema);
    let key_layout = Layout::new(&schema.project(key));
    let mut builder = RowBuilder::new(&key_layout);
    for &column in key {
        builder.push(layout.get(&failure.failure.row, column));
    }
    format!("{name} {}: {}", json_of(&key_layout, &builder.finish()), failure.failure.reason)
}

fn json_of(layout: &Layout, row: &[u8]) -> String {
    let mut out = Vec::new();
    json::write_row(layout, row, &mut out);
    String::from_utf8(out).unwrap_or_default()
}
