//! A foreign key between two tables of a run.

use mysql_async::Conn;

use super::matching::{Asker, Matching};
use super::note;
use crate::sources::SourceError;
use crate::sources::mysql::foreign_keys::ForeignKey;
use crate::sources::mysql::schema::MysqlTable;
use crate::sources::mysql::table_at::TableAt;
use crate::value::{Datum, Layout, Row, RowBuilder, Type, key, row_of_key};

/// A foreign key with its tables and columns found.
#[derive(Debug)]
pub(super) struct Linked {
    pub(super) key: ForeignKey,
    /// Indexes of tables of the run.
    pub(super) child: usize,
    pub(super) child_columns: Vec<usize>,
    pub(super) parent: usize,
    pub(super) parent_columns: Vec<usize>,
    /// For each column.
    matching: Vec<Matching>,
    /// The columns of the key.
    layout: Layout,
}

/// The values of a foreign key, as the key of notes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct LinkKey {
    /// [`note::KNOWN`] or [`note::AS_IS`].
    pub(super) form: u8,
    pub(super) bytes: Vec<u8>,
}

impl Linked {
    /// `None` if a table or column is not there.
    pub(super) async fn new(conn: &mut Conn, key: ForeignKey, tables: &[MysqlTable]) -> Result<Option<Linked>, SourceError> {
        let find = |at: &TableAt, columns: &[String]| {
            let table = tables.iter().position(|table| table.at() == *at)?;
            let columns = columns.iter().map(|name| tables[table].column(name)).collect::<Option<Vec<usize>>>()?;
            Some((table, columns))
        };
        let (Some((child, child_columns)), Some((parent, parent_columns))) =
            (find(&key.child, &key.columns), find(&key.parent, &key.referenced))
        else {
            return Ok(None);
        };
        let mut matching = Vec::with_capacity(child_columns.len());
        for &column in &child_columns {
            let column = &tables[child].columns[column];
            let is_text = tables[child].table.schema.columns()[child_columns[matching.len()]].ty == Type::Text;
            let of_collation = column.collation.as_deref().filter(|_| is_text && column.kind.is_text()).map(Matching::of_collation);
            matching.push(match of_collation {
                None => Matching::Value,
                Some(None) => return Ok(None),
                Some(Some(matching)) => matching.verified(conn).await?,
            });
        }
        let layout = Layout::new(&tables[child].table.schema.project(&child_columns));
        Ok(Some(Linked { key, child, child_columns, parent, parent_columns, matching, layout }))
    }

    /// The key of a child's row; `None` if one of its columns is NULL, so that it has no parent.
    pub(super) fn child_key(&self, child: &MysqlTable, row: &[u8]) -> Option<LinkKey> {
        self.link_key(&child.layout, row, &self.child_columns)
    }

    /// The key of a parent's row; `None` if one of its columns is NULL, so that it has no children.
    pub(super) fn parent_key(&self, parent: &MysqlTable, row: &[u8]) -> Option<LinkKey> {
        self.link_key(&parent.layout, row, &self.parent_columns)
    }

    fn link_key(&self, layout: &Layout, row: &[u8], columns: &[usize]) -> Option<LinkKey> {
        if columns.iter().any(|column| layout.is_null(row, *column)) {
            return None;
        }
        let mut bytes = Vec::with_capacity(24);
        for (&column, matching) in columns.iter().zip(&self.matching) {
            let datum = layout.get(row, column);
            let form = match datum {
                Datum::Text(text) => matching.form(text),
                _ => {
                    key::push(&layout.schema().columns()[column].ty, datum, &mut bytes);
                    continue;
                }
            };
            match form {
                Some(form) => key::push(&Type::Text, Datum::Text(&form), &mut bytes),
                None => return Some(LinkKey { form: note::AS_IS, bytes: key::encode(layout, row, columns).to_vec() }),
            }
        }
        Some(LinkKey { form: note::KNOWN, bytes })
    }

    /// Whether a key that is not in [`note::KNOWN`] form can equal others, so that the server must be asked.
    pub(super) fn may_ask(&self) -> bool {
        self.matching.iter().any(|matching| matching.collation().is_some())
    }

    /// Of these keys, those that equal `wanted` at the server.
    pub(super) async fn equal(&self, asker: &mut Asker<'_>, wanted: &[u8], keys: Vec<LinkKey>) -> Result<Vec<LinkKey>, SourceError> {
        let damaged = || super::again("a note on a foreign key cannot be read");
        let wanted = row_of_key(&self.layout, wanted).ok_or_else(damaged)?;
        let mut left: Vec<(LinkKey, Row)> = Vec::with_capacity(keys.len());
        for key in keys {
            let row = row_of_key(&self.layout, &key.bytes).ok_or_else(damaged)?;
            left.push((key, row));
        }
        for (column, matching) in self.matching.iter().enumerate() {
            let text = |row: &Row| match self.layout.get(row, column) {
                Datum::Text(text) => Some(text.to_string()),
                _ => None,
            };
            match (matching.collation(), text(&wanted)) {
                (Some(collation), Some(wanted)) => {
                    let texts: Vec<String> = left.iter().map(|(_, row)| text(row).unwrap_or_default()).collect();
                    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
                    let mut answers = asker.equal(collation, &wanted, &texts).await?.into_iter();
                    left.retain(|_| answers.next() == Some(true));
                }
                (None, Some(wanted)) => left.retain(|(_, row)| matching.form(&text(row).unwrap_or_default()) == matching.form(&wanted)),
                (_, None) => left.retain(|(_, row)| self.layout.get(row, column) == self.layout.get(&wanted, column)),
            }
        }
        Ok(left.into_iter().map(|(key, _)| key).collect())
    }

    /// The child's row with these columns of the parent's row, or with NULL in their place.
    pub(super) fn written(&self, child: &MysqlTable, row: &[u8], parent: Option<(&MysqlTable, &[u8])>) -> Row {
        let mut builder = RowBuilder::new(&child.layout);
        for column in 0..child.columns.len() {
            let place = self.child_columns.iter().position(|own| *own == column);
            builder.push(match (place, parent) {
                (None, _) => child.layout.get(row, column),
                (Some(_), None) => Datum::Null,
                (Some(place), Some((table, parent))) => table.layout.get(parent, self.parent_columns[place]),
            });
        }
        builder.finish()
    }
}
