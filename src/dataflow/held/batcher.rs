//! Sorts the updates that an arrangement receives into batches.
//!
//! In: blocks of updates as they arrive. Out: one sorted, consolidated batch for each advance of the frontier. Until then an update costs
//! its bytes and a 16-byte index entry. So a hydration of the whole input at one moment needs little more memory than the input, and it is
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

/// The batcher's input (`updates`) and output (`sorted`).
#[derive(Default)]
pub(crate) struct UpdateChunk {
    updates: Updates,
    sorted: Option<(OrdValStorage<RowLayout>, usize)>,
}

impl Accountable for UpdateChunk {
    fn record_count(&self) -> i64 {
        self.updates.len() as i64
    }
}

/// Passes each block on unchanged.
#[derive(Default)]
pub(crate) struct PassOn {
    pending: Vec<UpdateChunk>,
    current: Option<UpdateChunk>,
}

impl PushInto<&mut Updates> for PassOn {
    fn push_into(&mut self, updates: &mut Updates) {
        self.pending.push(UpdateChunk { updates: std::mem::take(updates), sorted: None });
    }
}

impl ContainerBuilder for PassOn {
    type Container = UpdateChunk;

    fn extract(&mut self) -> Option<&mut UpdateChunk> {
        self.current = self.pending.pop();
        self.current.as_mut()
    }

    fn finish(&mut self) -> Option<&mut UpdateChunk> {
        self.extract()
    }
}

/// The most bytes of a block, unless a single incoming block is larger.
const LARGEST_BLOCK: usize = 1 << 20;

/// Collects updates until the frontier passes their moment.
pub(crate) struct RowBatcher {
    blocks: Vec<Updates>,
    entries: Vec<UpdateRef>,
    lower: Antichain<Moment>,
    frontier: Antichain<Moment>,
}

/// The position of an update in the blocks, and the first bytes of its key.
#[derive(Clone, Copy)]
struct UpdateRef {
    prefix: u64,
    block: u32,
    offset: u32,
}

/// The first bytes of a key as a number that sorts like them.
pub(crate) fn prefix_of(key: &[u8]) -> u64 {
    let mut first = [0u8; 8];
    let n = key.len().min(8);
    first[..n].copy_from_slice(&key[..n]);
    u64::from_be_bytes(first)
}

impl RowBatcher {
    /// Stores the updates, packed into few large blocks: most incoming blocks are only partly filled.
    fn keep(&mut self, updates: Updates) {
        if self.entries.capacity() - self.entries.len() < updates.len() {
            // Grow by half, not to double: during hydration all arrangements have their entries in memory at once.
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
            self.entries.push(UpdateRef { prefix: prefix_of(update.key), block, offset });
        }
    }
}

impl PushInto<UpdateChunk> for RowBatcher {
    fn push_into(&mut self, chunk: UpdateChunk) {
        if !chunk.updates.is_empty() {
            self.keep(chunk.updates);
        }
    }
}

#[inline]
fn update_at(blocks: &[Updates], entry: UpdateRef) -> Update<'_> {
    blocks[entry.block as usize].at(entry.offset as usize)
}

impl Batcher for RowBatcher {
    type Output = UpdateChunk;
    type Time = Moment;

    fn new(_logger: Option<Logger>, _operator_id: usize) -> RowBatcher {
        RowBatcher { blocks: Vec::new(), entries: Vec::new(), lower: Antichain::from_elem(0), frontier: Antichain::new() }
    }

    fn seal(&mut self, upper: Antichain<Moment>) -> (Vec<UpdateChunk>, Description<Moment>) {
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
                // Blocks are merged, so their entries are built again.
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

fn chain(entries: Vec<UpdateRef>, blocks: Vec<Updates>) -> Vec<UpdateChunk> {
    match entries.is_empty() {
        true => Vec::new(),
        false => vec![UpdateChunk { updates: Updates::default(), sorted: Some(sort(entries, blocks)) }],
    }
}

/// Sorts by key, row and moment, adds up equal updates, and drops those that cancel out.
fn sort(mut entries: Vec<UpdateRef>, blocks: Vec<Updates>) -> (OrdValStorage<RowLayout>, usize) {
    entries.sort_unstable_by(|a, b| {
        a.prefix.cmp(&b.prefix).then_with(|| {
            let (a, b) = (update_at(&blocks, *a), update_at(&blocks, *b));
            a.key.cmp(b.key).then_with(|| a.row.cmp(b.row)).then_with(|| a.moment.cmp(&b.moment))
        })
    });
    // Read block by block, in memory order: in the order of the entries almost every read would miss the cache.
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

/// Turns the batcher's sorted output into a batch.
pub(crate) struct RowBatchBuilder;

impl Builder for RowBatchBuilder {
    type Input = UpdateChunk;
    type Time = Moment;
    type Output = RowBatch;

    fn with_capacity(_keys: usize, _rows: usize, _updates: usize) -> RowBatchBuilder {
        RowBatchBuilder
    }

    fn push(&mut self, _chunk: &mut UpdateChunk) {
        unreachable!("a batch is built from a whole chain, by `seal`")
    }

    fn done(self, _description: Description<Moment>) -> RowBatch {
        unreachable!("a batch is built from a whole chain, by `seal`")
    }

    fn seal(chain: &mut Vec<UpdateChunk>, description: Description<Moment>) -> RowBatch {
        let sorted = chain.pop().and_then(|chunk| chunk.sorted);
        let (storage, updates) = sorted.unwrap_or_else(|| sort(Vec::new(), Vec::new()));
        OrdValBatch { storage, description, updates }.into()
    }
}
