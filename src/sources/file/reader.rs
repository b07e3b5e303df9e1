//! Makes rows of a file's chunks, whatever its format.

use super::chunks::{Chunk, Chunks};
use super::csv::CsvRows;
use super::jsonl::JsonRows;
use super::options::RowsFile;
use super::parsed::Parsed;
use crate::sources::{SourceError, Table};

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
