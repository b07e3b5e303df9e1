//! How large tables are, found by bounded reads, for estimates before the first run.

use super::RowCount;
use crate::value::Rows;

/// The size of a table, and some of its rows.
#[derive(Debug, Clone, Default)]
pub struct TableExtent {
    pub rows: Option<RowCount>,
    /// The bytes that a capture reads, if the source knows them; those of a file.
    pub read_bytes: Option<u64>,
    /// The mean bytes of a packed row, if the source knows them otherwise than from `places`.
    pub row_bytes: Option<f64>,
    /// Rows from several places of the table, as a capture sends them. Each entry has successive rows.
    pub places: Vec<Rows>,
    /// Whether `places` have all rows of the table.
    pub whole: bool,
}

/// The sizes of all tables of a source.
#[derive(Debug, Clone, Default)]
pub struct SourceExtent {
    /// For each table, its size, or why that cannot be known: the rest of a sentence that begins with the table's name.
    pub tables: Vec<Result<TableExtent, String>>,
    /// What of a first run is not part of these sizes, as a sentence without its end.
    pub beside: Option<String>,
}

impl TableExtent {
    /// A table whose rows are all of these.
    pub(super) fn whole(rows: Rows, read_bytes: Option<u64>) -> TableExtent {
        let count = RowCount { rows: rows.len() as u64, exact: true };
        TableExtent { rows: Some(count), read_bytes, row_bytes: None, places: vec![rows], whole: true }
    }
}
