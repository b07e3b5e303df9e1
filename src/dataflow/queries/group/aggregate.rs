//! The states of groups for one call of an aggregate function.
//!
//! In: changes of rows, each with the place of its group. Out: the call's value for a group. The state of a part of the rows is written as
//! bytes and merged into the state of the whole group. Parts may be merged in any order, so a value may be deleted before it is inserted.
//! Elsewhere: which [`Aggregate`] a call has ([`super::calls`]).

use crate::dataflow::held::memory::{HeapSize, block};
use crate::dataflow::held::updates::Updates;
use crate::plan::{AggregateFunction, Argument, Order, Simple};
use crate::value::{Datum, Diff, Layout, RowBuilder, Type};

/// An aggregate function over the rows of a group.
pub(super) trait Aggregate: 'static {
    /// The state of a group. The default is that of no rows; when all inserted rows are deleted again, nothing else is left.
    type State: Default + HeapSize;
    /// Whether a state grows with the number of rows.
    const GROWS: bool = false;

    /// Adds `diff` copies of a row.
    fn add(&self, state: &mut Self::State, layout: &Layout, row: &[u8], diff: Diff);
    /// Appends the state as bytes.
    fn write(&self, state: &Self::State, out: &mut Vec<u8>);
    /// Merges a state that [`write`](Aggregate::write) wrote, taken from the front of `bytes`.
    fn merge(&self, state: &mut Self::State, bytes: &mut &[u8]);
    /// Pushes the value, or returns why there is none.
    fn finish(&self, state: &Self::State, builder: &mut RowBuilder) -> Result<(), String>;
}

/// The states of all groups for one call, by the groups' places.
pub(super) trait Accumulators {
    fn grows(&self) -> bool;
    /// Makes sure that there are states for this many groups.
    fn reach(&mut self, groups: usize);
    /// Adds rows, each to the state at its place.
    fn add(&mut self, layout: &Layout, rows: &Updates, places: &[usize]);
    fn write(&self, place: usize, out: &mut Vec<u8>);
    fn merge(&mut self, place: usize, bytes: &mut &[u8]);
    fn finish(&self, place: usize, builder: &mut RowBuilder) -> Result<(), String>;
    /// Resets the state to that of no rows.
    fn reset(&mut self, place: usize);
    /// Removes all states.
    fn clear(&mut self);
    fn held_bytes(&self) -> usize;
}

/// A call whose columns refer to `layout`. `only_come`: rows are only inserted, never deleted.
pub(super) struct AggregateCall<'a> {
    pub(super) function: &'a AggregateFunction,
    pub(super) simple: Simple<'a>,
    pub(super) layout: &'a Layout,
    pub(super) only_come: bool,
}

impl AggregateCall<'_> {
    /// Whether the call's function has one of these names.
    pub(super) fn is(&self, names: &[&str]) -> bool {
        names.contains(&self.simple.name)
    }

    pub(super) fn output(&self) -> &Type {
        &self.function.output().ty
    }

    /// The argument, if it is the only one and a column.
    pub(super) fn column(&self) -> Option<usize> {
        match self.simple.arguments.as_slice() {
            [Argument::Column(column)] => Some(*column),
            _ => None,
        }
    }

    /// The column of the only argument, if it is read as a double.
    pub(super) fn float(&self) -> Option<usize> {
        match self.simple.arguments.as_slice() {
            [Argument::Float(column)] => Some(*column),
            _ => None,
        }
    }

    pub(super) fn type_of(&self, column: usize) -> &Type {
        &self.layout.schema().columns()[column].ty
    }

    pub(super) fn text(&self) -> String {
        self.function.text().to_string()
    }

    pub(super) fn order(&self) -> Vec<Order> {
        self.simple.order_by.clone()
    }

    /// Accumulators that use this aggregate, over the rows that pass the call's filter.
    pub(super) fn by<A: Aggregate>(&self, aggregate: A) -> Option<Box<dyn Accumulators>> {
        let counted = CountedRows { filter: self.simple.filter, not_null: self.simple.not_null };
        Some(Box::new(States { aggregate, counted, states: Vec::new(), bytes: 0 }))
    }
}

/// Accumulators that use this aggregate, over all rows.
pub(super) fn of_all_rows<A: Aggregate>(aggregate: A) -> Box<dyn Accumulators> {
    Box::new(States { aggregate, counted: CountedRows::default(), states: Vec::new(), bytes: 0 })
}

/// Which rows are counted.
#[derive(Default)]
struct CountedRows {
    /// Only rows where this column is true.
    filter: Option<usize>,
    /// Only rows where this column is not NULL.
    not_null: Option<usize>,
}

impl CountedRows {
    #[inline]
    fn counts(&self, layout: &Layout, row: &[u8]) -> bool {
        self.filter.is_none_or(|column| matches!(layout.get(row, column), Datum::Bool(true)))
            && self.not_null.is_none_or(|column| !layout.is_null(row, column))
    }
}

struct States<A: Aggregate> {
    aggregate: A,
    counted: CountedRows,
    states: Vec<A::State>,
    /// Heap memory of the states.
    bytes: usize,
}

impl<A: Aggregate> States<A> {
    /// Changes the state at a place and updates `bytes`.
    #[inline]
    fn change(&mut self, place: usize, change: impl FnOnce(&A, &mut A::State)) {
        let state = &mut self.states[place];
        let before = state.held_bytes();
        change(&self.aggregate, state);
        self.bytes = self.bytes + state.held_bytes() - before;
    }
}

impl<A: Aggregate> Accumulators for States<A> {
    fn grows(&self) -> bool {
        A::GROWS
    }

    fn reach(&mut self, groups: usize) {
        if self.states.len() < groups {
            self.states.resize_with(groups, A::State::default);
        }
    }

    fn add(&mut self, layout: &Layout, rows: &Updates, places: &[usize]) {
        for (update, &place) in rows.iter().zip(places) {
            if self.counted.counts(layout, update.row) {
                self.change(place, |aggregate, state| aggregate.add(state, layout, update.row, update.diff));
            }
        }
    }

    fn write(&self, place: usize, out: &mut Vec<u8>) {
        self.aggregate.write(&self.states[place], out);
    }

    fn merge(&mut self, place: usize, bytes: &mut &[u8]) {
        self.change(place, |aggregate, state| aggregate.merge(state, bytes));
    }

    fn finish(&self, place: usize, builder: &mut RowBuilder) -> Result<(), String> {
        self.aggregate.finish(&self.states[place], builder)
    }

    fn reset(&mut self, place: usize) {
        self.change(place, |_, state| *state = A::State::default());
    }

    fn clear(&mut self) {
        self.states.clear();
        self.bytes = 0;
    }

    fn held_bytes(&self) -> usize {
        block(self.states.capacity() * size_of::<A::State>()) + self.bytes
    }
}

/// Takes a value of fixed length from the front.
pub(super) fn take<const N: usize>(bytes: &mut &[u8]) -> [u8; N] {
    let (taken, rest) = bytes.split_first_chunk().expect("it was written whole");
    *bytes = rest;
    *taken
}

pub(super) fn take_diff(bytes: &mut &[u8]) -> Diff {
    Diff::from_le_bytes(take(bytes))
}

/// Writes bytes preceded by their length.
pub(super) fn write_bytes(written: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(&(written.len() as u32).to_le_bytes());
    out.extend_from_slice(written);
}

pub(super) fn take_bytes<'a>(bytes: &mut &'a [u8]) -> &'a [u8] {
    let length = u32::from_le_bytes(take(bytes)) as usize;
    let (taken, rest) = bytes.split_at(length);
    *bytes = rest;
    taken
}
