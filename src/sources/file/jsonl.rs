//! Reads JSON-lines files (one object per line, UTF-8) into packed rows.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::Object;
use super::bad_line::{BadLine, BadLines};
use super::chunks::{Chunk, Chunks};
use super::infer::JsonGuess;
use super::object::object;
use super::parsed::Parsed;
use crate::sources::{SourceError, Table};
use crate::value::{Datum, Layout, RowBuilder, Type, json};

/// Returns the fields of all objects of the file in order of first occurrence, with the types that fit all their values. An incomplete line
/// at the end of a file that `grows` counts for the types, but is not reported as a bad line.
pub(super) fn infer(path: &Path, grows: bool, bad_lines: BadLines) -> Result<Vec<(String, Type)>, SourceError> {
    let mut guesses: Vec<(String, JsonGuess)> = Vec::new();
    let mut chunks = Chunks::of_lines(path, grows)?;
    while let Some(chunk) = chunks.next()? {
        for (_, object) in objects(path, &chunk) {
            match object {
                Ok(object) => see(&object, &mut guesses),
                Err(bad) => {
                    bad_lines.set_aside(bad, None)?;
                }
            }
        }
    }
    if let Some(chunk) = chunks.take_unended() {
        objects(path, &chunk).flat_map(|(_, object)| object).for_each(|object| see(&object, &mut guesses));
    }
    Ok(guesses.into_iter().map(|(name, guess)| (name, guess.ty())).collect())
}

fn see(object: &Object, guesses: &mut Vec<(String, JsonGuess)>) {
    for (i, (name, value)) in object.iter().enumerate() {
        // Most files have the same fields in the same order on every line.
        let at = match guesses.get(i) {
            Some(guess) if guess.0 == *name => i,
            _ => guesses.iter().position(|guess| guess.0 == *name).unwrap_or_else(|| {
                guesses.push((name.clone(), JsonGuess::default()));
                guesses.len() - 1
            }),
        };
        guesses[at].1.see(value);
    }
}

/// Converts a file's lines to rows. A missing field is NULL.
#[derive(Debug)]
pub(super) struct JsonRows {
    path: PathBuf,
    table: Table,
}

impl JsonRows {
    /// Returns the parser for the file and its chunks.
    pub(super) fn open(path: &Path, table: &Table) -> Result<(JsonRows, Chunks), SourceError> {
        Ok((JsonRows { path: path.into(), table: table.clone() }, Chunks::of_lines(path, table.stream)?))
    }

    /// Appends the rows of the chunk, in order, and its bad lines.
    pub(super) fn parse(&self, chunk: &Chunk, parsed: &mut Parsed) {
        let mut builder = RowBuilder::new(&Layout::new(&self.table.schema));
        for (line, object) in objects(&self.path, chunk) {
            let arrived = self.table.stream.then_some(line);
            parsed.take(
                line,
                object.and_then(|object| push_row(&self.path, line, &object, Rest::from(arrived), &mut builder)),
                &mut builder,
            );
        }
    }
}

/// The values of columns that are not fields of the object.
#[derive(Debug, Clone, Copy)]
pub(super) enum Rest<'a> {
    /// Missing columns are NULL.
    Null,
    /// The last column is the row's offset in the stream; other missing columns are NULL.
    Arrived(u64),
    /// Missing columns are as in this row.
    As(&'a [u8]),
}

impl From<Option<u64>> for Rest<'_> {
    fn from(arrived: Option<u64>) -> Self {
        arrived.map_or(Rest::Null, Rest::Arrived)
    }
}

/// Pushes the columns of an object. A field that is not a column makes the line bad, so that no field is ignored silently.
pub(super) fn push_row(path: &Path, line: u64, object: &Object, rest: Rest, builder: &mut RowBuilder) -> Result<(), BadLine> {
    let layout = builder.layout().clone();
    let columns = layout.schema().columns();
    let columns = &columns[..columns.len() - usize::from(matches!(rest, Rest::Arrived(_)))];
    let mut found = 0;
    for (index, column) in columns.iter().enumerate() {
        let value = object.get(&column.name);
        found += value.is_some() as usize;
        if let (None, Rest::As(row)) = (value, rest) {
            builder.push(layout.get(row, index));
            continue;
        }
        if let Err(error) = json::push_json(builder, value.unwrap_or(&Value::Null)) {
            builder.clear();
            return Err(BadLine::of_column(path, line, &column.name, &error));
        }
    }
    if found < object.len() {
        builder.clear();
        let strange = object.keys().find(|name| !columns.iter().any(|column| column.name == **name)).expect("more fields than columns");
        return Err(BadLine::new(path, line, format!("`{strange}` is not a column")));
    }
    if let Rest::Arrived(place) = rest {
        builder.push(Datum::Int(place as i64));
    }
    Ok(())
}

/// The objects of a chunk with their lines; empty lines are skipped.
fn objects<'c>(path: &'c Path, chunk: &'c Chunk) -> impl Iterator<Item = (u64, Result<Object, BadLine>)> + 'c {
    let lines = chunk.bytes.split_inclusive(|byte| *byte == b'\n').zip(chunk.line..).filter(|(text, _)| !text.trim_ascii().is_empty());
    lines.map(move |(text, line)| (line, object(text).map_err(|what| BadLine::new(path, line, what))))
}
