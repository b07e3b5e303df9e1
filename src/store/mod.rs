//! The embedded state on a local disk: the rows of the captured tables, the rows of the views, and the changelogs of the views.
//!
//! In: commits of whole ticks ([`Commit`]), one committer at a time. Out: rows and changelogs, to any number of readers, each on a
//! consistent snapshot. Guarantees:
//! - a commit is one atomic batch: inputs, views, changelogs, counters, tick <-> position and checkpoint advance together, and
//!   after a crash the state is that of a whole commit, at least the last one that returned (with [`Sync::EachCommit`]);
//! - a view row that does not change is not written, and has no changelog entry;
//! - a view at tick `t`, changed by the changelog's entries after `t`, is the current view;
//! - rows of tables that are collected for later ([`Store::stage`]) are not seen by anybody before a commit makes them an input's rows;
//! - a tick of a store id never gets another meaning: a view that is dropped and built again has a changelog that starts later.
//!
//! Elsewhere: the meaning of ticks and views (`run`, `dataflow`), rows as JSON (`value`).
//!
//! # On disk, format 2
//! ```text
//! DIR/lock          locked while open; the pid of the process that has it open
//! DIR/format.json   {"format":2}
//! DIR/witness       the claims of what must be in data/ (four slots, `claims.rs` has the record)
//! DIR/data/         a fjall 3 database; ticks, counts and ordinals big endian, lengths little endian:
//!
//! key space   key                          value
//! meta        "id"                         random text, made once
//!             "catalog"                    JSON: inputs and views, their ids, schemas, keys
//!             "checkpoint"                 JSON: tick, and for each source its position
//!             "sequence"                   the least sequence number that the storage engine may use: u64
//!             'n' id:u32                   counters of an input or view, i64 each: rows, bytes, changes, errors, the next part's
//!                                          number, all bytes ever written to the changelog
//!             'f' id:u32                   floor: the last tick whose changelog entries are dropped, and all their bytes: u64 each
//!             'e' id:u32 hash:u128         an error of a view: count:i64, first tick:u64, message
//!             'k' source                   JSON: for each of its tables, how many records were rejected
//!             'q' source 0 table 0 number:u64
//!                                          JSON: a rejected record: table, place, reason
//!             'a' source                   why its tables must be captured again
//!             'a' source 0 table           why this table must be captured again
//!             'r' name                     JSON: a named reader's view and tick, and whether it is released or must resync
//!             'g' source                   JSON: what is staged of it: inputs with their ids, definitions and progress, the position, whether
//!                                          the rows are exact, rejected records
//!             's' sink 0 key               JSON: a document that the sink's target refuses: since when, reason
//!             "lives"                      JSON: for each opening, a random name and the tick after which its ticks begin
//! ticks       tick:u64 source              committed_ms:u64 (all ones: unknown) stored_ms:u64 position
//! rows-ID     (an input with a key, also a staged one)
//!                                          key -> row
//!             (a multiset) hash:u128 part:u32
//!                                          (count:i64 length:u32 row)*; a row's count is the sum over the parts
//!             (a view)                     key -> tick of the last change:u64 (0: as loaded; the first bit: long) row
//! touched-ID  key                          nothing: a key of a staged input that a change of the log has touched
//! parts-ID    number:u64                   bytes of long rows
//! log-ID      tick:u64 ordinal:u32         flags:u8 (1 before, 2 after, 4 before is long, 8 after is long, 16 before is a difference)
//!                                          key length:u32 before length:u32, if before is long: bytes gone:u32,
//!                                          key before after
//! ```
//! Rows and keys are those of [`crate::value`]. A long row is replaced by the list of its parts (`parts`). In the changelog the row before is
//! stored as its difference from the row after if that is shorter: its length:u32 and an LZ4 block whose dictionary is the row after. "Bytes
//! gone" are those of parts that only the row before has. The changelog has the ticks after the view's floor; entries at or below the floor
//! that still exist are ignored. A tick's entries are in key order.
//!
//! # Damage
//! Damaged data is refused and never served. The witness records the version of every key space and the length up to which every journal must
//! be whole. Opening the folder compares them with the files, so a missing, truncated, changed or older file is found before anything is read.
//! A folder that was copied while a process had it open is recognized because its witness is another file. Opening reads only the tables that
//! were changed after the witness; each block of the others has a checksum that is compared whenever the block is read.
//!
//! # Bulk load
//! The first rows of inputs and views ([`Store::bulk_load`]) are written to table files directly, past the journal. Until the commit that
//! ends the load, their inputs and views are not ready in the catalog, and are dropped when the store is opened.
//!
//! # Staged rows
//! Rows of tables that are collected over a longer time ([`Store::stage`]) are written to the key spaces that their inputs will have. They are
//! not in the catalog, so they stay when others are defined or the store is opened, until a definition takes them and a commit makes them ready.

mod bulk;
mod catalog;
mod change;
mod changelog;
mod claims;
mod commit;
mod compact;
mod define;
mod divergence;
mod error;
mod folder;
mod held;
mod input;
mod journal;
mod lives;
mod long_row_reader;
mod manifest;
mod open;
mod parts;
mod reader;
mod reading;
mod record;
mod refused;
mod rejected;
mod resync;
mod sequence;
mod slots;
mod snapshot;
mod sorted_run;
mod space;
mod space_names;
mod staged;
mod staged_state;
mod staging;
mod tree;
mod view;
mod whole_file;
mod witness;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, RwLock};

use fjall::{Database, Keyspace, PersistMode, Readable, Snapshot};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::value::{Position, Tick};

pub use bulk::BulkLoad;
pub use catalog::{InputDef, ViewDef};
pub use changelog::{ChangeIter, Changes, LoggedChange};
pub use commit::{Commit, Committed, ErrorChange, InputDeltas, Reached, TickMark, ViewBatch, ViewChange, ViewCommitted};
pub use compact::{Compacted, Retention};
pub use define::{Definition, InputState, Redefine, ViewState};
pub use divergence::{Divergence, Mismatch};
pub use error::StoreError;
pub use input::InputIter;
pub use reader::{Mark, ReaderInfo};
pub use refused::RefusedDocument;
pub use rejected::{KEPT_REJECTED, RejectedRecord, Rejections};
pub use resync::Resync;
pub use snapshot::{StoreSnapshot, ViewSnapshot};
pub use space::JOURNAL_BYTES;
pub use staged_state::{StagedInput, StagedState};
pub use staging::Staging;
pub use view::{Scan, ViewError, ViewInfo, ViewReader};

use catalog::StoreCatalog;
use error::{AtFolder, damaged};
use folder::Folder;
use open::random_text;
use record::{Counters, Floor};
use space::{InputSpace, ViewSpace};
use staged_state::Staged;
use witness::Witness;

/// The length of the longest key that the store accepts, in bytes.
pub const MAX_KEY_BYTES: usize = u16::MAX as usize;

/// When a commit survives a power cut. It survives a crash of the process in both cases.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Sync {
    /// When it returns: one `fdatasync` per commit.
    #[default]
    EachCommit,
    /// When the operating system writes it; a power cut may lose the last commits, but whole ones and in order.
    Os,
}

/// The last committed tick and the position of every source at it. Everything in the store is as of this tick.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct Checkpoint {
    pub tick: Tick,
    /// By the source's name.
    pub sources: BTreeMap<String, SourcePosition>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourcePosition {
    /// The source's last tick. Its position is this one or an earlier one.
    pub tick: Tick,
    pub position: Position,
    /// The source's own commit time, in ms since 1970.
    pub committed_ms: Option<u64>,
}

/// An open state folder. Cheap to clone; the folder is released with the last clone and the last iterator. Calls block on the
/// disk: from async code, call them in a blocking thread.
#[derive(Clone)]
pub struct Store(Arc<StoreInner>);

struct StoreInner {
    id: String,
    sync: Sync,
    db: Database,
    meta: Keyspace,
    ticks: Keyspace,
    /// Every input and view of the catalog, ready or not, and the views that are replaced.
    spaces: RwLock<Spaces>,
    /// Locked by every write. Remembers whether a write failed.
    writer: Mutex<Writer>,
    /// Locked by a compaction, so that two never do the same work.
    compacting: Mutex<()>,
    loading: AtomicBool,
    committed: watch::Sender<Tick>,
    lives: RwLock<lives::Lives>,
    /// Counts the requests to running readers ([`Store::ask_resync`]).
    asked: watch::Sender<u64>,
    /// The key spaces that must exist; the witness records their versions.
    kept: RwLock<Vec<Keyspace>>,
    /// Declared after the database: it records the files once the database is closed. `None` if the folder was opened for reading only.
    witness: Option<Witness>,
    /// The private files of a reader, if they are needed while it reads.
    _private: Option<tempfile::TempDir>,
    /// Declared last, so that the lock is released after everything is closed.
    folder: Folder,
}

#[derive(Default)]
struct Spaces {
    inputs: Vec<Arc<InputSpace>>,
    views: Vec<Arc<ViewSpace>>,
    /// Views that are read until those of their names are ready.
    replaced: Vec<Arc<ViewSpace>>,
}

impl Spaces {
    /// What is read: every view that a commit has made ready, or else the one that it replaces.
    fn ready_views(&self) -> impl Iterator<Item = &Arc<ViewSpace>> {
        self.views.iter().filter(|space| space.record.ready).chain(&self.replaced)
    }
}

struct Writer {
    /// The catalog as defined. The next commit writes it and makes all of it ready.
    catalog: StoreCatalog,
    /// The part that commits have made ready: what opening the folder again would find.
    whole: StoreCatalog,
    /// Whether the next commit must write the catalog because not all of it is ready.
    unready: bool,
    checkpoint: Option<Checkpoint>,
    staged: Staged,
    /// A write failed: all later writes are refused.
    failed: bool,
    /// A bulk load was dropped unfinished: commits are refused until the store is defined again.
    load_given_up: bool,
}

impl Drop for StoreInner {
    fn drop(&mut self) {
        let writer = self.writer.get_mut();
        if writer.map_or(true, |writer| writer.failed)
            && let Some(witness) = &self.witness
        {
            witness.abandon();
        }
    }
}

impl Writer {
    fn refuse_after_giving_up(&self) -> Result<(), StoreError> {
        match self.load_given_up {
            true => Err(StoreError::Contract("a bulk load was given up and the store is not defined anew".into())),
            false => Ok(()),
        }
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("dir", &self.0.folder.path).field("id", &self.0.id).finish_non_exhaustive()
    }
}

impl Store {
    /// A random text, created with the folder. Ticks of stores with different ids cannot be compared.
    pub fn id(&self) -> &str {
        &self.0.id
    }

    pub fn dir(&self) -> &Path {
        &self.0.folder.path
    }

    /// The checkpoint of the last commit; `None` before the first.
    pub fn checkpoint(&self) -> Option<Checkpoint> {
        self.writer().checkpoint.clone()
    }

    /// Follows the tick of the last commit; 0 before the first. A tick is sent once it can be read.
    pub fn committed(&self) -> watch::Receiver<Tick> {
        self.0.committed.subscribe()
    }

    /// The bytes on disk of the whole store.
    pub fn disk_bytes(&self) -> Result<u64, StoreError> {
        self.0.db.disk_space().at(self.dir())
    }

    /// Bytes of what was written and is not in a file of its own yet, and of what is cached.
    pub fn memory_bytes(&self) -> (u64, u64) {
        (self.0.db.write_buffer_size(), self.0.db.cache_size())
    }

    fn writer(&self) -> MutexGuard<'_, Writer> {
        self.0.writer.lock().unwrap_or_else(|poisoned| {
            let mut writer = poisoned.into_inner();
            writer.failed = true;
            writer
        })
    }

    /// Locks the writer. Fails if the store is read-only or a write has failed.
    fn sound_writer(&self) -> Result<MutexGuard<'_, Writer>, StoreError> {
        if self.0.witness.is_none() {
            return Err(StoreError::Contract("a store that was opened to be read is written to".into()));
        }
        let writer = self.writer();
        match writer.failed {
            true => Err(StoreError::Failed { dir: self.dir().into() }),
            false => Ok(writer),
        }
    }

    fn batch(&self) -> fjall::OwnedWriteBatch {
        let mode = match self.0.sync {
            Sync::EachCommit => PersistMode::SyncData,
            Sync::Os => PersistMode::Buffer,
        };
        self.0.db.batch().durability(Some(mode))
    }

    /// Records in the witness that everything written so far is durable. `_writer` keeps others from writing meanwhile.
    fn note(&self, _writer: &Writer, tick: Tick) -> Result<(), StoreError> {
        // `visible_seqno` is the number of the next write.
        let newest = self.0.db.visible_seqno().saturating_sub(1);
        match &self.0.witness {
            Some(witness) => witness.note(tick, newest, &self.0.kept.read().expect("nothing panics while it holds this")),
            None => Ok(()),
        }
    }

    fn input_space(&self, input: usize) -> Result<Arc<InputSpace>, StoreError> {
        let spaces = self.0.spaces.read().expect("nothing panics while it holds this");
        spaces.inputs.get(input).cloned().ok_or_else(|| StoreError::Contract(format!("input {input} is not defined")))
    }

    fn view_space(&self, view: usize) -> Result<Arc<ViewSpace>, StoreError> {
        let spaces = self.0.spaces.read().expect("nothing panics while it holds this");
        spaces.views.get(view).cloned().ok_or_else(|| StoreError::Contract(format!("view {view} is not defined")))
    }

    fn counters(&self, snapshot: &Snapshot, id: u32) -> Result<Counters, StoreError> {
        match snapshot.get(&self.0.meta, id_key(b'n', id)).at(self.dir())? {
            Some(value) => record::read_counters(&value).ok_or_else(|| self.cut_short()),
            None => Ok(Counters::default()),
        }
    }

    /// The floor of a view's changelog.
    fn floor(&self, snapshot: &Snapshot, id: u32) -> Result<Floor, StoreError> {
        Ok(self.floor_if_there(snapshot, id)?.unwrap_or_default())
    }

    /// `None` if the view is not ready, or was replaced or dropped.
    fn floor_if_there(&self, snapshot: &Snapshot, id: u32) -> Result<Option<Floor>, StoreError> {
        let value = snapshot.get(&self.0.meta, id_key(b'f', id)).at(self.dir())?;
        value.map(|value| record::read_floor(&value).ok_or_else(|| self.cut_short())).transpose()
    }

    /// The tick of the last commit that a snapshot sees.
    fn tick_of_snapshot(&self, snapshot: &Snapshot) -> Result<Tick, StoreError> {
        let Some(value) = snapshot.get(&self.0.meta, CHECKPOINT).at(self.dir())? else { return Ok(Tick(0)) };
        let checkpoint: Checkpoint = serde_json::from_slice(&value).map_err(|_| self.cut_short())?;
        Ok(checkpoint.tick)
    }

    fn cut_short(&self) -> StoreError {
        damaged(self.dir(), "a record is cut short")
    }
}

const ID: &str = "id";
const CATALOG: &str = "catalog";
const CHECKPOINT: &str = "checkpoint";

/// A key of `meta` about one input or view.
fn id_key(tag: u8, id: u32) -> [u8; 5] {
    let mut key = [tag; 5];
    key[1..].copy_from_slice(&id.to_be_bytes());
    key
}

fn read_json<T: DeserializeOwned>(meta: &Keyspace, key: &str, dir: &Path) -> Result<Option<T>, StoreError> {
    match meta.get(key).at(dir)? {
        Some(value) => serde_json::from_slice(&value).map(Some).map_err(|e| damaged(dir, format!("`{key}` cannot be read: {e}"))),
        None => Ok(None),
    }
}

fn now_ms() -> u64 {
    std::time::SystemTime::UNIX_EPOCH.elapsed().map_or(0, |t| t.as_millis() as u64)
}
