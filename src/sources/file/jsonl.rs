//! JSON-lines files (one object on a line, UTF-8) to packed rows.

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

/// The fields of all objects of the file, in the order in which they first come, with the types of all their values. What stands unended in a
/// file that `grows` is looked at, and is no bad line.
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

/// Makes rows of a file's lines. A field that is left out is NULL.
#[derive(Debug)]
pub(super) struct JsonRows {
    path: PathBuf,
    table: Table,
}

impl JsonRows {
    pub(super) fn open(path: &Path, table: &Table) -> Result<(JsonRows, Chunks), SourceError> {
        Ok((JsonRows { path: path.into(), table: table.clone() }, Chunks::of_lines(path, table.stream)?))
    }

    /// All rows of the chunk, in its order, and what cannot be one.
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

/// What a row has besides the fields of its object.
#[derive(Debug, Clone, Copy)]
pub(super) enum Rest<'a> {
    /// Columns that are left out are NULL.
    Null,
    /// The last column is the place of a stream's row; others that are left out are NULL.
    Arrived(u64),
    /// Columns that are left out are as in this row.
    As(&'a [u8]),
}

impl From<Option<u64>> for Rest<'_> {
    fn from(arrived: Option<u64>) -> Self {
        arrived.map_or(Rest::Null, Rest::Arrived)
    }
}

/// Gives the columns of the object that stands on this line. A field that is no column makes a bad line, so that nothing goes unseen.
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

/// The objects of a chunk with their lines; empty lines are passed over.
fn objects<'c>(path: &'c Path, chunk: &'c Chunk) -> impl Iterator<Item = (u64, Result<Object, BadLine>)> + 'c {
    let lines = chunk.bytes.split_inclusive(|byte| *byte == b'\n').zip(chunk.line..).filter(|(text, _)| !text.trim_ascii().is_empty());
    lines.map(move |(text, line)| (line, object(text).map_err(|what| BadLine::new(path, line, what))))
}
