//! One step up: from keys of changed children to the keys under which their parents are reached.

use std::collections::BTreeMap;

use differential_dataflow::operators::arrange::Arranged;
use differential_dataflow::trace::{Cursor, TraceReader};
use timely::dataflow::Stream;
use timely::dataflow::channels::pact::{Exchange, Pipeline};
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::Operator;
use timely::progress::Antichain;

use super::sources::RowTrace;
use super::{Moment, hash};
use crate::value::Row;

/// For each key, every value that `index` has for it as of the key's moment, each once per batch of keys.
pub(super) fn climb<'s>(name: &str, keys: Stream<'s, Moment, Vec<Row>>, index: &Arranged<'s, RowTrace>) -> Stream<'s, Moment, Vec<Row>> {
    let mut trace = Some(index.trace.clone());
    let mut waiting: BTreeMap<Moment, (Capability<Moment>, Vec<Row>)> = BTreeMap::new();
    let by_key = Exchange::new(|key: &Row| hash(key));
    keys.binary_frontier(index.stream.clone(), by_key, Pipeline, name, move |_, _| {
        move |(keys, keys_frontier), (batches, index_frontier), output| {
            keys.for_each(|capability, data| {
                let slot = waiting.entry(*capability.time()).or_insert_with(|| (capability.retain(0), Vec::new()));
                slot.1.append(data);
            });
            batches.for_each(|_, _| {});
            let Some(reader) = trace.as_mut() else { return };
            while let Some((&moment, _)) = waiting.first_key_value() {
                if index_frontier.less_equal(&moment) {
                    break;
                }
                let Some((_, (capability, mut keys))) = waiting.pop_first() else { break };
                keys.sort_unstable();
                keys.dedup();
                let (mut cursor, storage) = reader.cursor();
                let mut session = output.session(&capability);
                for key in &keys {
                    cursor.seek_key(&storage, key);
                    if cursor.get_key(&storage) != Some(&**key) {
                        continue;
                    }
                    while let Some(value) = cursor.get_val(&storage) {
                        let mut count = 0;
                        cursor.map_times(&storage, |at, diff| count += if *at <= moment { *diff } else { 0 });
                        if count > 0 {
                            session.give(Row::from_bytes(value));
                        }
                        cursor.step_val(&storage);
                    }
                }
            }
            release(&mut trace, keys_frontier.frontier().iter().copied().min(), waiting.keys().next().copied());
        }
    })
}

/// Lets the trace compact everything below what can still be asked for: below the requests that wait and those that can come.
pub(super) fn release(trace: &mut Option<RowTrace>, to_come: Option<Moment>, waiting: Option<Moment>) {
    let Some(reader) = trace.as_mut() else { return };
    match to_come.into_iter().chain(waiting).min() {
        Some(least) => {
            reader.set_logical_compaction(Antichain::from_elem(least).borrow());
            // Cursors are always over all batches, so that any of them may be merged.
            reader.set_physical_compaction(Antichain::new().borrow());
        }
        None => *trace = None,
    }
}
