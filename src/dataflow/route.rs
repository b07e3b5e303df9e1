//! Sends each row of an input to every arrangement that holds it, and each change to the walk up to its roots, in one pass.

use timely::container::CapacityContainerBuilder;
use timely::dataflow::Stream;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;

use super::input::Inlet;
use super::updates::{Update, Updates};
use super::{Failure, Moment, START};
use crate::plan::ArrangementKind;
use crate::value::{Diff, Layout, Row, key};

pub(super) struct Routed<'s> {
    /// For each arrangement, in the order asked for.
    pub(super) arrangements: Vec<Stream<'s, Moment, Updates>>,
    /// For each list of columns, their keys in every row that came or went after `quiet_until`.
    pub(super) touched: Vec<Stream<'s, Moment, Vec<Row>>>,
    pub(super) failures: Stream<'s, Moment, Vec<(Failure, Moment, Diff)>>,
}

/// What one row becomes in one arrangement: `key` and `value` are filled where it is there at all.
fn keyed(kind: &ArrangementKind, layout: &Layout, row: &[u8], key: &mut Vec<u8>, value: &mut Vec<u8>) -> bool {
    key.clear();
    match kind {
        ArrangementKind::Rows { key: columns } => key::of_into(layout, row, columns, key),
        // A row without a relation has no way up, and matches nothing from below.
        ArrangementKind::Reverse { from, .. } if from.iter().any(|&c| layout.is_null(row, c)) => return false,
        ArrangementKind::Reverse { from, to } => {
            key::of_into(layout, row, from, key);
            value.clear();
            key::of_into(layout, row, to, value);
        }
    }
    true
}

/// `touched`: the columns whose keys are to be told for each change. Changes at [`START`] are a hydration, which touches everything
/// anyway, and are not told.
pub(super) fn route<'s>(
    name: &str,
    rows: Stream<'s, Moment, Updates>,
    mut inlet: Inlet,
    kinds: Vec<ArrangementKind>,
    touched: Vec<Vec<usize>>,
) -> Routed<'s> {
    let mut builder = OperatorBuilder::new(name.to_string(), rows.scope());
    let mut rows_in = builder.new_input(rows, Pipeline);
    let (failures_out, failures) = builder.new_output::<Vec<(Failure, Moment, Diff)>>();
    let mut failures_out = OutputBuilder::<_, CapacityContainerBuilder<_>>::from(failures_out);
    let (mut arrangement_outs, mut arrangements) = (Vec::new(), Vec::new());
    for _ in &kinds {
        let (output, stream) = builder.new_output::<Updates>();
        arrangement_outs.push(OutputBuilder::<_, CapacityContainerBuilder<_>>::from(output));
        arrangements.push(stream);
    }
    let (mut touched_outs, mut touched_streams) = (Vec::new(), Vec::new());
    for _ in &touched {
        let (output, stream) = builder.new_output::<Vec<Row>>();
        touched_outs.push(OutputBuilder::<_, CapacityContainerBuilder<_>>::from(output));
        touched_streams.push(stream);
    }
    let (mut key, mut value) = (Vec::new(), Vec::new());
    builder.build(move |_| {
        move |_| {
            let mut failures_handle = failures_out.activate();
            let mut arrangement_handles: Vec<_> = arrangement_outs.iter_mut().map(|o| o.activate()).collect();
            let mut touched_handles: Vec<_> = touched_outs.iter_mut().map(|o| o.activate()).collect();
            rows_in.for_each(|capability, rows| {
                let moment = *capability.time();
                let mut failed = failures_handle.session(&capability);
                let mut sessions: Vec<_> = arrangement_handles.iter_mut().map(|h| h.session(&capability)).collect();
                let mut touched_sessions: Vec<_> = touched_handles.iter_mut().map(|h| h.session(&capability)).collect();
                let layout = inlet.layout().clone();
                let give = |row: &[u8], diff: Diff| {
                    if moment > START {
                        for (columns, session) in touched.iter().zip(&mut touched_sessions) {
                            session.give(key::of(&layout, row, columns));
                        }
                    }
                    for (kind, session) in kinds.iter().zip(&mut sessions) {
                        if keyed(kind, &layout, row, &mut key, &mut value) {
                            let row = if let ArrangementKind::Rows { .. } = kind { row } else { &value };
                            session.give(Update { key: &key, row, moment, diff });
                        }
                    }
                };
                inlet.pass(rows, give, |failure, diff| failed.give((failure, moment, diff)));
            });
        }
    });
    Routed { arrangements, touched: touched_streams, failures }
}
