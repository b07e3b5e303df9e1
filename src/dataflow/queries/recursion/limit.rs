//! The limit of a recursion: a number of rounds and a number of rows. The last round is the one in which the total number of rows first
//! exceeds the limit.
//!
//! Rows of later rounds are found but not passed on. All workers decide alike, because each counts the rows found by all of them.

use std::collections::{BTreeMap, BTreeSet};

use crate::plan::Recursion;
use crate::value::Diff;

pub(super) struct RoundLimit {
    rounds: u32,
    rows: Diff,
    /// The number of rows of each round at all workers; `total` is their sum.
    everywhere: BTreeMap<u32, Diff>,
    total: Diff,
    /// The number of rows of each round at this worker.
    here: BTreeMap<u32, Diff>,
    /// Rounds whose rows at this worker are not passed on.
    closed: BTreeSet<u32>,
}

/// What to do with a round's rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Passing {
    /// Pass changes on.
    Open,
    /// The round is now beyond the limit: retract all rows that were passed on. `beyond` rows are held back now.
    Closes { beyond: Diff },
    /// The round is still beyond the limit. `more` is the change in the number of rows that are held back.
    Closed { more: Diff },
    /// The round is now within the limit: pass all its rows on. `beyond` rows were held back.
    Opens { beyond: Diff },
}

impl RoundLimit {
    pub(super) fn new(plan: &Recursion) -> RoundLimit {
        RoundLimit {
            rounds: plan.limit.rounds,
            rows: plan.limit.rows,
            everywhere: BTreeMap::new(),
            total: 0,
            here: BTreeMap::new(),
            closed: BTreeSet::new(),
        }
    }

    /// Counts rows of a round that some worker has found.
    pub(super) fn count(&mut self, round: u32, more: Diff) {
        self.total += more;
        add(&mut self.everywhere, round, more);
    }

    /// Records `more` rows of the round at this worker, and returns what to do with them. All rows of earlier rounds must have been
    /// counted.
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
            // No rows were passed on.
            (false, true) if before == 0 => Passing::Closed { more },
            (false, true) => Passing::Closes { beyond: before + more },
            (true, true) => Passing::Closed { more },
            (true, false) => Passing::Opens { beyond: before },
        }
    }

    /// The first later round whose rows are passed on but must not be, or the other way round.
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
            false => format!("the recursion continued after it had found more than {} rows (max_recursion_rows)", self.rows),
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
