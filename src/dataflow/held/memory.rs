//! How many bytes the arrangements and operators of a worker hold, as far as they can say it themselves.

use std::cell::RefCell;
use std::rc::{Rc, Weak};
use std::sync::Arc;

use differential_dataflow::trace::{BatchReader, TraceReader};
use timely::progress::Antichain;

use super::arranged::RowTrace;
use super::bytes::offsets_bytes;
use super::updates::Updates;
use crate::value::Row;

/// What one arrangement or operator holds at one worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldBytes {
    /// For people; the same at every worker. Of an arrangement: its number where `explain` has one, rows, and their key.
    pub name: Arc<str>,
    /// Of an arrangement: rows, and changes of them that a reader still has to tell apart.
    pub updates: usize,
    pub bytes: usize,
}

/// State whose size on the heap is known.
pub(crate) trait Holds {
    /// Bytes on the heap. Asked for once a tick: costs much less than the state itself.
    fn held_bytes(&self) -> usize;
}

impl Holds for () {
    fn held_bytes(&self) -> usize {
        0
    }
}

/// State that does not grow with the rows that come.
pub(crate) struct Fixed<S>(pub(crate) S);

impl<S> Holds for Fixed<S> {
    fn held_bytes(&self) -> usize {
        0
    }
}

impl Holds for Updates {
    fn held_bytes(&self) -> usize {
        self.bytes_len() + self.room()
    }
}

impl Holds for Vec<Updates> {
    fn held_bytes(&self) -> usize {
        self.capacity() * size_of::<Updates>() + self.iter().map(Holds::held_bytes).sum::<usize>()
    }
}

impl Holds for Vec<Row> {
    fn held_bytes(&self) -> usize {
        self.capacity() * size_of::<Row>() + self.iter().map(|row| row.len()).sum::<usize>()
    }
}

struct Measured {
    name: Arc<str>,
    /// Updates, and bytes.
    measure: Box<dyn Fn() -> (usize, usize)>,
}

/// Everything that is measured at one worker, in the same order at every worker.
#[derive(Clone, Default)]
pub(crate) struct Memory(Rc<RefCell<Vec<Measured>>>);

impl Memory {
    /// The reader that this keeps holds nothing back: it always stands at the end of time.
    pub(crate) fn add_arrangement(&self, name: &str, mut trace: RowTrace) {
        trace.set_logical_compaction(Antichain::new().borrow());
        trace.set_physical_compaction(Antichain::new().borrow());
        self.add(name, move || size_of_trace(&trace));
    }

    /// What is gone holds nothing.
    pub(crate) fn add_operator<S: Holds + 'static>(&self, name: &str, state: Weak<RefCell<S>>) {
        self.add(name, move || (0, state.upgrade().map_or(0, |state| state.borrow().held_bytes())));
    }

    fn add(&self, name: &str, measure: impl Fn() -> (usize, usize) + 'static) {
        self.0.borrow_mut().push(Measured { name: name.into(), measure: Box::new(measure) });
    }

    pub(crate) fn measure(&self) -> Vec<HeldBytes> {
        let held = |measured: &Measured| {
            let (updates, bytes) = (measured.measure)();
            HeldBytes { name: measured.name.clone(), updates, bytes }
        };
        self.0.borrow().iter().map(held).collect()
    }
}

/// Updates, and bytes.
fn size_of_trace(trace: &RowTrace) -> (usize, usize) {
    let mut total = (0, 0);
    trace.map_batches(|batch| {
        let storage = &batch.storage;
        let updates = &storage.upds;
        total.0 += batch.len();
        total.1 += storage.keys.held_bytes() + storage.vals.vals.held_bytes() + offsets_bytes(&storage.vals.offs);
        total.1 += offsets_bytes(&updates.offs) + updates.times.capacity() * 8 + updates.diffs.capacity() * 8;
    });
    total
}
