//! Hydration, then orders one by one, then the same by recomputation.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tidemill::dataflow::{Inputs, Outcome, Outputs, Rendered, render};
use tidemill::plan::Plan;
use tidemill::value::{Layout, Row, Tick};
use timely::worker::Worker;

use crate::measured::{Latency, Measured};
use crate::process::Begin;
use crate::rows::Data;
use crate::support::case::CHANGES;
use crate::support::engine::{Prepared, prepare};
use crate::support::recording::text;
use crate::tpch::data::{query, spec, with_more_digits};
use crate::tpch::right::{Rows, Tables};

/// Rows that are sent before the worker works on.
const BATCH: usize = 1024;
const RECOMPUTED: usize = 3;

pub(crate) fn measure(scale: f64, queries: &[usize], workers: usize, later: usize) -> Measured {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("spec.yaml"), spec(queries, &[], CHANGES)).expect("the disk takes the spec");
    std::fs::write(folder.path().join(CHANGES), "").expect("the disk takes an empty file");
    let prepared = runtime.block_on(prepare(&folder.path().join("spec.yaml"))).expect("the spec is right");
    let data = Arc::new(Data::new(scale, &prepared.tables, later));
    let plan = Arc::new(prepared.plan.clone());
    let of_workers = {
        let data = Arc::clone(&data);
        timely::execute(timely::Config::process(workers), move |worker| Maintained::new(worker, &plan).run(worker, &data))
    };
    let parts: Vec<(Measured, Vec<Rows>)> =
        of_workers.expect("the workers start").join().into_iter().map(|part| part.expect("it ends well")).collect();
    let mut views = vec![Rows::new(); queries.len()];
    let mut measured = Measured::default();
    for (index, (part, rows)) in parts.into_iter().enumerate() {
        for (all, rows) in views.iter_mut().zip(rows) {
            rows.into_iter().for_each(|(row, count)| *all.entry(row).or_default() += count);
        }
        let told = measured.told_bytes + part.told_bytes;
        measured = Measured { told_bytes: told, ..if index == 0 { part } else { measured } };
    }
    measured.rows = data.rows.iter().map(|rows| rows.len() as u64).sum();
    measured.recompute_seconds = runtime.block_on(recompute(&prepared, queries, &data, &views));
    measured
}

/// How long DataFusion takes for the queries, whose answers the views must be.
async fn recompute(prepared: &Prepared, queries: &[usize], data: &Data, views: &[Rows]) -> f64 {
    let mut tables = Tables::new("tpch", prepared.tables.iter().map(|t| (t.name.as_str(), &t.schema)));
    for (at, table) in prepared.tables.iter().enumerate() {
        let later = data.orders.iter().flatten().filter(|(of, _)| *of == at).map(|(_, row)| row);
        let rows: Vec<Row> = data.rows[at].iter().chain(later).cloned().collect();
        for part in rows.chunks(1 << 16) {
            tables.insert_packed(&table.name, part.to_vec());
        }
    }
    let mut seconds = 0.0;
    for (n, rows) in queries.iter().zip(views) {
        let view = prepared.plan.views.iter().find(|v| v.name == crate::tpch::data::view(*n)).expect("a view of the spec");
        let mut took = Vec::new();
        for _ in 0..RECOMPUTED {
            let start = Instant::now();
            tables.answer(query(*n), view.schema.clone()).await;
            took.push(start.elapsed());
        }
        let right = tables.answer(with_more_digits(query(*n)), view.schema.clone()).await;
        right.check(rows).unwrap_or_else(|wrong| panic!("Q{n}: {wrong}"));
        took.sort();
        seconds += took[RECOMPUTED / 2].as_secs_f64();
    }
    seconds
}

struct Maintained<'p> {
    plan: &'p Plan,
    inputs: Inputs,
    outputs: Outputs,
    tick: Tick,
    /// What each view holds, by key.
    views: Vec<HashMap<Row, Row>>,
}

impl<'p> Maintained<'p> {
    fn new(worker: &mut Worker, plan: &'p Plan) -> Maintained<'p> {
        let hydrate = vec![true; plan.views.len()];
        let Rendered { mut inputs, outputs } = render(worker, plan, &plan.arrangements(), Tick(1), &hydrate);
        inputs.advance_to(Tick(1));
        Maintained { plan, inputs, outputs, tick: Tick(1), views: vec![HashMap::new(); plan.views.len()] }
    }

    fn run(mut self, worker: &mut Worker, data: &Data) -> (Measured, Vec<Rows>) {
        let begin = Begin::now();
        let (index, peers) = (worker.index(), worker.peers());
        for (table, rows) in data.rows.iter().enumerate() {
            for batch in rows.chunks(BATCH).skip(index).step_by(peers) {
                self.inputs.send(table, batch.iter().map(|row| (row, 1)));
                self.inputs.flush();
                worker.step();
            }
        }
        self.finish(worker);
        let hydrate_seconds = begin.seconds();
        tidemill_allocator::return_freed();
        let held_bytes = begin.grown();
        let told: usize = self.outputs.held_bytes().iter().map(|held| held.bytes).sum();
        let told_bytes = (told + self.views.iter().map(bytes_of).sum::<usize>()) as u64;
        let took: Vec<Duration> = data.orders.iter().map(|order| self.order(worker, order)).collect();
        let order = data.orders.iter().any(|order| !order.is_empty()).then(|| Latency::of(took));
        let measured = Measured { hydrate_seconds, held_bytes, told_bytes, order, ..Measured::default() };
        let rows = |(view, rows): (&tidemill::plan::View, HashMap<Row, Row>)| {
            let layout = Layout::new(&view.schema);
            let mut out = Rows::new();
            rows.values().for_each(|row| *out.entry(text(&layout, row)).or_default() += 1);
            out
        };
        (measured, self.plan.views.iter().zip(self.views).map(rows).collect())
    }

    /// A transaction of one order with its lines; how long it takes until all views have it.
    fn order(&mut self, worker: &mut Worker, order: &[(usize, Row)]) -> Duration {
        let start = Instant::now();
        if worker.index() == 0 {
            order.iter().for_each(|(table, row)| self.inputs.send(*table, [(row, 1)]));
        }
        self.finish(worker);
        start.elapsed()
    }

    /// Ends the tick and waits until it is complete, at every worker.
    fn finish(&mut self, worker: &mut Worker) {
        let tick = self.tick;
        self.tick = tick.next();
        self.inputs.advance_to(self.tick);
        while !self.outputs.is_complete(tick) {
            worker.step();
        }
        for (index, view) in self.views.iter_mut().enumerate() {
            for change in self.outputs.take_rows(index) {
                match change.outcome {
                    Outcome::Row(row) => view.insert(change.key, row),
                    Outcome::Gone => view.remove(&change.key),
                    Outcome::Failed(reason) => panic!("{reason}"),
                };
            }
        }
    }
}

/// The heap memory of a view's rows: glibc's blocks have a header, and their sizes are multiples of sixteen.
fn bytes_of(view: &HashMap<Row, Row>) -> usize {
    let block = |bytes: usize| (bytes + 8).next_multiple_of(16).max(32);
    let buckets = (view.capacity() * 8 / 7).next_power_of_two();
    buckets * (size_of::<(Row, Row)>() + 1) + view.iter().map(|(key, row)| block(key.len()) + block(row.len())).sum::<usize>()
}
