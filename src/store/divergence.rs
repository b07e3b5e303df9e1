//! Checks whether changes of an input fit its stored rows.
//!
//! For every tick and key: the deleted row is the stored row as of the tick before, and an inserted row has a key that is not stored. So if the
//! stored rows were those of the table before the changes, they are those of the table afterwards.

use std::fmt;
use std::ops::Range;

use fjall::Readable;

use crate::value::{Diff, Row, Tick, key};

use super::Store;
use super::commit::check_key;
use super::error::{AtFolder, StoreError};
use super::record;
use super::space::InputSpace;

/// The first change that does not fit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Divergence {
    /// An index as in [`Store::define`].
    pub input: usize,
    pub tick: Tick,
    /// The key of the row ([`crate::value::key`]); `None` if the input has no key.
    pub key: Option<Row>,
    pub mismatch: Mismatch,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mismatch {
    /// A delete of a row that is not stored.
    NotHeld,
    /// A delete of a row that is stored with other values.
    Differs,
    /// An insert of a row whose key is stored already.
    AlreadyHeld,
    /// More than one row of one key is inserted or deleted at one tick.
    Several,
}

/// A change and the range of its key in the buffer of keys.
type Keyed<'a> = (Range<usize>, &'a (Tick, Row, Diff));

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Mismatch::NotHeld => "is changed or deleted in the log, but is not in the store",
            Mismatch::Differs => "had other values in the log before the change than in the store",
            Mismatch::AlreadyHeld => "is inserted in the log, but is in the store already",
            Mismatch::Several => "has more than one row in one transaction of the log",
        })
    }
}

impl Store {
    /// The earliest of an input's changes after the last commit that does not fit the stored rows; `None` if all fit.
    pub fn divergence(&self, input: usize, deltas: &[(Tick, Row, Diff)]) -> Result<Option<Divergence>, StoreError> {
        let space = self.input_space(input)?;
        let found = match space.is_multiset() {
            true => self.divergence_of_multiset(&space, deltas)?.map(|tick| (tick, None, Mismatch::NotHeld)),
            false => self.divergence_of_keyed(&space, deltas)?.map(|(tick, key, mismatch)| (tick, Some(key), mismatch)),
        };
        Ok(found.map(|(tick, key, mismatch)| Divergence { input, tick, key, mismatch }))
    }

    fn divergence_of_keyed(&self, space: &InputSpace, deltas: &[(Tick, Row, Diff)]) -> Result<Option<(Tick, Row, Mismatch)>, StoreError> {
        // All keys in one buffer, and for each change the range of its key.
        let mut keys = Vec::new();
        let mut by_key: Vec<Keyed> = Vec::with_capacity(deltas.len());
        for delta in deltas {
            let begins = keys.len();
            key::of_into(&space.layout, &delta.1, &space.record.key, &mut keys);
            by_key.push((begins..keys.len(), delta));
        }
        let key_of = |change: &Keyed| &keys[change.0.clone()];
        by_key.sort_unstable_by(|a, b| (key_of(a), a.1.0, &a.1.1).cmp(&(key_of(b), b.1.0, &b.1.1)));
        let mut first: Option<(Tick, Row, Mismatch)> = None;
        for of_key in by_key.chunk_by(|a, b| key_of(a) == key_of(b)) {
            let key = key_of(&of_key[0]);
            check_key(&space.record.name, key)?;
            let held = space.rows.get(key).at(self.dir())?;
            let mut now: Option<&[u8]> = held.as_deref();
            for of_tick in of_key.chunk_by(|a, b| a.1.0 == b.1.0) {
                let tick = of_tick[0].1.0;
                if first.as_ref().is_some_and(|(found, _, _)| *found <= tick) {
                    break;
                }
                match after(now, of_tick) {
                    Ok(row) => now = row,
                    Err(mismatch) => first = Some((tick, Row::from_bytes(key), mismatch)),
                }
            }
        }
        Ok(first)
    }

    fn divergence_of_multiset(&self, space: &InputSpace, deltas: &[(Tick, Row, Diff)]) -> Result<Option<Tick>, StoreError> {
        if deltas.iter().all(|(_, _, diff)| *diff > 0) {
            return Ok(None);
        }
        let mut by_row: Vec<&(Tick, Row, Diff)> = deltas.iter().collect();
        by_row.sort_by(|a, b| (&a.1, a.0).cmp(&(&b.1, b.0)));
        let snapshot = self.0.db.snapshot();
        let mut first: Option<Tick> = None;
        for of_row in by_row.chunk_by(|a, b| a.1 == b.1).filter(|of_row| of_row.iter().any(|(_, _, diff)| *diff < 0)) {
            let row = &of_row[0].1;
            let mut held = Vec::new();
            for part in snapshot.prefix(&space.rows, &record::multiset_key(row, 0)[..record::HASH_BYTES]) {
                record::read_multiset(&part.value().at(self.dir())?, &mut held).ok_or_else(|| self.cut_short())?;
            }
            let mut count: Diff = held.iter().find(|(held, _)| held == row).map_or(0, |(_, count)| *count);
            for of_tick in of_row.chunk_by(|a, b| a.0 == b.0) {
                count += of_tick.iter().map(|(_, _, diff)| diff).sum::<Diff>();
                if count < 0 {
                    first = Some(first.map_or(of_tick[0].0, |found| found.min(of_tick[0].0)));
                    break;
                }
            }
        }
        Ok(first)
    }
}

/// The row of a key after the changes of one tick, which are sorted by row.
fn after<'a>(now: Option<&'a [u8]>, changes: &[Keyed<'a>]) -> Result<Option<&'a [u8]>, Mismatch> {
    let (mut comes, mut goes): (Option<&[u8]>, Option<&[u8]>) = (None, None);
    for of_row in changes.chunk_by(|a, b| a.1.1 == b.1.1) {
        let row: &[u8] = &of_row[0].1.1;
        match of_row.iter().map(|(_, (_, _, diff))| diff).sum::<Diff>() {
            0 => {}
            1 if comes.is_none() => comes = Some(row),
            -1 if goes.is_none() => goes = Some(row),
            _ => return Err(Mismatch::Several),
        }
    }
    match (goes, now) {
        (None, None) => Ok(comes),
        (None, Some(_)) if comes.is_none() => Ok(now),
        (None, Some(_)) => Err(Mismatch::AlreadyHeld),
        (Some(_), None) => Err(Mismatch::NotHeld),
        (Some(goes), Some(now)) if goes != now => Err(Mismatch::Differs),
        (Some(_), Some(_)) => Ok(comes),
    }
}

#[cfg(test)]
mod tests;
