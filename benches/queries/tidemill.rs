//! Tidemill up to the rows of the view: file source, plan, dataflow; driven as the engine drives it, without its store.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use tidemill::dataflow::{Inputs, Outcome, Outputs, Rendered, render};
use tidemill::plan::Plan;
use tidemill::value::{Datum, Layout, ROW_OFFSET, Row, RowBuilder, Tick};
use timely::worker::Worker;

use crate::measured::{Measured, Shape, add_up};
use crate::opened::{Batch, Opened};
use crate::process::{Begin, cpu_seconds, peak_bytes, resident_bytes};
use crate::work::{BATCH, BATCHES, PRICES, Work, priced};

/// How long a worker without input lets others' messages wait.
const IDLE: Duration = Duration::from_micros(200);

pub(crate) fn run(work: Work, workers: usize, folder: &Path) -> Measured {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let begin = Begin::now();
    let opened = runtime.block_on(Opened::of(&work.write_spec(folder).expect("the disk takes the spec")));
    let (batches, reading) = opened.feed(&runtime, workers);
    let (opened, handle) = (Arc::new(opened), runtime.handle().clone());
    let parts = timely::execute(timely::Config::process(workers), move |worker| {
        let batches = batches[worker.index()].lock().ok().and_then(|mut b| b.take()).expect("one worker, one feed");
        let mut bench = Bench::new(worker, work, &opened.plan);
        let mut measured = bench.hydrate(worker, &batches, begin);
        let (table, count) = match work {
            Work::Average | Work::Latest => ("readings", BATCHES * BATCH),
            Work::Revenue => ("order_items", usize::MAX),
        };
        let mut rows = match worker.index() {
            0 => handle.block_on(opened.rows_of(table, count)),
            _ => Vec::new(),
        };
        if work == Work::Latest {
            bench.arrive_again(table, &mut rows);
        }
        bench.change(worker, table, &rows, &mut measured);
        measured
    });
    let mut measured = add_up(parts.expect("the workers start").join());
    measured.rows = reading.join().expect("the source ends well");
    measured
}

struct Bench<'p> {
    work: Work,
    plan: &'p Plan,
    inputs: Inputs,
    outputs: Outputs,
    tick: Tick,
    layout: Layout,
    /// What the view holds of each key, as it is counted.
    shapes: HashMap<Row, Shape>,
}

impl<'p> Bench<'p> {
    fn new(worker: &mut Worker, work: Work, plan: &'p Plan) -> Bench<'p> {
        let Rendered { mut inputs, outputs } = render(worker, plan, &plan.arrangements(), Tick(1), &[true]);
        inputs.advance_to(Tick(1));
        let layout = Layout::new(&plan.views[0].schema);
        Bench { work, plan, inputs, outputs, tick: Tick(1), layout, shapes: HashMap::new() }
    }

    fn hydrate(&mut self, worker: &mut Worker, batches: &Receiver<Batch>, begin: Begin) -> Measured {
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
        }
        self.finish(worker);
        self.count();
        Measured {
            seconds: begin.seconds(),
            cpu_seconds: cpu_seconds(),
            held_bytes: begin.grown(),
            peak_bytes: peak_bytes(),
            hydrated: self.shape(),
            ..Measured::default()
        }
    }

    /// Ends the tick and waits until it is complete, at every worker.
    fn finish(&mut self, worker: &mut Worker) {
        let tick = self.tick;
        self.tick = tick.next();
        self.inputs.advance_to(self.tick);
        while !self.outputs.is_complete(tick) {
            worker.step();
        }
    }

    /// Takes what came out.
    fn count(&mut self) {
        for change in self.outputs.take_rows(0) {
            match change.outcome {
                Outcome::Row(row) => self.shapes.insert(change.key, shape_of(self.work, &self.layout, &row)),
                Outcome::Gone => self.shapes.remove(&change.key),
                Outcome::Failed(reason) => panic!("{reason}"),
            };
        }
    }

    /// Gives the rows of a stream places behind all that have arrived.
    fn arrive_again(&self, table: &str, rows: &mut [Row]) {
        let schema = &self.plan.tables.iter().find(|t| t.name == table).expect("a table of the view").schema;
        let (mut builder, offset) = (RowBuilder::new(&Layout::new(schema)), schema.index_of(ROW_OFFSET).expect("a stream has it"));
        for (n, row) in rows.iter_mut().enumerate() {
            *row = with(&mut builder, row, offset, |_| Datum::Int((1 << 50) + n as i64));
        }
    }

    fn shape(&self) -> Shape {
        let mut all = Shape::default();
        self.shapes.values().for_each(|shape| all += *shape);
        all
    }

    /// Batches of readings, or single price updates; workers without rows only take part.
    fn change(&mut self, worker: &mut Worker, table: &str, rows: &[Row], measured: &mut Measured) {
        let table = self.plan.tables.iter().position(|t| t.name == table).expect("a table of the view");
        let mut builder = RowBuilder::new(&Layout::new(&self.plan.tables[table].schema));
        let price = self.plan.tables[table].schema.index_of("price");
        let (count, each) = if price.is_some() { (PRICES, 1) } else { (BATCHES, BATCH) };
        let mut took = Vec::new();
        for n in 0..count {
            let start = Instant::now();
            match price {
                _ if rows.is_empty() => {}
                Some(price) => {
                    let old = &rows[priced(n, rows.len())];
                    let new = dearer(&mut builder, old, price);
                    self.inputs.send(table, [(old, -1), (&new, 1)]);
                }
                None => self.inputs.send(table, rows[n * BATCH % rows.len()..].iter().take(BATCH).map(|row| (row, 1))),
            }
            self.finish(worker);
            took.push(start.elapsed());
            self.count();
        }
        measured.took(took, each);
        measured.changed = self.shape();
        measured.end_bytes = resident_bytes();
    }
}

/// The row with another value in one column.
fn with(builder: &mut RowBuilder, row: &Row, changed: usize, change: impl Fn(Datum) -> Datum<'static>) -> Row {
    let layout = builder.layout().clone();
    for column in 0..layout.schema().len() {
        let datum = layout.get(row, column);
        builder.push(if column == changed { change(datum) } else { datum });
    }
    builder.finish()
}

/// The item at a price of one more.
fn dearer(builder: &mut RowBuilder, row: &Row, price: usize) -> Row {
    with(builder, row, price, |datum| match datum {
        Datum::Decimal(cents) => Datum::Decimal(cents + 100),
        other => panic!("an amount is a decimal, not {other:?}"),
    })
}

fn shape_of(work: Work, layout: &Layout, row: &[u8]) -> Shape {
    let whole = |name: &str| match layout.get(row, layout.schema().index_of(name).expect("a column of the view")) {
        Datum::Int(value) => value,
        Datum::Decimal(value) => value as i64,
        other => panic!("a number, not {other:?}"),
    };
    let (count, sum) = match work {
        Work::Average => (whole("n"), whole("total")),
        Work::Latest => (0, whole("last")),
        Work::Revenue => (whole("items"), whole("revenue")),
    };
    Shape { rows: 1, count, sum }
}
