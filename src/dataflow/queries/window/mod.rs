//! Rows with the values that window functions give them in their partition.
//!
//! For every moment t: the sum of the output up to t = { (r, f(r, partition of r)) : r in the sum of the input up to t }, without the
//! partitions on which a function fails: these have one error instead. In: rows with their partition's key. Out: the rows whose values
//! changed. The owner of a partition keeps its rows in their order, each with the values that it last had.

mod partition;
mod running;
mod shape;

use std::collections::HashMap;

use timely::dataflow::Stream;

use self::partition::Partition;
use self::shape::Shape;
use crate::dataflow::changes::Failure;
use crate::dataflow::errors::{Errors, tell_of_key};
use crate::dataflow::exchange::by_key;
use crate::dataflow::held::memory::{Holds, Memory, block, table};
use crate::dataflow::held::updates::{Update, Updates};
use crate::dataflow::moments::{Operator, collect_early};
use crate::dataflow::time::Moment;
use crate::plan::Window as Plan;
use crate::value::{Diff, Layout, Row};

pub(crate) fn window<'s>(
    memory: &Memory,
    name: &str,
    rows: Stream<'s, Moment, Updates>,
    plan: &Plan,
) -> (Stream<'s, Moment, Updates>, Errors<'s, Moment>) {
    let mut operator = Operator::new(name, rows.scope());
    operator.input(rows, by_key(), collect_early(Partitions::add));
    let (mut rows_out, windowed) = operator.output::<Updates>();
    let (mut errors_out, errors) = operator.output();
    operator.build(memory, Partitions::new(plan), move |partitions, now, blocks| {
        let moment = now.moment();
        blocks.iter().for_each(|block| partitions.add(block));
        let (mut rows, mut errors) = (rows_out.activate(), errors_out.activate());
        let (mut rows, mut errors) = (now.send(&mut rows), now.send(&mut errors));
        partitions.tell(&mut |row, diff| rows.give(Update { key: &[], row, moment, diff }), &mut |problem, diff| {
            errors.give((Failure::of_query(problem), moment, diff))
        });
    });
    (windowed, errors)
}

struct Partitions {
    shape: Shape,
    /// Of the columns that rows of a partition share.
    key: Layout,
    partitions: HashMap<Row, Partition>,
    /// Keys of the partitions that have changes to tell.
    touched: Vec<Row>,
    /// Of the keys and the partitions.
    bytes: usize,
}

impl Holds for Partitions {
    fn held_bytes(&self) -> usize {
        table::<(Row, Partition)>(self.partitions.capacity()) + self.bytes
    }
}

impl Partitions {
    fn new(plan: &Plan) -> Partitions {
        let key = Layout::new(&plan.of.schema().project(&plan.partition));
        Partitions { shape: Shape::new(plan), key, partitions: HashMap::new(), touched: Vec::new(), bytes: 0 }
    }

    fn add(&mut self, updates: &Updates) {
        for update in updates.iter() {
            if !self.partitions.contains_key(update.key) {
                self.partitions.insert(Row::from_bytes(update.key), Partition::default());
                self.bytes += block(update.key.len());
            }
            let partition = self.partitions.get_mut(update.key).expect("it is there now");
            self.bytes -= partition.held_bytes();
            if partition.add(&mut self.shape, update.row, update.diff) {
                self.touched.push(Row::from_bytes(update.key));
            }
            self.bytes += partition.held_bytes();
        }
    }

    fn tell(&mut self, give: &mut dyn FnMut(&[u8], Diff), complain: &mut dyn FnMut(String, Diff)) {
        for key in std::mem::take(&mut self.touched) {
            let Some(partition) = self.partitions.get_mut(&*key) else { continue };
            let mut name = |reason: String, diff| complain(tell_of_key("the partition", &self.key, &key, &reason), diff);
            self.bytes -= partition.held_bytes();
            partition.tell(&mut self.shape, give, &mut name);
            self.bytes += partition.held_bytes();
            if partition.is_empty() {
                self.bytes -= partition.held_bytes() + block(key.len());
                self.partitions.remove(&*key);
            }
        }
    }
}
