//! The key spaces of the storage engine and how each is tuned.
//!
//! Memory is bounded here: one block cache for all, and small write buffers. What is flushed from a write buffer is synced by
//! the engine; what is in one is in the journal.

use std::path::Path;
use std::sync::Arc;

use fjall::compaction::Leveled;
use fjall::config::{BlockSizePolicy, CompressionPolicy, FilterPolicy};
use fjall::{CompressionType, Database, Keyspace, KeyspaceCreateOptions};

use crate::value::{Layout, Row, key};

use super::catalog::{InputRecord, ViewRecord};
use super::error::{At, StoreError};
use super::random_text;
use super::space_names::{BESIDE, log_name, parts_name, rows_name};

const CACHE_BYTES: u64 = 24 << 20;
const JOURNAL_BYTES: u64 = 128 << 20;
const INPUT_BUFFER_BYTES: u64 = 4 << 20;
const VIEW_BUFFER_BYTES: u64 = 8 << 20;
const LOG_TABLE_BYTES: u64 = 8 << 20;
const META_BUFFER_BYTES: u64 = 2 << 20;

/// A held input and where its rows are.
pub(super) struct InputSpace {
    pub(super) record: InputRecord,
    pub(super) layout: Layout,
    pub(super) rows: Keyspace,
}

/// A held view and where its rows, the parts of its long rows and its changelog are.
pub(super) struct ViewSpace {
    pub(super) record: ViewRecord,
    pub(super) layout: Layout,
    pub(super) rows: Keyspace,
    pub(super) parts: Keyspace,
    pub(super) log: Keyspace,
}

/// One background thread: of several, the first only passes compactions on (fjall 3.1.13, `worker_pool.rs`), in a loop that takes a core
/// while the second is compacting.
pub(super) fn open_database(path: &Path, dir: &Path) -> Result<Database, StoreError> {
    Database::builder(path).cache_size(CACHE_BYTES).max_journaling_size(JOURNAL_BYTES).worker_threads(1).open().at(dir)
}

/// When the files of tables are opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Files {
    /// With the database, so that nobody can take them away.
    AtOnce,
    AsNeeded,
}

/// Nothing is written to tables, and nothing compacted: no background thread.
pub(super) fn open_to_read(path: &Path, dir: &Path, files: Files) -> Result<Database, StoreError> {
    let builder = Database::builder(path).cache_size(CACHE_BYTES).max_journaling_size(JOURNAL_BYTES).worker_threads_unchecked(0);
    match files {
        Files::AtOnce => builder.max_cached_files(None).open().at(dir),
        Files::AsNeeded => builder.open().at(dir),
    }
}

/// Every key space that there is.
pub(super) fn all(db: &Database, dir: &Path) -> Result<Vec<Keyspace>, StoreError> {
    db.list_keyspace_names().iter().map(|name| db.keyspace(name, KeyspaceCreateOptions::default).at(dir)).collect()
}

pub(super) fn meta(db: &Database, name: &str, dir: &Path) -> Result<Keyspace, StoreError> {
    db.keyspace(name, || KeyspaceCreateOptions::default().max_memtable_size(META_BUFFER_BYTES)).at(dir)
}

impl InputSpace {
    /// Opens the input's key space, making it where it is missing.
    pub(super) fn open(db: &Database, record: InputRecord, dir: &Path) -> Result<InputSpace, StoreError> {
        let keyed = !record.key.is_empty();
        let rows = db.keyspace(&rows_name(record.id), || if keyed { compared(INPUT_BUFFER_BYTES) } else { scanned(INPUT_BUFFER_BYTES) });
        let rows = rows.at(dir)?;
        Ok(InputSpace { layout: Layout::new(&record.schema), record, rows })
    }

    pub(super) fn is_multiset(&self) -> bool {
        self.record.key.is_empty()
    }

    /// The key that a row of an input with a primary key is held by.
    pub(super) fn key_of(&self, row: &[u8]) -> Row {
        key::of(&self.layout, row, &self.record.key)
    }
}

impl ViewSpace {
    pub(super) fn open(db: &Database, record: ViewRecord, dir: &Path) -> Result<ViewSpace, StoreError> {
        let rows = db.keyspace(&rows_name(record.id), || looked_up(VIEW_BUFFER_BYTES)).at(dir)?;
        let parts = db.keyspace(&parts_name(record.id), || looked_up(VIEW_BUFFER_BYTES)).at(dir)?;
        let log = db.keyspace(&log_name(record.id), || logged(VIEW_BUFFER_BYTES)).at(dir)?;
        Ok(ViewSpace { layout: Layout::new(&record.schema), record, rows, parts, log })
    }

    /// The same key spaces under another record.
    pub(super) fn with(&self, record: ViewRecord) -> ViewSpace {
        let ViewSpace { record: _, layout, rows, parts, log } = self;
        ViewSpace { record, layout: layout.clone(), rows: rows.clone(), parts: parts.clone(), log: log.clone() }
    }

    /// A place for rows that are compared with this view's; it has none yet.
    pub(super) fn beside(&self, db: &Database, dir: &Path) -> Result<Arc<ViewSpace>, StoreError> {
        let name = format!("{BESIDE}{}-{}", self.record.id, random_text());
        let rows = db.keyspace(&name, || looked_up(VIEW_BUFFER_BYTES)).at(dir)?;
        Ok(Arc::new(ViewSpace { rows, ..self.with(self.record.clone()) }))
    }
}

/// Read from one end to the other, and key by key for each row that changes: filters, so that a row that comes is found missing at once.
fn compared(buffer_bytes: u64) -> KeyspaceCreateOptions {
    looked_up(buffer_bytes).data_block_size_policy(BlockSizePolicy::all(16 << 10))
}

/// Read from one end to the other: larger blocks, no filters.
fn scanned(buffer_bytes: u64) -> KeyspaceCreateOptions {
    looked_up(buffer_bytes).data_block_size_policy(BlockSizePolicy::all(16 << 10)).filter_policy(FilterPolicy::disabled())
}

/// As [`scanned`], compressed at once. Its tables are small, since they are dropped whole once all of their entries are forgotten.
fn logged(buffer_bytes: u64) -> KeyspaceCreateOptions {
    scanned(buffer_bytes)
        .data_block_compression_policy(CompressionPolicy::all(CompressionType::Lz4))
        .compaction_strategy(Arc::new(Leveled::default().with_table_target_size(LOG_TABLE_BYTES)))
}

/// Read key by key. Compressed from the third level down: what is rewritten often is not.
fn looked_up(buffer_bytes: u64) -> KeyspaceCreateOptions {
    use CompressionType::{Lz4, None};
    KeyspaceCreateOptions::default()
        .max_memtable_size(buffer_bytes)
        .data_block_compression_policy(CompressionPolicy::new([None, None, Lz4]))
}
