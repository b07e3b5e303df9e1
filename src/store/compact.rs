//! Forgets changelog entries that no reader and no retention needs; the rows stay as they are.

use fjall::{PersistMode, Readable};

use crate::value::Tick;

use super::error::{At, StoreError};
use super::{Store, id_key, now_ms, record};

/// How much history is kept for readers that come later. What is within any of the two stays; with neither nothing does, beyond
/// what registered readers need.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Retention {
    pub ticks: Option<u64>,
    /// Counted from when the tick was committed here.
    pub age_ms: Option<u64>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Compacted {
    /// The changelog has every tick after this.
    pub floor: Tick,
    /// How many entries went.
    pub entries: u64,
}

/// Entries that go in one batch.
const BATCH: usize = 4096;

impl Store {
    /// Forgets the changelog of a view up to and with `up_to`, or the tick of its slowest registered reader where that is earlier.
    /// May run beside commits and readers; what a reader has open it keeps. `None` where there is no such view.
    pub fn compact(&self, view: &str, up_to: Tick) -> Result<Option<Compacted>, StoreError> {
        let _one = self.0.compacting.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let compacted = self.compact_log(view, up_to)?;
        self.trim_ticks()?;
        Ok(compacted)
    }

    /// Compacts every view by the retention.
    pub fn compact_all(&self, retention: &Retention) -> Result<(), StoreError> {
        let up_to = self.retained_after(retention)?;
        let _one = self.0.compacting.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        for view in self.ready_views() {
            self.compact_log(&view.record.name, up_to)?;
        }
        self.trim_ticks()
    }

    fn compact_log(&self, view: &str, up_to: Tick) -> Result<Option<Compacted>, StoreError> {
        let Some(space) = self.ready_views().find(|space| space.record.name == view) else { return Ok(None) };
        let dir = self.dir();
        let snapshot = self.0.db.snapshot();
        let old = self.floor(&snapshot, space.record.id)?;
        let needed_by = self.readers_at(&snapshot)?.into_iter().filter(|r| r.view == view).map(|r| r.tick).min();
        let up_to = up_to.min(self.tick_of_snapshot(&snapshot)?).min(needed_by.unwrap_or(Tick(u64::MAX)));
        if up_to <= old {
            return Ok(Some(Compacted { floor: old, entries: 0 }));
        }
        // From the old floor's tick on: a compaction that was cut off may have left entries of it.
        let mut gone = snapshot.range(&space.log, record::log_key(old, 0)..record::log_key(up_to.next(), 0));
        let mut entries = 0;
        loop {
            let mut batch = self.0.db.batch();
            let mut floor = up_to;
            for guard in gone.by_ref().take(BATCH) {
                let key = guard.key().at(dir)?;
                (floor, _) = record::read_log_key(&key).ok_or_else(|| self.cut_short())?;
                batch.remove(&space.log, key);
            }
            let last = batch.len() < BATCH;
            entries += batch.len() as u64;
            let floor = if last { up_to } else { floor };
            batch.insert(&self.0.meta, id_key(b'f', space.record.id), floor.0.to_be_bytes());
            // Not between a commit and the note of what it wrote.
            let writer = self.writer();
            batch.commit().at(dir)?;
            drop(writer);
            if last {
                return Ok(Some(Compacted { floor, entries }));
            }
        }
    }

    /// Forgets marks of ticks before the earliest floor. The floor's own stay: a changelog's base is told by its position.
    fn trim_ticks(&self) -> Result<(), StoreError> {
        let snapshot = self.0.db.snapshot();
        let mut keep_from = self.tick_of_snapshot(&snapshot)?;
        for view in self.ready_views() {
            keep_from = keep_from.min(self.floor(&snapshot, view.record.id)?);
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
        // Also what happened since the last commit without one: key spaces that were written out, journals that went.
        self.0.db.persist(PersistMode::SyncData).at(self.dir())?;
        self.note(&writer, self.tick_of_snapshot(&self.0.db.snapshot())?)
    }

    /// The last tick that the retention lets go.
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
