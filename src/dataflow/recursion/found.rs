//! The beginning of each round: the rows that it finds.
//!
//! In: the base's rows, as round 0, and those that the step made of the round before. Out: the rows of each round ([`Rounds`]) as far as the
//! recursion may go ([`Limit`]), and those behind that as problems. Workers tell each other how many rows they found, in time for the
//! round that follows.

use std::collections::{BTreeMap, HashMap};

use timely::container::CapacityContainerBuilder;
use timely::dataflow::Stream;
use timely::dataflow::channels::pact::{Exchange, ExchangeCore};
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::order::Product;

use super::super::failed::ROW;
use super::super::hash;
use super::super::updates::{Update, Updates};
use super::limit::{Limit, Passing};
use super::rounds::{Rounds, Told};
use super::{Moment, Problems, Rows, Turn, is_complete};
use crate::plan::Recursion;
use crate::value::{Diff, Row};

/// How many more rows of a round a worker has found, for each worker.
type Counts<'s> = Stream<'s, Turn, Vec<(u64, u32, Diff)>>;

pub(super) struct Found<'s> {
    pub(super) rows: Rows<'s, Turn>,
    /// What comes back as `counts`, a round later.
    pub(super) counts: Counts<'s>,
    pub(super) problems: Problems<'s, Turn>,
}

pub(super) fn found<'s>(name: &str, rows: Rows<'s, Turn>, counts: Counts<'s>, plan: &Recursion) -> Found<'s> {
    let peers = rows.scope().peers() as u64;
    let mut builder = OperatorBuilder::new(name.to_string(), rows.scope());
    let by_row = ExchangeCore::<CapacityContainerBuilder<Updates>, _>::new(|u: &Update<'_>| hash(u.row));
    let mut rows_in = builder.new_input(rows, by_row);
    let mut counts_in = builder.new_input(counts, Exchange::new(|(worker, _, _): &(u64, u32, Diff)| *worker));
    let (rows_out, rows) = builder.new_output::<Updates>();
    let mut rows_out = OutputBuilder::<_, CapacityContainerBuilder<_>>::from(rows_out);
    let (counts_out, counts) = builder.new_output::<Vec<(u64, u32, Diff)>>();
    let mut counts_out = OutputBuilder::<_, CapacityContainerBuilder<_>>::from(counts_out);
    let (problems_out, problems) = builder.new_output::<Vec<(String, Moment, Diff)>>();
    let mut problems_out = OutputBuilder::<_, CapacityContainerBuilder<_>>::from(problems_out);
    let mut waiting: BTreeMap<(Moment, u32), Waiting> = BTreeMap::new();
    let (mut rounds, mut limit) = (Rounds::new(plan.distinct), Limit::new(plan));
    builder.build(move |_| {
        move |frontiers| {
            rows_in.for_each(|capability, updates: &mut Updates| {
                let turn = (capability.time().outer, capability.time().inner);
                let slot = waiting.entry(turn).or_insert_with(|| Waiting::new([0, 1, 2].map(|output: usize| capability.retain(output))));
                slot.blocks.push(std::mem::take(updates));
            });
            counts_in.for_each(|capability, counts: &mut Vec<_>| {
                let turn = (capability.time().outer, capability.time().inner);
                let slot = waiting.entry(turn).or_insert_with(|| Waiting::new([0, 1, 2].map(|output: usize| capability.retain(output))));
                slot.counts.append(counts);
            });
            let (mut rows_handle, mut counts_handle) = (rows_out.activate(), counts_out.activate());
            let mut problems_handle = problems_out.activate();
            while let Some((&(moment, round), _)) = waiting.first_key_value() {
                if !is_complete((moment, round), frontiers) {
                    break;
                }
                let Some((_, Waiting { capabilities, blocks, counts, again, told })) = waiting.pop_first() else { break };
                counts.iter().for_each(|(_, round, more)| limit.count(*round, *more));
                let mut ahead = Ahead { turn: (moment, round), told, capabilities: &capabilities, waiting: &mut waiting };
                rounds.work(round, &consolidated(&blocks), &again, &mut ahead);
                let mut told = std::mem::take(&mut ahead.told);
                let more = told.iter().map(|update| update.diff).sum();
                let mut out = rows_handle.session(&capabilities[0]);
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
                    problems_handle.session(&capabilities[2]).give((format!("{ROW}: {}", limit.reason(round)), moment, beyond));
                }
                match peers {
                    _ if more == 0 => {}
                    1 => limit.count(round, more),
                    _ => (0..peers).for_each(|worker| counts_handle.session(&capabilities[1]).give((worker, round, more))),
                }
                if let Some(next) = limit.next_to_turn(round) {
                    ahead.of(next);
                }
            }
        }
    });
    Found { rows, counts, problems }
}

/// What has come for a turn.
struct Waiting {
    capabilities: [Capability<Turn>; 3],
    blocks: Vec<Updates>,
    counts: Vec<(u64, u32, Diff)>,
    /// Rows that are no longer where they were, and may be found in this round.
    again: Vec<Row>,
    /// Rows of the round that came or went by what was found before.
    told: Updates,
}

impl Waiting {
    fn new(capabilities: [Capability<Turn>; 3]) -> Waiting {
        Waiting { capabilities, blocks: Vec::new(), counts: Vec::new(), again: Vec::new(), told: Updates::default() }
    }
}

/// A turn that is worked off, and those behind it.
struct Ahead<'a> {
    turn: (Moment, u32),
    /// What becomes of the round's rows.
    told: Updates,
    capabilities: &'a [Capability<Turn>; 3],
    waiting: &'a mut BTreeMap<(Moment, u32), Waiting>,
}

impl Ahead<'_> {
    fn of(&mut self, round: u32) -> &mut Waiting {
        let turn = Product::new(self.turn.0, round);
        let new = || Waiting::new([0, 1, 2].map(|output: usize| self.capabilities[output].delayed(&turn)));
        self.waiting.entry((turn.outer, turn.inner)).or_insert_with(new)
    }
}

impl Told for Ahead<'_> {
    fn tell(&mut self, round: u32, row: &[u8], diff: Diff) {
        let update = Update { key: &[], row, moment: self.turn.0, diff };
        match round == self.turn.1 {
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
