//! The rows of a recursion by a key, with the rounds that they are of.

use std::collections::{BTreeMap, HashMap};

use crate::dataflow::held::memory::Holds;
use crate::value::{Diff, Row};

#[derive(Default)]
pub(super) struct Held {
    keys: HashMap<Row, Rows>,
}

/// Rows of one key: how often each is there in each round.
enum Rows {
    Few(Vec<(Row, u32, Diff)>),
    Many(BTreeMap<(Row, u32), Diff>),
}

const FEW: usize = 16;

impl Holds for Held {
    fn held_bytes(&self) -> usize {
        self.keys.capacity() * size_of::<(Row, Rows)>()
    }
}

impl Held {
    pub(super) fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    pub(super) fn add(&mut self, key: &[u8], row: &[u8], round: u32, diff: Diff) {
        match self.keys.get_mut(key) {
            None => {
                self.keys.insert(Row::from_bytes(key), Rows::Few(vec![(Row::from_bytes(row), round, diff)]));
            }
            Some(rows) => {
                rows.add(row, round, diff);
                if rows.is_empty() {
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

impl Rows {
    fn is_empty(&self) -> bool {
        match self {
            Rows::Few(rows) => rows.is_empty(),
            Rows::Many(rows) => rows.is_empty(),
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
