//! Sends each row of an input to every arrangement that holds it, and each change to the walk up to its roots, in one pass.

use timely::container::CapacityContainerBuilder;
use timely::dataflow::Stream;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;

use super::input::{Inlet, TableUpdate};
use super::{Failure, Moment, Update};
use crate::plan::ArrangementKind;
use crate::value::{Diff, Layout, Row, key};

pub(super) struct Routed<'s> {
    /// For each arrangement, in the order asked for.
    pub(super) arrangements: Vec<Stream<'s, Moment, Vec<Update>>>,
    /// For each list of columns, their keys in every row that came or went after `quiet_until`.
    pub(super) touched: Vec<Stream<'s, Moment, Vec<Row>>>,
    pub(super) failures: Stream<'s, Moment, Vec<(Failure, Moment, Diff)>>,
}

/// What one row becomes in one arrangement.
fn keyed(kind: &ArrangementKind, layout: &Layout, row: &Row) -> Option<(Row, Row)> {
    match kind {
        ArrangementKind::Rows { key } => Some((key::of(layout, row, key), row.clone())),
        // A row without a relation has no way up, and matches nothing from below.
        ArrangementKind::Reverse { from, to } => Some((key::of_relation(layout, row, from)?, key::of(layout, row, to))),
    }
}

/// `touched`: the columns whose keys are to be told for each change. Changes at `quiet_until` or before are a hydration, which touches
/// everything anyway, and are not told.
pub(super) fn route<'s>(
    name: &str,
    rows: Stream<'s, Moment, Vec<TableUpdate>>,
    mut inlet: Inlet,
    kinds: Vec<ArrangementKind>,
    touched: Vec<Vec<usize>>,
    quiet_until: Moment,
) -> Routed<'s> {
    let mut builder = OperatorBuilder::new(name.to_string(), rows.scope());
    let mut rows_in = builder.new_input(rows, Pipeline);
    let (failures_out, failures) = builder.new_output::<Vec<(Failure, Moment, Diff)>>();
    let mut failures_out = OutputBuilder::<_, CapacityContainerBuilder<_>>::from(failures_out);
    let (mut arrangement_outs, mut arrangements) = (Vec::new(), Vec::new());
    for _ in &kinds {
        let (output, stream) = builder.new_output::<Vec<Update>>();
        arrangement_outs.push(OutputBuilder::<_, CapacityContainerBuilder<_>>::from(output));
        arrangements.push(stream);
    }
    let (mut touched_outs, mut touched_streams) = (Vec::new(), Vec::new());
    for _ in &touched {
        let (output, stream) = builder.new_output::<Vec<Row>>();
        touched_outs.push(OutputBuilder::<_, CapacityContainerBuilder<_>>::from(output));
        touched_streams.push(stream);
    }
    builder.build(move |_| {
        move |_| {
            let mut failures_handle = failures_out.activate();
            let mut arrangement_handles: Vec<_> = arrangement_outs.iter_mut().map(|o| o.activate()).collect();
            let mut touched_handles: Vec<_> = touched_outs.iter_mut().map(|o| o.activate()).collect();
            rows_in.for_each(|capability, data| {
                let mut failed = failures_handle.session(&capability);
                let mut sessions: Vec<_> = arrangement_handles.iter_mut().map(|h| h.session(&capability)).collect();
                let mut touched_sessions: Vec<_> = touched_handles.iter_mut().map(|h| h.session(&capability)).collect();
                let layout = inlet.layout().clone();
                let mut give = |row: Row, moment: Moment, diff: Diff| {
                    if moment > quiet_until {
                        for (columns, session) in touched.iter().zip(&mut touched_sessions) {
                            session.give(key::of(&layout, &row, columns));
                        }
                    }
                    for (kind, session) in kinds.iter().zip(&mut sessions) {
                        if let Some(keyed) = keyed(kind, &layout, &row) {
                            session.give((keyed, moment, diff));
                        }
                    }
                };
                if inlet.is_identity() {
                    data.drain(..).for_each(|(row, moment, diff)| give(row, moment, diff));
                } else {
                    inlet.pass(data, give, |failure, moment, diff| failed.give((failure, moment, diff)));
                    data.clear();
                }
            });
        }
    });
    Routed { arrangements, touched: touched_streams, failures }
}
