//! `histogram`: how often each value occurs, as a JSON document.

use super::aggregate::{Accumulators, Aggregate, AggregateCall};
use super::values::Values;
use crate::value::{Datum, Diff, Layout, RowBuilder, histogram, is_counted, key};

pub(super) fn accumulators(call: &AggregateCall) -> Option<Box<dyn Accumulators>> {
    let column = call.column().filter(|&column| call.is(&["histogram"]) && is_counted(call.type_of(column)) && !call.simple.distinct)?;
    call.by(Histogram { column, value: Layout::new(&call.layout.schema().project(&[column])) })
}

struct Histogram {
    column: usize,
    /// Layout of the column alone.
    value: Layout,
}

impl Aggregate for Histogram {
    type State = Values;
    const GROWS: bool = true;

    fn add(&self, state: &mut Values, layout: &Layout, row: &[u8], diff: Diff) {
        if !layout.is_null(row, self.column) {
            state.add(&key::encode(layout, row, &[self.column]), diff);
        }
    }

    fn write(&self, state: &Values, out: &mut Vec<u8>) {
        state.write(out);
    }

    fn merge(&self, state: &mut Values, bytes: &mut &[u8]) {
        state.merge(bytes);
    }

    fn finish(&self, state: &Values, builder: &mut RowBuilder) -> Result<(), String> {
        builder.push(Datum::Json(&histogram(&self.value, state.iter())));
        Ok(())
    }
}
