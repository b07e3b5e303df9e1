//! Finds the columns of a table that are in its file: all but the row offset of a stream, which the source assigns.

use crate::sources::Table;
use crate::value::Column;

/// The columns that are in the file.
pub(super) fn own_columns(table: &Table) -> &[Column] {
    let columns = table.schema.columns();
    &columns[..columns.len() - usize::from(table.stream)]
}
