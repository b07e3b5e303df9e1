//! `only_value`: the value of the only row, for a subquery that yields one value. NULL without rows; several rows are an error of the
//! group.

use super::aggregate::{Accumulators, Aggregate, AggregateCall};
use super::entry::{Entries, place_and_value};
use super::values::Values;
use crate::plan::SEVERAL;
use crate::value::{Datum, Diff, Layout, RowBuilder};

pub(super) fn value(call: &AggregateCall) -> Option<Box<dyn Accumulators>> {
    let column = call.column().filter(|_| call.is(&["only_value"]))?;
    call.by(OnlyEntries(Entries::new(call, column, Vec::new())))
}

struct OnlyEntries(Entries);

impl Aggregate for OnlyEntries {
    type State = Values;
    const GROWS: bool = true;

    fn add(&self, state: &mut Values, layout: &Layout, row: &[u8], diff: Diff) {
        self.0.with(layout, row, |entry| state.add(entry, diff));
    }

    fn write(&self, state: &Values, out: &mut Vec<u8>) {
        state.write(out);
    }

    fn merge(&self, state: &mut Values, bytes: &mut &[u8]) {
        state.merge(bytes);
    }

    fn finish(&self, state: &Values, builder: &mut RowBuilder) -> Result<(), String> {
        let mut rows = state.iter();
        let value = match (rows.next(), rows.next()) {
            (None, _) => Datum::Null,
            (Some((entry, 1)), None) => self.0.value.get(place_and_value(entry).1, 0),
            _ => return Err(SEVERAL.to_string()),
        };
        builder.push(value);
        Ok(())
    }
}
