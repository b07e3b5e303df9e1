//! Which columns of a table its file has: all but the place of a stream's row, which the source numbers itself.

use crate::sources::Table;
use crate::value::Column;

/// The columns that are in the file.
pub(super) fn own_columns(table: &Table) -> &[Column] {
    let columns = table.schema.columns();
    &columns[..columns.len() - usize::from(table.stream)]
}
