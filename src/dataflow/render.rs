//! Turns a plan into operators.

use std::cell::Cell;
use std::rc::Rc;

use timely::container::CapacityContainerBuilder;
use timely::dataflow::operators::Concatenate;
use timely::dataflow::operators::probe::{Handle as Probe, Probe as _};
use timely::dataflow::{InputHandle, Scope, Stream};
use timely::worker::Worker;

use super::changes::{FailureChange, RowChange};
use super::documents::assemble::assemble;
use super::documents::climb::climb;
use super::documents::document::DocumentAssembler;
use super::documents::fetch::{Piece, Relations, Requests, fetch};
use super::documents::touch::{Brake, touch};
use super::held::memory::{HeldBytes, Memory};
use super::held::updates::{Update, Updates};
use super::inputs::shared::{KeyStream, SharedInputs, demands};
use super::output::{ErrorOutput, ViewChanges, ViewOutput};
use super::queries::nodes::Queries;
use super::time::{Clock, Moment, START};
use crate::dataflow::streams::RowStream;
use crate::plan::{Arrangements, Document, DocumentArrangements, Lookup, LookupArrangements, Plan, Up, View, ViewReads};
use crate::value::{Diff, Layout, Tick};

/// One worker's inputs and outputs of a rendered plan.
pub struct Rendered {
    pub inputs: Inputs,
    pub outputs: Outputs,
}

/// Receives a worker's share of the changes.
#[expect(missing_debug_implementations, reason = "operators have none")]
pub struct Inputs {
    tables: Vec<InputHandle<Moment, CapacityContainerBuilder<Updates>>>,
    ticks: InputHandle<Moment, CapacityContainerBuilder<Vec<()>>>,
    clock: Clock,
    now: Moment,
}

/// Returns the changes of the views.
#[expect(missing_debug_implementations, reason = "operators have none")]
pub struct Outputs {
    documents: Vec<ViewChanges>,
    failures: Vec<ErrorOutput>,
    clock: Clock,
    probe: Probe<Moment>,
    memory: Memory,
    hold_back: Rc<Cell<bool>>,
}

impl std::fmt::Debug for Rendered {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rendered").field("tables", &self.inputs.tables.len()).finish_non_exhaustive()
    }
}

impl Inputs {
    /// Sends changes of a table at the current tick.
    pub fn send<R: AsRef<[u8]>>(&mut self, table: usize, rows: impl IntoIterator<Item = (R, Diff)>) {
        let moment = self.now;
        let input = &mut self.tables[table];
        for (row, diff) in rows {
            input.send(Update { key: &[], row: row.as_ref(), moment, diff });
        }
    }

    /// Promises that nothing more is sent before `tick`, which becomes the current tick.
    pub fn advance_to(&mut self, tick: Tick) {
        self.now = self.clock.moment_of(tick);
        for input in &mut self.tables {
            input.advance_to(self.now);
            input.flush();
        }
        self.ticks.advance_to(self.now);
    }

    /// Passes on what was sent, without waiting for the end of the tick.
    pub fn flush(&mut self) {
        self.tables.iter_mut().for_each(InputHandle::flush);
    }
}

impl Outputs {
    /// Whether everything up to and including `tick` has been output, at every worker.
    pub fn is_complete(&self, tick: Tick) -> bool {
        !self.probe.less_than(&self.clock.moment_of(tick.next()))
    }

    /// The first tick that is not complete; `None` when all inputs are closed and everything has been output.
    pub fn frontier(&self) -> Option<Tick> {
        self.probe.with_frontier(|frontier| frontier.first().map(|m| self.clock.tick_of(*m)))
    }

    /// Takes the changes of a view that have been output so far. Until a tick is complete, more of its changes may follow.
    pub fn take_rows(&self, view: usize) -> Vec<RowChange> {
        std::mem::take(&mut self.documents[view].borrow_mut())
    }

    /// Like [`take_rows`](Outputs::take_rows), for rows that failed.
    pub fn take_failures(&self, view: usize) -> Vec<FailureChange> {
        std::mem::take(&mut self.failures[view].borrow_mut())
    }

    /// While set, a tick that touches many documents stops after a portion. Set it while the consumer is behind.
    pub fn hold_back(&self, hold_back: bool) {
        self.hold_back.set(hold_back);
    }

    pub fn held_bytes(&self) -> Vec<HeldBytes> {
        self.memory.measure()
    }
}

/// Renders a plan at one worker. Every worker must call it with the same arguments.
///
/// The caller sends the state at `start` as insertions at that tick (hydration). Views with `hydrate` set then output all their documents;
/// the others output only later changes, because their stored rows are still right.
pub fn render(worker: &mut Worker, plan: &Plan, arrangements: &Arrangements, start: Tick, hydrate: &[bool]) -> Rendered {
    worker.dataflow::<Moment, _, _>(|scope| Rendering::new(scope, plan, arrangements, start).views(hydrate))
}

struct Rendering<'s, 'p> {
    scope: Scope<'s, Moment>,
    plan: &'p Plan,
    arrangements: &'p Arrangements,
    clock: Clock,
    tables: Vec<InputHandle<Moment, CapacityContainerBuilder<Updates>>>,
    rows: Vec<RowStream<'s>>,
    /// Carries only the current time, for nodes that read no table.
    ticks: InputHandle<Moment, CapacityContainerBuilder<Vec<()>>>,
    ticked: Stream<'s, Moment, Vec<()>>,
    probe: Probe<Moment>,
    hold_back: Rc<Cell<bool>>,
}

impl<'s, 'p> Rendering<'s, 'p> {
    fn new(scope: Scope<'s, Moment>, plan: &'p Plan, arrangements: &'p Arrangements, start: Tick) -> Self {
        let (mut tables, mut rows) = (Vec::new(), Vec::new());
        for _ in &plan.tables {
            let mut handle = InputHandle::new_with_builder();
            rows.push(handle.to_stream(scope));
            tables.push(handle);
        }
        let mut ticks = InputHandle::new_with_builder();
        let ticked = ticks.to_stream(scope);
        Rendering {
            scope,
            plan,
            arrangements,
            clock: Clock::starting_at(start),
            tables,
            rows,
            ticks,
            ticked,
            probe: Probe::new(),
            hold_back: Rc::default(),
        }
    }

    fn views(self, hydrate: &[bool]) -> Rendered {
        let mut queries = Queries {
            scope: self.scope,
            plan: self.plan,
            arrangements: self.arrangements,
            rows: &self.rows,
            ticks: self.ticked.clone(),
            shared: SharedInputs::new(self.plan, self.arrangements),
            clock: self.clock,
            memory: Memory::default(),
            probe: self.probe.clone(),
            rendered: Vec::new(),
            held: Vec::new(),
        };
        demands(self.plan, self.arrangements).into_iter().for_each(|demand| queries.input(demand));
        let mut documents = Vec::new();
        for ((view, reads), &hydrate) in self.arrangements.by_view(self.plan).zip(hydrate) {
            let changes = ViewChanges::default();
            let output = ViewOutput { changes: changes.clone(), clock: self.clock, hydrate };
            match reads {
                ViewReads::Document(document, indexes) => self.document(view, document, indexes, &queries, output),
                ViewReads::Query(query, _) => queries.view(view, query, output),
            }
            documents.push(changes);
        }
        let memory = queries.memory.clone();
        let names = self.plan.names_of(self.arrangements);
        queries.shared.traces().for_each(|(index, trace)| memory.add_arrangement(&names[index], trace));
        for (side, arranged) in &queries.held {
            memory.add_arrangement(&self.plan.name_of(&side.node, &side.key), arranged.trace.clone());
        }
        let failures = queries.shared.all_errors();
        let (clock, hold_back) = (self.clock, self.hold_back);
        let inputs = Inputs { tables: self.tables, ticks: self.ticks, clock, now: START };
        Rendered { inputs, outputs: Outputs { documents, failures, clock, probe: self.probe, memory, hold_back } }
    }

    fn document(&self, view: &View, document: &Document, indexes: &DocumentArrangements, queries: &Queries<'s, '_>, output: ViewOutput) {
        let (sources, memory) = (&queries.shared, &queries.memory);
        let assembled = Probe::new();
        let mut touched = vec![sources.touched(&document.root.rows, &view.key)];
        for (lookup, indexes) in document.lookups.iter().zip(&indexes.lookups) {
            touched.push(climb_to(memory, &view.name, lookup, indexes, sources, self.scope));
        }
        let touched = self.scope.concatenate(touched);
        let roots = sources.arranged(indexes.root);
        let relations = relations(Layout::new(document.root.schema()), &document.lookups);
        let hydrate_at = output.hydrate.then_some(START);
        let (roots, requests) = touch(
            memory,
            &format!("Touch {}", view.name),
            touched,
            roots,
            relations,
            hydrate_at,
            Brake { assembled: assembled.clone(), hold_back: self.hold_back.clone() },
        );
        let mut pieces = Vec::new();
        let mut node = 1;
        for ((lookup, indexes), requests) in document.lookups.iter().zip(&indexes.lookups).zip(requests) {
            fetch_all(memory, &mut pieces, &mut node, lookup, indexes, requests, sources);
        }
        let pieces: Stream<'s, Moment, Vec<Piece>> = self.scope.concatenate(pieces);
        let assembler = DocumentAssembler::new(document, &view.schema);
        assemble(memory, &format!("Assemble {}", view.name), roots, pieces, assembler, output)
            .probe_with(&assembled)
            .probe_with(&self.probe);
    }
}

/// The keys by which the lookup's parent is reached, for every change at this lookup or below it.
fn climb_to<'s>(
    memory: &Memory,
    view: &str,
    lookup: &Lookup,
    indexes: &LookupArrangements,
    sources: &SharedInputs<'s, '_>,
    scope: Scope<'s, Moment>,
) -> KeyStream<'s> {
    let mut keys = vec![sources.touched(&lookup.input.rows, &lookup.child_columns)];
    for (child, indexes) in lookup.children.iter().zip(&indexes.children) {
        keys.push(climb_to(memory, view, child, indexes, sources, scope));
    }
    let keys = scope.concatenate(keys);
    match indexes.up {
        Up::Same => keys,
        Up::Index(index) => climb(memory, &format!("Climb {view} {}", lookup.path), keys, sources.arranged(index)),
    }
}

fn fetch_all<'s>(
    memory: &Memory,
    pieces: &mut Vec<Stream<'s, Moment, Vec<Piece>>>,
    node: &mut u32,
    lookup: &Lookup,
    indexes: &LookupArrangements,
    requests: Requests<'s>,
    sources: &SharedInputs<'s, '_>,
) {
    let relations = relations(Layout::new(lookup.input.schema()), &lookup.children);
    let rows = sources.arranged(indexes.rows);
    let (found, asks) = fetch(memory, &format!("Fetch {}", lookup.path), *node, requests, rows, relations);
    pieces.push(found);
    *node += 1;
    for ((child, indexes), requests) in lookup.children.iter().zip(&indexes.children).zip(asks) {
        fetch_all(memory, pieces, node, child, indexes, requests, sources);
    }
}

fn relations(layout: Layout, lookups: &[Lookup]) -> Relations {
    Relations { layout, columns: lookups.iter().map(|l| l.parent_columns.clone()).collect() }
}
