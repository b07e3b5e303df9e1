//! Reads a view's changelog: every change of a row after a tick, in tick and key order.

use std::collections::BTreeMap;
use std::collections::btree_map;
use std::iter::Peekable;

use fjall::{Readable, Snapshot, UserValue};

use crate::value::{Row, Tick};

use super::error::{AtFolder, StoreError};
use super::long_row_reader::LongRowReader;
use super::record::{self, Floor, LogEntry, RowForm};
use super::view::Scan;
use super::{Store, ViewReader};

/// One key's change at one tick. `before` and `after` are never equal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoggedChange {
    pub tick: Tick,
    /// Counts the changes of a tick, from 0.
    pub ordinal: u32,
    pub key: Row,
    pub before: Option<Row>,
    pub after: Option<Row>,
}

/// Whole ticks of a changelog.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changes {
    pub entries: Vec<LoggedChange>,
    /// `entries` has all changes up to and including this tick.
    pub up_to: Tick,
}

/// Entries of a changelog up to and including the last commit at the time of the call.
pub struct ChangeIter {
    up_to: Tick,
    store: Store,
    base: Option<ChangelogBase>,
    entries: fjall::Iter,
    rows: EntryReader,
}

impl std::fmt::Debug for ChangeIter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ChangeIter").field("up_to", &self.up_to).finish_non_exhaustive()
    }
}

impl ViewReader {
    /// The changes after tick `after`: all of them, or at least one whole tick and no more ticks than needed for `limit` entries. Also without
    /// entries, [`Changes::up_to`] is the tick of the view.
    ///
    /// # Errors
    /// [`StoreError::Compacted`] if the changelog no longer has all changes after `after`, also because the view was replaced.
    pub fn changes(&self, after: Tick, limit: usize) -> Result<Changes, StoreError> {
        let mut iter = self.changes_after(after)?;
        let mut entries: Vec<LoggedChange> = Vec::new();
        for entry in &mut iter {
            let entry = entry?;
            if let Some(last) = entries.last()
                && entries.len() >= limit
                && last.tick != entry.tick
            {
                let up_to = last.tick;
                return Ok(Changes { entries, up_to });
            }
            entries.push(entry);
        }
        Ok(Changes { entries, up_to: iter.up_to })
    }

    /// As [`changes`](ViewReader::changes), but all of them as an iterator.
    pub fn changes_after(&self, after: Tick) -> Result<ChangeIter, StoreError> {
        let snapshot = self.store.0.db.snapshot();
        let up_to = self.store.tick_of_snapshot(&snapshot)?;
        let floor = self.store.floor_if_there(&snapshot, self.space.record.id)?.map(|floor| floor.tick);
        if floor.is_none_or(|floor| after < floor) {
            return Err(StoreError::Compacted { view: self.name().into(), asked: after, floor: floor.unwrap_or(up_to) });
        }
        let entries = snapshot.range(&self.space.log, record::log_key(after.next(), 0)..);
        let rows = EntryReader::new(self, &snapshot);
        Ok(ChangeIter { up_to, store: self.store.clone(), base: None, entries, rows })
    }

    /// The whole history that is kept: first the view as of the changelog's floor, as inserts in key order at that tick, then every later
    /// change. Memory: the keys that changed since the floor.
    pub fn changes_from_start(&self) -> Result<ChangeIter, StoreError> {
        let snapshot = self.store.0.db.snapshot();
        let dir = self.store.dir();
        let up_to = self.store.tick_of_snapshot(&snapshot)?;
        let Some(Floor { tick: floor, .. }) = self.store.floor_if_there(&snapshot, self.space.record.id)? else {
            return Err(StoreError::Compacted { view: self.name().into(), asked: Tick(0), floor: up_to });
        };
        let since_floor = || snapshot.range(&self.space.log, record::log_key(floor.next(), 0)..);
        let mut first_changes: BTreeMap<Row, [u8; 12]> = BTreeMap::new();
        for guard in since_floor() {
            let (key, value) = guard.into_inner().at(dir)?;
            let at = *key.first_chunk().ok_or_else(|| self.store.cut_short())?;
            let entry = record::read_log(&value).ok_or_else(|| self.store.cut_short())?;
            first_changes.entry(Row::from_bytes(entry.key)).or_insert(at);
        }
        let rows = Scan::over(up_to, &self.store, &self.space, &snapshot, snapshot.iter(&self.space.rows));
        let base = ChangelogBase {
            floor,
            ordinal: 0,
            rows,
            row: None,
            first_changes: first_changes.into_iter().peekable(),
            log: self.space.log.clone(),
            snapshot: snapshot.clone(),
        };
        let rows = EntryReader::new(self, &snapshot);
        Ok(ChangeIter { up_to, store: self.store.clone(), base: Some(base), entries: since_floor(), rows })
    }
}

impl ChangeIter {
    /// The iterator has all changes up to and including this tick.
    pub fn up_to(&self) -> Tick {
        self.up_to
    }
}

impl Iterator for ChangeIter {
    type Item = Result<LoggedChange, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(base) = &mut self.base {
            match base.next(&self.store, &mut self.rows) {
                Some(entry) => return Some(entry),
                None => self.base = None,
            }
        }
        let guard = self.entries.next()?;
        let read = guard.into_inner().at(self.store.dir());
        Some(read.and_then(|(key, value)| self.rows.change(&self.store, &key, &value)))
    }
}

/// Reads the rows of entries. Reads a long row that occurs in two successive entries only once.
struct EntryReader {
    parts: LongRowReader,
    /// The manifest of the long row that was read last, and that row.
    last: Option<(UserValue, Row)>,
}

impl EntryReader {
    fn new(view: &ViewReader, snapshot: &Snapshot) -> EntryReader {
        EntryReader { parts: LongRowReader::new(&view.store, snapshot, &view.space), last: None }
    }

    fn change(&mut self, store: &Store, key: &[u8], value: &[u8]) -> Result<LoggedChange, StoreError> {
        let (tick, ordinal) = record::read_log_key(key).ok_or_else(|| store.cut_short())?;
        let entry = record::read_log(value).ok_or_else(|| store.cut_short())?;
        let before = self.before(store, &entry)?;
        let after = entry.after().map(|held| self.row(&held)).transpose()?;
        Ok(LoggedChange { tick, ordinal, key: Row::from_bytes(entry.key), before, after })
    }

    fn before(&mut self, store: &Store, entry: &LogEntry) -> Result<Option<Row>, StoreError> {
        let held = entry.before().ok_or_else(|| store.cut_short())?;
        held.map(|held| self.row(&held)).transpose()
    }

    fn row<B: AsRef<[u8]>>(&mut self, held: &RowForm<B>) -> Result<Row, StoreError> {
        let manifest = match held {
            RowForm::Whole(row) => return Ok(Row::from_bytes(row.as_ref())),
            RowForm::Long(manifest) => manifest.as_ref(),
        };
        if let Some((of, row)) = &self.last
            && **of == *manifest
        {
            return Ok(row.clone());
        }
        let row = self.parts.row(manifest)?;
        self.last = Some((manifest.into(), row.clone()));
        Ok(row)
    }
}

/// The view as of the floor: current rows that have not changed since, and for the others the row before their first change.
struct ChangelogBase {
    floor: Tick,
    ordinal: u32,
    rows: Scan,
    row: Option<(Row, Row)>,
    first_changes: Peekable<btree_map::IntoIter<Row, [u8; 12]>>,
    log: fjall::Keyspace,
    snapshot: Snapshot,
}

impl ChangelogBase {
    fn next(&mut self, store: &Store, rows: &mut EntryReader) -> Option<Result<LoggedChange, StoreError>> {
        loop {
            if self.row.is_none() {
                match self.next_unchanged() {
                    Some(Ok(row)) => self.row = Some(row),
                    Some(Err(e)) => return Some(Err(e)),
                    None => {}
                }
            }
            let changed_first = match (&self.row, self.first_changes.peek()) {
                (None, None) => return None,
                (Some((key, _)), Some((changed, _))) => changed < key,
                (row, _) => row.is_none(),
            };
            let (key, row) = match changed_first {
                false => self.row.take().expect("matched above"),
                true => match self.before_first_change(store, rows) {
                    Ok(Some(found)) => found,
                    Ok(None) => continue,
                    Err(e) => return Some(Err(e)),
                },
            };
            let ordinal = self.ordinal;
            self.ordinal += 1;
            return Some(Ok(LoggedChange { tick: self.floor, ordinal, key, before: None, after: Some(row) }));
        }
    }

    fn next_unchanged(&mut self) -> Option<Result<(Row, Row), StoreError>> {
        loop {
            match self.rows.next_with_tick()? {
                Ok((_, changed, _)) if changed > self.floor => {}
                Ok((key, _, row)) => return Some(Ok((key, row))),
                Err(e) => return Some(Err(e)),
            }
        }
    }

    fn before_first_change(&mut self, store: &Store, rows: &mut EntryReader) -> Result<Option<(Row, Row)>, StoreError> {
        let (key, at) = self.first_changes.next().expect("peeked");
        let value = self.snapshot.get(&self.log, at).at(store.dir())?.ok_or_else(|| store.cut_short())?;
        let entry = record::read_log(&value).ok_or_else(|| store.cut_short())?;
        Ok(rows.before(store, &entry)?.map(|row| (key, row)))
    }
}
