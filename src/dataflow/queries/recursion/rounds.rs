//! Which rows a recursion has found, and in which rounds.
//!
//! Where rows are distinct, a row is of the first round that it is found in. It stays as long as it is found in any, and moves to a later
//! round when the ways to it get longer. Else it is of every round that it is found in, as often.

use std::collections::HashMap;

use crate::dataflow::held::memory::{Holds, block, table};
use crate::value::{Diff, Row};

pub(super) struct Rounds {
    distinct: bool,
    rows: HashMap<Row, Found>,
    /// Of the rows and of their counts.
    bytes: usize,
}

/// What becomes of the rows.
pub(super) trait Told {
    /// There are more or fewer of a row of the round that is worked off, or of a later one.
    fn tell(&mut self, round: u32, row: &[u8], diff: Diff);

    /// The row may be found in this later round.
    fn look_again(&mut self, round: u32, row: &[u8]);
}

#[derive(Default)]
struct Found {
    /// How often in which round, in the order of the rounds.
    counts: Vec<(u32, Diff)>,
    /// Where rows are distinct: the round whose row it was last told to be.
    told: Option<u32>,
}

impl Holds for Rounds {
    fn held_bytes(&self) -> usize {
        table::<(Row, Found)>(self.rows.capacity()) + self.bytes
    }
}

impl Rounds {
    pub(super) fn new(distinct: bool) -> Rounds {
        Rounds { distinct, rows: HashMap::new(), bytes: 0 }
    }

    /// Takes what changes in how often each row is found in a round, and looks `again` at rows that it asked for. Rounds are worked off in
    /// their order.
    pub(super) fn work(&mut self, round: u32, changes: &HashMap<&[u8], Diff>, again: &[Row], told: &mut impl Told) {
        for (row, diff) in changes {
            if !self.rows.contains_key(*row) {
                self.rows.insert(Row::from_bytes(row), Found::default());
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

    /// The rows of a round. Looks at all.
    pub(super) fn of(&self, round: u32) -> impl Iterator<Item = (&Row, Diff)> {
        self.rows.iter().filter_map(move |(row, found)| {
            let count = match self.distinct {
                true => Diff::from(found.told == Some(round)),
                false => found.counts.iter().find(|(of, _)| *of == round)?.1,
            };
            (count != 0).then_some((row, count))
        })
    }
}

impl Holds for Found {
    fn held_bytes(&self) -> usize {
        block(self.counts.capacity() * size_of::<(u32, Diff)>())
    }
}

impl Found {
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

    /// Rounds up to this one are as of the moment; those behind it are as they were, and will be looked at in their turn.
    fn settle(&mut self, round: u32, row: &[u8], out: &mut impl Told) {
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
