//! CSV files (RFC 4180, UTF-8, a header line) to packed rows.

use std::fs::File;
use std::path::Path;

use ::csv::{ErrorKind, Reader, ReaderBuilder, StringRecord};

use super::infer::Guess;
use super::{BATCH, Emit, bad_column, bad_line};
use crate::sources::{SourceError, Table};
use crate::value::{Datum, Layout, Row, RowBuilder, Type, push_text};

const BUFFER_BYTES: usize = 1 << 20;

/// The names in the first line.
pub(super) fn header(path: &Path, delimiter: u8) -> Result<Vec<String>, SourceError> {
    let mut reader = reader(path, delimiter)?;
    let names: Vec<String> = header_of(path, &mut reader)?.iter().map(String::from).collect();
    match names.is_empty() {
        true => Err(bad_line(path, 1, "there must be a line with the names of the columns")),
        false => Ok(names),
    }
}

/// Fills in the types that are `None` from all values of the file; `types` has one for each column of the header.
pub(super) fn infer(path: &Path, delimiter: u8, null: &str, types: &mut [Option<Type>]) -> Result<(), SourceError> {
    let mut guesses: Vec<Option<Guess>> = types.iter().map(|ty| ty.is_none().then(Guess::default)).collect();
    let mut reader = reader(path, delimiter)?;
    let mut record = StringRecord::new();
    while next(path, &mut reader, &mut record)? {
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

/// Hands out all rows, in batches, in the file's order. The file's columns may stand in any order; `table` has some or all of them.
pub(super) fn read(path: &Path, delimiter: u8, null: &str, table: &Table, emit: Emit) -> Result<(), SourceError> {
    let columns = table.schema.columns();
    let mut reader = reader(path, delimiter)?;
    let header = header_of(path, &mut reader)?.clone();
    let places = columns.iter().map(|column| header.iter().position(|name| *name == column.name));
    let Some(places) = places.collect::<Option<Vec<usize>>>() else {
        return Err(bad_line(path, 1, "a column that was there at the start is gone"));
    };
    let mut builder = RowBuilder::new(&Layout::new(&table.schema));
    let mut record = StringRecord::new();
    let mut rows: Vec<Row> = Vec::with_capacity(BATCH);
    while next(path, &mut reader, &mut record)? {
        for (column, &place) in columns.iter().zip(&places) {
            let field = &record[place];
            let line = || record.position().map_or(0, |p| p.line());
            if field != null {
                push_text(&mut builder, field).map_err(|e| bad_column(path, line(), &column.name, &e))?;
            } else if column.nullable {
                builder.push(Datum::Null);
            } else {
                return Err(bad_column(path, line(), &column.name, &"a column of the key is NULL"));
            }
        }
        rows.push(builder.finish());
        if rows.len() == BATCH && emit(std::mem::replace(&mut rows, Vec::with_capacity(BATCH))).is_break() {
            return Ok(());
        }
    }
    if !rows.is_empty() {
        let _ = emit(rows);
    }
    Ok(())
}

fn reader(path: &Path, delimiter: u8) -> Result<Reader<File>, SourceError> {
    Ok(ReaderBuilder::new().delimiter(delimiter).buffer_capacity(BUFFER_BYTES).from_reader(super::open(path)?))
}

fn header_of<'a>(path: &Path, reader: &'a mut Reader<File>) -> Result<&'a StringRecord, SourceError> {
    reader.headers().map_err(|e| bad_record(path, e))
}

/// Reads the next line into `record`; false at the end.
fn next(path: &Path, reader: &mut Reader<File>, record: &mut StringRecord) -> Result<bool, SourceError> {
    reader.read_record(record).map_err(|e| bad_record(path, e))
}

fn bad_record(path: &Path, error: ::csv::Error) -> SourceError {
    match error.into_kind() {
        ErrorKind::Io(error) => super::unreadable(path, error),
        ErrorKind::UnequalLengths { pos, expected_len, len } => {
            let line = pos.map_or(0, |p| p.line());
            bad_line(path, line, &format!("{len} fields where the header has {expected_len}"))
        }
        ErrorKind::Utf8 { pos, err } => {
            let line = pos.map_or(0, |p| p.line());
            bad_line(path, line, &format!("field {} is not UTF-8", err.field() + 1))
        }
        _ => bad_line(path, 0, "it is not CSV"),
    }
}
