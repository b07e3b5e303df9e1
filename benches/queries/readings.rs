//! Readings of sensors, read the way a program written by hand does.

use std::fs::File;
use std::io::{BufRead, BufReader, Seek, SeekFrom};
use std::path::Path;

/// One byte range of the file, in lines.
pub(crate) struct Readings {
    lines: BufReader<File>,
    place: u64,
    end: u64,
    line: Vec<u8>,
}

/// Place in the file, sensor, reading.
pub(crate) type Reading = (u64, String, i64);

impl Readings {
    pub(crate) fn open(path: &Path, part: usize, parts: usize) -> Readings {
        let file = File::open(path).expect("the file was made");
        let length = file.metadata().expect("it has a length").len();
        let at = |part: usize| length * part as u64 / parts as u64;
        let mut lines = BufReader::with_capacity(1 << 20, file);
        lines.seek(SeekFrom::Start(at(part))).expect("it can be read anywhere");
        let mut line = Vec::new();
        // The header, or the rest of the other part's line.
        let first = lines.read_until(b'\n', &mut line).expect("it can be read");
        Readings { lines, place: at(part) + first as u64, end: at(part + 1), line }
    }

    /// The next `count` readings; fewer at the end.
    pub(crate) fn chunk(&mut self, count: usize) -> Vec<Reading> {
        let mut out = Vec::with_capacity(count);
        while out.len() < count && self.place <= self.end {
            self.line.clear();
            let length = self.lines.read_until(b'\n', &mut self.line).expect("it can be read");
            if length == 0 {
                break;
            }
            let line = self.line.strip_suffix(b"\n").unwrap_or(&self.line);
            let first = line.iter().position(|c| *c == b',').expect("three fields");
            let last = line.iter().rposition(|c| *c == b',').expect("three fields");
            let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("it is ASCII");
            out.push((self.place, text(&line[..first]), text(&line[last + 1..]).parse().expect("a number")));
            self.place += length as u64;
        }
        out
    }
}
