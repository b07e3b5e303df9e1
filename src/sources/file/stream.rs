//! Follows a stream's file while it grows.
//!
//! In: the file from a place on. Out: the appended rows, at most a chunk of whole records at a time, with the bad lines among them and the
//! new place. A record is whole when its line has ended. An incomplete record at the end of the file is waited for, with two exceptions: a
//! JSON object is whole as soon as it is closed, and if nothing is waited for (the run ends at the end of the file) a CSV record counts if
//! it can be read. A line end must then come next; if not, the row was read wrongly, and the source stops.
//!
//! The file must keep its bytes up to the place: a shorter file, another file in its place, or other bytes before the place stop the source.

use std::path::{Path, PathBuf};

use memchr::memchr_iter;

use super::bad_line::{BadLine, BadLines};
use super::chunks::{BYTE_ORDER_MARK, Chunk, Chunks};
use super::csv::LONGEST_BAD_RECORD;
use super::lines::{replaced, same_file};
use super::options::TableOptions;
use super::parsed::Parsed;
use super::position::{CHECKED_BYTES, StreamPlace, bytes_before, check, name_of};
use super::reader::FileReader;
use super::{Object, unreadable};
use crate::sources::{Rejected, SourceError, Table};
use crate::value::{Delta, Row};

/// The end of the chunks that were read of a stream's file.
pub(super) fn place_of(path: &Path, chunks: &mut Chunks) -> Result<StreamPlace, SourceError> {
    let (byte, line) = chunks.place();
    let tail = bytes_before(chunks.file(), byte).map_err(|e| unreadable(path, e))?.ok_or_else(|| replaced(path, byte, KIND))?;
    Ok(RecordPosition { line: line - 1, byte, tail, unended: false }.stored(path))
}

/// Reads the file of one stream.
#[derive(Debug)]
pub(super) struct StreamFile {
    path: PathBuf,
    /// The table's index in the engine's list of tables.
    index: usize,
    name: String,
    reader: FileReader,
    chunks: Chunks,
    place: RecordPosition,
    /// The file's length at the last look.
    looked: Option<u64>,
    /// Whether all whole records up to that length were read.
    ended: bool,
    bad_lines: BadLines,
}

/// The result of a read.
#[derive(Debug)]
pub(super) enum StreamRead {
    Rows(Arrived),
    /// Nothing more for now. If the file ends inside a record, the text says what is missing, for people.
    End(Option<String>),
}

/// The content of a part of the file.
#[derive(Debug, Default)]
pub(super) struct Arrived {
    pub(super) deltas: Vec<Delta>,
    pub(super) rejected: Vec<Rejected>,
    /// The error after the rows, if the source must stop. Final.
    pub(super) failed: Option<SourceError>,
}

impl StreamFile {
    /// Fails if the file is not the one of `from`.
    pub(super) fn open(
        index: usize,
        table: &Table,
        options: &TableOptions,
        bad_lines: BadLines,
        from: &StreamPlace,
    ) -> Result<StreamFile, SourceError> {
        let (reader, mut chunks) = FileReader::open(&options.rows, table)?.expect("a stream with a file");
        let path = options.rows.path().expect("a stream with a file");
        let tail = bytes_before(chunks.file(), from.byte).map_err(|e| unreadable(path, e))?;
        let tail =
            tail.filter(|tail| from.file == name_of(path) && check(tail) == from.check).ok_or_else(|| replaced(path, from.byte, KIND))?;
        let place = RecordPosition { line: from.line, byte: from.byte, tail, unended: from.unended };
        Ok(StreamFile { path: path.into(), index, name: table.name.clone(), reader, chunks, place, looked: None, ended: true, bad_lines })
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The end of everything that [`read`](StreamFile::read) returned.
    pub(super) fn place(&self) -> StreamPlace {
        self.place.stored(&self.path)
    }

    /// Reads the next rows. `last` means that the run ends at the end of the file and nothing is waited for.
    pub(super) fn read(&mut self, last: bool) -> Result<StreamRead, SourceError> {
        if self.ended && !self.look()? {
            return Ok(StreamRead::End(self.unfinished()));
        }
        let whole = self.chunks.next()?;
        self.ended = whole.is_none();
        self.check_line_end(whole.as_ref())?;
        if let Some(chunk) = whole {
            return Ok(StreamRead::Rows(self.arrived(chunk)));
        }
        match self.unended_row(last)? {
            Some(arrived) => Ok(StreamRead::Rows(arrived)),
            None => Ok(StreamRead::End(self.unfinished())),
        }
    }

    /// Checks whether the file has changed since the last look. Incomplete bytes are then read again.
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
        // The file was empty and now begins with a byte order mark.
        if self.chunks.place().0 > self.place.byte {
            self.place.advance(BYTE_ORDER_MARK);
        }
        self.looked = Some(now.len());
        Ok(true)
    }

    /// After a row that was read without its line end, the line end must come next.
    fn check_line_end(&mut self, chunk: Option<&Chunk>) -> Result<(), SourceError> {
        if !self.place.unended {
            return Ok(());
        }
        let bytes = chunk.map_or(self.chunks.unended(), |chunk| &chunk.bytes);
        match self.first_of_note(bytes) {
            None | Some(b'\n' | b'\r') => Ok(()),
            Some(_) => Err(SourceError::Stopped {
                message: format!(
                    "{}, line {}: the line was read as a complete row at the end of the file, but was continued later",
                    self.path.display(),
                    self.place.line + 1
                ),
                help: Some("start with an empty state folder, and make the writer of the file end each line with a line end".into()),
            }),
        }
    }

    /// The first byte that is not a blank. Blanks may follow a JSON object.
    fn first_of_note(&self, bytes: &[u8]) -> Option<u8> {
        let blank = |byte: &u8| matches!(self.reader, FileReader::JsonLines(_)) && matches!(byte, b' ' | b'\t' | b'\r');
        bytes.iter().copied().find(|byte| !blank(byte))
    }

    /// The row at the end of the file without a line end, if it counts.
    fn unended_row(&mut self, last: bool) -> Result<Option<Arrived>, SourceError> {
        let bytes = self.chunks.unended();
        let whole = match self.reader {
            _ if bytes.trim_ascii().is_empty() => false,
            FileReader::JsonLines(_) => serde_json::from_slice::<Object>(bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes)).is_ok(),
            FileReader::Csv(_) => last && self.chunks.are_whole(bytes) && self.can_be_read(bytes),
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

    /// Fails if an unclosed quote seems to take in the rest of the file.
    fn check_unended(&self) -> Result<(), SourceError> {
        let lines = memchr_iter(b'\n', self.chunks.unended()).count() as u64;
        if lines <= LONGEST_BAD_RECORD {
            return Ok(());
        }
        let line = self.place.line + 1;
        let what = format!("the record has no end up to line {}: is a quote not closed?", line + lines);
        Err(BadLine::of_the_rest(&self.path, line, what).stop())
    }

    /// What the file's end is in the middle of, as the text of a wait.
    fn unfinished(&self) -> Option<String> {
        let waits = !self.chunks.unended().trim_ascii().is_empty();
        waits.then(|| format!("for the end of line {} of {}", self.place.line + 1, self.path.display()))
    }

    /// Converts a chunk to rows, up to the first bad line at which the source must stop.
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

    /// Converts the part of the chunk before this line.
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

/// The file's role, for messages.
const KIND: &str = "the file of a stream";

/// The end of a record: the number of line ends and bytes before it.
#[derive(Debug)]
struct RecordPosition {
    line: u64,
    byte: u64,
    /// The last bytes before it, at most [`CHECKED_BYTES`].
    tail: Vec<u8>,
    /// Whether the record has no line end yet.
    unended: bool,
}

impl RecordPosition {
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
