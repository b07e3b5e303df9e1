//! What a dataflow says: changes of views' rows, and rows that failed.

use serde::{Deserialize, Serialize};

use crate::plan::Origin;
use crate::value::{Diff, Row, Tick};

/// What became of a view's key at a tick.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    Document(Row),
    /// There is no root row.
    Gone,
    /// There is no right document, for this reason; none is shown.
    Failed(String),
}

/// The document of one key as of one tick.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DocumentChange {
    pub tick: Tick,
    pub key: Row,
    pub outcome: Outcome,
}

/// A row that an expression failed on, and why.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Failure {
    pub row: Row,
    pub reason: String,
}

/// How often a failing row of a view came (positive) or went (negative) at a tick.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailureChange {
    pub tick: Tick,
    /// The table or the view that the row is of; `None` for what a query made, of which the reason says all.
    pub of: Option<Origin>,
    pub failure: Failure,
    pub diff: Diff,
}
