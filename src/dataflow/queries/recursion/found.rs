//! The beginning of each round: determines the rows that belong to it.
//!
//! In: the rows of the base, as round 0, and the rows that the step computed from the previous round. Out: the rows of each round
//! ([`Rounds`]) within the recursion's limit ([`RoundLimit`]); rows of later rounds become errors. Workers send each other the number of
//! rows they found, in time for the next round.

use std::collections::HashMap;

use timely::dataflow::Stream;
use timely::dataflow::channels::pact::Exchange;
use timely::order::Product;

use super::limit::{Passing, RoundLimit};
use super::rounds::{RoundSink, Rounds};
use crate::dataflow::changes::Failure;
use crate::dataflow::errors::ROW;
use crate::dataflow::exchange::by_row;
use crate::dataflow::held::memory::{HeapSize, Memory};
use crate::dataflow::held::updates::{Update, Updates};
use crate::dataflow::moments::{AtTime, Operator, Turn};
use crate::dataflow::streams::{ErrorStream, RowStream};
use crate::plan::Recursion;
use crate::value::{Diff, Row};

/// For each worker, the change in the number of rows of a round that another worker has found.
type RoundCounts<'s> = Stream<'s, Turn, Vec<(u64, u32, Diff)>>;

/// The outputs of [`found()`].
pub(super) struct FoundRows<'s> {
    pub(super) rows: RowStream<'s, Turn>,
    /// Is fed back as `counts`, one round later.
    pub(super) counts: RoundCounts<'s>,
    pub(super) errors: ErrorStream<'s, Turn>,
}

pub(super) fn found<'s>(
    memory: &Memory,
    name: &str,
    rows: RowStream<'s, Turn>,
    counts: RoundCounts<'s>,
    plan: &Recursion,
) -> FoundRows<'s> {
    let peers = rows.scope().peers() as u64;
    let mut operator: Operator<'_, Turn, _, FoundInput> = Operator::new(name, rows.scope());
    operator.input(rows, by_row(), |_, _, waiting, block| waiting.blocks.push(std::mem::take(block)));
    let by_worker = Exchange::new(|(worker, _, _): &(u64, u32, Diff)| *worker);
    operator.input(counts, by_worker, |_, _, waiting, counts| waiting.counts.append(counts));
    let (mut rows_out, rows) = operator.output::<Updates>();
    let (mut counts_out, counts) = operator.output::<Vec<(u64, u32, Diff)>>();
    let (mut errors_out, errors) = operator.output();
    let state = State { rounds: Rounds::new(plan.distinct), limit: RoundLimit::new(plan) };
    operator.build(memory, state, move |State { rounds, limit }, now, waiting| {
        let Product { outer: moment, inner: round } = now.time;
        let FoundInput { blocks, counts, again, told } = waiting;
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
                rounds.rows_of(round).for_each(|(row, count)| give(row, -count));
                told.iter().for_each(|update| give(update.row, update.diff));
                beyond
            }
            Passing::Opens { beyond } => {
                rounds.rows_of(round).for_each(|(row, count)| give(row, count));
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
    FoundRows { rows, counts, errors }
}

struct State {
    rounds: Rounds,
    limit: RoundLimit,
}

impl HeapSize for State {
    fn held_bytes(&self) -> usize {
        self.rounds.held_bytes()
    }
}

/// The input of a turn.
#[derive(Default)]
struct FoundInput {
    blocks: Vec<Updates>,
    counts: Vec<(u64, u32, Diff)>,
    /// Rows that lost their round and may belong to this one.
    again: Vec<Row>,
    /// Changes of the round's rows that were determined in earlier turns.
    told: Updates,
}

impl HeapSize for FoundInput {
    fn held_bytes(&self) -> usize {
        self.blocks.held_bytes() + self.again.held_bytes() + self.told.held_bytes()
    }
}

/// The current turn, with access to later ones.
struct Ahead<'a, 'n> {
    /// Changes of the current round's rows.
    told: Updates,
    now: &'a mut AtTime<'n, Turn, FoundInput>,
}

impl Ahead<'_, '_> {
    fn at_round(&mut self, round: u32) -> &mut FoundInput {
        let turn = Product::new(self.now.time.outer, round);
        self.now.later(&turn)
    }
}

impl RoundSink for Ahead<'_, '_> {
    fn tell(&mut self, round: u32, row: &[u8], diff: Diff) {
        let update = Update { key: &[], row, moment: self.now.time.outer, diff };
        match round == self.now.time.inner {
            true => self.told.push(update),
            false => self.at_round(round).told.push(update),
        }
    }

    fn look_again(&mut self, round: u32, row: &[u8]) {
        self.at_round(round).again.push(Row::from_bytes(row));
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
