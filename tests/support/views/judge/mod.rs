//! What the queries of views give at PostgreSQL, on the tables as they are after every transaction.
//!
//! The tables stand in a schema with the source's name, the views before a query in the search path. PostgreSQL gets a query's own text;
//! `dialect.rs` has what must be said in other words there, `dialect.sql` the functions that it does not have, and `differences.rs` the list of all that is
//! another dialect. In the long mode DuckDB is asked too (`duckdb/`), and both must say the same.

mod client;
mod confirmed;
mod databases;
pub(crate) mod dialect;
pub(crate) mod differences;
pub(crate) mod duckdb;
pub(crate) mod values;

pub(crate) use self::confirmed::{confirm, confirm_end};
use self::values::Nearness;

use std::fmt::{self, Write};

use tidemill::plan::{Body, Uniqueness, View, WrittenFrom, WrittenQuery, WrittenView};
use tidemill::sources::Table;
use tidemill::value::{Column, Layout, Schema};

use self::client::{Client, Refusal, Texts};
use self::databases::Database;
use super::engine::Prepared;
use super::recording::Contents;
use super::wrong::Wrong;

/// The rows of a query as JSON, sorted.
pub(crate) type Rows = Vec<String>;

#[derive(Debug, Clone)]
pub(crate) struct Answer {
    /// The view's.
    pub(crate) name: String,
    /// The names of the columns that make a row unique; empty: none are known.
    pub(crate) key: Vec<String>,
    pub(crate) schema: Schema,
    /// Of what the documents of a view are made.
    pub(crate) of_document: bool,
    pub(crate) nearness: Nearness,
    pub(crate) rows: Rows,
    /// DuckDB's, where it was asked and has an answer.
    pub(crate) by_duckdb: Option<Rows>,
}

impl Answer {
    pub(crate) fn has(&self, row: &str) -> bool {
        self.rows.iter().any(|right| right == row || values::near(&self.schema, self.nearness, row, right))
    }

    /// Whether sorted rows that were seen are these, for every judge.
    pub(crate) fn is(&self, rows: &[String]) -> bool {
        std::iter::once(&self.rows).chain(&self.by_duckdb).all(|right| self.are_near(rows, right))
    }

    fn are_near(&self, rows: &[String], right: &[String]) -> bool {
        if right == rows {
            return true;
        }
        let (mut seen, mut right) = (without(rows, right), without(right, rows));
        seen.retain(|is| {
            let near = right.iter().position(|right| values::near(&self.schema, self.nearness, is, right));
            near.map(|near| right.swap_remove(near)).is_none()
        });
        seen.is_empty() && right.is_empty()
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.rows)?;
        match self.by_duckdb.as_ref().filter(|rows| **rows != self.rows) {
            Some(rows) => write!(f, "\n DuckDB {rows:?}"),
            None => Ok(()),
        }
    }
}

/// The sorted rows that are not among the others.
fn without(rows: &[String], others: &[String]) -> Vec<String> {
    let mut others = others.iter().peekable();
    let mut out = Vec::new();
    for row in rows {
        while others.next_if(|other| *other < row).is_some() {}
        if others.next_if_eq(&row).is_none() {
            out.push(row.clone());
        }
    }
    out
}

/// The text of a query, or another one that the judges shall be asked instead of it.
pub(crate) type Saying = fn(&str) -> String;

/// Of a view: `None` for one of documents of tables, an error with the reason where PostgreSQL has no answer.
pub(crate) type Judged = Option<Result<Answer, String>>;

/// What each view's query gives in each of the states; of documents, what their own one gives, where they have one.
pub(crate) fn answers(prepared: &Prepared, states: &[&Contents]) -> Result<Vec<Vec<Option<Answer>>>, Wrong> {
    answers_to(prepared, states, str::to_string)
}

/// The same of other texts.
pub(crate) fn answers_to(prepared: &Prepared, states: &[&Contents], say: Saying) -> Result<Vec<Vec<Option<Answer>>>, Wrong> {
    let judged = judged(prepared, states, say)?;
    let answers = |views: Vec<Judged>| views.into_iter().map(Option::transpose).collect::<Result<_, String>>();
    judged.into_iter().map(answers).collect::<Result<_, _>>().map_err(Wrong::Unanswered)
}

/// Fails where PostgreSQL does not have the tables, and where DuckDB contradicts it.
pub(crate) fn judged(prepared: &Prepared, states: &[&Contents], say: Saying) -> Result<Vec<Vec<Judged>>, Wrong> {
    if prepared.spec.views.iter().all(|view| query_of(view).is_none()) {
        return Ok(states.iter().map(|_| prepared.spec.views.iter().map(|_| None).collect()).collect());
    }
    // The judges are waited for without a word to the runtime.
    tokio::task::block_in_place(|| {
        let mut judged = judged_in(Database::take().client(), prepared, states, say).map_err(Wrong::Unanswered)?;
        if duckdb::is_wanted() {
            duckdb::judge_too(prepared, states, say, &mut judged)?;
        }
        Ok(judged)
    })
}

fn judged_in(client: &mut Client, prepared: &Prepared, states: &[&Contents], say: Saying) -> Result<Vec<Vec<Judged>>, String> {
    let source = quoted(&prepared.name);
    let tables: Vec<String> = prepared.tables.iter().map(|table| format!("{source}.{}", quoted(&table.name))).collect();
    let mut made = format!("CREATE SCHEMA {source};");
    for (table, name) in prepared.tables.iter().zip(&tables) {
        made += &table_made(table, name)?;
    }
    client.query(&made).map_err(|error| failure(&made, &error))?;
    let mut asked = Vec::new();
    for (written, view) in prepared.spec.views.iter().zip(&prepared.plan.views) {
        let Some(query) = query_of(written) else {
            asked.push(None);
            continue;
        };
        client.query("SAVEPOINT before").unwrap();
        let view = Asked::new(client, view, &say(&query.sql.value));
        if view.is_err() {
            client.query("ROLLBACK TO before").unwrap();
        }
        asked.push(Some(view));
    }
    let mut out = Vec::new();
    for contents in states {
        out.push(in_state(client, &loaded(&tables, contents), &asked)?);
    }
    Ok(out)
}

/// All at once; one by one if one of them fails.
fn in_state(client: &mut Client, loaded: &str, asked: &[Option<Result<Asked, String>>]) -> Result<Vec<Judged>, String> {
    let select: String = asked.iter().flatten().flatten().map(|asked| format!("{};", asked.select)).collect();
    let mut results = match client.query(&format!("SAVEPOINT before;{loaded}{select}")) {
        Ok(results) => results.into_iter().map(Ok).collect::<Vec<_>>(),
        Err(_) => {
            let loaded = format!("ROLLBACK TO before;{loaded}");
            client.query(&loaded).map_err(|error| failure(&loaded, &error))?;
            let mut results = Vec::new();
            for asked in asked.iter().flatten().flatten() {
                let answer = client.query(&format!("SAVEPOINT before;{}", asked.select));
                if answer.is_err() {
                    client.query("ROLLBACK TO before").unwrap();
                }
                let answer = answer.map_err(|error| failure(&asked.text, &error));
                results.push(answer.map(|mut rows| rows.pop().expect("a query has an answer")));
            }
            results
        }
    }
    .into_iter();
    let judged = |asked: &Result<Asked, String>| match asked {
        Ok(asked) => results.next().expect("each query has an answer").and_then(|rows| asked.answer(rows)),
        Err(reason) => Err(reason.clone()),
    };
    let mut judged = judged;
    Ok(asked.iter().map(|asked| asked.as_ref().map(&mut judged)).collect())
}

/// A query that PostgreSQL has as a view.
struct Asked {
    name: String,
    key: Vec<String>,
    schema: Schema,
    of_document: bool,
    /// The query itself.
    text: String,
    select: String,
}

impl Asked {
    fn new(client: &mut Client, view: &View, sql: &str) -> Result<Asked, String> {
        let name = quoted(&view.name);
        let text = dialect::at_postgres(sql);
        let names = match &view.body {
            Body::Query(_) => {
                let names: Vec<String> = view.schema.columns().iter().map(|column| quoted(&column.name)).collect();
                format!("({})", names.join(", "))
            }
            Body::Document(_) => String::new(),
        };
        let made = format!("CREATE VIEW public.{name} {names} AS {text}");
        client.query(&made).map_err(|error| failure(&made, &error))?;
        let given = columns(client, &name)?;
        let schema = match &view.body {
            Body::Query(_) => view.schema.clone(),
            Body::Document(_) => {
                let column = |(name, given): &(String, String)| Ok(Column::new(name, values::type_of(given)?, true));
                Schema::new(given.iter().map(column).collect::<Result<_, String>>()?)
            }
        };
        if given.len() != schema.len() {
            return Err(format!("the view has {} columns, PostgreSQL gives {given:?}", schema.len()));
        }
        let column = |(column, (_, given)): (&Column, &(String, String))| values::selected(&quoted(&column.name), &column.ty, given);
        let selected: Vec<String> = schema.columns().iter().zip(&given).map(column).collect();
        let select = format!("SELECT {} FROM public.{name}", selected.join(", "));
        let of_document = matches!(view.body, Body::Document(_));
        Ok(Asked { name: view.name.clone(), key: key_of(view), schema, of_document, text, select })
    }

    fn answer(&self, rows: Vec<Texts>) -> Result<Answer, String> {
        let layout = Layout::new(&self.schema);
        let row = |row: Texts| values::row(&layout, &row.iter().map(Option::as_deref).collect::<Vec<_>>());
        let mut rows = rows.into_iter().map(row).collect::<Result<Rows, _>>()?;
        rows.sort();
        Ok(Answer {
            name: self.name.clone(),
            key: self.key.clone(),
            schema: self.schema.clone(),
            of_document: self.of_document,
            nearness: dialect::nearness(&self.text),
            rows,
            by_duckdb: None,
        })
    }
}

/// The columns of a view at PostgreSQL, each with its type.
fn columns(client: &mut Client, name: &str) -> Result<Vec<(String, String)>, String> {
    let of_view = format!("attrelid = {}::regclass", literal(&format!("public.{name}")));
    let asked = format!("SELECT attname, format_type(atttypid, NULL) FROM pg_attribute WHERE {of_view} AND attnum > 0 ORDER BY attnum");
    let rows = client.query(&asked).map_err(|error| failure(&asked, &error))?.remove(0);
    let text = |text: &Option<String>| text.clone().expect("a column has a name and a type");
    Ok(rows.iter().map(|row| (text(&row[0]), text(&row[1]))).collect())
}

fn table_made(table: &Table, name: &str) -> Result<String, String> {
    let column = |column: &Column| Ok(format!("{} {}", quoted(&column.name), values::column_type(&column.ty)?));
    let columns: Vec<String> = table.schema.columns().iter().map(column).collect::<Result<_, String>>()?;
    Ok(format!("CREATE TABLE {name} ({});", columns.join(", ")))
}

/// The statements that put the tables' contents in place of what is there.
fn loaded(tables: &[String], contents: &Contents) -> String {
    let mut out = String::new();
    for (table, rows) in tables.iter().zip(contents) {
        write!(out, "DELETE FROM {table};").unwrap();
        if !rows.is_empty() {
            let rows: Vec<&str> = rows.iter().flat_map(|(row, count)| vec![row.as_str(); *count as usize]).collect();
            let rows = literal(&format!("[{}]", rows.join(",")));
            write!(out, "INSERT INTO {table} SELECT * FROM json_populate_recordset(NULL::{table}, {rows});").unwrap();
        }
    }
    out
}

fn query_of(view: &WrittenView) -> Option<&WrittenQuery> {
    let root = view.document().and_then(|document| document.root.from.as_ref());
    match root.map(|from| &from.value) {
        Some(WrittenFrom::Query(query)) => Some(query),
        _ => view.query(),
    }
}

/// The names of the columns that make a row unique, as far as the planner knows.
fn key_of(view: &View) -> Vec<String> {
    match &view.body {
        Body::Query(query) if query.uniqueness == Uniqueness::None => Vec::new(),
        _ => view.key.iter().map(|&k| view.schema.columns()[k].name.clone()).collect(),
    }
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

fn failure(statement: &str, refused: &Refusal) -> String {
    format!("PostgreSQL has no answer: {refused}\n{statement}")
}
