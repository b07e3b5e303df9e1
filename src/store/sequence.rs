//! Keeps the storage engine's sequence numbers ahead of its records about key spaces.
//!
//! The engine (fjall 3.1.13) records in its own tree which key spaces exist, under its common sequence numbers, and reuses the numbers of
//! dropped key spaces. When it opens a folder, it continues after the highest sequence number of the data and ignores that tree. After a crash
//! between creating or dropping key spaces and the next write, new records would be older than the existing ones: key spaces created then would
//! be lost at the next opening, or have another one's name.
//!
//! So before key spaces are created or dropped, a number is stored that the records will not reach ([`reserve`]). An opening that finds the
//! engine below the stored number counts up to it before anything else ([`catch_up`]).

use std::path::Path;

use fjall::{Database, Keyspace, PersistMode};

use super::error::{AtFolder, StoreError, damaged};

const RESERVED: &str = "sequence";

/// The most sequence numbers that one key space takes, and that background work takes meanwhile.
const PER_SPACE: u64 = 32;
const SPARE: u64 = 512;

/// Must be called before `spaces` key spaces are created or dropped.
pub(super) fn reserve(db: &Database, meta: &Keyspace, spaces: usize, dir: &Path) -> Result<(), StoreError> {
    let reserved = db.seqno() + SPARE + PER_SPACE * spaces as u64;
    meta.insert(RESERVED, reserved.to_be_bytes()).at(dir)?;
    db.persist(PersistMode::SyncAll).at(dir)
}

/// Must be called after a folder was opened.
pub(super) fn catch_up(db: &Database, meta: &Keyspace, dir: &Path) -> Result<(), StoreError> {
    let Some(value) = meta.get(RESERVED).at(dir)? else { return Ok(()) };
    let reserved = u64::from_be_bytes((&*value).try_into().map_err(|_| damaged(dir, "a record is cut short"))?);
    // Each write takes one number. The reserved number is not much higher than the current one.
    while db.seqno() < reserved {
        meta.insert(RESERVED, value.clone()).at(dir)?;
    }
    Ok(())
}
