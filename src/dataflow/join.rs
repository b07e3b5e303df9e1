//! Joins: pairs of rows with equal keys, and what the kinds of join make of rows without a partner.
//!
//! In: two arrangements by the joined key. Out: the changes of the result, at the moment of the change that made them. Moments are worked
//! off one after the other: a side's rows are looked up in its arrangement as of before the moment, and as of it. An inner join reads
//! of the other side what goes into the result and nothing more; the others read both sides of a key whose partners come or go.

use std::collections::BTreeMap;

use datafusion::arrow::array::{Array, AsArray};
use differential_dataflow::operators::arrange::Arranged;
use differential_dataflow::trace::{Cursor, Navigable, TraceReader};
use timely::container::CapacityContainerBuilder;
use timely::dataflow::Stream;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::progress::Antichain;

use super::Moment;
use super::bytes::RowBatch;
use super::render::RowTrace;
use super::updates::{Update, Updates};
use crate::plan::{Expression, Join, JoinKind};
use crate::value::{Datum, Diff, Layout, Row, RowBuilder, arrow};

/// The result's changes, and pairs on which the condition failed.
pub(super) type Joined<'s> = (Stream<'s, Moment, Updates>, Stream<'s, Moment, Vec<(String, Moment, Diff)>>);

pub(super) fn join<'s>(name: &str, left: &Arranged<'s, RowTrace>, right: &Arranged<'s, RowTrace>, plan: &Join) -> Joined<'s> {
    let mut builder = OperatorBuilder::new(name.to_string(), left.stream.scope());
    let mut left_in = builder.new_input(left.stream.clone(), Pipeline);
    let mut right_in = builder.new_input(right.stream.clone(), Pipeline);
    let (rows_out, rows) = builder.new_output::<Updates>();
    let mut rows_out = OutputBuilder::<_, CapacityContainerBuilder<_>>::from(rows_out);
    let (problems_out, problems) = builder.new_output::<Vec<(String, Moment, Diff)>>();
    let mut problems_out = OutputBuilder::<_, CapacityContainerBuilder<_>>::from(problems_out);
    let mut traces = [Some(left.trace.clone()), Some(right.trace.clone())];
    let mut waiting: BTreeMap<Moment, Waiting> = BTreeMap::new();
    let mut pairs = Pairs::new(plan);
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
                let mut give = |row: &[u8], diff: Diff| {
                    if diff != 0 {
                        rows.give(Update { key: &[], row, moment, diff });
                    }
                };
                pairs.work(moment, &changes, [left, right], &mut give, &mut |problem, diff| problems.give((problem, moment, diff)));
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

fn unpack(batch: &RowBatch, side: usize, capabilities: &[Capability<Moment>; 2], waiting: &mut BTreeMap<Moment, Waiting>) {
    let mut cursor = batch.cursor();
    while let Some(key) = cursor.get_key(batch) {
        while let Some(row) = cursor.get_val(batch) {
            cursor.map_times(batch, |&moment, &diff| {
                let slot = waiting.entry(moment).or_insert_with(|| Waiting {
                    capabilities: [0, 1].map(|output| capabilities[output].delayed(&moment)),
                    changes: Default::default(),
                });
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

pub(super) struct Pairs {
    kind: JoinKind,
    null_equals_null: bool,
    condition: Option<Condition>,
    layouts: [Layout; 2],
    keys: [Vec<usize>; 2],
    builder: RowBuilder,
    built: Vec<u8>,
}

/// What must be true of a pair.
struct Condition {
    expression: Expression,
    builder: RowBuilder,
    layout: Layout,
}

type Give<'a> = &'a mut dyn FnMut(&[u8], Diff);
type Complain<'a> = &'a mut dyn FnMut(String, Diff);

impl Pairs {
    pub(super) fn new(plan: &Join) -> Pairs {
        let condition = plan.condition.as_ref().map(|expression| {
            let layout = Layout::new(expression.input());
            Condition { expression: expression.clone(), builder: RowBuilder::new(&layout), layout }
        });
        Pairs {
            kind: plan.kind,
            null_equals_null: plan.null_equals_null,
            condition,
            layouts: [&plan.left, &plan.right].map(|side| Layout::new(side.node.schema())),
            keys: [&plan.left, &plan.right].map(|side| side.key.clone()),
            builder: RowBuilder::new(&Layout::new(&plan.schema)),
            built: Vec::new(),
        }
    }

    fn work(&mut self, moment: Moment, changes: &[Updates; 2], traces: [&mut RowTrace; 2], give: Give, complain: Complain) {
        let [(mut left_cursor, left_storage), (mut right_cursor, right_storage)] = traces.map(|trace| trace.cursor());
        let (mut left_iter, mut right_iter) = (changes[0].iter().peekable(), changes[1].iter().peekable());
        loop {
            let key = match (left_iter.peek(), right_iter.peek()) {
                (None, None) => break,
                (Some(one), None) | (None, Some(one)) => one.key,
                (Some(left), Some(right)) => left.key.min(right.key),
            };
            let mut changed = [&mut left_iter, &mut right_iter].map(|iter| {
                let mut of_key: Vec<Update> = Vec::new();
                while let Some(update) = iter.next_if(|u| u.key == key) {
                    of_key.push(update);
                }
                of_key
            });
            let side = usize::from(changed[0].is_empty());
            if self.matches_nothing(side, changed[side][0].row) {
                self.without_partner(&changed, give);
                continue;
            }
            let mut read_left = |moment| entries(&mut left_cursor, &left_storage, key, moment);
            let mut read_right = |moment| entries(&mut right_cursor, &right_storage, key, moment);
            if self.kind == JoinKind::Inner {
                let [left_changed, right_changed] = &mut changed;
                let right = if left_changed.is_empty() { Vec::new() } else { read_right(moment) };
                let left = if right_changed.is_empty() { Vec::new() } else { read_left(moment) };
                self.inner(&changed, &left, &right, give, complain);
            } else {
                let (left, right) = (read_left(moment), read_right(moment));
                self.outer(&left, &right, give, complain);
            }
        }
    }

    /// What the rows of a key give.
    pub(super) fn of_key(&mut self, key: &[u8], moment: Moment, left: &[Entry], right: &[Entry], give: Give, complain: Complain) {
        if self.kind != JoinKind::Inner {
            return self.outer(left, right, give, complain);
        }
        let changed = [left, right].map(|entries| {
            let updates = entries.iter().map(|entry| Update { key, row: &entry.row, moment, diff: entry.after - entry.before });
            updates.filter(|update| update.diff != 0).collect::<Vec<_>>()
        });
        self.inner(&changed, left, right, give, complain);
    }

    /// Whether a row of a side has a NULL in its key, which equals nothing.
    pub(super) fn matches_nothing(&self, side: usize, row: &[u8]) -> bool {
        !self.null_equals_null && self.keys[side].iter().any(|&c| self.layouts[side].is_null(row, c))
    }

    /// Rows whose key has a NULL.
    pub(super) fn without_partner(&mut self, changed: &[Vec<Update>; 2], give: Give) {
        for update in &changed[0] {
            self.alone(update.row, false, update.diff, give);
        }
        if self.kind == JoinKind::Full {
            changed[1].iter().for_each(|update| self.pair(None, Some(update.row), update.diff, give));
        }
    }

    /// Changed left rows with all right ones as of the moment, and changed right ones with all left ones as of before.
    fn inner(&mut self, changed: &[Vec<Update>; 2], left: &[Entry], right: &[Entry], give: Give, complain: Complain) {
        let of_left = changed[0].iter().flat_map(|l| right.iter().map(|r| (l.row, &*r.row, l.diff * r.after)));
        let of_right = changed[1].iter().flat_map(|r| left.iter().map(|l| (&*l.row, r.row, r.diff * l.before)));
        let pairs: Vec<(&[u8], &[u8], Diff)> = of_left.chain(of_right).filter(|(_, _, diff)| *diff != 0).collect();
        let holds = self.holds(pairs.iter().map(|(l, r, _)| (*l, *r)));
        for (i, (left, right, diff)) in pairs.into_iter().enumerate() {
            match holds.of(i) {
                Ok(true) => self.pair(Some(left), Some(right), diff, give),
                Ok(false) => {}
                Err(reason) => complain(reason, diff),
            }
        }
    }

    /// Everything that a key gives, as of the moment and as of before.
    fn outer(&mut self, left: &[Entry], right: &[Entry], give: Give, complain: Complain) {
        let holds = match self.condition {
            Some(_) => self.holds(left.iter().flat_map(|l| right.iter().map(move |r| (&*l.row, &*r.row)))),
            None => Holds::All,
        };
        let place = |l: usize, r: usize| l * right.len() + r;
        let mut right_partners = vec![[false; 2]; right.len()];
        for (l, left) in left.iter().enumerate() {
            let mut partners = [false; 2];
            for (r, right) in right.iter().enumerate() {
                let diff = left.after * right.after - left.before * right.before;
                match holds.of(place(l, r)) {
                    Ok(true) => {
                        partners = [partners[0] || right.before > 0, partners[1] || right.after > 0];
                        let [before, after] = &mut right_partners[r];
                        *before |= left.before > 0;
                        *after |= left.after > 0;
                        if matches!(self.kind, JoinKind::Left | JoinKind::Full) && diff != 0 {
                            self.pair(Some(&left.row), Some(&right.row), diff, give);
                        }
                    }
                    Ok(false) => {}
                    Err(reason) if diff != 0 => complain(reason, diff),
                    Err(_) => {}
                }
            }
            match partners[0] == partners[1] {
                true => self.alone(&left.row, partners[0], left.after - left.before, give),
                false => {
                    self.alone(&left.row, partners[0], -left.before, give);
                    self.alone(&left.row, partners[1], left.after, give);
                }
            }
        }
        if self.kind == JoinKind::Full {
            for (right, [before, after]) in right.iter().zip(right_partners) {
                let count = |partner: bool, count: Diff| if partner { 0 } else { count };
                self.pair(None, Some(&right.row), count(after, right.after) - count(before, right.before), give);
            }
        }
    }

    /// What a left row is by itself, given whether it has a partner.
    fn alone(&mut self, row: &[u8], partner: bool, diff: Diff, give: Give) {
        match self.kind {
            JoinKind::Inner => {}
            JoinKind::Left | JoinKind::Full if !partner => self.pair(Some(row), None, diff, give),
            JoinKind::Left | JoinKind::Full => {}
            JoinKind::Semi if partner => give(row, diff),
            JoinKind::Anti if !partner => give(row, diff),
            JoinKind::Semi | JoinKind::Anti => {}
            JoinKind::Mark => {
                push_all(&mut self.builder, &self.layouts[0], Some(row));
                self.builder.push(Datum::Bool(partner));
                self.built.clear();
                self.builder.finish_into(&mut self.built);
                give(&self.built, diff);
            }
        }
    }

    fn pair(&mut self, left: Option<&[u8]>, right: Option<&[u8]>, diff: Diff, give: Give) {
        if diff == 0 {
            return;
        }
        push_all(&mut self.builder, &self.layouts[0], left);
        push_all(&mut self.builder, &self.layouts[1], right);
        self.built.clear();
        self.builder.finish_into(&mut self.built);
        give(&self.built, diff);
    }

    /// Of which of these pairs the condition is true.
    fn holds<'a>(&mut self, pairs: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> Holds {
        let Some(condition) = &mut self.condition else { return Holds::All };
        let rows: Vec<Row> = pairs
            .map(|(left, right)| {
                push_all(&mut condition.builder, &self.layouts[0], Some(left));
                push_all(&mut condition.builder, &self.layouts[1], Some(right));
                condition.builder.finish()
            })
            .collect();
        Holds::Each(condition.evaluate(&rows))
    }
}

/// The answer of a condition, for each pair.
enum Holds {
    All,
    Each(Vec<Result<bool, String>>),
}

impl Holds {
    fn of(&self, pair: usize) -> Result<bool, String> {
        match self {
            Holds::All => Ok(true),
            Holds::Each(answers) => answers[pair].clone(),
        }
    }
}

impl Condition {
    fn evaluate(&self, rows: &[Row]) -> Vec<Result<bool, String>> {
        if rows.is_empty() {
            return Vec::new();
        }
        let answers = |rows: &[Row]| {
            let batch = arrow::to_batch(&self.layout, rows.iter().map(|row| &**row));
            let array = self.expression.evaluate(&batch)?;
            let answers = array.as_boolean();
            Ok::<_, crate::plan::EvaluationError>((0..rows.len()).map(|i| answers.is_valid(i) && answers.value(i)).collect::<Vec<_>>())
        };
        match answers(rows) {
            Ok(all) => all.into_iter().map(Ok).collect(),
            // One pair fails the batch: one by one, to find it.
            Err(_) => rows.iter().map(|row| answers(std::slice::from_ref(row)).map(|a| a[0]).map_err(|e| e.reason)).collect(),
        }
    }
}

fn push_all(builder: &mut RowBuilder, layout: &Layout, row: Option<&[u8]>) {
    for column in 0..layout.schema().len() {
        builder.push(row.map_or(Datum::Null, |row| layout.get(row, column)));
    }
}

pub(super) fn entries<C>(cursor: &mut C, storage: &C::Storage, key: &[u8], moment: Moment) -> Vec<Entry>
where
    for<'a> C: Cursor<Key<'a> = &'a [u8], Val<'a> = &'a [u8], TimeGat<'a> = &'a Moment, DiffGat<'a> = &'a Diff>,
{
    let mut entries = Vec::new();
    cursor.seek_key(storage, key);
    if cursor.get_key(storage) != Some(key) {
        return entries;
    }
    while let Some(row) = cursor.get_val(storage) {
        let (mut before, mut after) = (0, 0);
        cursor.map_times(storage, |at, diff| {
            before += if *at < moment { *diff } else { 0 };
            after += if *at <= moment { *diff } else { 0 };
        });
        if before != 0 || after != 0 {
            entries.push(Entry { row: Row::from_bytes(row), before, after });
        }
        cursor.step_val(storage);
    }
    entries
}
