//! Keeps the storage engine's sequence numbers ahead of what it noted about key spaces.
//!
//! The engine (fjall 3.1.13) notes in a tree of its own which key spaces there are, under its common sequence numbers, and gives the numbers of
//! dropped ones anew. When it opens a folder it goes on behind the highest number of the data and does not look at those notes. After a crash
//! between making or dropping key spaces and the next write, later notes would be older than those: key spaces made then would
//! be gone with the next opening, or have another's name.
//!
//! So before key spaces are made or dropped a number is stored that the notes will not reach ([`reserve`]), and an opening that finds the
//! engine below the stored number counts up to it before anything else ([`catch_up`]).

use std::path::Path;

use fjall::{Database, Keyspace, PersistMode};

use super::error::{At, StoreError, damaged};

const RESERVED: &str = "sequence";

/// What is taken at most for each key space, and by background work meanwhile.
const PER_SPACE: u64 = 32;
const SPARE: u64 = 512;

/// Call before `spaces` key spaces are made or dropped.
pub(super) fn reserve(db: &Database, meta: &Keyspace, spaces: usize, dir: &Path) -> Result<(), StoreError> {
    let reserved = db.seqno() + SPARE + PER_SPACE * spaces as u64;
    meta.insert(RESERVED, reserved.to_be_bytes()).at(dir)?;
    db.persist(PersistMode::SyncAll).at(dir)
}

/// Call when a folder was opened.
pub(super) fn catch_up(db: &Database, meta: &Keyspace, dir: &Path) -> Result<(), StoreError> {
    let Some(value) = meta.get(RESERVED).at(dir)? else { return Ok(()) };
    let reserved = u64::from_be_bytes((&*value).try_into().map_err(|_| damaged(dir, "a record is cut short"))?);
    // Each write takes a number. What was reserved is not much more than what there was.
    while db.seqno() < reserved {
        meta.insert(RESERVED, value.clone()).at(dir)?;
    }
    Ok(())
}
