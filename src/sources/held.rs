//! The rows of a source's tables that the engine has stored, for sources whose changes do not contain whole rows.
//!
//! In: a table and a key, or a whole row if the table has no key. Out: what is stored under it. The source itself keeps what it has sent and
//! is not durable yet: an answer is as of [`HeldRows::position`] or as of a later point that the source has sent.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Mutex, MutexGuard};

use async_trait::async_trait;
use tokio::sync::watch;

use super::{Event, SourceError, Table};
use crate::value::{Delta, Diff, Layout, Position, Row, key};

/// The durable rows of one source. Tables are indexes into [`Capture::tables`](super::Capture::tables). Calls may overlap and may block on
/// the disk.
#[async_trait]
pub trait HeldRows: Send + Sync + std::fmt::Debug {
    /// The last durable position of the source; everything before it is durable too. `None` until the snapshot is durable.
    fn position(&self) -> Option<Position>;

    /// Returns once [`position`](HeldRows::position) equals this one. It must be the last position that the source sent, or the one it
    /// resumed from.
    async fn wait_for(&self, position: &Position) -> Result<(), SourceError>;

    /// Returns the row with this [`key`], in a table that has a key.
    fn row(&self, table: usize, key: &[u8]) -> Result<Option<Row>, SourceError>;

    /// Returns the first rows, in the order of their keys, whose [`key`] begins with `prefix` and is greater than `after`: at most `limit`.
    fn rows_from(&self, table: usize, prefix: &[u8], after: Option<&[u8]>, limit: usize) -> Result<Vec<Row>, SourceError>;

    /// Returns how often this row occurs, in a table that has no key.
    fn copies(&self, table: usize, row: &[u8]) -> Result<Diff, SourceError>;
}

/// Rows held in memory, for callers that run a source without a store. They must pass every event to [`take`](MemoryRows::take).
#[derive(Debug, Default)]
pub struct MemoryRows {
    tables: Vec<(Layout, Vec<usize>)>,
    held: Mutex<HeldTables>,
    position: watch::Sender<Option<Position>>,
}

#[derive(Debug, Default)]
struct HeldTables {
    /// By table: the rows by their key (or by the row itself if there is no key), with their number of copies.
    rows: Vec<BTreeMap<Row, (Row, Diff)>>,
    /// The deltas since the last position.
    open: Vec<Delta>,
}

impl MemoryRows {
    /// Starts without rows, at a position or before a snapshot.
    pub fn new(tables: &[Table], from: Option<Position>) -> MemoryRows {
        let held = HeldTables { rows: vec![BTreeMap::new(); tables.len()], open: Vec::new() };
        let tables = tables.iter().map(|table| (Layout::new(&table.schema), table.key.clone())).collect();
        MemoryRows { tables, held: Mutex::new(held), position: watch::Sender::new(from) }
    }

    /// Applies an event that the source has sent.
    pub fn take(&self, event: &Event) {
        let mut held = self.held();
        match event {
            Event::Rows { table, rows } => {
                held.open.extend(rows.iter().map(|row| Delta { table: *table, row: Row::from_bytes(row), diff: 1 }));
            }
            Event::Changes(deltas) => held.open.extend(deltas.iter().cloned()),
            Event::SnapshotDone { position } | Event::Commit { position, .. } | Event::Progress { position, .. } => {
                for Delta { table, row, diff } in std::mem::take(&mut held.open) {
                    self.add(&mut held.rows[table], table, row, diff);
                }
                drop(held);
                self.position.send_replace(Some(position.clone()));
            }
            Event::SnapshotPlan { .. } | Event::Rejected(_) | Event::CaughtUp | Event::Waiting(_) => {}
        }
    }

    /// Passes each row of a table to `give`, in the order of the key; copies of a row one after the other.
    pub fn each(&self, table: usize, give: &mut dyn FnMut(&[u8])) {
        for (row, copies) in self.held().rows[table].values() {
            (0..*copies).for_each(|_| give(row));
        }
    }

    fn add(&self, rows: &mut BTreeMap<Row, (Row, Diff)>, table: usize, row: Row, diff: Diff) {
        let (layout, columns) = &self.tables[table];
        let keyed = !columns.is_empty();
        let key = if keyed { key::encode(layout, &row, columns) } else { row.clone() };
        let (held, copies) = rows.entry(key.clone()).or_insert_with(|| (row.clone(), 0));
        *copies += diff;
        if diff > 0 {
            *held = row;
        }
        if *copies == 0 {
            rows.remove(&key);
        }
    }

    fn held(&self) -> MutexGuard<'_, HeldTables> {
        self.held.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

#[async_trait]
impl HeldRows for MemoryRows {
    fn position(&self) -> Option<Position> {
        self.position.borrow().clone()
    }

    async fn wait_for(&self, position: &Position) -> Result<(), SourceError> {
        let mut reached = self.position.subscribe();
        let _ = reached.wait_for(|reached| reached.as_ref() == Some(position)).await;
        Ok(())
    }

    fn row(&self, table: usize, key: &[u8]) -> Result<Option<Row>, SourceError> {
        Ok(self.held().rows[table].get(key).map(|(row, _)| row.clone()))
    }

    fn rows_from(&self, table: usize, prefix: &[u8], after: Option<&[u8]>, limit: usize) -> Result<Vec<Row>, SourceError> {
        let held = self.held();
        let Some(rows) = held.rows.get(table) else { return Ok(Vec::new()) };
        let from = match after {
            Some(after) => Bound::Excluded(after),
            None => Bound::Included(prefix),
        };
        let found = rows.range::<[u8], _>((from, Bound::Unbounded)).take_while(|(key, _)| key.starts_with(prefix));
        Ok(found.take(limit).map(|(_, (row, _))| row.clone()).collect())
    }

    fn copies(&self, table: usize, row: &[u8]) -> Result<Diff, SourceError> {
        Ok(self.held().rows[table].get(row).map_or(0, |(_, copies)| *copies))
    }
}
