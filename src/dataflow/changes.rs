//! The output of a dataflow: changes of views' rows, and rows that failed.

use serde::{Deserialize, Serialize};

use crate::plan::Origin;
use crate::value::{Diff, Row, Tick};

/// The new state of a view's key at a tick.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    Row(Row),
    /// There is no row.
    Gone,
    /// There is no valid row, for this reason. None is shown.
    Failed(String),
}

/// The state of one key as of one tick.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowChange {
    pub tick: Tick,
    pub key: Row,
    pub outcome: Outcome,
}

/// A row on which an expression failed, and the reason.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Failure {
    pub row: Row,
    pub reason: String,
}

/// The insert (positive diff) or delete (negative diff) of a failing row of a view at a tick.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailureChange {
    pub tick: Tick,
    /// The table or the view that the row belongs to. `None` if a query made the row; then only the reason is given.
    pub of: Option<Origin>,
    pub failure: Failure,
    pub diff: Diff,
}
