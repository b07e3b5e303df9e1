//! How messages name what a query made and an expression failed on: by the columns that make it unique, as `{"order_id":7}`.

use crate::plan::{Node, Plan};
use crate::value::{Layout, RowBuilder, json, row_of_key};

pub(super) const ROW: &str = "a row of the query";

/// The columns that make a row of some rows unique.
pub(super) struct Key {
    rows: Layout,
    columns: Vec<usize>,
    /// Of these columns.
    key: Layout,
}

impl Key {
    /// Of a node's rows, as far as it is known.
    pub(super) fn of(plan: &Plan, node: &Node) -> Key {
        Key::new(Layout::new(node.schema()), plan.key_of(node).unwrap_or_default())
    }

    pub(super) fn new(rows: Layout, columns: Vec<usize>) -> Key {
        let key = Layout::new(&rows.schema().project(&columns));
        Key { rows, columns, key }
    }

    /// What it is, with the key of a row if that is known, and what is wrong.
    pub(super) fn tell(&self, what: &str, row: &[u8], reason: &str) -> String {
        format!("{what}{}: {reason}", self.text(row))
    }

    /// The key of a row, after a space; nothing where it is not known.
    pub(super) fn text(&self, row: &[u8]) -> String {
        if self.columns.is_empty() {
            return String::new();
        }
        let mut builder = RowBuilder::new(&self.key);
        self.columns.iter().for_each(|&column| builder.push(self.rows.get(row, column)));
        text(&self.key, &builder.finish())
    }
}

/// What some rows with one key are, with that key as bytes, and what is wrong with them.
pub(super) fn tell_of_key(what: &str, layout: &Layout, key: &[u8], reason: &str) -> String {
    match row_of_key(layout, key).filter(|_| !layout.schema().is_empty()) {
        Some(row) => format!("{what}{}: {reason}", text(layout, &row)),
        None => format!("{what} of all rows: {reason}"),
    }
}

fn text(layout: &Layout, row: &[u8]) -> String {
    let mut out = vec![b' '];
    json::write_row(layout, row, &mut out);
    String::from_utf8(out).unwrap_or_default()
}
