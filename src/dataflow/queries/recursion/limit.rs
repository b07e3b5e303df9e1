//! How far a recursion may go: so many rounds, and no further than the round with which it has found more than so many rows.
//!
//! Rows of rounds behind that are found, but not passed on. Every worker decides alike: it counts what all of them have found.

use std::collections::{BTreeMap, BTreeSet};

use crate::plan::Recursion;
use crate::value::Diff;

pub(super) struct Limit {
    rounds: u32,
    rows: Diff,
    /// How many rows there are of each round, at all workers, and in all.
    everywhere: BTreeMap<u32, Diff>,
    total: Diff,
    /// How many there are at this worker.
    here: BTreeMap<u32, Diff>,
    /// Rounds whose rows at this worker are not passed on.
    closed: BTreeSet<u32>,
}

/// What becomes of a round's rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Passing {
    /// Changes are passed on.
    Open,
    /// All rows that were passed on are taken back: `beyond` are there now.
    Closes { beyond: Diff },
    /// There are so many more of them.
    Closed { more: Diff },
    /// All rows are passed on: `beyond` were there.
    Opens { beyond: Diff },
}

impl Limit {
    pub(super) fn new(plan: &Recursion) -> Limit {
        Limit {
            rounds: plan.limit.rounds,
            rows: plan.limit.rows,
            everywhere: BTreeMap::new(),
            total: 0,
            here: BTreeMap::new(),
            closed: BTreeSet::new(),
        }
    }

    /// Counts rows of a round that a worker has found.
    pub(super) fn count(&mut self, round: u32, more: Diff) {
        self.total += more;
        add(&mut self.everywhere, round, more);
    }

    /// Takes it that there are so many more rows of the round at this worker. What was found in the rounds before it must have been counted.
    pub(super) fn pass(&mut self, round: u32, more: Diff) -> Passing {
        let before = self.here.get(&round).copied().unwrap_or(0);
        add(&mut self.here, round, more);
        let (was_closed, is_closed) = (self.closed.contains(&round), self.is_beyond(round));
        match is_closed && before + more != 0 {
            true => self.closed.insert(round),
            false => self.closed.remove(&round),
        };
        match (was_closed, is_closed) {
            (false, false) => Passing::Open,
            // None were passed on.
            (false, true) if before == 0 => Passing::Closed { more },
            (false, true) => Passing::Closes { beyond: before + more },
            (true, true) => Passing::Closed { more },
            (true, false) => Passing::Opens { beyond: before },
        }
    }

    /// The first round behind this one with rows that are passed on and must not be, or the other way round.
    pub(super) fn next_to_turn(&self, round: u32) -> Option<u32> {
        if self.total <= self.rows && self.closed.is_empty() {
            return None;
        }
        let first = self.first_beyond();
        self.here.range(round + 1..).map(|(round, _)| *round).find(|round| (*round >= first) != self.closed.contains(round))
    }

    /// Why rows of the round are not passed on.
    pub(super) fn reason(&self, round: u32) -> String {
        match round > self.rounds {
            true => format!("the recursion did not end within {} rounds (max_recursion)", self.rounds),
            false => format!("the recursion went on where it had found more than {} rows (max_recursion_rows)", self.rows),
        }
    }

    fn is_beyond(&self, round: u32) -> bool {
        round > self.rounds || self.total > self.rows && round >= self.first_beyond()
    }

    fn first_beyond(&self) -> u32 {
        let mut found = 0;
        let full = self.everywhere.iter().find(|(_, rows)| {
            found += **rows;
            found > self.rows
        });
        full.map_or(self.rounds + 1, |(round, _)| (round + 1).min(self.rounds + 1))
    }
}

fn add(counts: &mut BTreeMap<u32, Diff>, round: u32, more: Diff) {
    let count = counts.entry(round).or_default();
    *count += more;
    if *count == 0 {
        counts.remove(&round);
    }
}
