//! The sources that must be captured again, with the reason: stored durably, so that a crash or a stop does not lose them.
//!
//! A source is noted when its log does not continue from the stored rows. The commit that captures its tables again removes the note
//! ([`Commit::captured`](super::Commit::captured)). Until then its rows and the views stay as of the last tick before.

use std::collections::BTreeMap;

use fjall::{OwnedWriteBatch, PersistMode, Readable};

use super::Store;
use super::error::{AtFolder, StoreError};

impl Store {
    /// Notes that a source must be captured again. Durable when it returns.
    pub fn note_resync(&self, source: &str, reason: &str) -> Result<(), StoreError> {
        let _writer = self.sound_writer()?;
        self.0.meta.insert(key(source), reason).at(self.dir())?;
        self.0.db.persist(PersistMode::SyncData).at(self.dir())
    }

    /// The sources that must be captured again, each with the reason.
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
