//! The views as differential programs written by hand: Rust structs, accumulated differences, one collection per table.

use std::cell::Cell;
use std::collections::HashMap;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use differential_dataflow::input::{Input, InputSession};
use differential_dataflow::operators::CountTotal;
use differential_dataflow::operators::arrange::upsert::arrange_from_upsert;
use differential_dataflow::trace::implementations::{ValBuilder, ValSpine};
use timely::container::CapacityContainerBuilder;
use timely::dataflow::InputHandle;
use timely::dataflow::operators::Input as _;
use timely::dataflow::operators::probe::Handle as Probe;
use timely::worker::Worker;

use crate::measured::{Measured, Shape, add_up};
use crate::process::{Begin, cpu_seconds, peak_bytes, resident_bytes};
use crate::readings::{Reading, Readings};
use crate::tables::Tables;
use crate::work::{BATCH, BATCHES, PRICES, READINGS, Work, priced};

/// Readings that are taken in at a time.
const CHUNK: usize = 100_000;

pub(crate) fn run(work: Work, workers: usize, folder: &Path) -> Measured {
    let begin = Begin::now();
    let config = timely::Config::process(workers);
    let file = folder.join(READINGS);
    let parts = match work {
        Work::Average => timely::execute(config, move |worker| average(worker, &file, begin)).expect("the workers start").join(),
        Work::Latest => timely::execute(config, move |worker| latest(worker, &file, begin)).expect("the workers start").join(),
        Work::Revenue => {
            let tables = Arc::new(Tables::read(folder));
            timely::execute(config, move |worker| revenue(worker, &tables, begin)).expect("the workers start").join()
        }
    };
    add_up(parts)
}

type Seen = Rc<Cell<Shape>>;

fn see(seen: &Seen, diff: isize, count: isize, sum: isize) {
    let mut shape = seen.get();
    shape += Shape { rows: diff as i64, count: (diff * count) as i64, sum: (diff * sum) as i64 };
    seen.set(shape);
}

fn hydrated(begin: Begin, rows: u64, seen: &Seen) -> Measured {
    Measured {
        seconds: begin.seconds(),
        cpu_seconds: cpu_seconds(),
        held_bytes: begin.grown(),
        peak_bytes: peak_bytes(),
        rows,
        hydrated: seen.get(),
        ..Measured::default()
    }
}

fn average(worker: &mut Worker, file: &Path, begin: Begin) -> Measured {
    let seen = Seen::default();
    let told = seen.clone();
    let (mut input, probe) = worker.dataflow::<u64, _, _>(|scope| {
        let (input, readings) = scope.new_collection::<(String, isize), isize>();
        let totals = readings.explode(|(sensor, value)| Some((sensor, (value, 1isize)))).count_total();
        let averages = totals.map(|(sensor, (sum, n))| (sensor, (sum as f64 / n as f64).to_bits(), sum, n));
        let (probe, _) = averages.inspect(move |((_, _, sum, n), _, diff)| see(&told, *diff, *n, *sum)).probe();
        (input, probe)
    });
    let (part, parts) = (worker.index(), worker.peers());
    let mut readings = Readings::open(file, part, parts);
    let (mut now, mut rows) = (0, 0);
    loop {
        let chunk = readings.chunk(CHUNK / parts);
        rows += chunk.len() as u64;
        let end = chunk.is_empty();
        chunk.into_iter().for_each(|(_, sensor, value)| input.insert((sensor, value as isize)));
        now += 1;
        to(&mut input, now, &probe, worker);
        if end {
            break;
        }
    }
    // The others have as many chunks, or nearly: all of them must have ended.
    now = 1_000_000;
    to(&mut input, now, &probe, worker);
    let mut measured = hydrated(begin, rows * parts as u64, &seen);
    let mut again = again(file, part);
    now += 1;
    to(&mut input, now, &probe, worker);
    let mut took = Vec::new();
    for _ in 0..BATCHES {
        let start = Instant::now();
        again.by_ref().take(BATCH).for_each(|(_, sensor, value)| input.insert((sensor, value as isize)));
        now += 1;
        to(&mut input, now, &probe, worker);
        took.push(start.elapsed());
    }
    end(&mut measured, took, BATCH, &seen);
    measured
}

fn to(input: &mut InputSession<u64, (String, isize), isize>, now: u64, probe: &Probe<u64>, worker: &mut Worker) {
    input.advance_to(now);
    input.flush();
    while probe.less_than(&now) {
        worker.step();
    }
}

/// Readings to take in once more: all at the first worker.
fn again(file: &Path, part: usize) -> std::vec::IntoIter<Reading> {
    match part {
        0 => Readings::open(file, 0, 1).chunk(BATCHES * BATCH).into_iter(),
        _ => Vec::new().into_iter(),
    }
}

fn end(measured: &mut Measured, took: Vec<std::time::Duration>, each: usize, seen: &Seen) {
    measured.took(took, each);
    measured.changed = seen.get();
    measured.end_bytes = resident_bytes();
}

type Upserts = InputHandle<u64, CapacityContainerBuilder<Vec<(String, Option<isize>, u64)>>>;

/// Reads at one worker, so that the order of the file is the order of arrival.
fn latest(worker: &mut Worker, file: &Path, begin: Begin) -> Measured {
    let seen = Seen::default();
    let told = seen.clone();
    let (mut input, probe) = worker.dataflow::<u64, _, _>(|scope| {
        let mut input = Upserts::new_with_builder();
        let upserts = scope.input_from(&mut input);
        let last =
            arrange_from_upsert::<ValBuilder<String, isize, u64, isize>, ValSpine<String, isize, u64, isize>, _, _>(upserts, "latest");
        let last = last.as_collection(|sensor, value| (sensor.clone(), *value));
        let (probe, _) = last.inspect(move |((_, value), _, diff)| see(&told, *diff, 0, *value)).probe();
        (input, probe)
    });
    let first = worker.index() == 0;
    let mut readings = Readings::open(file, 0, 1);
    let (mut now, mut rows) = (0, 0);
    loop {
        let chunk = if first { readings.chunk(CHUNK) } else { Vec::new() };
        if chunk.is_empty() {
            break;
        }
        rows += chunk.len() as u64;
        upsert(&mut input, chunk.into_iter(), &mut now, &probe, worker);
    }
    now = 1_000_000;
    advance(&mut input, now, &probe, worker);
    let mut measured = hydrated(begin, rows, &seen);
    let mut again = again(file, worker.index());
    let mut took = Vec::new();
    for _ in 0..BATCHES {
        let start = Instant::now();
        upsert(&mut input, again.by_ref().take(BATCH), &mut now, &probe, worker);
        took.push(start.elapsed());
    }
    end(&mut measured, took, BATCH, &seen);
    measured
}

fn upsert(input: &mut Upserts, readings: impl Iterator<Item = Reading>, now: &mut u64, probe: &Probe<u64>, worker: &mut Worker) {
    let last: HashMap<String, isize> = readings.map(|(_, sensor, value)| (sensor, value as isize)).collect();
    last.into_iter().for_each(|(sensor, value)| input.send((sensor, Some(value), *now)));
    *now += 1;
    advance(input, *now, probe, worker);
}

fn advance(input: &mut Upserts, now: u64, probe: &Probe<u64>, worker: &mut Worker) {
    input.advance_to(now);
    input.flush();
    while probe.less_than(&now) {
        worker.step();
    }
}

struct Sessions {
    /// By customer.
    orders: InputSession<u64, (String, String), isize>,
    /// By product.
    items: InputSession<u64, (String, (String, i64)), isize>,
    customers: InputSession<u64, (String, String), isize>,
    products: InputSession<u64, (String, String), isize>,
}

impl Sessions {
    fn to(&mut self, now: u64, probe: &Probe<u64>, worker: &mut Worker) {
        for input in [&mut self.orders, &mut self.customers, &mut self.products] {
            input.advance_to(now);
            input.flush();
        }
        self.items.advance_to(now);
        self.items.flush();
        while probe.less_than(&now) {
            worker.step();
        }
    }
}

fn revenue(worker: &mut Worker, tables: &Tables, begin: Begin) -> Measured {
    let seen = Seen::default();
    let (mut sessions, probe) = render_revenue(worker, seen.clone());
    let mine = |n: &usize| n % worker.peers() == worker.index();
    (0..tables.orders.len()).filter(mine).for_each(|n| sessions.orders.insert(tables.orders[n].clone()));
    (0..tables.customers.len()).filter(mine).for_each(|n| sessions.customers.insert(tables.customers[n].clone()));
    (0..tables.products.len()).filter(mine).for_each(|n| sessions.products.insert(tables.products[n].clone()));
    let item = |n: usize, more: i64| {
        let (product, order, price) = &tables.items[n];
        (product.clone(), (order.clone(), price + more))
    };
    (0..tables.items.len()).filter(mine).for_each(|n| sessions.items.insert(item(n, 0)));
    let mut now = 1;
    sessions.to(now, &probe, worker);
    let mut measured = hydrated(begin, tables.rows(), &seen);
    let mut took = Vec::new();
    for n in 0..PRICES {
        let start = Instant::now();
        if worker.index() == 0 {
            let n = priced(n, tables.items.len());
            sessions.items.remove(item(n, 0));
            sessions.items.insert(item(n, 100));
        }
        now += 1;
        sessions.to(now, &probe, worker);
        took.push(start.elapsed());
    }
    end(&mut measured, took, 1, &seen);
    measured
}

fn render_revenue(worker: &mut Worker, seen: Seen) -> (Sessions, Probe<u64>) {
    worker.dataflow::<u64, _, _>(|scope| {
        let (orders, order) = scope.new_collection::<(String, String), isize>();
        let (customers, customer) = scope.new_collection::<(String, String), isize>();
        let (items, item) = scope.new_collection::<(String, (String, i64)), isize>();
        let (products, product) = scope.new_collection::<(String, String), isize>();
        let states = order.join_map(customer, |_, order, state| (order.clone(), state.clone()));
        let sold = item.join_map(product, |_, (order, price), category| (order.clone(), (category.clone(), *price)));
        let totals = sold
            .join_map(states, |_, (category, price), state| ((category.clone(), state.clone()), *price))
            .explode(|(group, price)| Some((group, (price as isize, 1isize))))
            .count_total();
        let (probe, _) = totals.inspect(move |((_, (sum, n)), _, diff)| see(&seen, *diff, *n, *sum)).probe();
        (Sessions { orders, items, customers, products }, probe)
    })
}
