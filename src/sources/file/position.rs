//! The position of a `file` source: after a line of its changes file, and after a row of each stream's file.
//!
//! The text is JSON, `{"file":"changes.jsonl","line":17,"byte":1234,"check":"...","streams":{"readings":{"file":"readings.csv",...}}}`;
//! without a changes file and streams, `{}`. `check` is a hash of the last bytes that were read, so that a replaced file is detected instead
//! of being read from the middle.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use crate::sources::SourceError;
use crate::value::Position;

/// The maximum number of bytes before the position that `check` covers.
pub(super) const CHECKED_BYTES: usize = 256;

/// The parsed position.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct FilePosition {
    /// The file's name without its folder, so that the folder may be moved.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) file: String,
    /// The number of lines that were read.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(super) line: u64,
    /// The number of bytes that were read.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(super) byte: u64,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) check: String,
    /// How far the files of the captured streams were read, by stream name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) streams: BTreeMap<String, StreamPlace>,
}

/// How far a stream's file was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct StreamPlace {
    /// The file's name without its folder.
    pub(super) file: String,
    /// The number of line ends that were read.
    pub(super) line: u64,
    pub(super) byte: u64,
    pub(super) check: String,
    /// Whether the last row had no line end at the end of the file. The next byte must then be a line end.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) unended: bool,
}

fn is_zero(v: &u64) -> bool {
    *v == 0
}

impl FilePosition {
    pub(super) fn read(position: &Position) -> Result<FilePosition, SourceError> {
        serde_json::from_str(position.as_str()).map_err(|_| SourceError::Stopped {
            message: format!("the stored position `{position}` is not a position of a file source"),
            help: Some("was the source of another kind before? start with an empty state folder".into()),
        })
    }

    pub(super) fn position(&self) -> Position {
        Position::new(serde_json::to_string(self).expect("strings and numbers are JSON"))
    }
}

/// The file's name without its folder.
pub(super) fn name_of(path: &Path) -> String {
    path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned())
}

/// The last [`CHECKED_BYTES`] before `byte`; `None` if the file is shorter. Moves the read position of `file`.
pub(super) fn bytes_before(file: &mut File, byte: u64) -> io::Result<Option<Vec<u8>>> {
    if file.metadata()?.len() < byte {
        return Ok(None);
    }
    let mut tail = vec![0; byte.min(CHECKED_BYTES as u64) as usize];
    file.seek(SeekFrom::Start(byte - tail.len() as u64))?;
    file.read_exact(&mut tail)?;
    Ok(Some(tail))
}

/// Computes the `check` of a position. `before` has the bytes before it, at least the last [`CHECKED_BYTES`].
pub(super) fn check(before: &[u8]) -> String {
    format!("{:016x}", xxh3_64(&before[before.len().saturating_sub(CHECKED_BYTES)..]))
}
