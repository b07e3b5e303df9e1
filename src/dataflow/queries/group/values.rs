//! The counts of values, sorted by the values' bytes.

use std::collections::BTreeMap;

use super::aggregate::{take, take_bytes, take_diff, write_bytes};
use crate::dataflow::held::memory::{HeapSize, block, tree};
use crate::value::{Diff, Row};

/// A multiset of values, sorted by their bytes.
#[derive(Default)]
pub(super) struct Values {
    counts: BTreeMap<Row, Diff>,
    /// Heap memory of the values.
    bytes: usize,
}

impl HeapSize for Values {
    fn held_bytes(&self) -> usize {
        tree::<(Row, Diff)>(self.counts.len()) + self.bytes
    }
}

impl Values {
    /// How many distinct values there are.
    pub(super) fn len(&self) -> usize {
        self.counts.len()
    }

    /// Each value with its count, which is negative if deletes arrived before inserts.
    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = (&[u8], Diff)> {
        self.counts.iter().map(|(value, count)| (&**value, *count))
    }

    /// Removes the last or the first value, with all its copies.
    pub(super) fn pop(&mut self, last: bool) -> Option<(Row, Diff)> {
        let popped = if last { self.counts.pop_last() } else { self.counts.pop_first() }?;
        self.bytes -= block(popped.0.len());
        Some(popped)
    }

    /// Adds `diff` to the value's count. Returns the count before and after.
    pub(super) fn add(&mut self, value: &[u8], diff: Diff) -> (Diff, Diff) {
        match self.counts.get_mut(value) {
            Some(count) => {
                let before = *count;
                *count += diff;
                if *count == 0 {
                    self.counts.remove(value);
                    self.bytes -= block(value.len());
                }
                (before, before + diff)
            }
            None => {
                if diff != 0 {
                    self.bytes += block(value.len());
                    self.counts.insert(Row::from_bytes(value), diff);
                }
                (0, diff)
            }
        }
    }

    /// Writes the number of values (`u32`), then each one's count, length (`u32`) and bytes.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&(self.counts.len() as u32).to_le_bytes());
        for (value, count) in &self.counts {
            out.extend_from_slice(&count.to_le_bytes());
            write_bytes(value, out);
        }
    }

    /// Adds values in the format of [`write`](Values::write).
    pub(super) fn merge(&mut self, bytes: &mut &[u8]) {
        read(bytes, |value, diff| {
            self.add(value, diff);
        });
    }
}

/// Reads values in the format of [`write`](Values::write), one after the other.
pub(super) fn read(bytes: &mut &[u8], mut each: impl FnMut(&[u8], Diff)) {
    for _ in 0..u32::from_le_bytes(take(bytes)) {
        let diff = take_diff(bytes);
        each(take_bytes(bytes), diff);
    }
}
