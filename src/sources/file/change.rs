//! Computes what a change in the changes file does to the rows in the engine's state.
//!
//! In: the object of a line. Out: the deleted and inserted rows, and an error for a part of the line that is bad; or an error for the whole
//! line, which then changes nothing. Guarantee: a deleted row is in the state, and an inserted row has a key that is not in the state. So a
//! table always matches its accepted lines: a line that contradicts the state is left out and reported with its table and key.
//!
//! - `before` of a table with a key needs only the key; other columns in it must equal the stored row. Without a key it is the whole row.
//! - `after` of an update may omit unchanged columns; columns that `after` of an insert omits are NULL.
//! - A row that cannot be read is not in its table, so an update whose `after` cannot be read deletes the row. An update of a row that is not
//!   in the state inserts `after` if it has all columns: the old row may have been left out, and is corrected now.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use serde_json::Value;

use super::bad_line::BadLine;
use super::current::Current;
use super::jsonl::{Rest, push_row};
use super::options::TableOptions;
use super::{Object, columns, tables};
use crate::sources::{SourceError, Table};
use crate::value::{Column, Datum, Diff, Layout, Row, RowBuilder, json, key};

/// The tables that a changes file may name.
#[derive(Debug)]
pub(super) struct Tables {
    /// By name; `None` for a table that is known but not captured.
    named: HashMap<String, Option<Captured>>,
    /// The names of streams whose rows are read from a file of their own.
    with_file: HashSet<String>,
}

#[derive(Debug)]
struct Captured {
    index: usize,
    table: Table,
    builder: RowBuilder,
    /// Builds rows of only the key's columns.
    key_builder: RowBuilder,
}

/// A line of the changes file.
#[derive(Debug, Clone, Copy)]
pub(super) struct ChangeLine<'a> {
    pub(super) path: &'a Path,
    pub(super) line: u64,
}

/// The effect of a line.
#[derive(Debug, Default)]
pub(super) struct Effect {
    pub(super) table: usize,
    pub(super) rows: Vec<(Row, Diff)>,
    /// The part of the line that is left out.
    pub(super) bad: Option<BadLine>,
}

/// Why a line has no effect.
#[derive(Debug)]
pub(super) enum RefusedLine {
    Bad(BadLine),
    /// The engine's state cannot be read.
    Failed(SourceError),
}

impl From<BadLine> for RefusedLine {
    fn from(bad: BadLine) -> RefusedLine {
        RefusedLine::Bad(bad)
    }
}

impl From<SourceError> for RefusedLine {
    fn from(error: SourceError) -> RefusedLine {
        RefusedLine::Failed(error)
    }
}

/// The images of a change.
#[derive(Debug, Clone, Copy)]
enum ChangeImages<'a> {
    Insert { after: &'a Object },
    Update { before: &'a Object, after: &'a Object },
    Delete { before: &'a Object },
}

/// The stored row that a change refers to.
enum Before {
    Held(Row),
    /// There is none, and this is the error to report.
    Nothing(BadLine),
}

impl Tables {
    /// `captured` are the captured tables, `known` all tables.
    pub(super) fn new(captured: &[Table], known: &[TableOptions]) -> Tables {
        let with_file = known.iter().filter(|table| table.is_followed()).map(|table| table.name.clone()).collect();
        let mut named: HashMap<_, _> = known.iter().map(|table| (table.name.clone(), None)).collect();
        for (index, table) in captured.iter().enumerate() {
            let builder = RowBuilder::new(&Layout::new(&table.schema));
            let key_builder = RowBuilder::new(&Layout::new(&table.schema.project(&table.key)));
            named.insert(table.name.clone(), Some(Captured { index, table: table.clone(), builder, key_builder }));
        }
        Tables { named, with_file }
    }

    /// Whether there is a table with this name, captured or not.
    pub(super) fn are(&self, name: &str) -> bool {
        self.named.contains_key(name)
    }

    /// Returns the effect of a change; an empty one if its table is not captured.
    pub(super) fn effect(&mut self, object: &Object, at: ChangeLine, current: &Current) -> Result<Effect, RefusedLine> {
        let (name, change) = self.read(object, at)?;
        let Some(Some(captured)) = self.named.get_mut(name) else { return Ok(Effect::default()) };
        let (rows, bad) = match change {
            ChangeImages::Insert { after } => (vec![(captured.insert(after, at, current)?, 1)], None),
            ChangeImages::Delete { before } => match captured.before(before, at, current)? {
                Before::Held(row) => (vec![(row, -1)], None),
                Before::Nothing(bad) => return Err(bad.into()),
            },
            ChangeImages::Update { before, after } => captured.update(before, after, at, current)?,
        };
        Ok(Effect { table: captured.index, rows, bad })
    }

    /// Applies a result of [`effect`](Tables::effect) for the table of this name.
    pub(super) fn apply(&self, name: &str, effect: &Effect, current: &mut Current) -> Result<(), SourceError> {
        let Some(Some(captured)) = self.named.get(name) else { return Ok(()) };
        effect.rows.iter().try_for_each(|(row, diff)| captured.apply(row, *diff, current))
    }

    fn read<'o>(&self, object: &'o Object, at: ChangeLine) -> Result<(&'o str, ChangeImages<'o>), BadLine> {
        let text = |field: &str| object.get(field).and_then(Value::as_str);
        let image = |field: &str| match object.get(field).and_then(Value::as_object) {
            Some(image) => Ok(image),
            None => Err(at.bad(format!("this change needs `{field}`, an object of columns"))),
        };
        let Some(name) = text("table") else { return Err(at.bad("a change needs `table`, the name of a table")) };
        let op = text("op").filter(|op| ["insert", "update", "delete"].contains(op));
        let op = op.ok_or_else(|| at.bad("a change needs `op`, one of \"insert\", \"update\", \"delete\""))?;
        let Some(captured) = self.named.get(name) else { return Err(at.bad(format!("there is no table `{name}`"))) };
        if captured.as_ref().is_some_and(|captured| captured.table.stream) && op != "insert" {
            return Err(at.bad(format!("`{name}` is a stream: its rows can only be inserted")));
        }
        if self.with_file.contains(name) {
            return Err(at.bad(format!("`{name}` is a stream with a file of its own: append the row to that file")));
        }
        let change = match op {
            "insert" => ChangeImages::Insert { after: image("after")? },
            "update" => ChangeImages::Update { before: image("before")?, after: image("after")? },
            _ => ChangeImages::Delete { before: image("before")? },
        };
        Ok((name, change))
    }
}

/// The effect of an update: deleted and inserted rows, and the part of the line that cannot be read.
type Updated = (Vec<(Row, Diff)>, Option<BadLine>);

impl Captured {
    fn insert(&mut self, after: &Object, at: ChangeLine, current: &Current) -> Result<Row, RefusedLine> {
        let arrived = self.table.stream.then_some(BEHIND_THE_ROWS + at.line);
        let row = self.row(after, Rest::from(arrived), at)?;
        self.check_not_held(&row, at, current)?;
        Ok(row)
    }

    fn update(&mut self, before: &Object, after: &Object, at: ChangeLine, current: &Current) -> Result<Updated, RefusedLine> {
        match self.before(before, at, current)? {
            Before::Held(old) => match self.row(after, Rest::As(&old), at) {
                Ok(new) => {
                    if self.key_of(&old) != self.key_of(&new) {
                        self.check_not_held(&new, at, current)?;
                    }
                    Ok((vec![(old, -1), (new, 1)], None))
                }
                Err(bad) => Ok((vec![(old, -1)], Some(bad))),
            },
            Before::Nothing(bad) => {
                let whole = self.own_columns().iter().all(|column| after.contains_key(&column.name));
                let new = if whole { self.row(after, Rest::Null, at) } else { Err(bad.clone()) };
                let new = new?;
                self.check_not_held(&new, at, current)?;
                Ok((vec![(new, 1)], Some(bad)))
            }
        }
    }

    /// Finds the stored row of this image. Fails if the image contradicts it or does not identify it.
    fn before(&mut self, image: &Object, at: ChangeLine, current: &Current) -> Result<Before, RefusedLine> {
        if self.table.key.is_empty() { self.before_whole(image, at, current) } else { self.before_by_key(image, at, current) }
    }

    fn before_by_key(&mut self, image: &Object, at: ChangeLine, current: &Current) -> Result<Before, RefusedLine> {
        let key = match self.stated_key(image, at)? {
            Ok(key) => key,
            Err(bad) => return Ok(Before::Nothing(bad)),
        };
        let Some(held) = current.row(self.index, &key)? else {
            let unreadable = self.row(image, Rest::Null, at).err();
            let not_held = || at.bad(format!("the table has no row with the key {}", tables::show_key(&self.table, &key)));
            return Ok(Before::Nothing(unreadable.unwrap_or_else(not_held)));
        };
        let stated = self.row(image, Rest::As(&held), at)?;
        match self.different(&stated, &held) {
            None => Ok(Before::Held(held)),
            Some(column) => {
                let key = tables::show_key(&self.table, &key);
                Err(at.bad(format!("`before` does not match the row with the key {key}: `{}` differs", column.name)).into())
            }
        }
    }

    fn before_whole(&mut self, image: &Object, at: ChangeLine, current: &Current) -> Result<Before, RefusedLine> {
        if let Some(missing) = self.own_columns().iter().find(|column| !image.contains_key(&column.name)) {
            let what = format!("`before` of a table without a key must be the whole row, and `{}` is missing", missing.name);
            return Err(at.bad(what).into());
        }
        match self.row(image, Rest::Null, at) {
            Err(bad) => Ok(Before::Nothing(bad)),
            Ok(row) if current.copies(self.index, &row)? > 0 => Ok(Before::Held(row)),
            Ok(_) => Err(at.bad("the table has no row equal to `before`").into()),
        }
    }

    /// Returns the key in an image, or why it cannot be read. Fails if a column of the key is missing.
    fn stated_key(&mut self, image: &Object, at: ChangeLine) -> Result<Result<Row, BadLine>, BadLine> {
        let layout = self.key_builder.layout().clone();
        let columns = layout.schema().columns();
        if let Some(missing) = columns.iter().find(|column| !image.contains_key(&column.name)) {
            return Err(at.bad(format!("`before` must contain the key, and `{}` is missing", missing.name)));
        }
        for column in columns {
            if let Err(error) = json::push_json(&mut self.key_builder, &image[&column.name]) {
                self.key_builder.clear();
                return Ok(Err(BadLine::of_column(at.path, at.line, &column.name, &error)));
            }
        }
        let all: Vec<usize> = (0..columns.len()).collect();
        Ok(Ok(key::encode(&layout, &self.key_builder.finish(), &all)))
    }

    fn check_not_held(&self, row: &[u8], at: ChangeLine, current: &Current) -> Result<(), RefusedLine> {
        if self.table.key.is_empty() || self.table.stream {
            return Ok(());
        }
        let key = self.key_of(row);
        match current.row(self.index, &key)? {
            None => Ok(()),
            Some(_) => Err(at.bad(format!("the table already has a row with the key {}", tables::show_key(&self.table, &key))).into()),
        }
    }

    fn apply(&self, row: &Row, diff: Diff, current: &mut Current) -> Result<(), SourceError> {
        if self.table.stream {
            return Ok(());
        }
        if self.table.key.is_empty() {
            let copies = current.copies(self.index, row)? + diff;
            current.set_copies(self.index, row.clone(), copies);
        } else {
            current.set_row(self.index, self.key_of(row), (diff > 0).then(|| row.clone()));
        }
        Ok(())
    }

    fn row(&mut self, image: &Object, rest: Rest, at: ChangeLine) -> Result<Row, BadLine> {
        push_row(at.path, at.line, image, rest, &mut self.builder)?;
        Ok(self.builder.finish())
    }

    fn key_of(&self, row: &[u8]) -> Row {
        key::encode(self.builder.layout(), row, &self.table.key)
    }

    fn own_columns(&self) -> &[Column] {
        columns::own_columns(&self.table)
    }

    /// The first column in which the rows have different values. JSON documents are compared as documents.
    fn different(&self, a: &[u8], b: &[u8]) -> Option<&Column> {
        let layout = self.builder.layout();
        let same = |column: usize| match (layout.get(a, column), layout.get(b, column)) {
            (Datum::Null, Datum::Null) => true,
            (Datum::Null, _) | (_, Datum::Null) => false,
            (Datum::Json(a), Datum::Json(b)) if a != b => {
                let (a, b) = (serde_json::from_str::<Value>(a), serde_json::from_str::<Value>(b));
                matches!((a, b), (Ok(a), Ok(b)) if a == b)
            }
            (of_a, of_b) => of_a == of_b || layout.raw(a, column) == layout.raw(b, column),
        };
        if a == b {
            return None;
        }
        (0..).zip(self.table.schema.columns()).find(|(column, _)| !same(*column)).map(|(_, column)| column)
    }
}

impl ChangeLine<'_> {
    pub(super) fn bad(&self, what: impl Into<String>) -> BadLine {
        BadLine::new(self.path, self.line, what)
    }
}

/// Added to the line number for the offset of a stream's row from the changes file, if the stream has no file. Stored states depend on this
/// number.
const BEHIND_THE_ROWS: u64 = 1 << 40;
