//! Joins: pairs of rows with equal keys, and what the kinds of join make of rows without a partner.
//!
//! In: two arrangements by the joined key. Out: the changes of the result, at the moment of the change that made them. Moments are worked
//! off one after the other: a side's rows are looked up in its arrangement as of before the moment, and as of it. Of the other side
//! no more is read than what decides about the rows that changed; both sides of a key are read whole only where partners that come
//! or go can change what other rows are (`pairs`). NOT IN, where a NULL says something about every row, is `not_in`.

mod condition;
mod not_in;
mod pairs;

use std::collections::BTreeMap;

use differential_dataflow::operators::arrange::Arranged;
use differential_dataflow::trace::cursor::CursorList;
use differential_dataflow::trace::{Cursor, Navigable, TraceReader};
use timely::container::CapacityContainerBuilder;
use timely::dataflow::Stream;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::progress::Antichain;

use self::not_in::not_in;
pub(super) use self::pairs::{Pairs, push_columns};
use super::Moment;
use super::bytes::RowBatch;
use super::failed::Key;
use super::sources::RowTrace;
use super::updates::{Update, Updates};
use crate::plan::{Join, JoinKind};
use crate::value::{Diff, Row};

/// The result's changes, and pairs on which the condition failed.
pub(super) type Joined<'s> = (Stream<'s, Moment, Updates>, Stream<'s, Moment, Vec<(String, Moment, Diff)>>);

/// `keys`: what makes rows of the sides unique.
pub(super) fn join<'s>(
    name: &str,
    left: &Arranged<'s, RowTrace>,
    right: &Arranged<'s, RowTrace>,
    plan: &Join,
    keys: [Key; 2],
) -> Joined<'s> {
    if plan.kind == JoinKind::NotIn {
        return not_in(name, left, right, plan);
    }
    let mut builder = OperatorBuilder::new(name.to_string(), left.stream.scope());
    let mut left_in = builder.new_input(left.stream.clone(), Pipeline);
    let mut right_in = builder.new_input(right.stream.clone(), Pipeline);
    let (rows_out, rows) = builder.new_output::<Updates>();
    let mut rows_out = OutputBuilder::<_, CapacityContainerBuilder<_>>::from(rows_out);
    let (problems_out, problems) = builder.new_output::<Vec<(String, Moment, Diff)>>();
    let mut problems_out = OutputBuilder::<_, CapacityContainerBuilder<_>>::from(problems_out);
    let mut traces = [Some(left.trace.clone()), Some(right.trace.clone())];
    let mut waiting: BTreeMap<Moment, Waiting> = BTreeMap::new();
    let mut pairs = Pairs::new(plan, keys);
    builder.build(move |_| {
        move |frontiers| {
            for (side, input) in [&mut left_in, &mut right_in].into_iter().enumerate() {
                input.for_each(|capability, batches: &mut Vec<RowBatch>| {
                    let capabilities = [capability.retain(0), capability.retain(1)];
                    batches.drain(..).for_each(|batch| unpack(&batch, side, &capabilities, &mut waiting));
                });
            }
            let mut rows_handle = rows_out.activate();
            let mut problems_handle = problems_out.activate();
            while let Some((&moment, _)) = waiting.first_key_value() {
                if frontiers.iter().any(|frontier| frontier.less_equal(&moment)) {
                    break;
                }
                let Some((_, Waiting { capabilities, changes })) = waiting.pop_first() else { break };
                let [Some(left), Some(right)] = &mut traces else { return };
                let mut rows = rows_handle.session(&capabilities[0]);
                let mut problems = problems_handle.session(&capabilities[1]);
                let mut give = |row: &[u8], diff: Diff| rows.give(Update { key: &[], row, moment, diff });
                let mut complain = |problem, diff| problems.give((problem, moment, diff));
                pairs.work(&changes, &mut Sides::new(moment, left, right), &mut give, &mut complain);
            }
            let to_come = frontiers.iter().filter_map(|f| f.frontier().iter().copied().min()).min();
            let least = to_come.into_iter().chain(waiting.keys().next().copied()).min();
            traces.iter_mut().for_each(|trace| release(trace, least));
        }
    });
    (rows, problems)
}

/// Keeps apart what was before the earliest moment that can still be worked on.
pub(super) fn release(trace: &mut Option<RowTrace>, least: Option<Moment>) {
    let Some(reader) = trace.as_mut() else { return };
    match least {
        Some(least) => {
            reader.set_logical_compaction(Antichain::from_elem(least.saturating_sub(1)).borrow());
            reader.set_physical_compaction(Antichain::new().borrow());
        }
        None => *trace = None,
    }
}

/// Changes of one moment; of each side in the order of the keys.
struct Waiting {
    capabilities: [Capability<Moment>; 2],
    changes: [Updates; 2],
}

impl Waiting {
    fn new(capabilities: [Capability<Moment>; 2]) -> Waiting {
        Waiting { capabilities, changes: Default::default() }
    }
}

fn unpack(batch: &RowBatch, side: usize, capabilities: &[Capability<Moment>; 2], waiting: &mut BTreeMap<Moment, Waiting>) {
    let mut cursor = batch.cursor();
    while let Some(key) = cursor.get_key(batch) {
        while let Some(row) = cursor.get_val(batch) {
            cursor.map_times(batch, |&moment, &diff| {
                let delayed = || Waiting::new([0, 1].map(|output| capabilities[output].delayed(&moment)));
                let slot = waiting.entry(moment).or_insert_with(delayed);
                slot.changes[side].push(Update { key, row, moment, diff });
            });
            cursor.step_val(batch);
        }
        cursor.step_key(batch);
    }
}

/// A row of a key with how often it was there before the moment, and is as of it.
pub(super) struct Entry {
    pub(super) row: Row,
    pub(super) before: Diff,
    pub(super) after: Diff,
}

/// Gives each key that has changes, with those of both sides.
fn each_key(changes: &[Updates; 2], mut give: impl FnMut(&[u8], &[Vec<Update>; 2])) {
    let (mut left, mut right) = (changes[0].iter().peekable(), changes[1].iter().peekable());
    loop {
        let key = match (left.peek(), right.peek()) {
            (None, None) => break,
            (Some(one), None) | (None, Some(one)) => one.key,
            (Some(left), Some(right)) => left.key.min(right.key),
        };
        let of_key = [&mut left, &mut right].map(|side| std::iter::from_fn(|| side.next_if(|u| u.key == key)).collect());
        give(key, &of_key);
    }
}

pub(super) type RowCursor = CursorList<<RowBatch as Navigable>::Cursor>;
pub(super) type RowStorage = Vec<RowBatch>;

/// Both sides as of a moment and as of before. Keys are asked for in their order.
struct Sides {
    moment: Moment,
    left: (RowCursor, RowStorage),
    right: (RowCursor, RowStorage),
}

impl Sides {
    fn new(moment: Moment, left: &mut RowTrace, right: &mut RowTrace) -> Sides {
        Sides { moment, left: left.cursor(), right: right.cursor() }
    }

    fn left(&mut self, key: &[u8]) -> Vec<Entry> {
        entries(&mut self.left, key, self.moment)
    }

    fn right(&mut self, key: &[u8]) -> Vec<Entry> {
        entries(&mut self.right, key, self.moment)
    }

    /// Whether there is a right row as of before, and as of the moment.
    fn right_presence(&mut self, key: &[u8]) -> [bool; 2] {
        let mut present = [false; 2];
        each_row(&mut self.right, key, self.moment, |_, before, after| {
            present = [present[0] || before > 0, present[1] || after > 0];
            present != [true; 2]
        });
        present
    }
}

pub(super) fn entries(side: &mut (RowCursor, RowStorage), key: &[u8], moment: Moment) -> Vec<Entry> {
    let mut entries = Vec::new();
    each_row(side, key, moment, |row, before, after| {
        if before != 0 || after != 0 {
            entries.push(Entry { row: Row::from_bytes(row), before, after });
        }
        true
    });
    entries
}

/// Gives the rows of a key with how often each was there before the moment and is as of it, until the answer is false.
fn each_row((cursor, storage): &mut (RowCursor, RowStorage), key: &[u8], moment: Moment, mut give: impl FnMut(&[u8], Diff, Diff) -> bool) {
    cursor.seek_key(storage, key);
    if cursor.get_key(storage) != Some(key) {
        return;
    }
    while let Some(row) = cursor.get_val(storage) {
        let (mut before, mut after) = (0, 0);
        cursor.map_times(storage, |at, diff| {
            before += if *at < moment { *diff } else { 0 };
            after += if *at <= moment { *diff } else { 0 };
        });
        if !give(row, before, after) {
            return;
        }
        cursor.step_val(storage);
    }
}
