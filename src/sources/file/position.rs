//! Where a `file` source is: behind a line of its changes file.
//!
//! The text is JSON, `{"file":"changes.jsonl","line":17,"byte":1234,"check":"..."}`; without a changes file, `{}`. `check` is a hash of the
//! end of what was read, so that a file that was replaced is noticed and not read on from the middle.

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use crate::sources::SourceError;
use crate::value::Position;

/// How many bytes before the position `check` is taken over, at most.
pub(super) const CHECKED_BYTES: usize = 256;

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct FilePosition {
    /// The file's name without its folder: it may be moved.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) file: String,
    /// The lines that were read.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(super) line: u64,
    /// The bytes that were read.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(super) byte: u64,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) check: String,
}

fn is_zero(v: &u64) -> bool {
    *v == 0
}

impl FilePosition {
    pub(super) fn read(position: &Position) -> Result<FilePosition, SourceError> {
        serde_json::from_str(position.as_str()).map_err(|_| SourceError::Stopped {
            message: format!("the stored position `{position}` is not one of a file source"),
            help: Some("was the source of another kind before? start with an empty state folder".into()),
        })
    }

    pub(super) fn position(&self) -> Position {
        Position::new(serde_json::to_string(self).expect("strings and numbers are JSON"))
    }
}

/// The `check` of a position; `before` is what comes before it, or its last [`CHECKED_BYTES`].
pub(super) fn check(before: &[u8]) -> String {
    format!("{:016x}", xxh3_64(&before[before.len().saturating_sub(CHECKED_BYTES)..]))
}
