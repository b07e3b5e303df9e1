//! The named readers of views with their ticks, and the positions of ticks.

use fjall::{Readable, Snapshot};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::fault;
use crate::value::{Position, Tick};

use super::error::{AtFolder, StoreError, damaged};
use super::{Store, read_json, record};

/// A named reader of a view's changelog: all changes after `tick` are kept for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReaderInfo {
    pub name: String,
    pub view: String,
    pub tick: Tick,
    /// Nothing is kept for it, because the last spec that ran has no such sink.
    #[serde(default)]
    pub released: bool,
    /// It must compare its target with the whole view.
    #[serde(default)]
    pub resync: bool,
}

/// A tick and its source transaction.
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
    /// Records that reader `name` has everything of `view` up to and including `tick`. After a power cut an earlier tick may be recorded. Does
    /// not change [`ReaderInfo::resync`].
    pub fn set_reader(&self, name: &str, view: &str, tick: Tick) -> Result<(), StoreError> {
        let _writer = self.sound_writer()?;
        let resync = self.reader(name)?.is_some_and(|reader| reader.resync);
        fault::fallible("store.reader.before").at(self.dir())?;
        self.put_reader(&ReaderInfo { name: name.into(), view: view.into(), tick, released: false, resync })?;
        fault::point("store.reader.after");
        Ok(())
    }

    /// Removes a reader and its refused documents. Returns false if there was no such reader.
    pub fn remove_reader(&self, name: &str) -> Result<bool, StoreError> {
        let known = self.reader(name)?.is_some();
        let _writer = self.sound_writer()?;
        let mut batch = self.batch();
        self.remove_refused(&mut batch, name)?;
        batch.remove(&self.0.meta, reader_key(name));
        batch.commit().at(self.dir())?;
        Ok(known)
    }

    /// Releases all readers except those in `names`: nothing is kept for them any more. Returns the released readers.
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

    /// Asks a reader to compare its target with the whole view, or withdraws the request. Returns false if there is no such reader.
    pub fn ask_resync(&self, name: &str, resync: bool) -> Result<bool, StoreError> {
        let _writer = self.sound_writer()?;
        let Some(reader) = self.reader(name)? else { return Ok(false) };
        let mut batch = self.batch();
        batch.insert(&self.0.meta, reader_key(name), value(&ReaderInfo { resync, ..reader }));
        batch.commit().at(self.dir())?;
        self.0.asked.send_modify(|asked| *asked += 1);
        Ok(true)
    }

    /// Changes whenever [`Store::ask_resync`] has changed a reader.
    pub fn asked(&self) -> watch::Receiver<u64> {
        self.0.asked.subscribe()
    }

    pub fn reader(&self, name: &str) -> Result<Option<ReaderInfo>, StoreError> {
        read_json(&self.0.meta, &reader_key(name), self.dir())
    }

    pub fn readers(&self) -> Result<Vec<ReaderInfo>, StoreError> {
        self.snapshot().readers()
    }

    fn put_reader(&self, info: &ReaderInfo) -> Result<(), StoreError> {
        self.0.meta.insert(reader_key(&info.name), value(info)).at(self.dir())
    }

    /// The readers for which the changelog is kept.
    pub(super) fn readers_at(&self, snapshot: &Snapshot) -> Result<Vec<ReaderInfo>, StoreError> {
        Ok(self.every_reader(snapshot)?.into_iter().filter(|reader| !reader.released).collect())
    }

    pub(super) fn every_reader(&self, snapshot: &Snapshot) -> Result<Vec<ReaderInfo>, StoreError> {
        let mut readers = Vec::new();
        for guard in snapshot.prefix(&self.0.meta, "r") {
            let value = guard.value().at(self.dir())?;
            readers.push(serde_json::from_slice(&value).map_err(|_| damaged(self.dir(), "a reader's record is not JSON"))?);
        }
        Ok(readers)
    }

    /// The first tick of a source transaction after this one; `None` if there is none.
    pub fn next_mark(&self, after: Tick) -> Result<Option<Mark>, StoreError> {
        let next = self.0.db.snapshot().range(&self.0.ticks, after.next().0.to_be_bytes().to_vec()..).next();
        next.map(|guard| self.read_mark(guard)).transpose()
    }

    /// How long ago the first tick after this one was committed here, in ms: the lag of a reader at this tick.
    pub fn behind_ms(&self, tick: Tick) -> Result<u64, StoreError> {
        self.snapshot().behind_ms(tick)
    }

    /// The positions of a tick at its sources: one, or several at the first tick, which has the snapshots of all sources. Empty if forgotten.
    pub fn positions_of(&self, tick: Tick) -> Result<Vec<Mark>, StoreError> {
        self.snapshot().positions_of(tick)
    }

    /// The newest tick whose source transaction has this position, or else the last tick of the source that is at this position now. `None` if
    /// the position is unknown or forgotten.
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

    pub(super) fn read_mark(&self, guard: fjall::Guard) -> Result<Mark, StoreError> {
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
