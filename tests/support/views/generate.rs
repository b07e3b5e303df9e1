//! Random view shapes, tables and transactions.
//!
//! Few values, so that relations have no match, one and several; NULLs; tables with and without a key; shapes to four levels below the
//! root. The spec is JSON, which is YAML.

use serde_json::{Map, Value, json};

use super::documents::{self, Relation};
use super::random::Random;
use super::{aggregates, windows};

/// The files of a case, and its changes.
#[derive(Debug)]
pub(crate) struct Generated {
    pub(crate) files: Vec<(String, String)>,
    pub(crate) changes: String,
}

impl Generated {
    pub(crate) fn views(&self) -> usize {
        self.views_that(|_| true)
    }

    /// How many of the views are queries, or documents of one.
    pub(crate) fn queries(&self) -> usize {
        self.views_that(|view| view.get("sql").is_some())
    }

    fn views_that(&self, are: impl Fn(&Value) -> bool) -> usize {
        let (_, spec) = self.files.iter().find(|(name, _)| name == "spec.yaml").expect("there is a spec");
        let spec: Value = serde_json::from_str(spec).expect("it is JSON");
        spec["views"].as_object().map_or(0, |views| views.values().filter(|view| are(view)).count())
    }
}

const TABLES: usize = 4;
/// How many rows tables begin with, at most, where nothing else is said.
const SHORT: usize = 7;
const COLUMNS: [&str; 5] = ["id", "a", "b", "c", "v"];
const TEXTS: [&str; 5] = ["x", "y", "x_y", "", "é"];

struct Table {
    keyed: bool,
    /// Its rows only come.
    stream: bool,
    /// It begins with less rows than that.
    most: usize,
    rows: Vec<Map<String, Value>>,
}

/// A random view of documents.
pub(crate) fn generate(seed: u64) -> Generated {
    let mut random = Random::new(seed);
    let view = |tables: &[Table], random: &mut Random| json!({"v": documents::view(random, &relations(tables))});
    generate_with(&mut random, view)
}

/// Random queries, and documents that are made of them and of tables.
pub(crate) fn generate_documents_of_queries(seed: u64) -> Generated {
    let mut random = Random::new(seed);
    generate_with(&mut random, |tables, random| documents::of_queries(random, relations(tables)).into())
}

/// Tables as documents read them.
fn relations(tables: &[Table]) -> Vec<Relation> {
    tables.iter().enumerate().map(|(i, table)| Relation { name: format!("s.t{i}"), keyed: table.keyed }).collect()
}

/// A few random queries of a grammar.
pub(crate) fn generate_queries(seed: u64, query: fn(&mut Random) -> String) -> Generated {
    let mut random = Random::new(seed);
    generate_with(&mut random, |_, random| numbered((0..3).map(|_| query(random))))
}

/// Random queries, which may read those before them as `q0`, `q1` and so on.
pub(crate) fn generate_views(seed: u64, views: fn(&mut Random) -> Vec<String>) -> Generated {
    let mut random = Random::new(seed);
    generate_with(&mut random, |_, random| numbered(views(random).into_iter()))
}

fn numbered(queries: impl Iterator<Item = String>) -> Value {
    queries.enumerate().map(|(n, sql)| (format!("q{n}"), json!({"sql": sql}))).collect::<Map<_, _>>().into()
}

/// A few random queries with window functions over a table that has more rows than a change is looked at with.
pub(crate) fn generate_windows(seed: u64) -> Generated {
    let mut random = Random::new(seed);
    let views = |_: &[Table], random: &mut Random| numbered((0..3).map(|_| windows::windowed_long(random)));
    generate_rows(&mut random, views, &[200, SHORT, SHORT, SHORT], 0)
}

/// A few random queries that group tables with many rows, of which half are streams.
pub(crate) fn generate_aggregates(seed: u64) -> Generated {
    let mut random = Random::new(seed);
    let views = |_: &[Table], random: &mut Random| numbered((0..4).map(|_| aggregates::query(random)));
    generate_rows(&mut random, views, &[60, SHORT, 40, SHORT], 2)
}

fn generate_with(random: &mut Random, views: impl Fn(&[Table], &mut Random) -> Value) -> Generated {
    generate_rows(random, views, &[SHORT; TABLES], 0)
}

/// `rows`: less than so many of each table; the last `streams` are streams.
fn generate_rows(random: &mut Random, views: impl Fn(&[Table], &mut Random) -> Value, rows: &[usize], streams: usize) -> Generated {
    let new = |(i, &most): (usize, &usize)| {
        let stream = i + streams >= rows.len();
        Table { keyed: !stream && (i == 0 || random.percent(65)), stream, most, rows: Vec::new() }
    };
    let mut tables: Vec<Table> = rows.iter().enumerate().map(new).collect();
    let mut files = Vec::new();
    let mut declared = Map::new();
    let mut first = String::new();
    for (i, table) in tables.iter_mut().enumerate() {
        for _ in 0..random.below(table.most) {
            if let Some(row) = fresh(table, random) {
                table.rows.push(row);
            }
        }
        let key = if table.keyed { vec!["id"] } else { Vec::new() };
        let columns = json!({"id": "int32", "a": "int32", "b": "int32", "c": "text", "v": "int32"});
        let mut options = json!({"key": key, "columns": columns});
        let rows = || table.rows.iter().map(|row| Value::Object(row.clone()));
        if table.stream {
            // Without a file of its own, it has its rows by the changes.
            options["stream"] = true.into();
            let inserts: String =
                rows().map(|row| format!("{}\n", json!({"table": format!("t{i}"), "op": "insert", "after": row}))).collect();
            first += &if inserts.is_empty() { inserts } else { format!("{{\"begin\": true}}\n{inserts}{{\"commit\": true}}\n") };
        } else {
            options["jsonl"] = format!("t{i}.jsonl").into();
            files.push((format!("t{i}.jsonl"), rows().map(|row| format!("{row}\n")).collect::<String>()));
        }
        declared.insert(format!("t{i}"), options);
    }
    let spec = json!({
        "sources": {"s": {"kind": "file", "options": {"tables": declared, "changes": "changes.jsonl"}}},
        "views": views(&tables, random),
    });
    files.push(("spec.yaml".into(), format!("{spec:#}\n")));
    let changes: String = (0..3 + random.below(8)).map(|_| transaction(&mut tables, random)).collect();
    Generated { files, changes: first + &changes }
}

fn row(id: i64, random: &mut Random) -> Map<String, Value> {
    let mut out = Map::new();
    out.insert("id".into(), id.into());
    for column in &COLUMNS[1..] {
        out.insert(column.to_string(), any(column, random));
    }
    out
}

fn any(column: &str, random: &mut Random) -> Value {
    match column {
        _ if random.percent(15) => Value::Null,
        "c" => (*random.pick(&TEXTS)).into(),
        _ => (random.below(4) as i64).into(),
    }
}

/// A row that the table can take.
fn fresh(table: &Table, random: &mut Random) -> Option<Map<String, Value>> {
    let id = random.below(table.most + 1) as i64;
    let taken = table.keyed && table.rows.iter().any(|row| row["id"] == id);
    (!taken).then(|| row(id, random))
}

fn transaction(tables: &mut [Table], random: &mut Random) -> String {
    let count = 1 + random.below(6);
    let mut lines = Vec::new();
    for _ in 0..count {
        // Mostly of the one that is long.
        let long = tables[0].most > SHORT && random.percent(60);
        let place = if long { 0 } else { random.below(tables.len()) };
        change(place, &mut tables[place], random, &mut lines);
    }
    if lines.is_empty() {
        // Nothing could be changed as it fell: a row of the last table that comes and goes.
        let last = tables.iter().rposition(|table| !table.stream).expect("there is a table that is no stream");
        let (name, row) = (format!("t{last}"), Value::Object(row(1000, random)));
        lines.push(json!({"table": name, "op": "insert", "after": row}));
        lines.push(json!({"table": name, "op": "delete", "before": row}));
    }
    let lines: String = lines.iter().map(|line| format!("{line}\n")).collect();
    format!("{{\"begin\": true}}\n{lines}{{\"commit\": true}}\n")
}

fn change(place: usize, table: &mut Table, random: &mut Random, lines: &mut Vec<Value>) {
    let name = format!("t{place}");
    if table.rows.is_empty() || table.stream || random.percent(30) {
        if let Some(row) = fresh(table, random) {
            lines.push(json!({"table": name, "op": "insert", "after": row}));
            table.rows.push(row);
        }
        return;
    }
    let at = random.below(table.rows.len());
    let before = table.rows[at].clone();
    match random.below(10) {
        0..3 => {
            table.rows.swap_remove(at);
            lines.push(json!({"table": name, "op": "delete", "before": before}));
        }
        // The same row goes and comes again, or one like it.
        3 => {
            let mut after = before.clone();
            if random.percent(50) {
                after.insert("v".into(), any("v", random));
            }
            lines.push(json!({"table": name, "op": "delete", "before": before}));
            lines.push(json!({"table": name, "op": "insert", "after": after}));
            table.rows[at] = after;
        }
        _ => {
            let mut after = before.clone();
            let free = fresh(table, random);
            match (random.below(5), free) {
                // Another key.
                (0, Some(free)) => drop(after.insert("id".into(), free["id"].clone())),
                (n, _) => {
                    let column = COLUMNS[n.max(1)];
                    after.insert(column.into(), any(column, random));
                }
            }
            lines.push(json!({"table": name, "op": "update", "before": before, "after": after}));
            table.rows[at] = after;
        }
    }
}
