//! The two parts of a path: the changes of an input set out, and each lookup pairs them with the rows of another input.

use std::collections::BTreeMap;

use super::HeldInput;
use crate::dataflow::held::arranged::{AsOf, each_key};
use crate::dataflow::held::bytes::RowBatch;
use crate::dataflow::held::updates::{Update, Updates};
use crate::dataflow::moments::Reads;
use crate::dataflow::queries::join::columns::push_columns;
use crate::dataflow::time::{Moment, START};
use crate::plan::{DeltaJoin, DeltaStep, HeldSide};
use crate::value::{Diff, Layout, Row, RowBuilder, key};

/// The states of an arrangement that lookups read. `before`: whether one of them reads it as of before the moment.
pub(super) fn reads(before: bool) -> Reads {
    if before { Reads::BeforeAndAt } else { Reads::At }
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
    fn new(layouts: [Layout; 2], shown: Vec<usize>, to: Layout, key: &[usize]) -> Maker {
        Maker { layouts, shown, key: key.to_vec(), builder: RowBuilder::new(&to), row: Vec::new(), key_bytes: Vec::new() }
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

/// Makes the changes of an input into rows with the key of the first lookup on the input's path.
pub(super) struct SetOut {
    maker: Maker,
    /// At the first moment only the last input's path yields rows: every other path reads some input as of before that moment, which is
    /// empty.
    skips_start: bool,
}

impl SetOut {
    /// For the input with this number, whose changes are those of `held`.
    pub(super) fn new(plan: &DeltaJoin, input: usize, (_, wide): &HeldInput<'_>) -> SetOut {
        let skips_start = input + 1 < plan.inputs.len();
        let input = &plan.inputs[input];
        let layout = Layout::new(wide.as_ref().map_or(input.held[0].node.schema(), |wide| wide.node.schema()));
        let shown = input.shown.iter().map(|&column| place_in(wide, column)).collect();
        let maker = Maker::new([layout.clone(), layout], shown, Layout::new(&input.path[0].from), &input.key);
        SetOut { maker, skips_start }
    }

    /// Passes on the changes of a batch, those of one moment not necessarily together.
    pub(super) fn changes(&mut self, batch: &RowBatch, mut give: impl FnMut(Update)) {
        let SetOut { maker, skips_start } = self;
        each_key(batch, |changes| {
            let mut later: BTreeMap<(Moment, Row, Row), Diff> = BTreeMap::new();
            for &Update { row, moment, diff, .. } in changes.iter().filter(|change| change.moment != START || !*skips_start) {
                match maker.make(row, None) {
                    Some((key, row)) if moment == START => give(Update { key, row, moment, diff }),
                    // Changes that differ only in columns that are not read cancel out.
                    Some((key, row)) => *later.entry((moment, Row::from_bytes(key), Row::from_bytes(row))).or_default() += diff,
                    None => {}
                }
            }
            for ((moment, key, row), diff) in later.into_iter().filter(|(_, diff)| *diff != 0) {
                give(Update { key: &key, row: &row, moment, diff });
            }
        });
    }
}

/// Pairs rows with the rows of an arrangement that have their key.
pub(super) struct KeyLookup {
    maker: Maker,
    before: bool,
}

impl KeyLookup {
    /// `held`: the arrangement in which the step looks up.
    pub(super) fn new(plan: &DeltaJoin, step: &DeltaStep, (_, wide): &HeldInput<'_>) -> KeyLookup {
        let narrow = plan.inputs[step.input].held[step.held].node.schema();
        let layout = Layout::new(wide.as_ref().map_or(narrow, |wide| wide.node.schema()));
        let place = |&column: &usize| column.checked_sub(step.from.len()).map_or(column, |found| step.from.len() + place_in(wide, found));
        let shown = step.shown.iter().map(place).collect();
        KeyLookup { maker: Maker::new([Layout::new(&step.from), layout], shown, Layout::new(&step.to), &step.key), before: step.before }
    }

    /// Passes on the pairs of the rows, with the key of the next lookup.
    pub(super) fn pair(&mut self, held: &mut AsOf, moment: Moment, rows: &[Updates], mut give: impl FnMut(Update)) {
        let KeyLookup { maker, before } = self;
        let mut rows: Vec<Update> = rows.iter().flat_map(Updates::iter).collect();
        rows.sort_unstable_by_key(|row| row.key);
        for of_key in rows.chunk_by(|a, b| a.key == b.key) {
            held.each_row(of_key[0].key, |right, at_before, at| {
                let count = if *before { at_before } else { at };
                for update in of_key.iter().filter(|_| count != 0) {
                    if let Some((key, row)) = maker.make(update.row, Some(right)) {
                        give(Update { key, row, moment, diff: update.diff * count });
                    }
                }
                true
            });
        }
    }
}
