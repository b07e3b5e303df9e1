//! Changes that go in together, held until they are whole; a large transaction's are not.

use super::lines::Place;
use crate::sources::{Event, Rejected};
use crate::value::Delta;

/// The deltas of one event.
pub(super) const BATCH: usize = 1024;

/// More than this of a transaction is not held.
pub(super) const LARGE: usize = 16 * BATCH;

/// A transaction whose `commit` was not seen yet.
#[derive(Debug)]
pub(super) struct Transaction {
    /// Behind the `begin` line.
    pub(super) from: Place,
    pub(super) changes: Changes,
    /// There were too many to hold; they are checked only.
    pub(super) large: bool,
}

/// What one line or several come to.
#[derive(Debug, Default)]
pub(super) struct Changes {
    pub(super) deltas: Vec<Delta>,
    pub(super) rejected: Vec<Rejected>,
}

impl Transaction {
    pub(super) fn add(&mut self, changes: Changes) {
        if self.large {
            return;
        }
        self.changes.append(changes);
        if self.changes.len() > LARGE {
            self.changes = Changes::default();
            self.large = true;
        }
    }
}

impl Changes {
    pub(super) fn len(&self) -> usize {
        self.deltas.len() + self.rejected.len()
    }

    pub(super) fn append(&mut self, mut more: Changes) {
        self.deltas.append(&mut more.deltas);
        self.rejected.append(&mut more.rejected);
    }

    pub(super) fn events(self) -> impl Iterator<Item = Event> {
        let changed = !self.deltas.is_empty();
        self.rejected.into_iter().map(Event::Rejected).chain(changed.then_some(Event::Changes(self.deltas)))
    }
}
