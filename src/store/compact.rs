//! Drops changelog entries that neither a reader nor the retention needs, or that exceed the size limit. Rows are not changed.
//!
//! Dropping entries only raises the floor: entries at or below it are not removed one by one. Since entries are written in key order, whole
//! tables of the storage engine are soon below the floor. These are dropped, which costs nothing and frees their disk space. Parts of long rows
//! that only dropped entries have are removed one by one, in the batch that raises the floor.

use std::borrow::Cow;
use std::iter::Peekable;

use fjall::{AbstractTree, PersistMode, Readable, Snapshot};

use crate::fault;
use crate::value::Tick;

use super::error::{AtFolder, StoreError};
use super::manifest::Manifest;
use super::record::{self, Floor, RowForm};
use super::space::ViewSpace;
use super::{Store, id_key, now_ms};

/// How much history is kept for new readers. Entries within `ticks` or `age_ms` are kept; with neither, only those that registered readers
/// need. `bytes` limits all of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Retention {
    pub ticks: Option<u64>,
    /// The age in ms since the tick was committed here.
    pub age_ms: Option<u64>,
    /// The size of all changelogs together ([`ViewInfo::changelog_bytes`](super::ViewInfo::changelog_bytes)): beyond it the oldest ticks are
    /// dropped, even if a reader still needs them.
    pub bytes: Option<u64>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Compacted {
    /// The changelog has every tick after this.
    pub floor: Tick,
    /// The number of dropped entries.
    pub entries: u64,
}

/// About how many removals one batch has; a batch always has whole ticks.
const BATCH: usize = 4096;

impl Store {
    /// Drops the changelog of a view up to and including `up_to`, or the tick of its slowest registered reader if that is earlier. May run
    /// concurrently with commits and readers; open iterators keep their entries. Returns `None` if there is no such view.
    pub fn compact(&self, view: &str, up_to: Tick) -> Result<Option<Compacted>, StoreError> {
        let _one = self.0.compacting.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let Some(space) = self.defined_views().find(|space| space.record.name == view) else { return Ok(None) };
        let compacted = self.compact_log(&space, self.needed_after(view, up_to)?)?;
        self.trim_ticks()?;
        Ok(Some(compacted))
    }

    /// Compacts every view by the retention, except views that are being replaced: a commit may drop them meanwhile. A registered reader that needs entries dropped by the limit on bytes gets
    /// [`StoreError::Compacted`] next.
    pub fn compact_all(&self, retention: &Retention) -> Result<(), StoreError> {
        let up_to = self.retained_after(retention)?;
        let _one = self.0.compacting.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        for space in self.defined_views() {
            self.compact_log(&space, self.needed_after(&space.record.name, up_to)?)?;
        }
        if let Some(up_to) = self.too_much_up_to(retention)? {
            for space in self.defined_views() {
                self.compact_log(&space, up_to)?;
            }
        }
        self.trim_ticks()
    }

    /// The earlier of `up_to` and the tick of the view's slowest reader.
    fn needed_after(&self, view: &str, up_to: Tick) -> Result<Tick, StoreError> {
        let readers = self.readers_at(&self.0.db.snapshot())?;
        let at = readers.iter().filter(|reader| reader.view == view).map(|reader| reader.tick);
        Ok(at.fold(up_to, Tick::min))
    }

    fn compact_log(&self, space: &ViewSpace, up_to: Tick) -> Result<Compacted, StoreError> {
        let dir = self.dir();
        let snapshot = self.0.db.snapshot();
        let mut floor = self.floor(&snapshot, space.record.id)?;
        let up_to = up_to.min(self.tick_of_snapshot(&snapshot)?);
        let mut entries = 0;
        if up_to > floor.tick {
            let mut batch = self.0.db.batch();
            for guard in snapshot.range(&space.log, record::log_key(floor.tick.next(), 0)..record::log_key(up_to.next(), 0)) {
                let (key, value) = guard.into_inner().at(dir)?;
                let (tick, _) = record::read_log_key(&key).ok_or_else(|| self.cut_short())?;
                if tick != floor.tick && batch.len() >= BATCH {
                    batch.insert(&self.0.meta, id_key(b'f', space.record.id), record::floor_value(floor));
                    // The lock keeps this write from falling between a commit and its record in the witness.
                    let _writer = self.writer();
                    std::mem::replace(&mut batch, self.0.db.batch()).commit().at(dir)?;
                }
                let entry = record::read_log(&value).ok_or_else(|| self.cut_short())?;
                for part in self.parts_of_entry_alone(&entry)? {
                    batch.remove(&space.parts, part.to_be_bytes());
                }
                floor = Floor { tick, forgotten: floor.forgotten + record::log_bytes(&value, entry.bytes_gone as usize) };
                entries += 1;
            }
            floor.tick = up_to;
            batch.insert(&self.0.meta, id_key(b'f', space.record.id), record::floor_value(floor));
            let _writer = self.writer();
            fault::fallible("store.compact.before_batch").at(dir)?;
            batch.commit().at(dir)?;
            fault::point("store.compact.after_batch");
        }
        self.drop_forgotten_tables(space, floor.tick)?;
        Ok(Compacted { floor: floor.tick, entries })
    }

    /// The parts that the row before has and the row after does not have.
    fn parts_of_entry_alone(&self, entry: &record::LogEntry) -> Result<Vec<u64>, StoreError> {
        if entry.bytes_gone == 0 {
            return Ok(Vec::new());
        }
        let manifest = |held: Option<RowForm<Cow<[u8]>>>| match held {
            Some(RowForm::Long(bytes)) => Manifest::read(&bytes).map(Some).ok_or_else(|| self.cut_short()),
            Some(RowForm::Whole(_)) | None => Ok(None),
        };
        let before = manifest(entry.before().ok_or_else(|| self.cut_short())?)?;
        let after = manifest(entry.after())?;
        Ok(before.map_or(Vec::new(), |before| before.gone(after.as_ref())))
    }

    /// Drops the tables that have nothing above the floor, except the one with the highest keys: from it the storage engine knows which journal
    /// entries are in tables already. Open iterators keep their entries.
    fn drop_forgotten_tables(&self, space: &ViewSpace, floor: Tick) -> Result<(), StoreError> {
        let version = space.log.tree.current_version();
        let last_keys = || version.iter_tables().map(|table| &**table.metadata.key_range.max());
        let Some(newest) = last_keys().max() else { return Ok(()) };
        let above_floor = record::log_key(floor.next(), 0);
        let end = newest.min(&above_floor[..]);
        if last_keys().any(|last| last < end) {
            // Make the floor durable before its tables are dropped.
            self.0.db.persist(PersistMode::SyncData).at(self.dir())?;
            space.log.tree.drop_range(..end).map_err(fjall::Error::from).at(self.dir())?;
        }
        Ok(())
    }

    /// The last tick that must be dropped to bring the changelogs within the limit on bytes; `None` if they are within it.
    fn too_much_up_to(&self, retention: &Retention) -> Result<Option<Tick>, StoreError> {
        let Some(most) = retention.bytes else { return Ok(None) };
        let snapshot = self.0.db.snapshot();
        let mut held = 0;
        for space in self.defined_views() {
            held += self.view_info(&space, &snapshot)?.changelog_bytes;
        }
        let Some(mut too_much) = held.checked_sub(most).filter(|bytes| *bytes > 0) else { return Ok(None) };
        let mut logs = Vec::new();
        for space in self.defined_views() {
            logs.push(self.bytes_by_tick(&space, &snapshot)?.peekable());
        }
        let mut up_to = None;
        while too_much > 0 {
            let Some(tick) = earliest(&mut logs)? else { break };
            for log in &mut logs {
                while let Some(Ok((_, bytes))) = log.next_if(|read| matches!(read, Ok((of, _)) if *of == tick)) {
                    too_much = too_much.saturating_sub(bytes);
                }
            }
            up_to = Some(tick);
        }
        if let Some(up_to) = up_to {
            for reader in self.readers_at(&snapshot)?.into_iter().filter(|reader| reader.tick < up_to) {
                tracing::warn!(reader = reader.name, view = reader.view, tick = reader.tick.0, floor = up_to.0, "changelog over its bound");
            }
        }
        Ok(up_to)
    }

    /// Tick and bytes of each entry above the floor.
    fn bytes_by_tick<'a>(
        &'a self,
        space: &ViewSpace,
        snapshot: &Snapshot,
    ) -> Result<impl Iterator<Item = Result<(Tick, u64), StoreError>> + use<'a>, StoreError> {
        let floor = self.floor(snapshot, space.record.id)?.tick;
        let entries = snapshot.range(&space.log, record::log_key(floor.next(), 0)..);
        Ok(entries.map(|guard| {
            let (key, value) = guard.into_inner().at(self.dir())?;
            let (tick, _) = record::read_log_key(&key).ok_or_else(|| self.cut_short())?;
            let entry = record::read_log(&value).ok_or_else(|| self.cut_short())?;
            Ok((tick, record::log_bytes(&value, entry.bytes_gone as usize)))
        }))
    }

    /// Drops the marks of ticks before the earliest floor. The marks of the floor are kept: they are the positions of a changelog's base.
    fn trim_ticks(&self) -> Result<(), StoreError> {
        fault::fallible("store.compact.before_ticks").at(self.dir())?;
        let snapshot = self.0.db.snapshot();
        let mut keep_from = self.tick_of_snapshot(&snapshot)?;
        for view in self.ready_views() {
            keep_from = keep_from.min(self.floor(&snapshot, view.record.id)?.tick);
        }
        let mut batch = self.0.db.batch();
        for guard in snapshot.range(&self.0.ticks, ..keep_from.0.to_be_bytes().to_vec()) {
            batch.remove(&self.0.ticks, guard.key().at(self.dir())?);
            if batch.len() == BATCH {
                let _writer = self.writer();
                std::mem::replace(&mut batch, self.0.db.batch()).commit().at(self.dir())?;
            }
        }
        let writer = self.writer();
        batch.commit().at(self.dir())?;
        // Also records flushed key spaces and dropped journals since the last commit.
        self.0.db.persist(PersistMode::SyncData).at(self.dir())?;
        self.note(&writer, self.tick_of_snapshot(&self.0.db.snapshot())?)
    }

    /// The last tick that the retention does not keep.
    fn retained_after(&self, retention: &Retention) -> Result<Tick, StoreError> {
        let snapshot = self.0.db.snapshot();
        let last = self.tick_of_snapshot(&snapshot)?;
        let by_ticks = retention.ticks.map_or(last, |ticks| Tick(last.0.saturating_sub(ticks)));
        let Some(age_ms) = retention.age_ms else { return Ok(by_ticks) };
        let before_ms = now_ms().saturating_sub(age_ms);
        let mut by_age = Tick(0);
        for guard in snapshot.iter(&self.0.ticks) {
            let (key, value) = guard.into_inner().at(self.dir())?;
            let (tick, _) = record::read_tick_key(&key).ok_or_else(|| self.cut_short())?;
            let mark = record::read_tick(&value).ok_or_else(|| self.cut_short())?;
            if mark.stored_ms >= before_ms {
                break;
            }
            by_age = tick;
        }
        Ok(by_ticks.min(by_age))
    }
}

/// The earliest tick in any of the logs.
fn earliest<I>(logs: &mut [Peekable<I>]) -> Result<Option<Tick>, StoreError>
where
    I: Iterator<Item = Result<(Tick, u64), StoreError>>,
{
    let mut earliest: Option<Tick> = None;
    for log in logs {
        match log.peek() {
            Some(Ok((tick, _))) => earliest = Some(earliest.map_or(*tick, |found| found.min(*tick))),
            Some(Err(_)) => log.next().transpose().map(|_| ())?,
            None => {}
        }
    }
    Ok(earliest)
}

#[cfg(test)]
mod tests {
    use super::super::{Commit, Sync, ViewBatch, ViewChange, ViewDef};
    use super::*;
    use crate::value::{Column, Datum, Layout, Row, RowBuilder, Schema, Type};

    fn document(id: i64, length: usize) -> Row {
        let mut builder = RowBuilder::new(&Layout::new(&schema()));
        builder.push(Datum::Int(id));
        builder.push(Datum::Text(&(0..length / 8).map(|i| format!("{:08}", i * i % 7919)).collect::<String>()));
        builder.finish()
    }

    fn schema() -> Schema {
        Schema::new(vec![Column::new("id", Type::Int64, false), Column::new("text", Type::Text, false)])
    }

    fn change(tick: u64, after: Option<Row>) -> Commit {
        let changes = vec![ViewChange { tick: Tick(tick), key: Row::from_bytes(b"k"), after }];
        Commit { up_to: Tick(tick), views: vec![ViewBatch { view: 0, changes, errors: vec![] }], ..Commit::default() }
    }

    /// The number of stored parts.
    fn parts(store: &Store) -> usize {
        store.view_space(0).unwrap().parts.len().unwrap()
    }

    #[test]
    fn parts_go_with_the_last_entry_that_has_them() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), Sync::Os).unwrap();
        let view = ViewDef { name: "v".into(), schema: schema(), key: vec![0], fingerprint: String::new() };
        store.define(&[], std::slice::from_ref(&view)).unwrap();
        store.commit(change(1, Some(document(1, 100_000)))).unwrap();
        let first = parts(&store);
        store.commit(change(2, Some(document(2, 100_000)))).unwrap();
        store.commit(change(3, Some(document(3, 60_000)))).unwrap();
        let (all, shrunk) = (parts(&store), parts(&store) - first);
        assert!(first > 10 && shrunk > 0 && shrunk < first);
        store.compact("v", Tick(2)).unwrap();
        let kept_for_the_last = parts(&store);
        assert!(kept_for_the_last < all && kept_for_the_last > first / 2);
        store.compact("v", Tick(3)).unwrap();
        assert!(parts(&store) < kept_for_the_last);
        let mut whole_then_gone = change(5, None);
        whole_then_gone.views[0].changes.insert(0, change(4, Some(document(4, 90_000))).views.remove(0).changes.remove(0));
        store.commit(whole_then_gone).unwrap();
        assert!(parts(&store) > 0);
        store.compact("v", Tick(5)).unwrap();
        assert_eq!(parts(&store), 0);
        // A new view of a store with ticks has no changelog, so nothing may be kept for it.
        let other = ViewDef { name: "w".into(), ..view };
        store.define(&[], &[other]).unwrap();
        let mut several = change(6, Some(document(1, 50_000)));
        several.up_to = Tick(8);
        several.views[0].changes.push(change(7, Some(document(2, 100_000))).views.remove(0).changes.remove(0));
        several.views[0].changes.push(change(8, Some(document(3, 30_000))).views.remove(0).changes.remove(0));
        store.commit(several).unwrap();
        let row = store.view("w").unwrap().get(b"k").unwrap();
        assert!(row == Some(document(3, 30_000)));
        let held = parts(&store);
        store.commit(change(9, None)).unwrap();
        store.compact("w", Tick(9)).unwrap();
        assert_eq!((held > 0, parts(&store)), (true, 0));
    }
}
