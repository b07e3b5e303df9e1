//! Tidemill up to the finished documents: file source, plan of the reference view, dataflow; driven as the engine drives it, without
//! its store.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use tidemill::dataflow::{Inputs, Outcome, Outputs, Rendered, RowChange, render};
use tidemill::plan::Plan;
use tidemill::value::{Datum, Layout, Row, RowBuilder, Tick, list_items};
use timely::worker::Worker;

use crate::measure::{Measured, Shape, Updates, add_up};
use crate::opened::{Batch, Opened};
use crate::process::{Begin, cpu_seconds, peak_bytes};
use crate::updates;

/// How long a worker without input lets others' messages wait.
const IDLE: Duration = Duration::from_micros(200);

pub(crate) fn run(spec: &std::path::Path, workers: usize) -> Measured {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let begin = Begin::now();
    let opened = runtime.block_on(Opened::of(spec));
    let (batches, reading) = opened.feed(&runtime, workers);
    let (opened, handle) = (Arc::new(opened), runtime.handle().clone());
    let parts = timely::execute(timely::Config::process(workers), move |worker| {
        let batches = batches[worker.index()].lock().ok().and_then(|mut b| b.take()).expect("one worker, one feed");
        let mut bench = Bench::new(worker, &opened.plan);
        let mut measured = bench.hydrate(worker, &batches, begin);
        let rows = |table: &str| match worker.index() {
            0 => handle.block_on(opened.rows_of(table, usize::MAX)),
            _ => Vec::new(),
        };
        let (customers, sellers) = (rows("customers"), rows("sellers"));
        measured.customer = Some(bench.series(worker, "customers", 3, &customers, updates::CUSTOMERS, updates::customer));
        measured.seller = Some(bench.series(worker, "sellers", 2, &sellers, updates::SELLERS, updates::seller));
        measured
    });
    let mut measured = add_up(parts.expect("the workers start").join());
    measured.rows = reading.join().expect("the source ends well");
    measured
}

struct Bench<'p> {
    plan: &'p Plan,
    inputs: Inputs,
    outputs: Outputs,
    counter: Counter,
    tick: Tick,
}

impl<'p> Bench<'p> {
    fn new(worker: &mut Worker, plan: &'p Plan) -> Bench<'p> {
        let Rendered { mut inputs, outputs } = render(worker, plan, &plan.arrangements(), Tick(1), &[true]);
        inputs.advance_to(Tick(1));
        Bench { plan, inputs, outputs, counter: Counter::new(&plan.views[0].schema), tick: Tick(1) }
    }

    fn hydrate(&mut self, worker: &mut Worker, batches: &Receiver<Batch>, begin: Begin) -> Measured {
        let mut shape = Shape::default();
        loop {
            match batches.recv_timeout(IDLE) {
                Ok((table, rows)) => {
                    self.inputs.send(table, rows.iter().map(|row| (row, 1)));
                    self.inputs.flush();
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            worker.step();
            shape += self.count();
        }
        let read_seconds = begin.seconds();
        self.finish(worker, |bench| shape += bench.count());
        Measured {
            seconds: begin.seconds(),
            read_seconds,
            shape,
            own_bytes: Some(self.outputs.held_bytes().iter().map(|held| held.bytes as u64).sum()),
            held_bytes: begin.grown(),
            peak_bytes: peak_bytes(),
            cpu_seconds: cpu_seconds(),
            ..Measured::default()
        }
    }

    /// Ends the tick and waits until its documents are out, at every worker.
    fn finish(&mut self, worker: &mut Worker, mut out: impl FnMut(&mut Self)) {
        let tick = self.tick;
        self.tick = tick.next();
        self.inputs.advance_to(self.tick);
        while !self.outputs.is_complete(tick) {
            worker.step();
            out(self);
        }
        out(self);
    }

    fn count(&mut self) -> Shape {
        self.counter.count(&self.outputs.take_rows(0))
    }

    /// Single updates of a text column, each followed to its documents. Workers without rows only take part.
    fn series(
        &mut self,
        worker: &mut Worker,
        table: &str,
        column: usize,
        rows: &[Row],
        count: usize,
        pick: fn(usize, usize) -> usize,
    ) -> Updates {
        let table = self.plan.tables.iter().position(|t| t.name == table).expect("a table of the view");
        let mut builder = RowBuilder::new(&Layout::new(&self.plan.tables[table].schema));
        let mut took = Vec::with_capacity(count);
        let mut documents = 0;
        for n in 0..count {
            let start = Instant::now();
            if !rows.is_empty() {
                let old = &rows[pick(n, rows.len())];
                let new = with_moved(&mut builder, old, column);
                self.inputs.send(table, [(old.clone(), -1), (new, 1)]);
            }
            self.finish(worker, |bench| documents += bench.count().documents);
            took.push(start.elapsed());
        }
        Updates::of(took, documents)
    }
}

/// The row with its city moved.
fn with_moved(builder: &mut RowBuilder, row: &Row, city: usize) -> Row {
    let layout = builder.layout().clone();
    for column in 0..layout.schema().len() {
        match layout.get(row, column) {
            Datum::Text(text) if column == city => builder.push(Datum::Text(&updates::moved(text))),
            datum => builder.push(datum),
        }
    }
    builder.finish()
}

/// Looks into each document as far as it takes to compare it with the other variants'.
struct Counter {
    document: Layout,
    items: usize,
    price: usize,
    payments: usize,
    value: usize,
}

impl Counter {
    fn new(schema: &tidemill::value::Schema) -> Counter {
        let document = Layout::new(schema);
        let place = |layout: &Layout, name: &str| layout.schema().index_of(name).expect("a column of the view");
        let (items, payments) = (place(&document, "order_items"), place(&document, "order_payments"));
        let within = |list: usize, name: &str| place(document.nested(list).expect("a list"), name);
        let (price, value) = (within(items, "price"), within(payments, "payment_value"));
        Counter { document, items, price, payments, value }
    }

    fn count(&self, changes: &[RowChange]) -> Shape {
        let mut shape = Shape::default();
        for change in changes {
            let Outcome::Row(row) = &change.outcome else { panic!("every order has a document") };
            let (items, price) = self.sum(row, self.items, self.price);
            let (_, paid) = self.sum(row, self.payments, self.value);
            shape += Shape { documents: 1, items, cents: price + paid };
        }
        shape
    }

    /// How many are in a list, and the sum of an amount of theirs.
    fn sum(&self, row: &[u8], list: usize, amount: usize) -> (u64, i64) {
        let layout = self.document.nested(list).expect("a list");
        let Datum::List(packed) = self.document.get(row, list) else { panic!("a list is never NULL") };
        let items = list_items(packed);
        let cents = items.clone().map(|item| match layout.get(item, amount) {
            Datum::Decimal(cents) => cents as i64,
            other => panic!("an amount is a decimal, not {other:?}"),
        });
        (items.len() as u64, cents.sum())
    }
}
