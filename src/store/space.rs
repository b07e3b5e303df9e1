//! The key spaces of the storage engine and their settings.
//!
//! Memory is bounded here: one block cache for all, and small write buffers. The engine syncs a write buffer when it flushes it; until then its
//! contents are in the journal.

use std::path::Path;
use std::sync::Arc;

use fjall::compaction::Leveled;
use fjall::config::{BlockSizePolicy, CompressionPolicy, FilterPolicy};
use fjall::{CompressionType, Database, Keyspace, KeyspaceCreateOptions};

use crate::value::{Layout, Row, key};

use super::catalog::{InputRecord, ViewRecord};
use super::error::{AtFolder, StoreError};
use super::random_text;
use super::space_names::{BESIDE, log_name, parts_name, rows_name, touched_name};

const CACHE_BYTES: u64 = 24 << 20;
/// The most bytes of changes that are in no table yet.
pub const JOURNAL_BYTES: u64 = 128 << 20;
const INPUT_BUFFER_BYTES: u64 = 4 << 20;
const VIEW_BUFFER_BYTES: u64 = 8 << 20;
const LOG_TABLE_BYTES: u64 = 8 << 20;
const META_BUFFER_BYTES: u64 = 2 << 20;

/// An input and the key space of its rows.
pub(super) struct InputSpace {
    pub(super) record: InputRecord,
    pub(super) layout: Layout,
    pub(super) rows: Keyspace,
}

/// A view and the key spaces of its rows, of the parts of its long rows and of its changelog.
pub(super) struct ViewSpace {
    pub(super) record: ViewRecord,
    pub(super) layout: Layout,
    pub(super) rows: Keyspace,
    pub(super) parts: Keyspace,
    pub(super) log: Keyspace,
}

/// Opens the database with one background thread. With several, the first only passes compactions on (fjall 3.1.13, `worker_pool.rs`), in a loop
/// that uses a core while the second compacts.
pub(super) fn open_database(path: &Path, dir: &Path) -> Result<Database, StoreError> {
    Database::builder(path).cache_size(CACHE_BYTES).max_journaling_size(JOURNAL_BYTES).worker_threads(1).open().at(dir)
}

/// When the files of tables are opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WhenOpened {
    /// With the database, so that they stay readable if they are removed.
    AtOnce,
    AsNeeded,
}

/// Opens the database without background threads: nothing is written to tables or compacted.
pub(super) fn open_to_read(path: &Path, dir: &Path, files: WhenOpened) -> Result<Database, StoreError> {
    let builder = Database::builder(path).cache_size(CACHE_BYTES).max_journaling_size(JOURNAL_BYTES).worker_threads_unchecked(0);
    match files {
        WhenOpened::AtOnce => builder.max_cached_files(None).open().at(dir),
        WhenOpened::AsNeeded => builder.open().at(dir),
    }
}

/// All existing key spaces.
pub(super) fn all(db: &Database, dir: &Path) -> Result<Vec<Keyspace>, StoreError> {
    db.list_keyspace_names().iter().map(|name| db.keyspace(name, KeyspaceCreateOptions::default).at(dir)).collect()
}

pub(super) fn meta(db: &Database, name: &str, dir: &Path) -> Result<Keyspace, StoreError> {
    db.keyspace(name, || KeyspaceCreateOptions::default().max_memtable_size(META_BUFFER_BYTES)).at(dir)
}

/// Opens the key space of the keys of a staged input that changes have touched, and creates it if it is missing.
pub(super) fn touched(db: &Database, id: u32, dir: &Path) -> Result<Keyspace, StoreError> {
    db.keyspace(&touched_name(id), || looked_up(INPUT_BUFFER_BYTES)).at(dir)
}

impl InputSpace {
    /// Opens the input's key space, and creates it if it is missing.
    pub(super) fn open(db: &Database, record: InputRecord, dir: &Path) -> Result<InputSpace, StoreError> {
        let keyed = !record.key.is_empty();
        let rows = db.keyspace(&rows_name(record.id), || if keyed { compared(INPUT_BUFFER_BYTES) } else { scanned(INPUT_BUFFER_BYTES) });
        let rows = rows.at(dir)?;
        Ok(InputSpace { layout: Layout::new(&record.schema), record, rows })
    }

    pub(super) fn is_multiset(&self) -> bool {
        self.record.key.is_empty()
    }

    /// The key of a row; only for inputs with a primary key.
    pub(super) fn key_of(&self, row: &[u8]) -> Row {
        key::encode(&self.layout, row, &self.record.key)
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

    /// A new empty key space for rows that are compared with those of this view.
    pub(super) fn beside(&self, db: &Database, dir: &Path) -> Result<Arc<ViewSpace>, StoreError> {
        let name = format!("{BESIDE}{}-{}", self.record.id, random_text());
        let rows = db.keyspace(&name, || looked_up(VIEW_BUFFER_BYTES)).at(dir)?;
        Ok(Arc::new(ViewSpace { rows, ..self.with(self.record.clone()) }))
    }
}

/// For full scans and for lookups of each changed row. Has filters, so that the key of an inserted row is found missing without a read.
fn compared(buffer_bytes: u64) -> KeyspaceCreateOptions {
    looked_up(buffer_bytes).data_block_size_policy(BlockSizePolicy::all(16 << 10))
}

/// For full scans: larger blocks, no filters.
fn scanned(buffer_bytes: u64) -> KeyspaceCreateOptions {
    looked_up(buffer_bytes).data_block_size_policy(BlockSizePolicy::all(16 << 10)).filter_policy(FilterPolicy::disabled())
}

/// As [`scanned`], but compressed on all levels and with small tables, since a table is dropped as a whole once all its entries are forgotten.
fn logged(buffer_bytes: u64) -> KeyspaceCreateOptions {
    scanned(buffer_bytes)
        .data_block_compression_policy(CompressionPolicy::all(CompressionType::Lz4))
        .compaction_strategy(Arc::new(Leveled::default().with_table_target_size(LOG_TABLE_BYTES)))
}

/// For lookups by key. Compressed from the third level down, since the upper levels are rewritten often.
fn looked_up(buffer_bytes: u64) -> KeyspaceCreateOptions {
    use CompressionType::{Lz4, None};
    KeyspaceCreateOptions::default()
        .max_memtable_size(buffer_bytes)
        .data_block_compression_policy(CompressionPolicy::new([None, None, Lz4]))
}
