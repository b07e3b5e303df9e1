//! What must be captured again, with the reason: stored durably, so that a crash or a stop does not lose it.
//!
//! A source is noted when its log does not continue from the stored rows, a table when only its rows differ from the log. The commit that
//! captures them again removes the note ([`Commit::captured`](super::Commit::captured), [`Commit::recaptured`](super::Commit::recaptured)).
//! Until then their rows and the views that read them stay as of the last tick before.

use fjall::{OwnedWriteBatch, PersistMode, Readable};

use super::Store;
use super::error::{AtFolder, StoreError};

/// A source, or one table of it, that must be captured again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resync {
    pub source: String,
    /// `None`: all tables.
    pub table: Option<String>,
    pub reason: String,
}

impl Store {
    /// Notes that a source, or one of its tables, must be captured again. Durable when it returns.
    pub fn note_resync(&self, source: &str, table: Option<&str>, reason: &str) -> Result<(), StoreError> {
        let _writer = self.sound_writer()?;
        self.0.meta.insert(key(source, table), reason).at(self.dir())?;
        self.0.db.persist(PersistMode::SyncData).at(self.dir())
    }

    /// Everything that must be captured again.
    pub fn resyncs(&self) -> Result<Vec<Resync>, StoreError> {
        let mut noted = Vec::new();
        for guard in self.0.db.snapshot().prefix(&self.0.meta, RESYNC) {
            let (key, reason) = guard.into_inner().at(self.dir())?;
            let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).map_err(|_| self.cut_short());
            let (name, reason) = (text(&key[RESYNC.len()..])?, text(&reason)?);
            noted.push(match name.split_once('\0') {
                Some((source, table)) => Resync { source: source.into(), table: Some(table.into()), reason },
                None => Resync { source: name, table: None, reason },
            });
        }
        Ok(noted)
    }

    /// Removes the notes of a source and of its tables.
    pub(super) fn remove_resync(&self, batch: &mut OwnedWriteBatch, source: &str) -> Result<(), StoreError> {
        for noted in self.resyncs()?.into_iter().filter(|noted| noted.source == source) {
            batch.remove(&self.0.meta, key(&noted.source, noted.table.as_deref()));
        }
        Ok(())
    }

    pub(super) fn remove_resync_of(&self, batch: &mut OwnedWriteBatch, source: &str, table: &str) {
        batch.remove(&self.0.meta, key(source, Some(table)));
    }
}

const RESYNC: &str = "a";

fn key(source: &str, table: Option<&str>) -> String {
    match table {
        Some(table) => format!("{RESYNC}{source}\0{table}"),
        None => format!("{RESYNC}{source}"),
    }
}
