//! The refused documents of each sink: their keys and reasons, until the target accepts the document or it is deleted.
//!
//! They are stored before the sink's position passes them, so none is lost.

use fjall::{OwnedWriteBatch, Readable, Snapshot};
use serde::{Deserialize, Serialize};

use crate::value::{Row, Tick};

use super::Store;
use super::error::{AtFolder, StoreError};

/// A document of a view that is not in a target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedDocument {
    /// The order-preserving key in the view.
    pub key: Row,
    pub since: Tick,
    pub reason: String,
}

#[derive(Serialize, Deserialize)]
struct RefusedRecord {
    since: Tick,
    reason: String,
}

impl Store {
    /// Stores the documents that a sink's target refuses, and removes those that it has `taken`.
    pub fn note_refused<'a>(
        &self,
        sink: &str,
        taken: impl IntoIterator<Item = &'a Row>,
        refused: impl IntoIterator<Item = RefusedDocument>,
    ) -> Result<(), StoreError> {
        let _writer = self.sound_writer()?;
        let mut batch = self.batch();
        for key in taken {
            batch.remove(&self.0.meta, record_key(sink, key));
        }
        for RefusedDocument { key, since, reason } in refused {
            let value = serde_json::to_vec(&RefusedRecord { since, reason }).expect("text is JSON");
            batch.insert(&self.0.meta, record_key(sink, &key), value);
        }
        batch.commit().at(self.dir())
    }

    /// The documents that a sink's target refuses, in key order.
    pub fn refused(&self, sink: &str) -> impl Iterator<Item = Result<RefusedDocument, StoreError>> + use<> {
        read(self, &self.0.db.snapshot(), sink)
    }

    /// The number of documents that a sink's target refuses.
    pub fn refused_count(&self, sink: &str) -> Result<u64, StoreError> {
        count(self, &self.0.db.snapshot(), sink)
    }

    /// Removes all refused documents of a sink.
    pub fn forget_refused(&self, sink: &str) -> Result<(), StoreError> {
        let _writer = self.sound_writer()?;
        let mut batch = self.batch();
        self.remove_refused(&mut batch, sink)?;
        batch.commit().at(self.dir())
    }

    /// Removes all refused documents of a sink with a batch.
    pub(super) fn remove_refused(&self, batch: &mut OwnedWriteBatch, sink: &str) -> Result<(), StoreError> {
        for guard in self.0.db.snapshot().prefix(&self.0.meta, prefix(sink)) {
            batch.remove(&self.0.meta, guard.key().at(self.dir())?);
        }
        Ok(())
    }
}

pub(super) fn read(store: &Store, snapshot: &Snapshot, sink: &str) -> impl Iterator<Item = Result<RefusedDocument, StoreError>> + use<> {
    let (store, prefix) = (store.clone(), prefix(sink));
    let records = snapshot.prefix(&store.0.meta, &prefix);
    records.map(move |guard| {
        let (key, value) = guard.into_inner().at(store.dir())?;
        let RefusedRecord { since, reason } = serde_json::from_slice(&value).map_err(|_| store.cut_short())?;
        Ok(RefusedDocument { key: Row::from_bytes(&key[prefix.len()..]), since, reason })
    })
}

pub(super) fn count(store: &Store, snapshot: &Snapshot, sink: &str) -> Result<u64, StoreError> {
    let mut count = 0;
    for guard in snapshot.prefix(&store.0.meta, prefix(sink)) {
        guard.key().at(store.dir())?;
        count += 1;
    }
    Ok(count)
}

/// The prefix of a sink's keys. It is unambiguous because a sink's name has no zero byte.
fn prefix(sink: &str) -> Vec<u8> {
    [b"s", sink.as_bytes(), &[0]].concat()
}

fn record_key(sink: &str, key: &Row) -> Vec<u8> {
    [&prefix(sink)[..], key].concat()
}
