//! Rows of a table as a part of a document reads them, outside of a dataflow.

use super::selector::Inlet;
use crate::dataflow::held::updates::{Update, Updates};
use crate::dataflow::time::START;
use crate::plan::TableRows;
use crate::value::{Rows, Schema};

/// The selected ones of these rows, in their order. Rows that fail are left out.
pub fn select_rows(input: &TableRows, table: &Schema, rows: &Rows) -> Rows {
    let mut updates = Updates::default();
    for row in rows.iter() {
        updates.push(Update { key: &[], row, moment: START, diff: 1 });
    }
    let mut selected = Rows::default();
    Inlet::of_table(input, table).pass(&updates, |row, _| selected.push(row), |_, _| {});
    selected
}
