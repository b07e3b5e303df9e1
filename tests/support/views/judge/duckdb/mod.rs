//! What the same queries give at DuckDB, the second judge: with `TIDEMILL_LONG=1`, or `TIDEMILL_DUCKDB=1`.
//!
//! Its answers must be PostgreSQL's: both judges are asked about the same states, and where they contradict each other the case does not hold.
//! DuckDB gets a query's own text; `dialect.rs` has what must be said in other words there, `session.sql` the settings and functions, and
//! `differences.rs` the list of all that is another dialect. What it does not have it refuses: then PostgreSQL judges alone, and the tests count
//! that. A process of DuckDB's that does not answer ends the test.

pub(crate) mod dialect;
pub(crate) mod differences;
pub(crate) mod process;

use std::path::Path;
use std::process::Command;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};
use tidemill::sources::Table;
use tidemill::value::{Column, Layout, Type};

use self::process::Process;
use super::super::engine::Prepared;
use super::super::recording::{Contents, Object};
use super::super::wrong::Wrong;
use super::{Answer, Judged, Rows, Saying, query_of, values};
use crate::long;

/// All queries of a case in all its states take well under a second; not so on a machine that has much else to do.
const LONGEST: Duration = Duration::from_secs(180);

pub(crate) fn is_wanted() -> bool {
    long::is_wanted() || std::env::var_os("TIDEMILL_DUCKDB").is_some_and(|value| !value.is_empty() && value != "0")
}

#[derive(Debug, Deserialize)]
struct Answers {
    views: Vec<View>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
enum View {
    Refused(#[allow(dead_code, reason = "for whoever looks at an answer")] String),
    States(Vec<State>),
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
enum State {
    Refused(#[allow(dead_code, reason = "for whoever looks at an answer")] String),
    Rows(Vec<Vec<Value>>),
}

/// Puts DuckDB's rows beside PostgreSQL's, of which `judged` has the answers of each view in each state. Fails where they are others.
pub(super) fn judge_too(prepared: &Prepared, states: &[&Contents], say: Saying, judged: &mut [Vec<Judged>]) -> Result<(), Wrong> {
    let asked: Vec<Asked> = (0..prepared.plan.views.len()).filter_map(|place| Asked::new(prepared, place, say, judged)).collect();
    if asked.is_empty() {
        return Ok(());
    }
    let tables = &prepared.tables;
    let request = json!({
        "schema": prepared.name,
        "tables": tables.iter().map(table).collect::<Result<Vec<_>, _>>().map_err(Wrong::Unanswered)?,
        "states": states.iter().map(|contents| tables.iter().zip(*contents).map(rows_of).collect()).collect::<Vec<Vec<Value>>>(),
        "views": asked.iter().map(|asked| &asked.request).collect::<Vec<_>>(),
    });
    let Answers { views } = answers(&request);
    assert_eq!(views.len(), asked.len(), "DuckDB answers for each view");
    for (asked, view) in asked.iter().zip(views) {
        let View::States(found) = view else { continue };
        assert_eq!(found.len(), judged.len(), "DuckDB answers for each state");
        for (state, (found, judged)) in found.into_iter().zip(judged.iter_mut()).enumerate() {
            let (State::Rows(rows), Some(Some(Ok(answer)))) = (found, judged.get_mut(asked.place)) else { continue };
            let differ = |why: String| Wrong::Judges(format!("`{}`, in state {state}: {why}\n{}", answer.name, asked.text()));
            let rows = in_words_of(answer, rows).map_err(|why| differ(format!("DuckDB has {why}")))?;
            if !answer.is(&rows) {
                return Err(differ(format!("the judges differ\n DuckDB     {rows:?}\n PostgreSQL {:?}", answer.rows)));
            }
            answer.by_duckdb = Some(rows);
        }
    }
    Ok(())
}

/// How many views have DuckDB's answer in every one of the states.
pub(crate) fn answered(states: &[Vec<Option<Answer>>]) -> usize {
    let views = states.first().map_or(0, Vec::len);
    let is_answered = |answer: &Option<Answer>| answer.as_ref().is_some_and(|answer| answer.by_duckdb.is_some());
    (0..views).filter(|&view| states.iter().all(|views| is_answered(&views[view]))).count()
}

/// A query that PostgreSQL answers.
struct Asked {
    place: usize,
    request: Value,
}

impl Asked {
    fn new(prepared: &Prepared, place: usize, say: Saying, judged: &[Vec<Judged>]) -> Option<Asked> {
        let query = query_of(&prepared.spec.views[place])?;
        let answer = judged.iter().find_map(|views| views[place].as_ref()?.as_ref().ok())?;
        let columns = answer.schema.columns();
        let names = (!answer.of_document).then(|| columns.iter().map(|column| &column.name).collect::<Vec<_>>());
        let scale = |column: &Column| if let Type::Decimal { scale, .. } = column.ty { Some(scale) } else { None };
        let request = json!({
            "name": answer.name,
            "text": dialect::at_duckdb(&say(&query.sql.value))?,
            "columns": names,
            "scales": columns.iter().map(scale).collect::<Vec<_>>(),
        });
        Some(Asked { place, request })
    }

    fn text(&self) -> &str {
        self.request["text"].as_str().expect("it is a text")
    }
}

fn table(table: &Table) -> Result<Value, String> {
    let column = |column: &Column| Ok(json!([column.name, column_type(&column.ty)?]));
    let columns: Vec<Value> = table.schema.columns().iter().map(column).collect::<Result<_, String>>()?;
    Ok(json!({"name": table.name, "columns": columns}))
}

/// The type of a table's column at DuckDB that holds exactly the same values.
fn column_type(ty: &Type) -> Result<String, String> {
    Ok(match ty {
        Type::DateTime { .. } => "TIMESTAMP".into(),
        Type::Timestamp { .. } => "TIMESTAMP WITH TIME ZONE".into(),
        other => values::column_type(other)?,
    })
}

/// The rows of a table, each as often as it is there.
fn rows_of((table, rows): (&Table, &std::collections::BTreeMap<String, i64>)) -> Value {
    let is_json = |name: &str| table.schema.columns().iter().any(|column| column.name == name && column.ty == Type::Json);
    let row = |text: &str| {
        let mut row: Object = serde_json::from_str(text).expect("a row is an object");
        let documents = row.iter_mut().filter(|(name, value)| !value.is_null() && is_json(name));
        documents.for_each(|(_, value)| *value = value.to_string().into());
        Value::Object(row)
    };
    rows.iter().flat_map(|(text, count)| vec![row(text); *count as usize]).collect()
}

/// DuckDB's rows as the engine writes them, sorted.
fn in_words_of(answer: &Answer, rows: Vec<Vec<Value>>) -> Result<Rows, String> {
    let layout = Layout::new(&answer.schema);
    let row = |row: Vec<Value>| {
        let columns = answer.schema.columns().iter().zip(row);
        values::row_of(&layout, columns.map(|(column, value)| (column.name.clone(), given(&column.ty, value))).collect())
    };
    let mut rows = rows.into_iter().map(row).collect::<Result<Rows, _>>()?;
    rows.sort();
    Ok(rows)
}

fn given(ty: &Type, value: Value) -> Value {
    match (ty, value) {
        (Type::Json, Value::String(text)) => serde_json::from_str(&text).unwrap_or(Value::String(text)),
        // The counts of a histogram.
        (Type::Json, Value::Object(counts)) => counts.into_iter().map(|(name, count)| (name, given(ty, count))).collect::<Object>().into(),
        (Type::List(item), Value::Array(items)) => items.into_iter().map(|value| given(item, value)).collect(),
        (Type::Struct(schema), Value::Object(fields)) => {
            let field = |(column, (_, value)): (&Column, (String, Value))| (column.name.clone(), given(&column.ty, value));
            schema.columns().iter().zip(fields).map(field).collect::<Object>().into()
        }
        (ty, Value::String(text)) => values::scalar(ty, &text),
        (_, value) => value,
    }
}

/// Of one of the processes, of which there are as many as cases ever ran at once. One that did not answer is not asked again.
fn answers(request: &Value) -> Answers {
    let free = free().pop();
    let mut process = free.unwrap_or_else(start);
    let answers = process.ask(request, LONGEST).unwrap_or_else(|why| panic!("DuckDB does not answer: {why}\n{}", request["views"]));
    self::free().push(process);
    answers
}

fn free() -> MutexGuard<'static, Vec<Process>> {
    static FREE: Mutex<Vec<Process>> = Mutex::new(Vec::new());
    FREE.lock().expect("nothing fails while it is held")
}

fn start() -> Process {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    Process::start(Command::new(root.join("tests/duckdb")).arg(root.join("tests/support/views/judge/duckdb/program.py")))
}
