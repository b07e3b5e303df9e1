//! Sort keys: bytes that compare like rows in an order.

use crate::plan::Order;
use crate::value::{Layout, Schema, key};

/// Appends bytes that compare like the rows do by this column.
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

/// Builds sort keys for rows of one schema in one order. No sort key is a prefix of another one.
pub(crate) struct SortKeys {
    layout: Layout,
    order: Vec<Order>,
}

impl SortKeys {
    pub(crate) fn new(schema: &Schema, order: &[Order]) -> SortKeys {
        SortKeys { layout: Layout::new(schema), order: order.to_vec() }
    }

    /// Appends the sort key of a row.
    pub(crate) fn of_into(&self, row: &[u8], place: &mut Vec<u8>) {
        self.order.iter().for_each(|order| place_into(order, &self.layout, row, place));
    }
}
