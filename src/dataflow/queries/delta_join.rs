//! Delta joins: a change of any input is looked up in the other inputs, one after the other, and only the inputs are held.
//!
//! For every moment t: the sum of the output up to t = A1(t) x A2(t) x ... x An(t). The output at t is the sum over the inputs i of
//!
//! ```text
//! dAi(t) x (every other input, as of t or as of before t)
//! ```
//!
//! The plan chooses which of the two states each lookup reads ([`DeltaStep::before`]), so that each pair of changes of one moment counts
//! once. In: the inputs' arrangements, by each key that paths look up. Rows in flight are exchanged by the key of their next lookup. A
//! lookup runs once the arrangement is complete up to the rows' moment.

use std::collections::BTreeMap;

use differential_dataflow::operators::arrange::Arranged;
use timely::dataflow::Scope;
use timely::dataflow::operators::Concatenate;

use super::join::columns::push_columns;
use crate::dataflow::exchange::by_key;
use crate::dataflow::held::arranged::{RowTrace, each_key};
use crate::dataflow::held::memory::{Fixed, Memory};
use crate::dataflow::held::updates::{Update, Updates, push_to};
use crate::dataflow::moments::{Operator, Reads, collect};
use crate::dataflow::streams::RowStream;
use crate::dataflow::time::{Moment, START};
use crate::plan::{DeltaInput, DeltaJoin, DeltaStep, HeldSide};
use crate::value::{Diff, Layout, Row, RowBuilder, Schema, key};

/// An arrangement and, if its rows have more columns than the input, where the input's columns are in them.
type HeldInput<'s> = (Arranged<'s, RowTrace>, Option<HeldSide>);

/// `held` are the inputs' arrangements, as in the plan.
pub(crate) fn delta_join<'s>(memory: &Memory, scope: Scope<'s, Moment>, plan: &DeltaJoin, held: &[Vec<HeldInput<'s>>]) -> RowStream<'s> {
    let inputs = plan.inputs.iter().zip(held).enumerate().map(|(i, (input, arranged))| {
        // At the first moment only the last input's path yields rows: every other path reads some input as of before that moment, which is
        // empty.
        let skips_start = i + 1 < plan.inputs.len();
        let set_out = changes(memory, &arranged[0], input, skips_start);
        input.path.iter().fold(set_out, |rows, step| {
            let narrow = plan.inputs[step.input].held[step.held].node.schema();
            look_up(memory, rows, &held[step.input][step.held], narrow, step)
        })
    });
    scope.concatenate(inputs.collect::<Vec<_>>())
}

fn place_in(wide: &Option<HeldSide>, column: usize) -> usize {
    wide.as_ref().map_or(column, |wide| wide.places[column])
}

/// Builds rows from pairs of rows, with the key of the next lookup.
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

    /// The row built from a pair, and its key. `None` if the key contains NULL, which equals nothing.
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

/// The changes of an input, with the key of the first lookup on its path.
fn changes<'s>(memory: &Memory, (held, wide): &HeldInput<'s>, plan: &DeltaInput, skips_start: bool) -> RowStream<'s> {
    let input = Layout::new(wide.as_ref().map_or(plan.held[0].node.schema(), |wide| wide.node.schema()));
    let shown: Vec<usize> = plan.shown.iter().map(|&column| place_in(wide, column)).collect();
    let maker = Maker::new([input.clone(), input], &shown, Layout::new(&plan.path[0].from), &plan.key);
    let mut operator: Operator<'_, Moment, Fixed<Maker>, Vec<Updates>> = Operator::new("Delta", held.stream.scope());
    operator.batches(held.stream.clone(), move |Fixed(maker), batch, slots| {
        each_key(batch, |changes| {
            let mut later: BTreeMap<(Moment, Row, Row), Diff> = BTreeMap::new();
            for &Update { row, moment, diff, .. } in changes.iter().filter(|change| change.moment != START || !skips_start) {
                match maker.make(row, None) {
                    Some((key, row)) if moment == START => push_to(slots.at(&moment), Update { key, row, moment, diff }),
                    // Changes that differ only in columns that are not read cancel out.
                    Some((key, row)) => *later.entry((moment, Row::from_bytes(key), Row::from_bytes(row))).or_default() += diff,
                    None => {}
                }
            }
            for ((moment, key, row), diff) in later.into_iter().filter(|(_, diff)| *diff != 0) {
                push_to(slots.at(&moment), Update { key: &key, row: &row, moment, diff });
            }
        });
    });
    let (mut rows_out, rows) = operator.output::<Updates>();
    operator.build(memory, Fixed(maker), move |_, now, blocks| {
        let mut rows = rows_out.activate();
        let mut rows = now.send(&mut rows);
        blocks.into_iter().for_each(|mut block| rows.give_container(&mut block));
    });
    rows
}

/// Pairs each row with the rows of the arrangement that have its key.
fn look_up<'s>(memory: &Memory, rows: RowStream<'s>, (held, wide): &HeldInput<'s>, narrow: &Schema, step: &DeltaStep) -> RowStream<'s> {
    let layout = Layout::new(wide.as_ref().map_or(narrow, |wide| wide.node.schema()));
    let shown = |&column: &usize| column.checked_sub(step.from.len()).map_or(column, |found| step.from.len() + place_in(wide, found));
    let shown: Vec<usize> = step.shown.iter().map(shown).collect();
    let maker = Maker::new([Layout::new(&step.from), layout], &shown, Layout::new(&step.to), &step.key);
    let before = step.before;
    let mut operator = Operator::new("Look up", rows.scope());
    operator.requests(rows, by_key(), collect);
    operator.arrangement(held, if before { Reads::BeforeAndAt } else { Reads::At });
    let (mut rows_out, paired) = operator.output::<Updates>();
    operator.build(memory, Fixed(maker), move |Fixed(maker), now, blocks| {
        let moment = now.moment();
        let mut held = now.read(0);
        let mut rows = rows_out.activate();
        let mut rows = now.send(&mut rows);
        let mut updates: Vec<Update> = blocks.iter().flat_map(Updates::iter).collect();
        updates.sort_unstable_by_key(|update| update.key);
        for of_key in updates.chunk_by(|a, b| a.key == b.key) {
            held.each_row(of_key[0].key, |right, at_before, at| {
                let count = if before { at_before } else { at };
                for update in of_key.iter().filter(|_| count != 0) {
                    if let Some((key, row)) = maker.make(update.row, Some(right)) {
                        rows.give(Update { key, row, moment, diff: update.diff * count });
                    }
                }
                true
            });
        }
    });
    paired
}
