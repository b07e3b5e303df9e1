//! The record of what the storage engine's folder must contain, a few hundred bytes.
//!
//! A claim is recorded after the write that it describes was synced, so it is durable. While the folder is open the claims are a lower bound of
//! its contents; once it is closed they are exact.

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::time::UNIX_EPOCH;

use xxhash_rust::xxh3::xxh3_128;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Claims {
    /// A later record has a higher number.
    pub(super) number: u64,
    pub(super) life: Life,
    /// The file that this record was written to.
    pub(super) identity: Identity,
    /// The tick of the last commit.
    pub(super) tick: u64,
    /// Key spaces by number, with their versions.
    pub(super) trees: Vec<(u64, u64)>,
    /// In ascending order of their ids.
    pub(super) journals: Vec<JournalClaim>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Life {
    /// Nothing was ever committed; the engine's folder may be incomplete.
    Making,
    /// A process has it open, or died while it had.
    Open,
    /// Closed after a write failed. The claims are a lower bound.
    Abandoned,
    /// Closed. The claims are exact.
    Closed,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct JournalClaim {
    pub(super) id: u64,
    /// The end of its last claimed batch, in bytes.
    pub(super) end: u64,
    /// The digest of its batches up to `end`.
    pub(super) digest: u64,
    /// For each key space that has writes only in this journal, its number and the sequence number of its last write.
    pub(super) last: Vec<(u64, u64)>,
}

/// Identifies a file, so that a copy of it is recognized.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Identity {
    inode: u64,
    /// The time of creation in ns since 1970; 0 if the file system does not record it.
    born: u64,
}

impl Identity {
    /// No file yet.
    pub(super) const NONE: Identity = Identity { inode: 0, born: 0 };

    pub(super) fn read(file: &File) -> io::Result<Identity> {
        let known: Metadata = file.metadata()?;
        let born = known.created().ok().and_then(|at| at.duration_since(UNIX_EPOCH).ok());
        Ok(Identity { inode: known.ino(), born: born.map_or(0, |since| since.as_nanos() as u64) })
    }
}

impl Claims {
    /// Length, numbers, checksum; all little endian.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut numbers = vec![self.number, self.life as u64, self.identity.inode, self.identity.born, self.tick];
        push_pairs(&mut numbers, &self.trees);
        numbers.push(self.journals.len() as u64);
        for journal in &self.journals {
            numbers.extend([journal.id, journal.end, journal.digest]);
            push_pairs(&mut numbers, &journal.last);
        }
        let mut bytes = Vec::with_capacity(8 * (numbers.len() + 3));
        bytes.extend_from_slice(&(numbers.len() as u64).to_le_bytes());
        numbers.iter().for_each(|number| bytes.extend_from_slice(&number.to_le_bytes()));
        bytes.extend_from_slice(&xxh3_128(&bytes).to_le_bytes());
        bytes
    }

    /// Returns `None` if the bytes are not a record or are damaged.
    pub(super) fn decode(bytes: &[u8]) -> Option<Claims> {
        let (count, rest) = bytes.split_first_chunk::<8>()?;
        let length = usize::try_from(u64::from_le_bytes(*count)).ok()?.checked_mul(8)?;
        let (numbers, rest) = rest.split_at_checked(length)?;
        if xxh3_128(&bytes[..8 + length]).to_le_bytes() != *rest.first_chunk::<16>()? {
            return None;
        }
        let mut numbers = numbers.chunks_exact(8).map(|number| u64::from_le_bytes(number.try_into().expect("eight bytes")));
        let number = numbers.next()?;
        let lives = [Life::Making, Life::Open, Life::Abandoned, Life::Closed];
        let life = *lives.get(usize::try_from(numbers.next()?).ok()?)?;
        let identity = Identity { inode: numbers.next()?, born: numbers.next()? };
        let tick = numbers.next()?;
        let trees = take_pairs(&mut numbers)?;
        let mut journals = Vec::new();
        for _ in 0..numbers.next()? {
            let (id, end, digest) = (numbers.next()?, numbers.next()?, numbers.next()?);
            journals.push(JournalClaim { id, end, digest, last: take_pairs(&mut numbers)? });
        }
        numbers.next().is_none().then_some(Claims { number, life, identity, tick, trees, journals })
    }
}

fn push_pairs(numbers: &mut Vec<u64>, pairs: &[(u64, u64)]) {
    numbers.push(pairs.len() as u64);
    numbers.extend(pairs.iter().flat_map(|(a, b)| [*a, *b]));
}

fn take_pairs(numbers: &mut impl Iterator<Item = u64>) -> Option<Vec<(u64, u64)>> {
    let count = numbers.next()?;
    (0..count).map(|_| Some((numbers.next()?, numbers.next()?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn claims_come_back_as_they_went_in_and_no_flipped_bit_is_taken_for_one() {
        let journals = vec![JournalClaim { id: 3, end: 77, digest: u64::MAX, last: vec![(1, 5), (9, 6)] }];
        let identity = Identity { inode: 12, born: 34 };
        let claims = Claims { number: 8, life: Life::Open, identity, tick: 4, trees: vec![(0, 2), (1, 7)], journals };
        let bytes = claims.encode();
        assert_eq!(Claims::decode(&[&bytes[..], &[0; 100]].concat()).as_ref(), Some(&claims));
        for at in 0..bytes.len() * 8 {
            let mut damaged = bytes.clone();
            damaged[at / 8] ^= 1 << (at % 8);
            assert_eq!(Claims::decode(&damaged), None, "bit {at}");
        }
        assert_eq!(Claims::decode(&bytes[..bytes.len() - 1]), None);
        assert_eq!(Claims::decode(&[]), None);
    }
}
