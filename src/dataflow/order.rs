//! Places of rows in an order, as bytes.

use crate::plan::Order;
use crate::value::{Layout, key};

/// Appends bytes that have the order of the rows, as far as this column goes.
pub(super) fn place_into(order: &Order, layout: &Layout, row: &[u8], out: &mut Vec<u8>) {
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
