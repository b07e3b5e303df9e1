//! The embedded state: what was captured, what every view came to, and every change on the way, on one local disk.
//!
//! In: commits of whole ticks ([`Commit`]), one committer at a time. Out: rows and changelogs, to any number of readers, each on a
//! consistent snapshot. What always holds:
//! - a commit is one atomic batch: inputs, views, changelogs, counters, tick <-> position and checkpoint advance together, and
//!   after a crash the state is that of some whole commit, at least the last one that was answered (with [`Sync::EachCommit`]);
//! - a view row that does not change is not written, and has no changelog entry;
//! - a view at tick `t`, changed by the changelog's entries after `t`, is the view now;
//! - a store's id and its ticks never mean anything else: what is dropped and made anew has a changelog that starts later.
//!
//! Elsewhere: what ticks and views are (`run`, `dataflow`), how rows become JSON (`value`).
//!
//! # On disk, format 2
//! ```text
//! DIR/lock          locked while open; the pid of who has it
//! DIR/format.json   {"format":2}
//! DIR/witness       what must be in data/ (four places, `claims.rs` has the record)
//! DIR/data/         a fjall 3 database; ticks, counts and ordinals big endian, lengths little endian:
//!
//! key space   key                          value
//! meta        "id"                         random text, made once
//!             "catalog"                    JSON: inputs and views, their ids, schemas, keys
//!             "checkpoint"                 JSON: tick, and for each source its position
//!             "sequence"                   what the storage engine's sequence numbers must not be below: u64
//!             'n' id:u32                   counters of an input or view, i64 each: rows, bytes, changes, errors, the next part's
//!                                          number, all bytes that ever went into the changelog
//!             'f' id:u32                   floor: the last tick whose changelog entries are gone, and all their bytes: u64 each
//!             'e' id:u32 hash:u128         an error of a view: count:i64, first tick:u64, message
//!             'k' source                   JSON: for each of its tables, how many records were rejected
//!             'q' source 0 table 0 number:u64
//!                                          JSON: a rejected record: table, place, reason
//!             'a' source                   why its tables are to be captured again
//!             'r' name                     JSON: a named reader's view and tick, and whether it is kept or must begin anew
//!             's' sink 0 key               JSON: a document that the sink's target refuses: since when, reason
//!             "lives"                      JSON: for each opening, a random name and the tick after which its ticks begin
//! ticks       tick:u64 source              committed_ms:u64 (all ones: unknown) stored_ms:u64 position
//! rows-ID     (an input with a key)        key -> row
//!             (a multiset) hash:u128 part:u32
//!                                          (count:i64 length:u32 row)*; the parts' counts add up
//!             (a view)                     key -> tick of the last change:u64 (0: as loaded; the first bit: long) row
//! parts-ID    number:u64                   bytes of long rows
//! log-ID      tick:u64 ordinal:u32         flags:u8 (1 before, 2 after, 4 before is long, 8 after is long, 16 before is a difference)
//!                                          key length:u32 before length:u32, if before is long: bytes gone:u32,
//!                                          key before after
//! ```
//! Rows and keys are those of [`crate::value`]. In place of a long row stands the list of its parts (`parts`). In the changelog, where it
//! is shorter, the row before stands as its difference to the row after: its length:u32 and an LZ4 block whose dictionary is the row
//! after. "Bytes gone" are those of parts that only the row before has. The changelog holds the ticks after the view's floor; entries at
//! or below it that are still there mean nothing. A tick's entries are in key order.
//!
//! # Damage
//! What is not what was written is refused and never served. When the folder is opened, the witness says of every key space which
//! version of it there must be, and of every journal up to where it must be whole; so a file that is missing, cut off, changed or an older
//! one is found before anything is read. A folder that was copied while a process had it open is told by its witness being another file.
//! Tables are opened, not read: those that were changed since the witness are, and of the others each block has a checksum that
//! is compared whenever it is read.
//!
//! # Bulk load
//! The first rows of inputs and views ([`Store::bulk_load`]) go into table files directly, past the journal. Until the commit that
//! ends the load they belong to inputs and views that the catalog calls not ready, and those are dropped when the store is opened.

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
mod run;
mod sequence;
mod slots;
mod space;
mod space_names;
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
pub use changelog::{ChangeEntry, ChangeIter, Changes};
pub use commit::{Commit, Committed, ErrorChange, InputDeltas, Reached, TickMark, ViewBatch, ViewChange, ViewCommitted};
pub use compact::{Compacted, Retention};
pub use define::{Definition, InputState, ViewState};
pub use divergence::{Divergence, Mismatch};
pub use error::StoreError;
pub use input::InputIter;
pub use reader::{Mark, ReaderInfo};
pub use refused::RefusedDocument;
pub use rejected::{KEPT_REJECTED, Rejected, Rejections};
pub use view::{Scan, ViewError, ViewInfo, ViewReader};

use catalog::Catalog;
use error::{At, damaged};
use folder::Folder;
use open::random_text;
use record::{Counters, Floor};
use space::{InputSpace, ViewSpace};
use witness::Witness;

/// The longest key that can be kept.
pub const MAX_KEY_BYTES: usize = u16::MAX as usize;

/// When a commit is safe from a power cut. Against a crash of the process it is safe in both cases.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Sync {
    /// When it is answered: one `fdatasync` each.
    #[default]
    EachCommit,
    /// When the operating system gets to it; a power cut may take the last commits, whole ones and in order.
    Os,
}

/// Where every source is, and the tick that this makes. Everything in the store is as of it.
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

/// A state folder, open. Cheap to clone; the folder is released with the last clone and the last iterator. Calls block on the
/// disk: from async code, call from a blocking thread.
#[derive(Clone)]
pub struct Store(Arc<Inner>);

struct Inner {
    id: String,
    sync: Sync,
    db: Database,
    meta: Keyspace,
    ticks: Keyspace,
    /// Every input and view of the catalog, ready or not.
    spaces: RwLock<Spaces>,
    /// Held by whoever writes; a failed write stays noted.
    writer: Mutex<Writer>,
    /// Held by a compaction: two at once would only do the same.
    compacting: Mutex<()>,
    loading: AtomicBool,
    committed: watch::Sender<Tick>,
    lives: RwLock<lives::Lives>,
    /// Counts what was asked of readers that are running.
    asked: watch::Sender<u64>,
    /// The key spaces that must be there, whatever happens.
    kept: RwLock<Vec<Keyspace>>,
    /// Behind the database: it notes what is there once that is closed. None in a folder that was opened to be read.
    witness: Option<Witness>,
    /// The files that only this reader has; where they are needed as long as it reads.
    _private: Option<tempfile::TempDir>,
    /// Last, so that the lock goes after everything is closed.
    folder: Folder,
}

#[derive(Default)]
struct Spaces {
    inputs: Vec<Arc<InputSpace>>,
    views: Vec<Arc<ViewSpace>>,
}

struct Writer {
    /// As on disk, once the next commit is; `define` may be ahead of what is ready.
    catalog: Catalog,
    /// What commits have made whole: what opening the folder again would find.
    whole: Catalog,
    /// Whether the next commit must write the catalog because not all of it is ready.
    unready: bool,
    checkpoint: Option<Checkpoint>,
    failed: bool,
    /// A bulk load was dropped half-way: what is not ready is not whole, and must be defined again.
    load_given_up: bool,
}

impl Drop for Inner {
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
    /// Random, made once with the folder. Ticks of stores with different ids cannot be compared.
    pub fn id(&self) -> &str {
        &self.0.id
    }

    pub fn dir(&self) -> &Path {
        &self.0.folder.path
    }

    /// The last commit, `None` before the first.
    pub fn checkpoint(&self) -> Option<Checkpoint> {
        self.writer().checkpoint.clone()
    }

    /// Follows the tick of the last commit; 0 before the first. A value seen here can be read.
    pub fn committed(&self) -> watch::Receiver<Tick> {
        self.0.committed.subscribe()
    }

    /// Bytes on disk, all together.
    pub fn disk_bytes(&self) -> Result<u64, StoreError> {
        self.0.db.disk_space().at(self.dir())
    }

    fn writer(&self) -> MutexGuard<'_, Writer> {
        self.0.writer.lock().unwrap_or_else(|poisoned| {
            let mut writer = poisoned.into_inner();
            writer.failed = true;
            writer
        })
    }

    /// The writer, if it may still write.
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

    /// Notes that everything written up to here is on disk for good; `_writer` keeps everybody else from writing meanwhile.
    fn note(&self, _writer: &Writer, tick: Tick) -> Result<(), StoreError> {
        // The next write is seen from this number on.
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

    /// Where the changelog of a view starts.
    fn floor(&self, snapshot: &Snapshot, id: u32) -> Result<Floor, StoreError> {
        match snapshot.get(&self.0.meta, id_key(b'f', id)).at(self.dir())? {
            Some(value) => record::read_floor(&value).ok_or_else(|| self.cut_short()),
            None => Ok(Floor::default()),
        }
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
