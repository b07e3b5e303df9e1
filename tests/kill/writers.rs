//! Connections that write, each in transactions of its own: several tables, rollbacks, savepoints, updates of many rows and of keys, deletes
//! with children, equal rows without a key.
//!
//! Each writer has orders of its own; accounts, customers and products belong to all, and deadlocks over them are part of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Error};
use tokio::sync::{RwLock, RwLockWriteGuard};
use tokio::task::JoinHandle;

use super::random::Random;
use super::shop::{ACCOUNTS, CUSTOMERS, PRODUCTS};
use super::support::MysqlDatabase;

const WRITERS: usize = 4;
/// A writer begins a transaction this often at most.
const PACE: Duration = Duration::from_millis(12);
/// A writer keeps so many orders.
const ORDERS: usize = 60;
const DEADLOCK: u16 = 1213;
const LOCK_TIMEOUT: u16 = 1205;

pub(crate) struct Writers {
    shared: Arc<Shared>,
    tasks: Vec<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    /// Held for reading by each transaction.
    gate: RwLock<()>,
    end: AtomicBool,
    committed: AtomicUsize,
    rolled_back: AtomicUsize,
}

impl Writers {
    pub(crate) async fn start(shop: &MysqlDatabase, seed: u64) -> Writers {
        let shared = Arc::new(Shared::default());
        let mut tasks = Vec::new();
        for number in 0..WRITERS {
            let writer = Writer {
                connection: shop.connect().await,
                random: Random::new(seed.wrapping_add(number as u64 + 1)),
                orders: Orders { first: 1 + number as i64 * 1_000_000, next: 0, held: Vec::new() },
            };
            tasks.push(tokio::spawn(writer.work(shared.clone())));
        }
        Writers { shared, tasks }
    }

    /// Lets every transaction end, and none begin while the answer lives.
    pub(crate) async fn pause(&self) -> RwLockWriteGuard<'_, ()> {
        self.shared.gate.write().await
    }

    /// Transactions committed and rolled back.
    pub(crate) fn done(&self) -> (usize, usize) {
        (self.shared.committed.load(Ordering::Relaxed), self.shared.rolled_back.load(Ordering::Relaxed))
    }

    pub(crate) async fn end(self) {
        self.shared.end.store(true, Ordering::Relaxed);
        for task in self.tasks {
            task.await.expect("a writer does not panic");
        }
    }
}

struct Writer {
    connection: Conn,
    random: Random,
    orders: Orders,
}

/// The orders of one writer, as its last commit left them.
#[derive(Clone)]
struct Orders {
    first: i64,
    next: i64,
    held: Vec<i64>,
}

impl Orders {
    fn add(&mut self) -> i64 {
        self.next += 1;
        self.held.push(self.first + self.next);
        self.first + self.next
    }
}

impl Writer {
    async fn work(mut self, shared: Arc<Shared>) {
        let mut pace = tokio::time::interval(PACE);
        pace.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while !shared.end.load(Ordering::Relaxed) {
            pace.tick().await;
            let _open = shared.gate.read().await;
            let before = self.orders.clone();
            let rolled_back = match self.transaction().await {
                Ok(committed) => !committed,
                Err(Error::Server(error)) if [DEADLOCK, LOCK_TIMEOUT].contains(&error.code) => {
                    self.connection.query_drop("ROLLBACK").await.expect("the server answers");
                    true
                }
                Err(error) => panic!("{error}"),
            };
            match rolled_back {
                true => {
                    self.orders = before;
                    shared.rolled_back.fetch_add(1, Ordering::Relaxed);
                }
                false => {
                    shared.committed.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
        self.connection.disconnect().await.expect("the server lets go");
    }

    /// Whether it was committed.
    async fn transaction(&mut self) -> Result<bool, Error> {
        if self.random.percent(10) {
            // Without BEGIN: each statement is a transaction.
            let statement = self.transfer();
            self.run(&[statement]).await?;
            return Ok(true);
        }
        self.run(&["BEGIN".into()]).await?;
        for _ in 0..1 + self.random.below(4) {
            let before = self.orders.clone();
            let undone = self.random.percent(10);
            if undone {
                self.run(&["SAVEPOINT here".into()]).await?;
            }
            let statements = self.change();
            self.run(&statements).await?;
            if undone {
                self.run(&["ROLLBACK TO SAVEPOINT here".into()]).await?;
                self.orders = before;
            }
        }
        let committed = !self.random.percent(12);
        self.run(&[if committed { "COMMIT" } else { "ROLLBACK" }.into()]).await?;
        Ok(committed)
    }

    async fn run(&mut self, statements: &[String]) -> Result<(), Error> {
        for statement in statements {
            self.connection.query_drop(statement).await?;
        }
        Ok(())
    }

    /// Statements that keep what every transaction keeps.
    fn change(&mut self) -> Vec<String> {
        let kind = self.random.below(14);
        if self.orders.held.is_empty() || kind < 3 && self.orders.held.len() < ORDERS {
            return self.new_order();
        }
        let at = self.random.below(self.orders.held.len());
        let order = self.orders.held[at];
        match kind {
            0..3 => {
                self.orders.held.swap_remove(at);
                ["items WHERE order_id", "payments WHERE order_id", "orders WHERE id"]
                    .map(|of| format!("DELETE FROM {of} = {order}"))
                    .into()
            }
            3 => {
                let to = self.orders.add();
                self.orders.held.swap_remove(at);
                let move_children = |table| format!("UPDATE {table} SET order_id = {to} WHERE order_id = {order}");
                vec![format!("UPDATE orders SET id = {to} WHERE id = {order}"), move_children("items"), move_children("payments")]
            }
            4 => {
                let first = 100 + self.random.below(9000) as i64;
                vec![self.items(order, first, 2), total_of(order)]
            }
            5 => vec![
                format!("UPDATE items SET qty = qty + 1, amount = amount + {} WHERE order_id = {order}", self.amount()),
                total_of(order),
            ],
            6 => vec![format!("UPDATE items SET n = n + 10000 WHERE order_id = {order} ORDER BY n DESC")],
            7 => vec![format!("DELETE FROM items WHERE order_id = {order} ORDER BY n LIMIT 1"), total_of(order)],
            8 => vec![self.payments(order)],
            9 => vec![
                format!("DELETE FROM payments WHERE order_id = {order} LIMIT 1"),
                format!("UPDATE payments SET amount = amount + 1 WHERE order_id = {order} LIMIT 2"),
            ],
            10 => vec![format!(
                "UPDATE orders SET status = 'state {}', customer = {} WHERE id = {order}",
                self.random.below(5),
                self.customer()
            )],
            11 => vec![self.transfer(), format!("INSERT INTO noise (text) VALUES ('of {order}')")],
            12 => vec![match self.random.below(3) {
                0 => format!("UPDATE customers SET region = region + 1 WHERE id % 5 = {} ORDER BY id", self.random.below(5)),
                1 => format!("UPDATE customers SET city = 'city {}' WHERE id = {}", self.random.below(6), self.customer()),
                _ => format!("UPDATE products SET price = price + 0.01, name = NULL WHERE id = {}", self.random.below(PRODUCTS)),
            }],
            _ => {
                let customer = self.customer();
                let city = self.random.below(6);
                vec![
                    format!("DELETE FROM customers WHERE id = {customer}"),
                    format!("INSERT INTO customers VALUES ({customer}, 'city {city}', 0)"),
                ]
            }
        }
    }

    fn new_order(&mut self) -> Vec<String> {
        let order = self.orders.add();
        let customer = self.customer();
        let mut statements = vec![format!("INSERT INTO orders VALUES ({order}, {customer}, 'new', 0)")];
        let items = self.random.below(4);
        if items > 0 {
            statements.push(self.items(order, 0, items));
        }
        if self.random.percent(60) {
            statements.push(self.payments(order));
        }
        statements.push(total_of(order));
        statements
    }

    fn items(&mut self, order: i64, first: i64, count: usize) -> String {
        let mut row = |n| {
            format!("({order}, {}, {}, {}, {})", first + n as i64, self.random.below(PRODUCTS), 1 + self.random.below(9), self.amount())
        };
        let rows: Vec<String> = (0..count).map(&mut row).collect();
        format!("INSERT INTO items VALUES {} ON DUPLICATE KEY UPDATE qty = qty + 1", rows.join(", "))
    }

    /// Rows of which some are equal.
    fn payments(&mut self, order: i64) -> String {
        let amount = if self.random.percent(20) { "NULL".into() } else { format!("{}.25", self.random.below(3)) };
        let note = *self.random.pick(&["'card'", "'cash'", "NULL"]);
        let row = format!("({order}, {amount}, {note})");
        format!("INSERT INTO payments VALUES {}", vec![row; 1 + self.random.below(3)].join(", "))
    }

    fn transfer(&mut self) -> String {
        let (from, cents) = (self.random.below(ACCOUNTS), self.amount());
        let to = (from + 1 + self.random.below(ACCOUNTS - 1)) % ACCOUNTS;
        format!("UPDATE accounts SET balance = balance + CASE id WHEN {from} THEN -{cents} ELSE {cents} END WHERE id IN ({from}, {to})")
    }

    fn customer(&mut self) -> usize {
        self.random.below(CUSTOMERS)
    }

    fn amount(&mut self) -> String {
        format!("{}.{:02}", 1 + self.random.below(500), self.random.below(100))
    }
}

fn total_of(order: i64) -> String {
    format!("UPDATE orders SET total = (SELECT COALESCE(SUM(amount), 0) FROM items WHERE order_id = {order}) WHERE id = {order}")
}
