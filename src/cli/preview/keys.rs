//! The values by which rows are looked up.

use std::collections::BTreeMap;

use crate::value::{Layout, Row, RowBuilder, Rows, Schema, key};

/// The different values of these columns, without those that have a NULL, as rows of another schema of the same types.
pub(super) fn distinct_keys(layout: &Layout, rows: &Rows, columns: &[usize], to: &Schema) -> Vec<Row> {
    let mut builder = RowBuilder::new(&Layout::new(to));
    let mut keys: BTreeMap<Row, Row> = BTreeMap::new();
    for row in rows.iter() {
        if let Some(key) = key::of_relation(layout, row, columns) {
            columns.iter().for_each(|&column| builder.push(layout.get(row, column)));
            keys.insert(key, builder.finish());
        }
    }
    keys.into_values().collect()
}
