//! The rows of the tables as of the line of the changes file that was read last.
//!
//! In: what each line changes, and where each transaction ends. Out: the row of a key, or how often a row is there. That is what the engine
//! holds, and over it what was sent and may not be durable yet, and over that what the open transaction has changed.

use std::collections::HashMap;
use std::sync::Arc;

use super::position::FilePosition;
use crate::sources::{HeldRows, SourceError};
use crate::value::{Diff, Row};

/// Before so many entries nobody asks what of them is durable.
const ROOM: usize = 1 << 16;

#[derive(Debug)]
pub(super) struct Current {
    engine: Arc<dyn HeldRows>,
    /// What was sent, by table, with the byte behind its transaction.
    sent: Vec<HashMap<Row, (u64, Now)>>,
    /// What the open transaction has changed, by table.
    open: Vec<HashMap<Row, Now>>,
    /// With more entries than this, what is durable of them is forgotten.
    room: usize,
}

/// What is there under a key, or where a table has none, of a row.
#[derive(Debug, Clone)]
enum Now {
    Row(Option<Row>),
    Copies(Diff),
}

impl Current {
    /// As of a position that `engine` has reached.
    pub(super) fn new(engine: Arc<dyn HeldRows>, tables: usize) -> Current {
        Current { engine, sent: vec![HashMap::new(); tables], open: vec![HashMap::new(); tables], room: ROOM }
    }

    /// The row of a key, in a table that has one.
    pub(super) fn row(&self, table: usize, key: &[u8]) -> Result<Option<Row>, SourceError> {
        match self.changed(table, key) {
            Some(Now::Row(row)) => Ok(row.clone()),
            _ => self.engine.row(table, key),
        }
    }

    /// How often a row is in a table without a key.
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

    /// Takes back what the open transaction has changed, to read it again.
    pub(super) fn reopen(&mut self) {
        self.open.iter_mut().for_each(HashMap::clear);
    }

    /// The open transaction is sent, and ends with this byte of the file.
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
        // What is left would be looked through for nothing at the next transaction.
        self.room = ROOM.max(2 * self.sent.iter().map(HashMap::len).sum::<usize>());
    }
}
