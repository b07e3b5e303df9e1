//! A file in chunks of whole records, so that several threads can read one file.
//!
//! In: a file of lines, or of CSV, where a record may go over several lines inside quotes. Out: chunks of some [`CHUNK_BYTES`] that end where
//! a record ends, each with the number of its first line. Nothing is looked at but line ends, and quotes where there are any: a chunk without
//! a quote is cut by a search for bytes, one with quotes is read by `csv_core`, which is what reads its fields later.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use csv_core::{ReadRecordResult, Reader};
use memchr::{memchr, memchr_iter, memrchr};

use super::{open, unreadable};
use crate::sources::SourceError;

const CHUNK_BYTES: usize = 128 << 10;
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Whole records, and the line in the file, from 1, where they start. May begin with the rest of a line end.
#[derive(Debug)]
pub(super) struct Chunk {
    pub(super) bytes: Vec<u8>,
    pub(super) line: u64,
}

#[derive(Debug)]
pub(super) struct Chunks {
    path: PathBuf,
    file: File,
    /// Of CSV.
    delimiter: Option<u8>,
    /// What was read and has not gone out.
    rest: Vec<u8>,
    /// Of the first byte of it.
    line: u64,
    ended: bool,
}

impl Chunks {
    /// Every line is a record.
    pub(super) fn of_lines(path: &Path) -> Result<Chunks, SourceError> {
        Chunks::open(path, None)
    }

    pub(super) fn of_csv(path: &Path, delimiter: u8) -> Result<Chunks, SourceError> {
        Chunks::open(path, Some(delimiter))
    }

    fn open(path: &Path, delimiter: Option<u8>) -> Result<Chunks, SourceError> {
        let mut file = open(path)?;
        let mut rest = Vec::with_capacity(CHUNK_BYTES);
        (&mut file).take(BYTE_ORDER_MARK.len() as u64).read_to_end(&mut rest).map_err(|e| unreadable(path, e))?;
        if rest == BYTE_ORDER_MARK {
            rest.clear();
        }
        Ok(Chunks { path: path.into(), file, delimiter, rest, line: 1, ended: false })
    }

    pub(super) fn next(&mut self) -> Result<Option<Chunk>, SourceError> {
        let mut bytes = std::mem::take(&mut self.rest);
        while !self.ended {
            // A record that is longer than a chunk is read in ever longer steps.
            let step = CHUNK_BYTES.max(bytes.len());
            let read = (&mut self.file).take(step as u64).read_to_end(&mut bytes).map_err(|e| unreadable(&self.path, e))?;
            self.ended = read == 0;
            let end = if self.ended { bytes.len() } else { self.end_of_records(&bytes) };
            if end > 0 {
                self.rest = Vec::with_capacity(CHUNK_BYTES + bytes.len() - end);
                self.rest.extend_from_slice(&bytes[end..]);
                bytes.truncate(end);
                break;
            }
        }
        let line = self.line;
        self.line += memchr_iter(b'\n', &bytes).count() as u64;
        Ok((!bytes.is_empty()).then_some(Chunk { bytes, line }))
    }

    /// Gives back what is left of the last chunk, which comes again with the next.
    pub(super) fn put_back(&mut self, chunk: Chunk) {
        self.rest.splice(0..0, chunk.bytes);
        self.line = chunk.line;
    }

    /// Behind the last record that is whole.
    fn end_of_records(&self, bytes: &[u8]) -> usize {
        match self.delimiter {
            Some(delimiter) if memchr(b'"', bytes).is_some() => end_of_quoted_records(delimiter, bytes),
            Some(_) => memrchr(b'\n', bytes).or_else(|| memrchr(b'\r', bytes)).map_or(0, |at| at + 1),
            None => memrchr(b'\n', bytes).map_or(0, |at| at + 1),
        }
    }
}

/// As above, where line ends may stand inside quotes.
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

/// What reads the records of a chunk.
pub(super) fn reader(delimiter: u8) -> Reader {
    let mut reader = csv_core::ReaderBuilder::new().delimiter(delimiter).build();
    // After its first byte it takes nothing for a byte order mark any more: that stands at a file's beginning only.
    reader.read_record(b"\n", &mut [0], &mut [0]);
    reader.set_line(1);
    reader
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sources::file::csv::Records;

    /// Every chunk's line and the records in all of them.
    fn read(text: &str) -> (Vec<u64>, Vec<(u64, Vec<String>)>) {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        let mut chunks = Chunks::of_csv(file.path(), b',').unwrap();
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
