//! Everything in the store as of one commit. An answer that is put together from several reads takes them all from one snapshot.

use std::collections::BTreeMap;
use std::sync::Arc;

use fjall::{Readable, Snapshot};

use super::error::{AtFolder, StoreError, damaged};
use super::reader::{Mark, ReaderInfo};
use super::refused::RefusedDocument;
use super::rejected::RejectedRecord;
use super::space::ViewSpace;
use super::view::{Scan, ViewError, ViewInfo, ViewReader};
use super::{CHECKPOINT, Checkpoint, Store, now_ms, refused, rejected};
use crate::value::{Schema, Tick};

/// The store as of its last commit when this was taken. Cheap to take; while it is kept, the storage engine keeps what it needs.
pub struct StoreSnapshot {
    pub(super) store: Store,
    pub(super) snapshot: Snapshot,
    /// The views that a commit has made whole, in the order of the definition.
    views: Vec<Arc<ViewSpace>>,
}

/// A view as of a snapshot.
#[derive(Clone, Copy)]
pub struct ViewSnapshot<'a> {
    of: &'a StoreSnapshot,
    space: &'a Arc<ViewSpace>,
}

impl std::fmt::Debug for StoreSnapshot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StoreSnapshot").field("store", &self.store).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for ViewSnapshot<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ViewSnapshot").field("name", &self.name()).finish_non_exhaustive()
    }
}

impl Store {
    pub fn snapshot(&self) -> StoreSnapshot {
        // Whoever changes which views there are holds the lock from before this is on disk: both are of one commit.
        let spaces = self.0.spaces.read().expect("nothing panics while it holds this");
        let snapshot = self.0.db.snapshot();
        let views = spaces.ready_views().cloned().collect();
        StoreSnapshot { store: self.clone(), snapshot, views }
    }
}

impl StoreSnapshot {
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// 0 before the first commit.
    pub fn tick(&self) -> Result<Tick, StoreError> {
        self.store.tick_of_snapshot(&self.snapshot)
    }

    /// `None` before the first commit.
    pub fn checkpoint(&self) -> Result<Option<Checkpoint>, StoreError> {
        let Some(value) = self.snapshot.get(&self.store.0.meta, CHECKPOINT).at(self.store.dir())? else { return Ok(None) };
        serde_json::from_slice(&value).map(Some).map_err(|_| self.store.cut_short())
    }

    /// The views that a commit has made whole, in the order of the definition.
    pub fn views(&self) -> impl Iterator<Item = ViewSnapshot<'_>> {
        self.views.iter().map(|space| ViewSnapshot { of: self, space })
    }

    pub fn view(&self, name: &str) -> Option<ViewSnapshot<'_>> {
        self.views().find(|view| view.name() == name)
    }

    /// The sinks that the store knows.
    pub fn readers(&self) -> Result<Vec<ReaderInfo>, StoreError> {
        self.store.every_reader(&self.snapshot)
    }

    /// The transactions that a tick was at the sources: more than one at the first tick, which is every source's snapshot. Empty where the tick
    /// is no longer known.
    pub fn positions_of(&self, tick: Tick) -> Result<Vec<Mark>, StoreError> {
        let found = self.snapshot.prefix(&self.store.0.ticks, tick.0.to_be_bytes());
        found.map(|guard| self.store.read_mark(guard)).collect()
    }

    /// Milliseconds since the first tick after this one was committed: how far a reader at this tick is behind.
    pub fn behind_ms(&self, tick: Tick) -> Result<u64, StoreError> {
        let next = self.snapshot.range(&self.store.0.ticks, tick.next().0.to_be_bytes().to_vec()..).next();
        let next = next.map(|guard| self.store.read_mark(guard)).transpose()?;
        Ok(next.map_or(0, |mark| now_ms().saturating_sub(mark.stored_ms)))
    }

    /// How many records each source left out, by source and table. Sources without any are not named.
    pub fn rejected_counts(&self) -> Result<BTreeMap<String, BTreeMap<String, u64>>, StoreError> {
        rejected::counts(&self.store, &self.snapshot)
    }

    /// The first records of each table that a source left out, [`KEPT_REJECTED`](super::KEPT_REJECTED) at most, by table and in the source's order.
    pub fn rejected(&self, source: &str) -> impl Iterator<Item = Result<RejectedRecord, StoreError>> + use<> {
        let dir = self.store.dir().to_path_buf();
        let records = self.snapshot.prefix(&self.store.0.meta, rejected::of_source(source));
        records.map(move |guard| {
            let value = guard.value().at(&dir)?;
            serde_json::from_slice(&value).map_err(|_| damaged(&dir, "a record is cut short"))
        })
    }

    /// The documents that a sink's target refuses, in key order.
    pub fn refused(&self, sink: &str) -> impl Iterator<Item = Result<RefusedDocument, StoreError>> + use<> {
        refused::read(&self.store, &self.snapshot, sink)
    }

    /// How many documents a sink's target refuses.
    pub fn refused_count(&self, sink: &str) -> Result<u64, StoreError> {
        refused::count(&self.store, &self.snapshot, sink)
    }
}

impl<'a> ViewSnapshot<'a> {
    pub fn name(&self) -> &'a str {
        &self.space.record.name
    }

    pub fn schema(&self) -> &'a Schema {
        &self.space.record.schema
    }

    /// The columns of the key, in key order.
    pub fn key_columns(&self) -> &'a [usize] {
        &self.space.record.key
    }

    /// Reads the view as of the last commit, and its changelog.
    pub fn reader(&self) -> ViewReader {
        ViewReader { store: self.of.store.clone(), space: self.space.clone() }
    }

    pub fn info(&self) -> Result<ViewInfo, StoreError> {
        self.of.store.view_info(self.space, &self.of.snapshot)
    }

    /// Why rows are missing, in no meaningful order.
    pub fn errors(&self) -> Result<Vec<ViewError>, StoreError> {
        self.of.store.view_errors(self.space, &self.of.snapshot)
    }

    /// The rows whose key starts with `prefix`, such as the key of the first few columns, in key order.
    pub fn scan_prefix(&self, prefix: &[u8]) -> Result<Scan, StoreError> {
        Scan::prefix(&self.of.store, self.space, &self.of.snapshot, prefix)
    }
}
