//! How many bytes the arrangements and operators of a worker hold, as far as they can say it themselves.

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

/// What one arrangement or operator holds at one worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldBytes {
    /// For people; the same at every worker. Of an arrangement: its number where `explain` has one, rows, and their key. Of an operator:
    /// its view and its line in `explain`, or what it does.
    pub name: Arc<str>,
    /// Of an arrangement: rows, and changes of them that a reader still has to tell apart.
    pub updates: Option<usize>,
    pub bytes: usize,
}

/// State whose size on the heap is known.
pub(crate) trait Holds {
    /// Bytes on the heap. Asked for up to a thousand times a second: costs next to nothing where there is much.
    fn held_bytes(&self) -> usize;
}

impl Holds for () {
    fn held_bytes(&self) -> usize {
        0
    }
}

/// What the allocator takes for a block of so many bytes: glibc's header, and its multiples of sixteen.
pub(crate) fn block(bytes: usize) -> usize {
    if bytes == 0 { 0 } else { (bytes + 8).next_multiple_of(16).max(32) }
}

/// A hash table of entries of this type: seven of eight buckets are used at most, and each has a byte of its own.
pub(crate) fn table<T>(capacity: usize) -> usize {
    if capacity == 0 { 0 } else { block((capacity * 8 / 7).next_power_of_two() * (size_of::<T>() + 1)) }
}

/// A B-tree of so many entries of this type: eleven fit into a node, of which about eight are used.
pub(crate) fn tree<T>(entries: usize) -> usize {
    entries.div_ceil(8) * block(11 * size_of::<T>() + 16)
}

/// State that does not grow with the rows that come.
pub(crate) struct Fixed<S>(pub(crate) S);

impl<S> Holds for Fixed<S> {
    fn held_bytes(&self) -> usize {
        0
    }
}

/// Numbers hold nothing on the heap.
macro_rules! nothing {
    ($($ty:ty),*) => {
        $(impl Holds for $ty {
            #[inline]
            fn held_bytes(&self) -> usize {
                0
            }
        })*
    };
}

nothing!(i64, (i64, i128), (i64, i256));

impl Holds for Vec<u8> {
    fn held_bytes(&self) -> usize {
        block(self.capacity())
    }
}

impl Holds for Updates {
    fn held_bytes(&self) -> usize {
        self.bytes_len() + self.room()
    }
}

impl Holds for Vec<Updates> {
    fn held_bytes(&self) -> usize {
        block(self.capacity() * size_of::<Updates>()) + self.iter().map(Holds::held_bytes).sum::<usize>()
    }
}

impl Holds for Vec<Row> {
    fn held_bytes(&self) -> usize {
        block(self.capacity() * size_of::<Row>()) + self.iter().map(|row| block(row.len())).sum::<usize>()
    }
}

struct Measured {
    name: Arc<str>,
    /// Updates, and bytes.
    measure: Box<dyn Fn() -> (Option<usize>, usize)>,
}

/// Everything that is measured at one worker, in the same order at every worker.
#[derive(Clone, Default)]
pub(crate) struct Memory(Rc<RefCell<Vec<Measured>>>);

impl Memory {
    /// The reader that this keeps holds nothing back: it always stands at the end of time.
    pub(crate) fn add_arrangement(&self, name: &str, mut trace: RowTrace) {
        trace.set_logical_compaction(Antichain::new().borrow());
        trace.set_physical_compaction(Antichain::new().borrow());
        self.add(name, move || {
            let (updates, bytes) = size_of_trace(&trace);
            (Some(updates), bytes)
        });
    }

    /// The state is kept as long as this: what an operator held in the end can be told when it is done.
    pub(crate) fn add_operator<S: Holds + 'static>(&self, name: &str, state: Rc<RefCell<S>>) {
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
