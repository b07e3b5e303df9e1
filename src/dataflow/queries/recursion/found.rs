//! The beginning of each round: the rows that it finds.
//!
//! In: the base's rows, as round 0, and those that the step made of the round before. Out: the rows of each round ([`Rounds`]) as far as the
//! recursion may go ([`Limit`]); those of later rounds are errors. Workers send each other how many rows they found, in time for the next
//! round.

use std::collections::HashMap;

use timely::dataflow::Stream;
use timely::dataflow::channels::pact::Exchange;
use timely::order::Product;

use super::Rows;
use super::limit::{Limit, Passing};
use super::rounds::{Rounds, Told};
use crate::dataflow::changes::Failure;
use crate::dataflow::errors::{Errors, ROW};
use crate::dataflow::exchange::by_row;
use crate::dataflow::held::memory::{Holds, Memory};
use crate::dataflow::held::updates::{Update, Updates};
use crate::dataflow::moments::{Now, Operator, Turn};
use crate::plan::Recursion;
use crate::value::{Diff, Row};

/// How many more rows of a round a worker has found, for each worker.
type Counts<'s> = Stream<'s, Turn, Vec<(u64, u32, Diff)>>;

pub(super) struct Found<'s> {
    pub(super) rows: Rows<'s, Turn>,
    /// What comes back as `counts`, a round later.
    pub(super) counts: Counts<'s>,
    pub(super) errors: Errors<'s, Turn>,
}

pub(super) fn found<'s>(memory: &Memory, name: &str, rows: Rows<'s, Turn>, counts: Counts<'s>, plan: &Recursion) -> Found<'s> {
    let peers = rows.scope().peers() as u64;
    let mut operator: Operator<'_, Turn, _, Waiting> = Operator::new(name, rows.scope());
    operator.input(rows, by_row(), |_, _, waiting, block| waiting.blocks.push(std::mem::take(block)));
    let by_worker = Exchange::new(|(worker, _, _): &(u64, u32, Diff)| *worker);
    operator.input(counts, by_worker, |_, _, waiting, counts| waiting.counts.append(counts));
    let (mut rows_out, rows) = operator.output::<Updates>();
    let (mut counts_out, counts) = operator.output::<Vec<(u64, u32, Diff)>>();
    let (mut errors_out, errors) = operator.output();
    let state = State { rounds: Rounds::new(plan.distinct), limit: Limit::new(plan) };
    operator.build(memory, state, move |State { rounds, limit }, now, waiting| {
        let Product { outer: moment, inner: round } = now.time;
        let Waiting { blocks, counts, again, told } = waiting;
        counts.iter().for_each(|(_, round, more)| limit.count(*round, *more));
        let mut ahead = Ahead { told, now };
        rounds.work(round, &consolidated(&blocks), &again, &mut ahead);
        let mut told = ahead.told;
        let more = told.iter().map(|update| update.diff).sum();
        let mut out = rows_out.activate();
        let mut out = now.send(&mut out);
        let mut give = |row: &[u8], diff: Diff| out.give(Update { key: &[], row, moment, diff });
        let beyond = match limit.pass(round, more) {
            Passing::Open => {
                out.give_container(&mut told);
                0
            }
            Passing::Closed { more } => more,
            Passing::Closes { beyond } => {
                rounds.of(round).for_each(|(row, count)| give(row, -count));
                told.iter().for_each(|update| give(update.row, update.diff));
                beyond
            }
            Passing::Opens { beyond } => {
                rounds.of(round).for_each(|(row, count)| give(row, count));
                -beyond
            }
        };
        if beyond != 0 {
            let reason = format!("{ROW}: {}", limit.reason(round));
            now.send(&mut errors_out.activate()).give((Failure::of_query(reason), moment, beyond));
        }
        match peers {
            _ if more == 0 => {}
            1 => limit.count(round, more),
            _ => {
                let mut counts = counts_out.activate();
                let mut counts = now.send(&mut counts);
                (0..peers).for_each(|worker| counts.give((worker, round, more)));
            }
        }
        drop(out);
        if let Some(next) = limit.next_to_turn(round) {
            now.later(&Product::new(moment, next));
        }
    });
    Found { rows, counts, errors }
}

struct State {
    rounds: Rounds,
    limit: Limit,
}

impl Holds for State {
    fn held_bytes(&self) -> usize {
        self.rounds.held_bytes()
    }
}

/// What has come for a turn.
#[derive(Default)]
struct Waiting {
    blocks: Vec<Updates>,
    counts: Vec<(u64, u32, Diff)>,
    /// Rows that are no longer where they were, and may be found in this round.
    again: Vec<Row>,
    /// Rows of the round that came or went by what was found before.
    told: Updates,
}

impl Holds for Waiting {
    fn held_bytes(&self) -> usize {
        self.blocks.held_bytes() + self.again.held_bytes() + self.told.held_bytes()
    }
}

/// A turn that is worked off, and those behind it.
struct Ahead<'a, 'n> {
    /// What becomes of the round's rows.
    told: Updates,
    now: &'a mut Now<'n, Turn, Waiting>,
}

impl Ahead<'_, '_> {
    fn of(&mut self, round: u32) -> &mut Waiting {
        let turn = Product::new(self.now.time.outer, round);
        self.now.later(&turn)
    }
}

impl Told for Ahead<'_, '_> {
    fn tell(&mut self, round: u32, row: &[u8], diff: Diff) {
        let update = Update { key: &[], row, moment: self.now.time.outer, diff };
        match round == self.now.time.inner {
            true => self.told.push(update),
            false => self.of(round).told.push(update),
        }
    }

    fn look_again(&mut self, round: u32, row: &[u8]) {
        self.of(round).again.push(Row::from_bytes(row));
    }
}

fn consolidated(blocks: &[Updates]) -> HashMap<&[u8], Diff> {
    let mut changes: HashMap<&[u8], Diff> = HashMap::new();
    for update in blocks.iter().flat_map(Updates::iter) {
        *changes.entry(update.row).or_default() += update.diff;
    }
    changes.retain(|_, diff| *diff != 0);
    changes
}
