//! Reads long rows of a view from their parts.

use std::collections::HashMap;

use fjall::{Keyspace, Readable, Snapshot, UserValue};

use crate::value::{Layout, Row};

use super::Store;
use super::error::{AtFolder, StoreError};
use super::manifest::Manifest;
use super::parts::LongRow;
use super::space::ViewSpace;

/// Reads long rows of one view as of a snapshot. Parts that a row shares with the row read before are not read again.
pub(super) struct LongRowReader {
    store: Store,
    snapshot: Snapshot,
    parts: Keyspace,
    layout: Layout,
    /// The parts of the row that was read last.
    last: HashMap<u64, UserValue>,
}

/// A run of successive parts with at least this many missing ones is read by one range scan.
const RUN: usize = 4;

impl LongRowReader {
    pub(super) fn new(store: &Store, snapshot: &Snapshot, space: &ViewSpace) -> LongRowReader {
        let (parts, layout) = (space.parts.clone(), space.layout.clone());
        LongRowReader { store: store.clone(), snapshot: snapshot.clone(), parts, layout, last: HashMap::new() }
    }

    /// The row of a manifest.
    pub(super) fn row(&mut self, manifest: &[u8]) -> Result<Row, StoreError> {
        self.long_row(manifest)?.row(&self.layout).ok_or_else(|| self.store.cut_short())
    }

    pub(super) fn long_row(&mut self, manifest: &[u8]) -> Result<LongRow, StoreError> {
        let manifest = Manifest::read(manifest).ok_or_else(|| self.store.cut_short())?;
        let mut read = HashMap::with_capacity(manifest.parts.len());
        for run in manifest.parts.chunk_by(|a, b| a + 1 == *b) {
            let missing = run.iter().filter(|part| !self.last.contains_key(part)).count();
            if missing >= RUN {
                for guard in self.snapshot.range(&self.parts, run[0].to_be_bytes()..=run[run.len() - 1].to_be_bytes()) {
                    let (key, bytes) = guard.into_inner().at(self.store.dir())?;
                    let part = key.first_chunk::<8>().ok_or_else(|| self.store.cut_short())?;
                    read.insert(u64::from_be_bytes(*part), bytes);
                }
                continue;
            }
            for part in run {
                let bytes = match self.last.remove(part) {
                    Some(bytes) => bytes,
                    None => {
                        self.snapshot.get(&self.parts, part.to_be_bytes()).at(self.store.dir())?.ok_or_else(|| self.store.cut_short())?
                    }
                };
                read.insert(*part, bytes);
            }
        }
        let parts: Option<Vec<&UserValue>> = manifest.parts.iter().map(|part| read.get(part)).collect();
        let parts = parts.ok_or_else(|| self.store.cut_short())?;
        let row = LongRow::assemble(manifest, parts.into_iter()).ok_or_else(|| self.store.cut_short())?;
        self.last = read;
        Ok(row)
    }
}
