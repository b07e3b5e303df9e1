//! The manifest that is stored in place of a long row: the list of its [parts](super::parts).

use std::collections::HashSet;

/// The least length of a part in bytes; the last part of a row may be shorter.
pub(super) const MIN_PART: usize = 1 << 10;

/// The parts of a long row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Manifest {
    /// Whether the parts are of the unrolled row; otherwise of the row itself, which then has no unrolled form.
    pub(super) unrolled: bool,
    /// The sum of the lengths of the parts in bytes.
    pub(super) length: usize,
    /// Their numbers, in the order of the row.
    pub(super) parts: Vec<u64>,
}

impl Manifest {
    /// `unrolled: u8, length: u32`, then for each run of successive numbers the distance of its first number from the end of the run before
    /// (zigzag), and its length; both as variable length integers.
    pub(super) fn bytes(&self) -> Vec<u8> {
        let mut out = vec![self.unrolled as u8];
        out.extend_from_slice(&(self.length as u32).to_le_bytes());
        let mut end = 0u64;
        for run in self.parts.chunk_by(|a, b| a + 1 == *b) {
            let distance = run[0].wrapping_sub(end) as i64;
            push_number(&mut out, ((distance << 1) ^ (distance >> 63)) as u64);
            push_number(&mut out, run.len() as u64);
            end = run[run.len() - 1] + 1;
        }
        out
    }

    pub(super) fn read(bytes: &[u8]) -> Option<Manifest> {
        let (unrolled, rest) = bytes.split_first()?;
        let (length, mut rest) = rest.split_first_chunk::<4>()?;
        let length = u32::from_le_bytes(*length) as usize;
        let most_parts = length / MIN_PART + 1;
        let (mut parts, mut end) = (Vec::new(), 0u64);
        while !rest.is_empty() {
            let distance = take_number(&mut rest)?;
            let count = take_number(&mut rest)?;
            let first = end.wrapping_add(((distance >> 1) as i64 ^ -((distance & 1) as i64)) as u64);
            end = first.checked_add(count)?;
            if count > (most_parts - parts.len()) as u64 {
                return None;
            }
            parts.extend(first..end);
        }
        Some(Manifest { unrolled: *unrolled != 0, length, parts })
    }

    /// The parts that `self` has and `later` does not have.
    pub(super) fn gone(&self, later: Option<&Manifest>) -> Vec<u64> {
        let kept: HashSet<u64> = later.iter().flat_map(|later| &later.parts).copied().collect();
        self.parts.iter().copied().filter(|part| !kept.contains(part)).collect()
    }
}

fn push_number(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn take_number(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0u64;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_manifest_comes_back(unrolled: bool, runs in prop::collection::vec((0u64..1 << 40, 1u64..50), 0..20)) {
            let parts: Vec<u64> = runs.into_iter().flat_map(|(first, count)| first..first + count).collect();
            let manifest = Manifest { unrolled, length: parts.len() * MIN_PART, parts };
            prop_assert_eq!(Manifest::read(&manifest.bytes()), Some(manifest));
        }

        #[test]
        fn a_manifest_of_any_bytes_is_refused_or_read(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            let _ = Manifest::read(&bytes);
        }
    }
}
