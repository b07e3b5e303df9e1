//! The rows of a recursion by key, with their rounds.

use std::cmp::Ordering;
use std::collections::{BTreeMap, HashMap};

use crate::dataflow::held::memory::{HeapSize, block, table, tree};
use crate::value::{Diff, Row};

/// Rows by key, with their counts in each round.
#[derive(Default)]
pub(super) struct RoundRows {
    keys: HashMap<Row, KeyRows>,
    /// Heap memory of the keys and their rows.
    bytes: usize,
}

/// The rows of one key: the count of each in each round.
enum KeyRows {
    Few(Vec<(Row, u32, Diff)>),
    Many(BTreeMap<(Row, u32), Diff>),
}

/// Keys with at most this many rows store them as a list.
const FEW: usize = 16;

impl HeapSize for RoundRows {
    fn held_bytes(&self) -> usize {
        table::<(Row, KeyRows)>(self.keys.capacity()) + self.bytes
    }
}

impl RoundRows {
    pub(super) fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    pub(super) fn add(&mut self, key: &[u8], row: &[u8], round: u32, diff: Diff) {
        match self.keys.get_mut(key) {
            None => {
                let rows = KeyRows::Few(vec![(Row::from_bytes(row), round, diff)]);
                self.bytes += block(key.len()) + rows.held_bytes() + block(row.len());
                self.keys.insert(Row::from_bytes(key), rows);
            }
            Some(rows) => {
                let (before, held) = (rows.len(), rows.held_bytes());
                rows.add(row, round, diff);
                self.bytes = self.bytes + rows.held_bytes() - held;
                match rows.len().cmp(&before) {
                    Ordering::Less => self.bytes -= block(row.len()),
                    Ordering::Equal => {}
                    Ordering::Greater => self.bytes += block(row.len()),
                }
                if rows.len() == 0 {
                    self.bytes -= block(key.len()) + rows.held_bytes();
                    self.keys.remove(key);
                }
            }
        }
    }

    /// Every row of the key with its round and its count.
    pub(super) fn rows(&self, key: &[u8]) -> Vec<(&Row, u32, Diff)> {
        match self.keys.get(key) {
            None => Vec::new(),
            Some(KeyRows::Few(rows)) => rows.iter().map(|(row, round, count)| (row, *round, *count)).collect(),
            Some(KeyRows::Many(rows)) => rows.iter().map(|((row, round), count)| (row, *round, *count)).collect(),
        }
    }
}

impl HeapSize for KeyRows {
    /// Excludes the rows' bytes.
    fn held_bytes(&self) -> usize {
        match self {
            KeyRows::Few(rows) => block(rows.capacity() * size_of::<(Row, u32, Diff)>()),
            KeyRows::Many(rows) => tree::<((Row, u32), Diff)>(rows.len()),
        }
    }
}

impl KeyRows {
    fn len(&self) -> usize {
        match self {
            KeyRows::Few(rows) => rows.len(),
            KeyRows::Many(rows) => rows.len(),
        }
    }

    fn add(&mut self, row: &[u8], round: u32, diff: Diff) {
        match self {
            KeyRows::Few(rows) => match rows.iter().position(|(held, of, _)| **held == *row && *of == round) {
                Some(place) => {
                    rows[place].2 += diff;
                    if rows[place].2 == 0 {
                        rows.swap_remove(place);
                    }
                }
                None if rows.len() < FEW => rows.push((Row::from_bytes(row), round, diff)),
                None => {
                    let mut many: BTreeMap<_, _> = rows.drain(..).map(|(row, round, count)| ((row, round), count)).collect();
                    many.insert((Row::from_bytes(row), round), diff);
                    *self = KeyRows::Many(many);
                }
            },
            KeyRows::Many(rows) => {
                let place = (Row::from_bytes(row), round);
                let count = rows.entry(place.clone()).or_default();
                *count += diff;
                if *count == 0 {
                    rows.remove(&place);
                }
            }
        }
    }
}
