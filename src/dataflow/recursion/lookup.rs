//! A join in the step of a recursion, of the recursion's rows with what does not depend on them.
//!
//! The other side is read from its arrangement, which is outside of the loop and may be shared. The recursion's rows are held by the key, with
//! their rounds. Rows of a turn meet the other side as of the moment; a change of the other side, which is of round 0, meets the rows of
//! all rounds as of the moment before, and changes the result in each of these rounds.

use std::collections::BTreeMap;

use differential_dataflow::trace::{Cursor, Navigable, TraceReader};
use timely::container::CapacityContainerBuilder;
use timely::dataflow::Stream;
use timely::dataflow::channels::pact::{ExchangeCore, Pipeline};
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::order::Product;

use super::super::bytes::RowBatch;
use super::super::failed::Key;
use super::super::join::{Entry, Pairs, entries, release};
use super::super::sources::RowTrace;
use super::super::updates::{Update, Updates};
use super::super::{START, hash};
use super::held::Held;
use super::{Moment, Problems, Rows, Turn, is_complete};
use crate::plan::Join;
use crate::value::{Diff, Layout, Row};

/// `own`: which side of the join the recursion's rows are, 0 or 1; they come with their key.
pub(super) fn lookup<'s>(
    name: &str,
    rows: Rows<'s, Turn>,
    own: usize,
    outside: Stream<'s, Turn, Vec<RowBatch>>,
    trace: RowTrace,
    plan: &Join,
) -> (Rows<'s, Turn>, Problems<'s, Turn>) {
    let mut builder = OperatorBuilder::new(name.to_string(), rows.scope());
    let by_key = ExchangeCore::<CapacityContainerBuilder<Updates>, _>::new(|u: &Update<'_>| hash(u.key));
    let mut rows_in = builder.new_input(rows, by_key);
    let mut outside_in = builder.new_input(outside, Pipeline);
    let (rows_out, joined) = builder.new_output::<Updates>();
    let mut rows_out = OutputBuilder::<_, CapacityContainerBuilder<_>>::from(rows_out);
    let (problems_out, problems) = builder.new_output::<Vec<(String, Moment, Diff)>>();
    let mut problems_out = OutputBuilder::<_, CapacityContainerBuilder<_>>::from(problems_out);
    let mut trace = Some(trace);
    let mut waiting: BTreeMap<(Moment, u32), Waiting> = BTreeMap::new();
    let names = [&plan.left, &plan.right].map(|side| Key::new(Layout::new(side.node.schema()), Vec::new()));
    let mut lookup = Lookup { own, pairs: Pairs::new(plan, names), held: Held::default() };
    builder.build(move |_| {
        move |frontiers| {
            rows_in.for_each(|capability, updates: &mut Updates| {
                let turn = (capability.time().outer, capability.time().inner);
                let slot = waiting.entry(turn).or_insert_with(|| Waiting::new([capability.retain(0), capability.retain(1)]));
                slot.blocks.push(std::mem::take(updates));
            });
            outside_in.for_each(|capability, batches: &mut Vec<RowBatch>| {
                let capabilities = [capability.retain(0), capability.retain(1)];
                batches.drain(..).for_each(|batch| unpack(&batch, &capabilities, &mut waiting));
            });
            let mut rows_handle = rows_out.activate();
            let mut problems_handle = problems_out.activate();
            while let Some((&(moment, round), _)) = waiting.first_key_value() {
                if !is_complete((moment, round), frontiers) {
                    break;
                }
                let (Some((_, work)), Some(trace)) = (waiting.pop_first(), trace.as_mut()) else { break };
                let mut made = Made { moment, rows: BTreeMap::new(), problems: BTreeMap::new() };
                lookup.change_outside(moment, &work.touched, trace, &mut made);
                lookup.add(moment, round, &work.blocks, trace, &mut made);
                for (round, mut updates) in made.rows {
                    let capability = work.capabilities[0].delayed(&Product::new(moment, round));
                    rows_handle.session(&capability).give_container(&mut updates);
                }
                for (round, mut problems) in made.problems {
                    let capability = work.capabilities[1].delayed(&Product::new(moment, round));
                    problems_handle.session(&capability).give_container(&mut problems);
                }
            }
            let to_come = frontiers.iter().flat_map(|f| f.frontier().iter().map(|turn| turn.outer).min()).min();
            release(&mut trace, to_come.into_iter().chain(waiting.keys().next().map(|(moment, _)| *moment)).min());
        }
    });
    (joined, problems)
}

/// What has come for a turn.
struct Waiting {
    capabilities: [Capability<Turn>; 2],
    /// The recursion's rows.
    blocks: Vec<Updates>,
    /// Keys of the other side's rows.
    touched: Vec<Row>,
}

impl Waiting {
    fn new(capabilities: [Capability<Turn>; 2]) -> Waiting {
        Waiting { capabilities, blocks: Vec::new(), touched: Vec::new() }
    }
}

/// The keys that a batch changes, as of when. At the very first moment there are no rows yet that this could change anything for.
fn unpack(batch: &RowBatch, capabilities: &[Capability<Turn>; 2], waiting: &mut BTreeMap<(Moment, u32), Waiting>) {
    let mut cursor = batch.cursor();
    while let Some(key) = cursor.get_key(batch) {
        while let Some(_row) = cursor.get_val(batch) {
            cursor.map_times(batch, |&moment, _| {
                if moment == START {
                    return;
                }
                let turn = Product::new(moment, 0);
                let slot = waiting
                    .entry((moment, 0))
                    .or_insert_with(|| Waiting::new([0, 1].map(|output: usize| capabilities[output].delayed(&turn))));
                if slot.touched.last().is_none_or(|last| **last != *key) {
                    slot.touched.push(Row::from_bytes(key));
                }
            });
            cursor.step_val(batch);
        }
        cursor.step_key(batch);
    }
}

/// What a turn makes, by the round that it is of.
struct Made {
    moment: Moment,
    rows: BTreeMap<u32, Updates>,
    problems: BTreeMap<u32, Vec<(String, Moment, Diff)>>,
}

impl Made {
    fn row(&mut self, round: u32, row: &[u8], diff: Diff) {
        if diff != 0 {
            self.rows.entry(round).or_default().push(Update { key: &[], row, moment: self.moment, diff });
        }
    }
}

struct Lookup {
    own: usize,
    pairs: Pairs,
    held: Held,
}

impl Lookup {
    /// What the changes of the other side change for rows that are there.
    fn change_outside(&mut self, moment: Moment, touched: &[Row], trace: &mut RowTrace, made: &mut Made) {
        if self.held.is_empty() || touched.is_empty() {
            return;
        }
        let mut touched: Vec<&Row> = touched.iter().collect();
        touched.sort_unstable();
        touched.dedup();
        let mut outside = trace.cursor();
        for key in touched {
            let mut own = self.held.of(key);
            if own.is_empty() {
                continue;
            }
            let others = entries(&mut outside, key, moment);
            own.sort_unstable_by_key(|(_, round, _)| *round);
            for of_round in own.chunk_by(|a, b| a.1 == b.1) {
                let entry = |(row, _, count): &(&Row, u32, Diff)| Entry { row: (*row).clone(), before: *count, after: *count };
                let entries = of_round.iter().map(entry).collect();
                join(&mut self.pairs, self.own, key, entries, &others, of_round[0].1, made);
            }
        }
    }

    /// New rows of a round, or fewer of them.
    fn add(&mut self, moment: Moment, round: u32, blocks: &[Updates], trace: &mut RowTrace, made: &mut Made) {
        let mut updates: Vec<Update> = blocks.iter().flat_map(Updates::iter).collect();
        updates.sort_unstable_by(|a, b| (a.key, a.row).cmp(&(b.key, b.row)));
        let mut outside = trace.cursor();
        for of_key in updates.chunk_by(|a, b| a.key == b.key) {
            let key = of_key[0].key;
            if self.pairs.matches_nothing(self.own, of_key[0].row) {
                let mut changed = [Vec::new(), Vec::new()];
                changed[self.own] = of_key.to_vec();
                self.pairs.without_partner(&changed, &mut |row, diff| made.row(round, row, diff));
                continue;
            }
            let mut others = entries(&mut outside, key, moment);
            others.iter_mut().for_each(|other| other.before = other.after);
            let mut own = Vec::new();
            for of_row in of_key.chunk_by(|a, b| a.row == b.row) {
                let diff = of_row.iter().map(|update| update.diff).sum();
                if diff != 0 {
                    self.held.add(key, of_row[0].row, round, diff);
                    own.push(Entry { row: Row::from_bytes(of_row[0].row), before: 0, after: diff });
                }
            }
            join(&mut self.pairs, self.own, key, own, &others, round, made);
        }
    }
}

/// What rows of one round and of one key give with the other side's rows.
fn join(pairs: &mut Pairs, own_side: usize, key: &[u8], own: Vec<Entry>, others: &[Entry], round: u32, made: &mut Made) {
    let (moment, mut problems) = (made.moment, Vec::new());
    let mut give = |row: &[u8], diff: Diff| made.row(round, row, diff);
    let mut complain = |reason: String, diff: Diff| problems.push((reason, moment, diff));
    let (left, right) = if own_side == 0 { (&own[..], others) } else { (others, &own[..]) };
    pairs.of_key(key, moment, left, right, &mut give, &mut complain);
    if !problems.is_empty() {
        made.problems.entry(round).or_default().append(&mut problems);
    }
}
