//! Stores long rows of views in parts, so that a change of a few bytes writes a few kilobytes.
//!
//! A row of [`LONG`] bytes or more is unrolled ([`crate::value::unroll`]) and cut into parts of about 3 kB. Each part is written once, under
//! a number that is never used again; the row itself is a [`Manifest`], the list of the numbers. A row shares unchanged parts with the row
//! before. Guarantees:
//! - a part exists as long as the row or a changelog entry above the floor refers to it, and never changes;
//! - two successive rows of one key have equal manifests exactly when the rows are equal: bytes are compared, not hashes;
//! - a part that a row no longer has is never part of a later row, so it is removed with the changelog entry that has it only in its row before.
//!
//! Why parts, and not differences from a whole row: every version of a row can be read without other versions, no matter what was compacted,
//! and no write is proportional to the row. A difference needs a whole row to start from, which must be written again from time to time.

use std::collections::{HashMap, HashSet};

use crate::value::{Layout, Row, roll, unroll};

use super::manifest::{MIN_PART, Manifest};

/// Rows of at least this many bytes are stored in parts. Shorter rows are stored whole, because each part costs one more read per lookup.
pub(super) const LONG: usize = 8 << 10;

/// The greatest length of a part in bytes.
const MAX_PART: usize = 8 << 10;
/// On average one position in 2,048 is a cut.
const CUT_BITS: u64 = (1 << 11) - 1;

/// A long row with the bytes of its parts.
#[derive(Debug)]
pub(super) struct LongRow {
    pub(super) manifest: Manifest,
    bytes: Vec<u8>,
    /// The end of each part in `bytes`.
    ends: Vec<usize>,
}

impl LongRow {
    /// Joins the parts of a manifest. Returns `None` if their number or length does not match the manifest.
    pub(super) fn assemble<B: AsRef<[u8]>>(manifest: Manifest, parts: impl Iterator<Item = B>) -> Option<LongRow> {
        let mut bytes = Vec::with_capacity(manifest.length);
        let mut ends = Vec::with_capacity(manifest.parts.len());
        for part in parts {
            bytes.extend_from_slice(part.as_ref());
            ends.push(bytes.len());
        }
        (bytes.len() == manifest.length && ends.len() == manifest.parts.len()).then_some(LongRow { manifest, bytes, ends })
    }

    /// Cuts `row`, whose previous version is `held`. Parts that `held` has too keep their numbers, new ones are numbered from `next_part` on.
    pub(super) fn cut(layout: &Layout, row: &[u8], held: Option<&LongRow>, next_part: &mut u64) -> LongRow {
        let (unrolled, bytes) = match unroll(layout, row) {
            Some(bytes) => (true, bytes),
            None => (false, row.to_vec()),
        };
        let held = held.filter(|held| held.manifest.unrolled == unrolled);
        let held_parts = held.map_or(0, |held| held.ends.len());
        let held_part = |i: usize| held.map_or(&[][..], |held| held.part(i));
        // The whole parts that both rows begin with and end with.
        let (mut front, mut from) = (0, 0);
        while front < held_parts && bytes[from..].starts_with(held_part(front)) {
            from += held_part(front).len();
            front += 1;
        }
        let (mut back, mut to) = (held_parts, bytes.len());
        while back > front && bytes[from..to].ends_with(held_part(back - 1)) {
            back -= 1;
            to -= held_part(back).len();
        }
        // The last part of the previous row may be short; it must not stay short if bytes now follow it.
        if from < to && front > 0 && held_part(front - 1).len() < MIN_PART {
            front -= 1;
            from -= held_part(front).len();
        }
        let mut middle = cuts(&bytes[from..to]);
        // Join a short last part with the next old part, so that parts do not get shorter with every change.
        while back < held_parts && middle.last().is_some_and(|end| end - middle.iter().rev().nth(1).unwrap_or(&0) < MIN_PART) {
            to += held_part(back).len();
            back += 1;
            middle = cuts(&bytes[from..to]);
        }
        let number_of = |i: usize| held.map_or(0, |held| held.manifest.parts[i]);
        let between: HashMap<&[u8], u64> = (front..back).map(|i| (held_part(i), number_of(i))).collect();
        let mut parts: Vec<u64> = (0..front).map(number_of).collect();
        let mut ends: Vec<usize> = held.map_or(Vec::new(), |held| held.ends[..front].to_vec());
        for end in middle {
            let part = &bytes[ends.last().copied().unwrap_or(0)..from + end];
            parts.push(between.get(part).copied().unwrap_or_else(|| {
                *next_part += 1;
                *next_part - 1
            }));
            ends.push(from + end);
        }
        for i in back..held_parts {
            parts.push(number_of(i));
            ends.push(ends.last().copied().unwrap_or(0) + held_part(i).len());
        }
        LongRow { manifest: Manifest { unrolled, length: bytes.len(), parts }, bytes, ends }
    }

    fn part(&self, i: usize) -> &[u8] {
        let start = if i == 0 { 0 } else { self.ends[i - 1] };
        &self.bytes[start..self.ends[i]]
    }

    /// The parts whose number is at least `number`, with their bytes.
    pub(super) fn parts_from(&self, number: u64) -> impl Iterator<Item = (u64, &[u8])> {
        self.manifest.parts.iter().enumerate().filter(move |(_, part)| **part >= number).map(|(i, part)| (*part, self.part(i)))
    }

    /// The number of its bytes in parts that `later` does not have.
    pub(super) fn bytes_gone(&self, later: Option<&LongRow>) -> usize {
        let gone: HashSet<u64> = self.manifest.gone(later.map(|later| &later.manifest)).into_iter().collect();
        self.parts_from(0).filter(|(part, _)| gone.contains(part)).map(|(_, bytes)| bytes.len()).sum()
    }

    pub(super) fn row(&self, layout: &Layout) -> Option<Row> {
        match self.manifest.unrolled {
            true => roll(layout, &self.bytes),
            false => Some(Row::from_bytes(&self.bytes)),
        }
    }

    pub(super) fn row_bytes(&self) -> usize {
        self.bytes.len()
    }
}

/// The ends of the parts. A cut depends only on a hash of the bytes before it, so equal bytes are cut at the same positions in any surroundings.
fn cuts(bytes: &[u8]) -> Vec<usize> {
    let mut ends = Vec::new();
    let mut start = 0;
    while start < bytes.len() {
        let rest = &bytes[start..];
        let mut hash = 0u64;
        let at_most = rest.len().min(MAX_PART);
        let searched = rest[..at_most].iter().enumerate().skip(MIN_PART - 64);
        let cut = searched.map(|(i, byte)| {
            hash = (hash << 1).wrapping_add(GEAR[*byte as usize]);
            (i + 1, hash)
        });
        let end = cut.filter(|(end, _)| *end >= MIN_PART).find(|(_, hash)| (hash >> 20) & CUT_BITS == 0).map_or(at_most, |(end, _)| end);
        start += end;
        ends.push(start);
    }
    ends
}

/// A random number for each byte. The hash of the last 64 bytes is the sum of their numbers, each shifted left by its distance from the end.
const GEAR: [u64; 256] = {
    let (mut gear, mut i, mut state) = ([0; 256], 0, 0x9e37_79b9_7f4a_7c15u64);
    while i < 256 {
        // xorshift64*
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        gear[i] = state.wrapping_mul(0x2545_f491_4f6c_dd1d);
        i += 1;
    }
    gear
};

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::value::{Column, Schema, Type};

    /// Random bytes are not a packed list, so rows of this layout are cut as they are, not unrolled.
    fn layout() -> Layout {
        Layout::new(&Schema::new(vec![Column::new("items", Type::List(Box::new(Type::Text)), false)]))
    }

    fn random(seed: u64, length: usize) -> Vec<u8> {
        let mut state = seed | 1;
        (0..length)
            .map(|_| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                (state >> 32) as u8
            })
            .collect()
    }

    fn new_parts(before: &LongRow, after: &LongRow) -> usize {
        after.manifest.gone(Some(&before.manifest)).len()
    }

    proptest! {
        #[test]
        fn parts_put_together_are_the_row(seed: u64, edits in prop::collection::vec((any::<u32>(), 0usize..3000, 0usize..3000), 0..12)) {
            let layout = layout();
            let (mut row, mut next) = (random(seed, 100_000), 0);
            let mut held = LongRow::cut(&layout, &row, None, &mut next);
            for (at, removed, inserted) in edits {
                let at = at as usize % row.len();
                row.splice(at..(at + removed).min(row.len()), random(seed ^ at as u64, inserted));
                let first = next;
                let now = LongRow::cut(&layout, &row, Some(&held), &mut next);
                prop_assert!(*now.row(&layout).unwrap() == row[..]);
                prop_assert_eq!(now.manifest.parts.iter().filter(|part| **part >= first).count() as u64, next - first);
                prop_assert!(now.ends.last().copied() == Some(row.len()));
                prop_assert!((1..now.ends.len()).all(|i| now.part(i - 1).len() >= MIN_PART));
                let bytes: Vec<u8> = now.parts_from(0).flat_map(|(_, bytes)| bytes.to_vec()).collect();
                prop_assert!(bytes == row);
                for (part, bytes) in now.parts_from(0).filter(|(part, _)| *part < first) {
                    prop_assert!(held.parts_from(part).any(|(held, of_held)| held == part && of_held == bytes));
                }
                prop_assert_eq!(Manifest::read(&now.manifest.bytes()), Some(now.manifest.clone()));
                held = now;
            }
        }
    }

    #[test]
    fn an_equal_row_has_the_same_parts_and_takes_no_number() {
        let (layout, row, mut next) = (layout(), random(3, 50_000), 0);
        let first = LongRow::cut(&layout, &row, None, &mut next);
        let numbers = next;
        let again = LongRow::cut(&layout, &row, Some(&first), &mut next);
        assert_eq!((&again.manifest, next), (&first.manifest, numbers));
    }

    #[test]
    fn changes_far_apart_write_a_part_or_two_each() {
        let (layout, mut row, mut next) = (layout(), random(5, 1_000_000), 0);
        let before = LongRow::cut(&layout, &row, None, &mut next);
        for at in [10, 300_000, 300_100, 999_990] {
            row[at] ^= 1;
        }
        row.insert(600_000, 7);
        row.remove(800_000);
        let after = LongRow::cut(&layout, &row, Some(&before), &mut next);
        assert!(new_parts(&before, &after) <= 12, "{}", new_parts(&before, &after));
        assert_eq!(before.bytes_gone(Some(&before)), 0);
        assert!(before.bytes_gone(Some(&after)) < 12 * MAX_PART);
    }

    #[test]
    fn a_row_that_only_grows_has_no_short_parts_in_it() {
        let (layout, all, mut next) = (layout(), random(13, 60_000), 0);
        let mut held = LongRow::cut(&layout, &all[..20_000], None, &mut next);
        for end in (20_010..60_000).step_by(10) {
            held = LongRow::cut(&layout, &all[..end], Some(&held), &mut next);
        }
        assert!((1..held.ends.len()).all(|i| held.part(i - 1).len() >= MIN_PART));
    }

    #[test]
    fn parts_stay_long_however_often_a_row_changes() {
        let (layout, mut row, mut next) = (layout(), random(11, 100_000), 0);
        let mut held = LongRow::cut(&layout, &row, None, &mut next);
        let first = held.ends.len();
        for i in 0..2000usize {
            let at = i * 7919 % row.len();
            row[at] ^= 0x55;
            if i % 3 == 0 {
                row.remove(at);
                row.insert(i * 104_729 % row.len(), i as u8);
            }
            held = LongRow::cut(&layout, &row, Some(&held), &mut next);
        }
        assert!(held.ends.len() < 2 * first, "{} parts of {first}", held.ends.len());
    }
}
