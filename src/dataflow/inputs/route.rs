//! Sends each row of an input to every arrangement that contains it, and the keys of each change to the operators that climb to the roots,
//! in one pass.
//!
//! For every moment t: an arrangement receives at t the input's changes of t, under the arrangement's key.

use timely::dataflow::Stream;
use timely::dataflow::channels::pact::Pipeline;

use super::selector::Inlet;
use crate::dataflow::held::memory::{Fixed, Memory};
use crate::dataflow::held::updates::{Update, Updates};
use crate::dataflow::moments::{Operator, collect};
use crate::dataflow::streams::{ErrorStream, RowStream};
use crate::dataflow::time::{Moment, START};
use crate::plan::ArrangementKind;
use crate::value::{Diff, Layout, Row, key};

/// The outputs of [`route`].
pub(crate) struct Routed<'s> {
    /// One stream for each arrangement, in the order of `kinds`.
    pub(crate) arrangements: Vec<RowStream<'s>>,
    /// For each list of columns, the keys of every row that was inserted or deleted after [`START`].
    pub(crate) touched: Vec<Stream<'s, Moment, Vec<Row>>>,
    /// Rows that could not be selected.
    pub(crate) errors: ErrorStream<'s>,
}

/// Computes a row's entry in one arrangement. Returns whether there is one; if so, `key` and, for a reverse index, `value` are filled.
fn keyed(kind: &ArrangementKind, layout: &Layout, row: &[u8], key: &mut Vec<u8>, value: &mut Vec<u8>) -> bool {
    key.clear();
    match kind {
        ArrangementKind::Rows { key: columns } => key::of_into(layout, row, columns, key),
        // A row with NULL in its relation has no parent and matches no child.
        ArrangementKind::Reverse { from, .. } if from.iter().any(|&c| layout.is_null(row, c)) => return false,
        ArrangementKind::Reverse { from, to } => {
            key::of_into(layout, row, from, key);
            value.clear();
            key::of_into(layout, row, to, value);
        }
    }
    true
}

/// `touched`: the lists of columns whose keys are output for each change. Changes at [`START`] are a hydration, which touches everything
/// anyway, so their keys are not output.
pub(crate) fn route<'s>(
    memory: &Memory,
    name: &str,
    rows: RowStream<'s>,
    selector: Inlet,
    kinds: Vec<ArrangementKind>,
    touched: Vec<Vec<usize>>,
) -> Routed<'s> {
    let mut operator = Operator::new(name, rows.scope());
    operator.blocks(rows, Pipeline, collect);
    let (mut errors_out, errors) = operator.output();
    let (mut arrangement_outs, arrangements): (Vec<_>, Vec<_>) = kinds.iter().map(|_| operator.output::<Updates>()).unzip();
    let (mut touched_outs, touched_streams): (Vec<_>, Vec<_>) = touched.iter().map(|_| operator.output::<Vec<Row>>()).unzip();
    let (mut key, mut value) = (Vec::new(), Vec::new());
    let layout = selector.layout().clone();
    operator.build(memory, Fixed(selector), move |Fixed(selector), now, blocks| {
        let moment = now.moment();
        let mut errors = errors_out.activate();
        let mut errors = now.send(&mut errors);
        let mut arrangements: Vec<_> = arrangement_outs.iter_mut().map(|out| out.activate()).collect();
        let mut arrangements: Vec<_> = arrangements.iter_mut().map(|out| now.send(out)).collect();
        let mut keys: Vec<_> = touched_outs.iter_mut().map(|out| out.activate()).collect();
        let mut keys: Vec<_> = keys.iter_mut().map(|out| now.send(out)).collect();
        let mut give = |row: &[u8], diff: Diff| {
            if moment > START {
                for (columns, keys) in touched.iter().zip(&mut keys) {
                    keys.give(key::encode(&layout, row, columns));
                }
            }
            for (kind, arrangement) in kinds.iter().zip(&mut arrangements) {
                if keyed(kind, &layout, row, &mut key, &mut value) {
                    let row = if let ArrangementKind::Rows { .. } = kind { row } else { &value };
                    arrangement.give(Update { key: &key, row, moment, diff });
                }
            }
        };
        for block in blocks {
            selector.pass(&block, &mut give, |failure, diff| errors.give((failure, moment, diff)));
        }
    });
    Routed { arrangements, touched: touched_streams, errors }
}
