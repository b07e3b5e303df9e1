//! One step up: from keys of changed children to the keys by which their parents are reached.
//!
//! For every moment t: the keys given at t = { v : (k, v) in the index as of t, k in the keys of t }.

use differential_dataflow::operators::arrange::Arranged;
use timely::dataflow::Stream;

use crate::dataflow::exchange::to_owner;
use crate::dataflow::held::arranged::RowTrace;
use crate::dataflow::held::memory::Memory;
use crate::dataflow::moments::{Operator, Reads, collect_items};
use crate::dataflow::time::Moment;
use crate::value::Row;

/// For each key, outputs every value that `index` has for it as of the key's moment. A key is looked up once per batch of keys.
pub(crate) fn climb<'s>(
    memory: &Memory,
    name: &str,
    keys: Stream<'s, Moment, Vec<Row>>,
    index: &Arranged<'s, RowTrace>,
) -> Stream<'s, Moment, Vec<Row>> {
    let mut operator = Operator::new(name, keys.scope());
    operator.requests(keys, to_owner(), collect_items);
    operator.arrangement(index, Reads::At);
    let (mut parents_out, parents) = operator.output::<Vec<Row>>();
    operator.build(memory, (), move |(), now, mut keys: Vec<Row>| {
        keys.sort_unstable();
        keys.dedup();
        let mut index = now.read(0);
        let mut parents = parents_out.activate();
        let mut parents = now.send(&mut parents);
        for key in &keys {
            index.each_row(key, |value, _, count| {
                if count > 0 {
                    parents.give(Row::from_bytes(value));
                }
                true
            });
        }
    });
    parents
}
