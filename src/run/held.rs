//! A source's access to the stored rows of its tables.
//!
//! In: a table in the source's own list and a key. Out: the row as the source has it, as of the last commit. The access to the store ends with
//! the attempt, even if the source runs longer.

use std::sync::{Mutex, MutexGuard};

use async_trait::async_trait;

use super::NamedSource;
use crate::plan::Plan;
use crate::sources::{HeldRows, SourceError};
use crate::store::{Store, StoreError};
use crate::value::{Diff, Layout, Position, Row, RowBuilder};

#[derive(Debug)]
pub(super) struct StoredRows {
    /// `None` once the attempt is over.
    store: Mutex<Option<Store>>,
    source: String,
    tables: Vec<StoredTable>,
}

#[derive(Debug)]
struct StoredTable {
    input: usize,
    /// For a table with arrival numbers: the layout of the stored rows, which end with the number, and that of the source's rows.
    numbered: Option<(Layout, Layout)>,
}

impl StoredRows {
    pub(super) fn new(store: &Store, plan: &Plan, source: &NamedSource) -> StoredRows {
        let stored = |table: &crate::sources::Table| {
            let name = format!("{}.{}", source.name, table.name);
            let input = plan.tables.iter().position(|t| t.full_name() == name).expect("a source has only tables of the plan");
            let numbered = plan.tables[input].arrival.then(|| (Layout::new(&plan.tables[input].schema), Layout::new(&table.schema)));
            StoredTable { input, numbered }
        };
        let tables = source.tables.iter().map(stored).collect();
        StoredRows { store: Mutex::new(Some(store.clone())), source: source.name.clone(), tables }
    }

    /// Drops the store. Every later call fails.
    pub(super) fn release(&self) {
        *self.store() = None;
    }

    fn store(&self) -> MutexGuard<'_, Option<Store>> {
        self.store.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn ask<T>(&self, question: impl FnOnce(&Store) -> Result<T, StoreError>) -> Result<T, SourceError> {
        let store = self.store();
        let Some(store) = &*store else { return Err(over()) };
        question(store).map_err(|error| SourceError::Stopped { message: error.to_string(), help: error.help() })
    }
}

#[async_trait]
impl HeldRows for StoredRows {
    fn position(&self) -> Option<Position> {
        let store = self.store();
        let store = store.as_ref()?;
        // During a load the checkpoint still has the position of the previous rows.
        let whole = self.tables.iter().all(|table| store.is_input_ready(table.input).unwrap_or(false));
        let checkpoint = store.checkpoint().filter(|_| whole)?;
        checkpoint.sources.get(&self.source).map(|source| source.position.clone())
    }

    async fn wait_for(&self, position: &Position) -> Result<(), SourceError> {
        let mut committed = self.ask(|store| Ok(store.committed()))?;
        loop {
            committed.mark_unchanged();
            if self.position().as_ref() == Some(position) {
                return Ok(());
            }
            committed.changed().await.map_err(|_| over())?;
        }
    }

    fn row(&self, table: usize, key: &[u8]) -> Result<Option<Row>, SourceError> {
        let StoredTable { input, numbered } = &self.tables[table];
        let row = self.ask(|store| store.input_row(*input, key))?;
        Ok(match (row, numbered) {
            (Some(row), Some((stored, own))) => Some(without_number(stored, own, &row)),
            (row, _) => row,
        })
    }

    fn rows_from(&self, table: usize, prefix: &[u8], after: Option<&[u8]>, limit: usize) -> Result<Vec<Row>, SourceError> {
        let StoredTable { input, numbered } = &self.tables[table];
        let mut rows = self.ask(|store| store.input_rows_from(*input, prefix, after, limit))?;
        if let Some((stored, own)) = numbered {
            rows.iter_mut().for_each(|row| *row = without_number(stored, own, row));
        }
        Ok(rows)
    }

    fn copies(&self, table: usize, row: &[u8]) -> Result<Diff, SourceError> {
        self.ask(|store| store.input_copies(self.tables[table].input, row))
    }
}

fn without_number(stored: &Layout, own: &Layout, row: &[u8]) -> Row {
    let mut builder = RowBuilder::new(own);
    (0..own.schema().len()).for_each(|column| builder.push(stored.get(row, column)));
    builder.finish()
}

fn over() -> SourceError {
    SourceError::Transient { message: "the engine is stopping".into() }
}
