//! Delta joins: a change of any input goes through the others, one lookup after the other, and nothing but the inputs is held.
//!
//! In: the inputs' arrangements, each by the keys that paths ask for. Out: the changes of the joined rows, at their moments. Which inputs are
//! seen as of a moment and which as of before is the plan's matter ([`DeltaStep::before`]). Rows on their way are exchanged by the key of
//! their next lookup, and looked up once the arrangement is whole up to their moment.

use std::collections::BTreeMap;

use differential_dataflow::operators::arrange::Arranged;
use differential_dataflow::trace::{Cursor, Navigable, TraceReader};
use timely::container::{CapacityContainerBuilder, SizableContainer};
use timely::dataflow::channels::pact::{ExchangeCore, Pipeline};
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::dataflow::operators::{Capability, Concatenate};
use timely::dataflow::{Scope, Stream};

use super::bytes::RowBatch;
use super::join::{push_columns, release};
use super::sources::RowTrace;
use super::updates::{Update, Updates};
use super::{Moment, START, hash};
use crate::plan::{DeltaInput, DeltaJoin, DeltaStep, Held};
use crate::value::{Diff, Layout, Row, RowBuilder, Schema, key};

type Rows<'s> = Stream<'s, Moment, Updates>;

/// An arrangement, and where the columns of the input are in its rows if it has more.
type HeldInput<'s> = (Arranged<'s, RowTrace>, Option<Held>);

/// `held` are the inputs' arrangements, as in the plan.
pub(super) fn delta_join<'s>(scope: Scope<'s, Moment>, plan: &DeltaJoin, held: &[Vec<HeldInput<'s>>]) -> Rows<'s> {
    let inputs = plan.inputs.iter().zip(held).enumerate().map(|(i, (input, arranged))| {
        // At the first moment everything comes of the last input: the others find nothing as of before.
        let skips_start = i + 1 < plan.inputs.len();
        let set_out = changes(&arranged[0], input, skips_start);
        input.path.iter().fold(set_out, |rows, step| {
            let narrow = plan.inputs[step.input].held[step.held].node.schema();
            look_up(rows, &held[step.input][step.held], narrow, step)
        })
    });
    scope.concatenate(inputs.collect::<Vec<_>>())
}

fn place_in(wide: &Option<Held>, column: usize) -> usize {
    wide.as_ref().map_or(column, |wide| wide.places[column])
}

/// Rows made of others, with the key by which they go on.
struct Maker {
    layouts: [Layout; 2],
    shown: Vec<usize>,
    key: Vec<usize>,
    builder: RowBuilder,
    row: Vec<u8>,
    key_bytes: Vec<u8>,
}

impl Maker {
    fn new(layouts: [Layout; 2], shown: &[usize], to: Layout, key: &[usize]) -> Maker {
        let (shown, key, builder) = (shown.to_vec(), key.to_vec(), RowBuilder::new(&to));
        Maker { layouts, shown, key, builder, row: Vec::new(), key_bytes: Vec::new() }
    }

    /// The row of a pair and its key; `None` where a NULL is in the key, which equals nothing.
    fn make(&mut self, left: &[u8], right: Option<&[u8]>) -> Option<(&[u8], &[u8])> {
        push_columns(&mut self.builder, &self.layouts, &self.shown, Some(left), right);
        self.row.clear();
        self.builder.finish_into(&mut self.row);
        let layout = self.builder.layout();
        if self.key.iter().any(|&column| layout.is_null(&self.row, column)) {
            return None;
        }
        self.key_bytes.clear();
        key::of_into(layout, &self.row, &self.key, &mut self.key_bytes);
        Some((&self.key_bytes, &self.row))
    }
}

/// The changes of an input, set out on its path.
fn changes<'s>((held, wide): &HeldInput<'s>, plan: &DeltaInput, skips_start: bool) -> Rows<'s> {
    let mut builder = OperatorBuilder::new("Delta".to_string(), held.stream.scope());
    let mut batches_in = builder.new_input(held.stream.clone(), Pipeline);
    let (rows_out, rows) = builder.new_output::<Updates>();
    let mut rows_out = OutputBuilder::<_, CapacityContainerBuilder<_>>::from(rows_out);
    let input = Layout::new(wide.as_ref().map_or(plan.held[0].node.schema(), |wide| wide.node.schema()));
    let shown: Vec<usize> = plan.shown.iter().map(|&column| place_in(wide, column)).collect();
    let mut maker = Maker::new([input.clone(), input], &shown, Layout::new(&plan.path[0].from), &plan.key);
    builder.build(move |_| {
        move |_| {
            let mut handle = rows_out.activate();
            batches_in.for_each(|capability, batches: &mut Vec<RowBatch>| {
                let mut blocks: BTreeMap<Moment, Updates> = BTreeMap::new();
                let mut give = |key: &[u8], row: &[u8], moment: Moment, diff: Diff| {
                    let block = blocks.entry(moment).or_default();
                    block.push(Update { key, row, moment, diff });
                    if block.at_capacity() {
                        handle.session(&capability.delayed(&moment, 0)).give_container(block);
                        *block = Updates::default();
                    }
                };
                for batch in batches.drain(..) {
                    each_key(&batch, |changes| {
                        let mut later: BTreeMap<(Moment, Row, Row), Diff> = BTreeMap::new();
                        for &(row, moment, diff) in changes.iter().filter(|(_, moment, _)| *moment != START || !skips_start) {
                            match maker.make(row, None) {
                                Some((key, row)) if moment == START => give(key, row, moment, diff),
                                // A change of what is not read is none.
                                Some((key, row)) => *later.entry((moment, Row::from_bytes(key), Row::from_bytes(row))).or_default() += diff,
                                None => {}
                            }
                        }
                        later.iter().filter(|(_, diff)| **diff != 0).for_each(|((moment, key, row), &diff)| give(key, row, *moment, diff));
                    });
                }
                for (moment, mut block) in blocks.into_iter().filter(|(_, block)| !block.is_empty()) {
                    handle.session(&capability.delayed(&moment, 0)).give_container(&mut block);
                }
            });
        }
    });
    rows
}

/// Gives the changes of each key: rows, with when and how often.
fn each_key(batch: &RowBatch, mut give: impl FnMut(&[(&[u8], Moment, Diff)])) {
    let mut cursor = batch.cursor();
    while cursor.key_valid(batch) {
        let mut changes = Vec::new();
        while let Some(row) = cursor.get_val(batch) {
            cursor.map_times(batch, |&moment, &diff| changes.push((row, moment, diff)));
            cursor.step_val(batch);
        }
        give(&changes);
        cursor.step_key(batch);
    }
}

/// Rows that come with the key of what they are to meet, paired with that.
fn look_up<'s>(rows: Rows<'s>, (held, wide): &HeldInput<'s>, narrow: &Schema, step: &DeltaStep) -> Rows<'s> {
    let mut builder = OperatorBuilder::new("Look up".to_string(), rows.scope());
    let by_key = ExchangeCore::<CapacityContainerBuilder<Updates>, _>::new(|u: &Update<'_>| hash(u.key));
    let mut rows_in = builder.new_input(rows, by_key);
    let mut held_in = builder.new_input(held.stream.clone(), Pipeline);
    let (rows_out, paired) = builder.new_output::<Updates>();
    let mut rows_out = OutputBuilder::<_, CapacityContainerBuilder<_>>::from(rows_out);
    let layout = Layout::new(wide.as_ref().map_or(narrow, |wide| wide.node.schema()));
    let shown = |&column: &usize| column.checked_sub(step.from.len()).map_or(column, |found| step.from.len() + place_in(wide, found));
    let shown: Vec<usize> = step.shown.iter().map(shown).collect();
    let mut maker = Maker::new([Layout::new(&step.from), layout], &shown, Layout::new(&step.to), &step.key);
    let before = step.before;
    let mut trace = Some(held.trace.clone());
    let mut waiting: BTreeMap<Moment, (Capability<Moment>, Vec<Updates>)> = BTreeMap::new();
    builder.build(move |_| {
        move |frontiers| {
            rows_in.for_each(|capability, updates: &mut Updates| {
                let slot = waiting.entry(*capability.time()).or_insert_with(|| (capability.retain(0), Vec::new()));
                slot.1.push(std::mem::take(updates));
            });
            held_in.for_each(|_, batches| batches.clear());
            let mut handle = rows_out.activate();
            while let Some((&moment, _)) = waiting.first_key_value() {
                if frontiers[1].less_equal(&moment) {
                    break;
                }
                let (Some((_, (capability, blocks))), Some(trace)) = (waiting.pop_first(), &mut trace) else { break };
                let mut out = handle.session(&capability);
                let seen = |at: Moment| if before { at < moment } else { at <= moment };
                pair(&blocks, trace, seen, |left, right, diff| {
                    if let Some((key, row)) = maker.make(left, Some(right)) {
                        out.give(Update { key, row, moment, diff });
                    }
                });
            }
            let to_come = frontiers.iter().filter_map(|f| f.frontier().iter().copied().min()).min();
            release(&mut trace, to_come.into_iter().chain(waiting.keys().next().copied()).min());
        }
    });
    paired
}

/// Gives each update with each row that is held under its key.
fn pair(blocks: &[Updates], trace: &mut RowTrace, seen: impl Fn(Moment) -> bool, mut give: impl FnMut(&[u8], &[u8], Diff)) {
    let mut updates: Vec<Update> = blocks.iter().flat_map(Updates::iter).collect();
    updates.sort_unstable_by_key(|update| update.key);
    let (mut cursor, storage) = trace.cursor();
    for of_key in updates.chunk_by(|a, b| a.key == b.key) {
        let key = of_key[0].key;
        cursor.seek_key(&storage, key);
        if cursor.get_key(&storage) != Some(key) {
            continue;
        }
        while let Some(row) = cursor.get_val(&storage) {
            let mut count = 0;
            cursor.map_times(&storage, |at, diff| count += if seen(*at) { *diff } else { 0 });
            if count != 0 {
                of_key.iter().for_each(|update| give(update.row, row, update.diff * count));
            }
            cursor.step_val(&storage);
        }
    }
}
