//! Who follows which view how far, and which tick was which position.

use fjall::{Readable, Snapshot};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::fault;
use crate::value::{Position, Tick};

use super::error::{At, StoreError, damaged};
use super::{Store, read_json, record};

/// A named reader of a view's changelog: whatever comes after `tick` is kept for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReaderInfo {
    pub name: String,
    pub view: String,
    pub tick: Tick,
    /// Nothing is kept for it: the spec that was run last has no such sink.
    #[serde(default)]
    pub released: bool,
    /// It was asked to compare its target with the whole view.
    #[serde(default)]
    pub resync: bool,
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
    /// Notes that reader `name` has everything of `view` up to and with `tick`. After a power cut it may be an earlier tick. Whether it was
    /// asked to begin anew stays as it was.
    pub fn set_reader(&self, name: &str, view: &str, tick: Tick) -> Result<(), StoreError> {
        let _writer = self.sound_writer()?;
        let resync = self.reader(name)?.is_some_and(|reader| reader.resync);
        fault::fallible("store.reader.before").at(self.dir())?;
        self.put_reader(&ReaderInfo { name: name.into(), view: view.into(), tick, released: false, resync })?;
        fault::point("store.reader.after");
        Ok(())
    }

    /// Keeps nothing for this reader any more, and knows nothing of it. False where nothing was known.
    pub fn remove_reader(&self, name: &str) -> Result<bool, StoreError> {
        let known = self.reader(name)?.is_some();
        self.forget_refused(name)?;
        let _writer = self.sound_writer()?;
        let mut batch = self.batch();
        batch.remove(&self.0.meta, reader_key(name));
        batch.commit().at(self.dir())?;
        Ok(known)
    }

    /// Keeps nothing for readers other than these; what is known of them.
    pub fn release_readers_but(&self, names: &[&str]) -> Result<Vec<ReaderInfo>, StoreError> {
        let _writer = self.sound_writer()?;
        let mut released = Vec::new();
        for reader in self.readers()?.into_iter().filter(|reader| !names.contains(&reader.name.as_str())) {
            let reader = ReaderInfo { released: true, ..reader };
            self.put_reader(&reader)?;
            released.push(reader);
        }
        Ok(released)
    }

    /// Asks a reader to compare its target with the whole view, or takes that back. False where there is no such reader.
    pub fn ask_resync(&self, name: &str, resync: bool) -> Result<bool, StoreError> {
        let _writer = self.sound_writer()?;
        let Some(reader) = self.reader(name)? else { return Ok(false) };
        let mut batch = self.batch();
        batch.insert(&self.0.meta, reader_key(name), value(&ReaderInfo { resync, ..reader }));
        batch.commit().at(self.dir())?;
        self.0.asked.send_modify(|asked| *asked += 1);
        Ok(true)
    }

    /// Follows what is asked of readers: a change means that some reader's record is another.
    pub fn asked(&self) -> watch::Receiver<u64> {
        self.0.asked.subscribe()
    }

    pub fn reader(&self, name: &str) -> Result<Option<ReaderInfo>, StoreError> {
        read_json(&self.0.meta, &reader_key(name), self.dir())
    }

    pub fn readers(&self) -> Result<Vec<ReaderInfo>, StoreError> {
        self.every_reader(&self.0.db.snapshot())
    }

    fn put_reader(&self, info: &ReaderInfo) -> Result<(), StoreError> {
        self.0.meta.insert(reader_key(&info.name), value(info)).at(self.dir())
    }

    /// Those for which the changelog is kept.
    pub(super) fn readers_at(&self, snapshot: &Snapshot) -> Result<Vec<ReaderInfo>, StoreError> {
        Ok(self.every_reader(snapshot)?.into_iter().filter(|reader| !reader.released).collect())
    }

    fn every_reader(&self, snapshot: &Snapshot) -> Result<Vec<ReaderInfo>, StoreError> {
        let mut readers = Vec::new();
        for guard in snapshot.prefix(&self.0.meta, "r") {
            let value = guard.value().at(self.dir())?;
            readers.push(serde_json::from_slice(&value).map_err(|_| damaged(self.dir(), "a reader's record is not JSON"))?);
        }
        Ok(readers)
    }

    /// The first tick after this one that a source's transaction became; `None` where there is none.
    pub fn next_mark(&self, after: Tick) -> Result<Option<Mark>, StoreError> {
        let next = self.0.db.snapshot().range(&self.0.ticks, after.next().0.to_be_bytes().to_vec()..).next();
        next.map(|guard| self.read_mark(guard)).transpose()
    }

    /// How long ago the first tick after this one was committed here, in ms: how far whoever is at this tick is behind.
    pub fn behind_ms(&self, tick: Tick) -> Result<u64, StoreError> {
        if tick >= *self.committed().borrow() {
            return Ok(0);
        }
        Ok(self.next_mark(tick)?.map_or(0, |mark| super::now_ms().saturating_sub(mark.stored_ms)))
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

fn value(info: &ReaderInfo) -> Vec<u8> {
    serde_json::to_vec(info).expect("names and a number are JSON")
}

fn reader_key(name: &str) -> String {
    format!("r{name}")
}
