//! What the arrangements hold, in bytes, as far as they can tell it themselves.

use std::cell::RefCell;
use std::rc::Rc;

use differential_dataflow::trace::{BatchReader, TraceReader};

use super::bytes::offsets_bytes;
use super::sources::RowTrace;

/// What one arrangement holds at one worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldBytes {
    /// Index into the plan's arrangements.
    pub arrangement: usize,
    pub updates: usize,
    pub bytes: usize,
}

/// Readers that hold nothing back: they always stand at the end of time.
pub(super) struct Held(pub(super) Vec<(usize, RowTrace)>);

impl Held {
    pub(super) fn measure(&self) -> Vec<HeldBytes> {
        self.0
            .iter()
            .map(|(arrangement, trace)| {
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
                HeldBytes { arrangement: *arrangement, updates, bytes }
            })
            .collect()
    }
}
