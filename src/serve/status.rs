//! The state of the engine and of everything in its store.

use serde::{Deserialize, Serialize};

use super::{AccessError, sinks};
use crate::store::StoreSnapshot;
use crate::value::Tick;

/// The state of the engine and of everything in its store.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Status {
    pub store: String,
    /// The process id of the running engine; `None` if none is running.
    pub pid: Option<u32>,
    pub tick: Tick,
    pub disk_bytes: u64,
    pub sources: Vec<SourceStatus>,
    pub views: Vec<ViewStatus>,
    pub sinks: Vec<SinkStatus>,
    /// The memory that the running engine holds, by arrangement and operator.
    #[serde(default)]
    pub memory: Vec<MemoryStatus>,
    /// The memory of the engine's process in bytes: the above, what the allocator keeps, and some 5 MB for the program itself.
    #[serde(default)]
    pub process_bytes: Option<u64>,
}

/// An arrangement or operator of the running engine.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct MemoryStatus {
    /// Of an arrangement: its number in `tidemill explain` if it has one, its rows and their key. Of an operator: its view and its line there.
    pub name: String,
    /// The number of rows of an arrangement; `None` for an operator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows: Option<u64>,
    pub bytes: u64,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct SourceStatus {
    pub name: String,
    pub tick: Tick,
    /// The last committed position. Empty before the first snapshot is complete.
    pub position: String,
    /// When the source committed the transaction of `position`, in ms since 1970.
    pub committed_ms: Option<u64>,
    /// The time from the last transaction's commit at the source until it was durable; only if an engine is running.
    pub lag_ms: Option<u64>,
    /// The number of transactions that were received from all sources and are not committed yet, as text.
    pub lag: Option<String>,
    /// What the source waits for.
    pub waiting: Option<String>,
    /// The number of rejected records, which cannot be read.
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
    /// The size of the changelog in bytes, before compression.
    #[serde(default)]
    pub changelog_bytes: u64,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct SinkStatus {
    pub name: String,
    pub view: String,
    /// The target has the view as of this tick.
    pub tick: Tick,
    /// The source position of that tick, if it is still known.
    pub position: Option<String>,
    /// What the sink waits for.
    pub waiting: Option<String>,
    /// How long ago the first tick that the target does not have was committed here.
    #[serde(default)]
    pub lag_ms: u64,
    /// The number of documents that the target refuses.
    #[serde(default)]
    pub refused: u64,
    /// The last spec that ran has no such sink: its changelog is not kept.
    #[serde(default)]
    pub left: bool,
    /// An anomaly that a reader of the target may have seen.
    #[serde(default)]
    pub note: Option<String>,
}

impl Status {
    /// The part of the status that is in the store.
    pub(super) fn read(snapshot: &StoreSnapshot) -> Result<Status, AccessError> {
        let checkpoint = snapshot.checkpoint()?.unwrap_or_default();
        let rejected = snapshot.rejected_counts()?;
        let sources = checkpoint.sources.into_iter().map(|(name, at)| SourceStatus {
            rejected: rejected.get(&name).map_or(0, |tables| tables.values().sum()),
            name,
            tick: at.tick,
            position: at.position.to_string(),
            committed_ms: at.committed_ms,
            ..SourceStatus::default()
        });
        let views = snapshot.views().map(|view| {
            let info = view.info()?;
            Ok(ViewStatus {
                name: info.name,
                rows: info.rows,
                bytes: info.bytes,
                disk_bytes: info.disk_bytes,
                changes: info.changes,
                errors: info.errors,
                changelog_after: info.floor,
                changelog_bytes: info.changelog_bytes,
            })
        });
        Ok(Status {
            store: snapshot.store().id().into(),
            pid: None,
            tick: checkpoint.tick,
            disk_bytes: snapshot.store().disk_bytes()?,
            sources: sources.collect(),
            views: views.collect::<Result<_, AccessError>>()?,
            sinks: sinks::status(snapshot)?,
            memory: Vec::new(),
            process_bytes: None,
        })
    }
}
