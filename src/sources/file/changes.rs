//! The changes file: JSON lines with the changes of the tables, in order.
//!
//! ```text
//! {"table": "orders", "op": "insert", "after": {...}}
//! {"begin": true}
//! {"table": "orders", "op": "update", "before": {...}, "after": {...}}
//! {"table": "items", "op": "delete", "before": {...}}
//! {"commit": true, "committed_ms": 1506941793000}
//! ```
//! [`change`](super::change) defines what `before` and `after` must contain. The lines between `begin` and `commit` are one transaction. A
//! line outside is a transaction of its own and may have `committed_ms` (ms since 1970) too. A transaction without `commit` is not visible
//! yet.
//!
//! A line that is bad or contradicts the state is left out; the rest of its transaction is applied. A wrong mark stops the source, because
//! transactions cannot be separated any more. A mark that is not JSON is noticed at the next mark.
//!
//! In: the lines of the file from a position on. Out: events of whole transactions up to the end of the file, and further when the file has
//! grown. A transaction of many changes is not kept in memory: it is checked line by line, and read a second time when its `commit` was
//! read.

use std::path::Path;
use std::sync::Arc;

use serde_json::Value;

use super::Object;
use super::bad_line::{BadLine, BadLines};
use super::change::{ChangeLine, Effect, RefusedLine, Tables};
use super::current::Current;
use super::lines::{FollowedFile, LinePosition};
use super::options::TableOptions;
use super::position::FilePosition;
use super::transaction::{BATCH, FileChanges, FileTransaction};
use crate::sources::{Event, HeldRows, SourceError, Table};
use crate::value::Delta;

/// The result of one [`ChangesFile::read`].
#[derive(Debug)]
pub(super) struct ReadPortion {
    pub(super) events: Vec<Event>,
    /// Why reading stopped before the portion was full.
    pub(super) ended: Option<ReadEnd>,
}

/// Why reading stopped.
#[derive(Debug)]
pub(super) enum ReadEnd {
    /// At the end of the file. If that is inside a line or transaction, the text says what is missing, for people.
    End(Option<String>),
    /// At a line that stops the source. Final.
    Failed(SourceError),
}

/// Reads a changes file from a position on.
#[derive(Debug)]
pub(super) struct ChangesFile {
    file: FollowedFile,
    tables: Tables,
    /// The rows as of the last line that was read.
    current: Current,
    open: Option<FileTransaction>,
    bad_lines: BadLines,
    /// The end of the last transaction that was returned.
    position: FilePosition,
}

/// A parsed line.
enum Line {
    Begin,
    Commit { committed_ms: Option<u64> },
    Change { committed_ms: Option<u64>, changes: FileChanges },
}

impl ChangesFile {
    /// `held` has the engine's rows of the captured tables, at `from` or later; `known` are all tables that the file may name.
    pub(super) fn open(
        path: &Path,
        from: &FilePosition,
        captured: &[Table],
        held: Arc<dyn HeldRows>,
        known: &[TableOptions],
        bad_lines: BadLines,
    ) -> Result<ChangesFile, SourceError> {
        let (tables, current) = (Tables::new(captured, known), Current::new(held, captured.len()));
        let file = FollowedFile::open(path, from)?;
        Ok(ChangesFile { file, tables, current, open: None, bad_lines, position: from.clone() })
    }

    /// The end of the last transaction that was returned. The caller stores in it how far the files of streams were read.
    pub(super) fn position(&mut self) -> &mut FilePosition {
        &mut self.position
    }

    /// Continues reading to the end of the file, or until small transactions with about [`BATCH`] deltas are collected. The parts of a large
    /// transaction are passed to `large` immediately.
    pub(super) fn read(&mut self, large: &mut dyn FnMut(Event) -> bool) -> ReadPortion {
        let mut events = Vec::new();
        let mut size = 0;
        let ended = loop {
            match self.step(&mut events, &mut size, large) {
                Ok(true) if size < BATCH => {}
                Ok(true) => break None,
                Ok(false) => break Some(ReadEnd::End(self.unfinished())),
                Err(error) => break Some(ReadEnd::Failed(error)),
            }
        };
        ReadPortion { events, ended }
    }

    /// Processes one line; false at the end of the file.
    fn step(&mut self, events: &mut Vec<Event>, size: &mut usize, large: &mut dyn FnMut(Event) -> bool) -> Result<bool, SourceError> {
        let Some(line) = self.next()? else { return Ok(false) };
        *size += 1;
        match line {
            Line::Begin if self.open.is_some() => return Err(self.bad("`begin` inside a transaction").stop()),
            Line::Begin => {
                self.open = Some(FileTransaction { from: self.file.place().clone(), changes: FileChanges::default(), large: false });
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

    /// Reads the changes of a large transaction again, from after its `begin` to its `commit`, which was read last.
    fn replay(&mut self, from: LinePosition, out: &mut dyn FnMut(Event) -> bool) -> Result<(), SourceError> {
        let commit = self.file.place().clone();
        self.file.seek(from)?;
        self.current.reopen();
        let mut batch = FileChanges::default();
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

    fn transaction(&mut self, changes: FileChanges, committed_ms: Option<u64>, events: &mut Vec<Event>) {
        let changed = !changes.deltas.is_empty();
        events.extend(changes.events());
        events.push(self.end(changed, committed_ms));
    }

    fn end(&mut self, changed: bool, committed_ms: Option<u64>) -> Event {
        let streams = std::mem::take(&mut self.position.streams);
        self.position = FilePosition { streams, ..self.file.position() };
        self.current.commit(self.position.byte);
        let position = self.position.position();
        match changed {
            true => Event::Commit { position, committed_ms },
            false => Event::Progress { position, committed_ms },
        }
    }

    /// Parses the next line. A line that is left out becomes a change with only a rejected record.
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

    /// Checks the names of the fields and returns the commit time, which any line may have.
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

    /// Returns the effect of a change; an empty one if its table is not captured.
    fn change(&mut self, object: &Object) -> Result<FileChanges, SourceError> {
        let table = object.get("table").and_then(Value::as_str).filter(|name| self.tables.are(name));
        let at = ChangeLine { path: self.file.path(), line: self.file.place().line };
        let mut effect = match self.tables.effect(object, at, &self.current) {
            Ok(effect) => effect,
            Err(RefusedLine::Bad(bad)) => return self.set_aside(bad, table),
            Err(RefusedLine::Failed(error)) => return Err(error),
        };
        let mut changes = match effect.bad.take() {
            Some(bad) => self.set_aside(bad, table)?,
            None => FileChanges::default(),
        };
        self.tables.apply(table.unwrap_or_default(), &effect, &mut self.current)?;
        let Effect { table, rows, .. } = effect;
        changes.deltas = rows.into_iter().map(|(row, diff)| Delta { table, row, diff }).collect();
        Ok(changes)
    }

    fn set_aside(&self, bad: BadLine, table: Option<&str>) -> Result<FileChanges, SourceError> {
        Ok(FileChanges { deltas: Vec::new(), rejected: vec![self.bad_lines.set_aside(bad, table)?] })
    }

    /// What the file's end is in the middle of, as the text of a wait.
    fn unfinished(&self) -> Option<String> {
        let path = self.file.path().display();
        if self.file.is_inside_line() {
            return Some(format!("for the rest of line {} of {path}", self.file.place().line + 1));
        }
        self.open.as_ref().map(|open| format!("for the `commit` of the transaction that begins in line {} of {path}", open.from.line))
    }

    /// A bad line at the last line that was read.
    fn bad(&self, what: &str) -> BadLine {
        BadLine::new(self.file.path(), self.file.place().line, what)
    }
}

/// A line with any of these fields is a mark.
const MARKS: &[&str] = &["begin", "commit"];

const FIELDS: &[&str] = &["table", "op", "before", "after", "begin", "commit", "committed_ms"];
