//! Gives each source transaction a tick, and sends its rows to the workers.
//!
//! At the first tick: the stored tables and the sources' snapshots. Then one tick for each transaction of any source; the parts of a
//! transaction are never mixed with those of another.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::SyncSender;
use std::thread::JoinHandle;

use futures::future::select_all;
use tokio::sync::mpsc;

use super::RunError;
use super::arrival::Arrivals;
use super::commit::{Ingested, LoadedSnapshot, ToCommit};
use super::report::Report;
use super::start::{Hydration, Start};
use super::supervise::{Cause, Incoming, Interruption, Surroundings};
use super::worker::{Feed, FeedSender};
use crate::fault;
use crate::plan::Plan;
use crate::sources::{self, Event, NOTES};
use crate::store::{BulkLoad, Reached, RejectedRecord, Rejections, Store, StoreError, TickMark};
use crate::value::{Delta, Position, Rows, Tick};

/// How `status` names the memory of arrival numbers.
const ARRIVALS: &str = "numbers of arrival";
/// The number of ingested rows that may wait for their commit.
const UNCOMMITTED_ROWS: u64 = 500_000;
/// The number of ticks that may wait for their commit.
const UNCOMMITTED_TICKS: u64 = 20_000;
/// The bytes of memory that a change uses until it is durable, beside [`ROW_COPIES`] copies of its row: entries in the buffers of ingest,
/// workers, committer and storage engine, as measured with rows of 40 bytes.
const CHANGE_BYTES: u64 = 900;
const ROW_COPIES: u64 = 4;

struct Ingest {
    sources: Vec<Incoming>,
    /// For each source, the indexes of its tables in the plan.
    tables: Vec<Vec<usize>>,
    /// The sources' notes, as indexes into the plan's tables: they are stored, and the workers do not get them.
    notes: Vec<usize>,
    feeds: Vec<FeedSender>,
    to_commit: SyncSender<ToCommit>,
    report: Arc<Report>,
    /// The tick that the next transaction gets.
    next: Tick,
    /// The last tick with changes. A position without changes is recorded as reached after it.
    last: Tick,
    /// For each source, the records that it rejected since its last position.
    rejected: Vec<Rejections>,
    /// Sources that sent [`Event::CaughtUp`].
    caught_up: Vec<bool>,
    /// Whether the attempt maintains everything, so that it can catch up.
    is_whole: bool,
    /// Set when nothing more is committed: the attempt is about to end.
    halted: Arc<AtomicBool>,
    /// The worker that got the last message; rows are sent to the workers in turn.
    turn: usize,
    arrivals: Arrivals,
    /// The memory that a transaction may use, in bytes as [`CHANGE_BYTES`] and [`ROW_COPIES`] count them.
    max_transaction_bytes: u64,
    interrupt: mpsc::Sender<Interruption>,
}

/// A source, a worker or the committer has ended, so ingest ends too.
struct Gone;

/// The number and the bytes of rows that were read from the store.
#[derive(Debug, Clone, Copy, Default)]
struct Fed {
    rows: u64,
    bytes: u64,
}

impl Fed {
    fn and(self, row: &[u8]) -> Fed {
        Fed { rows: self.rows + 1, bytes: self.bytes + row.len() as u64 }
    }
}

/// Starts the thread that ingests the events of all sources.
#[expect(clippy::too_many_arguments, reason = "one call, of everything that meets here")]
pub(super) fn start(
    store: Store,
    plan: &Plan,
    start: &Start,
    sources: Vec<Incoming>,
    feeds: Vec<FeedSender>,
    to_commit: SyncSender<ToCommit>,
    halted: Arc<AtomicBool>,
    max_transaction_bytes: u64,
    around: &Surroundings,
) -> JoinHandle<()> {
    let Surroundings { is_whole, report, fatal, interrupt, .. } = around.clone();
    let place = |name: &String| plan.tables.iter().position(|t| t.full_name() == *name).expect("a source has only tables of the plan");
    let tables = sources.iter().map(|s| s.tables.iter().map(place).collect()).collect();
    let notes = (0..plan.tables.len()).filter(|table| plan.tables[*table].name == NOTES).collect();
    let (caught_up, rejected) = (vec![false; sources.len()], vec![Rejections::default(); sources.len()]);
    let (next, last) = (start.tick, Tick(start.tick.0 - 1));
    let arrivals = Arrivals::new(plan);
    let ingest = Ingest {
        sources,
        tables,
        notes,
        feeds,
        to_commit,
        report,
        next,
        last,
        rejected,
        caught_up,
        is_whole,
        halted,
        turn: 0,
        arrivals,
        max_transaction_bytes,
        interrupt,
    };
    let (start, inputs) = (start.clone(), plan.tables.len());
    let runtime = tokio::runtime::Handle::current();
    let body = move || {
        if let Err(error) = runtime.block_on(ingest.run(store, start, inputs)) {
            let _ = fatal.blocking_send(error);
        }
    };
    std::thread::Builder::new().name("ingest".into()).spawn(body).expect("spawning a thread failed")
}

impl Ingest {
    async fn run(mut self, store: Store, start: Start, inputs: usize) -> Result<(), RunError> {
        match self.fill(&store, &start, inputs).await? {
            // Nothing that the workers were fed will be committed.
            Err(Gone) => {
                self.feeds.iter().for_each(FeedSender::abandon);
                Ok(())
            }
            Ok(()) => {
                let (Ok(()) | Err(Gone)) = self.follow().await;
                Ok(())
            }
        }
    }

    /// Ingests the first tick: stored tables and snapshots.
    async fn fill(&mut self, store: &Store, start: &Start, inputs: usize) -> Result<Result<(), Gone>, RunError> {
        let compared: Vec<usize> = (0..start.views.len()).filter(|view| start.views[*view] == Hydration::Difference).collect();
        let mut load = if start.builds() { Some(store.bulk_load_beside(&compared)?) } else { None };
        let captured = |input: usize| self.tables.iter().zip(&self.sources).any(|(tables, s)| s.snapshots && tables.contains(&input));
        let held: Vec<usize> = (0..inputs).filter(|input| !captured(*input) && !self.notes.contains(input)).collect();
        for input in held {
            let fed = match self.feed_held(store, input)? {
                Ok(fed) => fed,
                Err(gone) => return Ok(Err(gone)),
            };
            if let Some(load) = load.as_mut().filter(|_| start.staged_inputs.contains(&input)) {
                load.staged_input(input, fed.rows, fed.bytes);
            }
        }
        for &input in start.staged_inputs.intersection(&self.notes.iter().copied().collect()) {
            let load = load.as_mut().expect("what was staged is committed");
            let noted = store.load_input(input)?.try_fold(Fed::default(), |fed, row| row.map(|(row, _)| fed.and(&row)))?;
            load.staged_input(input, noted.rows, noted.bytes);
        }
        let mut marks: Vec<TickMark> = (0..self.sources.len())
            .filter_map(|source| Some(self.mark(source, start.staged.get(&self.sources[source].name)?.clone(), None)))
            .collect();
        for source in 0..self.sources.len() {
            if !self.sources[source].snapshots {
                continue;
            }
            match self.snapshot(source, load.as_mut()).await? {
                Ok(position) => marks.push(self.mark(source, position, None)),
                Err(gone) => return Ok(Err(gone)),
            }
        }
        self.next = start.tick.next();
        if !self.advance() {
            return Ok(Err(Gone));
        }
        let Some(load) = load else { return Ok(Ok(())) };
        self.last = start.tick;
        let rejected =
            (0..self.sources.len()).map(|source| (self.sources[source].name.clone(), std::mem::take(&mut self.rejected[source])));
        let rejected = rejected.filter(|(_, rejected)| !rejected.is_empty()).collect();
        fault::point("ingest.loaded");
        let loaded = ToCommit::Loaded(LoadedSnapshot { load, tick: start.tick, marks, rejected });
        Ok(self.to_commit.send(loaded).map_err(|_| Gone))
    }

    /// Sends the stored rows of a table to the workers.
    fn feed_held(&mut self, store: &Store, table: usize) -> Result<Result<Fed, Gone>, StoreError> {
        let mut rows = Rows::default();
        let mut fed = Fed::default();
        for held in store.load_input(table)? {
            let (row, count) = held?;
            self.arrivals.held(table, &row);
            for _ in 0..count {
                fed = fed.and(&row);
                rows.push(&row);
                if rows.is_full() && !self.feed(Feed::Rows { table, rows: std::mem::take(&mut rows) }) {
                    return Ok(Err(Gone));
                }
            }
        }
        Ok(if rows.is_empty() || self.feed(Feed::Rows { table, rows }) { Ok(fed) } else { Err(Gone) })
    }

    /// Ingests a source's snapshot. Returns its position.
    async fn snapshot(&mut self, source: usize, mut load: Option<&mut BulkLoad>) -> Result<Result<Position, Gone>, RunError> {
        loop {
            match self.sources[source].events.recv().await {
                Some(Event::Rows { table, rows }) => {
                    let table = self.tables[source][table];
                    let rows = self.arrivals.rows(table, rows);
                    self.report_arrivals();
                    fault::point("ingest.rows");
                    if let Some(load) = load.as_deref_mut() {
                        load.input(table, rows.iter())?;
                    }
                    if !self.notes.contains(&table) && !self.feed(Feed::Rows { table, rows }) {
                        return Ok(Err(Gone));
                    }
                }
                Some(Event::SnapshotDone { position }) => return Ok(Ok(position)),
                Some(Event::CaughtUp) => self.caught_up(source),
                Some(Event::Rejected(rejected)) => self.reject(source, rejected),
                Some(Event::SnapshotPlan { .. } | Event::Waiting(_)) => {}
                Some(Event::Changes(_) | Event::Commit { .. } | Event::Progress { .. }) => {
                    return Err(RunError::Bug(format!("source `{}` sent changes before its snapshot", self.sources[source].name)));
                }
                None => return Ok(Err(Gone)),
            }
        }
    }

    /// Ingests transactions until all sources have ended.
    async fn follow(&mut self) -> Result<(), Gone> {
        let mut open: Vec<usize> = (0..self.sources.len()).collect();
        self.tell_caught_up()?;
        while !open.is_empty() {
            self.wait_for_commits().await;
            let (event, source) = self.next_event(&open).await;
            match event {
                Some(Event::Changes(deltas)) => self.transaction(source, deltas).await?,
                Some(Event::Rejected(rejected)) => self.reject(source, rejected),
                Some(Event::Commit { position, committed_ms }) => self.commit(source, position, committed_ms, Vec::new())?,
                Some(Event::Progress { position, committed_ms }) => self.progress(source, position, committed_ms)?,
                Some(Event::CaughtUp) => {
                    self.caught_up(source);
                    self.tell_caught_up()?;
                }
                Some(Event::Waiting(_) | Event::SnapshotPlan { .. } | Event::Rows { .. } | Event::SnapshotDone { .. }) => {}
                None => open.retain(|s| *s != source),
            }
        }
        Ok(())
    }

    async fn next_event(&mut self, open: &[usize]) -> (Option<Event>, usize) {
        if let [only] = open {
            return (self.sources[*only].events.recv().await, *only);
        }
        let waits = self.sources.iter_mut().enumerate().filter(|(i, _)| open.contains(i));
        let waits = waits.map(|(i, s)| Box::pin(async move { (s.events.recv().await, i) }));
        select_all(waits).await.0
    }

    /// Ingests a transaction whose first part is `first`, up to its commit.
    async fn transaction(&mut self, source: usize, first: Vec<Delta>) -> Result<(), Gone> {
        let mut all = Vec::new();
        let mut bytes = 0;
        let mut event = Some(Event::Changes(first));
        loop {
            match event {
                Some(Event::Changes(deltas)) => {
                    bytes += deltas.iter().map(|delta| CHANGE_BYTES + ROW_COPIES * delta.row.len() as u64).sum::<u64>();
                    if bytes > self.max_transaction_bytes && self.sources[source].captures_the_present {
                        return self.too_large(source).await;
                    }
                    self.changes(source, deltas, &mut all)?;
                }
                Some(Event::Rejected(rejected)) => self.reject(source, rejected),
                Some(Event::Commit { position, committed_ms }) => return self.commit(source, position, committed_ms, all),
                Some(_) => {}
                // The run is being stopped: the tick is never complete, so it is not committed.
                None => return Err(Gone),
            }
            event = self.sources[source].events.recv().await;
        }
    }

    /// Drops the transaction and lets its source be captured again: the memory of a snapshot does not grow with the size of a transaction. Not
    /// called for sources whose new capture would read the same transaction.
    async fn too_large(&mut self, source: usize) -> Result<(), Gone> {
        let name = self.sources[source].name.clone();
        let mb = self.max_transaction_bytes as f64 / 1e6;
        let message = format!("a transaction would take more than {mb:.1} MB of memory at once (--max-transaction-bytes)");
        let _ = self.interrupt.send(Interruption { source, name, table: None, message, cause: Cause::Resync }).await;
        Err(Gone)
    }

    /// Sends a part of a transaction to a worker, and adds its changes to `all` for the commit.
    fn changes(&mut self, source: usize, mut deltas: Vec<Delta>, all: &mut Vec<Delta>) -> Result<(), Gone> {
        for delta in &mut deltas {
            delta.table = self.tables[source][delta.table];
        }
        self.arrivals.changes(&mut deltas);
        self.report_arrivals();
        all.extend(deltas.iter().cloned());
        self.report.rows_received(source, deltas.len() as u64);
        deltas.retain(|delta| !self.notes.contains(&delta.table));
        fault::point("ingest.changes");
        if self.feed(Feed::Changes(deltas)) { Ok(()) } else { Err(Gone) }
    }

    fn report_arrivals(&self) {
        let bytes = self.arrivals.held_bytes();
        if bytes > 0 {
            self.report.held_elsewhere(ARRIVALS, bytes);
        }
    }

    /// Ends a transaction: gives it a tick and sends it to the committer.
    fn commit(&mut self, source: usize, position: Position, committed_ms: Option<u64>, deltas: Vec<Delta>) -> Result<(), Gone> {
        if deltas.is_empty() {
            return self.progress(source, position, committed_ms);
        }
        let mark = self.mark(source, position, committed_ms);
        self.last = self.next;
        self.next = self.next.next();
        if !self.advance() {
            return Err(Gone);
        }
        self.report.progress.ingested(deltas.len() as u64, mark.tick);
        let rejected = std::mem::take(&mut self.rejected[source]);
        let bytes = deltas.iter().map(|delta| size_of::<Delta>() + delta.row.len()).sum();
        fault::point("ingest.commit");
        self.to_commit.send(ToCommit::Ingested(Ingested::Transaction { mark, deltas, bytes, rejected })).map_err(|_| Gone)
    }

    /// Records a position without changes, which makes no tick.
    fn progress(&mut self, source: usize, position: Position, committed_ms: Option<u64>) -> Result<(), Gone> {
        let reached = Reached { source: self.sources[source].name.clone(), position, committed_ms };
        let rejected = std::mem::take(&mut self.rejected[source]);
        self.to_commit.send(ToCommit::Ingested(Ingested::Reached { after: self.last, reached, rejected })).map_err(|_| Gone)
    }

    /// Keeps a rejected record until it is committed with the source's next position.
    fn reject(&mut self, source: usize, rejected: sources::Rejected) {
        let sources::Rejected { table, place, reason } = rejected;
        self.rejected[source].add(RejectedRecord { table: table.unwrap_or_default(), place, reason });
    }

    fn mark(&self, source: usize, position: Position, committed_ms: Option<u64>) -> TickMark {
        TickMark { tick: self.next, source: self.sources[source].name.clone(), position, committed_ms }
    }

    fn caught_up(&mut self, source: usize) {
        self.caught_up[source] = true;
    }

    fn tell_caught_up(&mut self) -> Result<(), Gone> {
        match self.is_whole && self.caught_up.iter().all(|c| *c) {
            true => self.to_commit.send(ToCommit::CaughtUp(self.last)).map_err(|_| Gone),
            false => Ok(()),
        }
    }

    /// Sends a message to the next worker in turn. False if that worker has ended.
    fn feed(&mut self, message: Feed) -> bool {
        self.turn = (self.turn + 1) % self.feeds.len();
        self.feeds[self.turn].send(message)
    }

    fn advance(&self) -> bool {
        self.feeds.iter().all(|feed| feed.send(Feed::AdvanceTo(self.next)))
    }

    /// Back-pressure: bounds what is ingested but not durable yet.
    async fn wait_for_commits(&self) {
        self.report.progress.wait_for_room(UNCOMMITTED_ROWS, UNCOMMITTED_TICKS, self.next, &self.halted).await;
    }
}
