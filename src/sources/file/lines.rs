//! Reads a JSON-lines file that is appended to, line by line from a position on, and checks that it is still the same file.
//!
//! A last line without a newline counts as soon as it is a complete object. Empty lines and byte order marks are skipped.

use std::fs::{File, Metadata};
use std::io::{self, BufRead, BufReader, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use super::bad_line::BadLine;
use super::chunks::{BYTE_ORDER_MARK, refuse_other_encodings};
use super::object::object;
use super::position::{CHECKED_BYTES, FilePosition, bytes_before, check, name_of};
use super::{Object, unreadable};
use crate::sources::SourceError;

/// The end of a line: the line's number, from 1, and the offset after it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LinePosition {
    pub(super) line: u64,
    pub(super) byte: u64,
    /// The end of the line, at most [`CHECKED_BYTES`].
    tail: Vec<u8>,
}

/// Reads the lines of one file.
#[derive(Debug)]
pub(super) struct FollowedFile {
    path: PathBuf,
    reader: BufReader<File>,
    place: LinePosition,
    /// The part of the next line that was already read.
    text: Vec<u8>,
}

impl FollowedFile {
    /// Fails if the file is not the one of `from`.
    pub(super) fn open(path: &Path, from: &FilePosition) -> Result<FollowedFile, SourceError> {
        let mut file = super::open(path)?;
        let tail = tail_before(&mut file, from.byte).map_err(|e| unreadable(path, e))?;
        if from.byte > 0 && (from.file != name_of(path) || tail.as_deref().map(check).as_deref() != Some(&from.check)) {
            return Err(replaced(path, from.byte, "a changes file"));
        }
        file.seek(SeekFrom::Start(from.byte)).map_err(|e| unreadable(path, e))?;
        let place = LinePosition { line: from.line, byte: from.byte, tail: tail.unwrap_or_default() };
        Ok(FollowedFile { path: path.into(), reader: BufReader::with_capacity(1 << 18, file), place, text: Vec::new() })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The end of the last line that [`next`](FollowedFile::next) returned.
    pub(super) fn place(&self) -> &LinePosition {
        &self.place
    }

    /// The end of the last line as a position, without other files.
    pub(super) fn position(&self) -> FilePosition {
        let LinePosition { line, byte, tail } = &self.place;
        FilePosition { file: name_of(&self.path), line: *line, byte: *byte, check: check(tail), ..FilePosition::default() }
    }

    /// Whether the file ends inside a line.
    pub(super) fn is_inside_line(&self) -> bool {
        !self.text.is_empty()
    }

    /// Goes back to an earlier place of this file.
    pub(super) fn seek(&mut self, place: LinePosition) -> Result<(), SourceError> {
        self.reader.seek(SeekFrom::Start(place.byte)).map_err(|e| unreadable(&self.path, e))?;
        self.text.clear();
        self.place = place;
        Ok(())
    }

    /// Returns the object of the next line, or why it is bad; `None` at the end of the file, from where a later call continues.
    pub(super) fn next(&mut self) -> Result<Option<Result<Object, BadLine>>, SourceError> {
        loop {
            let read = self.reader.read_until(b'\n', &mut self.text).map_err(|e| unreadable(&self.path, e))?;
            if read == 0 {
                self.check_still_there()?;
                return Ok(None);
            }
            let whole = self.text.ends_with(b"\n");
            if self.place.byte == 0 {
                refuse_other_encodings(&self.path, &self.text)?;
            }
            let text = self.text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(&self.text);
            if text.trim_ascii().is_empty() {
                if whole {
                    self.pass();
                }
                continue;
            }
            match object(text) {
                Ok(object) => {
                    self.pass();
                    return Ok(Some(Ok(object)));
                }
                Err(_) if !whole => {}
                Err(what) => {
                    self.pass();
                    return Ok(Some(Err(BadLine::new(&self.path, self.place.line, what))));
                }
            }
        }
    }

    /// Advances the place past the line in `text`.
    fn pass(&mut self) {
        let unended = !self.place.tail.is_empty() && !self.place.tail.ends_with(b"\n");
        if !unended {
            self.place.line += 1;
            self.place.tail.clear();
        }
        self.place.byte += self.text.len() as u64;
        self.place.tail.append(&mut self.text);
        let surplus = self.place.tail.len().saturating_sub(CHECKED_BYTES);
        self.place.tail.drain(..surplus);
    }

    fn check_still_there(&self) -> Result<(), SourceError> {
        let now = std::fs::metadata(&self.path).map_err(|e| unreadable(&self.path, e))?;
        let opened = self.reader.get_ref().metadata().map_err(|e| unreadable(&self.path, e))?;
        match same_file(&now, &opened) && now.len() >= self.place.byte {
            true => Ok(()),
            false => Err(replaced(&self.path, self.place.byte, "a changes file")),
        }
    }
}

#[cfg(unix)]
pub(super) fn same_file(a: &Metadata, b: &Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    (a.dev(), a.ino()) == (b.dev(), b.ino())
}

#[cfg(not(unix))]
pub(super) fn same_file(_: &Metadata, _: &Metadata) -> bool {
    true
}

/// The end of the line that ends at `byte`, at most [`CHECKED_BYTES`]; `None` if the file is shorter.
fn tail_before(file: &mut File, byte: u64) -> io::Result<Option<Vec<u8>>> {
    let Some(mut tail) = bytes_before(file, byte)? else { return Ok(None) };
    let inside = tail.len().saturating_sub(1);
    if let Some(newline) = tail[..inside].iter().rposition(|b| *b == b'\n') {
        tail.drain(..=newline);
    }
    Ok(Some(tail))
}

/// `kind` is the file's role, for the message.
pub(super) fn replaced(path: &Path, byte: u64, kind: &str) -> SourceError {
    SourceError::Stopped {
        message: format!("{} is not the file that was read up to byte {byte} before", path.display()),
        help: Some(format!("{kind} is only ever appended to; put the old one back, or start with an empty state folder")),
    }
}
