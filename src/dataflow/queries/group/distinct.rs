//! An aggregate over the distinct values of a column.
//!
//! A part of the rows only has the counts of values. Only the merged state knows which values exist: it passes each value to the function
//! when it appears, and retracts it when it disappears.

use super::aggregate::{Accumulators, Aggregate, AggregateCall};
use super::values::{self, Values};
use crate::dataflow::held::memory::HeapSize;
use crate::value::{Diff, Layout, RowBuilder, key, row_of_key};

impl AggregateCall<'_> {
    /// Computes the call with `aggregate` over this column; with DISTINCT, over each distinct value once.
    pub(super) fn by_values<A: Aggregate>(&self, column: usize, aggregate: impl Fn(usize) -> A) -> Option<Box<dyn Accumulators>> {
        match self.simple.distinct {
            true => self.by(Distinct { column, value: Layout::new(&self.layout.schema().project(&[column])), aggregate: aggregate(0) }),
            false => self.by(aggregate(column)),
        }
    }
}

struct Distinct<A> {
    column: usize,
    /// Layout of the column alone.
    value: Layout,
    /// Reads rows of that layout.
    aggregate: A,
}

struct Different<S> {
    values: Values,
    state: S,
}

impl<S: Default> Default for Different<S> {
    fn default() -> Different<S> {
        Different { values: Values::default(), state: S::default() }
    }
}

impl<A: Aggregate> Aggregate for Distinct<A> {
    type State = Different<A::State>;
    const GROWS: bool = true;

    fn add(&self, state: &mut Self::State, layout: &Layout, row: &[u8], diff: Diff) {
        if !layout.is_null(row, self.column) {
            state.values.add(&key::encode(layout, row, &[self.column]), diff);
        }
    }

    fn write(&self, state: &Self::State, out: &mut Vec<u8>) {
        state.values.write(out);
    }

    fn merge(&self, state: &mut Self::State, bytes: &mut &[u8]) {
        values::read(bytes, |value, diff| {
            let (before, now) = state.values.add(value, diff);
            let change = Diff::from(now > 0) - Diff::from(before > 0);
            if change != 0 {
                let row = row_of_key(&self.value, value).expect("it was made of a value");
                self.aggregate.add(&mut state.state, &self.value, &row, change);
            }
        });
    }

    fn finish(&self, state: &Self::State, builder: &mut RowBuilder) -> Result<(), String> {
        self.aggregate.finish(&state.state, builder)
    }
}

impl<S: HeapSize> HeapSize for Different<S> {
    fn held_bytes(&self) -> usize {
        self.values.held_bytes() + self.state.held_bytes()
    }
}
