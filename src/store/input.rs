//! The current rows of captured tables, from which a restart continues without a new snapshot.

use std::collections::VecDeque;
use std::collections::btree_map::{BTreeMap, Entry};

use fjall::{OwnedWriteBatch, Readable, Snapshot};

use crate::value::{Diff, Row, Tick};

use super::Store;
use super::commit::check_key;
use super::error::{AtFolder, StoreError};
use super::record::{self, Counters, HASH_BYTES};
use super::space::InputSpace;

/// The rows of an input as of one commit; see [`Store::load_input`].
pub struct InputIter {
    store: Store,
    rows: fjall::Iter,
    multiset: bool,
    hash: [u8; HASH_BYTES],
    /// The rows of `hash` from the parts read so far.
    growing: Vec<(Row, Diff)>,
    /// Rows whose parts are all read.
    whole: VecDeque<(Row, Diff)>,
}

impl std::fmt::Debug for InputIter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("InputIter").finish_non_exhaustive()
    }
}

impl Store {
    /// The rows of a defined input as of the last commit, each with its number of copies. They are in key order if the input has a key, else in
    /// no meaningful order.
    pub fn load_input(&self, input: usize) -> Result<InputIter, StoreError> {
        let space = self.input_space(input)?;
        let rows = self.0.db.snapshot().iter(&space.rows);
        let (growing, whole) = (Vec::new(), VecDeque::new());
        Ok(InputIter { store: self.clone(), rows, multiset: space.is_multiset(), hash: [0; HASH_BYTES], growing, whole })
    }

    /// The number of rows of a defined input, with all copies.
    pub fn input_len(&self, input: usize) -> Result<u64, StoreError> {
        let space = self.input_space(input)?;
        let counters = self.counters(&self.0.db.snapshot(), space.record.id)?;
        Ok(counters.rows.max(0) as u64)
    }

    pub(super) fn write_input(
        &self,
        batch: &mut OwnedWriteBatch,
        counters: &mut BTreeMap<u32, Counters>,
        input: usize,
        deltas: Vec<(Tick, Row, Diff)>,
    ) -> Result<(), StoreError> {
        let space = self.input_space(input)?;
        let mut count = self.counted(counters, space.record.id)?;
        for (_, row, diff) in &deltas {
            count.rows += diff;
            count.bytes += diff * row.len() as Diff;
        }
        match space.is_multiset() {
            true => self.write_multiset(batch, &space, deltas)?,
            false => write_keyed(batch, &space, deltas)?,
        }
        counters.insert(space.record.id, count);
        Ok(())
    }

    fn write_multiset(&self, batch: &mut OwnedWriteBatch, space: &InputSpace, deltas: Vec<(Tick, Row, Diff)>) -> Result<(), StoreError> {
        let snapshot: Snapshot = self.0.db.snapshot();
        let mut touched: BTreeMap<[u8; HASH_BYTES + 4], Vec<(Row, Diff)>> = BTreeMap::new();
        for (_, row, diff) in deltas {
            let key = record::multiset_key(&row, 0);
            let rows = match touched.entry(key) {
                Entry::Occupied(rows) => rows.into_mut(),
                Entry::Vacant(unread) => {
                    let mut held = Vec::new();
                    if let Some(value) = snapshot.get(&space.rows, key).at(self.dir())? {
                        record::read_multiset(&value, &mut held).ok_or_else(|| self.cut_short())?;
                    }
                    unread.insert(held)
                }
            };
            record::add_to_multiset(rows, &row, diff);
        }
        for (key, rows) in touched {
            match rows.is_empty() {
                true => batch.remove(&space.rows, key),
                false => batch.insert(&space.rows, key, record::multiset_value(&rows)),
            }
        }
        Ok(())
    }
}

/// Combines a delete and an insert of one key to an update, in any order and at any ticks.
fn write_keyed(batch: &mut OwnedWriteBatch, space: &InputSpace, deltas: Vec<(Tick, Row, Diff)>) -> Result<(), StoreError> {
    let mut net: Vec<(Row, Row, Diff)> = deltas.into_iter().map(|(_, row, diff)| (space.key_of(&row), row, diff)).collect();
    net.sort_by(|a, b| (&a.0, &a.1).cmp(&(&b.0, &b.1)));
    for of_key in net.chunk_by(|a, b| a.0 == b.0) {
        let key = &of_key[0].0;
        check_key(&space.record.name, key)?;
        let (mut stays, mut gone) = (None, false);
        for of_row in of_key.chunk_by(|a, b| a.1 == b.1) {
            match of_row.iter().map(|(_, _, diff)| diff).sum::<Diff>() {
                0 => {}
                1 if stays.is_none() => stays = Some(&of_row[0].1),
                -1 if !gone => gone = true,
                _ => return Err(StoreError::Contract(format!("`{}` has more than one row with the same key", space.record.name))),
            }
        }
        match stays {
            Some(row) => batch.insert(&space.rows, &**key, &**row),
            None if gone => batch.remove(&space.rows, &**key),
            None => {}
        }
    }
    Ok(())
}

impl Iterator for InputIter {
    type Item = Result<(Row, Diff), StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(row) = self.whole.pop_front() {
                return Some(Ok(row));
            }
            let Some(guard) = self.rows.next() else {
                self.whole.extend(self.growing.drain(..));
                return self.whole.pop_front().map(Ok);
            };
            let (key, value) = match guard.into_inner().at(self.store.dir()) {
                Ok(read) => read,
                Err(e) => return Some(Err(e)),
            };
            if !self.multiset {
                return Some(Ok((Row::from_bytes(&value), 1)));
            }
            if let Err(e) = self.add_part(&key, &value) {
                return Some(Err(e));
            }
        }
    }
}

impl InputIter {
    fn add_part(&mut self, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
        let hash = *key.first_chunk::<HASH_BYTES>().ok_or_else(|| self.store.cut_short())?;
        if hash != self.hash {
            self.whole.extend(self.growing.drain(..));
            self.hash = hash;
        }
        record::read_multiset(value, &mut self.growing).ok_or_else(|| self.store.cut_short())
    }
}
