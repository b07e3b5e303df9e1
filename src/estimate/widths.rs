//! The bytes of rows and keys whose values have known mean lengths, in the forms of [`crate::value`].

use crate::value::{Column, Schema, Type};

/// The bytes of a value of variable length of which nothing is known.
pub(super) const UNKNOWN_WIDTH: f64 = 24.0;
/// Rows with more bytes have wide end offsets.
const WIDE_ROW: f64 = 65_536.0;

/// The mean bytes of the values of one column.
pub(super) fn width_of_type(column: &Column) -> f64 {
    fixed_width(&column.ty).unwrap_or(UNKNOWN_WIDTH)
}

/// The bytes of every value of the type; `None` if they vary.
pub(super) fn fixed_width(ty: &Type) -> Option<f64> {
    ty.fixed_width().map(|width| width as f64)
}

/// The bytes of a packed row without its values of variable length.
pub(super) fn head_bytes(schema: &Schema) -> f64 {
    let variable = schema.columns().iter().filter(|column| fixed_width(&column.ty).is_none()).count();
    let fixed: f64 = schema.columns().iter().filter_map(|column| fixed_width(&column.ty)).sum();
    1.0 + schema.len().div_ceil(8) as f64 + fixed + 2.0 * variable as f64
}

/// The bytes of a packed row.
pub(super) fn row_bytes(schema: &Schema, widths: &[f64]) -> f64 {
    let variable: Vec<f64> =
        schema.columns().iter().zip(widths).filter(|(column, _)| fixed_width(&column.ty).is_none()).map(|(_, width)| *width).collect();
    let bytes = head_bytes(schema) + variable.iter().sum::<f64>();
    if bytes > WIDE_ROW { bytes + 2.0 * variable.len() as f64 } else { bytes }
}

/// The bytes of the key of these columns.
pub(super) fn key_bytes(schema: &Schema, widths: &[f64], columns: &[usize]) -> f64 {
    let one = |&column: &usize| match fixed_width(&schema.columns()[column].ty) {
        Some(width) => 1.0 + width,
        None => 3.0 + widths[column],
    };
    columns.iter().map(one).sum()
}
