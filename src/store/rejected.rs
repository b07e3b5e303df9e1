//! The rejected records of sources, which could not be read: their number for each table, and the first of them in full.
//!
//! They are committed with the next position of their source, and removed when the source is captured again or has no input any more.

use std::collections::BTreeMap;

use fjall::{OwnedWriteBatch, Readable, Snapshot};
use serde::{Deserialize, Serialize};

use super::catalog::StoreCatalog;
use super::error::{AtFolder, StoreError};
use super::{Store, read_json};

/// The number of rejected records of each table that are kept in full; all are counted.
pub const KEPT_REJECTED: u64 = 1000;

/// A rejected record and the reason. It has no values of the record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RejectedRecord {
    /// The table's name as its source has it; empty if it is unknown.
    pub table: String,
    /// Its place at the source, for people.
    pub place: String,
    pub reason: String,
}

/// The rejected records of one source, in its order. Memory is bounded: only the first [`KEPT_REJECTED`] of each table are held in full.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rejections {
    counts: BTreeMap<String, u64>,
    first: Vec<RejectedRecord>,
}

impl Rejections {
    pub fn is_empty(&self) -> bool {
        self.counts.is_empty()
    }

    pub fn add(&mut self, rejected: RejectedRecord) {
        let count = self.counts.entry(rejected.table.clone()).or_default();
        *count += 1;
        if *count <= KEPT_REJECTED {
            self.first.push(rejected);
        }
    }

    /// Removes the records of a table.
    pub(super) fn forget(&mut self, table: &str) {
        self.counts.remove(table);
        self.first.retain(|rejected| rejected.table != table);
    }

    /// Adds later records.
    pub fn append(&mut self, later: Rejections) {
        let mut number = self.counts.clone();
        for rejected in later.first {
            let number = number.entry(rejected.table.clone()).or_default();
            *number += 1;
            if *number <= KEPT_REJECTED {
                self.first.push(rejected);
            }
        }
        for (table, count) in later.counts {
            *self.counts.entry(table).or_default() += count;
        }
    }
}

impl Store {
    /// The number of rejected records by source and table, as of the last commit. Sources without any are not included.
    pub fn rejected_counts(&self) -> Result<BTreeMap<String, BTreeMap<String, u64>>, StoreError> {
        counts(self, &self.0.db.snapshot())
    }

    /// The first rejected records of a source, at most [`KEPT_REJECTED`] for each table, by table and in the source's order.
    pub fn rejected(&self, source: &str) -> impl Iterator<Item = Result<RejectedRecord, StoreError>> + use<> {
        self.snapshot().rejected(source)
    }

    /// Also removes the earlier rejected records of the tables for which `is_anew` returns true.
    pub(super) fn write_rejected(
        &self,
        batch: &mut OwnedWriteBatch,
        source: &str,
        rejections: Rejections,
        is_anew: &dyn Fn(&str) -> bool,
    ) -> Result<(), StoreError> {
        let counts_key = format!("{COUNTS}{source}");
        let mut held = read_json::<BTreeMap<String, u64>>(&self.0.meta, &counts_key, self.dir())?.unwrap_or_default();
        for (table, _) in held.extract_if(.., |table, _| is_anew(table)) {
            for guard in self.0.db.snapshot().prefix(&self.0.meta, of_table(source, &table)) {
                batch.remove(&self.0.meta, guard.key().at(self.dir())?);
            }
        }
        let mut next = held.clone();
        for rejected in rejections.first {
            let number = next.entry(rejected.table.clone()).or_default();
            if *number < KEPT_REJECTED {
                let key = [&of_table(source, &rejected.table)[..], &number.to_be_bytes()].concat();
                batch.insert(&self.0.meta, key, serde_json::to_vec(&rejected).expect("text is JSON"));
            }
            *number += 1;
        }
        let mut counts = held;
        for (table, count) in rejections.counts {
            *counts.entry(table).or_default() += count;
        }
        match counts.is_empty() {
            true => batch.remove(&self.0.meta, counts_key),
            false => batch.insert(&self.0.meta, counts_key, serde_json::to_vec(&counts).expect("names and numbers are JSON")),
        }
        Ok(())
    }

    /// Removes the rejected records of a source, in a batch.
    pub(super) fn remove_rejected(&self, batch: &mut OwnedWriteBatch, source: &str) -> Result<(), StoreError> {
        batch.remove(&self.0.meta, format!("{COUNTS}{source}"));
        for guard in self.0.db.snapshot().prefix(&self.0.meta, of_source(source)) {
            batch.remove(&self.0.meta, guard.key().at(self.dir())?);
        }
        Ok(())
    }

    /// Removes the rejected records of sources that have no input.
    pub(super) fn remove_rejected_of_others(&self, batch: &mut OwnedWriteBatch, catalog: &StoreCatalog) -> Result<(), StoreError> {
        for source in self.rejected_counts()?.into_keys() {
            let is_of_source = |name: &str| name.strip_prefix(&*source).is_some_and(|rest| rest.starts_with('.'));
            if !catalog.inputs.iter().any(|input| is_of_source(&input.name)) {
                self.remove_rejected(batch, &source)?;
            }
        }
        Ok(())
    }
}

pub(super) fn counts(store: &Store, snapshot: &Snapshot) -> Result<BTreeMap<String, BTreeMap<String, u64>>, StoreError> {
    let mut counts = BTreeMap::new();
    for guard in snapshot.prefix(&store.0.meta, COUNTS) {
        let (key, value) = guard.into_inner().at(store.dir())?;
        let source = std::str::from_utf8(&key[COUNTS.len()..]).map_err(|_| store.cut_short())?;
        counts.insert(source.to_string(), serde_json::from_slice(&value).map_err(|_| store.cut_short())?);
    }
    Ok(counts)
}

const COUNTS: &str = "k";
const RECORD: &str = "q";

/// The prefix of the keys of a table's records.
fn of_table(source: &str, table: &str) -> Vec<u8> {
    [&of_source(source)[..], table.as_bytes(), &[0]].concat()
}

/// The prefix of the keys of a source's records.
pub(super) fn of_source(source: &str) -> Vec<u8> {
    [RECORD.as_bytes(), source.as_bytes(), &[0]].concat()
}
