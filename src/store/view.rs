//! Reads a view: its current rows, its counts, its errors, and how it differs from newly computed rows.

use std::cmp::Ordering;
use std::iter::Peekable;
use std::sync::Arc;

use fjall::{Readable, Snapshot};

use crate::value::{Diff, Row, Schema, Tick};

use super::error::{AtFolder, StoreError};
use super::long_row_reader::LongRowReader;
use super::record::{self, RowForm};
use super::space::ViewSpace;
use super::{Store, id_key};

/// A view's name and its counts as of one commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ViewInfo {
    pub name: String,
    pub rows: u64,
    /// The bytes of all packed keys and rows.
    pub bytes: u64,
    /// The number of changes since the view was created, without its first load.
    pub changes: u64,
    /// The number of errors, with all copies.
    pub errors: u64,
    /// The last tick whose changelog entries are dropped.
    pub floor: Tick,
    /// The bytes of the changelog's entries after the floor, before compression, and of the parts that are kept only for them.
    pub changelog_bytes: u64,
    pub disk_bytes: u64,
}

/// An error of a view: why rows are missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ViewError {
    pub message: String,
    /// The number of rows that fail with this message.
    pub count: Diff,
    /// The tick of the first of them.
    pub since: Tick,
}

/// Reads one view. Each call reads from one commit, the last one; two calls may read from different commits.
#[derive(Clone)]
pub struct ViewReader {
    pub(super) store: Store,
    pub(super) space: Arc<ViewSpace>,
}

/// The rows of a view in key order, all as of `tick`.
pub struct Scan {
    /// The tick of the commit that the rows are of.
    pub tick: Tick,
    store: Store,
    rows: fjall::Iter,
    parts: LongRowReader,
}

impl std::fmt::Debug for ViewReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ViewReader").field("name", &self.name()).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Scan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scan").field("tick", &self.tick).finish_non_exhaustive()
    }
}

impl Store {
    /// Every view that a commit has completed, in the order of the definition.
    pub fn views(&self) -> Result<Vec<ViewInfo>, StoreError> {
        self.snapshot().views().map(|view| view.info()).collect()
    }

    /// The view of this name, if a commit has completed it. Until then, if it replaces one of other columns or another key: that one.
    pub fn view(&self, name: &str) -> Option<ViewReader> {
        let space = self.ready_views().find(|space| space.record.name == name)?;
        Some(ViewReader { store: self.clone(), space })
    }

    /// The view of this name as it is defined, if a commit has completed it.
    pub fn defined_view(&self, name: &str) -> Option<ViewReader> {
        let space = self.defined_views().find(|space| space.record.name == name)?;
        Some(ViewReader { store: self.clone(), space })
    }

    /// The views as they are defined, as far as a commit has completed them.
    pub(super) fn defined_views(&self) -> impl Iterator<Item = Arc<ViewSpace>> + use<> {
        let spaces = self.0.spaces.read().expect("nothing panics while it holds this");
        spaces.views.clone().into_iter().filter(|space| space.record.ready)
    }

    pub(super) fn ready_views(&self) -> impl Iterator<Item = Arc<ViewSpace>> + use<> {
        let spaces = self.0.spaces.read().expect("nothing panics while it holds this");
        spaces.ready_views().cloned().collect::<Vec<_>>().into_iter()
    }

    pub(super) fn view_info(&self, space: &ViewSpace, snapshot: &Snapshot) -> Result<ViewInfo, StoreError> {
        let record = &space.record;
        let counters = self.counters(snapshot, record.id)?;
        let floor = self.floor(snapshot, record.id)?;
        Ok(ViewInfo {
            name: record.name.clone(),
            rows: counters.rows.max(0) as u64,
            bytes: counters.bytes.max(0) as u64,
            changes: counters.changes.max(0) as u64,
            errors: counters.errors.max(0) as u64,
            floor: floor.tick,
            changelog_bytes: (counters.logged.max(0) as u64).saturating_sub(floor.forgotten),
            disk_bytes: space.rows.disk_space() + space.parts.disk_space() + space.log.disk_space(),
        })
    }

    pub(super) fn view_errors(&self, space: &ViewSpace, snapshot: &Snapshot) -> Result<Vec<ViewError>, StoreError> {
        let mut errors = Vec::new();
        for guard in snapshot.prefix(&self.0.meta, id_key(b'e', space.record.id)) {
            let value = guard.value().at(self.dir())?;
            errors.push(read_error(&value).ok_or_else(|| self.cut_short())?);
        }
        Ok(errors)
    }
}

impl ViewReader {
    pub fn name(&self) -> &str {
        &self.space.record.name
    }

    pub fn schema(&self) -> &Schema {
        &self.space.record.schema
    }

    /// The columns of the key, in key order.
    pub fn key_columns(&self) -> &[usize] {
        &self.space.record.key
    }

    pub fn store(&self) -> &Store {
        &self.store
    }

    /// The row of a key ([`crate::value::key`]).
    pub fn get(&self, key: &[u8]) -> Result<Option<Row>, StoreError> {
        let snapshot = self.store.0.db.snapshot();
        let Some(value) = snapshot.get(&self.space.rows, key).at(self.store.dir())? else { return Ok(None) };
        let (_, row) = record::read_view_row(&value).ok_or_else(|| self.store.cut_short())?;
        match row {
            RowForm::Whole(row) => Ok(Some(Row::from_bytes(row))),
            RowForm::Long(manifest) => LongRowReader::new(&self.store, &snapshot, &self.space).row(manifest).map(Some),
        }
    }

    pub fn scan(&self) -> Result<Scan, StoreError> {
        self.scan_prefix(b"")
    }

    /// The rows whose key starts with `prefix`, such as the key of the first few columns.
    pub fn scan_prefix(&self, prefix: &[u8]) -> Result<Scan, StoreError> {
        Scan::prefix(&self.store, &self.space, &self.store.0.db.snapshot(), prefix)
    }

    /// The number of rows.
    pub fn len(&self) -> Result<u64, StoreError> {
        Ok(self.info()?.rows)
    }

    pub fn is_empty(&self) -> Result<bool, StoreError> {
        Ok(self.len()? == 0)
    }

    /// The bytes of all packed keys and rows.
    pub fn bytes(&self) -> Result<u64, StoreError> {
        Ok(self.info()?.bytes)
    }

    pub fn info(&self) -> Result<ViewInfo, StoreError> {
        self.store.view_info(&self.space, &self.store.0.db.snapshot())
    }

    /// The errors of the view, in no meaningful order.
    pub fn errors(&self) -> Result<Vec<ViewError>, StoreError> {
        self.store.view_errors(&self.space, &self.store.0.db.snapshot())
    }

    /// The changes that turn the view into the `wanted` rows, which are in key order without duplicates: each key to insert or update with its
    /// row, each key to delete with `None`. Holds only one row of each side in memory.
    pub(super) fn difference(
        &self,
        wanted: Scan,
    ) -> Result<impl Iterator<Item = Result<(Row, Option<Row>), StoreError>> + use<>, StoreError> {
        Ok(Difference { held: self.scan()?.peekable(), wanted: wanted.peekable() })
    }
}

impl Iterator for Scan {
    /// Key and row.
    type Item = Result<(Row, Row), StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        let guard = self.rows.next()?;
        Some(self.read(guard).map(|(key, _, row)| (key, row)))
    }
}

impl Scan {
    /// The rows of this snapshot whose key starts with `prefix`.
    pub(super) fn prefix(store: &Store, space: &Arc<ViewSpace>, snapshot: &Snapshot, prefix: &[u8]) -> Result<Scan, StoreError> {
        let tick = store.tick_of_snapshot(snapshot)?;
        Ok(Scan::over(tick, store, space, snapshot, snapshot.prefix(&space.rows, prefix)))
    }

    /// The rows of an iterator over the view's rows of this snapshot.
    pub(super) fn over(tick: Tick, store: &Store, space: &Arc<ViewSpace>, snapshot: &Snapshot, rows: fjall::Iter) -> Scan {
        let parts = LongRowReader::new(store, snapshot, space);
        Scan { tick, store: store.clone(), rows, parts }
    }

    /// As [`next`](Iterator::next), with the tick that last changed the row.
    pub(super) fn next_with_tick(&mut self) -> Option<Result<(Row, Tick, Row), StoreError>> {
        let guard = self.rows.next()?;
        Some(self.read(guard))
    }

    fn read(&mut self, guard: fjall::Guard) -> Result<(Row, Tick, Row), StoreError> {
        let (key, value) = guard.into_inner().at(self.store.dir())?;
        let (tick, row) = record::read_view_row(&value).ok_or_else(|| self.store.cut_short())?;
        let row = match row {
            RowForm::Whole(row) => Row::from_bytes(row),
            RowForm::Long(manifest) => self.parts.row(manifest)?,
        };
        Ok((Row::from_bytes(&key), tick, row))
    }
}

struct Difference {
    held: Peekable<Scan>,
    wanted: Peekable<Scan>,
}

impl Iterator for Difference {
    type Item = Result<(Row, Option<Row>), StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        let gone = |held: Result<(Row, Row), StoreError>| held.map(|(key, _)| (key, None));
        let comes = |wanted: Result<(Row, Row), StoreError>| wanted.map(|(key, row)| (key, Some(row)));
        loop {
            let order = match (self.held.peek(), self.wanted.peek()) {
                (None, None) => return None,
                (Some(Err(_)), _) | (Some(Ok(_)), None) => Ordering::Less,
                (_, Some(Err(_))) | (None, Some(Ok(_))) => Ordering::Greater,
                (Some(Ok((held, _))), Some(Ok((wanted, _)))) => held.cmp(wanted),
            };
            match order {
                Ordering::Less => return self.held.next().map(gone),
                Ordering::Greater => return self.wanted.next().map(comes),
                Ordering::Equal => match (self.held.next()?, self.wanted.next()?) {
                    (Ok((_, held)), Ok((key, wanted))) if held != wanted => return Some(Ok((key, Some(wanted)))),
                    _ => {}
                },
            }
        }
    }
}

pub(super) fn error_value(count: Diff, since: Tick, message: &str) -> Vec<u8> {
    [&count.to_be_bytes()[..], &since.0.to_be_bytes(), message.as_bytes()].concat()
}

pub(super) fn read_error(value: &[u8]) -> Option<ViewError> {
    let (count, rest) = value.split_first_chunk::<8>()?;
    let (since, message) = rest.split_first_chunk::<8>()?;
    Some(ViewError {
        message: std::str::from_utf8(message).ok()?.to_string(),
        count: Diff::from_be_bytes(*count),
        since: Tick(u64::from_be_bytes(*since)),
    })
}
