//! JSON-lines files (one object on a line, UTF-8) to packed rows.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::bad_line::{BadLine, BadLines};
use super::infer::JsonGuess;
use super::snapshot::Taker;
use super::{Object, unreadable};
use crate::sources::{SourceError, Table};
use crate::value::{Datum, Layout, Row, RowBuilder, Type, json};

/// The fields of all objects of the file, in the order in which they first come, with the types of all their values.
pub(super) fn infer(path: &Path, bad_lines: BadLines) -> Result<Vec<(String, Type)>, SourceError> {
    let mut guesses: Vec<(String, JsonGuess)> = Vec::new();
    let mut lines = Lines::open(path)?;
    while let Some(object) = lines.next()? {
        let object = match object {
            Ok(object) => object,
            Err(bad) => {
                bad_lines.set_aside(bad, None)?;
                continue;
            }
        };
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
    Ok(guesses.into_iter().map(|(name, guess)| (name, guess.ty())).collect())
}

/// Hands out all rows in the file's order. A field that is left out is NULL.
pub(super) fn read(path: &Path, table: &Table, taker: &mut Taker) -> Result<(), SourceError> {
    let mut builder = RowBuilder::new(&Layout::new(&table.schema));
    let mut lines = Lines::open(path)?;
    while let Some(object) = lines.next()? {
        if !taker.take(object.and_then(|object| row_of(path, lines.line, &object, table.stream.then_some(lines.line), &mut builder)))? {
            return Ok(());
        }
    }
    taker.end();
    Ok(())
}

/// The row of an object that stands on this line; `arrived` is the place of a stream's row, which is its last column. A field that is no
/// column makes a bad line, so that nothing goes unseen.
pub(super) fn row_of(path: &Path, line: u64, object: &Object, arrived: Option<u64>, builder: &mut RowBuilder) -> Result<Row, BadLine> {
    let layout = builder.layout().clone();
    let columns = layout.schema().columns();
    let columns = &columns[..columns.len() - usize::from(arrived.is_some())];
    let mut found = 0;
    for column in columns {
        let value = object.get(&column.name);
        found += value.is_some() as usize;
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
    if let Some(arrived) = arrived {
        builder.push(Datum::Int(arrived as i64));
    }
    Ok(builder.finish())
}

/// The objects of a file, line by line; empty lines are passed over.
struct Lines {
    path: PathBuf,
    reader: BufReader<File>,
    text: Vec<u8>,
    /// Of the object that came last, from 1.
    line: u64,
}

impl Lines {
    fn open(path: &Path) -> Result<Lines, SourceError> {
        let reader = BufReader::with_capacity(1 << 20, super::open(path)?);
        Ok(Lines { path: path.into(), reader, text: Vec::new(), line: 0 })
    }

    fn next(&mut self) -> Result<Option<Result<Object, BadLine>>, SourceError> {
        loop {
            self.text.clear();
            self.line += 1;
            if self.reader.read_until(b'\n', &mut self.text).map_err(|e| unreadable(&self.path, e))? == 0 {
                return Ok(None);
            }
            if !self.text.trim_ascii().is_empty() {
                let object = serde_json::from_slice(&self.text);
                return Ok(Some(object.map_err(|_| BadLine::new(&self.path, self.line, "it is not a JSON object"))));
            }
        }
    }
}
