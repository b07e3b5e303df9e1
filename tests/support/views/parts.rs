//! A generated case in the parts that can be left out of it: views, tables, rows, transactions, changes.
//!
//! Changes that make no sense after something is left out go too, so a case that is put together again is always one that a source can
//! say: no row goes that is not there, no key is there twice.

use serde_json::{Map, Value};

use super::case::transactions;
use super::generate::Generated;
use super::recording::Object;

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Parts {
    spec: Value,
    pub(crate) views: Vec<(String, Value)>,
    pub(crate) tables: Vec<TableRows>,
    pub(crate) transactions: Vec<Vec<Value>>,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct TableRows {
    pub(crate) name: String,
    /// What the spec says of it.
    option: Value,
    pub(crate) rows: Vec<Object>,
}

impl TableRows {
    fn key(&self) -> Vec<&str> {
        self.option["key"].as_array().map_or(Vec::new(), |key| key.iter().filter_map(Value::as_str).collect())
    }

    /// Whether a row can come.
    fn takes(&self, row: &Object) -> bool {
        let key = self.key();
        key.is_empty() || !self.rows.iter().any(|other| key.iter().all(|column| other[*column] == row[*column]))
    }
}

impl Parts {
    /// A spec in JSON with one file source, tables of JSON lines, and their changes.
    pub(crate) fn of(generated: &Generated) -> Parts {
        let file = |name: &str| {
            let (_, text) = generated.files.iter().find(|(file, _)| file == name).unwrap_or_else(|| panic!("there is no {name}"));
            text
        };
        let object = |line: &str| serde_json::from_str::<Object>(line).expect("a line is an object");
        let mut spec: Value = serde_json::from_str(file("spec.yaml")).expect("the spec is JSON");
        let Value::Object(views) = spec["views"].take() else { panic!("a spec has views") };
        let Value::Object(declared) = options(&mut spec)["tables"].take() else { panic!("the source has tables") };
        let table = |(name, option): (String, Value)| {
            // The rows of some tables come by the changes alone.
            let rows = option["jsonl"].as_str().map_or(Vec::new(), |name| file(name).lines().map(object).collect());
            TableRows { name, option, rows }
        };
        let changes = |piece: String| {
            let lines = piece.lines().map(|line| serde_json::from_str(line).expect("a change is JSON"));
            lines.filter(|change: &Value| change.get("table").is_some()).collect()
        };
        Parts {
            spec,
            views: views.into_iter().collect(),
            tables: declared.into_iter().map(table).collect(),
            transactions: transactions(&generated.changes).into_iter().map(changes).collect(),
        }
    }

    pub(crate) fn generated(&self) -> Generated {
        let mut spec = self.spec.clone();
        spec["views"] = Value::Object(self.views.iter().cloned().collect());
        let mut files = Vec::new();
        let mut declared = Map::new();
        for table in &self.tables {
            declared.insert(table.name.clone(), table.option.clone());
            if let Some(file) = table.option["jsonl"].as_str() {
                files.push((file.to_string(), table.rows.iter().map(|row| format!("{}\n", Value::Object(row.clone()))).collect()));
            }
        }
        options(&mut spec)["tables"] = declared.into();
        files.push(("spec.yaml".into(), format!("{spec:#}\n")));
        let transaction = |changes: &Vec<Value>| {
            let lines: String = changes.iter().map(|change| format!("{change}\n")).collect();
            format!("{{\"begin\": true}}\n{lines}{{\"commit\": true}}\n")
        };
        Generated { files, changes: self.transactions.iter().filter(|changes| !changes.is_empty()).map(transaction).collect() }
    }

    /// Without the changes that cannot be: of tables and rows that are not there any more, or of keys that are there already. An update of
    /// a row that is not there is the coming of what it leads to.
    pub(crate) fn mended(mut self) -> Parts {
        let mut now = self.tables.clone();
        for transaction in &mut self.transactions {
            *transaction = std::mem::take(transaction).into_iter().filter_map(|change| possible(&mut now, change)).collect();
        }
        self
    }
}

fn options(spec: &mut Value) -> &mut Value {
    let sources = spec["sources"].as_object_mut().expect("a spec has sources");
    let source = sources.values_mut().next().expect("a case has one source");
    &mut source["options"]
}

/// The change as it can be, done to `now`.
fn possible(now: &mut [TableRows], mut change: Value) -> Option<Value> {
    let table = now.iter_mut().find(|table| change["table"] == table.name.as_str())?;
    let image = |name: &str| change.get(name).and_then(Value::as_object).cloned();
    let (before, after) = (image("before"), image("after"));
    let gone = before.as_ref().and_then(|before| table.rows.iter().position(|row| row == before)).map(|at| table.rows.swap_remove(at));
    let Some(after) = after else { return gone.is_some().then_some(change) };
    if !table.takes(&after) {
        table.rows.extend(gone);
        return None;
    }
    table.rows.push(after);
    if before.is_some() && gone.is_none() {
        change["op"] = "insert".into();
        change.as_object_mut().expect("a change is an object").shift_remove("before");
    }
    Some(change)
}
