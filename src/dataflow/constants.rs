//! Rows that are there from the first moment on and stay as they are.
//!
//! In: nothing but how far time is. Out: the rows, once, at one worker.

use timely::container::CapacityContainerBuilder;
use timely::dataflow::Stream;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;

use super::updates::{Update, Updates};
use super::{Moment, START, hash};
use crate::value::Row;

/// The stream is open as long as `ticks` is, as one of a table would be.
pub(super) fn constants<'s>(name: &str, ticks: Stream<'s, Moment, Vec<()>>, rows: &[Row]) -> Stream<'s, Moment, Updates> {
    let scope = ticks.scope();
    let here = hash(&[]) % scope.peers() as u64 == scope.index() as u64;
    let mut builder = OperatorBuilder::new(name.to_string(), scope);
    let mut ticks = builder.new_input(ticks, Pipeline);
    let (rows_out, there) = builder.new_output::<Updates>();
    let mut rows_out = OutputBuilder::<_, CapacityContainerBuilder<_>>::from(rows_out);
    let mut rows = if here { rows.to_vec() } else { Vec::new() };
    builder.build(move |mut capabilities| {
        let mut first = capabilities.pop().map(|capability| capability.delayed(&START));
        move |_| {
            ticks.for_each(|_, _| {});
            if let Some(capability) = first.take() {
                let mut handle = rows_out.activate();
                let mut out = handle.session(&capability);
                std::mem::take(&mut rows).iter().for_each(|row| out.give(Update { key: &[], row, moment: START, diff: 1 }));
            }
        }
    });
    there
}
