//! One value chosen by an order: `min`, `max`, `first_value`, `last_value`.
//!
//! All values are kept sorted, so a change costs the logarithm of the group's size. If rows are only inserted, only the chosen value is
//! kept.

use super::aggregate::{Accumulators, Aggregate, AggregateCall, take_bytes, write_bytes};
use super::entry::{Entries, place_and_value};
use super::values::Values;
use crate::value::{Datum, Diff, Layout, RowBuilder};

/// Any of several equal values will do, so DISTINCT and the order of the rows are ignored: `min(DISTINCT x)` is `min(x)`.
pub(super) fn extreme(call: &AggregateCall) -> Option<Box<dyn Accumulators>> {
    let column = call.column().filter(|&column| call.is(&["min", "max"]) && call.output() == call.type_of(column))?;
    picked(call, Pick { entries: Entries::new(call, column, Vec::new()), last: call.is(&["max"]), skips_nulls: true })
}

pub(super) fn first_or_last(call: &AggregateCall) -> Option<Box<dyn Accumulators>> {
    let in_an_order = call.is(&["first_value", "last_value"]) && !call.simple.distinct && !call.simple.order_by.is_empty();
    let column = call.column().filter(|&column| in_an_order && call.output() == call.type_of(column))?;
    let entries = Entries::new(call, column, call.order());
    picked(call, Pick { entries, last: call.is(&["last_value"]), skips_nulls: call.simple.ignores_nulls })
}

fn picked(call: &AggregateCall, pick: Pick) -> Option<Box<dyn Accumulators>> {
    match call.only_come {
        true => call.by(Best(pick)),
        false => call.by(pick),
    }
}

struct Pick {
    entries: Entries,
    last: bool,
    skips_nulls: bool,
}

impl Pick {
    fn passes_over(&self, layout: &Layout, row: &[u8]) -> bool {
        self.skips_nulls && layout.is_null(row, self.entries.column)
    }

    fn push(&self, entry: Option<&[u8]>, builder: &mut RowBuilder) {
        builder.push(entry.map_or(Datum::Null, |entry| self.entries.value.get(place_and_value(entry).1, 0)));
    }
}

impl Aggregate for Pick {
    type State = Values;
    const GROWS: bool = true;

    fn add(&self, state: &mut Values, layout: &Layout, row: &[u8], diff: Diff) {
        if !self.passes_over(layout, row) {
            self.entries.with(layout, row, |entry| state.add(entry, diff));
        }
    }

    fn write(&self, state: &Values, out: &mut Vec<u8>) {
        state.write(out);
    }

    fn merge(&self, state: &mut Values, bytes: &mut &[u8]) {
        state.merge(bytes);
    }

    fn finish(&self, state: &Values, builder: &mut RowBuilder) -> Result<(), String> {
        let entry = if self.last { state.iter().next_back() } else { state.iter().next() };
        self.push(entry.map(|(entry, _)| entry), builder);
        Ok(())
    }
}

/// Keeps only the chosen entry, for rows that are only inserted. An empty entry means that there is none yet.
struct Best(Pick);

impl Best {
    fn take_better(&self, best: &mut Vec<u8>, entry: &[u8]) {
        let better = best.is_empty() || if self.0.last { *entry > **best } else { *entry < **best };
        if better {
            best.clear();
            best.extend_from_slice(entry);
        }
    }
}

impl Aggregate for Best {
    type State = Vec<u8>;

    #[inline]
    fn add(&self, state: &mut Vec<u8>, layout: &Layout, row: &[u8], _: Diff) {
        if !self.0.passes_over(layout, row) {
            self.0.entries.with(layout, row, |entry| self.take_better(state, entry));
        }
    }

    fn write(&self, state: &Vec<u8>, out: &mut Vec<u8>) {
        write_bytes(state, out);
    }

    fn merge(&self, state: &mut Vec<u8>, bytes: &mut &[u8]) {
        let entry = take_bytes(bytes);
        if !entry.is_empty() {
            self.take_better(state, entry);
        }
    }

    fn finish(&self, state: &Vec<u8>, builder: &mut RowBuilder) -> Result<(), String> {
        self.0.push(Some(&**state).filter(|best| !best.is_empty()), builder);
        Ok(())
    }
}
