//! Rows that fail: the stream that carries them beside an operator's rows, and how messages name what a query made and an expression failed
//! on: by the columns that make it unique, as `{"order_id":7}`.

use timely::dataflow::Stream;

use super::changes::Failure;
use super::time::Moment;
use crate::plan::{Node, Plan};
use crate::value::{Diff, Layout, Row, RowBuilder, json, row_of_key};

/// Rows that an expression failed on, and how often each comes or goes at a moment.
pub(crate) type Errors<'s, T> = Stream<'s, T, Vec<(Failure, Moment, Diff)>>;

impl Failure {
    /// Of what a query made: the reason says all.
    pub(crate) fn of_query(reason: String) -> Failure {
        Failure { row: Row::default(), reason }
    }
}

pub(crate) const ROW: &str = "a row of the query";

/// The columns that make a row of some rows unique.
pub(crate) struct Key {
    rows: Layout,
    columns: Vec<usize>,
    /// Of these columns.
    key: Layout,
}

impl Key {
    /// Of a node's rows, as far as it is known.
    pub(crate) fn of(plan: &Plan, node: &Node) -> Key {
        Key::new(Layout::new(node.schema()), plan.key_of(node).unwrap_or_default())
    }

    pub(crate) fn new(rows: Layout, columns: Vec<usize>) -> Key {
        let key = Layout::new(&rows.schema().project(&columns));
        Key { rows, columns, key }
    }

    /// What it is, with the key of a row if that is known, and what is wrong.
    pub(crate) fn tell(&self, what: &str, row: &[u8], reason: &str) -> String {
        format!("{what}{}: {reason}", self.text(row))
    }

    /// The key of a row, after a space; nothing where it is not known.
    pub(crate) fn text(&self, row: &[u8]) -> String {
        if self.columns.is_empty() {
            return String::new();
        }
        let mut builder = RowBuilder::new(&self.key);
        self.columns.iter().for_each(|&column| builder.push(self.rows.get(row, column)));
        text(&self.key, &builder.finish())
    }
}

/// What some rows with one key are, with that key as bytes, and what is wrong with them.
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
