//! Rows filtered, computed, and given the key by which they go on.

use timely::container::CapacityContainerBuilder;
use timely::dataflow::Stream;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::progress::Timestamp;

use super::input::Inlet;
use super::updates::{Update, Updates};
use super::{Failure, Moment};
use crate::value::{Diff, Layout, key};

/// What a selection gives: rows, and those that an expression failed on.
pub(super) struct Selected<'s, T: Timestamp> {
    pub(super) rows: Stream<'s, T, Updates>,
    pub(super) failures: Stream<'s, T, Vec<(Failure, Moment, Diff)>>,
}

/// Passes rows through `inlet`. Blocks of a query's streams are of their message's moment; in a recursion that is a part of the message's time.
pub(super) fn select<'s, T: Timestamp>(name: &str, rows: Stream<'s, T, Updates>, mut inlet: Inlet) -> Selected<'s, T> {
    let mut builder = OperatorBuilder::new(name.to_string(), rows.scope());
    let mut rows_in = builder.new_input(rows, Pipeline);
    let (rows_out, selected) = builder.new_output::<Updates>();
    let mut rows_out = OutputBuilder::<_, CapacityContainerBuilder<_>>::from(rows_out);
    let (failures_out, failures) = builder.new_output::<Vec<(Failure, Moment, Diff)>>();
    let mut failures_out = OutputBuilder::<_, CapacityContainerBuilder<_>>::from(failures_out);
    builder.build(move |_| {
        move |_| {
            let mut rows_handle = rows_out.activate();
            let mut failures_handle = failures_out.activate();
            rows_in.for_each(|capability, rows| {
                let moment = rows.moment();
                let mut failed = failures_handle.session(&capability);
                let mut out = rows_handle.session(&capability);
                inlet.pass(
                    rows,
                    |row, diff| out.give(Update { key: &[], row, moment, diff }),
                    |failure, diff| failed.give((failure, moment, diff)),
                );
            });
        }
    });
    Selected { rows: selected, failures }
}

/// The same rows, with the key of these columns beside each.
pub(super) fn key_by<'s, T: Timestamp>(
    name: &str,
    rows: Stream<'s, T, Updates>,
    layout: Layout,
    columns: Vec<usize>,
) -> Stream<'s, T, Updates> {
    let mut builder = OperatorBuilder::new(name.to_string(), rows.scope());
    let mut rows_in = builder.new_input(rows, Pipeline);
    let (rows_out, keyed) = builder.new_output::<Updates>();
    let mut rows_out = OutputBuilder::<_, CapacityContainerBuilder<_>>::from(rows_out);
    let mut key = Vec::new();
    builder.build(move |_| {
        move |_| {
            let mut handle = rows_out.activate();
            rows_in.for_each(|capability, rows| {
                let moment = rows.moment();
                let mut out = handle.session(&capability);
                for update in rows.iter() {
                    key.clear();
                    key::of_into(&layout, update.row, &columns, &mut key);
                    out.give(Update { key: &key, row: update.row, moment, diff: update.diff });
                }
            });
        }
    });
    keyed
}
