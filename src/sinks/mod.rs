//! Where views go besides the store: one file or folder per kind behind one [`Sink`] contract.
//!
//! In: a view's changelog, whole ticks at a time. Out: the target's own state, and in it the position up to which it is right.
//! Elsewhere: reading the changelog, retrying and backing off (`run`).

pub mod mongodb;

use async_trait::async_trait;

use crate::fault;
use crate::finding::Finding;
use crate::options::{Kind, OptionError};
use crate::value::{Row, Schema, Tick};

/// What a sink must know of its view.
#[derive(Debug, Clone)]
pub struct ViewShape {
    pub name: String,
    pub schema: Schema,
    /// The columns of the view's key, in key order.
    pub key: Vec<usize>,
    /// What is worth an index in the target, because relations and keys use it: for each index the dotted paths of its fields.
    pub indexes: Vec<Vec<String>>,
}

/// How far a target is: right up to and with `tick` of the store `store_id`, as that tick was in the life `life` of the store. A state folder that
/// was restored from a copy goes on to the same tick numbers in another life, with other content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SinkPosition {
    pub store_id: String,
    pub life: String,
    pub tick: Tick,
}

/// What one key of the view came to. `before` is what the target has if it holds the position that came last. A key that changed and
/// came back has the same in both (`None` if it came and went): after a call that failed the target may hold what was between.
#[derive(Debug, Clone)]
pub struct Change {
    /// The order-preserving key ([`crate::value::key`]).
    pub key: Row,
    pub before: Option<Row>,
    pub after: Option<Row>,
}

/// A document that the target does not take, while it takes others. It is not in the target in any form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    pub key: Row,
    /// For people; no value is part of it.
    pub reason: String,
}

#[derive(Debug, thiserror::Error)]
pub enum SinkError {
    #[error(transparent)]
    Option(#[from] OptionError),
    /// The outside failed; the same call may be repeated.
    #[error("{message}")]
    Transient { message: String },
    /// The target as a whole refuses: repeating helps only once somebody has changed something.
    #[error("{message}")]
    Stopped { message: String, help: Option<String> },
}

/// A target that holds a view.
///
/// `check` calls `preflight` and nothing else.
///
/// `run` owns each sink in a task of its own; calls never overlap. First `open`. Then, if the answer is not a position of this
/// store that the changelog still reaches, one full copy (`copy`*, `finish_copy`); then steps for ever, each a `write` and a `reach`.
/// Between the two `run` notes the refused documents, so that none is forgotten that a position has passed. After an error all begins again
/// with `open`, also after a restart of either side, so every call must be idempotent: the target may already
/// hold all, some or none of what the failed call was to write. What `reach` or `finish_copy` answered with `Ok` is durable in
/// the target and may be compacted away here.
#[async_trait]
pub trait Sink: Send {
    /// Connects and looks for whatever would make a run fail; writes nothing. `view` is `None` where it is not known, because its source did
    /// not answer or the spec is wrong.
    async fn preflight(&self, view: Option<&ViewShape>) -> Result<Vec<Finding>, SinkError>;

    /// Connects, prepares the target (collections, indexes) and answers how far it is: `None` where it is not what it was when its
    /// position was written. May be repeated.
    async fn open(&mut self, view: &ViewShape) -> Result<Option<SinkPosition>, SinkError>;

    /// Writes what happened since the last position: all of it, at most one change per key. Answers which of the documents the target refuses;
    /// these are gone from it.
    async fn write(&mut self, changes: &[Change]) -> Result<Vec<Refused>, SinkError>;

    /// Brings the target to `position`, behind what was written.
    async fn reach(&mut self, position: &SinkPosition) -> Result<(), SinkError>;

    /// Writes these rows (key, row) of a full copy, in key order over all calls. Rows that are the same already need no write. Answers as
    /// `write` does.
    async fn copy(&mut self, rows: &[(Row, Row)]) -> Result<Vec<Refused>, SinkError>;

    /// Ends a full copy: whatever the target holds that was not copied since `open` goes; then the target is at `position`.
    async fn finish_copy(&mut self, position: &SinkPosition) -> Result<(), SinkError>;

    /// Connects for a comparison, in the place of `open`: writes nothing. Answers as `open` does.
    async fn begin_compare(&mut self, view: &ViewShape) -> Result<Option<SinkPosition>, SinkError>;

    /// Compares rows (key, row) of the view with the target, in key order over all calls; the keys of those that it does not have so.
    async fn compare(&mut self, rows: &[(Row, Row)]) -> Result<Vec<Row>, SinkError>;

    /// Ends a comparison: how many documents the target holds that were not compared.
    async fn finish_compare(&mut self) -> Result<u64, SinkError>;

    /// Looks whether the target is still there and at the last position; an error where it is not. Called every few seconds between steps.
    async fn look(&mut self) -> Result<(), SinkError> {
        Ok(())
    }

    /// What a reader of the target may have seen of the last step that is not so elsewhere; `None` where nothing is.
    fn note(&self) -> Option<String> {
        None
    }

    /// Closes the connection; called once, last, when the engine ends. Nothing depends on it.
    async fn close(&mut self) {}
}

/// Every kind of sink.
pub const KINDS: &[Kind] = &[mongodb::KIND];

/// A sink of this kind with these options (checked against [`KINDS`]).
pub fn open(kind: &str, options: &serde_json::Value) -> Result<Box<dyn Sink>, OptionError> {
    match kind {
        "mongodb" => Ok(Box::new(mongodb::MongoSink::new(options)?)),
        _ => unreachable!("`spec` lets only known kinds through, not `{kind}`"),
    }
}

/// A fault point at which a target does not answer.
pub(crate) fn break_at(point: &str) -> Result<(), SinkError> {
    fault::fallible(point).map_err(|error| SinkError::Transient { message: error.to_string() })
}
