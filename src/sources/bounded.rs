//! Bounded reads of a source's tables, for showing a few documents without a capture.
//!
//! In: which rows of a table are wanted, how many at most, and until when. Out: only such rows, each as often as the table has it, and why
//! some may be missing: no row is left out silently.

use std::collections::HashSet;
use std::time::Instant;

use async_trait::async_trait;

use super::{Rejected, SourceError};
use crate::value::{Layout, Row, Rows, key};

/// What is read of a table.
#[derive(Debug, Clone)]
pub struct BoundedRead {
    /// Index into the tables with which the reader was opened.
    pub table: usize,
    pub wanted: WantedRows,
    /// The most rows that are returned.
    pub most: usize,
    /// When the read ends at the latest, with what it has read.
    pub until: Instant,
}

#[derive(Debug, Clone)]
pub enum WantedRows {
    /// The first rows, in the order of the primary key if there is one.
    First,
    /// The rows whose `columns` equal one of `keys`. A key is a packed row of these columns; none of its values is NULL.
    Matching { columns: Vec<usize>, keys: Vec<Row> },
}

/// The rows that a bounded read has found.
#[derive(Debug, Default)]
pub struct ReadRows {
    pub rows: Rows,
    /// Wanted rows that cannot be read. They are not in `rows`.
    pub rejected: Vec<Rejected>,
    /// Why wanted rows may be missing. `None`: all are here; for [`WantedRows::First`] these are all rows of the table.
    pub left: Option<LeftRows>,
}

/// Why a bounded read may lack rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LeftRows {
    /// There are more than the most that may be returned.
    More,
    /// The time was over. `help`: how to make the read faster, if known.
    Late { help: Option<String> },
    /// The source cannot look for equal values of this column, so these are the first rows of the table.
    Incomparable { column: String },
}

/// Reads tables of one source. All reads of one reader see the same state of the source.
#[async_trait]
pub trait BoundedReader: Send {
    async fn read(&mut self, read: BoundedRead) -> Result<ReadRows, SourceError>;

    /// Why the rows may differ from those that a run would have, if they may.
    fn caveat(&self) -> Option<String> {
        None
    }
}

/// The keys of wanted rows, with the columns that have them. `None`: all rows are wanted.
pub(super) struct WantedKeys(Option<(Vec<usize>, HashSet<Row>)>);

impl WantedRows {
    /// `layout`: that of the table.
    pub(super) fn keys(&self, layout: &Layout) -> WantedKeys {
        let WantedRows::Matching { columns, keys } = self else { return WantedKeys(None) };
        let of_key = Layout::new(&layout.schema().project(columns));
        let all: Vec<usize> = (0..columns.len()).collect();
        WantedKeys(Some((columns.clone(), keys.iter().map(|row| key::encode(&of_key, row, &all)).collect())))
    }
}

impl WantedKeys {
    pub(super) fn has(&self, layout: &Layout, row: &[u8]) -> bool {
        self.0.as_ref().is_none_or(|(columns, keys)| keys.contains(&key::encode(layout, row, columns)))
    }
}
