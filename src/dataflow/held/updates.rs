//! Updates on their way to an arrangement, packed end to end. Streams carry them in blocks of bytes, and a batcher stores the blocks as
//! they arrive.
//!
//! ```text
//! update = key length: u32, top bits: diff | row length: u32 | [diff: i64] | key | row
//! diff:    00: +1, 01: -1, 10: written out
//! ```
//! All updates of a block have the same moment. Table rows are packed in the same way, with an empty key.

use timely::Accountable;
use timely::bytes::arc::Bytes;
use timely::container::{DrainContainer, PushInto, SizableContainer};
use timely::dataflow::channels::ContainerBytes;

use crate::dataflow::time::Moment;
use crate::value::Diff;

/// One update, borrowed from its block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Update<'a> {
    pub(crate) key: &'a [u8],
    pub(crate) row: &'a [u8],
    pub(crate) moment: Moment,
    pub(crate) diff: Diff,
}

/// A block of updates of one moment.
#[derive(Clone, Default)]
pub(crate) struct Updates {
    moment: Moment,
    count: usize,
    bytes: Vec<u8>,
}

const LENGTHS: usize = 8;
const MINUS_ONE: u32 = 1 << 30;
const WRITTEN: u32 = 1 << 31;
const LENGTH: u32 = MINUS_ONE - 1;
const FIRST_BYTES: usize = 512;
/// A block is sent when it has this many bytes; its capacity is [`BLOCK_BYTES`].
const FULL_BYTES: usize = 60 << 10;
const BLOCK_BYTES: usize = 64 << 10;

impl Updates {
    pub(crate) fn len(&self) -> usize {
        self.count
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.count == 0
    }

    pub(crate) fn moment(&self) -> Moment {
        self.moment
    }

    pub(crate) fn bytes_len(&self) -> usize {
        self.bytes.len()
    }

    /// How many bytes can be added without a reallocation.
    pub(crate) fn room(&self) -> usize {
        self.bytes.capacity() - self.bytes.len()
    }

    /// The same updates, with capacity for `capacity` bytes in all.
    pub(crate) fn with_room(mut self, capacity: usize) -> Updates {
        self.bytes.reserve_exact(capacity.saturating_sub(self.bytes.len()));
        self
    }

    /// Appends a block of the same moment. Returns the offset where it starts.
    pub(crate) fn append(&mut self, more: &Updates) -> usize {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&more.bytes);
        self.count += more.count;
        start
    }

    pub(crate) fn iter(&self) -> Iter<'_> {
        self.iter_from(0)
    }

    /// Iterates from the update that starts at this offset.
    pub(crate) fn iter_from(&self, offset: usize) -> Iter<'_> {
        Iter { updates: self, offset }
    }

    /// The update that starts at this offset, as returned by [`Iter::next_offset`].
    #[inline]
    pub(crate) fn at(&self, offset: usize) -> Update<'_> {
        self.read(offset).0
    }

    #[inline]
    fn read(&self, offset: usize) -> (Update<'_>, usize) {
        let word = |at: usize| u32::from_le_bytes(self.bytes[at..at + 4].try_into().expect("four bytes"));
        let (key_word, row_length) = (word(offset), word(offset + 4) as usize);
        let mut at = offset + LENGTHS;
        let mut diff = if key_word & MINUS_ONE != 0 { -1 } else { 1 };
        if key_word & WRITTEN != 0 {
            diff = Diff::from_le_bytes(self.bytes[at..at + 8].try_into().expect("eight bytes"));
            at += 8;
        }
        let row_at = at + (key_word & LENGTH) as usize;
        let end = row_at + row_length;
        let update = Update { key: &self.bytes[at..row_at], row: &self.bytes[row_at..end], moment: self.moment, diff };
        (update, end)
    }

    pub(crate) fn push(&mut self, update: Update) {
        assert!(self.count == 0 || self.moment == update.moment, "a block is of one moment");
        self.moment = update.moment;
        let length = u32::try_from(update.key.len()).ok().filter(|l| *l <= LENGTH).expect("a key is shorter than 1 GiB");
        let flags = match update.diff {
            1 => 0,
            -1 => MINUS_ONE,
            _ => WRITTEN,
        };
        self.bytes.extend_from_slice(&(length | flags).to_le_bytes());
        self.bytes.extend_from_slice(&u32::try_from(update.row.len()).expect("a row is shorter than 4 GiB").to_le_bytes());
        if flags == WRITTEN {
            self.bytes.extend_from_slice(&update.diff.to_le_bytes());
        }
        self.bytes.extend_from_slice(update.key);
        self.bytes.extend_from_slice(update.row);
        self.count += 1;
    }
}

/// Adds an update to the last of these blocks, which must have the same moment, or to a new block if the last one is full.
pub(crate) fn push_to(blocks: &mut Vec<Updates>, update: Update) {
    if blocks.last().is_none_or(SizableContainer::at_capacity) {
        blocks.push(Updates::default());
    }
    blocks.last_mut().expect("there is one").push(update);
}

pub(crate) struct Iter<'a> {
    updates: &'a Updates,
    offset: usize,
}

impl Iter<'_> {
    /// The offset where the next update starts.
    pub(crate) fn next_offset(&self) -> usize {
        self.offset
    }
}

impl<'a> Iterator for Iter<'a> {
    type Item = Update<'a>;

    fn next(&mut self) -> Option<Update<'a>> {
        if self.offset == self.updates.bytes.len() {
            return None;
        }
        let (update, end) = self.updates.read(self.offset);
        self.offset = end;
        Some(update)
    }
}

impl Accountable for Updates {
    fn record_count(&self) -> i64 {
        self.count as i64
    }
}

impl DrainContainer for Updates {
    type Item<'a> = Update<'a>;
    type DrainIter<'a> = Iter<'a>;

    fn drain(&mut self) -> Iter<'_> {
        self.iter()
    }
}

impl SizableContainer for Updates {
    fn at_capacity(&self) -> bool {
        self.bytes.len() >= FULL_BYTES
    }

    fn ensure_capacity(&mut self, stash: &mut Option<Updates>) {
        if self.bytes.capacity() == 0 {
            let mut kept = stash.take().unwrap_or_default();
            kept.bytes.clear();
            *self = Updates { moment: 0, count: 0, bytes: kept.bytes };
            self.bytes.reserve(FIRST_BYTES);
        } else if self.bytes.len() * 2 > self.bytes.capacity() && self.bytes.capacity() < BLOCK_BYTES {
            // A block that is more than half full will probably fill up.
            self.bytes.reserve_exact(BLOCK_BYTES - self.bytes.len());
        }
    }
}

impl PushInto<Update<'_>> for Updates {
    fn push_into(&mut self, update: Update<'_>) {
        self.push(update);
    }
}

/// Between processes: `moment u64 | count u64 | length u64 | bytes`, little endian, padded to a multiple of eight bytes.
impl ContainerBytes for Updates {
    fn from_bytes(bytes: Bytes) -> Updates {
        let word = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"));
        let (moment, count, length) = (word(0), word(8) as usize, word(16) as usize);
        Updates { moment, count, bytes: bytes[24..24 + length].to_vec() }
    }

    fn length_in_bytes(&self) -> usize {
        24 + self.bytes.len().next_multiple_of(8)
    }

    fn into_bytes<W: std::io::Write>(&self, writer: &mut W) {
        let padding = self.bytes.len().next_multiple_of(8) - self.bytes.len();
        let header = [self.moment, self.count as u64, self.bytes.len() as u64].map(u64::to_le_bytes).concat();
        let written = writer.write_all(&header).and_then(|()| writer.write_all(&self.bytes));
        written.and_then(|()| writer.write_all(&[0; 8][..padding])).expect("a buffer of the announced length has room");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_pushed_comes_back_also_over_bytes() {
        let given = [(&b"k"[..], &b"row"[..], 1), (b"", b"", -1), (b"key", b"r", 7), (b"key", b"r", i64::MIN)];
        let mut updates = Updates::default();
        for (key, row, diff) in given {
            updates.push(Update { key, row, moment: 9, diff });
        }
        let mut written = Vec::new();
        updates.into_bytes(&mut written);
        assert_eq!(written.len(), updates.length_in_bytes());
        let mut slab = timely::bytes::arc::BytesMut::from(written).freeze();
        let read = Updates::from_bytes(slab.extract_to(slab.len()));
        for updates in [&updates, &read] {
            let back: Vec<_> = updates.iter().map(|u| (u.key, u.row, u.diff)).collect();
            assert_eq!(back, given);
            assert_eq!((updates.len(), updates.moment()), (4, 9));
        }
    }
}
