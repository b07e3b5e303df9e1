//! What a source itself must remember, exact at every position: notes, as pairs of bytes that are committed with the rows.
//!
//! A source that keeps notes ([`Source::keeps_notes`](super::Source::keeps_notes)) has one more table at the end of
//! [`Capture::tables`](super::Capture::tables). It sends rows and changes of that table as of any other, and reads them back from
//! [`HeldRows`](super::HeldRows). No view sees them.

use super::Table;
use crate::value::{Column, Datum, Layout, Row, RowBuilder, Schema, Type};

/// The name of the table of notes.
pub const NOTES: &str = "#notes";

/// The table of a source's notes.
pub fn notes_table() -> Table {
    let schema = Schema::new(vec![Column::new("key", Type::Binary, false), Column::new("value", Type::Binary, false)]);
    Table { name: NOTES.into(), schema, key: vec![0], stream: false }
}

/// Packs notes into rows of [`notes_table`], and unpacks them.
#[derive(Debug)]
pub struct Notes {
    layout: Layout,
    builder: RowBuilder,
}

impl Default for Notes {
    fn default() -> Notes {
        let layout = Layout::new(&notes_table().schema);
        Notes { builder: RowBuilder::new(&layout), layout }
    }
}

impl Notes {
    pub fn row(&mut self, key: &[u8], value: &[u8]) -> Row {
        self.builder.push(Datum::Binary(key));
        self.builder.push(Datum::Binary(value));
        self.builder.finish()
    }

    pub fn key<'a>(&self, row: &'a [u8]) -> &'a [u8] {
        self.binary(row, 0)
    }

    pub fn value<'a>(&self, row: &'a [u8]) -> &'a [u8] {
        self.binary(row, 1)
    }

    fn binary<'a>(&self, row: &'a [u8], column: usize) -> &'a [u8] {
        match self.layout.get(row, column) {
            Datum::Binary(bytes) => bytes,
            _ => &[],
        }
    }
}
