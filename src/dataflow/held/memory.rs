//! How many bytes the arrangements and operators of a worker hold, by their own measure.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use datafusion::arrow::datatypes::i256;
use differential_dataflow::trace::{BatchReader, TraceReader};
use timely::progress::Antichain;

use super::arranged::RowTrace;
use super::bytes::offsets_bytes;
use super::updates::Updates;
use crate::value::Row;

/// The memory of one arrangement or operator at one worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldBytes {
    /// For display; the same at every worker. For an arrangement: its number if `explain` shows one, its rows and their key. For an
    /// operator: its view and its line in `explain`, or its task.
    pub name: Arc<str>,
    /// The number of updates in an arrangement: its rows, and changes that a reader still has to distinguish. `None` for an operator.
    pub updates: Option<usize>,
    pub bytes: usize,
}

/// State that knows its size on the heap.
pub(crate) trait HeapSize {
    /// Bytes on the heap. Called up to a thousand times a second, so it must be cheap even for large state.
    fn held_bytes(&self) -> usize;
}

impl HeapSize for () {
    fn held_bytes(&self) -> usize {
        0
    }
}

/// What glibc's allocator uses for a block of this many bytes: its header, and rounding to multiples of sixteen.
pub(crate) fn block(bytes: usize) -> usize {
    if bytes == 0 { 0 } else { (bytes + 8).next_multiple_of(16).max(32) }
}

/// A hash table with entries of this type. At most seven of eight buckets are used, and each has one extra byte.
pub(crate) fn table<T>(capacity: usize) -> usize {
    if capacity == 0 { 0 } else { block((capacity * 8 / 7).next_power_of_two() * (size_of::<T>() + 1)) }
}

/// A B-tree with this many entries of this type. A node has room for eleven, of which about eight are used.
pub(crate) fn tree<T>(entries: usize) -> usize {
    entries.div_ceil(8) * block(11 * size_of::<T>() + 16)
}

/// State that does not grow with the input.
pub(crate) struct Fixed<S>(pub(crate) S);

impl<S> HeapSize for Fixed<S> {
    fn held_bytes(&self) -> usize {
        0
    }
}

/// Values without heap memory.
macro_rules! nothing {
    ($($ty:ty),*) => {
        $(impl HeapSize for $ty {
            #[inline]
            fn held_bytes(&self) -> usize {
                0
            }
        })*
    };
}

nothing!(i64, (i64, i128), (i64, i256));

impl HeapSize for Vec<u8> {
    fn held_bytes(&self) -> usize {
        block(self.capacity())
    }
}

impl HeapSize for Updates {
    fn held_bytes(&self) -> usize {
        self.bytes_len() + self.room()
    }
}

impl HeapSize for Vec<Updates> {
    fn held_bytes(&self) -> usize {
        block(self.capacity() * size_of::<Updates>()) + self.iter().map(HeapSize::held_bytes).sum::<usize>()
    }
}

impl HeapSize for Vec<Row> {
    fn held_bytes(&self) -> usize {
        block(self.capacity() * size_of::<Row>()) + self.iter().map(|row| block(row.len())).sum::<usize>()
    }
}

struct Measured {
    name: Arc<str>,
    /// Returns the number of updates (`None` for an operator) and the bytes.
    measure: Box<dyn Fn() -> (Option<usize>, usize)>,
}

/// Everything measured at one worker, in the same order at every worker.
#[derive(Clone, Default)]
pub(crate) struct Memory(Rc<RefCell<Vec<Measured>>>);

impl Memory {
    /// Keeps a reader of the trace that never prevents compaction: its frontier is the end of time.
    pub(crate) fn add_arrangement(&self, name: &str, mut trace: RowTrace) {
        trace.set_logical_compaction(Antichain::new().borrow());
        trace.set_physical_compaction(Antichain::new().borrow());
        self.add(name, move || {
            let (updates, bytes) = size_of_trace(&trace);
            (Some(updates), bytes)
        });
    }

    /// Keeps the state alive as long as this, so its size can be measured even after the operator is done.
    pub(crate) fn add_operator<S: HeapSize + 'static>(&self, name: &str, state: Rc<RefCell<S>>) {
        self.add(name, move || (None, state.borrow().held_bytes()));
    }

    fn add(&self, name: &str, measure: impl Fn() -> (Option<usize>, usize) + 'static) {
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

/// The number of updates and the bytes of a trace.
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
