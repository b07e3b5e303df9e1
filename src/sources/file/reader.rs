//! Makes rows of a file's chunks, whatever its format.

use super::bad_line::BadLine;
use super::chunks::{Chunk, Chunks};
use super::csv::CsvRows;
use super::jsonl::JsonRows;
use super::options::RowsFile;
use crate::sources::{SourceError, Table};
use crate::value::{RowBuilder, Rows};

#[derive(Debug)]
pub(super) enum Reader {
    Csv(CsvRows),
    JsonLines(JsonRows),
}

impl Reader {
    /// With the chunks of the file's rows, from the first on. `None` where the table has no file.
    pub(super) fn open(rows: &RowsFile, table: &Table) -> Result<Option<(Reader, Chunks)>, SourceError> {
        Ok(match rows {
            RowsFile::Csv { path, null, delimiter } => {
                let (rows, chunks) = CsvRows::open(path, *delimiter, null, table)?;
                Some((Reader::Csv(rows), chunks))
            }
            RowsFile::JsonLines { path } => {
                let (rows, chunks) = JsonRows::open(path, table)?;
                Some((Reader::JsonLines(rows), chunks))
            }
            RowsFile::None => None,
        })
    }

    pub(super) fn parse(&self, chunk: &Chunk) -> Parsed {
        let mut parsed = Parsed::default();
        match self {
            Reader::Csv(rows) => rows.parse(chunk, &mut parsed),
            Reader::JsonLines(rows) => rows.parse(chunk, &mut parsed),
        }
        parsed
    }
}

/// What a chunk is made into.
#[derive(Debug, Default)]
pub(super) struct Parsed {
    pub(super) rows: Rows,
    /// Where each of them stands.
    pub(super) lines: Vec<u64>,
    pub(super) bad: Vec<BadLine>,
    /// How many bad ones stand before the first row.
    pub(super) bad_first: u64,
}

impl Parsed {
    /// The row of this line that was pushed, or why there is none.
    pub(super) fn take(&mut self, line: u64, pushed: Result<(), BadLine>, builder: &mut RowBuilder) {
        match pushed {
            Ok(()) => {
                self.rows.push_built(builder);
                self.lines.push(line);
            }
            Err(bad) => {
                self.bad_first += u64::from(self.rows.is_empty());
                self.bad.push(bad);
            }
        }
    }
}
