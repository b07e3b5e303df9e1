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
//! A row that cannot be read is not in its table: an update to it deletes `before`, an update from it inserts `after`, and
//! a line of which nothing can be read changes nothing. The rest of its transaction goes in. A mark that is wrong stops the source, because
//! what belongs together cannot be known any more; one that is no JSON is noticed by the next.
//!
//! In: the lines of the file from a position on. Out: events, whole transactions only, up to the file's end, and from there again when
//! the file has grown. A transaction of many changes is not held: it is checked line by line, and read a second time once its `commit` was seen.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use serde_json::Value;

use super::bad_line::{BadLine, BadLines};
use super::lines::{FollowedFile, Place};
use super::options::TableOptions;
use super::position::FilePosition;
use super::transaction::{BATCH, Changes, Transaction};
use super::{Object, jsonl};
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
    tables: HashMap<String, Option<Captured>>,
    /// The streams with a file of their own, which their rows come by.
    with_file: HashSet<String>,
    open: Option<Transaction>,
    bad_lines: BadLines,
    /// Behind the last transaction that was answered.
    position: FilePosition,
}

#[derive(Debug)]
struct Captured {
    index: usize,
    builder: RowBuilder,
    stream: bool,
}

/// What a line says.
enum Line {
    Begin,
    Commit { committed_ms: Option<u64> },
    Change { committed_ms: Option<u64>, changes: Changes },
}

impl ChangesFile {
    /// `tables` are the captured ones, `known` all that the file may speak of.
    pub(super) fn open(
        path: &Path,
        from: &FilePosition,
        tables: &[Table],
        known: &[TableOptions],
        bad_lines: BadLines,
    ) -> Result<ChangesFile, SourceError> {
        let with_file = known.iter().filter(|table| table.is_followed()).map(|table| table.name.clone()).collect();
        let mut named: HashMap<_, _> = known.iter().map(|table| (table.name.clone(), None)).collect();
        for (index, table) in tables.iter().enumerate() {
            let builder = RowBuilder::new(&Layout::new(&table.schema));
            named.insert(table.name.clone(), Some(Captured { index, builder, stream: table.stream }));
        }
        let file = FollowedFile::open(path, from)?;
        Ok(ChangesFile { file, tables: named, with_file, open: None, bad_lines, position: from.clone() })
    }

    /// Behind the last transaction that was answered. Whoever reads the files of streams says there how far those were read.
    pub(super) fn position(&mut self) -> &mut FilePosition {
        &mut self.position
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
        let Some(line) = self.next()? else { return Ok(false) };
        *size += 1;
        match line {
            Line::Begin if self.open.is_some() => return Err(self.bad("`begin` inside a transaction").stop()),
            Line::Begin => {
                self.open = Some(Transaction { from: self.file.place().clone(), changes: Changes::default(), large: false });
            }
            Line::Commit { committed_ms } => {
                let Some(open) = self.open.take() else { return Err(self.bad("`commit` without a `begin`").stop()) };
                match open.large {
                    false => self.transaction(open.changes, committed_ms, events),
                    true => {
                        events.drain(..).all(&mut *large);
                        self.replay(open.from, large)?;
                        large(self.end(true, committed_ms));
                    }
                }
            }
            Line::Change { committed_ms, changes } => match &mut self.open {
                None => self.transaction(changes, committed_ms, events),
                Some(open) => open.add(changes),
            },
        }
        Ok(true)
    }

    /// Reads the changes of a large transaction again, from behind its `begin` up to its `commit`, which was read last.
    fn replay(&mut self, from: Place, out: &mut dyn FnMut(Event) -> bool) -> Result<(), SourceError> {
        let commit = self.file.place().clone();
        self.file.seek(from)?;
        let mut batch = Changes::default();
        loop {
            let Some(line) = self.next()? else { return Err(self.bad("the file changed while it was read").stop()) };
            let last = self.file.place() == &commit;
            if let Line::Change { changes, .. } = line {
                batch.append(changes);
            }
            let full = last || batch.len() >= BATCH;
            let wanted = !full || std::mem::take(&mut batch).events().all(&mut *out);
            if last || !wanted {
                return Ok(());
            }
        }
    }

    fn transaction(&mut self, changes: Changes, committed_ms: Option<u64>, events: &mut Vec<Event>) {
        let changed = !changes.deltas.is_empty();
        events.extend(changes.events());
        events.push(self.end(changed, committed_ms));
    }

    fn end(&mut self, changed: bool, committed_ms: Option<u64>) -> Event {
        let streams = std::mem::take(&mut self.position.streams);
        self.position = FilePosition { streams, ..self.file.position() };
        let position = self.position.position();
        match changed {
            true => Event::Commit { position, committed_ms },
            false => Event::Progress { position, committed_ms },
        }
    }

    /// What the next line says; one that is left out says that something was rejected and nothing else.
    fn next(&mut self) -> Result<Option<Line>, SourceError> {
        match self.file.next()? {
            None => Ok(None),
            Some(Err(bad)) => Ok(Some(Line::Change { committed_ms: None, changes: self.set_aside(bad, None)? })),
            Some(Ok(object)) if MARKS.iter().any(|mark| object.contains_key(*mark)) => self.mark(&object).map(Some).map_err(BadLine::stop),
            Some(Ok(object)) => {
                let committed_ms = match self.fields(&object) {
                    Ok(committed_ms) => committed_ms,
                    Err(bad) => return Ok(Some(Line::Change { committed_ms: None, changes: self.set_aside(bad, None)? })),
                };
                Ok(Some(Line::Change { committed_ms, changes: self.change(&object)? }))
            }
        }
    }

    fn mark(&self, object: &Object) -> Result<Line, BadLine> {
        let committed_ms = self.fields(object)?;
        match (object.get("begin"), object.get("commit")) {
            (Some(Value::Bool(true)), None) if !object.contains_key("table") => Ok(Line::Begin),
            (None, Some(Value::Bool(true))) if !object.contains_key("table") => Ok(Line::Commit { committed_ms }),
            _ => Err(self.bad("a mark is `{\"begin\": true}` or `{\"commit\": true}`, alone on its line")),
        }
    }

    /// Checks the names of the fields; the commit time, which any line may have.
    fn fields(&self, object: &Object) -> Result<Option<u64>, BadLine> {
        if let Some(strange) = object.keys().find(|name| !FIELDS.contains(&name.as_str())) {
            return Err(self.bad(&format!("`{strange}` is not a field of a change; those are {}", FIELDS.join(", "))));
        }
        match object.get("committed_ms") {
            None | Some(Value::Null) => Ok(None),
            Some(ms) => match ms.as_u64() {
                Some(ms) => Ok(Some(ms)),
                None => Err(self.bad("`committed_ms` is not a whole number of ms since 1970")),
            },
        }
    }

    /// What a change comes to; nothing if its table is not captured.
    fn change(&mut self, object: &Object) -> Result<Changes, SourceError> {
        let table = object.get("table").and_then(Value::as_str);
        let images = match self.images(object) {
            Ok(images) => images,
            Err(bad) => return self.set_aside(bad, table.filter(|name| self.tables.contains_key(*name))),
        };
        let (path, line) = (self.file.path().to_path_buf(), self.file.place().line);
        let Some(Some(Captured { index, builder, stream })) = table.and_then(|name| self.tables.get_mut(name)) else {
            return Ok(Changes::default());
        };
        let arrived = stream.then_some(BEHIND_THE_ROWS + line);
        let mut deltas = Vec::with_capacity(images.len());
        let mut unreadable = None;
        for (image, diff) in images {
            match jsonl::push_row(&path, line, image, arrived, builder) {
                Ok(()) => deltas.push(Delta { table: *index, row: builder.finish(), diff }),
                Err(bad) => unreadable = Some(bad),
            }
        }
        let mut changes = match unreadable {
            Some(bad) => self.set_aside(bad, table)?,
            None => Changes::default(),
        };
        changes.deltas = deltas;
        Ok(changes)
    }

    /// The rows that a change takes away and brings.
    fn images<'a>(&self, object: &'a Object) -> Result<Vec<(&'a Object, i64)>, BadLine> {
        let text = |field: &str| object.get(field).and_then(Value::as_str);
        let Some(name) = text("table") else { return Err(self.bad("a change needs `table`, the name of a table")) };
        let fields: &[(&str, i64)] = match text("op") {
            Some("insert") => INSERT,
            Some("update") => &[("before", -1), ("after", 1)],
            Some("delete") => &[("before", -1)],
            _ => return Err(self.bad("a change needs `op`, one of \"insert\", \"update\", \"delete\"")),
        };
        if !self.tables.contains_key(name) {
            return Err(self.bad(&format!("there is no table `{name}`")));
        }
        if self.tables[name].as_ref().is_some_and(|captured| captured.stream) && fields != INSERT {
            return Err(self.bad(&format!("`{name}` is a stream: its rows are inserted, and stay as they are")));
        }
        if self.with_file.contains(name) {
            return Err(self.bad(&format!("`{name}` is a stream with a file of its own, which this row must be appended to")));
        }
        let image = |(field, diff): &(&str, i64)| match object.get(*field).and_then(Value::as_object) {
            Some(image) => Ok((image, *diff)),
            None => Err(self.bad(&format!("this change needs `{field}`, a whole row"))),
        };
        fields.iter().map(image).collect()
    }

    fn set_aside(&self, bad: BadLine, table: Option<&str>) -> Result<Changes, SourceError> {
        Ok(Changes { deltas: Vec::new(), rejected: vec![self.bad_lines.set_aside(bad, table)?] })
    }

    /// What the file ends in the middle of.
    fn unfinished(&self) -> Option<String> {
        let path = self.file.path().display();
        if self.file.is_inside_line() {
            return Some(format!("for the rest of line {} of {path}", self.file.place().line + 1));
        }
        self.open.as_ref().map(|open| format!("for the `commit` of the transaction that begins in line {} of {path}", open.from.line))
    }

    /// The line that was read last.
    fn bad(&self, what: &str) -> BadLine {
        BadLine::new(self.file.path(), self.file.place().line, what)
    }
}

const INSERT: &[(&str, i64)] = &[("after", 1)];

/// Before the offset of the first row that a stream without a file gets by the changes file; states that exist count from here.
const BEHIND_THE_ROWS: u64 = 1 << 40;

/// A line with any of these is a mark.
const MARKS: &[&str] = &["begin", "commit"];

const FIELDS: &[&str] = &["table", "op", "before", "after", "begin", "commit", "committed_ms"];
