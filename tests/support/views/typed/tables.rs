//! The tables of a case and their changes.

use serde_json::{Map, Value, json};

use super::COLUMNS;
use crate::support::random::Random;

type Row = Map<String, Value>;

pub(super) const TABLES: usize = 3;
/// The most rows that a table has at the beginning.
const ROWS: usize = 6;

const INTS: [i64; 6] = [-3, 0, 1, 2, 4, 7];
const DECIMALS: [&str; 8] = ["-2.75", "-0.05", "0.00", "0.50", "1.00", "1.25", "2.50", "10.99"];
const DOUBLES: [f64; 6] = [-2.5, -0.25, 0.0, 0.5, 1.5, 4.0];
const TEXTS: [&str; 7] = ["", "a", "ab", "B", "b ", "é", "10"];
const DATES: [&str; 6] = ["1969-12-31", "2015-07-15", "2024-02-29", "2024-03-10", "2024-03-31", "2024-12-31"];
/// Around changes of the clock in New York and Berlin, ends of months and of a year.
const TIMES: [&str; 8] = [
    "1969-12-31T23:59:59.999999",
    "2015-07-15T10:20:30.500000",
    "2024-01-31T00:00:00.000000",
    "2024-02-29T12:00:00.000000",
    "2024-03-10T07:30:00.000000",
    "2024-03-31T02:30:00.000000",
    "2024-10-27T01:30:00.123456",
    "2024-12-31T23:00:00.000000",
];
const JSONS: [&str; 3] = ["{\"a\":1}", "[1,2.50]", "\"x\""];

pub(super) struct Tables {
    /// Each with whether it has a key.
    tables: Vec<(bool, Vec<Row>)>,
}

fn any(name: &str, random: &mut Random) -> Value {
    match name {
        _ if random.percent(15) => Value::Null,
        "m" => serde_json::from_str::<Value>(DECIMALS[random.below(DECIMALS.len())]).expect("a number"),
        "f" => (*random.pick(&DOUBLES)).into(),
        "c" => (*random.pick(&TEXTS)).into(),
        "d" => (*random.pick(&DATES)).into(),
        "w" => (*random.pick(&TIMES)).into(),
        "z" => format!("{}Z", random.pick(&TIMES)).into(),
        "j" => serde_json::from_str::<Value>(JSONS[random.below(JSONS.len())]).expect("JSON"),
        _ => (*random.pick(&INTS)).into(),
    }
}

impl Tables {
    pub(super) fn new(random: &mut Random) -> Tables {
        let mut tables = Tables { tables: (0..TABLES).map(|n| (n == 0 || random.percent(70), Vec::new())).collect() };
        for table in 0..TABLES {
            for _ in 0..random.below(ROWS + 1) {
                let fresh = tables.fresh(table, random);
                tables.tables[table].1.extend(fresh);
            }
        }
        tables
    }

    /// The files of rows, and what the spec says of the tables.
    pub(super) fn files(&self) -> (Vec<(String, String)>, Map<String, Value>) {
        let (mut files, mut declared) = (Vec::new(), Map::new());
        let types: Map<String, Value> = COLUMNS.iter().map(|(name, ty, _)| (name.to_string(), (*ty).into())).collect();
        for (n, (keyed, rows)) in self.tables.iter().enumerate() {
            let key: &[&str] = if *keyed { &["id"] } else { &[] };
            declared.insert(format!("u{n}"), json!({"jsonl": format!("u{n}.jsonl"), "key": key, "columns": types}));
            files.push((format!("u{n}.jsonl"), rows.iter().map(|row| format!("{}\n", Value::Object(row.clone()))).collect()));
        }
        (files, declared)
    }

    /// A row that the table can take.
    fn fresh(&self, table: usize, random: &mut Random) -> Option<Row> {
        let (keyed, rows) = &self.tables[table];
        let id: Value = random.below(ROWS + 2).into();
        let is_taken = *keyed && rows.iter().any(|row| row["id"] == id);
        let row = COLUMNS.iter().map(|(name, ..)| (name.to_string(), if *name == "id" { id.clone() } else { any(name, random) }));
        let row: Row = row.collect();
        (!is_taken).then_some(row)
    }

    pub(super) fn transaction(&mut self, random: &mut Random) -> String {
        let changes: Vec<Value> = (0..1 + random.below(5)).filter_map(|_| self.change(random)).collect();
        let lines: String = changes.iter().map(|change| format!("{change}\n")).collect();
        if lines.is_empty() { lines } else { format!("{{\"begin\": true}}\n{lines}{{\"commit\": true}}\n") }
    }

    fn change(&mut self, random: &mut Random) -> Option<Value> {
        let table = random.below(TABLES);
        let name = format!("u{table}");
        let count = self.tables[table].1.len();
        if count == 0 || random.percent(30) {
            let row = self.fresh(table, random)?;
            self.tables[table].1.push(row.clone());
            return Some(json!({"table": name, "op": "insert", "after": row}));
        }
        let at = random.below(count);
        if random.percent(30) {
            let before = self.tables[table].1.swap_remove(at);
            return Some(json!({"table": name, "op": "delete", "before": before}));
        }
        let before = self.tables[table].1[at].clone();
        let mut after = before.clone();
        for _ in 0..1 + random.below(3) {
            let (name, ..) = COLUMNS[1 + random.below(COLUMNS.len() - 1)];
            after.insert(name.into(), any(name, random));
        }
        self.tables[table].1[at] = after.clone();
        Some(json!({"table": name, "op": "update", "before": before, "after": after}))
    }
}
