//! One row for each group of rows.
//!
//! For every moment t: the sum of the output up to t = { aggregates(g) : g a group of the sum of the input up to t }. If a group changes,
//! its old row is deleted and its new row is inserted right after, both with the group's key, at the worker that owns the key.
//!
//! Each worker first aggregates its own rows ([`mod@partial`]). The group's owner merges these parts and keeps for each group what its
//! aggregates need ([`mod@aggregate`]): sums and counts, sorted values, or all values for functions that need them all.

mod aggregate;
mod bits;
mod bools;
mod calls;
mod computed;
mod count;
mod distinct;
mod entry;
mod exact;
mod float;
mod histogram;
mod list;
mod only;
mod pairs;
mod partial;
mod percentile;
mod pick;
mod ranked;
mod sum;
mod values;
mod variance;

use self::aggregate::Accumulators;
use self::calls::accumulators;
use self::partial::{Grouping, partial};
use crate::dataflow::changes::Failure;
use crate::dataflow::errors::tell_of_key;
use crate::dataflow::exchange::{by_key, hash};
use crate::dataflow::held::memory::{HeapSize, Memory, block};
use crate::dataflow::held::slots::Slots;
use crate::dataflow::held::updates::{Update, Updates};
use crate::dataflow::moments::{Operator, collect_early};
use crate::dataflow::streams::{ErrorStream, RowStream};
use crate::dataflow::time::START;
use crate::plan::Group as Plan;
use crate::value::{Diff, Layout, Row, RowBuilder, row_of_key};

/// Groups `rows`. Column c of the plan's input is column `columns(c)` in `layout`. `only_come`: rows are only inserted, never deleted.
pub(crate) fn group<'s>(
    memory: &Memory,
    name: &str,
    rows: RowStream<'s>,
    plan: &Plan,
    layout: &Layout,
    columns: &dyn Fn(usize) -> usize,
    only_come: bool,
) -> (RowStream<'s>, ErrorStream<'s>) {
    let calls = || plan.calls.iter().map(|call| accumulators(call, layout, columns, only_come)).collect();
    let key = plan.key.iter().map(|&column| columns(column)).collect();
    let parts = partial(memory, &format!("{name} parts"), rows, Grouping { layout: layout.clone(), key, calls: calls() });
    whole(memory, name, parts, Groups::new(plan, calls()))
}

fn whole<'s>(memory: &Memory, name: &str, parts: RowStream<'s>, mut groups: Groups) -> (RowStream<'s>, ErrorStream<'s>) {
    let scope = parts.scope();
    let mut operator = Operator::new(name, scope);
    operator.input(parts, by_key(), collect_early(Groups::add));
    let (mut rows_out, grouped) = operator.output::<Updates>();
    let (mut errors_out, errors) = operator.output();
    if groups.single && hash(&[]) % scope.peers() as u64 == scope.index() as u64 {
        // Without a key there is exactly one group, even if it has no rows.
        groups.touch(&[]);
        operator.begin_with(START, Vec::new());
    }
    operator.build(memory, groups, move |groups, now, blocks| {
        let moment = now.moment();
        blocks.iter().for_each(|block| groups.add(block));
        let (mut rows, mut errors) = (rows_out.activate(), errors_out.activate());
        let (mut rows, mut errors) = (now.send(&mut rows), now.send(&mut errors));
        groups.tell(
            |key, row, diff| rows.give(Update { key, row, moment, diff }),
            |problem, diff| errors.give((Failure::of_query(problem), moment, diff)),
        );
    });
    (grouped, errors)
}

struct Groups {
    /// Layout of the key's columns.
    key: Layout,
    /// Each has a state for each group, at the group's place.
    calls: Vec<Box<dyn Accumulators>>,
    output: Layout,
    builder: RowBuilder,
    groups: Slots<GroupState>,
    touched: Vec<usize>,
    /// Heap memory of the groups' last outputs.
    told_bytes: usize,
    /// Whether there is always exactly one group.
    single: bool,
    built: Vec<u8>,
}

#[derive(Default)]
struct GroupState {
    /// The number of rows in the group.
    rows: Diff,
    told: LastOutput,
    touched: bool,
}

/// What was last output for a group.
#[derive(Default)]
enum LastOutput {
    #[default]
    Nothing,
    Row(Row),
    Problem(String),
}

impl HeapSize for LastOutput {
    fn held_bytes(&self) -> usize {
        match self {
            LastOutput::Nothing => 0,
            LastOutput::Row(row) => block(row.len()),
            LastOutput::Problem(reason) => block(reason.capacity()),
        }
    }
}

impl HeapSize for Groups {
    fn held_bytes(&self) -> usize {
        self.groups.held_bytes() + self.told_bytes + self.calls.iter().map(|call| call.held_bytes()).sum::<usize>()
    }
}

impl Groups {
    fn new(plan: &Plan, calls: Vec<Box<dyn Accumulators>>) -> Groups {
        let output = Layout::new(&plan.schema);
        Groups {
            calls,
            key: Layout::new(&plan.of.schema().project(&plan.key)),
            builder: RowBuilder::new(&output),
            output,
            groups: Slots::new(),
            touched: Vec::new(),
            told_bytes: 0,
            single: plan.key.is_empty(),
            built: Vec::new(),
        }
    }

    /// Marks the key's group as touched. Returns its place.
    fn touch(&mut self, key: &[u8]) -> usize {
        let place = self.groups.place(key);
        self.calls.iter_mut().for_each(|call| call.reach(place + 1));
        let group = self.groups.get_mut(place);
        if !std::mem::replace(&mut group.touched, true) {
            self.touched.push(place);
        }
        place
    }

    /// Merges the records that [`partial()`] sent.
    fn add(&mut self, parts: &Updates) {
        for part in parts.iter() {
            let place = self.touch(part.key);
            let (rows, mut record) = part.row.split_first_chunk().expect("a record begins with a number");
            self.groups.get_mut(place).rows += Diff::from_le_bytes(*rows);
            self.calls.iter_mut().for_each(|call| call.merge(place, &mut record));
        }
    }

    /// Outputs the changes of every touched group.
    fn tell(&mut self, mut give: impl FnMut(&[u8], &[u8], Diff), mut complain: impl FnMut(String, Diff)) {
        for place in std::mem::take(&mut self.touched) {
            let (key, group) = self.groups.at(place);
            group.touched = false;
            let there = group.rows > 0 || self.single;
            let problem = match there {
                true => {
                    push_key(key, &group.told, &self.key, &self.output, &mut self.builder);
                    let built = self.calls.iter().try_for_each(|call| call.finish(place, &mut self.builder));
                    self.built.clear();
                    match built {
                        Ok(()) => {
                            self.builder.finish_into(&mut self.built);
                            None
                        }
                        Err(reason) => {
                            self.builder.clear();
                            Some(reason)
                        }
                    }
                }
                false => None,
            };
            let same = match (&group.told, there, &problem) {
                (LastOutput::Nothing, now, _) => !now,
                (LastOutput::Row(before), now, None) => now && **before == *self.built,
                (LastOutput::Problem(before), now, Some(after)) => now && before == after,
                _ => false,
            };
            if !same {
                let now = match (there, problem) {
                    (false, _) => LastOutput::Nothing,
                    (true, None) => LastOutput::Row(Row::from_bytes(&self.built)),
                    (true, Some(reason)) => LastOutput::Problem(reason),
                };
                self.told_bytes += now.held_bytes();
                let before = std::mem::replace(&mut group.told, now);
                self.told_bytes -= before.held_bytes();
                for (told, diff) in [(&before, -1), (&group.told, 1)] {
                    match told {
                        LastOutput::Nothing => {}
                        LastOutput::Row(row) => give(key, row, diff),
                        LastOutput::Problem(reason) => complain(tell_of_key("the group", &self.key, key, reason), diff),
                    }
                }
            }
            if group.rows == 0 && !self.single {
                self.calls.iter_mut().for_each(|call| call.reset(place));
                self.groups.remove(place);
            }
        }
    }
}

/// Pushes the values of a group's key, taken from the group's last row if there is one.
fn push_key(bytes: &[u8], told: &LastOutput, key: &Layout, output: &Layout, builder: &mut RowBuilder) {
    let columns = 0..key.schema().len();
    match told {
        LastOutput::Row(row) => columns.for_each(|column| builder.push(output.get(row, column))),
        _ => {
            let values = row_of_key(key, bytes).expect("it was made of a row");
            columns.for_each(|column| builder.push(key.get(&values, column)));
        }
    }
}
