//! Who follows which view how far, and which tick was which position.

use fjall::{Readable, Snapshot};
use serde::{Deserialize, Serialize};

use crate::value::{Position, Tick};

use super::error::{At, StoreError, damaged};
use super::{Store, record};

/// A named reader of a view's changelog: whatever comes after `tick` is kept for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReaderInfo {
    pub name: String,
    pub view: String,
    pub tick: Tick,
}

/// A tick that a source's transaction became.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    pub tick: Tick,
    pub source: String,
    pub position: Position,
    /// The source's commit time, in ms since 1970.
    pub committed_ms: Option<u64>,
    /// When it was committed here, in ms since 1970.
    pub stored_ms: u64,
}

impl Store {
    /// Notes that reader `name` has everything of `view` up to and with `tick`. After a power cut it may be an earlier tick.
    pub fn set_reader(&self, name: &str, view: &str, tick: Tick) -> Result<(), StoreError> {
        let _writer = self.sound_writer()?;
        let info = ReaderInfo { name: name.into(), view: view.into(), tick };
        let value = serde_json::to_vec(&info).expect("names and a number are JSON");
        self.0.meta.insert(reader_key(name), value).at(self.dir())
    }

    /// Keeps nothing for this reader any more.
    pub fn remove_reader(&self, name: &str) -> Result<(), StoreError> {
        let _writer = self.sound_writer()?;
        self.0.meta.remove(reader_key(name)).at(self.dir())
    }

    pub fn readers(&self) -> Result<Vec<ReaderInfo>, StoreError> {
        self.readers_at(&self.0.db.snapshot())
    }

    pub(super) fn readers_at(&self, snapshot: &Snapshot) -> Result<Vec<ReaderInfo>, StoreError> {
        let mut readers = Vec::new();
        for guard in snapshot.prefix(&self.0.meta, "r") {
            let value = guard.value().at(self.dir())?;
            readers.push(serde_json::from_slice(&value).map_err(|_| damaged(self.dir(), "a reader's record is not JSON"))?);
        }
        Ok(readers)
    }

    /// What a tick was at its source; more than one at the first tick, which is every source's snapshot. Empty where it is forgotten.
    pub fn positions_of(&self, tick: Tick) -> Result<Vec<Mark>, StoreError> {
        let from = tick.0.to_be_bytes();
        let found = self.0.db.snapshot().prefix(&self.0.ticks, from);
        found.map(|guard| self.read_mark(guard)).collect()
    }

    /// The tick that a source's transaction became, searched from the newest back, or after which the source is at this position;
    /// `None` where it is not known any more.
    pub fn tick_of(&self, source: Option<&str>, position: &str) -> Result<Option<Tick>, StoreError> {
        let wanted = |name: &str, at: &Position| at.as_str() == position && source.is_none_or(|source| source == name);
        for guard in self.0.db.snapshot().iter(&self.0.ticks).rev() {
            let mark = self.read_mark(guard)?;
            if wanted(&mark.source, &mark.position) {
                return Ok(Some(mark.tick));
            }
        }
        let now = self.checkpoint().unwrap_or_default();
        Ok(now.sources.iter().find(|(name, at)| wanted(name, &at.position)).map(|(_, at)| at.tick))
    }

    fn read_mark(&self, guard: fjall::Guard) -> Result<Mark, StoreError> {
        let (key, value) = guard.into_inner().at(self.dir())?;
        let (tick, source) = record::read_tick_key(&key).ok_or_else(|| self.cut_short())?;
        let record::TickRecord { position, committed_ms, stored_ms } = record::read_tick(&value).ok_or_else(|| self.cut_short())?;
        Ok(Mark { tick, source: source.into(), position, committed_ms, stored_ms })
    }
}

fn reader_key(name: &str) -> String {
    format!("r{name}")
}
