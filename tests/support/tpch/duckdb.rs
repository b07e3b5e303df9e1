//! What DuckDB says that the queries are, of the same tables and changes (`tests/duckdb`, `answers.py`).
//!
//! Equal means equal, but for what DuckDB computes in floating point where the engine has decimals: an average, and a quotient. There the
//! engine's value is at most one unit of its last digit away.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Map, Value, json};
use tidemill::value::Schema;

use super::data::{query, tables};
use super::right::{Right, Rows};

/// The answer of a query.
pub(crate) struct Answer {
    exact: Vec<Vec<Value>>,
    /// For each row its floating point numbers, in the order of their columns, which are NULL in `exact`.
    about: Vec<Vec<f64>>,
    names: Vec<String>,
    /// Columns in which a row has a floating point number.
    computed: Vec<bool>,
    limit: Option<usize>,
    order: Vec<String>,
}

/// The answers to queries, numbered from 1, after the base tables are there and after each transaction. The files of the tables and
/// `changes.jsonl` are in the folder; `schemas`: of what the queries give.
pub(crate) fn answers(folder: &Path, base: &[&str], queries: &[usize], schemas: &[&Schema]) -> Vec<Vec<Answer>> {
    let texts: Vec<(String, Option<usize>, Vec<String>)> = queries.iter().map(|&n| without_limit(&query(n))).collect();
    let write = |name: &str, value: Value| std::fs::write(folder.join(name), value.to_string()).unwrap();
    write("tables.json", tables(base).into());
    write("queries.json", json!(texts.iter().map(|(text, ..)| text).collect::<Vec<_>>()));
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut command = Command::new(root.join("tests/duckdb"));
    command.arg(root.join("tests/support/tpch/answers.py")).arg(folder).stdout(Stdio::piped());
    let mut running = command.spawn().expect("bash runs tests/duckdb");
    let lines = BufReader::new(running.stdout.take().expect("it is piped")).lines();
    let mut out = Vec::new();
    for line in lines {
        let rows: Vec<Vec<Vec<Value>>> = serde_json::from_str(&line.unwrap()).expect("a line is the answers of a state");
        let each = rows.into_iter().zip(&texts).zip(schemas);
        out.push(each.map(|((rows, (_, limit, order)), schema)| Answer::new(rows, schema, *limit, order)).collect());
    }
    assert!(running.wait().unwrap().success(), "DuckDB does not answer");
    out
}

/// The text without its LIMIT, which is told with the columns of the order before it.
fn without_limit(sql: &str) -> (String, Option<usize>, Vec<String>) {
    let Some((text, limit)) = sql.trim_end().rsplit_once("\nlimit ") else { return (sql.to_string(), None, Vec::new()) };
    let (_, order) = text.rsplit_once("\norder by\n").expect("a query with LIMIT has ORDER BY");
    let column = |by: &str| by.split_whitespace().next().expect("a column").to_string();
    (text.to_string(), Some(limit.parse().expect("a number")), order.split(',').map(column).collect())
}

impl Answer {
    pub(crate) fn new(rows: Vec<Vec<Value>>, schema: &Schema, limit: Option<usize>, order: &[String]) -> Answer {
        let names: Vec<String> = schema.columns().iter().map(|column| column.name.clone()).collect();
        let (mut exact, mut about, mut computed) = (Vec::new(), Vec::new(), vec![false; names.len()]);
        for row in rows {
            assert_eq!(row.len(), names.len(), "as many columns as the view has");
            let floats = row.iter().map(|value| value.get("about").and_then(Value::as_f64));
            floats.clone().zip(&mut computed).for_each(|(float, computed)| *computed |= float.is_some());
            about.push(floats.flatten().collect());
            exact.push(row.into_iter().map(plain).collect());
        }
        Answer { exact, about, names, computed, limit, order: order.to_vec() }
    }

    /// Whether a view's rows are this answer.
    pub(crate) fn check(&self, rows: &Rows) -> Result<(), String> {
        let objects = rows.iter().flat_map(|(row, count)| vec![row; *count as usize]);
        let objects: Vec<Map<String, Value>> = objects.map(|row| serde_json::from_str(row).unwrap()).collect();
        if self.computed.contains(&true) {
            assert!(self.limit.is_none(), "a query with LIMIT has no floating point numbers here");
            return self.check_about(&objects);
        }
        let rows = objects.into_iter().map(|row| row.into_iter().map(|(name, value)| (name, trimmed(value))).collect());
        let right = self.exact.iter().map(|row| self.names.iter().cloned().zip(row.iter().cloned()).collect());
        Right::new(right.map(text).collect(), self.limit, &self.order).check(&super::right::counted(rows.map(text).collect()))
    }

    fn check_about(&self, objects: &[Map<String, Value>]) -> Result<(), String> {
        let of_object = |row: &Map<String, Value>| {
            let (mut exact, mut computed) = (Vec::new(), Vec::new());
            for (name, is_computed) in self.names.iter().zip(&self.computed) {
                let value = &row[name];
                let number = value.as_number().filter(|_| *is_computed).map(ToString::to_string);
                exact.push(if number.is_some() { Value::Null } else { trimmed(value.clone()) });
                computed.extend(number);
            }
            (Value::from(exact).to_string(), computed)
        };
        let mut are: Vec<(String, Vec<String>)> = objects.iter().map(of_object).collect();
        let right = self.exact.iter().map(|row| Value::from(row.clone()).to_string());
        let mut right: Vec<(String, Vec<f64>)> = right.zip(self.about.iter().cloned()).collect();
        are.sort();
        right.sort_by(|a, b| a.0.cmp(&b.0));
        assert!(right.windows(2).all(|two| two[0].0 != two[1].0), "rows differ in what is exact");
        let near = |(is, right): (&String, &f64)| {
            let digits = is.split_once('.').map_or(0, |(_, fraction)| fraction.len());
            (is.parse::<f64>().expect("a number") - right).abs() <= 10f64.powi(-(digits as i32)) + right.abs() * 1e-12
        };
        let mut same = are.len() == right.len();
        for ((is, numbers), (right, floats)) in are.iter().zip(&right) {
            same &= is == right && numbers.len() == floats.len() && numbers.iter().zip(floats).all(near);
        }
        if same { Ok(()) } else { Err(format!("is    {are:?}\n right {right:?}")) }
    }
}

fn text(row: Map<String, Value>) -> String {
    Value::Object(row).to_string()
}

/// A value of DuckDB's as the engine writes it; NULL for a floating point number.
fn plain(value: Value) -> Value {
    match value {
        Value::Object(number) => number.get("exact").map_or(Value::Null, |exact| {
            trimmed(serde_json::from_str(exact.as_str().expect("a number is told as a text")).expect("a number"))
        }),
        other => other,
    }
}

/// Decimals without zeros at their end: DuckDB's have other scales than the engine's.
fn trimmed(value: Value) -> Value {
    let Value::Number(number) = &value else { return value };
    let text = number.to_string();
    let Some((whole, fraction)) = text.split_once('.') else { return value };
    let fraction = fraction.trim_end_matches('0');
    let trimmed = if fraction.is_empty() { whole.to_string() } else { format!("{whole}.{fraction}") };
    serde_json::from_str(if trimmed == "-0" { "0" } else { &trimmed }).expect("a number")
}
