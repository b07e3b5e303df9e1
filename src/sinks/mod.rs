//! Sinks, which write views to other databases: one file or folder per kind behind one [`Sink`] contract.
//!
//! In: a view's changelog, whole ticks at a time. Out: the view's rows in the target, with the position up to which they are complete.
//! Elsewhere: reading the changelog, retrying and backing off (`run`).

#[cfg(feature = "mongodb")]
pub mod mongodb;

use async_trait::async_trait;

use crate::fault;
use crate::finding::Finding;
use crate::options::{Kind, OptionError};
use crate::value::{Row, Schema, Tick};

/// The name, schema, key and indexes of a sink's view.
#[derive(Debug, Clone)]
pub struct ViewShape {
    pub name: String,
    pub schema: Schema,
    /// The columns of the view's key, in key order.
    pub key: Vec<usize>,
    /// Useful indexes in the target, on fields that relations and keys use: for each index the dotted paths of its fields.
    pub indexes: Vec<Vec<String>>,
}

/// The position of a target: it has all changes up to and including `tick` of the store `store_id`, as committed in the life `life` of the
/// store. A state folder that was restored from a copy gives the same tick numbers again in another life, with other content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SinkPosition {
    pub store_id: String,
    pub life: String,
    pub tick: Tick,
}

/// The change of one key of the view. `before` is the row at the last position that was reached. A row that changed and changed back has equal
/// rows in both (`None` if it was inserted and deleted): after a failed call the target may have a row in between.
#[derive(Debug, Clone)]
pub struct SinkChange {
    /// The order-preserving key ([`crate::value::key`]).
    pub key: Row,
    pub before: Option<Row>,
    pub after: Option<Row>,
}

/// A document that the target refuses while it accepts others. The target has no version of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetRefusal {
    pub key: Row,
    /// The reason, for people. Contains no values.
    pub reason: String,
}

#[derive(Debug, thiserror::Error)]
pub enum SinkError {
    #[error(transparent)]
    Option(#[from] OptionError),
    /// A temporary failure of the target or the network; the same call may be repeated.
    #[error("{message}")]
    Transient { message: String },
    /// The target refuses all writes: repeating helps only after somebody has fixed the cause.
    #[error("{message}")]
    Stopped { message: String, help: Option<String> },
}

/// Writes a view to a target.
///
/// `check` only calls `preflight`. `verify` calls `begin_compare`, `compare`* and `finish_compare`, and to repair `open` and a full copy.
///
/// `run` owns each sink in its own task; calls never overlap. It calls `open` first. If `open` does not return a position of this store from
/// which the changelog continues, one full copy follows (`copy`*, `finish_copy`). Then come steps without end, each a `write` and a `reach`.
/// Between the two, `run` stores the refused documents, so that none is lost once the position has passed it. After an error, and after a
/// restart of either side, `run` starts again with `open`. So every call must be idempotent: the target may already have all, some or none of
/// the writes of the failed call. Once `reach` or `finish_copy` has returned `Ok`, its changes are durable in the target, and the changelog
/// may be compacted up to its position.
#[async_trait]
pub trait Sink: Send {
    /// Connects and looks for anything that would make a run fail. Writes nothing. `view` is `None` if it is unknown, because its source did
    /// not answer or the spec is wrong.
    async fn preflight(&self, view: Option<&ViewShape>) -> Result<Vec<Finding>, SinkError>;

    /// Connects, prepares the target (collections, indexes) and returns its position: `None` if there is none, or if the target is not the one
    /// that the position was written for. May be repeated.
    async fn open(&mut self, view: &ViewShape) -> Result<Option<SinkPosition>, SinkError>;

    /// Writes all changes since the last position, at most one per key. Returns the documents that the target refuses; older versions of these
    /// are deleted.
    async fn write(&mut self, changes: &[SinkChange]) -> Result<Vec<TargetRefusal>, SinkError>;

    /// Sets the position of the target to that of the written changes.
    async fn reach(&mut self, position: &SinkPosition) -> Result<(), SinkError>;

    /// Writes these rows (key, row) of a full copy, in key order over all calls. Rows that the target has already need no write. Returns refused
    /// documents as `write` does.
    async fn copy(&mut self, rows: &[(Row, Row)]) -> Result<Vec<TargetRefusal>, SinkError>;

    /// Ends a full copy: deletes all documents that were not copied since `open`, then sets the position of the target.
    async fn finish_copy(&mut self, position: &SinkPosition) -> Result<(), SinkError>;

    /// Connects for a comparison, instead of `open`. Writes nothing. Returns the position as `open` does.
    async fn begin_compare(&mut self, view: &ViewShape) -> Result<Option<SinkPosition>, SinkError>;

    /// Compares rows (key, row) of the view with the target, in key order over all calls. Returns the keys of missing and different rows.
    async fn compare(&mut self, rows: &[(Row, Row)]) -> Result<Vec<Row>, SinkError>;

    /// Ends a comparison. Returns the number of documents in the target that were not compared.
    async fn finish_compare(&mut self) -> Result<u64, SinkError>;

    /// Checks that the target still exists and has the last position; an error if not. Called every few seconds between steps.
    async fn look(&mut self) -> Result<(), SinkError> {
        Ok(())
    }

    /// An anomaly that a reader of the target may have seen during the last step; `None` if there was none.
    fn note(&self) -> Option<String> {
        None
    }

    /// Closes the connection. Called once, as the last call, when the engine ends; it may also be omitted.
    async fn close(&mut self) {}
}

/// Every kind of sink.
pub const KINDS: &[Kind] = &[
    #[cfg(feature = "mongodb")]
    mongodb::KIND,
];

/// Creates a sink of this kind. The options must have passed the check against [`KINDS`].
#[cfg_attr(not(feature = "mongodb"), expect(unused_variables))]
pub fn open(kind: &str, options: &serde_json::Value) -> Result<Box<dyn Sink>, OptionError> {
    match kind {
        #[cfg(feature = "mongodb")]
        "mongodb" => Ok(Box::new(mongodb::MongoSink::new(options)?)),
        _ => unreachable!("`spec` lets only known kinds through, not `{kind}`"),
    }
}

/// A fault point at which a target fails to answer.
pub(crate) fn break_at(point: &str) -> Result<(), SinkError> {
    fault::fallible(point).map_err(|error| SinkError::Transient { message: error.to_string() })
}
