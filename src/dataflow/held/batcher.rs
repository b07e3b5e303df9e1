//! Sorts what an arrangement receives into batches.
//!
//! In: blocks of updates as they arrive. Out: one sorted, consolidated batch for each advance of the frontier. An update costs its
//! bytes and a 16-byte index entry until then: a hydration of the whole input at one moment stays near the size of the input, and is
//! sorted once, mostly by the first eight bytes of the keys.

use std::cmp::Ordering;

use differential_dataflow::logging::Logger;
use differential_dataflow::trace::implementations::ord_neu::layers::UpdsBuilder;
use differential_dataflow::trace::implementations::ord_neu::val_batch::OrdValStorage;
use differential_dataflow::trace::implementations::ord_neu::{OrdValBatch, Upds, Vals};
use differential_dataflow::trace::implementations::{BatchContainer, OffsetList};
use differential_dataflow::trace::{Batcher, Builder, Description};
use timely::Accountable;
use timely::container::{ContainerBuilder, PushInto};
use timely::progress::frontier::{Antichain, AntichainRef};

use super::bytes::{ByteList, RowBatch, RowLayout};
use super::updates::{Update, Updates};
use crate::dataflow::time::Moment;
use crate::value::Diff;

/// What goes into the batcher (`updates`) and what comes out of it (`sorted`).
#[derive(Default)]
pub(crate) struct Chunk {
    updates: Updates,
    sorted: Option<(OrdValStorage<RowLayout>, usize)>,
}

impl Accountable for Chunk {
    fn record_count(&self) -> i64 {
        self.updates.len() as i64
    }
}

/// Passes each block on as it is.
#[derive(Default)]
pub(crate) struct PassOn {
    pending: Vec<Chunk>,
    current: Option<Chunk>,
}

impl PushInto<&mut Updates> for PassOn {
    fn push_into(&mut self, updates: &mut Updates) {
        self.pending.push(Chunk { updates: std::mem::take(updates), sorted: None });
    }
}

impl ContainerBuilder for PassOn {
    type Container = Chunk;

    fn extract(&mut self) -> Option<&mut Chunk> {
        self.current = self.pending.pop();
        self.current.as_mut()
    }

    fn finish(&mut self) -> Option<&mut Chunk> {
        self.extract()
    }
}

const LARGEST_BLOCK: usize = 1 << 20;

pub(crate) struct RowBatcher {
    blocks: Vec<Updates>,
    entries: Vec<Entry>,
    lower: Antichain<Moment>,
    frontier: Antichain<Moment>,
}

/// An update's place and the first bytes of its key.
#[derive(Clone, Copy)]
struct Entry {
    prefix: u64,
    block: u32,
    offset: u32,
}

/// The first bytes of a key as a number of the same order.
pub(crate) fn prefix_of(key: &[u8]) -> u64 {
    let mut first = [0u8; 8];
    let n = key.len().min(8);
    first[..n].copy_from_slice(&key[..n]);
    u64::from_be_bytes(first)
}

impl RowBatcher {
    /// Keeps the updates, packed into few large blocks: what comes are many half filled ones.
    fn keep(&mut self, updates: Updates) {
        if self.entries.capacity() - self.entries.len() < updates.len() {
            // By half and not twofold: all arrangements of a hydration have their entries at once.
            self.entries.reserve_exact(updates.len().max(self.entries.len() / 2));
        }
        let room = |last: &&mut Updates| last.moment() == updates.moment() && last.room() >= updates.bytes_len();
        let start = match self.blocks.last_mut().filter(room) {
            Some(last) => last.append(&updates),
            None => {
                let capacity = self.blocks.last().map_or(0, |last| (2 * last.bytes_len()).min(LARGEST_BLOCK));
                self.blocks.push(updates.with_room(capacity));
                0
            }
        };
        let block = u32::try_from(self.blocks.len() - 1).expect("fewer than four billion blocks");
        let mut iter = self.blocks[block as usize].iter_from(start);
        loop {
            let offset = u32::try_from(iter.next_offset()).expect("a block is shorter than 4 GiB");
            let Some(update) = iter.next() else { break };
            self.entries.push(Entry { prefix: prefix_of(update.key), block, offset });
        }
    }
}

impl PushInto<Chunk> for RowBatcher {
    fn push_into(&mut self, chunk: Chunk) {
        if !chunk.updates.is_empty() {
            self.keep(chunk.updates);
        }
    }
}

#[inline]
fn update_at(blocks: &[Updates], entry: Entry) -> Update<'_> {
    blocks[entry.block as usize].at(entry.offset as usize)
}

impl Batcher for RowBatcher {
    type Output = Chunk;
    type Time = Moment;

    fn new(_logger: Option<Logger>, _operator_id: usize) -> RowBatcher {
        RowBatcher { blocks: Vec::new(), entries: Vec::new(), lower: Antichain::from_elem(0), frontier: Antichain::new() }
    }

    fn seal(&mut self, upper: Antichain<Moment>) -> (Vec<Chunk>, Description<Moment>) {
        let description = Description::new(self.lower.clone(), upper.clone(), Antichain::from_elem(0));
        let entries = std::mem::take(&mut self.entries);
        let blocks = std::mem::take(&mut self.blocks);
        self.frontier.clear();
        let is_ready = |block: &Updates| upper.elements().first().is_none_or(|upper| block.moment() < *upper);
        let (ready, kept): (Vec<Updates>, Vec<Updates>) = match blocks.iter().all(is_ready) {
            true => (blocks, Vec::new()),
            false => blocks.into_iter().partition(is_ready),
        };
        let entries = match kept.is_empty() {
            true => entries,
            false => {
                // Blocks move together, so their entries are made anew.
                let mut all = RowBatcher::new(None, 0);
                ready.into_iter().for_each(|block| all.keep(block));
                for block in kept {
                    self.frontier.insert(block.moment());
                    self.keep(block);
                }
                self.lower = upper;
                return (chain(all.entries, all.blocks), description);
            }
        };
        self.lower = upper;
        (chain(entries, ready), description)
    }

    fn frontier(&mut self) -> AntichainRef<'_, Moment> {
        self.frontier.borrow()
    }
}

fn chain(entries: Vec<Entry>, blocks: Vec<Updates>) -> Vec<Chunk> {
    match entries.is_empty() {
        true => Vec::new(),
        false => vec![Chunk { updates: Updates::default(), sorted: Some(sort(entries, blocks)) }],
    }
}

/// Sorts by key, row and moment, adds up what is equal, drops what cancels.
fn sort(mut entries: Vec<Entry>, blocks: Vec<Updates>) -> (OrdValStorage<RowLayout>, usize) {
    entries.sort_unstable_by(|a, b| {
        a.prefix.cmp(&b.prefix).then_with(|| {
            let (a, b) = (update_at(&blocks, *a), update_at(&blocks, *b));
            a.key.cmp(b.key).then_with(|| a.row.cmp(b.row)).then_with(|| a.moment.cmp(&b.moment))
        })
    });
    // Block by block, as they lie: in the order of the entries every one would be fetched from elsewhere.
    let lengths = blocks.iter().flat_map(Updates::iter).map(|update| (update.key.len(), update.row.len()));
    let (key_bytes, row_bytes) = lengths.fold((0, 0), |(keys, rows), (key, row)| (keys + key, rows + row));
    let mut storage = OrdValStorage::<RowLayout> {
        keys: ByteList::with_bytes(entries.len(), key_bytes),
        vals: Vals::with_capacity(0, 0),
        upds: Upds::with_capacity(entries.len() + 1, 1),
    };
    storage.vals.offs = OffsetList::with_capacity(entries.len() + 1);
    storage.vals.offs.push(0);
    storage.vals.vals = ByteList::with_bytes(entries.len(), row_bytes);
    let mut updates = UpdsBuilder::<Vec<Moment>, Vec<Diff>>::default();
    let mut rest = &entries[..];
    while let Some(first) = rest.first() {
        let key = update_at(&blocks, *first).key;
        let rows_before = storage.vals.vals.len();
        while let Some(entry) = rest.first() {
            let this = update_at(&blocks, *entry);
            if this.key.cmp(key) != Ordering::Equal {
                break;
            }
            updates.push(this.moment, this.diff);
            rest = &rest[1..];
            while let Some(next) = rest.first().map(|e| update_at(&blocks, *e)).filter(|n| n.key == key && n.row == this.row) {
                updates.push(next.moment, next.diff);
                rest = &rest[1..];
            }
            if updates.seal(&mut storage.upds) {
                storage.vals.vals.push(this.row);
            }
        }
        if storage.vals.vals.len() > rows_before {
            storage.keys.push(key);
            storage.vals.offs.push(storage.vals.vals.len());
        }
    }
    drop(blocks);
    storage.keys.shrink();
    storage.vals.vals.shrink();
    (storage, updates.total())
}

/// Wraps what the batcher sorted as a batch.
pub(crate) struct RowBatchBuilder;

impl Builder for RowBatchBuilder {
    type Input = Chunk;
    type Time = Moment;
    type Output = RowBatch;

    fn with_capacity(_keys: usize, _rows: usize, _updates: usize) -> RowBatchBuilder {
        RowBatchBuilder
    }

    fn push(&mut self, _chunk: &mut Chunk) {
        unreachable!("a batch is made of a whole chain, by `seal`")
    }

    fn done(self, _description: Description<Moment>) -> RowBatch {
        unreachable!("a batch is made of a whole chain, by `seal`")
    }

    fn seal(chain: &mut Vec<Chunk>, description: Description<Moment>) -> RowBatch {
        let sorted = chain.pop().and_then(|chunk| chunk.sorted);
        let (storage, updates) = sorted.unwrap_or_else(|| sort(Vec::new(), Vec::new()));
        OrdValBatch { storage, description, updates }.into()
    }
}
