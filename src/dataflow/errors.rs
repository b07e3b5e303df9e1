//! How messages identify rows that a query made and on which an expression failed: by their key, as `{"order_id":7}`.

use super::changes::Failure;
use crate::plan::{Node, Plan};
use crate::value::{Layout, Row, RowBuilder, json, row_of_key};

impl Failure {
    /// A failure of a row that a query made: only the reason is given.
    pub(crate) fn of_query(reason: String) -> Failure {
        Failure { row: Row::default(), reason }
    }
}

/// How messages name a row that a query made.
pub(crate) const ROW: &str = "a row of the query";

/// The columns that identify a row.
pub(crate) struct Key {
    rows: Layout,
    columns: Vec<usize>,
    /// Layout of the key's columns.
    key: Layout,
}

impl Key {
    /// The key of a node's rows; without columns if unknown.
    pub(crate) fn of_node(plan: &Plan, node: &Node) -> Key {
        Key::new(Layout::new(node.schema()), plan.key_of(node).unwrap_or_default())
    }

    pub(crate) fn new(rows: Layout, columns: Vec<usize>) -> Key {
        let key = Layout::new(&rows.schema().project(&columns));
        Key { rows, columns, key }
    }

    /// The message: what the row is, its key if known, and the reason.
    pub(crate) fn tell(&self, what: &str, row: &[u8], reason: &str) -> String {
        format!("{what}{}: {reason}", self.text(row))
    }

    /// The key of a row after a space; empty if the key is unknown.
    pub(crate) fn text(&self, row: &[u8]) -> String {
        if self.columns.is_empty() {
            return String::new();
        }
        let mut builder = RowBuilder::new(&self.key);
        self.columns.iter().for_each(|&column| builder.push(self.rows.get(row, column)));
        text(&self.key, &builder.finish())
    }
}

/// The message: what the rows with this key are, the key, and the reason.
pub(crate) fn tell_of_key(what: &str, layout: &Layout, key: &[u8], reason: &str) -> String {
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
