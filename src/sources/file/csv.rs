//! Reads CSV files (RFC 4180, UTF-8, with a header line) into packed rows.

use std::path::{Path, PathBuf};

use csv_core::{ReadRecordResult, Reader};

use super::bad_line::{BadLine, BadLines};
use super::chunks::{self, Chunk, Chunks};
use super::columns::own_columns;
use super::infer::Guess;
use super::parsed::Parsed;
use crate::sources::{SourceError, Table};
use crate::value::{Column, Datum, Layout, RowBuilder, Type, push_text};

/// The names in the first line. If the file `grows`, the line must be complete.
pub(super) fn header(path: &Path, delimiter: u8, grows: bool) -> Result<Vec<String>, SourceError> {
    open(path, delimiter, grows).map(|(header, _)| header)
}

/// The header, and the chunks after it.
fn open(path: &Path, delimiter: u8, grows: bool) -> Result<(Vec<String>, Chunks), SourceError> {
    let mut chunks = Chunks::of_csv(path, delimiter, grows)?;
    let no_header = || BadLine::new(path, 1, "there must be a line with the names of the columns").stop();
    let chunk = chunks.next()?.ok_or_else(no_header)?;
    let mut records = Records::new(delimiter, &chunk);
    let header = records.next().ok_or_else(no_header)?;
    let names = header.fields(path, header.len()).map_err(BadLine::stop)?.iter().map(String::from).collect();
    let rest = Chunk { bytes: records.rest.to_vec(), line: records.line };
    chunks.put_back(rest);
    Ok((names, chunks))
}

/// Replaces each `None` in `types` by the type that fits all values of the column; `types` has one entry per column of the header. An
/// incomplete record at the end of a file that `grows` counts for the types, but is not reported as a bad line.
pub(super) fn infer(rows: &CsvFile, grows: bool, bad_lines: BadLines, types: &mut [Option<Type>]) -> Result<(), SourceError> {
    let mut guesses: Vec<Option<Guess>> = types.iter().map(|ty| ty.is_none().then(Guess::default)).collect();
    let (header, mut chunks) = open(rows.path, rows.delimiter, grows)?;
    while let Some(chunk) = chunks.next()? {
        let bad = |bad| bad_lines.set_aside(bad, None).map(|_| ());
        rows.see(&chunk, header.len(), &mut guesses, bad)?;
    }
    if let Some(chunk) = chunks.take_unended() {
        rows.see(&chunk, header.len(), &mut guesses, |_| Ok(()))?;
    }
    for (ty, guess) in types.iter_mut().zip(guesses) {
        if let Some(guess) = guess {
            *ty = Some(guess.ty());
        }
    }
    Ok(())
}

/// A file, and the format of its fields.
#[derive(Debug, Clone, Copy)]
pub(super) struct CsvFile<'a> {
    pub(super) path: &'a Path,
    pub(super) delimiter: u8,
    pub(super) null: &'a str,
}

impl CsvFile<'_> {
    fn see(
        &self,
        chunk: &Chunk,
        width: usize,
        guesses: &mut [Option<Guess>],
        bad: impl Fn(BadLine) -> Result<(), SourceError>,
    ) -> Result<(), SourceError> {
        let mut records = Records::new(self.delimiter, chunk);
        while let Some(record) = records.next() {
            let fields = match record.fields(self.path, width) {
                Ok(fields) => fields,
                Err(line) => {
                    bad(line)?;
                    continue;
                }
            };
            for (guess, field) in guesses.iter_mut().zip(fields.iter()) {
                if let Some(guess) = guess
                    && field != self.null
                {
                    guess.see(field.as_bytes());
                }
            }
        }
        Ok(())
    }
}

/// Converts a file's records to rows. The file's columns may be in any order; the table has some or all of them.
#[derive(Debug)]
pub(super) struct CsvRows {
    path: PathBuf,
    delimiter: u8,
    null: String,
    table: Table,
    /// The index in the file of each column of the table.
    places: Vec<usize>,
    /// The number of columns of the file.
    width: usize,
}

impl CsvRows {
    /// Returns the parser for the file and the chunks after its header.
    pub(super) fn open(path: &Path, delimiter: u8, null: &str, table: &Table) -> Result<(CsvRows, Chunks), SourceError> {
        let (header, chunks) = open(path, delimiter, table.stream)?;
        let places = own_columns(table).iter().map(|column| header.iter().position(|name| *name == column.name));
        let Some(places) = places.collect::<Option<Vec<usize>>>() else {
            return Err(BadLine::new(path, 1, "a column that existed at the start is missing").stop());
        };
        let (path, null, table, width) = (path.into(), null.into(), table.clone(), header.len());
        Ok((CsvRows { path, delimiter, null, table, places, width }, chunks))
    }

    /// Appends the rows of the chunk, in order, and its bad lines.
    pub(super) fn parse(&self, chunk: &Chunk, parsed: &mut Parsed) {
        let mut builder = RowBuilder::new(&Layout::new(&self.table.schema));
        let columns = own_columns(&self.table);
        let mut records = Records::new(self.delimiter, chunk);
        while let Some(record) = records.next() {
            let fields = record.fields(&self.path, self.width);
            parsed.take(record.line, fields.and_then(|fields| self.push(&fields, columns, record.line, &mut builder)), &mut builder);
        }
    }

    fn push(&self, fields: &Fields, columns: &[Column], line: u64, builder: &mut RowBuilder) -> Result<(), BadLine> {
        for (column, &place) in columns.iter().zip(&self.places) {
            if let Err(what) = self.push_field(fields.get(place), column, builder) {
                builder.clear();
                return Err(BadLine::of_column(&self.path, line, &column.name, &what));
            }
        }
        if self.table.stream {
            builder.push(Datum::Int(line as i64));
        }
        Ok(())
    }

    fn push_field(&self, field: &str, column: &Column, builder: &mut RowBuilder) -> Result<(), String> {
        match field != self.null {
            true => push_text(builder, field).map_err(|error| error.to_string())?,
            false if column.nullable => builder.push(Datum::Null),
            false => return Err("a column of the key is NULL".into()),
        }
        Ok(())
    }
}

/// Iterates over the records of a chunk.
pub(super) struct Records<'c> {
    reader: Reader,
    rest: &'c [u8],
    /// The line of the first byte of `rest`.
    line: u64,
    text: Vec<u8>,
    ends: Vec<usize>,
}

impl<'c> Records<'c> {
    pub(super) fn new(delimiter: u8, chunk: &'c Chunk) -> Records<'c> {
        let reader = chunks::reader(delimiter);
        Records { reader, rest: &chunk.bytes, line: chunk.line, text: vec![0; 1 << 10], ends: vec![0; 1 << 6] }
    }

    /// Returns the next record; `None` at the end of the chunk.
    pub(super) fn next(&mut self) -> Option<CsvRecord<'_>> {
        // Empty lines are not records. They are skipped here, so that a record's line is the one on which it starts.
        while let [first @ (b'\n' | b'\r'), rest @ ..] = self.rest {
            self.line += u64::from(*first == b'\n');
            self.rest = rest;
        }
        if self.rest.is_empty() {
            return None;
        }
        let line = self.line;
        self.reader.set_line(line);
        let (mut written, mut fields) = (0, 0);
        loop {
            let (result, read, wrote, ended) = self.reader.read_record(self.rest, &mut self.text[written..], &mut self.ends[fields..]);
            (self.rest, written, fields) = (&self.rest[read..], written + wrote, fields + ended);
            match result {
                // The record has no line end: the next call, with empty input, ends it.
                ReadRecordResult::InputEmpty => {}
                ReadRecordResult::OutputFull => self.text.resize(2 * self.text.len(), 0),
                ReadRecordResult::OutputEndsFull => self.ends.resize(2 * self.ends.len(), 0),
                ReadRecordResult::Record => break,
                ReadRecordResult::End => return None,
            }
        }
        self.line = self.reader.line();
        Some(CsvRecord { line, behind: self.line, text: &self.text[..written], ends: &self.ends[..fields] })
    }
}

/// A bad record with more lines than this stops the source, because an unclosed quote takes in the rest of the file.
pub(super) const LONGEST_BAD_RECORD: u64 = 100;

/// A record with its fields not yet checked.
pub(super) struct CsvRecord<'r> {
    /// The line on which it starts.
    pub(super) line: u64,
    /// The line on which the next record starts.
    behind: u64,
    text: &'r [u8],
    ends: &'r [usize],
}

impl<'r> CsvRecord<'r> {
    /// The number of fields.
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// Returns the fields. Fails if there are not `width` of them, or one is not UTF-8.
    pub(super) fn fields(&self, path: &Path, width: usize) -> Result<Fields<'r>, BadLine> {
        if self.len() != width {
            return Err(self.bad(path, format!("{} fields where the header has {width}", self.len())));
        }
        match std::str::from_utf8(self.text) {
            Ok(text) if self.ends.iter().all(|end| text.is_char_boundary(*end)) => Ok(Fields { text, ends: self.ends }),
            _ => {
                let starts = std::iter::once(&0).chain(self.ends);
                let bad = starts.zip(self.ends).position(|(start, end)| std::str::from_utf8(&self.text[*start..*end]).is_err());
                Err(self.bad(path, format!("field {} is not UTF-8", bad.map_or(0, |bad| bad + 1))))
            }
        }
    }

    fn bad(&self, path: &Path, what: String) -> BadLine {
        match self.behind.saturating_sub(self.line) {
            0 | 1 => BadLine::new(path, self.line, what),
            lines if lines > LONGEST_BAD_RECORD => {
                BadLine::of_the_rest(path, self.line, format!("{what}, and it goes on to line {}: is a quote not closed?", self.behind - 1))
            }
            _ => BadLine::new(path, self.line, format!("{what}, and it goes on to line {}", self.behind - 1)),
        }
    }
}

/// The fields of a record.
pub(super) struct Fields<'r> {
    text: &'r str,
    ends: &'r [usize],
}

impl<'r> Fields<'r> {
    fn get(&self, i: usize) -> &'r str {
        let start = if i == 0 { 0 } else { self.ends[i - 1] };
        &self.text[start..self.ends[i]]
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &'r str> {
        (0..self.ends.len()).map(|i| self.get(i))
    }
}
