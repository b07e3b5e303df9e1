//! Looks all the time, whether an engine runs, dies or is dead: what every transaction keeps holds in every answer, and ticks never go back.
//!
//! The store answers whole transactions. In MongoDB a document is whole; several documents may be of different ticks there.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use bson::{Document, doc};
use futures::TryStreamExt;
use mongodb::Collection;
use serde_json::Value;
use tokio::runtime::Handle;

use super::engine::Engine;
use super::shop::{ACCOUNTS, ORDERS};
use super::support::Finished;
use super::values::{Fields, cents, of_document, of_line};

pub(crate) struct Reader {
    end: Arc<AtomicBool>,
    thread: JoinHandle<Seen>,
}

/// How often it looked.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Seen {
    pub(crate) answers: usize,
    /// Nobody could answer: no commit yet, or the engine died meanwhile.
    pub(crate) unanswered: usize,
    pub(crate) documents: usize,
}

impl Reader {
    pub(crate) fn start(engine: Arc<Engine>, documents: Collection<Document>) -> Reader {
        let end = Arc::new(AtomicBool::new(false));
        let (ends, runtime) = (end.clone(), Handle::current());
        let thread = std::thread::spawn(move || {
            let (mut seen, mut ticks) = (Seen::default(), HashMap::new());
            while !ends.load(Ordering::Relaxed) {
                look_at_store(&engine, &mut seen, &mut ticks);
                runtime.block_on(look_at_documents(&documents, &mut seen));
            }
            seen
        });
        Reader { end, thread }
    }

    /// Panics where the reader did.
    pub(crate) fn must_be_well(self) -> Reader {
        if self.thread.is_finished() {
            self.end();
            unreachable!("it ends when it is told to");
        }
        self
    }

    pub(crate) fn end(self) -> Seen {
        self.end.store(true, Ordering::Relaxed);
        self.thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

/// One look at everything that the store must keep.
fn look_at_store(engine: &Engine, seen: &mut Seen, ticks: &mut HashMap<String, u64>) {
    let mut look = |command: &[&str], check: &mut dyn FnMut(Vec<Fields>)| match lines(command, engine.ask(command)) {
        Some(rows) => {
            seen.answers += 1;
            check(rows);
        }
        None => seen.unanswered += 1,
    };
    look(&["get", "zero"], &mut |rows| check_zero(&rows));
    look(&["get", "torn"], &mut |rows| assert!(rows.is_empty(), "orders and their items are of different transactions: {rows:?}"));
    look(&["get", "balances"], &mut |rows| {
        assert_eq!(rows.len(), ACCOUNTS, "{rows:?}");
        assert_eq!(rows.iter().map(|row| cents(&row["balance"])).sum::<i64>(), 0, "half a transfer is visible: {rows:?}");
    });
    look(&["get", ORDERS], &mut |rows| rows.iter().for_each(check_order));
    look(&["status", "--json"], &mut |status| {
        let [status] = &status[..] else { panic!("one status: {status:?}") };
        let Value::String(store) = &status["store"] else { panic!("a store has an id: {status:?}") };
        let tick = cents(&status["tick"]) as u64;
        let last = ticks.entry(store.clone()).or_default();
        assert!(*last <= tick, "ticks go back in hundredths from {last} to {tick}");
        *last = tick;
    });
}

fn lines(command: &[&str], answered: Finished) -> Option<Vec<Fields>> {
    match answered.code {
        Some(0) => Some(answered.stdout.lines().map(of_line).collect()),
        // Nothing is committed yet.
        Some(3) => None,
        // The engine died while it answered, or starts.
        Some(1) if ["the engine stopped before", "is in use by"].iter().any(|why| answered.stderr.contains(why)) => None,
        _ => panic!("{command:?}: {answered:?}"),
    }
}

async fn look_at_documents(documents: &Collection<Document>, seen: &mut Seen) {
    let found = documents.find(doc! {}).await.expect("MongoDB answers");
    let found: Vec<Document> = found.try_collect().await.expect("MongoDB answers");
    found.iter().for_each(|document| check_order(&of_document(document)));
    seen.documents += found.len();
}

pub(crate) fn check_zero(rows: &[Fields]) {
    let [row] = rows else { panic!("one row: {rows:?}") };
    assert_eq!((cents(&row["total"]), cents(&row["n"])), (0, 100 * ACCOUNTS as i64), "half a transfer is visible: {row:?}");
}

pub(crate) fn check_order(order: &Fields) {
    assert_eq!(cents(&order["total"]), cents(&order["items_total"]), "the order and its items are of different transactions: {order:?}");
    let Value::Array(items) = &order["items"] else { panic!("an array: {order:?}") };
    let sum: i64 = items.iter().map(|item| cents(&item["amount"])).sum();
    assert_eq!(sum, cents(&order["total"]), "the items and their sum are of different transactions: {order:?}");
}
