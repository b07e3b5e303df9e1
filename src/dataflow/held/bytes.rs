//! Batches of an arrangement as byte strings laid end to end: no allocation and no pointer per row.

use std::rc::Rc;

use differential_dataflow::trace::implementations::ord_neu::OrdValBatch;
use differential_dataflow::trace::implementations::spine_fueled::Spine;
use differential_dataflow::trace::implementations::{BatchContainer, OffsetList};

use crate::dataflow::time::Moment;
use crate::value::{Diff, Row};

/// How keys, rows, times and diffs of an arrangement are laid out in memory.
pub(crate) type RowLayout = (ByteList, ByteList, Vec<Moment>, Vec<Diff>, OffsetList);
/// A batch of an arrangement: sorted updates of some moments.
pub(crate) type RowBatch = Rc<OrdValBatch<RowLayout>>;
/// The trace of every arrangement: keys and rows as bytes.
pub(crate) type RowSpine = Spine<RowBatch>;

/// Byte strings laid end to end.
pub(crate) struct ByteList {
    ends: StringEnds,
    bytes: Vec<u8>,
}

/// Where each string ends. Read at every step of every search.
#[derive(Default)]
struct StringEnds {
    /// Ends that fit into four bytes, then `wide` for the rest.
    narrow: Vec<u32>,
    wide: Vec<u64>,
}

impl StringEnds {
    #[inline]
    fn push(&mut self, end: usize) {
        match u32::try_from(end) {
            Ok(end) if self.wide.is_empty() => self.narrow.push(end),
            _ => self.wide.push(end as u64),
        }
    }

    /// Where the string with this index begins and ends.
    #[inline]
    fn range(&self, index: usize) -> std::ops::Range<usize> {
        let start = if index == 0 { 0 } else { self.end(index - 1) };
        start..self.end(index)
    }

    #[inline]
    fn end(&self, index: usize) -> usize {
        match self.narrow.get(index) {
            Some(end) => *end as usize,
            None => self.wide[index - self.narrow.len()] as usize,
        }
    }

    #[inline]
    fn len(&self) -> usize {
        self.narrow.len() + self.wide.len()
    }
}

impl ByteList {
    pub(crate) fn with_bytes(strings: usize, bytes: usize) -> ByteList {
        ByteList { ends: StringEnds { narrow: Vec::with_capacity(strings), wide: Vec::new() }, bytes: Vec::with_capacity(bytes) }
    }

    #[inline]
    pub(crate) fn push(&mut self, string: &[u8]) {
        self.bytes.extend_from_slice(string);
        self.ends.push(self.bytes.len());
    }

    /// Releases reserved space that is not used, if that is worth a copy.
    pub(crate) fn shrink(&mut self) {
        if self.bytes.capacity() > self.bytes.len() + self.bytes.len() / 8 + 64 {
            self.bytes.shrink_to_fit();
        }
        self.ends.narrow.shrink_to_fit();
    }

    pub(crate) fn held_bytes(&self) -> usize {
        self.bytes.capacity() + self.ends.narrow.capacity() * 4 + self.ends.wide.capacity() * 8
    }
}

pub(crate) fn offsets_bytes(offsets: &OffsetList) -> usize {
    offsets.smol.capacity() * 4 + offsets.chonk.capacity() * 8
}

impl BatchContainer for ByteList {
    type Owned = Row;
    type ReadItem<'a> = &'a [u8];

    fn into_owned(item: &[u8]) -> Row {
        Row::from_bytes(item)
    }

    fn push_ref(&mut self, item: &[u8]) {
        self.push(item);
    }

    fn push_own(&mut self, item: &Row) {
        self.push(item);
    }

    fn clear(&mut self) {
        *self = ByteList::with_bytes(0, 0);
    }

    fn with_capacity(size: usize) -> ByteList {
        ByteList::with_bytes(size, 0)
    }

    fn merge_capacity(a: &ByteList, b: &ByteList) -> ByteList {
        ByteList::with_bytes(a.len() + b.len(), a.bytes.len() + b.bytes.len())
    }

    fn reborrow<'b, 'a: 'b>(item: &'a [u8]) -> &'b [u8] {
        item
    }

    #[inline]
    fn index(&self, index: usize) -> &[u8] {
        &self.bytes[self.ends.range(index)]
    }

    #[inline]
    fn len(&self) -> usize {
        self.ends.len()
    }
}
