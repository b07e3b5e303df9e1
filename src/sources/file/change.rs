//! What a change in the changes file comes to, given the rows that are held.
//!
//! In: the object of a line. Out: the rows that go and come, and what of the line is bad; or that all of it is, and then it changes nothing.
//! What holds: a row that goes is held, and a row that comes has a key that nothing is held under. So a table is never driven from what its
//! lines say: whatever contradicts what is held is left out and told, with the table and the key.
//!
//! - `before` of a table with a key needs the key only; what else it states must be as it is held. Without a key it is the whole row.
//! - `after` of an update keeps what it does not state as it was; `after` of an insert is NULL there.
//! - A row that cannot be read is not in its table: an update to it takes the row away. An update of a row that is not held brings `after`, if
//!   that is whole: the row may be one that was left out, and is corrected now.

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

/// The tables that a changes file may speak of.
#[derive(Debug)]
pub(super) struct Tables {
    /// `None` for those that are known and not captured.
    named: HashMap<String, Option<Captured>>,
    /// The streams with a file of their own, which their rows come by.
    with_file: HashSet<String>,
}

#[derive(Debug)]
struct Captured {
    index: usize,
    table: Table,
    builder: RowBuilder,
    /// Of the rows of the key's columns only.
    key_builder: RowBuilder,
}

/// A line of the changes file.
#[derive(Debug, Clone, Copy)]
pub(super) struct At<'a> {
    pub(super) path: &'a Path,
    pub(super) line: u64,
}

/// What a line comes to.
#[derive(Debug, Default)]
pub(super) struct Effect {
    pub(super) table: usize,
    pub(super) rows: Vec<(Row, Diff)>,
    /// What of it cannot be taken.
    pub(super) bad: Option<BadLine>,
}

/// Why a line comes to nothing.
#[derive(Debug)]
pub(super) enum Refused {
    Bad(BadLine),
    /// What is held cannot be told.
    Failed(SourceError),
}

impl From<BadLine> for Refused {
    fn from(bad: BadLine) -> Refused {
        Refused::Bad(bad)
    }
}

impl From<SourceError> for Refused {
    fn from(error: SourceError) -> Refused {
        Refused::Failed(error)
    }
}

/// The images of a change.
#[derive(Debug, Clone, Copy)]
enum Change<'a> {
    Insert { after: &'a Object },
    Update { before: &'a Object, after: &'a Object },
    Delete { before: &'a Object },
}

/// What is held of the row that a change begins with.
enum Before {
    Held(Row),
    /// Nothing, and what that is told as.
    Nothing(BadLine),
}

impl Tables {
    /// `captured` are those that are wanted, `known` all.
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

    pub(super) fn are(&self, name: &str) -> bool {
        self.named.contains_key(name)
    }

    /// What a change comes to; nothing if its table is not captured.
    pub(super) fn effect(&mut self, object: &Object, at: At, current: &Current) -> Result<Effect, Refused> {
        let (name, change) = self.read(object, at)?;
        let Some(Some(captured)) = self.named.get_mut(name) else { return Ok(Effect::default()) };
        let (rows, bad) = match change {
            Change::Insert { after } => (vec![(captured.insert(after, at, current)?, 1)], None),
            Change::Delete { before } => match captured.before(before, at, current)? {
                Before::Held(row) => (vec![(row, -1)], None),
                Before::Nothing(bad) => return Err(bad.into()),
            },
            Change::Update { before, after } => captured.update(before, after, at, current)?,
        };
        Ok(Effect { table: captured.index, rows, bad })
    }

    /// Applies what [`effect`](Tables::effect) answered for a table of this name.
    pub(super) fn apply(&self, name: &str, effect: &Effect, current: &mut Current) -> Result<(), SourceError> {
        let Some(Some(captured)) = self.named.get(name) else { return Ok(()) };
        effect.rows.iter().try_for_each(|(row, diff)| captured.apply(row, *diff, current))
    }

    fn read<'o>(&self, object: &'o Object, at: At) -> Result<(&'o str, Change<'o>), BadLine> {
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
            return Err(at.bad(format!("`{name}` is a stream: its rows are inserted, and stay as they are")));
        }
        if self.with_file.contains(name) {
            return Err(at.bad(format!("`{name}` is a stream with a file of its own, which this row must be appended to")));
        }
        let change = match op {
            "insert" => Change::Insert { after: image("after")? },
            "update" => Change::Update { before: image("before")?, after: image("after")? },
            _ => Change::Delete { before: image("before")? },
        };
        Ok((name, change))
    }
}

/// What an update comes to: rows that go and come, and what of the line cannot be read.
type Updated = (Vec<(Row, Diff)>, Option<BadLine>);

impl Captured {
    fn insert(&mut self, after: &Object, at: At, current: &Current) -> Result<Row, Refused> {
        let arrived = self.table.stream.then_some(BEHIND_THE_ROWS + at.line);
        let row = self.row(after, Rest::from(arrived), at)?;
        self.check_not_held(&row, at, current)?;
        Ok(row)
    }

    fn update(&mut self, before: &Object, after: &Object, at: At, current: &Current) -> Result<Updated, Refused> {
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

    /// Finds the row that is held of this image. Fails where the image contradicts it, or does not say which it is.
    fn before(&mut self, image: &Object, at: At, current: &Current) -> Result<Before, Refused> {
        if self.table.key.is_empty() { self.before_whole(image, at, current) } else { self.before_by_key(image, at, current) }
    }

    fn before_by_key(&mut self, image: &Object, at: At, current: &Current) -> Result<Before, Refused> {
        let key = match self.stated_key(image, at)? {
            Ok(key) => key,
            Err(bad) => return Ok(Before::Nothing(bad)),
        };
        let Some(held) = current.row(self.index, &key)? else {
            let unreadable = self.row(image, Rest::Null, at).err();
            let not_held = || at.bad(format!("no row with the key {} is held", tables::show_key(&self.table, &key)));
            return Ok(Before::Nothing(unreadable.unwrap_or_else(not_held)));
        };
        let stated = self.row(image, Rest::As(&held), at)?;
        match self.different(&stated, &held) {
            None => Ok(Before::Held(held)),
            Some(column) => {
                let key = tables::show_key(&self.table, &key);
                Err(at.bad(format!("`before` is not the row that is held with the key {key}: `{}` differs", column.name)).into())
            }
        }
    }

    fn before_whole(&mut self, image: &Object, at: At, current: &Current) -> Result<Before, Refused> {
        if let Some(missing) = self.own_columns().iter().find(|column| !image.contains_key(&column.name)) {
            let what = format!("`before` of a table without a key must be the whole row, and `{}` is not in it", missing.name);
            return Err(at.bad(what).into());
        }
        match self.row(image, Rest::Null, at) {
            Err(bad) => Ok(Before::Nothing(bad)),
            Ok(row) if current.copies(self.index, &row)? > 0 => Ok(Before::Held(row)),
            Ok(_) => Err(at.bad("no row like `before` is held").into()),
        }
    }

    /// The key that an image states, or why it cannot be read. Fails where a column of it is not there.
    fn stated_key(&mut self, image: &Object, at: At) -> Result<Result<Row, BadLine>, BadLine> {
        let layout = self.key_builder.layout().clone();
        let columns = layout.schema().columns();
        if let Some(missing) = columns.iter().find(|column| !image.contains_key(&column.name)) {
            return Err(at.bad(format!("`before` must state the key, and `{}` is not in it", missing.name)));
        }
        for column in columns {
            if let Err(error) = json::push_json(&mut self.key_builder, &image[&column.name]) {
                self.key_builder.clear();
                return Ok(Err(BadLine::of_column(at.path, at.line, &column.name, &error)));
            }
        }
        let all: Vec<usize> = (0..columns.len()).collect();
        Ok(Ok(key::of(&layout, &self.key_builder.finish(), &all)))
    }

    fn check_not_held(&self, row: &[u8], at: At, current: &Current) -> Result<(), Refused> {
        if self.table.key.is_empty() || self.table.stream {
            return Ok(());
        }
        let key = self.key_of(row);
        match current.row(self.index, &key)? {
            None => Ok(()),
            Some(_) => Err(at.bad(format!("a row with the key {} is held already", tables::show_key(&self.table, &key))).into()),
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

    fn row(&mut self, image: &Object, rest: Rest, at: At) -> Result<Row, BadLine> {
        push_row(at.path, at.line, image, rest, &mut self.builder)?;
        Ok(self.builder.finish())
    }

    fn key_of(&self, row: &[u8]) -> Row {
        key::of(self.builder.layout(), row, &self.table.key)
    }

    fn own_columns(&self) -> &[Column] {
        columns::own_columns(&self.table)
    }

    /// The first column in which the rows mean different things.
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

impl At<'_> {
    pub(super) fn bad(&self, what: impl Into<String>) -> BadLine {
        BadLine::new(self.path, self.line, what)
    }
}

/// Before the offset of the first row that a stream without a file gets by the changes file; states that exist count from here.
const BEHIND_THE_ROWS: u64 = 1 << 40;
