//! Cuts a file into chunks of whole records, so that several threads can read one file.
//!
//! In: a file of lines, or of CSV, where a record may have several lines inside quotes. Out: chunks of about [`CHUNK_BYTES`] that end where
//! a record ends, each with the number of its first line. Only line ends and quotes are inspected: a chunk without a quote is cut by a byte
//! search, one with quotes by `csv_core`, which also reads its fields later.
//!
//! A file that grows is read up to its length at the last look. An incomplete record at that point is not part of a chunk.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use csv_core::{ReadRecordResult, Reader};
use memchr::{memchr, memchr_iter, memrchr};

use super::bad_line::BadLine;
use super::{open, unreadable};
use crate::sources::SourceError;

const CHUNK_BYTES: usize = 128 << 10;
/// In a file that grows, at most this many bytes are kept while the end of a record is missing.
const LONGEST_RECORD: usize = 64 << 20;
pub(super) const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Whole records, and the line in the file, from 1, on which they start. May begin with the rest of a line end.
#[derive(Debug)]
pub(super) struct Chunk {
    pub(super) bytes: Vec<u8>,
    pub(super) line: u64,
}

/// Reads the chunks of one file.
#[derive(Debug)]
pub(super) struct Chunks {
    path: PathBuf,
    file: File,
    /// For CSV only.
    delimiter: Option<u8>,
    /// Bytes that were read but not returned yet.
    rest: Vec<u8>,
    /// The line and the offset of the first byte of `rest`.
    line: u64,
    byte: u64,
    /// For a file that grows: its length at the last look.
    until: Option<u64>,
    ended: bool,
}

impl Chunks {
    /// For files in which every line is a record. A file that `grows` is read up to its current length.
    pub(super) fn of_lines(path: &Path, grows: bool) -> Result<Chunks, SourceError> {
        Chunks::open(path, None, grows)
    }

    /// For CSV. A file that `grows` is read up to its current length.
    pub(super) fn of_csv(path: &Path, delimiter: u8, grows: bool) -> Result<Chunks, SourceError> {
        Chunks::open(path, Some(delimiter), grows)
    }

    fn open(path: &Path, delimiter: Option<u8>, grows: bool) -> Result<Chunks, SourceError> {
        let file = open(path)?;
        let until = if grows { Some(file.metadata().map_err(|e| unreadable(path, e))?.len()) } else { None };
        let mut chunks = Chunks { path: path.into(), file, delimiter, rest: Vec::new(), line: 1, byte: 0, until, ended: false };
        chunks.pass_byte_order_mark()?;
        Ok(chunks)
    }

    fn pass_byte_order_mark(&mut self) -> Result<(), SourceError> {
        let first = self.until.unwrap_or(u64::MAX).min(BYTE_ORDER_MARK.len() as u64);
        self.rest.reserve(CHUNK_BYTES);
        (&mut self.file).take(first).read_to_end(&mut self.rest).map_err(|e| unreadable(&self.path, e))?;
        refuse_other_encodings(&self.path, &self.rest)?;
        if self.rest == BYTE_ORDER_MARK {
            self.byte = first;
            self.rest.clear();
        }
        Ok(())
    }

    /// Continues at another offset, up to `until`. `line` is the line of that offset.
    pub(super) fn go_on(&mut self, byte: u64, line: u64, until: u64) -> Result<(), SourceError> {
        self.file.seek(SeekFrom::Start(byte)).map_err(|e| unreadable(&self.path, e))?;
        self.rest.clear();
        (self.byte, self.line, self.until, self.ended) = (byte, line, Some(until), false);
        if byte == 0 { self.pass_byte_order_mark() } else { Ok(()) }
    }

    /// Returns the next chunk; `None` when no whole record is left.
    pub(super) fn next(&mut self) -> Result<Option<Chunk>, SourceError> {
        let mut bytes = std::mem::take(&mut self.rest);
        let mut end = 0;
        while end == 0 && !self.ended {
            if self.until.is_some() && bytes.len() > LONGEST_RECORD {
                return Err(self.too_long());
            }
            // For a record that is longer than a chunk, the steps double.
            let step = CHUNK_BYTES.max(bytes.len()) as u64;
            let there = self.until.map_or(u64::MAX, |until| until.saturating_sub(self.byte + bytes.len() as u64));
            let read = (&mut self.file).take(step.min(there)).read_to_end(&mut bytes).map_err(|e| unreadable(&self.path, e))?;
            self.ended = read == 0;
            end = if self.ended { 0 } else { self.end_of_records(&bytes) };
        }
        if self.ended {
            end = if self.until.is_none() { bytes.len() } else { self.end_of_records(&bytes) };
        }
        Ok(self.cut(bytes, end))
    }

    /// The bytes at the end of a growing file that may be only part of a record.
    pub(super) fn unended(&self) -> &[u8] {
        &self.rest
    }

    /// Returns the bytes at the end of a growing file as if they were whole records.
    pub(super) fn take_unended(&mut self) -> Option<Chunk> {
        let bytes = std::mem::take(&mut self.rest);
        let end = bytes.len();
        self.cut(bytes, end)
    }

    /// Whether these bytes are whole records if a line end follows.
    pub(super) fn are_whole(&self, bytes: &[u8]) -> bool {
        let ended = [bytes, b"\n"].concat();
        self.end_of_records(&ended) == ended.len()
    }

    pub(super) fn file(&mut self) -> &mut File {
        &mut self.file
    }

    /// The offset and the line of the next chunk.
    pub(super) fn place(&self) -> (u64, u64) {
        (self.byte, self.line)
    }

    fn too_long(&self) -> SourceError {
        let message = format!("a record of more than {} MiB: is a quote not closed, or is this not a file of lines?", LONGEST_RECORD >> 20);
        BadLine::new(&self.path, self.line, message).stop()
    }

    /// Returns the first `end` bytes as a chunk and keeps the others.
    fn cut(&mut self, mut bytes: Vec<u8>, end: usize) -> Option<Chunk> {
        if end < bytes.len() || !self.ended {
            self.rest = Vec::with_capacity(CHUNK_BYTES + bytes.len() - end);
            self.rest.extend_from_slice(&bytes[end..]);
        }
        bytes.truncate(end);
        let line = self.line;
        self.line += memchr_iter(b'\n', &bytes).count() as u64;
        self.byte += end as u64;
        (!bytes.is_empty()).then_some(Chunk { bytes, line })
    }

    /// Puts back the rest of the last chunk; the next chunk begins with it.
    pub(super) fn put_back(&mut self, chunk: Chunk) {
        self.byte -= chunk.bytes.len() as u64;
        self.rest.splice(0..0, chunk.bytes);
        self.line = chunk.line;
    }

    /// The end of the last whole record.
    fn end_of_records(&self, bytes: &[u8]) -> usize {
        match self.delimiter {
            Some(delimiter) if memchr(b'"', bytes).is_some() => end_of_quoted_records(delimiter, bytes),
            Some(_) => memrchr(b'\n', bytes).or_else(|| memrchr(b'\r', bytes)).map_or(0, |at| at + 1),
            None => memrchr(b'\n', bytes).map_or(0, |at| at + 1),
        }
    }
}

/// Like [`Chunks::end_of_records`], if line ends may be inside quotes.
fn end_of_quoted_records(delimiter: u8, bytes: &[u8]) -> usize {
    let mut reader = reader(delimiter);
    let (mut at, mut end) = (0, 0);
    let (mut fields, mut ends) = ([0; 4096], [0; 128]);
    while at < bytes.len() {
        let (result, read, _, _) = reader.read_record(&bytes[at..], &mut fields, &mut ends);
        at += read;
        if result == ReadRecordResult::Record {
            end = at;
        }
    }
    end
}

/// Fails if the first bytes of a file are the byte order mark of an encoding other than UTF-8.
pub(super) fn refuse_other_encodings(path: &Path, first: &[u8]) -> Result<(), SourceError> {
    let encoding = match first {
        [0xff, 0xfe, ..] => "UTF-16 (little endian)",
        [0xfe, 0xff, ..] => "UTF-16 (big endian)",
        _ => return Ok(()),
    };
    let help = format!("convert it to UTF-8: iconv -f UTF-16 -t UTF-8 {}", path.display());
    Err(SourceError::Stopped { message: format!("{} is {encoding}, and must be UTF-8", path.display()), help: Some(help) })
}

/// The parser for the records of a chunk.
pub(super) fn reader(delimiter: u8) -> Reader {
    let mut reader = csv_core::ReaderBuilder::new().delimiter(delimiter).build();
    // After its first byte it no longer skips a byte order mark, which is valid only at the beginning of a file.
    reader.read_record(b"\n", &mut [0], &mut [0]);
    reader.set_line(1);
    reader
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sources::file::csv::Records;

    /// Every chunk's line, and the records of all chunks.
    fn read(text: &str) -> (Vec<u64>, Vec<(u64, Vec<String>)>) {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        let mut chunks = Chunks::of_csv(file.path(), b',', false).unwrap();
        let (mut lines, mut all) = (Vec::new(), Vec::new());
        while let Some(chunk) = chunks.next().unwrap() {
            lines.push(chunk.line);
            let mut records = Records::new(b',', &chunk);
            while let Some(record) = records.next() {
                let fields = record.fields(file.path(), record.len()).unwrap();
                all.push((record.line, fields.iter().map(String::from).collect()));
            }
        }
        (lines, all)
    }

    #[test]
    fn records_are_whole_and_lines_are_counted_whatever_ends_them() {
        for end in ["\n", "\r\n"] {
            for wide in ["", "x", "\"\"", "\" \r\n, \"\"\n\""] {
                let mut text = String::from("\u{feff}");
                let (mut line, mut expected) = (1, Vec::new());
                for i in 0..20_000 {
                    let field = wide.trim_matches('"').replace("\"\"", "\"");
                    expected.push((line, vec![i.to_string(), field.clone(), "z".into()]));
                    let empty = if i % 7 == 0 { end } else { "" };
                    text += &format!("{i},{wide},z{end}{empty}");
                    line += 1 + field.matches('\n').count() as u64 + u64::from(i % 7 == 0);
                }
                let (lines, records) = read(&text);
                assert!(lines.len() > 1, "there is more than one chunk");
                assert!(records == expected, "{wide:?} and {end:?}");
            }
        }
    }

    #[test]
    fn a_record_longer_than_a_chunk_is_whole() {
        let long = "long, \n".repeat(100_000);
        let (lines, records) = read(&format!("a,b\n\"{long}\",c\nd,e"));
        assert_eq!(lines, [1, 2, 100_003]);
        let records: Vec<_> = records.iter().map(|(line, fields)| (*line, fields[0].len(), fields[1].as_str())).collect();
        assert_eq!(records, [(1, 1, "b"), (2, long.len(), "c"), (100_003, 1, "e")]);
    }

    #[test]
    fn an_empty_file_has_no_chunk() {
        assert_eq!(read(""), (Vec::new(), Vec::new()));
        assert_eq!(read("\u{feff}"), (Vec::new(), Vec::new()));
    }
}
