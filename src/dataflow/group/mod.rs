//! One row for each group of rows.
//!
//! In: rows. Out: for each moment that changed a group, its old row taken back and its new one, one behind the other, with the group's
//! key beside them and at the key's worker. A worker first sums up its own rows
//! ([`mod@partial`]); what they come to goes to the group's worker, which keeps of each group what its aggregates need
//! ([`mod@aggregate`]): sums and counts, values in order, and the values themselves for functions that can only be computed from all of them.

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

use std::collections::BTreeMap;

use timely::container::CapacityContainerBuilder;
use timely::dataflow::Stream;
use timely::dataflow::channels::pact::ExchangeCore;
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;

use self::aggregate::Accumulators;
use self::calls::accumulators;
use self::partial::{Grouping, partial};
use super::failed::tell_of_key;
use super::slots::Slots;
use super::updates::{Update, Updates};
use super::{Moment, START, hash};
use crate::plan::Group as Plan;
use crate::value::{Diff, Layout, Row, RowBuilder, row_of_key};

type Grouped<'s> = (Stream<'s, Moment, Updates>, Stream<'s, Moment, Vec<(String, Moment, Diff)>>);

/// Groups `rows`, which have the columns of the plan's node at the places of `columns` in `layout`. `only_come`: none of them is ever
/// taken back.
pub(super) fn group<'s>(
    name: &str,
    rows: Stream<'s, Moment, Updates>,
    plan: &Plan,
    layout: &Layout,
    columns: &dyn Fn(usize) -> usize,
    only_come: bool,
) -> Grouped<'s> {
    let calls = || plan.calls.iter().map(|call| accumulators(call, layout, columns, only_come)).collect();
    let key = plan.key.iter().map(|&column| columns(column)).collect();
    let parts = partial(&format!("{name} parts"), rows, Grouping { layout: layout.clone(), key, calls: calls() });
    whole(name, parts, Groups::new(plan, calls()))
}

fn whole<'s>(name: &str, parts: Stream<'s, Moment, Updates>, mut groups: Groups) -> Grouped<'s> {
    let scope = parts.scope();
    let (worker, peers) = (scope.index() as u64, scope.peers() as u64);
    let mut builder = OperatorBuilder::new(name.to_string(), scope);
    let by_key = ExchangeCore::<CapacityContainerBuilder<Updates>, _>::new(|u: &Update<'_>| hash(u.key));
    let mut parts_in = builder.new_input(parts, by_key);
    let (rows_out, grouped) = builder.new_output::<Updates>();
    let mut rows_out = OutputBuilder::<_, CapacityContainerBuilder<_>>::from(rows_out);
    let (problems_out, problems) = builder.new_output::<Vec<(String, Moment, Diff)>>();
    let mut problems_out = OutputBuilder::<_, CapacityContainerBuilder<_>>::from(problems_out);
    let keeps_one = groups.single && hash(&[]) % peers == worker;
    builder.build(move |capabilities| {
        let mut waiting: BTreeMap<Moment, ([Capability<Moment>; 2], Vec<Updates>)> = BTreeMap::new();
        if keeps_one {
            // Where there is no key there is one group, also of no rows.
            groups.touch(&[]);
            waiting.insert(START, ([0, 1].map(|output: usize| capabilities[output].delayed(&START)), Vec::new()));
        }
        drop(capabilities);
        move |frontiers| {
            parts_in.for_each(|capability, updates: &mut Updates| {
                let moment = *capability.time();
                let slot = waiting.entry(moment).or_insert_with(|| ([capability.retain(0), capability.retain(1)], Vec::new()));
                // At the first moment nothing was there before: parts need not wait for it to be complete.
                match moment {
                    START => groups.add(updates),
                    _ => slot.1.push(std::mem::take(updates)),
                }
            });
            let mut rows_handle = rows_out.activate();
            let mut problems_handle = problems_out.activate();
            while let Some((&moment, _)) = waiting.first_key_value() {
                if frontiers[0].less_equal(&moment) {
                    break;
                }
                let Some((_, (capabilities, blocks))) = waiting.pop_first() else { break };
                blocks.iter().for_each(|block| groups.add(block));
                let mut rows = rows_handle.session(&capabilities[0]);
                let mut problems = problems_handle.session(&capabilities[1]);
                groups.tell(
                    |key, row, diff| rows.give(Update { key, row, moment, diff }),
                    |problem, diff| problems.give((problem, moment, diff)),
                );
            }
        }
    });
    (grouped, problems)
}

struct Groups {
    /// Of the key's columns.
    key: Layout,
    /// With what is kept of each group at its place.
    calls: Vec<Box<dyn Accumulators>>,
    output: Layout,
    builder: RowBuilder,
    groups: Slots<Group>,
    touched: Vec<usize>,
    /// Whether there is one group, whatever its rows.
    single: bool,
    built: Vec<u8>,
}

#[derive(Default)]
struct Group {
    /// How many rows it has.
    rows: Diff,
    told: Told,
    touched: bool,
}

/// What was last said of a group.
#[derive(Default)]
enum Told {
    #[default]
    Nothing,
    Row(Row),
    Problem(String),
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
            single: plan.key.is_empty(),
            built: Vec::new(),
        }
    }

    /// The place of the key's group, which is touched.
    fn touch(&mut self, key: &[u8]) -> usize {
        let place = self.groups.place(key);
        self.calls.iter_mut().for_each(|call| call.reach(place + 1));
        let group = self.groups.get_mut(place);
        if !std::mem::replace(&mut group.touched, true) {
            self.touched.push(place);
        }
        place
    }

    /// Takes in what [`partial()`] gave.
    fn add(&mut self, parts: &Updates) {
        for part in parts.iter() {
            let place = self.touch(part.key);
            let (rows, mut record) = part.row.split_first_chunk().expect("a record begins with a number");
            self.groups.get_mut(place).rows += Diff::from_le_bytes(*rows);
            self.calls.iter_mut().for_each(|call| call.merge(place, &mut record));
        }
    }

    /// What became of every touched group.
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
                (Told::Nothing, now, _) => !now,
                (Told::Row(before), now, None) => now && **before == *self.built,
                (Told::Problem(before), now, Some(after)) => now && before == after,
                _ => false,
            };
            if !same {
                let now = match (there, problem) {
                    (false, _) => Told::Nothing,
                    (true, None) => Told::Row(Row::from_bytes(&self.built)),
                    (true, Some(reason)) => Told::Problem(reason),
                };
                let before = std::mem::replace(&mut group.told, now);
                for (told, diff) in [(&before, -1), (&group.told, 1)] {
                    match told {
                        Told::Nothing => {}
                        Told::Row(row) => give(key, row, diff),
                        Told::Problem(reason) => complain(tell_of_key("the group", &self.key, key, reason), diff),
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

/// Pushes the values of a group's key: they are the first ones of its last row, if there is one.
fn push_key(bytes: &[u8], told: &Told, key: &Layout, output: &Layout, builder: &mut RowBuilder) {
    let columns = 0..key.schema().len();
    match told {
        Told::Row(row) => columns.for_each(|column| builder.push(output.get(row, column))),
        _ => {
            let values = row_of_key(key, bytes).expect("it was made of a row");
            columns.for_each(|column| builder.push(key.get(&values, column)));
        }
    }
}
