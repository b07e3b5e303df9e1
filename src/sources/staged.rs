//! Capturing tables in chunks, beside the log.
//!
//! A source that [can](super::Source::stages) reads tables in many short reads and follows its log meanwhile. Everything that it sends is
//! collected in the store over restarts and lost connections, until it is exactly the tables' state at one position. Nothing of it is seen
//! before.
//!
//! Chunks and the log overlap: a chunk may be read before or after a change of one of its rows. So changes win over the rows of chunks: a row of
//! a chunk is dropped if the log has had a change of its key since the capture began, no matter which of the two came first. This is exact at
//! every position p that is at or behind everything that a chunk has seen, if the log is complete from before the first chunk on: a key that
//! the log has changed has the row of its last change, and the others have had one and the same row all the time.

use tokio::sync::mpsc;

use super::{Rejected, Table};
use crate::value::{Delta, Position, Rows};

/// The input of [`Source::stage`](super::Source::stage).
#[derive(Debug, Clone)]
pub struct StagedCapture {
    /// As in [`Capture::tables`](super::Capture::tables). Every table has a key.
    pub tables: Vec<Table>,
    /// For each table, how far it was read, as the source noted it last; `None` at the beginning.
    pub progress: Vec<Option<String>>,
    /// The position up to which the changes of the log are collected; `None` at the beginning.
    pub from: Option<Position>,
    /// `None`: read what is missing, and return once everything is exact as of one position. Else everything is exact as of `from`: follow the
    /// log from there to exactly this position, and send it as the last one.
    pub until: Option<Position>,
}

/// What a source sends while it [stages](super::Source::stage). Tables are indexes into [`StagedCapture::tables`].
#[derive(Debug)]
pub enum StagedEvent {
    /// How many rows each table has in all, and how many of them were read before; `None` if unknown.
    Plan { expected: Vec<Option<u64>>, read: Vec<u64> },
    /// Rows of a chunk, in any order.
    Rows { table: usize, rows: Rows },
    /// Changes of the log, in order. Parts of a transaction may be sent; the position after it follows.
    Changes(Vec<Delta>),
    /// A record was left out because it cannot be read.
    Rejected(Rejected),
    /// The source sends nothing because it waits for this. The text is for people.
    Waiting(String),
    /// Where the capture can go on from if it is cut off after this.
    Reached(StagedMark),
}

/// How far a staged capture has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StagedMark {
    /// For each table, how far it is read; `None`: as before.
    pub progress: Vec<Option<String>>,
    /// All changes of the log up to this position were sent.
    pub position: Position,
    /// Whether the rows are exactly those of the tables at the position.
    pub exact: bool,
}

/// The bounded channel on which a source sends what it stages.
pub type StagedSender = mpsc::Sender<StagedEvent>;
