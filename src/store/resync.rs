//! Which sources are to be captured again, and why: noted durably, so that a crash or a stop in between forgets nothing of it.
//!
//! Noted when a source's log does not lead on from the rows that are held. Forgotten by the commit that has the source's tables anew
//! ([`Commit::captured`](super::Commit::captured)). Until then the rows held, and what was made of them, are those of the last tick before.

use std::collections::BTreeMap;

use fjall::{OwnedWriteBatch, PersistMode, Readable};

use super::Store;
use super::error::{At, StoreError};

impl Store {
    /// Notes that a source must be captured again. Durable when it is answered.
    pub fn note_resync(&self, source: &str, reason: &str) -> Result<(), StoreError> {
        let _writer = self.sound_writer()?;
        self.0.meta.insert(key(source), reason).at(self.dir())?;
        self.0.db.persist(PersistMode::SyncData).at(self.dir())
    }

    /// The sources that are to be captured again, each with the reason.
    pub fn resyncs(&self) -> Result<BTreeMap<String, String>, StoreError> {
        let mut noted = BTreeMap::new();
        for guard in self.0.db.snapshot().prefix(&self.0.meta, RESYNC) {
            let (key, reason) = guard.into_inner().at(self.dir())?;
            let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).map_err(|_| self.cut_short());
            noted.insert(text(&key[RESYNC.len()..])?, text(&reason)?);
        }
        Ok(noted)
    }

    pub(super) fn remove_resync(&self, batch: &mut OwnedWriteBatch, source: &str) {
        batch.remove(&self.0.meta, key(source));
    }
}

const RESYNC: &str = "a";

fn key(source: &str) -> String {
    format!("{RESYNC}{source}")
}
