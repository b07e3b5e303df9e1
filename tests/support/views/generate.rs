//! Random view shapes, tables and transactions.
//!
//! Few values, so that relations have no match, one and several; NULLs; tables with and without a key; shapes to four levels below the
//! root. The spec is JSON, which is YAML.

use serde_json::{Map, Value, json};

use super::random::Random;
use super::windows;

/// The files of a case, and its changes.
pub(crate) struct Generated {
    pub(crate) files: Vec<(String, String)>,
    pub(crate) changes: String,
}

const TABLES: usize = 4;
/// How many rows tables begin with, at most, where nothing else is said.
const SHORT: usize = 7;
const COLUMNS: [&str; 5] = ["id", "a", "b", "c", "v"];
const TEXTS: [&str; 5] = ["x", "y", "x_y", "", "é"];

struct Table {
    keyed: bool,
    /// It begins with less rows than that.
    most: usize,
    rows: Vec<Map<String, Value>>,
}

struct Shape<'r> {
    random: &'r mut Random,
    lookups: Vec<Value>,
    /// Paths that lookups may lie in, the columns by which each is reached, and how deep it is.
    parents: Vec<(String, Vec<&'static str>, usize)>,
}

/// A random view of documents.
pub(crate) fn generate(seed: u64) -> Generated {
    let mut random = Random::new(seed);
    let view = |tables: &[Table], random: &mut Random| json!({"v": view(random, tables)});
    generate_with(&mut random, view)
}

/// A few random queries of a grammar.
pub(crate) fn generate_queries(seed: u64, query: fn(&mut Random) -> String) -> Generated {
    let mut random = Random::new(seed);
    generate_with(&mut random, |_, random| (0..3).map(|n| (format!("q{n}"), json!({"sql": query(random)}))).collect::<Map<_, _>>().into())
}

/// A few random queries with window functions over a table that has more rows than a change is looked at with.
pub(crate) fn generate_windows(seed: u64) -> Generated {
    let mut random = Random::new(seed);
    let views = |_: &[Table], random: &mut Random| {
        (0..3).map(|n| (format!("q{n}"), json!({"sql": windows::windowed_long(random)}))).collect::<Map<_, _>>().into()
    };
    generate_rows(&mut random, views, &[200, SHORT, SHORT, SHORT])
}

fn generate_with(random: &mut Random, views: impl Fn(&[Table], &mut Random) -> Value) -> Generated {
    generate_rows(random, views, &[SHORT; TABLES])
}

/// `rows`: less than so many of each table.
fn generate_rows(random: &mut Random, views: impl Fn(&[Table], &mut Random) -> Value, rows: &[usize]) -> Generated {
    let keyed = |i: usize, random: &mut Random| i == 0 || random.percent(65);
    let new = |(i, &most): (usize, &usize)| Table { keyed: keyed(i, random), most, rows: Vec::new() };
    let mut tables: Vec<Table> = rows.iter().enumerate().map(new).collect();
    let mut files = Vec::new();
    let mut declared = Map::new();
    for (i, table) in tables.iter_mut().enumerate() {
        for _ in 0..random.below(table.most) {
            if let Some(row) = fresh(table, random) {
                table.rows.push(row);
            }
        }
        let text: String = table.rows.iter().map(|row| format!("{}\n", Value::Object(row.clone()))).collect();
        files.push((format!("t{i}.jsonl"), text));
        let key = if table.keyed { vec!["id"] } else { Vec::new() };
        let columns = json!({"id": "int32", "a": "int32", "b": "int32", "c": "text", "v": "int32"});
        declared.insert(format!("t{i}"), json!({"jsonl": format!("t{i}.jsonl"), "key": key, "columns": columns}));
    }
    let spec = json!({
        "sources": {"s": {"kind": "file", "options": {"tables": declared, "changes": "changes.jsonl"}}},
        "views": views(&tables, random),
    });
    files.push(("spec.yaml".into(), format!("{spec:#}\n")));
    let changes = (0..3 + random.below(8)).map(|_| transaction(&mut tables, random)).collect();
    Generated { files, changes }
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
        let (name, row) = (format!("t{}", tables.len() - 1), Value::Object(row(1000, random)));
        lines.push(json!({"table": name, "op": "insert", "after": row}));
        lines.push(json!({"table": name, "op": "delete", "before": row}));
    }
    let lines: String = lines.iter().map(|line| format!("{line}\n")).collect();
    format!("{{\"begin\": true}}\n{lines}{{\"commit\": true}}\n")
}

fn change(place: usize, table: &mut Table, random: &mut Random, lines: &mut Vec<Value>) {
    let name = format!("t{place}");
    if table.rows.is_empty() || random.percent(30) {
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

fn view(random: &mut Random, tables: &[Table]) -> Value {
    let root = if random.percent(70) { 0 } else { random.below(TABLES) };
    let mut out = Map::new();
    out.insert("from".into(), format!("s.t{root}").into());
    let mut key = vec!["id"];
    if !tables[root].keyed || random.percent(20) {
        key = random.pick(&[vec!["id"], vec!["id"], vec!["id", "a"], vec!["c", "id"]]).clone();
        out.insert("key".into(), json!(key));
    }
    input(&mut out, random, true);
    let mut shape = Shape { random, lookups: Vec::new(), parents: vec![(String::new(), key, 0)] };
    for i in 0..1 + shape.random.below(6) {
        shape.lookup(i, tables);
    }
    out.insert("lookup".into(), Value::Array(shape.lookups));
    Value::Object(out)
}

/// Filters and columns. `all`: no column may go.
fn input(out: &mut Map<String, Value>, random: &mut Random, all: bool) {
    if random.percent(20) {
        let filters = ["v > 0", "a is not null", "c <> 'x'", "v = 1 or b < 2", "not (a = b)", "v <> 2 and c is not null"];
        out.insert("where".into(), (*random.pick(&filters)).into());
    }
    match random.below(if all { 8 } else { 10 }) {
        0 => drop(out.insert("compute".into(), json!({"w": "v * 2 + 1"}))),
        1 => drop(out.insert("compute".into(), json!({"u": "upper(c)"}))),
        8 => drop(out.insert("columns".into(), json!(["id", "c", {"sum": "a + b"}]))),
        9 => drop(out.insert("exclude".into(), json!(["a", "v"]))),
        _ => {}
    }
}

impl Shape<'_> {
    fn lookup(&mut self, i: usize, tables: &[Table]) {
        // Often the deepest, so that there are deep ones.
        let deepest = self.parents.len() - 1;
        let at = if self.random.percent(50) { deepest } else { self.random.below(self.parents.len()) };
        let (parent, reached_by, depth) = self.parents[at].clone();
        let table = self.random.below(TABLES);
        let mut out = Map::new();
        out.insert("from".into(), format!("s.t{table}").into());
        let relation = self.relation(&reached_by);
        let field = |column: &str| if parent.is_empty() { column.to_string() } else { format!("{parent}.{column}") };
        let on: Map<String, Value> = relation.iter().map(|(p, c)| (field(p), (*c).into())).collect();
        out.insert("on".into(), on.into());
        let path = field(&format!("l{i}"));
        let form = self.random.below(10);
        let (orders, on_many) = (self.random.percent(40), self.random.percent(40));
        match form {
            0..4 => {
                out.insert("path".into(), path.clone().into());
                out.insert("type".into(), "array".into());
                if self.random.percent(25) {
                    out.insert("limit".into(), (1 + self.random.below(2)).into());
                }
                self.maybe(&mut out, "missing", 30, &["absent", "null", "empty"]);
                if self.random.percent(30) {
                    out.insert("aggregates".into(), aggregates(i));
                }
            }
            4..8 => {
                out.insert("path".into(), path.clone().into());
                out.insert("type".into(), "object".into());
                self.maybe(&mut out, "missing", 40, &["absent", "null"]);
            }
            8 => {
                out.insert("path".into(), "".into());
                out.insert("prefix".into(), format!("p{i}_").into());
                out.insert("columns".into(), json!(["id", "c", {"d": "v + 1"}]));
                self.maybe(&mut out, "missing", 40, &["absent", "null"]);
            }
            _ => drop(out.insert("aggregates".into(), aggregates(i))),
        }
        if (4..9).contains(&form) && on_many {
            self.maybe(&mut out, "on_many", 100, &["first", "last", "last", "error"]);
        }
        if form < 9 && orders {
            let orders = [json!("v desc"), json!(["c", "a desc"]), json!(["b desc", "v asc"])];
            out.insert("order_by".into(), self.random.pick(&orders).clone());
        }
        if form < 8 {
            // Columns that are not shown end the order of rows without a key in a way of the engine's own.
            input(&mut out, self.random, !tables[table].keyed);
            if depth < 3 {
                self.parents.push((path, relation.iter().map(|(_, c)| *c).collect(), depth + 1));
            }
        }
        self.lookups.push(Value::Object(out));
    }

    /// Parent's and child's columns. Often the columns by which the parent itself is reached, where no index is needed.
    fn relation(&mut self, reached_by: &[&'static str]) -> Vec<(&'static str, &'static str)> {
        const INTEGERS: [&str; 4] = ["id", "a", "b", "v"];
        if self.random.percent(30) {
            let like = |column: &&'static str| (*column, if *column == "c" { "c" } else { *self.random.pick(&INTEGERS) });
            let pairs: Vec<_> = reached_by.iter().map(like).collect();
            if pairs.len() < 2 || pairs[0].1 != pairs[1].1 {
                return pairs;
            }
        }
        match self.random.below(6) {
            0 => vec![("c", "c")],
            1 => vec![("a", "b"), ("c", "c")],
            2 => vec![("a", "a"), ("b", "b")],
            _ => vec![(*self.random.pick(&INTEGERS), *self.random.pick(&INTEGERS))],
        }
    }

    fn maybe(&mut self, out: &mut Map<String, Value>, key: &str, percent: usize, of: &[&str]) {
        if self.random.percent(percent) {
            out.insert(key.into(), (*self.random.pick(of)).into());
        }
    }
}

fn aggregates(i: usize) -> Value {
    json!({format!("n{i}"): "count()", format!("s{i}"): "sum(v)", format!("m{i}"): "min(c)", format!("x{i}"): "max(b)", format!("k{i}"): "count(a)"})
}
