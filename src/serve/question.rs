//! What can be asked of a store, and what can be ordered about its sinks and its spec.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::value::Tick;

/// The question for rows of a view.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Get {
    pub view: String,
    /// Values of the first key columns, as text. With values of all key columns a missing row is an error.
    pub key: Vec<String>,
}

/// The question for the errors of these views, sources and sinks; empty: of all.
///
/// The lines of the answer are `{"view","count","since","reason"}` for each error of a view, with the tick of its first row;
/// `{"source","table","place","reason"}` for each rejected record of a source, in its order;
/// `{"source","table","more"}` after the records of all tables, if more records of a table were rejected than are kept; and
/// `{"sink","view","key","since","reason"}` for each refused document of a sink, with the tick since which it is refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Errors {
    pub of: Vec<String>,
}

/// The question for a part of a view's changelog.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tail {
    pub view: String,
    pub from: TailFrom,
    /// End with the last commit instead of following.
    pub until_caught_up: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TailFrom {
    /// The whole changelog that is kept, after the rows of the view as of its start.
    Start,
    /// Changes after the last commit.
    Now,
    After(Tick),
    /// Changes after the source transaction with this position.
    Position(String),
}

/// The order to plan a spec file and to go on with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Apply {
    /// The path of the file, absolute.
    pub spec: PathBuf,
    /// Only tell what would be done.
    pub dry_run: bool,
    /// Delete the views that the spec no longer has. Without it, such a spec is refused.
    pub drop: bool,
}

/// An order about a sink.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SinkOrder {
    pub name: String,
    pub order: SinkAction,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SinkAction {
    /// Remove the sink from the store. The target is not changed.
    Forget,
    /// Compare the target with the whole view and write the differences: now if an engine is running, else in the next run.
    Resync,
}
