//! A stream's file, followed while it grows.
//!
//! In: the file from a place on. Out: the rows that were appended, up to a chunk of whole records at a time, with the bad lines among them and
//! the place behind. A record is whole when its line has ended. What stands unended at the file's end is waited for, but that
//! a JSON object is whole as soon as it is closed, and where nothing is waited for (the run ends at the file's end) a CSV record counts that can
//! be read as it is. Then a line end must come next, or the row was not what was read: that stops the source.
//!
//! The file must stay what it was up to the place: a shorter one, another one in its place or other bytes before it stop the source.

use std::path::{Path, PathBuf};

use memchr::memchr_iter;

use super::bad_line::{BadLine, BadLines};
use super::chunks::{BYTE_ORDER_MARK, Chunk, Chunks};
use super::csv::LONGEST_BAD_RECORD;
use super::lines::{replaced, same_file};
use super::options::TableOptions;
use super::parsed::Parsed;
use super::position::{CHECKED_BYTES, StreamPlace, bytes_before, check, name_of};
use super::reader::Reader;
use super::{Object, unreadable};
use crate::sources::{Rejected, SourceError, Table};
use crate::value::{Delta, Row};

/// Behind the chunks that were read of a stream's file.
pub(super) fn place_of(path: &Path, chunks: &mut Chunks) -> Result<StreamPlace, SourceError> {
    let (byte, line) = chunks.place();
    let tail = bytes_before(chunks.file(), byte).map_err(|e| unreadable(path, e))?.ok_or_else(|| replaced(path, byte, KIND))?;
    Ok(Place { line: line - 1, byte, tail, unended: false }.stored(path))
}

#[derive(Debug)]
pub(super) struct StreamFile {
    path: PathBuf,
    /// The table's place in the list that the engine asked for, and its name.
    index: usize,
    name: String,
    reader: Reader,
    chunks: Chunks,
    place: Place,
    /// The file's length when it was looked at last.
    looked: Option<u64>,
    /// Nothing whole is left of what was seen then.
    ended: bool,
    bad_lines: BadLines,
}

/// What was read.
#[derive(Debug)]
pub(super) enum Read {
    Rows(Arrived),
    /// Nothing more for now, perhaps because of something unfinished, which is said for people.
    End(Option<String>),
}

/// What a part of the file comes to.
#[derive(Debug, Default)]
pub(super) struct Arrived {
    pub(super) deltas: Vec<Delta>,
    pub(super) rejected: Vec<Rejected>,
    /// What comes behind it cannot be taken. Final.
    pub(super) failed: Option<SourceError>,
}

impl StreamFile {
    /// Fails if the file is not the one of `from` any more.
    pub(super) fn open(
        index: usize,
        table: &Table,
        options: &TableOptions,
        bad_lines: BadLines,
        from: &StreamPlace,
    ) -> Result<StreamFile, SourceError> {
        let (reader, mut chunks) = Reader::open(&options.rows, table)?.expect("a stream with a file");
        let path = options.rows.path().expect("a stream with a file");
        let tail = bytes_before(chunks.file(), from.byte).map_err(|e| unreadable(path, e))?;
        let tail =
            tail.filter(|tail| from.file == name_of(path) && check(tail) == from.check).ok_or_else(|| replaced(path, from.byte, KIND))?;
        let place = Place { line: from.line, byte: from.byte, tail, unended: from.unended };
        Ok(StreamFile { path: path.into(), index, name: table.name.clone(), reader, chunks, place, looked: None, ended: true, bad_lines })
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Behind everything that [`read`](StreamFile::read) answered.
    pub(super) fn place(&self) -> StreamPlace {
        self.place.stored(&self.path)
    }

    /// Reads on. `last`: the file's end is the end of all, and nothing is waited for.
    pub(super) fn read(&mut self, last: bool) -> Result<Read, SourceError> {
        if self.ended && !self.look()? {
            return Ok(Read::End(self.unfinished()));
        }
        let whole = self.chunks.next()?;
        self.ended = whole.is_none();
        self.check_line_end(whole.as_ref())?;
        if let Some(chunk) = whole {
            return Ok(Read::Rows(self.arrived(chunk)));
        }
        match self.unended_row(last)? {
            Some(arrived) => Ok(Read::Rows(arrived)),
            None => Ok(Read::End(self.unfinished())),
        }
    }

    /// Whether there may be more than when the file was looked at before. What is not whole is read again then.
    fn look(&mut self) -> Result<bool, SourceError> {
        let failed = |e| unreadable(&self.path, e);
        let (now, opened) = (std::fs::metadata(&self.path).map_err(failed)?, self.chunks.file().metadata().map_err(failed)?);
        let replaced = || replaced(&self.path, self.place.byte, KIND);
        if !same_file(&now, &opened) || now.len() < self.place.byte {
            return Err(replaced());
        }
        if self.looked == Some(now.len()) {
            return Ok(false);
        }
        let tail = bytes_before(self.chunks.file(), self.place.byte).map_err(failed)?;
        if tail.as_ref() != Some(&self.place.tail) {
            return Err(replaced());
        }
        self.chunks.go_on(self.place.byte, self.place.line + 1, now.len())?;
        // At the beginning of a file that was empty.
        if self.chunks.place().0 > self.place.byte {
            self.place.advance(BYTE_ORDER_MARK);
        }
        self.looked = Some(now.len());
        Ok(true)
    }

    /// Behind a row that was taken without its line end, that must come before anything else.
    fn check_line_end(&mut self, chunk: Option<&Chunk>) -> Result<(), SourceError> {
        if !self.place.unended {
            return Ok(());
        }
        let bytes = chunk.map_or(self.chunks.unended(), |chunk| &chunk.bytes);
        match self.first_of_note(bytes) {
            None | Some(b'\n' | b'\r') => Ok(()),
            Some(_) => Err(SourceError::Stopped {
                message: format!(
                    "{}, line {}: the line was read as a whole row when the file ended with it, and has gone on since",
                    self.path.display(),
                    self.place.line + 1
                ),
                help: Some("start with an empty state folder, and let whoever writes the file end each line with a line end".into()),
            }),
        }
    }

    /// The first byte that is not a blank, which may stand behind a JSON object.
    fn first_of_note(&self, bytes: &[u8]) -> Option<u8> {
        let blank = |byte: &u8| matches!(self.reader, Reader::JsonLines(_)) && matches!(byte, b' ' | b'\t' | b'\r');
        bytes.iter().copied().find(|byte| !blank(byte))
    }

    /// The row that stands at the file's end without a line end, if it counts.
    fn unended_row(&mut self, last: bool) -> Result<Option<Arrived>, SourceError> {
        let bytes = self.chunks.unended();
        let whole = match self.reader {
            _ if bytes.trim_ascii().is_empty() => false,
            Reader::JsonLines(_) => serde_json::from_slice::<Object>(bytes).is_ok(),
            Reader::Csv(_) => last && self.chunks.are_whole(bytes) && self.can_be_read(bytes),
        };
        if !whole {
            return self.check_unended().map(|()| None);
        }
        let chunk = self.chunks.take_unended().expect("it is not empty");
        let arrived = self.arrived(chunk);
        self.place.unended = arrived.failed.is_none();
        Ok(Some(arrived))
    }

    fn can_be_read(&self, bytes: &[u8]) -> bool {
        let Parsed { rows, bad, .. } = self.reader.parse(&Chunk { bytes: bytes.to_vec(), line: self.place.line + 1 });
        rows.len() == 1 && bad.is_empty()
    }

    /// A quote that is never closed takes the rest of the file with it.
    fn check_unended(&self) -> Result<(), SourceError> {
        let lines = memchr_iter(b'\n', self.chunks.unended()).count() as u64;
        if lines <= LONGEST_BAD_RECORD {
            return Ok(());
        }
        let line = self.place.line + 1;
        let what = format!("the record has no end up to line {}: is a quote not closed?", line + lines);
        Err(BadLine::of_the_rest(&self.path, line, what).stop())
    }

    /// What the file ends in the middle of.
    fn unfinished(&self) -> Option<String> {
        let waits = !self.chunks.unended().trim_ascii().is_empty();
        waits.then(|| format!("for the end of line {} of {}", self.place.line + 1, self.path.display()))
    }

    /// What a chunk comes to, up to the first bad line at which the source is to stop.
    fn arrived(&mut self, chunk: Chunk) -> Arrived {
        let parsed = self.reader.parse(&chunk);
        let mut rejected = Vec::new();
        for bad in parsed.bad {
            let line = bad.line();
            match self.bad_lines.set_aside(bad, Some(&self.name)) {
                Ok(record) => rejected.push(record),
                Err(error) => return Arrived { failed: Some(error), ..self.before(chunk, line) },
            }
        }
        self.place.advance(&chunk.bytes);
        let delta = |row| Delta { table: self.index, row: Row::from_bytes(row), diff: 1 };
        Arrived { deltas: parsed.rows.iter().map(delta).collect(), rejected, failed: None }
    }

    /// What stands in the chunk before this line.
    fn before(&mut self, mut chunk: Chunk, line: u64) -> Arrived {
        let ends = memchr_iter(b'\n', &chunk.bytes).map(|at| at + 1);
        let end = match line.saturating_sub(chunk.line) {
            0 => 0,
            lines => ends.take(lines as usize).last().unwrap_or(0),
        };
        chunk.bytes.truncate(end);
        self.arrived(chunk)
    }
}

/// What the file is to users.
const KIND: &str = "the file of a stream";

/// Behind a record: how many line ends and bytes stand before it.
#[derive(Debug)]
struct Place {
    line: u64,
    byte: u64,
    /// The end of what stands before it, up to [`CHECKED_BYTES`].
    tail: Vec<u8>,
    /// The record has no line end yet.
    unended: bool,
}

impl Place {
    fn stored(&self, path: &Path) -> StreamPlace {
        StreamPlace { file: name_of(path), line: self.line, byte: self.byte, check: check(&self.tail), unended: self.unended }
    }

    fn advance(&mut self, bytes: &[u8]) {
        self.line += memchr_iter(b'\n', bytes).count() as u64;
        self.byte += bytes.len() as u64;
        self.tail.extend_from_slice(&bytes[bytes.len().saturating_sub(CHECKED_BYTES)..]);
        let surplus = self.tail.len().saturating_sub(CHECKED_BYTES);
        self.tail.drain(..surplus);
        self.unended = false;
    }
}
