//! Converts the chunks of a file to rows, in either format.

use super::chunks::{Chunk, Chunks};
use super::csv::CsvRows;
use super::jsonl::JsonRows;
use super::options::RowsFile;
use super::parsed::Parsed;
use crate::sources::{SourceError, Table};

/// Parses the rows of one file.
#[derive(Debug)]
pub(super) enum FileReader {
    Csv(CsvRows),
    JsonLines(JsonRows),
}

impl FileReader {
    /// Also returns the chunks of the file, from the first on. `None` if the table has no file.
    pub(super) fn open(rows: &RowsFile, table: &Table) -> Result<Option<(FileReader, Chunks)>, SourceError> {
        Ok(match rows {
            RowsFile::Csv { path, null, delimiter } => {
                let (rows, chunks) = CsvRows::open(path, *delimiter, null, table)?;
                Some((FileReader::Csv(rows), chunks))
            }
            RowsFile::JsonLines { path } => {
                let (rows, chunks) = JsonRows::open(path, table)?;
                Some((FileReader::JsonLines(rows), chunks))
            }
            RowsFile::None => None,
        })
    }

    pub(super) fn parse(&self, chunk: &Chunk) -> Parsed {
        let mut parsed = Parsed::default();
        match self {
            FileReader::Csv(rows) => rows.parse(chunk, &mut parsed),
            FileReader::JsonLines(rows) => rows.parse(chunk, &mut parsed),
        }
        parsed
    }
}
