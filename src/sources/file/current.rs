//! The rows of the tables as of the last line that was read from the changes file.
//!
//! In: the changes of each line, and the end of each transaction. Out: the row of a key, or the number of copies of a row. Changes of the
//! open transaction take precedence over changes that were sent and may not be durable yet, and those over the engine's durable rows.

use std::collections::HashMap;
use std::sync::Arc;

use super::position::FilePosition;
use crate::sources::{HeldRows, SourceError};
use crate::value::{Diff, Row};

/// With fewer entries than this, durable entries are not dropped.
const ROOM: usize = 1 << 16;

/// The current rows of the tables of one changes file.
#[derive(Debug)]
pub(super) struct Current {
    engine: Arc<dyn HeldRows>,
    /// What was sent, by table, with the offset of the end of its transaction.
    sent: Vec<HashMap<Row, (u64, Now)>>,
    /// The changes of the open transaction, by table.
    open: Vec<HashMap<Row, Now>>,
    /// With more entries than this, the durable ones are dropped.
    room: usize,
}

/// The row of a key, or the number of copies of a row in a table without a key.
#[derive(Debug, Clone)]
enum Now {
    Row(Option<Row>),
    Copies(Diff),
}

impl Current {
    /// Starts at a position that `engine` has reached.
    pub(super) fn new(engine: Arc<dyn HeldRows>, tables: usize) -> Current {
        Current { engine, sent: vec![HashMap::new(); tables], open: vec![HashMap::new(); tables], room: ROOM }
    }

    /// The row of a key, in a table that has a key.
    pub(super) fn row(&self, table: usize, key: &[u8]) -> Result<Option<Row>, SourceError> {
        match self.changed(table, key) {
            Some(Now::Row(row)) => Ok(row.clone()),
            _ => self.engine.row(table, key),
        }
    }

    /// The number of copies of a row, in a table without a key.
    pub(super) fn copies(&self, table: usize, row: &[u8]) -> Result<Diff, SourceError> {
        match self.changed(table, row) {
            Some(Now::Copies(copies)) => Ok(*copies),
            _ => self.engine.copies(table, row),
        }
    }

    fn changed(&self, table: usize, entry: &[u8]) -> Option<&Now> {
        self.open[table].get(entry).or_else(|| self.sent[table].get(entry).map(|(_, now)| now))
    }

    pub(super) fn set_row(&mut self, table: usize, key: Row, row: Option<Row>) {
        self.open[table].insert(key, Now::Row(row));
    }

    pub(super) fn set_copies(&mut self, table: usize, row: Row, copies: Diff) {
        self.open[table].insert(row, Now::Copies(copies));
    }

    /// Discards the changes of the open transaction, to read them again.
    pub(super) fn reopen(&mut self) {
        self.open.iter_mut().for_each(HashMap::clear);
    }

    /// Ends the open transaction, which has been sent and ends at this offset of the file.
    pub(super) fn commit(&mut self, byte: u64) {
        for (open, sent) in self.open.iter_mut().zip(&mut self.sent) {
            sent.extend(open.drain().map(|(entry, now)| (entry, (byte, now))));
        }
        if self.sent.iter().map(HashMap::len).sum::<usize>() > self.room {
            self.forget_durable();
        }
    }

    fn forget_durable(&mut self) {
        let durable = self.engine.position().and_then(|position| FilePosition::read(&position).ok()).map_or(0, |position| position.byte);
        self.sent.iter_mut().for_each(|sent| sent.retain(|_, (byte, _)| *byte > durable));
        // The next scan waits until the entries have doubled: one at every transaction would mostly find entries that are still not durable.
        self.room = ROOM.max(2 * self.sent.iter().map(HashMap::len).sum::<usize>());
    }
}
