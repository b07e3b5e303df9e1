//! Where rows and their changes come from: one file or folder per kind behind one [`Source`] contract.
//!
//! In: the tables that the views need, and the position to go on from. Out: the rows of a snapshot, then transactions, each with
//! its [`Position`]. Elsewhere: engine time (`run::ingest`), retrying and backing off (`run`).

mod file;
mod held;
mod mysql;

use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::mpsc;

use crate::options::{Kind, OptionError};
use crate::value::{Delta, Position, Rows, Schema};

pub use self::held::{HeldRows, MemoryRows};
pub use crate::finding::{Finding, Severity};

/// A table as its source describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// As the spec names it after the source's name.
    pub name: String,
    pub schema: Schema,
    /// The columns of the primary key, in key order; empty where there is none, and then rows are a multiset.
    pub key: Vec<usize>,
    /// Whether rows only ever come. Their place in the order of arrival is in the column [`ROW_OFFSET`](crate::value::ROW_OFFSET), which is the key.
    pub stream: bool,
}

/// What a run of a source is asked for.
#[derive(Debug, Clone)]
pub struct Capture {
    /// As [`Source::discover`] gave them; [`Delta::table`] and [`Event::Rows`] count in this list.
    pub tables: Vec<Table>,
    /// Where to go on. `None`: take a snapshot first.
    pub from: Option<Position>,
    /// Return once [`Event::CaughtUp`] was sent.
    pub until_caught_up: bool,
    /// What the engine holds of the tables.
    pub held: Arc<dyn HeldRows>,
}

/// What a source sends, in this order: if `from` is `None`, any number of `Rows` and one `SnapshotDone`; then any number of
/// (`Changes`*, `Commit`) or `Progress`. `Rejected` stands anywhere before the `SnapshotDone`, `Commit` or `Progress` whose position is
/// behind its place, and is kept with that. `Waiting` and `CaughtUp` stand anywhere between them.
#[derive(Debug)]
pub enum Event {
    /// How many rows the snapshot of each table will have, as far as known.
    SnapshotPlan { rows: Vec<Option<u64>> },
    /// Rows of a snapshot. Tables and batches may come in any order.
    Rows { table: usize, rows: Rows },
    /// The snapshot is whole and is exactly the tables' state at `position`.
    SnapshotDone { position: Position },
    /// A part of a transaction. Once the first part is sent nothing can fail until its `Commit`: a source collects a transaction
    /// (on disk where it is large) before it sends it.
    Changes(Vec<Delta>),
    /// Something is left out because it cannot be read.
    Rejected(Rejected),
    /// The transaction is whole. `committed_ms` is its commit time at the source, in ms since 1970.
    Commit { position: Position, committed_ms: Option<u64> },
    /// The source moved on without a change of a captured table.
    Progress { position: Position, committed_ms: Option<u64> },
    /// Everything that the source had when this run began has been sent.
    CaughtUp,
    /// Nothing comes because of this: what is waited for, for people.
    Waiting(String),
}

/// A record that is left out, and why. No values of it are in here but those of its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejected {
    /// The table's name, where it can be known.
    pub table: Option<String>,
    /// Where it stands, for people: `orders.csv, line 17`, or `id = 7 in the snapshot`.
    pub place: String,
    pub reason: String,
}

/// The bounded channel on which a source sends. A send that waits is the engine's back-pressure; a closed one means to stop.
pub type EventSender = mpsc::Sender<Event>;

/// Why a source stopped.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The spec asks for something that is not there or not possible. Final. `table` and `column` where it is about one.
    #[error("{message}")]
    Invalid { message: String, table: Option<String>, help: Option<String> },
    #[error(transparent)]
    Option(#[from] OptionError),
    /// The outside failed. `run` backs off and calls [`Source::run`] again from the last position it was given.
    #[error("{message}")]
    Transient { message: String },
    /// The log does not lead on from what is held: a position that this server's log does not have, a statement that changed rows without
    /// telling which, a row that is not what the log says it was. Everything sent before stands. `run` captures the source again, and the
    /// difference goes out; until then the old answer is served. Says what and where, with the table where it is one; never values.
    #[error("{message}")]
    Resync { message: String },
    /// Something came that is not understood or cannot be carried on from without losing data. Final until somebody looks.
    #[error("{message}")]
    Stopped { message: String, help: Option<String> },
}

/// A place that rows and their changes come from. Calls of one source never overlap.
#[async_trait]
pub trait Source: Send + Sync {
    /// The tables of these names, as they are now. Fails with [`SourceError::Invalid`] for a name that is not there.
    ///
    /// Every command that needs the tables calls it before anything else but [`table_names`](Source::table_names): once for all of them, and
    /// if that fails once for each, to say all that is wrong.
    async fn discover(&self, names: &[String]) -> Result<Vec<Table>, SourceError>;

    /// Every table that could be asked for, for messages that name the nearest one. `check` calls it first, with a time limit: whether the
    /// source answers at all.
    async fn table_names(&self) -> Result<Vec<String>, SourceError>;

    /// About how many rows the tables have, as far as that can be known quickly. Only `explain` calls it, with a time limit.
    async fn row_counts(&self, tables: &[Table]) -> Result<Vec<Option<u64>>, SourceError>;

    /// Looks for whatever would make a run fail or lose data: settings, grants, retention. Only `check` calls it; a run verifies what it needs
    /// by itself.
    async fn preflight(&self, tables: &[Table]) -> Result<Vec<Finding>, SourceError>;

    /// Whether a new capture is of what there is by then, so that it leads past everything that was sent before. Where it is not, it leads
    /// through the same transactions once more.
    fn captures_the_present(&self) -> bool;

    /// Sends events until the channel closes, or `until_caught_up` is fulfilled. Dropping the future stops it at any await.
    ///
    /// `run` calls it in a task of its own. After an error it calls it again, from the last position that was sent and kept. Whatever was sent
    /// with a `Commit` or `Progress` may be forgotten by the source: the engine keeps the position with the data. What was sent behind the
    /// last of these is sent again; an [`Event::Rejected`] among it would be counted twice, so a source that has transient errors must not send
    /// any.
    async fn run(&self, capture: Capture, out: EventSender) -> Result<(), SourceError>;
}

/// Every kind of source.
pub const KINDS: &[Kind] = &[file::KIND, mysql::MYSQL, mysql::MARIADB];

/// A source of this kind with these options (checked against [`KINDS`]; paths absolute).
pub fn open(kind: &str, options: &serde_json::Value) -> Result<Box<dyn Source>, OptionError> {
    match kind {
        "file" => file::open_source(options),
        "mysql" | "mariadb" => mysql::open(options),
        _ => unreachable!("`spec` lets only known kinds through, not `{kind}`"),
    }
}
