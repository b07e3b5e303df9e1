//! `get`, `tail`, `errors`, `status` and orders about sinks from another process, whether an engine has the state folder open or not.
//!
//! In: a state folder and a question. Out: lines of JSON, the same ones in both cases: [`Access::open`] asks the running engine
//! over a Unix socket in the folder (`tidemill.sock`), and reads the folder itself where none runs, without changing it or keeping it. `run` starts the other side,
//! [`serve`]. Elsewhere: what the lines look like to people (`cli`).
//!
//! # Protocol
//! One connection asks one thing. The client sends one line, a JSON object with one field:
//! ```text
//! {"get":{"view":"orders","key":["7"]}}       the rows whose key begins with these values, as text; [] for all
//! {"tail":{"view":"orders","from":"start","until_caught_up":true}}
//!                                             from: "start", "now", {"after":TICK} or {"position":TEXT}
//! {"errors":{"of":["orders"]}}                what of these views and sources is wrong or was left out; [] for all
//! {"status":{}}
//! {"sink":{"name":"mongo","order":"forget"}}  order: "forget" or "resync"; see [`SinkOrder`]
//! ```
//! The engine answers with lines, each of which is one of
//! ```text
//! {"data":ANSWER}                             get: a row; tail: {"tick","position","key","before","after"};
//!                                             errors: see [`Errors`]; status: a [`Status`]
//! {"end":{"tick":TICK}}                       that was all; everything up to and with this tick was in it
//! {"error":{"kind":KIND,"message":TEXT,"help":TEXT or null}}
//! ```
//! and closes after an end or an error. A connection that closes without either was cut off. A client that stops reading holds up
//! its own answer and nothing else; one that follows keeps its side open for as long as it wants more.
//!
//! The path of a Unix socket has at most 107 bytes. Where the folder's is longer, the socket is in a folder of its own among the
//! temporary files, and `tidemill.sock.path` in the state folder says where.

mod access;
mod answer;
mod errors;
mod server;
mod sinks;
mod socket;

use serde::{Deserialize, Serialize};

use crate::store::StoreError;
use crate::value::Tick;

pub use access::Access;
pub use server::{Amend, Server, serve};

/// Which rows of a view.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Get {
    pub view: String,
    /// Values of the first key columns, as text; with all of them it is one row, and an error if it is not there.
    pub key: Vec<String>,
}

/// Of which views, sources and sinks; none: of all.
///
/// The lines are `{"view","count","since","reason"}` for each reason why rows of a view are missing, with the tick since when they are;
/// `{"source","table","place","reason"}` for each record that a source left out, in its order; and
/// `{"source","table","more"}` behind a table's, where more were left out than are kept; and
/// `{"sink","view","key","since","reason"}` for each document that a sink's target refuses, with the tick since when it does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Errors {
    pub of: Vec<String>,
}

/// Which part of a view's changelog.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tail {
    pub view: String,
    pub from: From,
    /// Ends with what is committed by now instead of following.
    pub until_caught_up: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum From {
    /// All that is still known, beginning with the rows that its first changes met.
    Start,
    Now,
    After(Tick),
    /// What came after the source's transaction with this position.
    Position(String),
}

/// How the engine and everything in its store are doing.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Status {
    pub store: String,
    /// The engine's process, where one runs.
    pub pid: Option<u32>,
    pub tick: Tick,
    pub disk_bytes: u64,
    pub sources: Vec<SourceStatus>,
    pub views: Vec<ViewStatus>,
    pub sinks: Vec<SinkStatus>,
    /// What the running engine holds in memory, by arrangement and operator.
    #[serde(default)]
    pub memory: Vec<MemoryStatus>,
}

/// An arrangement or operator of the running engine.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct MemoryStatus {
    /// Of an arrangement: its number in `tidemill explain` where it has one, its rows and their key; of an operator its view and its line there.
    pub name: String,
    /// Of an arrangement.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows: Option<u64>,
    pub bytes: u64,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct SourceStatus {
    pub name: String,
    pub tick: Tick,
    /// Empty before the first snapshot is whole.
    pub position: String,
    /// When the source committed it, in ms since 1970.
    pub committed_ms: Option<u64>,
    /// How far the engine is behind; known to a running one only.
    pub lag_ms: Option<u64>,
    /// The same in the source's own measure.
    pub lag: Option<String>,
    /// Why nothing comes, where something should.
    pub waiting: Option<String>,
    /// Records that were left out because they cannot be read.
    #[serde(default)]
    pub rejected: u64,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ViewStatus {
    pub name: String,
    pub rows: u64,
    pub bytes: u64,
    pub disk_bytes: u64,
    pub changes: u64,
    pub errors: u64,
    /// The changelog has every tick after this.
    pub changelog_after: Tick,
    /// What the changelog's entries come to, before compression.
    #[serde(default)]
    pub changelog_bytes: u64,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct SinkStatus {
    pub name: String,
    pub view: String,
    /// The target holds the view as of this tick.
    pub tick: Tick,
    /// The source's position of that tick, where it is still known.
    pub position: Option<String>,
    pub waiting: Option<String>,
    /// How long ago the first tick that is not in the target yet was committed here.
    #[serde(default)]
    pub lag_ms: u64,
    /// Documents that the target refuses.
    #[serde(default)]
    pub refused: u64,
    /// The spec that was run last has no such sink: its changelog is not kept.
    #[serde(default)]
    pub left: bool,
    /// What a reader of the target may have seen that is not so elsewhere.
    #[serde(default)]
    pub note: Option<String>,
}

/// What somebody wants done about a sink.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SinkOrder {
    pub name: String,
    pub order: Order,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Order {
    /// Nothing is known of it any more. The target stays as it is.
    Forget,
    /// The target is compared with the whole view, and what differs is written: now where an engine runs, else with the next run.
    Resync,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct AccessError {
    pub kind: AccessErrorKind,
    pub message: String,
    /// The way out.
    pub help: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AccessErrorKind {
    /// There is no such view, key or position.
    NotFound,
    /// The question cannot be asked so.
    Invalid,
    /// The answer could not be had.
    Failed,
    /// The engine went away in the midst of the answer.
    CutOff,
}

impl AccessError {
    fn not_found(message: String, help: Option<String>) -> AccessError {
        AccessError { kind: AccessErrorKind::NotFound, message, help }
    }

    fn invalid(message: String) -> AccessError {
        AccessError { kind: AccessErrorKind::Invalid, message, help: None }
    }

    fn failed(message: String) -> AccessError {
        AccessError { kind: AccessErrorKind::Failed, message, help: None }
    }

    fn cut_off() -> AccessError {
        let message = "the engine went away in the midst of its answer".to_string();
        AccessError { kind: AccessErrorKind::CutOff, message, help: Some("ask again".into()) }
    }
}

impl std::convert::From<StoreError> for AccessError {
    fn from(error: StoreError) -> AccessError {
        let (kind, help) = match &error {
            StoreError::Compacted { .. } => (AccessErrorKind::NotFound, Some("take the whole view with --from start".to_string())),
            StoreError::NoState { .. } => (AccessErrorKind::NotFound, error.help()),
            _ => (AccessErrorKind::Failed, error.help()),
        };
        AccessError { kind, message: error.to_string(), help }
    }
}

/// What a client sends.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Question {
    Get(Get),
    Tail(Tail),
    Errors(Errors),
    Status {},
    Sink(SinkOrder),
}

/// Complete lines of an answer, each ended by a newline.
pub type Lines = Vec<u8>;

/// Where an answer goes. One whose other end is gone ends the answer.
pub type Out = tokio::sync::mpsc::Sender<Lines>;
