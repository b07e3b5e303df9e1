//! The changes file: JSON lines that say what happened to the tables, in order.
//!
//! ```text
//! {"table": "orders", "op": "insert", "after": {...}}
//! {"begin": true}
//! {"table": "orders", "op": "update", "before": {...}, "after": {...}}
//! {"table": "items", "op": "delete", "before": {...}}
//! {"commit": true, "committed_ms": 1506941793000}
//! ```
//! `before` and `after` are whole rows, as in JSON-lines files of rows. What stands between `begin` and `commit` is one
//! transaction; a line outside is one of its own and may carry `committed_ms` (ms since 1970) too. A transaction that has no
//! `commit` yet is not seen.
//!
//! In: the lines of the file from a position on. Out: events, whole transactions only, up to the file's end, and from there again when
//! the file has grown. A transaction of many changes is not held: it is checked line by line, and read a second time once its `commit` was seen.

use std::collections::HashMap;
use std::path::Path;

use serde_json::{Map, Value};

use super::lines::{FollowedFile, Place};
use super::position::FilePosition;
use super::{BATCH, bad_line, jsonl};
use crate::sources::{Event, SourceError, Table};
use crate::value::{Delta, Layout, RowBuilder};

/// What one [`ChangesFile::read`] came to.
#[derive(Debug)]
pub(super) struct Portion {
    pub(super) events: Vec<Event>,
    /// Why reading ended before the portion was full.
    pub(super) ended: Option<Ended>,
}

#[derive(Debug)]
pub(super) enum Ended {
    /// At the file's end, perhaps in the middle of something, which is said for people.
    End(Option<String>),
    /// At a line that cannot be taken. Final.
    Failed(SourceError),
}

/// Reads a changes file from a position on.
#[derive(Debug)]
pub(super) struct ChangesFile {
    file: FollowedFile,
    /// The captured tables, with `None` for those that are known and not captured.
    tables: HashMap<String, Option<(usize, RowBuilder)>>,
    open: Option<Transaction>,
}

/// A transaction whose `commit` was not seen yet.
#[derive(Debug)]
struct Transaction {
    /// Behind the `begin` line.
    from: Place,
    deltas: Vec<Delta>,
    /// There were too many to hold; they are checked only.
    large: bool,
}

/// What a line says.
enum Line {
    Begin,
    Commit { committed_ms: Option<u64> },
    Change { committed_ms: Option<u64>, deltas: Vec<Delta> },
}

impl ChangesFile {
    /// `tables` are the captured ones, `known` the names of all that the file may speak of.
    pub(super) fn open(path: &Path, from: &FilePosition, tables: &[Table], known: &[String]) -> Result<ChangesFile, SourceError> {
        let mut named: HashMap<_, _> = known.iter().map(|name| (name.clone(), None)).collect();
        for (index, table) in tables.iter().enumerate() {
            named.insert(table.name.clone(), Some((index, RowBuilder::new(&Layout::new(&table.schema)))));
        }
        Ok(ChangesFile { file: FollowedFile::open(path, from)?, tables: named, open: None })
    }

    /// Reads on, up to the file's end or until about [`BATCH`] deltas of small transactions are together. A large transaction's parts
    /// go to `large` instead, right away.
    pub(super) fn read(&mut self, large: &mut dyn FnMut(Event) -> bool) -> Portion {
        let mut events = Vec::new();
        let mut size = 0;
        let ended = loop {
            match self.step(&mut events, &mut size, large) {
                Ok(true) if size < BATCH => {}
                Ok(true) => break None,
                Ok(false) => break Some(Ended::End(self.unfinished())),
                Err(error) => break Some(Ended::Failed(error)),
            }
        };
        Portion { events, ended }
    }

    /// Takes one line; false at the file's end.
    fn step(&mut self, events: &mut Vec<Event>, size: &mut usize, large: &mut dyn FnMut(Event) -> bool) -> Result<bool, SourceError> {
        let Some(object) = self.file.next()? else { return Ok(false) };
        *size += 1;
        match self.line(&object)? {
            Line::Begin if self.open.is_some() => return Err(self.bad("`begin` inside a transaction")),
            Line::Begin => self.open = Some(Transaction { from: self.file.place().clone(), deltas: Vec::new(), large: false }),
            Line::Commit { committed_ms } => {
                let Some(open) = self.open.take() else { return Err(self.bad("`commit` without a `begin`")) };
                match open.large {
                    false => self.transaction(open.deltas, committed_ms, events),
                    true => {
                        events.drain(..).all(&mut *large);
                        self.replay(open.from, large)?;
                        large(self.end(true, committed_ms));
                    }
                }
            }
            Line::Change { committed_ms, mut deltas } => match &mut self.open {
                None => self.transaction(deltas, committed_ms, events),
                Some(open) if open.large => {}
                Some(open) => {
                    open.deltas.append(&mut deltas);
                    if open.deltas.len() > LARGE {
                        open.deltas = Vec::new();
                        open.large = true;
                    }
                }
            },
        }
        Ok(true)
    }

    /// Reads the changes of a large transaction again, from behind its `begin` up to its `commit`, which was read last.
    fn replay(&mut self, from: Place, out: &mut dyn FnMut(Event) -> bool) -> Result<(), SourceError> {
        let commit = self.file.place().clone();
        self.file.seek(from)?;
        let mut batch = Vec::with_capacity(BATCH);
        loop {
            let Some(object) = self.file.next()? else { return Err(self.bad("the file changed while it was read")) };
            if self.file.place() == &commit {
                break;
            }
            if let Line::Change { deltas, .. } = self.line(&object)? {
                batch.extend(deltas);
            }
            if batch.len() >= BATCH && !out(Event::Changes(std::mem::take(&mut batch))) {
                return Ok(());
            }
        }
        if !batch.is_empty() {
            out(Event::Changes(batch));
        }
        Ok(())
    }

    fn transaction(&self, deltas: Vec<Delta>, committed_ms: Option<u64>, events: &mut Vec<Event>) {
        let changed = !deltas.is_empty();
        if changed {
            events.push(Event::Changes(deltas));
        }
        events.push(self.end(changed, committed_ms));
    }

    fn end(&self, changed: bool, committed_ms: Option<u64>) -> Event {
        let position = self.file.position();
        match changed {
            true => Event::Commit { position, committed_ms },
            false => Event::Progress { position, committed_ms },
        }
    }

    fn line(&mut self, object: &Map<String, Value>) -> Result<Line, SourceError> {
        if let Some(strange) = object.keys().find(|name| !FIELDS.contains(&name.as_str())) {
            return Err(self.bad(&format!("`{strange}` is not a field of a change; those are {}", FIELDS.join(", "))));
        }
        let committed_ms = match object.get("committed_ms") {
            None | Some(Value::Null) => None,
            Some(ms) => Some(ms.as_u64().ok_or_else(|| self.bad("`committed_ms` is not a whole number of ms since 1970"))?),
        };
        match (object.get("begin"), object.get("commit")) {
            (None, None) => Ok(Line::Change { committed_ms, deltas: self.change(object)? }),
            (Some(Value::Bool(true)), None) if !object.contains_key("table") => Ok(Line::Begin),
            (None, Some(Value::Bool(true))) if !object.contains_key("table") => Ok(Line::Commit { committed_ms }),
            _ => Err(self.bad("a mark is `{\"begin\": true}` or `{\"commit\": true}`, alone on its line")),
        }
    }

    /// The deltas of a change; none if its table is not captured.
    fn change(&mut self, object: &Map<String, Value>) -> Result<Vec<Delta>, SourceError> {
        let text = |field: &str| object.get(field).and_then(Value::as_str);
        let Some(name) = text("table") else { return Err(self.bad("a change needs `table`, the name of a table")) };
        let row = |field: &str| object.get(field).and_then(Value::as_object);
        let rows: &[(&str, i64)] = match text("op") {
            Some("insert") => &[("after", 1)],
            Some("update") => &[("before", -1), ("after", 1)],
            Some("delete") => &[("before", -1)],
            _ => return Err(self.bad("a change needs `op`, one of \"insert\", \"update\", \"delete\"")),
        };
        if let Some((field, _)) = rows.iter().find(|(field, _)| row(field).is_none()) {
            return Err(self.bad(&format!("this change needs `{field}`, a whole row")));
        }
        let (path, line) = (self.file.path().to_path_buf(), self.file.place().line);
        match self.tables.get_mut(name) {
            None => Err(self.bad(&format!("there is no table `{name}`"))),
            Some(None) => Ok(Vec::new()),
            Some(Some((table, builder))) => {
                let delta = |(field, diff): &(&str, i64)| {
                    let object = row(field).expect("it was looked for above");
                    Ok(Delta { table: *table, row: jsonl::row_of(&path, line, object, builder)?, diff: *diff })
                };
                rows.iter().map(delta).collect()
            }
        }
    }

    /// What the file ends in the middle of.
    fn unfinished(&self) -> Option<String> {
        let path = self.file.path().display();
        if self.file.is_inside_line() {
            return Some(format!("for the rest of line {} of {path}", self.file.place().line + 1));
        }
        self.open.as_ref().map(|open| format!("for the `commit` of the transaction that begins in line {} of {path}", open.from.line))
    }

    fn bad(&self, what: &str) -> SourceError {
        bad_line(self.file.path(), self.file.place().line, what)
    }
}

const FIELDS: &[&str] = &["table", "op", "before", "after", "begin", "commit", "committed_ms"];

/// More deltas than this are not held.
pub(super) const LARGE: usize = 16 * BATCH;
