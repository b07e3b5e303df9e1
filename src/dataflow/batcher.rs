//! Sorts what an arrangement receives into batches.
//!
//! In: updates as they arrive, copied at once into blocks of bytes. Out: one sorted, consolidated batch for each advance of the
//! frontier. An update costs its bytes and a 16-byte index entry until then: a hydration of the whole input at one moment
//! stays near the size of the input, and is sorted once, mostly by the first eight bytes of the keys.

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
use super::{Moment, Update};
use crate::value::Diff;

/// What goes into the batcher (`updates`) and what comes out of it (`sorted`).
#[derive(Default)]
pub(super) struct Chunk {
    updates: Vec<Update>,
    sorted: Option<(OrdValStorage<RowLayout>, usize)>,
}

impl Accountable for Chunk {
    fn record_count(&self) -> i64 {
        self.updates.len() as i64
    }
}

/// Passes each container on as it is.
#[derive(Default)]
pub(super) struct PassOn {
    pending: Vec<Chunk>,
    current: Option<Chunk>,
}

impl PushInto<&mut Vec<Update>> for PassOn {
    fn push_into(&mut self, updates: &mut Vec<Update>) {
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

pub(super) struct RowBatcher {
    blocks: Blocks,
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

/// An update read back from its block.
struct Stored<'a> {
    key: &'a [u8],
    row: &'a [u8],
    moment: Moment,
    diff: Diff,
}

/// Updates as bytes: `key length u32 | row length u32 | moment u64 | diff i64 | key | row`, never across two blocks.
#[derive(Default)]
struct Blocks {
    full: Vec<Vec<u8>>,
}

const HEADER: usize = 24;
const FIRST_BLOCK: usize = 1 << 12;
const LARGEST_BLOCK: usize = 1 << 20;

impl Blocks {
    fn push(&mut self, key: &[u8], row: &[u8], moment: Moment, diff: Diff) -> (u32, u32) {
        let length = HEADER + key.len() + row.len();
        if self.full.last().is_none_or(|b| b.capacity() - b.len() < length) {
            let size = self.full.last().map_or(FIRST_BLOCK, |b| (b.capacity() * 2).min(LARGEST_BLOCK));
            self.full.push(Vec::with_capacity(size.max(length)));
        }
        let number = self.full.len() - 1;
        let block = &mut self.full[number];
        let offset = block.len();
        block.extend_from_slice(&(key.len() as u32).to_le_bytes());
        block.extend_from_slice(&(row.len() as u32).to_le_bytes());
        block.extend_from_slice(&moment.to_le_bytes());
        block.extend_from_slice(&diff.to_le_bytes());
        block.extend_from_slice(key);
        block.extend_from_slice(row);
        (number as u32, offset as u32)
    }

    #[inline]
    fn get(&self, entry: Entry) -> Stored<'_> {
        let at = &self.full[entry.block as usize][entry.offset as usize..];
        let (header, data) = at.split_at(HEADER);
        let u32_at = |i: usize| u32::from_le_bytes(header[i..i + 4].try_into().expect("four bytes")) as usize;
        let moment = Moment::from_le_bytes(header[8..16].try_into().expect("eight bytes"));
        let diff = Diff::from_le_bytes(header[16..24].try_into().expect("eight bytes"));
        let (key, rest) = data.split_at(u32_at(0));
        Stored { key, row: &rest[..u32_at(4)], moment, diff }
    }
}

fn prefix_of(key: &[u8]) -> u64 {
    let mut first = [0u8; 8];
    let n = key.len().min(8);
    first[..n].copy_from_slice(&key[..n]);
    u64::from_be_bytes(first)
}

impl PushInto<Chunk> for RowBatcher {
    fn push_into(&mut self, chunk: Chunk) {
        self.entries.reserve(chunk.updates.len());
        for ((key, row), moment, diff) in chunk.updates {
            let (block, offset) = self.blocks.push(&key, &row, moment, diff);
            self.entries.push(Entry { prefix: prefix_of(&key), block, offset });
        }
    }
}

impl Batcher for RowBatcher {
    type Output = Chunk;
    type Time = Moment;

    fn new(_logger: Option<Logger>, _operator_id: usize) -> RowBatcher {
        RowBatcher { blocks: Blocks::default(), entries: Vec::new(), lower: Antichain::from_elem(0), frontier: Antichain::new() }
    }

    fn seal(&mut self, upper: Antichain<Moment>) -> (Vec<Chunk>, Description<Moment>) {
        let description = Description::new(self.lower.clone(), upper.clone(), Antichain::from_elem(0));
        let entries = std::mem::take(&mut self.entries);
        let blocks = std::mem::take(&mut self.blocks);
        self.frontier.clear();
        let (ready, kept): (Vec<Entry>, Vec<Entry>) = match upper.elements().first() {
            None => (entries, Vec::new()),
            Some(upper) => {
                // All of it is ready in the usual case: then nothing is copied here.
                if entries.iter().all(|e| blocks.get(*e).moment < *upper) {
                    (entries, Vec::new())
                } else {
                    entries.into_iter().partition(|e| blocks.get(*e).moment < *upper)
                }
            }
        };
        for entry in kept {
            let stored = blocks.get(entry);
            self.frontier.insert(stored.moment);
            let (block, offset) = self.blocks.push(stored.key, stored.row, stored.moment, stored.diff);
            self.entries.push(Entry { block, offset, ..entry });
        }
        self.lower = upper;
        let chain = match ready.is_empty() {
            true => Vec::new(),
            false => vec![Chunk { updates: Vec::new(), sorted: Some(sort(ready, blocks)) }],
        };
        (chain, description)
    }

    fn frontier(&mut self) -> AntichainRef<'_, Moment> {
        self.frontier.borrow()
    }
}

/// Sorts by key, row and moment, adds up what is equal, drops what cancels.
fn sort(mut entries: Vec<Entry>, blocks: Blocks) -> (OrdValStorage<RowLayout>, usize) {
    entries.sort_unstable_by(|a, b| {
        a.prefix.cmp(&b.prefix).then_with(|| {
            let (a, b) = (blocks.get(*a), blocks.get(*b));
            a.key.cmp(b.key).then_with(|| a.row.cmp(b.row)).then_with(|| a.moment.cmp(&b.moment))
        })
    });
    let (mut key_bytes, mut row_bytes) = (0, 0);
    for entry in &entries {
        let stored = blocks.get(*entry);
        key_bytes += stored.key.len();
        row_bytes += stored.row.len();
    }
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
        let key = blocks.get(*first).key;
        let rows_before = storage.vals.vals.len();
        while let Some(entry) = rest.first() {
            let this = blocks.get(*entry);
            if this.key.cmp(key) != Ordering::Equal {
                break;
            }
            updates.push(this.moment, this.diff);
            rest = &rest[1..];
            while let Some(next) = rest.first().map(|e| blocks.get(*e)).filter(|n| n.key == key && n.row == this.row) {
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
pub(super) struct RowBatchBuilder;

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
        let (storage, updates) = sorted.unwrap_or_else(|| sort(Vec::new(), Blocks::default()));
        OrdValBatch { storage, description, updates }.into()
    }
}
