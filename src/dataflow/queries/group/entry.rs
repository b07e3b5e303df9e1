//! Values of a column in an order of their rows, as bytes.
//!
//! An entry is the row's place in the order, then the packed value, then how long the former is (`u32`, little endian): entries have the order
//! of the rows, and where that leaves them equal, one of the values' bytes. Where only different values matter, equal ones have equal entries.

use std::cell::RefCell;

use super::aggregate::Call;
use crate::dataflow::held::order::place_into;
use crate::plan::Order;
use crate::value::{Datum, Layout, RowBuilder, key};

pub(super) struct Entries {
    order: Vec<Order>,
    pub(super) column: usize,
    /// Of the column alone.
    pub(super) value: Layout,
    distinct: bool,
    scratch: RefCell<Scratch>,
}

struct Scratch {
    entry: Vec<u8>,
    builder: RowBuilder,
}

impl Entries {
    /// Of a column, in an order; in that of the values where it is of nothing.
    pub(super) fn new(call: &Call, column: usize, order: Vec<Order>) -> Entries {
        let value = Layout::new(&call.layout.schema().project(&[column]));
        let scratch = RefCell::new(Scratch { entry: Vec::new(), builder: RowBuilder::new(&value) });
        Entries { order, column, value, distinct: call.simple.distinct, scratch }
    }

    /// Does something with the entry of a row.
    pub(super) fn with<T>(&self, layout: &Layout, row: &[u8], what: impl FnOnce(&[u8]) -> T) -> T {
        let Scratch { entry, builder } = &mut *self.scratch.borrow_mut();
        entry.clear();
        match self.order.as_slice() {
            [] => key::of_into(layout, row, &[self.column], entry),
            order => order.iter().for_each(|by| place_into(by, layout, row, entry)),
        }
        let place = entry.len() as u32;
        builder.push(match layout.get(row, self.column) {
            // There are two zeros, which are equal.
            Datum::Float64(0.0) if self.distinct => Datum::Float64(0.0),
            Datum::Float32(0.0) if self.distinct => Datum::Float32(0.0),
            value => value,
        });
        builder.finish_into(entry);
        entry.extend_from_slice(&place.to_le_bytes());
        what(entry)
    }
}

/// The place and the packed value of an entry.
pub(super) fn place_and_value(entry: &[u8]) -> (&[u8], &[u8]) {
    let (entry, place) = entry.split_last_chunk().expect("it ends with a number");
    entry.split_at(u32::from_le_bytes(*place) as usize)
}
