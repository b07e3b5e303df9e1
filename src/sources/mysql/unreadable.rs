//! A row with a value that cannot be converted. It is left out and reported with its key and the reason.
//!
//! An unreadable row is never in the engine's state. So an unreadable image before an update or a delete removes nothing, and a readable
//! image after an update of an unreadable row is an insert.

use super::schema::MysqlTable;
use super::values::ValueError;
use crate::sources::Rejected;
use crate::value::{Datum, Row, write_text};

/// The first value of a row that cannot be converted, and the row with NULL for each such value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unreadable {
    pub(crate) column: usize,
    pub(crate) error: ValueError,
    pub(crate) row: Row,
}

impl Unreadable {
    /// `place` says where the row was read, such as `in the snapshot`.
    pub(crate) fn rejected(&self, table: &MysqlTable, place: &str) -> Rejected {
        Rejected {
            table: Some(table.table.name.clone()),
            place: format!("{} {place}", self.key(table)),
            reason: format!("the column `{}` holds {}", table.columns[self.column].name, self.error),
        }
    }

    /// `id = 7, line = 2`, or `a row` if the table has no key or the key cannot be read.
    fn key(&self, table: &MysqlTable) -> String {
        let key = &table.table.key;
        let is_whole = key.iter().all(|&column| table.layout.get(&self.row, column) != Datum::Null);
        if key.is_empty() || !is_whole {
            return "a row".into();
        }
        let columns = table.table.schema.columns();
        let part = |&column: &usize| {
            let mut text = Vec::new();
            write_text(&columns[column].ty, table.layout.get(&self.row, column), &mut text);
            format!("{} = {}", columns[column].name, String::from_utf8_lossy(&text))
        };
        key.iter().map(part).collect::<Vec<_>>().join(", ")
    }
}
