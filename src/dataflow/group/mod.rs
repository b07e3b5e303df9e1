//! One row for each group of rows.
//!
//! In: rows with their group's key. Out: for each moment that changed a group, its old row taken back and its new one. A worker keeps of
//! its groups what their aggregates need: sums and counts, values in order for `min` and `max`, and the values themselves for
//! functions that can only be computed from all of them.

mod accumulator;

use std::collections::{BTreeMap, HashMap};

use timely::container::CapacityContainerBuilder;
use timely::dataflow::Stream;
use timely::dataflow::channels::pact::ExchangeCore;
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;

use self::accumulator::{Accumulator, Kind};
use super::updates::{Update, Updates};
use super::{Moment, START, hash};
use crate::plan::Group as Plan;
use crate::value::{Datum, Diff, Layout, Row, RowBuilder, row_of_key};

type Grouped<'s> = (Stream<'s, Moment, Updates>, Stream<'s, Moment, Vec<(String, Moment, Diff)>>);

pub(super) fn group<'s>(name: &str, rows: Stream<'s, Moment, Updates>, plan: &Plan) -> Grouped<'s> {
    let scope = rows.scope();
    let (worker, peers) = (scope.index() as u64, scope.peers() as u64);
    let mut builder = OperatorBuilder::new(name.to_string(), scope);
    let by_key = ExchangeCore::<CapacityContainerBuilder<Updates>, _>::new(|u: &Update<'_>| hash(u.key));
    let mut rows_in = builder.new_input(rows, by_key);
    let (rows_out, grouped) = builder.new_output::<Updates>();
    let mut rows_out = OutputBuilder::<_, CapacityContainerBuilder<_>>::from(rows_out);
    let (problems_out, problems) = builder.new_output::<Vec<(String, Moment, Diff)>>();
    let mut problems_out = OutputBuilder::<_, CapacityContainerBuilder<_>>::from(problems_out);
    let mut groups = Groups::new(plan);
    let keeps_one = plan.key.is_empty() && hash(&[]) % peers == worker;
    builder.build(move |capabilities| {
        let mut waiting: BTreeMap<Moment, ([Capability<Moment>; 2], Vec<Updates>)> = BTreeMap::new();
        if keeps_one {
            // Where there is no key there is one group, also of no rows.
            groups.of(&[]);
            waiting.insert(START, ([0, 1].map(|output: usize| capabilities[output].delayed(&START)), Vec::new()));
        }
        drop(capabilities);
        move |frontiers| {
            rows_in.for_each(|capability, updates: &mut Updates| {
                let moment = *capability.time();
                let slot = waiting.entry(moment).or_insert_with(|| ([capability.retain(0), capability.retain(1)], Vec::new()));
                // At the first moment nothing was there before: rows need not wait for it to be complete.
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
                    |row, diff| rows.give(Update { key: &[], row, moment, diff }),
                    |problem, diff| problems.give((problem, moment, diff)),
                );
            }
        }
    });
    (grouped, problems)
}

struct Groups {
    layout: Layout,
    /// Of the key's columns.
    key: Layout,
    kinds: Vec<Kind>,
    builder: RowBuilder,
    places: HashMap<Row, usize>,
    groups: Vec<Group>,
    /// Places of groups that no key has any more.
    free: Vec<usize>,
    touched: Vec<usize>,
    /// Whether there is one group, whatever its rows.
    single: bool,
}

struct Group {
    key: Row,
    /// How many rows it has.
    rows: Diff,
    accumulators: Vec<Accumulator>,
    told: Told,
    touched: bool,
}

/// What was last said of a group.
enum Told {
    Nothing,
    Row(Row),
    Problem(String),
}

impl Groups {
    fn new(plan: &Plan) -> Groups {
        let layout = Layout::new(plan.of.schema());
        Groups {
            kinds: plan.calls.iter().map(|call| Kind::of(call, &layout)).collect(),
            key: Layout::new(&plan.of.schema().project(&plan.key)),
            layout,
            builder: RowBuilder::new(&Layout::new(&plan.schema)),
            places: HashMap::new(),
            groups: Vec::new(),
            free: Vec::new(),
            touched: Vec::new(),
            single: plan.key.is_empty(),
        }
    }

    /// The place of the key's group, which is touched.
    fn of(&mut self, key: &[u8]) -> usize {
        let place = match self.places.get(key) {
            Some(place) => *place,
            None => {
                let group = Group {
                    key: Row::from_bytes(key),
                    rows: 0,
                    accumulators: self.kinds.iter().map(Accumulator::of).collect(),
                    told: Told::Nothing,
                    touched: false,
                };
                let place = match self.free.pop() {
                    Some(place) => {
                        self.groups[place] = group;
                        place
                    }
                    None => {
                        self.groups.push(group);
                        self.groups.len() - 1
                    }
                };
                self.places.insert(Row::from_bytes(key), place);
                place
            }
        };
        let group = &mut self.groups[place];
        if !std::mem::replace(&mut group.touched, true) {
            self.touched.push(place);
        }
        place
    }

    fn add(&mut self, updates: &Updates) {
        for update in updates.iter() {
            let place = self.of(update.key);
            let group = &mut self.groups[place];
            group.rows += update.diff;
            for (kind, accumulator) in self.kinds.iter().zip(&mut group.accumulators) {
                accumulator.add(kind, &self.layout, update.row, update.diff);
            }
        }
    }

    /// What became of every touched group.
    fn tell(&mut self, mut give: impl FnMut(&[u8], Diff), mut complain: impl FnMut(String, Diff)) {
        let touched = std::mem::take(&mut self.touched);
        for place in touched {
            let group = &mut self.groups[place];
            group.touched = false;
            let now = match group.rows > 0 || self.single {
                false => Told::Nothing,
                true => row_of(group, &self.kinds, &self.key, &mut self.builder),
            };
            match (&group.told, &now) {
                (Told::Nothing, Told::Nothing) => {}
                (Told::Row(before), Told::Row(after)) if before == after => {}
                (Told::Problem(before), Told::Problem(after)) if before == after => {}
                (before, after) => {
                    for (told, diff) in [(before, -1), (after, 1)] {
                        match told {
                            Told::Nothing => {}
                            Told::Row(row) => give(row, diff),
                            Told::Problem(reason) => complain(reason.clone(), diff),
                        }
                    }
                }
            }
            group.told = now;
            if group.rows == 0 && !self.single {
                self.places.remove(&group.key);
                group.accumulators = Vec::new();
                self.free.push(place);
            }
        }
    }
}

fn row_of(group: &Group, kinds: &[Kind], key: &Layout, builder: &mut RowBuilder) -> Told {
    builder.clear();
    let values = row_of_key(key, &group.key).expect("it was made of a row");
    (0..key.schema().len()).for_each(|column| builder.push(key.get(&values, column)));
    for (kind, accumulator) in kinds.iter().zip(&group.accumulators) {
        if let Err(reason) = accumulator.finish(kind, builder) {
            builder.clear();
            return Told::Problem(reason);
        }
    }
    let row = builder.finish();
    Told::Row(row)
}

/// A decimal's or an integer's unscaled value.
fn unscaled(datum: Datum) -> Option<i128> {
    match datum {
        Datum::Int(value) => Some(value.into()),
        Datum::UInt(value) => Some(value.into()),
        Datum::Decimal(value) => Some(value),
        _ => None,
    }
}
