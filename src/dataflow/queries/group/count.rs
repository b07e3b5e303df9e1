//! `count`: of rows, of values that are not NULL, and of distinct values.

use super::aggregate::{Accumulators, Aggregate, AggregateCall, take_diff};
use super::values::Values;
use crate::plan::Argument;
use crate::value::{Datum, Diff, Layout, RowBuilder, key};

/// `count(*)`: the argument is a literal that is not NULL.
pub(super) fn rows(call: &AggregateCall) -> Option<Box<dyn Accumulators>> {
    let counts_all = matches!(call.simple.arguments.as_slice(), [argument] if argument.is_literal() && *argument != Argument::Null);
    (call.is(&["count"]) && counts_all && !call.simple.distinct).then(|| call.by(Count { column: None }))?
}

pub(super) fn values(call: &AggregateCall) -> Option<Box<dyn Accumulators>> {
    let column = call.column().or(call.float())?;
    (call.is(&["count"]) && !call.simple.distinct).then(|| call.by(Count { column: Some(column) }))?
}

/// Also `approx_distinct`: deletes require that the values are kept anyway, so the exact number is known.
pub(super) fn distinct(call: &AggregateCall) -> Option<Box<dyn Accumulators>> {
    let counts = call.is(&["approx_distinct"]) || (call.is(&["count"]) && call.simple.distinct);
    counts.then(|| call.by(CountDistinct { column: call.column()?, unsigned: call.is(&["approx_distinct"]) }))?
}

struct Count {
    column: Option<usize>,
}

impl Aggregate for Count {
    type State = Diff;

    #[inline]
    fn add(&self, state: &mut Diff, layout: &Layout, row: &[u8], diff: Diff) {
        if self.column.is_none_or(|column| !layout.is_null(row, column)) {
            *state += diff;
        }
    }

    fn write(&self, state: &Diff, out: &mut Vec<u8>) {
        out.extend_from_slice(&state.to_le_bytes());
    }

    fn merge(&self, state: &mut Diff, bytes: &mut &[u8]) {
        *state += take_diff(bytes);
    }

    fn finish(&self, state: &Diff, builder: &mut RowBuilder) -> Result<(), String> {
        builder.push(Datum::Int(*state));
        Ok(())
    }
}

struct CountDistinct {
    column: usize,
    unsigned: bool,
}

impl Aggregate for CountDistinct {
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
        builder.push(match self.unsigned {
            true => Datum::UInt(state.len() as u64),
            false => Datum::Int(state.len() as i64),
        });
        Ok(())
    }
}
