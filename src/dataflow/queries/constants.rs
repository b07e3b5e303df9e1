//! Rows that exist from the first moment on and never change.
//!
//! In: only the progress of time. Out: the rows, once, at one worker.

use timely::dataflow::Stream;
use timely::dataflow::channels::pact::Pipeline;

use crate::dataflow::exchange::hash;
use crate::dataflow::held::memory::Memory;
use crate::dataflow::held::updates::{Update, Updates};
use crate::dataflow::moments::Operator;
use crate::dataflow::streams::RowStream;
use crate::dataflow::time::{Moment, START};
use crate::value::Row;

/// The stream stays open as long as `ticks`, like that of a table.
pub(crate) fn constants<'s>(memory: &Memory, name: &str, ticks: Stream<'s, Moment, Vec<()>>, rows: &[Row]) -> RowStream<'s> {
    let scope = ticks.scope();
    let mut operator: Operator<'_, Moment, (), Vec<Row>> = Operator::new(name, scope);
    operator.requests(ticks, Pipeline, |(), _, _, _| {});
    let (mut rows_out, constant) = operator.output::<Updates>();
    if hash(&[]) % scope.peers() as u64 == scope.index() as u64 {
        operator.begin_with(START, rows.to_vec());
    }
    operator.build(memory, (), move |(), now, rows| {
        let moment = now.moment();
        let mut out = rows_out.activate();
        let mut out = now.send(&mut out);
        rows.iter().for_each(|row| out.give(Update { key: &[], row, moment, diff: 1 }));
    });
    constant
}
