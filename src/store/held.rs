//! Single rows of captured tables, as of the last commit.

use std::ops::Bound;

use fjall::Readable;

use crate::value::{Diff, Row};

use super::Store;
use super::error::{AtFolder, StoreError};
use super::record::{self, HASH_BYTES};

impl Store {
    /// Whether a commit has completed the input. Before that its rows must not be read, unless they are staged ones.
    pub fn is_input_ready(&self, input: usize) -> Result<bool, StoreError> {
        Ok(self.input_space(input)?.record.ready)
    }

    /// The row with this [`key`](crate::value::key) of an input that has a key.
    pub fn input_row(&self, input: usize, key: &[u8]) -> Result<Option<Row>, StoreError> {
        let space = self.input_space(input)?;
        Ok(space.rows.get(key).at(self.dir())?.map(|row| Row::from_bytes(&row)))
    }

    /// The first rows, in the order of their keys, whose key begins with `prefix` and is greater than `after`: at most `limit`. For an input
    /// that has a key.
    pub fn input_rows_from(&self, input: usize, prefix: &[u8], after: Option<&[u8]>, limit: usize) -> Result<Vec<Row>, StoreError> {
        let space = self.input_space(input)?;
        let from = match after {
            Some(after) => Bound::Excluded(after),
            None => Bound::Included(prefix),
        };
        let mut found = Vec::new();
        for row in self.0.db.snapshot().range::<&[u8], _>(&space.rows, (from, Bound::Unbounded)).take(limit) {
            let (key, row) = row.into_inner().at(self.dir())?;
            if !key.starts_with(prefix) {
                break;
            }
            found.push(Row::from_bytes(&row));
        }
        Ok(found)
    }

    /// The number of copies of this row in an input without a key.
    pub fn input_copies(&self, input: usize, row: &[u8]) -> Result<Diff, StoreError> {
        let space = self.input_space(input)?;
        let mut held = Vec::new();
        let of_hash = &record::multiset_key(row, 0)[..HASH_BYTES];
        for part in self.0.db.snapshot().prefix(&space.rows, of_hash) {
            let value = part.value().at(self.dir())?;
            record::read_multiset(&value, &mut held).ok_or_else(|| self.cut_short())?;
        }
        Ok(held.iter().find(|(of_hash, _)| **of_hash == *row).map_or(0, |(_, copies)| *copies))
    }
}
