//! Rows with the values of window functions over their partition.
//!
//! For every moment t: the sum of the output up to t = { (r, f(r, partition of r)) : r in the sum of the input up to t }, without the
//! partitions on which a function fails: these have one error instead. In: rows with their partition's key. Out: changes of rows whose
//! values changed. The owner of a partition keeps its rows sorted, each with the values that were last output.

mod partition;
mod running;
mod shape;

use std::collections::HashMap;

use self::partition::Partition;
use self::shape::WindowShape;
use crate::dataflow::changes::Failure;
use crate::dataflow::errors::tell_of_key;
use crate::dataflow::exchange::by_key;
use crate::dataflow::held::memory::{HeapSize, Memory, block, table};
use crate::dataflow::held::updates::{Update, Updates};
use crate::dataflow::moments::{Operator, collect_early};
use crate::dataflow::streams::{ErrorStream, RowStream};
use crate::plan::Window as Plan;
use crate::value::{Diff, Layout, Row};

pub(crate) fn window<'s>(memory: &Memory, name: &str, rows: RowStream<'s>, plan: &Plan) -> (RowStream<'s>, ErrorStream<'s>) {
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
    shape: WindowShape,
    /// Layout of the partition's key columns.
    key: Layout,
    partitions: HashMap<Row, Partition>,
    /// Keys of the partitions with changes that are not output yet.
    touched: Vec<Row>,
    /// Heap memory of the keys and the partitions.
    bytes: usize,
}

impl HeapSize for Partitions {
    fn held_bytes(&self) -> usize {
        table::<(Row, Partition)>(self.partitions.capacity()) + self.bytes
    }
}

impl Partitions {
    fn new(plan: &Plan) -> Partitions {
        let key = Layout::new(&plan.of.schema().project(&plan.partition));
        Partitions { shape: WindowShape::new(plan), key, partitions: HashMap::new(), touched: Vec::new(), bytes: 0 }
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
