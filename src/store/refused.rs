//! The documents that the targets of sinks refuse: of each sink the keys, with the reason, until the target takes the document or it is no more.
//!
//! They are noted before the sink's position passes them, so none is ever forgotten.

use fjall::Readable;
use serde::{Deserialize, Serialize};

use crate::value::{Row, Tick};

use super::Store;
use super::error::{At, StoreError};

/// A document of a view that is not in a target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedDocument {
    /// The order-preserving key in the view.
    pub key: Row,
    pub since: Tick,
    pub reason: String,
}

#[derive(Serialize, Deserialize)]
struct Record {
    since: Tick,
    reason: String,
}

impl Store {
    /// Notes what a sink's target refuses as of a tick, and forgets what it refuses no longer.
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
            let value = serde_json::to_vec(&Record { since, reason }).expect("text is JSON");
            batch.insert(&self.0.meta, record_key(sink, &key), value);
        }
        batch.commit().at(self.dir())
    }

    /// What a sink's target refuses, in key order.
    pub fn refused(&self, sink: &str) -> Result<impl Iterator<Item = Result<RefusedDocument, StoreError>> + use<>, StoreError> {
        let (store, prefix) = (self.clone(), prefix(sink));
        let records = self.0.db.snapshot().prefix(&self.0.meta, &prefix);
        Ok(records.map(move |guard| {
            let (key, value) = guard.into_inner().at(store.dir())?;
            let Record { since, reason } = serde_json::from_slice(&value).map_err(|_| store.cut_short())?;
            Ok(RefusedDocument { key: Row::from_bytes(&key[prefix.len()..]), since, reason })
        }))
    }

    /// How many documents a sink's target refuses.
    pub fn refused_count(&self, sink: &str) -> Result<u64, StoreError> {
        let mut count = 0;
        for guard in self.0.db.snapshot().prefix(&self.0.meta, prefix(sink)) {
            guard.key().at(self.dir())?;
            count += 1;
        }
        Ok(count)
    }

    /// Forgets all of a sink's.
    pub fn forget_refused(&self, sink: &str) -> Result<(), StoreError> {
        let keys = self.refused(sink)?.map(|refused| refused.map(|r| r.key)).collect::<Result<Vec<Row>, _>>()?;
        self.note_refused(sink, &keys, [])
    }
}

/// A sink's name has no zero byte.
fn prefix(sink: &str) -> Vec<u8> {
    [b"s", sink.as_bytes(), &[0]].concat()
}

fn record_key(sink: &str, key: &Row) -> Vec<u8> {
    [&prefix(sink)[..], key].concat()
}
