//! A row of which a value cannot be carried: it is left out, and told of with its key and the reason.
//!
//! What cannot be read is never held. So the image of such a row before an update or a delete takes nothing away, and a readable image
//! after an update is a row that comes.

use super::schema::MysqlTable;
use super::values::ValueError;
use crate::sources::Rejected;
use crate::value::{Datum, Row, write_text};

/// The first value of a row that cannot be carried, and the row with NULL in the place of each such value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unreadable {
    pub(crate) column: usize,
    pub(crate) error: ValueError,
    pub(crate) row: Row,
}

impl Unreadable {
    /// `place`: where it came from, such as `in the snapshot`.
    pub(crate) fn rejected(&self, table: &MysqlTable, place: &str) -> Rejected {
        Rejected {
            table: Some(table.table.name.clone()),
            place: format!("{} {place}", self.key(table)),
            reason: format!("the column `{}` holds {}", table.columns[self.column].name, self.error),
        }
    }

    /// `id = 7, line = 2`; a row whose key cannot be read is only told by its place.
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
