//! Rows with what window functions make of the rows of their partition.
//!
//! In: rows with their partition's key. Out: for each moment, the rows whose values changed, taken back as they were and given as they
//! are. A worker keeps its partitions' rows in their order, each with the values that were last told of it. A partition on which a
//! function fails has no rows but one problem.

mod partition;
mod running;
mod shape;

use std::collections::{BTreeMap, HashMap};

use timely::container::CapacityContainerBuilder;
use timely::dataflow::Stream;
use timely::dataflow::channels::pact::ExchangeCore;
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;

use self::partition::Partition;
use self::shape::Shape;
use super::failed::tell_of_key;
use super::updates::{Update, Updates};
use super::{Moment, START, hash};
use crate::plan::Window as Plan;
use crate::value::{Diff, Layout, Row};

type Windowed<'s> = (Stream<'s, Moment, Updates>, Stream<'s, Moment, Vec<(String, Moment, Diff)>>);

pub(super) fn window<'s>(name: &str, rows: Stream<'s, Moment, Updates>, plan: &Plan) -> Windowed<'s> {
    let mut builder = OperatorBuilder::new(name.to_string(), rows.scope());
    let by_partition = ExchangeCore::<CapacityContainerBuilder<Updates>, _>::new(|u: &Update<'_>| hash(u.key));
    let mut rows_in = builder.new_input(rows, by_partition);
    let (rows_out, windowed) = builder.new_output::<Updates>();
    let mut rows_out = OutputBuilder::<_, CapacityContainerBuilder<_>>::from(rows_out);
    let (problems_out, problems) = builder.new_output::<Vec<(String, Moment, Diff)>>();
    let mut problems_out = OutputBuilder::<_, CapacityContainerBuilder<_>>::from(problems_out);
    let mut waiting: BTreeMap<Moment, ([Capability<Moment>; 2], Vec<Updates>)> = BTreeMap::new();
    let key = Layout::new(&plan.of.schema().project(&plan.partition));
    let mut partitions = Partitions { shape: Shape::new(plan), key, partitions: HashMap::new(), touched: Vec::new() };
    builder.build(move |_| {
        move |frontiers| {
            rows_in.for_each(|capability, updates: &mut Updates| {
                let moment = *capability.time();
                let slot = waiting.entry(moment).or_insert_with(|| ([capability.retain(0), capability.retain(1)], Vec::new()));
                // At the first moment nothing was there before: rows need not wait for it to be complete.
                match moment {
                    START => partitions.add(updates),
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
                blocks.iter().for_each(|block| partitions.add(block));
                let mut rows = rows_handle.session(&capabilities[0]);
                let mut problems = problems_handle.session(&capabilities[1]);
                partitions.tell(&mut |row, diff| rows.give(Update { key: &[], row, moment, diff }), &mut |problem, diff| {
                    problems.give((problem, moment, diff))
                });
            }
        }
    });
    (windowed, problems)
}

struct Partitions {
    shape: Shape,
    /// Of the columns that rows of a partition share.
    key: Layout,
    partitions: HashMap<Row, Partition>,
    /// Keys of the partitions that have changes to tell.
    touched: Vec<Row>,
}

impl Partitions {
    fn add(&mut self, updates: &Updates) {
        for update in updates.iter() {
            if !self.partitions.contains_key(update.key) {
                self.partitions.insert(Row::from_bytes(update.key), Partition::default());
            }
            let partition = self.partitions.get_mut(update.key).expect("it is there now");
            if partition.add(&mut self.shape, update.row, update.diff) {
                self.touched.push(Row::from_bytes(update.key));
            }
        }
    }

    fn tell(&mut self, give: &mut dyn FnMut(&[u8], Diff), complain: &mut dyn FnMut(String, Diff)) {
        for key in std::mem::take(&mut self.touched) {
            let Some(partition) = self.partitions.get_mut(&*key) else { continue };
            let mut name = |reason: String, diff| complain(tell_of_key("the partition", &self.key, &key, &reason), diff);
            partition.tell(&mut self.shape, give, &mut name);
            if partition.is_empty() {
                self.partitions.remove(&*key);
            }
        }
    }
}
