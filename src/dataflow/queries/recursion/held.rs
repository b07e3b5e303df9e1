//! The rows of a recursion by a key, with the rounds that they are of.

use std::cmp::Ordering;
use std::collections::{BTreeMap, HashMap};

use crate::dataflow::held::memory::{Holds, block, table, tree};
use crate::value::{Diff, Row};

#[derive(Default)]
pub(super) struct Held {
    keys: HashMap<Row, Rows>,
    /// Of the keys and their rows.
    bytes: usize,
}

/// Rows of one key: how often each is there in each round.
enum Rows {
    Few(Vec<(Row, u32, Diff)>),
    Many(BTreeMap<(Row, u32), Diff>),
}

const FEW: usize = 16;

impl Holds for Held {
    fn held_bytes(&self) -> usize {
        table::<(Row, Rows)>(self.keys.capacity()) + self.bytes
    }
}

impl Held {
    pub(super) fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    pub(super) fn add(&mut self, key: &[u8], row: &[u8], round: u32, diff: Diff) {
        match self.keys.get_mut(key) {
            None => {
                let rows = Rows::Few(vec![(Row::from_bytes(row), round, diff)]);
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

    /// Every row of the key: the row, the round, how often.
    pub(super) fn of(&self, key: &[u8]) -> Vec<(&Row, u32, Diff)> {
        match self.keys.get(key) {
            None => Vec::new(),
            Some(Rows::Few(rows)) => rows.iter().map(|(row, round, count)| (row, *round, *count)).collect(),
            Some(Rows::Many(rows)) => rows.iter().map(|((row, round), count)| (row, *round, *count)).collect(),
        }
    }
}

impl Holds for Rows {
    /// Without the rows' bytes.
    fn held_bytes(&self) -> usize {
        match self {
            Rows::Few(rows) => block(rows.capacity() * size_of::<(Row, u32, Diff)>()),
            Rows::Many(rows) => tree::<((Row, u32), Diff)>(rows.len()),
        }
    }
}

impl Rows {
    fn len(&self) -> usize {
        match self {
            Rows::Few(rows) => rows.len(),
            Rows::Many(rows) => rows.len(),
        }
    }

    fn add(&mut self, row: &[u8], round: u32, diff: Diff) {
        match self {
            Rows::Few(rows) => match rows.iter().position(|(held, of, _)| **held == *row && *of == round) {
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
                    *self = Rows::Many(many);
                }
            },
            Rows::Many(rows) => {
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
