//! The rows that the engine holds of a source's tables, for sources whose changes say less than whole rows.
//!
//! In: a table and a key, or a whole row where there is no key. Out: what is held under it. A source that asks keeps what it sent and is not
//! durable yet itself: an answer is as of [`HeldRows::position`], or of something later that the source has sent.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard};

use async_trait::async_trait;
use tokio::sync::watch;

use super::{Event, SourceError, Table};
use crate::value::{Delta, Diff, Layout, Position, Row, key};

/// What is durable of one source. Tables count in [`Capture::tables`](super::Capture::tables). Calls may overlap, and block on the disk.
#[async_trait]
pub trait HeldRows: Send + Sync + std::fmt::Debug {
    /// The source's last position that is durable, with everything before it; `None` before its snapshot is.
    fn position(&self) -> Option<Position>;

    /// Returns once [`position`](HeldRows::position) is this one, which must be the last that the source sent, or the one it went on from.
    async fn wait_for(&self, position: &Position) -> Result<(), SourceError>;

    /// The row with this [`key`] in a table that has one.
    fn row(&self, table: usize, key: &[u8]) -> Result<Option<Row>, SourceError>;

    /// How often this row is in a table that has no key.
    fn copies(&self, table: usize, row: &[u8]) -> Result<Diff, SourceError>;
}

/// Rows held in memory, for whoever runs a source without a store: every event is to be given to [`take`](MemoryRows::take).
#[derive(Debug, Default)]
pub struct MemoryRows {
    tables: Vec<(Layout, Vec<usize>)>,
    held: Mutex<Held>,
    position: watch::Sender<Option<Position>>,
}

#[derive(Debug, Default)]
struct Held {
    /// By table: the rows by their key, or by themselves, with how often each is there.
    rows: Vec<HashMap<Row, (Row, Diff)>>,
    /// What came since the last position.
    open: Vec<Delta>,
}

impl MemoryRows {
    /// Nothing, as of a position or before a snapshot.
    pub fn new(tables: &[Table], from: Option<Position>) -> MemoryRows {
        let held = Held { rows: vec![HashMap::new(); tables.len()], open: Vec::new() };
        let tables = tables.iter().map(|table| (Layout::new(&table.schema), table.key.clone())).collect();
        MemoryRows { tables, held: Mutex::new(held), position: watch::Sender::new(from) }
    }

    /// Holds what the source has sent.
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

    fn add(&self, rows: &mut HashMap<Row, (Row, Diff)>, table: usize, row: Row, diff: Diff) {
        let (layout, columns) = &self.tables[table];
        let keyed = !columns.is_empty();
        let key = if keyed { key::of(layout, &row, columns) } else { row.clone() };
        let (held, copies) = rows.entry(key.clone()).or_insert_with(|| (row.clone(), 0));
        *copies += diff;
        if diff > 0 {
            *held = row;
        }
        if *copies == 0 {
            rows.remove(&key);
        }
    }

    fn held(&self) -> MutexGuard<'_, Held> {
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

    fn copies(&self, table: usize, row: &[u8]) -> Result<Diff, SourceError> {
        Ok(self.held().rows[table].get(row).map_or(0, |(_, copies)| *copies))
    }
}
