//! What the arrangements hold, in bytes, as far as they can tell it themselves.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use differential_dataflow::trace::{BatchReader, TraceReader};
use timely::progress::Antichain;

use super::bytes::offsets_bytes;
use super::sources::RowTrace;

/// What one arrangement holds at one worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldBytes {
    /// What it holds, for people: a number where `explain` has one, rows, and their key.
    pub name: Arc<str>,
    /// Rows, and changes of them that something still has to tell apart.
    pub updates: usize,
    pub bytes: usize,
}

/// Readers that hold nothing back: they always stand at the end of time.
#[derive(Default)]
pub(super) struct Held(Vec<(Arc<str>, RowTrace)>);

impl Held {
    pub(super) fn add(&mut self, name: &str, mut trace: RowTrace) {
        trace.set_logical_compaction(Antichain::new().borrow());
        trace.set_physical_compaction(Antichain::new().borrow());
        self.0.push((name.into(), trace));
    }

    /// Of each arrangement, in the same order at every worker.
    pub(super) fn measure(&self) -> Vec<HeldBytes> {
        self.0
            .iter()
            .map(|(name, trace)| {
                let total = Rc::new(RefCell::new((0, 0)));
                trace.map_batches(|batch| {
                    let storage = &batch.storage;
                    let upds = &storage.upds;
                    let mut total = total.borrow_mut();
                    total.0 += batch.len();
                    total.1 += storage.keys.held_bytes() + storage.vals.vals.held_bytes() + offsets_bytes(&storage.vals.offs);
                    total.1 += offsets_bytes(&upds.offs) + upds.times.capacity() * 8 + upds.diffs.capacity() * 8;
                });
                let (updates, bytes) = *total.borrow();
                HeldBytes { name: name.clone(), updates, bytes }
            })
            .collect()
    }
}
