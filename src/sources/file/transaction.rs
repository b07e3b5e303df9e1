//! Collects the changes of a transaction until it is complete, unless it is large.

use super::lines::LinePosition;
use crate::sources::{Event, Rejected};
use crate::value::Delta;

/// The maximum number of deltas of one event.
pub(super) const BATCH: usize = 1024;

/// A transaction with more changes than this is not kept in memory.
pub(super) const LARGE: usize = 16 * BATCH;

/// A transaction whose `commit` was not read yet.
#[derive(Debug)]
pub(super) struct FileTransaction {
    /// The end of the `begin` line.
    pub(super) from: LinePosition,
    pub(super) changes: FileChanges,
    /// Whether there were too many changes to keep; they are then only checked.
    pub(super) large: bool,
}

/// The changes of one or more lines.
#[derive(Debug, Default)]
pub(super) struct FileChanges {
    pub(super) deltas: Vec<Delta>,
    pub(super) rejected: Vec<Rejected>,
}

impl FileTransaction {
    /// Adds changes, or drops all changes if the transaction has become large.
    pub(super) fn add(&mut self, changes: FileChanges) {
        if self.large {
            return;
        }
        self.changes.append(changes);
        if self.changes.len() > LARGE {
            self.changes = FileChanges::default();
            self.large = true;
        }
    }
}

impl FileChanges {
    pub(super) fn len(&self) -> usize {
        self.deltas.len() + self.rejected.len()
    }

    pub(super) fn append(&mut self, mut more: FileChanges) {
        self.deltas.append(&mut more.deltas);
        self.rejected.append(&mut more.rejected);
    }

    pub(super) fn events(self) -> impl Iterator<Item = Event> {
        let changed = !self.deltas.is_empty();
        self.rejected.into_iter().map(Event::Rejected).chain(changed.then_some(Event::Changes(self.deltas)))
    }
}
