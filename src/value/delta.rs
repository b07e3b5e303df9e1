//! Changes of rows, engine time, and places in a source.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::Row;

/// How often a row is inserted (positive) or deleted (negative).
pub type Diff = i64;

/// One change of one table: `diff` copies of `row`. An update is a deletion and an insertion with the same tick.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Delta {
    /// Index of the table in the list of tables requested from the source.
    pub table: usize,
    pub row: Row,
    pub diff: Diff,
}

/// Engine time: one source transaction is one tick. Ticks start at 1 and are never reused for the same state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Tick(pub u64);

/// A place in a source, in the source's own notation (a GTID set, a file and offset). Only the source can compare two positions.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Position(pub Arc<str>);

impl Tick {
    pub fn next(self) -> Tick {
        Tick(self.0 + 1)
    }
}

impl Position {
    pub fn new(text: impl AsRef<str>) -> Position {
        Position(text.as_ref().into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for Tick {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl std::fmt::Display for Position {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}
