//! Sources of rows and their changes. Each kind is a file or folder that implements the [`Source`] contract.
//!
//! In: the tables that the views need, and the position to resume from. Out: the rows of a snapshot, then transactions, each with its
//! [`Position`]. Elsewhere: engine time (`run::ingest`), retries and back-off (`run`).

mod bounded;
mod captured;
mod extent;
#[cfg(feature = "file")]
mod file;
mod held;
#[cfg(feature = "mysql")]
mod mysql;
mod notes;
mod staged;
mod survey;

use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use tokio::sync::mpsc;

use crate::options::{Kind, OptionError};
use crate::value::{Delta, Position, Rows, Schema};

pub use self::bounded::{BoundedRead, BoundedReader, LeftRows, ReadRows, WantedRows};
pub use self::captured::CapturedRows;
pub use self::extent::{SourceExtent, TableExtent};
pub use self::held::{HeldRows, MemoryRows};
pub use self::notes::{NOTES, Notes, notes_table};
pub use self::staged::{StagedCapture, StagedEvent, StagedMark, StagedSender};
pub use self::survey::{RowCount, Survey, SurveyedColumn, SurveyedKey, SurveyedTable, ValueQuestion, ValueSample};
pub use crate::finding::{Finding, Severity};

/// A table as its source describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// The name that the spec uses, without the source's name before it.
    pub name: String,
    pub schema: Schema,
    /// Indexes of the primary key columns, in key order. Empty if the table has no key; its rows are then a multiset.
    pub key: Vec<usize>,
    /// Whether rows are only ever inserted. The key is then the column [`ROW_OFFSET`](crate::value::ROW_OFFSET), a row's number in order of
    /// arrival.
    pub stream: bool,
}

/// A table that no view reads and of which a run keeps some columns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Companion {
    pub table: String,
    pub columns: Vec<String>,
    /// Why it is kept, for people.
    pub reason: String,
}

/// The input of [`Source::run`].
#[derive(Debug, Clone)]
pub struct Capture {
    /// The tables that [`Source::discover`] returned, and at the end [`notes_table`] if the source keeps notes. [`Delta::table`] and
    /// [`Event::Rows`] are indexes into this list.
    pub tables: Vec<Table>,
    /// The position to resume from. `None`: take a snapshot first.
    pub from: Option<Position>,
    /// Return after [`Event::CaughtUp`] has been sent.
    pub until_caught_up: bool,
    /// The rows of the tables that the engine has stored.
    pub held: Arc<dyn HeldRows>,
}

/// What a source sends, in this order: if `from` is `None`, any number of `Rows` and one `SnapshotDone`; then any number of (`Changes`*,
/// `Commit`) or `Progress`. `Rejected` is sent before the first `SnapshotDone`, `Commit` or `Progress` whose position is past the rejected
/// record, and is stored together with that. `Waiting` and `CaughtUp` may be sent at any point.
#[derive(Debug)]
pub enum Event {
    /// How many rows the snapshot of each table will have; `None` if unknown.
    SnapshotPlan { rows: Vec<Option<u64>> },
    /// Rows of a snapshot. Tables and batches may be sent in any order.
    Rows { table: usize, rows: Rows },
    /// The snapshot is complete. It is exactly the tables' state at `position`.
    SnapshotDone { position: Position },
    /// A part of a transaction. After the first part nothing may fail until the `Commit`: a source collects the whole transaction (on disk
    /// if it is large) before it sends any of it.
    Changes(Vec<Delta>),
    /// A record was left out because it cannot be read.
    Rejected(Rejected),
    /// The transaction is complete. `committed_ms` is its commit time at the source, in ms since 1970.
    Commit { position: Position, committed_ms: Option<u64> },
    /// The position advanced without a change of a captured table.
    Progress { position: Position, committed_ms: Option<u64> },
    /// Everything that the source had when this run began has been sent.
    CaughtUp,
    /// The source sends nothing because it waits for this. The text is for people.
    Waiting(String),
}

/// A record that was left out, and why. Of the record's values only those of its key may appear here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejected {
    /// The table's name, if known.
    pub table: Option<String>,
    /// Where the record is, for people: `orders.csv, line 17`, or `id = 7 in the snapshot`.
    pub place: String,
    pub reason: String,
}

/// The bounded channel on which a source sends events. A full channel is back-pressure from the engine; a closed one tells the source to
/// stop.
pub type EventSender = mpsc::Sender<Event>;

/// Why a source stopped.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The spec asks for something that does not exist or is not possible. Final. `table` is set if the error is about one table.
    #[error("{message}")]
    Invalid { message: String, table: Option<String>, help: Option<String> },
    #[error(transparent)]
    Option(#[from] OptionError),
    /// Something outside failed. `run` backs off and calls [`Source::run`] again from the last position that it received.
    #[error("{message}")]
    Transient { message: String },
    /// The log does not continue from the stored state: it lacks the position, has a statement that changed rows without listing them, or
    /// has a row that differs from the stored one. Everything sent before remains valid. `run` captures the source again and publishes the
    /// difference; until then the old answer is served. If `table` is given, only that table is concerned, and the log goes on for the others.
    /// The message names what and where, with the table if there is one, but no values.
    #[error("{message}")]
    Resync { message: String, table: Option<String> },
    /// A table no longer has the columns or the key that the capture asks for. Everything sent before remains valid. `run` ends, so that the
    /// views are planned again over the tables as they are now.
    #[error("{message}")]
    Redefined { message: String },
    /// Something arrived that is not understood, or that cannot be skipped without losing data. Final until a person intervenes.
    #[error("{message}")]
    Stopped { message: String, help: Option<String> },
}

/// A place that rows and their changes are read from. Calls on one source never overlap.
#[async_trait]
pub trait Source: Send + Sync {
    /// Returns the current definitions of the tables with these names. Fails with [`SourceError::Invalid`] if a name does not exist.
    ///
    /// Every command that needs tables calls this first (only [`table_names`](Source::table_names) may precede it): once for all names, and
    /// if that fails once per name, to report every problem.
    async fn discover(&self, names: &[String]) -> Result<Vec<Table>, SourceError>;

    /// Returns the names of all tables that can be captured, for messages that suggest the nearest one. `check` calls it first, with a time
    /// limit, to find out whether the source responds.
    async fn table_names(&self) -> Result<Vec<String>, SourceError>;

    /// Returns how large the tables are, with some of their rows, from bounded reads that end at about `until`. Only `check` and `explain`
    /// call it, with a time limit.
    async fn extents(&self, tables: &[Table], _until: Instant) -> Result<SourceExtent, SourceError> {
        let unknown = || Err("belongs to a kind of source that does not count its rows".into());
        Ok(SourceExtent { tables: tables.iter().map(|_| unknown()).collect(), beside: None })
    }

    /// Looks for anything that would make a run fail or lose data: settings, grants, retention. Only `check` calls it; a run verifies what
    /// it needs itself.
    async fn preflight(&self, _tables: &[Table]) -> Result<Vec<Finding>, SourceError> {
        Ok(Vec::new())
    }

    /// Returns the tables that a run keeps beside these, because changes pass through them. Only `explain` calls it, with a time limit.
    async fn companions(&self, _tables: &[Table]) -> Result<Vec<Companion>, SourceError> {
        Ok(Vec::new())
    }

    /// Opens a reader of some rows of these tables. `None`: the source can only be captured. Only `preview` calls it, once.
    async fn bounded_reader(&self, _tables: &[Table]) -> Result<Option<Box<dyn BoundedReader>>, SourceError> {
        Ok(None)
    }

    /// Whether the source remembers [notes](notes_table).
    fn keeps_notes(&self) -> bool {
        false
    }

    /// Describes all tables at once, with how they refer to each other. Only `draft` calls it, once, before [`sample`](Source::sample).
    ///
    /// `root`: the name of the table that is drafted, which may belong to a place that the source does not look at otherwise. A kind whose
    /// tables are described by the spec itself answers that it has nothing to tell.
    async fn survey(&self, _root: Option<&str>) -> Result<Survey, SourceError> {
        Err(SourceError::Invalid { message: "this kind of source does not describe its tables".into(), table: None, help: None })
    }

    /// Answers each question from a bounded number of rows; `None` where the rows cannot be read. Only `draft` calls it.
    async fn sample(&self, questions: &[ValueQuestion]) -> Result<Vec<Option<ValueSample>>, SourceError> {
        Ok(vec![None; questions.len()])
    }

    /// Whether a new capture reads the source's current state, which is later than everything that was sent before. If not, a capture
    /// replays the same transactions.
    fn captures_the_present(&self) -> bool;

    /// Whether these tables can be captured in chunks, with [`stage`](Source::stage). `run` asks before each new capture.
    async fn stages(&self, _tables: &[Table]) -> Result<bool, SourceError> {
        Ok(false)
    }

    /// Captures tables in chunks beside the log; `sources/staged.rs` has the guarantee. Returns as [`StagedCapture::until`] says.
    ///
    /// After [`SourceError::Transient`] it is called again, with what was sent last and stored. After any other error, what was staged is
    /// dropped.
    async fn stage(&self, _capture: StagedCapture, _out: StagedSender) -> Result<(), SourceError> {
        Err(SourceError::Stopped { message: "this kind of source does not capture in chunks".into(), help: None })
    }

    /// Whether everything before the position `wanted` is also before `position`. Only asked of a source that [`stages`](Source::stages).
    fn reaches(&self, position: &Position, wanted: &Position) -> bool {
        position == wanted
    }

    /// Sends events until the channel closes or, with `until_caught_up`, until the source has caught up. Dropping the future stops it at any
    /// await.
    ///
    /// `run` calls it in its own task. After an error it calls it again with the last position that was sent and stored. The source may
    /// forget what it sent up to a `Commit` or `Progress`, because the engine stores the position with the data. Whatever followed the last
    /// stored position is sent again. An [`Event::Rejected`] among it would be counted twice, so a source that has transient errors must not
    /// send any.
    async fn run(&self, capture: Capture, out: EventSender) -> Result<(), SourceError>;
}

/// All kinds of sources.
pub const KINDS: &[Kind] = &[
    #[cfg(feature = "file")]
    file::KIND,
    #[cfg(feature = "mysql")]
    mysql::MYSQL,
    #[cfg(feature = "mysql")]
    mysql::MARIADB,
];

/// Creates a source of this kind with these options (already checked against [`KINDS`]; paths are absolute).
#[cfg_attr(not(any(feature = "file", feature = "mysql")), expect(unused_variables))]
pub fn open(kind: &str, options: &serde_json::Value) -> Result<Box<dyn Source>, OptionError> {
    match kind {
        #[cfg(feature = "file")]
        "file" => file::open_source(options),
        #[cfg(feature = "mysql")]
        "mysql" | "mariadb" => mysql::open(options),
        _ => unreachable!("`spec` lets only known kinds through, not `{kind}`"),
    }
}
