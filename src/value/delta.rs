//! A change, the engine's time, and a place in a source.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::Row;

/// How often a row is added (positive) or taken away (negative).
pub type Diff = i64;

/// One change of one table: `diff` copies of `row`. An update is a retraction and an insertion under the same tick.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Delta {
    /// The index of the table in the list that the source was asked for.
    pub table: usize,
    pub row: Row,
    pub diff: Diff,
}

/// Engine time: one source transaction is one tick. Ticks start at 1 and never come again for the same state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Tick(pub u64);

/// A place in a source, in the source's own words (a GTID set, a file and offset). Only its source can compare two of them.
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
