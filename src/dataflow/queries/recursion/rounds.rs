//! Which rows a recursion has found, and in which rounds.
//!
//! If rows are distinct, a row belongs to the first round that finds it. It is kept while any round finds it, and moves to a later round
//! when earlier ones no longer do. Otherwise it belongs to every round that finds it, with its count there.

use std::collections::HashMap;

use crate::dataflow::held::memory::{HeapSize, block, table};
use crate::value::{Diff, Row};

pub(super) struct Rounds {
    distinct: bool,
    rows: HashMap<Row, RowRounds>,
    /// Heap memory of the rows and of their counts.
    bytes: usize,
}

/// Receives the changes of rows.
pub(super) trait RoundSink {
    /// The count of a row changes by `diff` in the current round or a later one.
    fn tell(&mut self, round: u32, row: &[u8], diff: Diff);

    /// Asks to settle the row again in this later round.
    fn look_again(&mut self, round: u32, row: &[u8]);
}

#[derive(Default)]
struct RowRounds {
    /// The row's count in each round, ordered by round.
    counts: Vec<(u32, Diff)>,
    /// If rows are distinct: the round that the row was last reported to belong to.
    told: Option<u32>,
}

impl HeapSize for Rounds {
    fn held_bytes(&self) -> usize {
        table::<(Row, RowRounds)>(self.rows.capacity()) + self.bytes
    }
}

impl Rounds {
    pub(super) fn new(distinct: bool) -> Rounds {
        Rounds { distinct, rows: HashMap::new(), bytes: 0 }
    }

    /// Applies the changes in how often each row is found in a round, and settles the rows in `again`. Rounds must be processed in order.
    pub(super) fn work(&mut self, round: u32, changes: &HashMap<&[u8], Diff>, again: &[Row], told: &mut impl RoundSink) {
        for (row, diff) in changes {
            if !self.rows.contains_key(*row) {
                self.rows.insert(Row::from_bytes(row), RowRounds::default());
                self.bytes += block(row.len());
            }
            let found = self.rows.get_mut(*row).expect("it is there now");
            self.bytes -= found.held_bytes();
            found.add(round, *diff);
            self.bytes += found.held_bytes();
            match self.distinct {
                true => found.settle(round, row, told),
                false => told.tell(round, row, *diff),
            }
            if found.counts.is_empty() && found.told.is_none() {
                self.bytes -= found.held_bytes() + block(row.len());
                self.rows.remove(*row);
            }
        }
        for row in again.iter().filter(|row| !changes.contains_key(&***row)) {
            let Some(found) = self.rows.get_mut(row) else { continue };
            found.settle(round, row, told);
        }
    }

    /// The rows of a round. Scans all rows.
    pub(super) fn rows_of(&self, round: u32) -> impl Iterator<Item = (&Row, Diff)> {
        self.rows.iter().filter_map(move |(row, found)| {
            let count = match self.distinct {
                true => Diff::from(found.told == Some(round)),
                false => found.counts.iter().find(|(of, _)| *of == round)?.1,
            };
            (count != 0).then_some((row, count))
        })
    }
}

impl HeapSize for RowRounds {
    fn held_bytes(&self) -> usize {
        block(self.counts.capacity() * size_of::<(u32, Diff)>())
    }
}

impl RowRounds {
    fn add(&mut self, round: u32, diff: Diff) {
        match self.counts.binary_search_by_key(&round, |(round, _)| *round) {
            Ok(place) => {
                self.counts[place].1 += diff;
                if self.counts[place].1 == 0 {
                    self.counts.remove(place);
                }
            }
            Err(place) => {
                self.counts.reserve_exact(1);
                self.counts.insert(place, (round, diff));
            }
        }
    }

    /// Assigns the row to the first round that finds it. Counts up to `round` are as of the moment; those of later rounds are still as of
    /// before it, and are settled in their turn.
    fn settle(&mut self, round: u32, row: &[u8], out: &mut impl RoundSink) {
        let first = self.counts.first().map(|(round, _)| *round);
        match (self.told, first) {
            (Some(told), Some(first)) if told == first => {}
            (told, Some(first)) if first <= round => {
                out.tell(first, row, 1);
                told.into_iter().for_each(|told| out.tell(told, row, -1));
                self.told = Some(first);
            }
            (Some(told), first) if told <= round => {
                out.tell(told, row, -1);
                self.told = None;
                first.into_iter().for_each(|first| out.look_again(first, row));
            }
            (None, Some(first)) => out.look_again(first, row),
            (Some(_), _) | (None, None) => {}
        }
    }
}
