//! Places of rows in an order, as bytes.

use crate::plan::Order;
use crate::value::{Layout, Schema, key};

/// Appends bytes that have the order of the rows, as far as this column goes.
pub(crate) fn place_into(order: &Order, layout: &Layout, row: &[u8], out: &mut Vec<u8>) {
    let null = layout.is_null(row, order.column);
    out.push(u8::from(null != order.nulls_first));
    let from = out.len();
    if !null {
        key::of_into(layout, row, &[order.column], out);
    }
    if order.descending {
        out[from..].iter_mut().for_each(|byte| *byte = !*byte);
    }
}

/// Makes the places of rows of one schema in one order. No place begins with another one.
pub(crate) struct Places {
    layout: Layout,
    order: Vec<Order>,
}

impl Places {
    pub(crate) fn new(schema: &Schema, order: &[Order]) -> Places {
        Places { layout: Layout::new(schema), order: order.to_vec() }
    }

    /// Appends the place of a row.
    pub(crate) fn of_into(&self, row: &[u8], place: &mut Vec<u8>) {
        self.order.iter().for_each(|order| place_into(order, &self.layout, row, place));
    }
}
