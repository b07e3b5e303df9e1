//! Handles row events: adds their changes to the open transaction.

use std::io;

use super::super::decode::Image;
use super::super::event::{self, RawEvent, RowsKind};
use super::super::transaction::{LogTransaction, ParentChange};
use super::{Assembler, Open, Step, TableRole};
use crate::sources::SourceError;
use crate::sources::mysql::schema::MysqlTable;
use crate::value::Row;

/// Why a change cannot be added.
enum NotAdded {
    Disk(io::Error),
    /// This column of a row that foreign keys reach cannot be read.
    Unreadable(usize),
}

impl From<io::Error> for NotAdded {
    fn from(error: io::Error) -> NotAdded {
        NotAdded::Disk(error)
    }
}

impl Assembler {
    pub(super) fn rows(&mut self, raw: &RawEvent) -> Result<Step, SourceError> {
        let id = event::table_id(raw.body).map_err(|e| self.unreadable(&e))?;
        let Some(mapped) = self.maps.get_mut(&id) else {
            return Err(self.stop("a row event has no table map before it", None));
        };
        let Some((table, decoder)) = &mut mapped.captured else { return Ok(Step::Nothing) };
        let table = *table;
        let rows = match event::rows(raw) {
            Ok(Some(rows)) => rows,
            Ok(None) => return Ok(Step::Nothing),
            Err(e) => return Err(self.unreadable(&e)),
        };
        if let Some(filled) = &mut self.filled {
            filled[table] = true;
        }
        let (role, cascades) = (&self.roles[table], event::may_cascade(raw.body, self.position.flavour));
        if !role.is_held && (!cascades || rows.kind == RowsKind::Write) {
            return Ok(Step::Nothing);
        }
        let place = format!("in the log before {}:{}", self.file, self.offset);
        let mut adding = Adding {
            table,
            described: &self.tables[table],
            role,
            cascades,
            place: &place,
            changes: &mut self.open.get_or_insert_with(Open::default).changes,
        };
        let mut added = Ok(());
        let decoded = decoder.decode(&rows, |before, after| {
            if added.is_ok() {
                added = adding.change(before, after);
            }
        });
        decoded.map_err(|e| self.bad_rows(table, &e))?;
        match added {
            Ok(()) => Ok(Step::Nothing),
            Err(NotAdded::Disk(e)) => Err(SourceError::Transient { message: format!("a large transaction cannot be kept on disk: {e}") }),
            Err(NotAdded::Unreadable(column)) => {
                let (name, column) = (self.table_name(table), &self.tables[table].columns[column].name);
                let what = format!("a row of `{name}` has a value in `{column}` that cannot be read, and foreign keys act on the row");
                Err(self.stop(&what, Some("correct the value at the server, and start with a new state folder")))
            }
        }
    }
}

/// Adds the changes of one event.
struct Adding<'a> {
    table: usize,
    described: &'a MysqlTable,
    role: &'a TableRole,
    /// Whether foreign keys may have acted on other rows, which are not in the log.
    cascades: bool,
    place: &'a str,
    changes: &'a mut LogTransaction,
}

impl Adding<'_> {
    fn change(&mut self, before: Option<Image>, after: Option<Image>) -> Result<(), NotAdded> {
        let parent = self.parent_change(before.as_ref(), after.as_ref())?;
        if self.role.is_held {
            if self.role.is_child || self.role.is_extra {
                self.changes.expect_children();
            }
            self.rows(before, after)?;
        }
        match parent {
            Some(change) => Ok(self.changes.push_parent(change)?),
            None => Ok(()),
        }
    }

    /// An unreadable image before a change was never in the state, so it deletes nothing.
    fn rows(&mut self, before: Option<Image>, after: Option<Image>) -> Result<(), NotAdded> {
        // A row that stays unreadable was already reported.
        if before == after || (matches!(before, Some(Err(_))) && matches!(after, Some(Err(_)))) {
            return Ok(());
        }
        if let Some(Ok(row)) = before {
            self.changes.push(self.table, row, -1)?;
        }
        match after {
            None => {}
            Some(Ok(row)) => self.changes.push(self.table, row, 1)?,
            // Foreign keys act on rows that no view shows, too.
            Some(Err(bad)) if self.role.passes_on() => {
                return Err(NotAdded::Unreadable(bad.column));
            }
            Some(Err(bad)) => self.changes.rejected.push(bad.rejected(self.described, self.place)),
        }
        Ok(())
    }

    /// The change of a row that others may refer to, if foreign keys may have acted on those.
    fn parent_change(&self, before: Option<&Image>, after: Option<&Image>) -> Result<Option<ParentChange>, NotAdded> {
        let Some(before) = before.filter(|_| self.cascades && !self.role.referenced.is_empty()) else { return Ok(None) };
        let before = self.referenced(before)?;
        let after = after.map(|after| self.referenced(after)).transpose()?;
        let layout = &self.described.layout;
        let is_same = |after: &&Row| self.role.referenced.iter().all(|c| layout.get(before, *c) == layout.get(after, *c));
        if after.as_ref().is_some_and(is_same) {
            return Ok(None);
        }
        Ok(Some(ParentChange { table: self.table, before: before.clone(), after: after.cloned() }))
    }

    /// The row, of which the referenced columns must be readable. An unreadable row has NULL in place of what cannot be read.
    fn referenced<'i>(&self, image: &'i Image) -> Result<&'i Row, NotAdded> {
        match image {
            Ok(row) => Ok(row),
            Err(bad) => {
                let is_null = |column: &&usize| self.described.layout.is_null(&bad.row, **column);
                match self.role.referenced.iter().find(is_null) {
                    Some(column) => Err(NotAdded::Unreadable(*column)),
                    None => Ok(&bad.row),
                }
            }
        }
    }
}
