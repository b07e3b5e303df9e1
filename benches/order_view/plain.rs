//! The order documents as a differential program written by hand: Rust structs, nested left joins, one collection per table.

use std::cell::Cell;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use differential_dataflow::input::{Input, InputSession};
use differential_dataflow::{ExchangeData, VecCollection};
use timely::dataflow::operators::probe::Handle as Probe;
use timely::worker::Worker;

use crate::measure::{Measured, Shape, Updates, add_up};
use crate::process::{Begin, cpu_seconds, peak_bytes};
use crate::tables::{Keyed, Tables};
use crate::updates;

type Collection<'s, D> = VecCollection<'s, u64, D, isize>;
type Session<D> = InputSession<u64, D, isize>;

/// Order, number, seller, time to ship, price, freight.
type Item = (String, u32, String, String, i64, i64);
/// Number, kind, installments, value.
type Payment = (u32, String, u32, i64);

trait Data: ExchangeData + std::hash::Hash {}
impl<T: ExchangeData + std::hash::Hash> Data for T {}

pub(crate) fn run(folder: &Path, workers: usize) -> Measured {
    let begin = Begin::now();
    let tables = Arc::new(Tables::read(folder));
    let read = Read { seconds: begin.seconds(), bytes: begin.grown() };
    let config = timely::Config::process(workers);
    let parts = timely::execute(config, move |worker| work(worker, &tables, begin, &read)).expect("the workers start");
    add_up(parts.join())
}

/// The parsed input, which stays for the updates.
struct Read {
    seconds: f64,
    bytes: u64,
}

fn work(worker: &mut Worker, tables: &Tables, begin: Begin, read: &Read) -> Measured {
    let seen = Seen::default();
    let (mut sessions, probe) = render(worker, seen.clone());
    sessions.fill(tables, worker.index(), worker.peers());
    let mut tick = 1;
    sessions.finish(tick, &probe, worker);
    let mut measured = Measured {
        seconds: begin.seconds(),
        read_seconds: read.seconds,
        rows: tables.rows(),
        held_bytes: begin.grown().saturating_sub(read.bytes),
        peak_bytes: peak_bytes(),
        cpu_seconds: cpu_seconds(),
        shape: seen.shape.get(),
        ..Measured::default()
    };
    let first = worker.index() == 0;
    let customers = &tables.customers;
    let customer = series(updates::CUSTOMERS, worker, &mut sessions, &probe, &mut tick, &seen, |n, sessions| {
        let row = &customers[updates::customer(n, customers.len())];
        if first {
            replace(&mut sessions.customers, row, 2);
        }
    });
    let sellers = &tables.sellers;
    let seller = series(updates::SELLERS, worker, &mut sessions, &probe, &mut tick, &seen, |n, sessions| {
        let row = &sellers[updates::seller(n, sellers.len())];
        if first {
            replace(&mut sessions.sellers, row, 1);
        }
    });
    measured.customer = Some(customer);
    measured.seller = Some(seller);
    assert_eq!(seen.shape.get(), measured.shape, "updates of cities change no counts and no sums");
    measured
}

/// What has come out so far.
#[derive(Clone, Default)]
struct Seen {
    shape: Rc<Cell<Shape>>,
    /// Documents that came.
    documents: Rc<Cell<u64>>,
}

struct Sessions {
    /// By customer: the order and the rest of it.
    orders: Session<(String, (String, [String; 6]))>,
    customers: Session<(String, [String; 4])>,
    /// By order.
    payments: Session<(String, Payment)>,
    /// By product.
    items: Session<(String, Item)>,
    products: Session<(String, [String; 8])>,
    sellers: Session<(String, [String; 3])>,
}

fn render(worker: &mut Worker, seen: Seen) -> (Sessions, Probe<u64>) {
    worker.dataflow::<u64, _, _>(|scope| {
        let (orders, order) = scope.new_collection();
        let (customers, customer) = scope.new_collection();
        let (payments, payment) = scope.new_collection::<(String, Payment), isize>();
        let (items, item) = scope.new_collection::<(String, Item), isize>();
        let (products, product) = scope.new_collection::<(String, [String; 8]), isize>();
        let (sellers, seller) = scope.new_collection::<(String, [String; 3]), isize>();

        let of_seller = left_join(item, product).map(|(product, (item, row))| (item.2.clone(), (product, item, row)));
        let of_order = left_join(of_seller, seller)
            .map(|(_, ((product, item, product_row), seller_row))| (item.0.clone(), (item.1, product, item, product_row, seller_row)));
        let item_lists = lists(of_order);
        let payment_lists = lists(payment);
        let with_customer = left_join(order, customer).map(|(customer, ((id, rest), row))| (id, (customer, rest, row)));

        let ids = with_customer.clone().map(|(id, _)| id);
        let item_lists = or_empty(ids.clone(), item_lists);
        let payment_lists = or_empty(ids, payment_lists);
        let documents = with_customer
            .join_map(item_lists, |id, order, items| (id.clone(), (order.clone(), items.clone())))
            .join_map(payment_lists, |id, (order, items), payments| (id.clone(), order.clone(), items.clone(), payments.clone()));
        let (probe, _) = documents
            .inspect(move |((_, _, items, payments), _, diff)| {
                let cents = items.iter().map(|item| item.2.4).sum::<i64>() + payments.iter().map(|payment| payment.3).sum::<i64>();
                let mut shape = seen.shape.get();
                shape.documents = shape.documents.wrapping_add_signed(*diff as i64);
                shape.items = shape.items.wrapping_add_signed(*diff as i64 * items.len() as i64);
                shape.cents += *diff as i64 * cents;
                seen.shape.set(shape);
                seen.documents.set(seen.documents.get() + (*diff > 0) as u64);
            })
            .probe();
        (Sessions { orders, customers, payments, items, products, sellers }, probe)
    })
}

/// Every row of `left` with the row of `right` of its key, or none.
fn left_join<'s, K: Data, V: Data, W: Data>(
    left: Collection<'s, (K, V)>,
    right: Collection<'s, (K, W)>,
) -> Collection<'s, (K, (V, Option<W>))> {
    let wanted = left.clone().map(|(key, _)| key).distinct();
    let there = right.clone().map(|(key, _)| key).distinct();
    let found = there.map(|key| (key, ())).semijoin(wanted.clone()).map(|(key, ())| key);
    let missing = wanted.concat(found.negate());
    let right = right.map(|(key, row)| (key, Some(row))).concat(missing.map(|key| (key, None)));
    left.join_map(right, |key, left, right| (key.clone(), (left.clone(), right.clone())))
}

/// The values of each key as one ordered list.
fn lists<'s, K: Data, V: Data>(rows: Collection<'s, (K, V)>) -> Collection<'s, (K, Vec<V>)> {
    rows.reduce(|_, values, out| out.push((values.iter().map(|(value, _)| (*value).clone()).collect(), 1)))
}

/// The lists, and an empty one for each id that has none. Ids are unique.
fn or_empty<'s, V: Data>(ids: Collection<'s, String>, lists: Collection<'s, (String, Vec<V>)>) -> Collection<'s, (String, Vec<V>)> {
    let without = ids.concat(lists.clone().map(|(id, _)| id).negate()).threshold(|_, count: &isize| (*count > 0) as isize);
    lists.concat(without.map(|id| (id, Vec::new())))
}

impl Sessions {
    /// This worker's share of every table.
    fn fill(&mut self, tables: &Tables, index: usize, peers: usize) {
        for row in share(&tables.orders, index, peers) {
            self.orders.insert((row.customer.clone(), (row.id.clone(), row.rest.clone())));
        }
        for row in share(&tables.customers, index, peers) {
            self.customers.insert((row.id.clone(), row.rest.clone()));
        }
        for row in share(&tables.payments, index, peers) {
            self.payments.insert((row.order.clone(), (row.number, row.kind.clone(), row.installments, row.value)));
        }
        for row in share(&tables.items, index, peers) {
            let rest = (row.order.clone(), row.number, row.seller.clone(), row.ship_by.clone(), row.price, row.freight);
            self.items.insert((row.product.clone(), rest));
        }
        for row in share(&tables.products, index, peers) {
            self.products.insert((row.id.clone(), row.rest.clone()));
        }
        for row in share(&tables.sellers, index, peers) {
            self.sellers.insert((row.id.clone(), row.rest.clone()));
        }
    }

    /// Ends everything before `tick` and waits until its documents are out.
    fn finish(&mut self, tick: u64, probe: &Probe<u64>, worker: &mut Worker) {
        finish(&mut self.orders, tick);
        finish(&mut self.customers, tick);
        finish(&mut self.payments, tick);
        finish(&mut self.items, tick);
        finish(&mut self.products, tick);
        finish(&mut self.sellers, tick);
        while probe.less_than(&tick) {
            worker.step();
        }
    }
}

fn share<T>(rows: &[T], index: usize, peers: usize) -> impl Iterator<Item = &T> {
    rows.iter().skip(index).step_by(peers)
}

fn finish<D: differential_dataflow::Data>(session: &mut Session<D>, tick: u64) {
    session.advance_to(tick);
    session.flush();
}

/// The row with its city moved, in place of the row.
fn replace<const N: usize>(session: &mut Session<(String, [String; N])>, row: &Keyed<N>, city: usize) {
    session.remove((row.id.clone(), row.rest.clone()));
    let mut rest = row.rest.clone();
    rest[city] = updates::moved(&rest[city]);
    session.insert((row.id.clone(), rest));
}

/// Single updates, each followed to its documents.
fn series(
    count: usize,
    worker: &mut Worker,
    sessions: &mut Sessions,
    probe: &Probe<u64>,
    tick: &mut u64,
    seen: &Seen,
    update: impl Fn(usize, &mut Sessions),
) -> Updates {
    let before = seen.documents.get();
    let mut took = Vec::with_capacity(count);
    for n in 0..count {
        *tick += 1;
        let start = Instant::now();
        update(n, sessions);
        sessions.finish(*tick, probe, worker);
        took.push(start.elapsed());
    }
    Updates::of(took, seen.documents.get() - before)
}
