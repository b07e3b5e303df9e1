//! Values of a column as byte strings that sort in an order of their rows.
//!
//! An entry is the row's sort key, then the packed value, then the length of the sort key (`u32`, little endian). So entries sort like
//! their rows, and rows that are equal in the order sort by the bytes of their values. With DISTINCT, equal values have equal entries.

use std::cell::RefCell;

use super::aggregate::AggregateCall;
use crate::dataflow::held::order::place_into;
use crate::plan::Order;
use crate::value::{Datum, Layout, RowBuilder, key};

pub(super) struct Entries {
    order: Vec<Order>,
    pub(super) column: usize,
    /// Layout of the column alone.
    pub(super) value: Layout,
    distinct: bool,
    scratch: RefCell<Scratch>,
}

struct Scratch {
    entry: Vec<u8>,
    builder: RowBuilder,
}

impl Entries {
    /// Entries of a column, sorted by `order`, or by value if `order` is empty.
    pub(super) fn new(call: &AggregateCall, column: usize, order: Vec<Order>) -> Entries {
        let value = Layout::new(&call.layout.schema().project(&[column]));
        let scratch = RefCell::new(Scratch { entry: Vec::new(), builder: RowBuilder::new(&value) });
        Entries { order, column, value, distinct: call.simple.distinct, scratch }
    }

    /// Calls `what` with the entry of a row.
    pub(super) fn with<T>(&self, layout: &Layout, row: &[u8], what: impl FnOnce(&[u8]) -> T) -> T {
        let Scratch { entry, builder } = &mut *self.scratch.borrow_mut();
        entry.clear();
        match self.order.as_slice() {
            [] => key::of_into(layout, row, &[self.column], entry),
            order => order.iter().for_each(|by| place_into(by, layout, row, entry)),
        }
        let place = entry.len() as u32;
        builder.push(match layout.get(row, self.column) {
            // 0.0 and -0.0 are equal, so they get equal entries.
            Datum::Float64(0.0) if self.distinct => Datum::Float64(0.0),
            Datum::Float32(0.0) if self.distinct => Datum::Float32(0.0),
            value => value,
        });
        builder.finish_into(entry);
        entry.extend_from_slice(&place.to_le_bytes());
        what(entry)
    }
}

/// The sort key and the packed value of an entry.
pub(super) fn place_and_value(entry: &[u8]) -> (&[u8], &[u8]) {
    let (entry, place) = entry.split_last_chunk().expect("it ends with a number");
    entry.split_at(u32::from_le_bytes(*place) as usize)
}
