//! The records that sources left out because they could not be read: how many of each table, and the first of them in full.
//!
//! They are part of what an input was read from, so they are committed with the position behind them, and go when their source is
//! captured again or has no input any more.

use std::collections::BTreeMap;

use fjall::{OwnedWriteBatch, Readable};
use serde::{Deserialize, Serialize};

use super::catalog::Catalog;
use super::error::{At, StoreError, damaged};
use super::{Store, read_json};

/// So many of each table are kept in full; all are counted.
pub const KEPT_REJECTED: u64 = 1000;

/// A record that was left out, and why. No values of it are in here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rejected {
    /// The table's name as its source has it; empty where it could not be known.
    pub table: String,
    /// Where it stands at the source, for people.
    pub place: String,
    pub reason: String,
}

/// What one source left out, in its order. However much it is, no more is held than could be kept.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rejections {
    counts: BTreeMap<String, u64>,
    first: Vec<Rejected>,
}

impl Rejections {
    pub fn is_empty(&self) -> bool {
        self.counts.is_empty()
    }

    pub fn add(&mut self, rejected: Rejected) {
        let count = self.counts.entry(rejected.table.clone()).or_default();
        *count += 1;
        if *count <= KEPT_REJECTED {
            self.first.push(rejected);
        }
    }

    /// Adds what came after these.
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
    /// How many records each source left out, by source and table, as of the last commit. Sources without any are not named.
    pub fn rejected_counts(&self) -> Result<BTreeMap<String, BTreeMap<String, u64>>, StoreError> {
        let mut counts = BTreeMap::new();
        for guard in self.0.db.snapshot().prefix(&self.0.meta, COUNTS) {
            let (key, value) = guard.into_inner().at(self.dir())?;
            let source = std::str::from_utf8(&key[COUNTS.len()..]).map_err(|_| self.cut_short())?;
            counts.insert(source.to_string(), serde_json::from_slice(&value).map_err(|_| self.cut_short())?);
        }
        Ok(counts)
    }

    /// The first records of each table that a source left out, [`KEPT_REJECTED`] at most, by table and in the source's order.
    pub fn rejected(&self, source: &str) -> Result<impl Iterator<Item = Result<Rejected, StoreError>> + use<>, StoreError> {
        let dir = self.dir().to_path_buf();
        let records = self.0.db.snapshot().prefix(&self.0.meta, of_source(source));
        Ok(records.map(move |guard| {
            let value = guard.value().at(&dir)?;
            serde_json::from_slice(&value).map_err(|_| damaged(&dir, "a record is cut short"))
        }))
    }

    /// `anew`: the batch forgets what the source left out before.
    pub(super) fn write_rejected(
        &self,
        batch: &mut OwnedWriteBatch,
        source: &str,
        rejections: Rejections,
        anew: bool,
    ) -> Result<(), StoreError> {
        let counts_key = format!("{COUNTS}{source}");
        let held = match anew {
            true => BTreeMap::new(),
            false => read_json::<BTreeMap<String, u64>>(&self.0.meta, &counts_key, self.dir())?.unwrap_or_default(),
        };
        let mut next = held.clone();
        for rejected in rejections.first {
            let number = next.entry(rejected.table.clone()).or_default();
            if *number < KEPT_REJECTED {
                let key = [&of_source(source)[..], rejected.table.as_bytes(), &[0], &number.to_be_bytes()].concat();
                batch.insert(&self.0.meta, key, serde_json::to_vec(&rejected).expect("text is JSON"));
            }
            *number += 1;
        }
        let mut counts = held;
        for (table, count) in rejections.counts {
            *counts.entry(table).or_default() += count;
        }
        batch.insert(&self.0.meta, counts_key, serde_json::to_vec(&counts).expect("names and numbers are JSON"));
        Ok(())
    }

    /// Forgets what a source left out, as of a batch.
    pub(super) fn remove_rejected(&self, batch: &mut OwnedWriteBatch, source: &str) -> Result<(), StoreError> {
        batch.remove(&self.0.meta, format!("{COUNTS}{source}"));
        for guard in self.0.db.snapshot().prefix(&self.0.meta, of_source(source)) {
            batch.remove(&self.0.meta, guard.key().at(self.dir())?);
        }
        Ok(())
    }

    /// Forgets what sources without an input left out.
    pub(super) fn remove_rejected_of_others(&self, batch: &mut OwnedWriteBatch, catalog: &Catalog) -> Result<(), StoreError> {
        for source in self.rejected_counts()?.into_keys() {
            let is_of_source = |name: &str| name.strip_prefix(&*source).is_some_and(|rest| rest.starts_with('.'));
            if !catalog.inputs.iter().any(|input| is_of_source(&input.name)) {
                self.remove_rejected(batch, &source)?;
            }
        }
        Ok(())
    }
}

const COUNTS: &str = "k";
const RECORD: &str = "q";

/// What the keys of a source's records begin with.
fn of_source(source: &str) -> Vec<u8> {
    [RECORD.as_bytes(), source.as_bytes(), &[0]].concat()
}
