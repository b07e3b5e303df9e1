//! TPC-H: all 22 queries are maintained at once as views of one spec, and are right after each transaction.
//!
//! At scale factor 0.01 the views start with customers, parts, suppliers, nations and regions. 100 transactions then bring the orders with
//! their lines, and twelve more delete every seventh order with its lines. After a transaction each view, as its changelog tells it,
//! must be what DataFusion answers on the tables as they are then. One run is with one worker; another with four, its rows scattered
//! over them, stopped on the way and resumed with two. Every view is compared after the snapshot and after every transaction.
//!
//! With `TIDEMILL_LONG=1` each must be what DuckDB answers as well.

#[path = "support/long.rs"]
mod long;
#[allow(dead_code, unused_imports, reason = "the tests of views use all of it")]
#[path = "support/views/mod.rs"]
mod support;
#[path = "support/tpch/mod.rs"]
mod tpch;

use std::collections::HashMap;

use serde_json::{Map, Value, json};
use support::case::{CHANGES, scratch};
use support::engine::{Observed, Prepared, Way, prepare};
use tidemill::value::{Column, Schema, Type};
use tpch::data::{Generator, TABLES, query, spec, table, with_more_digits};
use tpch::duckdb::{Answer, answers};
use tpch::right::{Right, Rows, Tables};

const SCALE: f64 = 0.01;
const TEXT_BYTES: i32 = 4 << 20;
const LOADS: usize = 100;
const DELETES: usize = 12;
const QUERIES: usize = 22;

/// Orders that come or go with their lines.
struct Transaction {
    comes: bool,
    orders: Vec<Map<String, Value>>,
    lines: Vec<Map<String, Value>>,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_queries_are_right_while_orders_come_and_go() {
    let generator = Generator::new(SCALE, TEXT_BYTES);
    let transactions = transactions(&generator);
    let folder = scratch();
    let base: Vec<&str> = TABLES.iter().map(|t| t.name).filter(|name| !["orders", "lineitem"].contains(name)).collect();
    for name in &base {
        std::fs::write(folder.path().join(format!("{name}.tbl")), file(&generator, name)).unwrap();
    }
    let queries: Vec<usize> = (1..=QUERIES).collect();
    std::fs::write(folder.path().join("spec.yaml"), spec(&queries, &base, CHANGES)).unwrap();
    std::fs::write(folder.path().join(CHANGES), "").unwrap();
    let prepared = prepare(&folder.path().join("spec.yaml")).await.unwrap_or_else(|refused| panic!("{refused}"));

    let right = right(&prepared, &generator, &base, &transactions).await;
    let silent: Vec<usize> = (0..QUERIES).filter(|&n| right[LOADS][n].says_nothing()).map(|n| n + 1).collect();
    assert!(silent.is_empty(), "queries {silent:?} say nothing where all orders are there");

    let changes: Vec<String> = transactions.iter().map(Transaction::text).collect();
    let by_duckdb = long::is_wanted().then(|| {
        std::fs::write(folder.path().join(CHANGES), changes.concat()).unwrap();
        let schemas: Vec<_> = prepared.plan.views.iter().map(|view| &view.schema).collect();
        let found = answers(folder.path(), &base, &queries, &schemas);
        assert_eq!(found.len(), transactions.len() + 1, "DuckDB answers after each transaction");
        found
    });
    let one = Way { workers: 1, scatter: None };
    let [two, four] = [2, 4].map(|workers| Way { workers, scatter: Some(workers as u64) });
    for (name, runs) in [("one worker", vec![(changes.len(), one)]), ("several", vec![(57, four), (changes.len(), two)])] {
        let state = scratch();
        let mut observed = Vec::new();
        for (until, way) in runs {
            std::fs::write(folder.path().join(CHANGES), changes[..until].concat()).unwrap();
            observed = prepared.run(&state.path().join("state"), way).await;
        }
        let mut wrong = Vec::new();
        for (n, observed) in observed.iter().enumerate() {
            let mut tell = |result: Result<(), String>, of: &str| {
                wrong.extend(result.err().map(|wrong| format!("{name}, Q{}, {of}: {wrong}", n + 1)));
            };
            tell(follow(observed, right.len(), |done, rows| right[done][n].check(rows)), "DataFusion");
            if let Some(right) = &by_duckdb {
                tell(follow(observed, right.len(), |done, rows| right[done][n].check(rows)), "DuckDB");
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }
    let beside = if by_duckdb.is_some() { "DataFusion and DuckDB" } else { "DataFusion" };
    long::tell(&format!("TPC-H: {QUERIES} views in {} states, twice, beside {beside}", right.len()));
}

/// What is near is right only where DuckDB computes in floating point, and what is equal in the order of a LIMIT only at its end.
#[test]
fn an_answer_of_duckdb_is_taken_at_its_word() {
    let column = |name: &str| Column::new(name, Type::Text, true);
    let schema = Schema::new(vec![column("k"), column("n")]);
    let rows = |rows: &[&str]| rows.iter().map(|row| (row.to_string(), 1)).collect::<Rows>();
    let about = json!([[{"exact": "1.50"}, {"about": 2.0000004}], ["x", null]]);
    let answer = Answer::new(serde_json::from_value(about).unwrap(), &schema, None, &[]);
    let null = r#"{"k":"x","n":null}"#;
    for (first, right) in [("1.5", true), ("1.500", true), ("1.51", false)] {
        for (second, near) in [("2.000000", true), ("2.000001", true), ("2.000002", false), ("2.000000000", false), ("null", false)] {
            let rows = rows(&[null, &format!(r#"{{"k":{first},"n":{second}}}"#)]);
            assert_eq!(answer.check(&rows).is_ok(), right && near, "{rows:?}");
        }
    }
    assert!(answer.check(&rows(&[null])).is_err());
    let exact = json!([[{"exact": "3.00"}, {"exact": "1"}], [{"exact": "2.10"}, {"exact": "2"}], [{"exact": "2.1"}, {"exact": "3"}]]);
    let answer = Answer::new(serde_json::from_value(exact).unwrap(), &schema, Some(2), &["k".to_string()]);
    let (three, two, other) = (r#"{"k":3.00,"n":1}"#, r#"{"k":2.1,"n":2}"#, r#"{"k":2.100,"n":3}"#);
    for (is, right) in [(vec![three, two], true), (vec![three, other], true), (vec![two, other], false), (vec![three, two, other], false)] {
        assert_eq!(answer.check(&rows(&is)).is_ok(), right, "{is:?}");
    }
}

/// Replays what the view says of its history, which has so many states; `check` says what is wrong after a number of transactions.
fn follow(observed: &Observed, states: usize, check: impl Fn(usize, &Rows) -> Result<(), String>) -> Result<(), String> {
    let mut rows = Rows::new();
    let mut done = 0;
    for step in &observed.steps {
        for change in &step.changes {
            for (row, diff) in [(&change.before, -1), (&change.after, 1)] {
                if let Some(row) = row {
                    *rows.entry(row.clone()).or_default() += diff;
                }
            }
        }
        rows.retain(|_, count| *count != 0);
        done += usize::from(step.position.is_some());
        if done >= states {
            return Err("more ticks than transactions".into());
        }
        check(done, &rows).map_err(|wrong| format!("after {done} transactions:\n {wrong}"))?;
    }
    let mut stored = Rows::new();
    observed.rows.iter().for_each(|row| *stored.entry(row.clone()).or_default() += 1);
    match done + 1 == states && stored == rows && observed.errors == 0 {
        true => Ok(()),
        false => Err(format!("{done} transactions, {} errors, stored: {stored:?}", observed.errors)),
    }
}

/// For each number of transactions the answer of each query.
async fn right(prepared: &Prepared, generator: &Generator, base: &[&str], transactions: &[Transaction]) -> Vec<Vec<Right>> {
    let schemas = prepared.tables.iter().map(|t| (t.name.as_str(), &t.schema));
    let mut tables = Tables::new("tpch", schemas);
    for name in base {
        let mut rows = Vec::new();
        generator.rows(name, |line| rows.push(table(name).object(line)));
        tables.insert(name, &rows);
    }
    let mut out = Vec::new();
    for done in 0..=transactions.len() {
        if let Some(Transaction { comes, orders, lines }) = done.checked_sub(1).map(|last| &transactions[last]) {
            for (name, rows) in [("orders", orders), ("lineitem", lines)] {
                if *comes { tables.insert(name, rows) } else { tables.delete(name, rows) }
            }
        }
        let asked =
            (0..QUERIES).map(|n| tokio::spawn(tables.answer(with_more_digits(query(n + 1)), prepared.plan.views[n].schema.clone())));
        let answers: Vec<_> = asked.collect();
        out.push(futures::future::join_all(answers).await.into_iter().map(Result::unwrap).collect());
    }
    out
}

fn transactions(generator: &Generator) -> Vec<Transaction> {
    let mut lines: HashMap<String, Vec<Map<String, Value>>> = HashMap::new();
    generator.rows("lineitem", |line| {
        let order = line.split('|').next().unwrap_or_default();
        lines.entry(order.to_string()).or_default().push(table("lineitem").object(line));
    });
    let mut orders = Vec::new();
    generator.rows("orders", |line| orders.push(table("orders").object(line)));
    let with_lines = |comes: bool, orders: &[&Map<String, Value>]| Transaction {
        comes,
        orders: orders.iter().map(|order| (*order).clone()).collect(),
        lines: orders.iter().flat_map(|order| lines[&order["o_orderkey"].to_string()].clone()).collect(),
    };
    let all: Vec<_> = orders.iter().collect();
    let gone: Vec<_> = orders.iter().skip(6).step_by(7).collect();
    let loads = all.chunks(all.len().div_ceil(LOADS)).map(|part| with_lines(true, part));
    let deletes = gone.chunks(gone.len().div_ceil(DELETES)).map(|part| with_lines(false, part));
    let transactions: Vec<_> = loads.chain(deletes).collect();
    assert_eq!(transactions.len(), LOADS + DELETES);
    transactions
}

impl Transaction {
    /// As a changes file has it.
    fn text(&self) -> String {
        let (op, row) = if self.comes { ("insert", "after") } else { ("delete", "before") };
        let rows = self.orders.iter().map(|row| ("orders", row)).chain(self.lines.iter().map(|row| ("lineitem", row)));
        let changes = rows.map(|(table, object)| format!("{}\n", json!({"table": table, "op": op, row: object})));
        format!("{{\"begin\": true}}\n{}{{\"commit\": true}}\n", changes.collect::<String>())
    }
}

fn file(generator: &Generator, name: &str) -> String {
    let mut text = table(name).header() + "\n";
    generator.rows(name, |line| {
        text.push_str(line);
        text.push('\n');
    });
    text
}
