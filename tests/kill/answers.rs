//! The four answers that must be the same: the store's, the changelog's, MongoDB's, and the server's own.

use std::collections::{BTreeMap, HashMap};

use bson::{Document, doc};
use futures::TryStreamExt;
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Row};
use serde_json::Value;

use super::engine::Engine;
use super::reader::{check_order, check_zero};
use super::shop::{ORDERS, QUERIES, SINKS};
use super::support::MongoDatabase;
use super::values::{Fields, of_document, of_line, of_object, of_row, text};

/// For each view its rows as text, in the order of the texts.
pub(crate) type Answer = BTreeMap<&'static str, Vec<String>>;

fn views() -> impl Iterator<Item = &'static str> {
    QUERIES.iter().map(|query| query.name).chain([ORDERS])
}

/// Rows in one order. Payments have no key, and stand in any order in a document.
fn sorted(rows: impl IntoIterator<Item = Fields>) -> Vec<String> {
    let mut texts: Vec<String> = rows.into_iter().map(one_form).collect();
    texts.sort_unstable();
    texts
}

fn one_form(mut row: Fields) -> String {
    if let Some(Value::Array(payments)) = row.get_mut("payments") {
        payments.sort_by_cached_key(|payment| payment.as_object().cloned().map(text));
    }
    text(row)
}

pub(crate) fn of_store(engine: &Engine) -> Answer {
    views().map(|view| (view, sorted(engine.answer(&["get", view]).lines().map(of_line)))).collect()
}

/// Replays every changelog from its start. Each step must begin where the one before ended, and keep what every transaction keeps.
pub(crate) fn of_changelogs(engine: &Engine) -> Answer {
    views().map(|view| (view, replay(view, &engine.answer(&["tail", view, "--until-caught-up"])))).collect()
}

fn replay(view: &str, tail: &str) -> Vec<String> {
    let mut held: HashMap<String, i64> = HashMap::new();
    let mut tick = 0;
    for line in tail.lines() {
        let change: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        let at = change["tick"].as_u64().expect("a tick");
        assert!(tick <= at, "`{view}`: tick {at} after {tick}");
        tick = at;
        for (row, diff) in [(&change["before"], -1), (&change["after"], 1)] {
            let Some(row) = of_object(row) else { continue };
            match view {
                "zero" => check_zero(std::slice::from_ref(&row)),
                ORDERS => check_order(&row),
                "torn" => panic!("tick {at}: orders and their items are of different transactions: {row:?}"),
                _ => {}
            }
            let row = one_form(row);
            let count = held.entry(row.clone()).or_default();
            *count += diff;
            assert!(*count >= 0, "tick {at}: `{view}` loses a row that it does not have: {row}");
            if *count == 0 {
                held.remove(&row);
            }
        }
    }
    let mut rows: Vec<String> = held.into_iter().flat_map(|(row, count)| vec![row; count as usize]).collect();
    rows.sort_unstable();
    rows
}

pub(crate) async fn of_mongodb(target: &MongoDatabase) -> Answer {
    let mut answer = Answer::new();
    for view in SINKS {
        let found = target.collection(view).find(doc! {}).await.expect("MongoDB answers");
        let found: Vec<Document> = found.try_collect().await.expect("MongoDB answers");
        answer.insert(view, sorted(found.iter().map(of_document)));
    }
    answer
}

/// What the server says: its answers to the queries, and documents of its rows.
pub(crate) async fn of_server(server: &mut Conn) -> Answer {
    let mut answer = Answer::new();
    for query in &QUERIES {
        answer.insert(query.name, sorted(select(server, &query.at_the_server()).await));
    }
    answer.insert(ORDERS, sorted(documents(server).await));
    answer
}

async fn select(server: &mut Conn, query: &str) -> Vec<Fields> {
    let rows: Vec<Row> = server.exec(query, ()).await.unwrap_or_else(|error| panic!("{query}: {error}"));
    rows.iter().map(of_row).collect()
}

async fn documents(server: &mut Conn) -> Vec<Fields> {
    let customers = by(select(server, "SELECT * FROM customers").await, "id");
    let products = by(select(server, "SELECT * FROM products").await, "id");
    let mut items = by(select(server, "SELECT * FROM items ORDER BY order_id, n").await, "order_id");
    let mut payments = by(select(server, "SELECT * FROM payments").await, "order_id");
    let sums = by(select(server, "SELECT order_id, SUM(amount) AS total, COUNT(*) AS n FROM items GROUP BY order_id").await, "order_id");
    let only = |rows: Option<&Vec<Fields>>| rows.map(|rows| Value::Object(rows[0].clone()));
    let mut orders = select(server, "SELECT * FROM orders").await;
    for order in &mut orders {
        let id = order["id"].clone();
        if let Some(customer) = only(customers.get(&order["customer"])) {
            order.insert("customer_info".into(), customer);
        }
        let mut items = items.remove(&id).unwrap_or_default();
        for item in &mut items {
            if let Some(product) = only(products.get(&item["product"])) {
                item.insert("product_info".into(), product);
            }
        }
        let sum = sums.get(&id).map(|sums| &sums[0]);
        order.insert("items".into(), items.into_iter().map(Value::Object).collect());
        order.insert("items_total".into(), sum.map_or(Value::Null, |sum| sum["total"].clone()));
        order.insert("items_count".into(), sum.map_or("#0".into(), |sum| sum["n"].clone()));
        order.insert("payments".into(), payments.remove(&id).unwrap_or_default().into_iter().map(Value::Object).collect());
    }
    orders
}

fn by(rows: Vec<Fields>, column: &str) -> HashMap<Value, Vec<Fields>> {
    let mut out: HashMap<Value, Vec<Fields>> = HashMap::new();
    rows.into_iter().for_each(|row| out.entry(row[column].clone()).or_default().push(row));
    out
}

/// Panics with what is different. `got` may be of some of the views.
pub(crate) fn assert_same(what: &str, got: &Answer, server: &Answer) {
    const SHOWN: usize = 5;
    for (view, got) in got {
        let right = &server[view];
        if got != right {
            let only = |of: &[String], other: &[String]| {
                let counts = |rows: &[String]| {
                    rows.iter().fold(HashMap::new(), |mut counts: HashMap<String, i64>, row| {
                        *counts.entry(row.clone()).or_default() += 1;
                        counts
                    })
                };
                let others = counts(other);
                let more = counts(of).into_iter().filter(|(row, count)| *count > others.get(row).copied().unwrap_or(0));
                more.map(|(row, count)| format!("  {count} x {row}\n")).take(SHOWN).collect::<String>()
            };
            panic!("{what} and the server differ in `{view}`\nonly {what}:\n{}only the server:\n{}", only(got, right), only(right, got));
        }
    }
}
