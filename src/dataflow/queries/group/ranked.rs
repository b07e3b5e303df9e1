//! Numbers in order, with access by place.
//!
//! The numbers are in blocks of at most [`FULL`] distinct numbers, each with its total count. A change moves a part of one block. A lookup
//! by place walks the blocks and then one block, which costs about the square root of the group's size for groups that fit in memory.

use super::aggregate::{take, take_diff};
use crate::dataflow::held::memory::{HeapSize, block};
use crate::value::Diff;

/// An integer that values are ordered by.
pub(super) trait RankedInteger: Copy + Ord {
    fn write(self, out: &mut Vec<u8>);
    fn take(bytes: &mut &[u8]) -> Self;
}

impl RankedInteger for i64 {
    fn write(self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.to_le_bytes());
    }

    fn take(bytes: &mut &[u8]) -> i64 {
        i64::from_le_bytes(take(bytes))
    }
}

impl RankedInteger for i128 {
    fn write(self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.to_le_bytes());
    }

    fn take(bytes: &mut &[u8]) -> i128 {
        i128::from_le_bytes(take(bytes))
    }
}

/// The most distinct numbers in a block.
const FULL: usize = 512;

pub(super) struct Ranked<N> {
    /// No block is empty, and the numbers of each are less than those of the next.
    blocks: Vec<Block<N>>,
    count: Diff,
    /// How many distinct numbers there are.
    different: usize,
}

impl<N> HeapSize for Ranked<N> {
    fn held_bytes(&self) -> usize {
        block(self.blocks.capacity() * size_of::<Block<N>>()) + block(self.different * size_of::<(N, Diff)>())
    }
}

struct Block<N> {
    count: Diff,
    /// In order, each with its count, which is negative if deletes arrived before inserts.
    numbers: Vec<(N, Diff)>,
}

impl<N> Default for Ranked<N> {
    fn default() -> Ranked<N> {
        Ranked { blocks: Vec::new(), count: 0, different: 0 }
    }
}

impl<N: RankedInteger> Ranked<N> {
    /// How many numbers there are, including duplicates.
    pub(super) fn count(&self) -> Diff {
        self.count
    }

    pub(super) fn add(&mut self, number: N, diff: Diff) {
        self.count += diff;
        let at = self.blocks.partition_point(|block| block.numbers[0].0 <= number).saturating_sub(1);
        if self.blocks.is_empty() {
            self.blocks.push(Block { count: 0, numbers: Vec::new() });
        }
        let block = &mut self.blocks[at];
        block.count += diff;
        match block.numbers.binary_search_by_key(&number, |(number, _)| *number) {
            Ok(place) => {
                block.numbers[place].1 += diff;
                if block.numbers[place].1 == 0 {
                    block.numbers.remove(place);
                    self.different -= 1;
                    self.close_up(at);
                }
            }
            Err(place) => {
                block.numbers.insert(place, (number, diff));
                self.different += 1;
                if block.numbers.len() > FULL {
                    self.split(at);
                }
            }
        }
    }

    /// The number at a place, counted from 0; `None` if there are not that many.
    pub(super) fn at(&self, place: Diff) -> Option<N> {
        let mut before = 0;
        let block = self.blocks.iter().find(|block| {
            before += block.count;
            before > place
        })?;
        before -= block.count;
        let found = block.numbers.iter().find(|(_, count)| {
            before += count;
            before > place
        });
        found.map(|(number, _)| *number)
    }

    /// Writes the number of distinct numbers (`u32`), then each with its count.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&(self.different as u32).to_le_bytes());
        for (number, count) in self.blocks.iter().flat_map(|block| &block.numbers) {
            number.write(out);
            out.extend_from_slice(&count.to_le_bytes());
        }
    }

    /// Adds numbers in the format of [`write`](Ranked::write).
    pub(super) fn merge(&mut self, bytes: &mut &[u8]) {
        for _ in 0..u32::from_le_bytes(take(bytes)) {
            let number = N::take(bytes);
            self.add(number, take_diff(bytes));
        }
    }

    fn split(&mut self, at: usize) {
        let block = &mut self.blocks[at];
        let numbers = block.numbers.split_off(block.numbers.len() / 2);
        let count = numbers.iter().map(|(_, count)| count).sum();
        block.count -= count;
        self.blocks.insert(at + 1, Block { count, numbers });
    }

    /// Removes the block if it is empty after a removal, or joins it with the next one if both are small.
    fn close_up(&mut self, at: usize) {
        if self.blocks[at].numbers.is_empty() {
            self.blocks.remove(at);
        } else if self.blocks.get(at + 1).is_some_and(|next| next.numbers.len() + self.blocks[at].numbers.len() < FULL / 2) {
            let next = self.blocks.remove(at + 1);
            self.blocks[at].numbers.extend(next.numbers);
            self.blocks[at].count += next.count;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_those_of_a_sorted_list() {
        let mut ranked = Ranked::default();
        let mut sorted: Vec<i64> = Vec::new();
        let mut state = 7u64;
        let mut random = |end: u64| {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (state >> 33) % end
        };
        for round in 0..40_000 {
            // It grows, shrinks to nothing, and grows again.
            let number = random(5_000) as i64 - 2_500;
            if round / 10_000 % 2 == 0 || sorted.is_empty() {
                ranked.add(number, 1);
                sorted.insert(sorted.partition_point(|other| *other < number), number);
            } else {
                let number = sorted.remove(random(sorted.len() as u64) as usize);
                ranked.add(number, -1);
            }
            if round % 97 == 0 {
                let place = random(sorted.len() as u64 + 2) as usize;
                assert_eq!(ranked.at(place as Diff), sorted.get(place).copied(), "round {round}");
                assert_eq!(ranked.count(), sorted.len() as Diff);
                assert!(ranked.blocks.iter().all(|block| (1..=FULL).contains(&block.numbers.len())));
                assert!(ranked.blocks.len() <= 2 + 2 * sorted.len() / (FULL / 4), "{} blocks", ranked.blocks.len());
            }
        }
        let mut written = Vec::new();
        ranked.write(&mut written);
        let mut other = Ranked::default();
        sorted.iter().for_each(|number| other.add(*number, -1));
        other.merge(&mut &written[..]);
        assert_eq!((other.count(), other.blocks.len()), (0, 0), "deletes that arrive before their inserts leave nothing");
    }
}
