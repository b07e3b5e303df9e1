//! Filters and computes rows, and adds the key by which they are exchanged next.
//!
//! For every moment t: the output at t = f(the input at t). A row on which an expression fails is an error instead.

use timely::dataflow::channels::pact::Pipeline;

use crate::dataflow::held::memory::{Fixed, Memory};
use crate::dataflow::held::updates::{Update, Updates};
use crate::dataflow::inputs::selector::Inlet;
use crate::dataflow::moments::{Operator, Time, collect};
use crate::dataflow::streams::{ErrorStream, RowStream};
use crate::value::{Layout, key};

/// The rows that the selector returns, and the rows on which it fails.
pub(crate) fn select<'s, T: Time>(
    memory: &Memory,
    name: &str,
    rows: RowStream<'s, T>,
    selector: Inlet,
) -> (RowStream<'s, T>, ErrorStream<'s, T>) {
    let mut operator = Operator::new(name, rows.scope());
    operator.blocks(rows, Pipeline, collect);
    let (mut rows_out, selected) = operator.output::<Updates>();
    let (mut errors_out, errors) = operator.output();
    operator.build(memory, Fixed(selector), move |Fixed(selector), now, blocks| {
        let moment = now.moment();
        let (mut rows, mut errors) = (rows_out.activate(), errors_out.activate());
        let (mut rows, mut errors) = (now.send(&mut rows), now.send(&mut errors));
        for block in blocks {
            selector.pass(
                &block,
                |row, diff| rows.give(Update { key: &[], row, moment, diff }),
                |failure, diff| errors.give((failure, moment, diff)),
            );
        }
    });
    (selected, errors)
}

/// The same rows, each with the key of these columns.
pub(crate) fn key_by<'s, T: Time>(
    memory: &Memory,
    name: &str,
    rows: RowStream<'s, T>,
    layout: Layout,
    columns: Vec<usize>,
) -> RowStream<'s, T> {
    let mut operator = Operator::new(name, rows.scope());
    operator.blocks(rows, Pipeline, collect);
    let (mut rows_out, keyed) = operator.output::<Updates>();
    let mut key = Vec::new();
    operator.build(memory, (), move |(), now, blocks| {
        let moment = now.moment();
        let mut rows = rows_out.activate();
        let mut rows = now.send(&mut rows);
        for block in blocks {
            for update in block.iter() {
                key.clear();
                key::of_into(&layout, update.row, &columns, &mut key);
                rows.give(Update { key: &key, row: update.row, moment, diff: update.diff });
            }
        }
    });
    keyed
}
