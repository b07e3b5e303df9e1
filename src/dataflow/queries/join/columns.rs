//! The columns of a pair of rows.

use crate::value::{Datum, Layout, RowBuilder};

/// Pushes columns of a left and a right row. Numbers of right columns follow those of the left ones. A missing row yields NULL.
pub(crate) fn push_columns(builder: &mut RowBuilder, layouts: &[Layout; 2], columns: &[usize], left: Option<&[u8]>, right: Option<&[u8]>) {
    let width = layouts[0].schema().len();
    for &column in columns {
        let (row, layout, column) = match column.checked_sub(width) {
            None => (left, &layouts[0], column),
            Some(column) => (right, &layouts[1], column),
        };
        builder.push(row.map_or(Datum::Null, |row| layout.get(row, column)));
    }
}
