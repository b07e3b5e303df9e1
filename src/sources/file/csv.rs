//! CSV files (RFC 4180, UTF-8, a header line) to packed rows.

use std::fs::File;
use std::path::Path;

use ::csv::{ErrorKind, Reader, ReaderBuilder, StringRecord};

use super::bad_line::{BadLine, BadLines};
use super::infer::Guess;
use super::snapshot::Taker;
use super::tables::own_columns;
use crate::sources::{SourceError, Table};
use crate::value::{Column, Datum, Layout, Row, RowBuilder, Type, push_text};

const BUFFER_BYTES: usize = 1 << 20;

/// The names in the first line.
pub(super) fn header(path: &Path, delimiter: u8) -> Result<Vec<String>, SourceError> {
    let mut reader = reader(path, delimiter)?;
    let names: Vec<String> = header_of(path, &mut reader)?.iter().map(String::from).collect();
    match names.is_empty() {
        true => Err(BadLine::new(path, 1, "there must be a line with the names of the columns").stop()),
        false => Ok(names),
    }
}

/// Fills in the types that are `None` from all values of the file; `types` has one for each column of the header.
pub(super) fn infer(path: &Path, delimiter: u8, null: &str, bad_lines: BadLines, types: &mut [Option<Type>]) -> Result<(), SourceError> {
    let mut guesses: Vec<Option<Guess>> = types.iter().map(|ty| ty.is_none().then(Guess::default)).collect();
    let mut reader = reader(path, delimiter)?;
    let mut record = StringRecord::new();
    while let Some(whole) = next(path, &mut reader, &mut record)? {
        if let Err(bad) = whole {
            bad_lines.set_aside(bad, None)?;
            continue;
        }
        for (guess, field) in guesses.iter_mut().zip(&record) {
            if let Some(guess) = guess
                && field != null
            {
                guess.see(field.as_bytes());
            }
        }
    }
    for (ty, guess) in types.iter_mut().zip(guesses) {
        if let Some(guess) = guess {
            *ty = Some(guess.ty());
        }
    }
    Ok(())
}

/// Hands out all rows in the file's order. The file's columns may stand in any order; `table` has some or all of them.
pub(super) fn read(path: &Path, delimiter: u8, null: &str, table: &Table, taker: &mut Taker) -> Result<(), SourceError> {
    let columns = own_columns(table);
    let mut reader = reader(path, delimiter)?;
    let header = header_of(path, &mut reader)?.clone();
    let places = columns.iter().map(|column| header.iter().position(|name| *name == column.name));
    let Some(places) = places.collect::<Option<Vec<usize>>>() else {
        return Err(BadLine::new(path, 1, "a column that was there at the start is gone").stop());
    };
    let fields = Fields { path, columns, places, null, stream: table.stream };
    let mut builder = RowBuilder::new(&Layout::new(&table.schema));
    let mut record = StringRecord::new();
    while let Some(whole) = next(path, &mut reader, &mut record)? {
        if !taker.take(whole.and_then(|()| fields.row_of(&record, &mut builder)))? {
            return Ok(());
        }
    }
    taker.end();
    Ok(())
}

/// Where the columns of a table stand in a file.
struct Fields<'a> {
    path: &'a Path,
    columns: &'a [Column],
    places: Vec<usize>,
    null: &'a str,
    /// Whether the row's line goes behind the columns, as the place of its arrival.
    stream: bool,
}

impl Fields<'_> {
    fn row_of(&self, record: &StringRecord, builder: &mut RowBuilder) -> Result<Row, BadLine> {
        for (column, &place) in self.columns.iter().zip(&self.places) {
            if let Err(what) = self.push(&record[place], column, builder) {
                builder.clear();
                return Err(BadLine::of_column(self.path, record.position().map_or(0, |p| p.line()), &column.name, &what));
            }
        }
        if self.stream {
            builder.push(Datum::Int(record.position().map_or(0, |p| p.line()) as i64));
        }
        Ok(builder.finish())
    }

    fn push(&self, field: &str, column: &Column, builder: &mut RowBuilder) -> Result<(), String> {
        match field != self.null {
            true => push_text(builder, field).map_err(|error| error.to_string())?,
            false if column.nullable => builder.push(Datum::Null),
            false => return Err("a column of the key is NULL".into()),
        }
        Ok(())
    }
}

fn reader(path: &Path, delimiter: u8) -> Result<Reader<File>, SourceError> {
    Ok(ReaderBuilder::new().delimiter(delimiter).buffer_capacity(BUFFER_BYTES).from_reader(super::open(path)?))
}

fn header_of<'a>(path: &Path, reader: &'a mut Reader<File>) -> Result<&'a StringRecord, SourceError> {
    reader.headers().map_err(|error| match bad_record(path, error, 0) {
        Ok(bad) => bad.stop(),
        Err(error) => error,
    })
}

/// Reads the next record into `record`, or says what is wrong with it; `None` at the end.
fn next(path: &Path, reader: &mut Reader<File>, record: &mut StringRecord) -> Result<Option<Result<(), BadLine>>, SourceError> {
    match reader.read_record(record) {
        Ok(true) => Ok(Some(Ok(()))),
        Ok(false) => Ok(None),
        Err(error) => bad_record(path, error, reader.position().line()).map(|bad| Some(Err(bad))),
    }
}

/// A bad record with more lines than this stops the source: a quote that is never closed takes the rest of the file with it.
const LONGEST_BAD_RECORD: u64 = 100;

/// `behind` is the line where reading goes on.
fn bad_record(path: &Path, error: ::csv::Error, behind: u64) -> Result<BadLine, SourceError> {
    let (pos, what) = match error.into_kind() {
        ErrorKind::Io(error) => return Err(super::unreadable(path, error)),
        ErrorKind::UnequalLengths { pos, expected_len, len } => (pos, format!("{len} fields where the header has {expected_len}")),
        ErrorKind::Utf8 { pos, err } => (pos, format!("field {} is not UTF-8", err.field() + 1)),
        _ => return Err(BadLine::new(path, 0, "it is not CSV").stop()),
    };
    let line = pos.map_or(0, |p| p.line());
    match behind.saturating_sub(line) {
        0 | 1 => Ok(BadLine::new(path, line, what)),
        lines if lines > LONGEST_BAD_RECORD => {
            Err(BadLine::new(path, line, format!("{what}, and it goes on to line {}: is a quote not closed?", behind - 1)).stop())
        }
        _ => Ok(BadLine::new(path, line, format!("{what}, and it goes on to line {}", behind - 1))),
    }
}
