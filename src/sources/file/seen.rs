//! Remembers the keys of a file's rows, to detect a second row with the same key.
//!
//! In: the keys of each chunk, in the file's order. Out: which of them occurred before. As long as keys are ascending, as in most exports,
//! only the last key is kept; after that 16 bytes per key, a hash with a random seed.

use std::collections::HashSet;
use std::hash::{BuildHasher, BuildHasherDefault, Hasher, RandomState};

use xxhash_rust::xxh3::xxh3_128_with_seed;

use crate::sources::SourceError;
use crate::value::Rows;

/// The keys of one file.
#[derive(Debug, Default)]
pub(super) struct SeenKeys {
    /// The highest key, while keys are ascending.
    last: Vec<u8>,
    hashes: Option<Hashes>,
}

impl SeenKeys {
    /// Returns the indexes in `keys` of those that occurred before. `earlier` passes the keys of all previous chunks again, for which it may
    /// read the file a second time.
    pub(super) fn repeated(
        &mut self,
        keys: &Rows,
        earlier: impl FnOnce(&mut dyn FnMut(&Rows)) -> Result<(), SourceError>,
    ) -> Result<Vec<usize>, SourceError> {
        let mut rising = 0;
        if self.hashes.is_none() {
            let mut last = &self.last[..];
            rising = keys.iter().take_while(|key| *key > std::mem::replace(&mut last, key)).count();
            if rising == keys.len() {
                self.last = last.to_vec();
                return Ok(Vec::new());
            }
            let mut hashes = Hashes::default();
            earlier(&mut |keys| keys.iter().for_each(|key| _ = hashes.insert(key)))?;
            keys.iter().take(rising).for_each(|key| _ = hashes.insert(key));
            self.hashes = Some(hashes);
        }
        let hashes = self.hashes.get_or_insert_default();
        Ok(keys.iter().enumerate().skip(rising).filter(|(_, key)| !hashes.insert(key)).map(|(at, _)| at).collect())
    }
}

#[derive(Debug)]
struct Hashes {
    seed: u64,
    all: HashSet<u128, BuildHasherDefault<Same>>,
}

impl Default for Hashes {
    fn default() -> Hashes {
        Hashes { seed: RandomState::new().hash_one(0), all: HashSet::default() }
    }
}

impl Hashes {
    /// Returns whether the key is new.
    fn insert(&mut self, key: &[u8]) -> bool {
        self.all.insert(xxh3_128_with_seed(key, self.seed))
    }
}

/// Uses a value that is already a hash as its hash.
#[derive(Debug, Default)]
struct Same(u64);

impl Hasher for Same {
    fn write_u128(&mut self, hash: u128) {
        self.0 = hash as u64;
    }

    fn write(&mut self, _: &[u8]) {
        unreachable!("only whole hashes are hashed")
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_was_there_before_is_told_wherever_chunks_end(
            chunks in prop::collection::vec(prop::collection::vec(0u8..40, 0..6), 0..8),
            rising in 0usize..4,
        ) {
            // The first chunks are ascending, so that the switch to hashes can be anywhere.
            let mut next = 0;
            let chunks: Vec<Rows> = chunks.iter().enumerate().map(|(n, chunk)| {
                chunk.iter().map(|key| if n < rising { next += 1; [next] } else { [*key] }).collect()
            }).collect();
            let (mut seen, mut before) = (SeenKeys::default(), HashSet::new());
            for (n, keys) in chunks.iter().enumerate() {
                let earlier = |give: &mut dyn FnMut(&Rows)| { chunks[..n].iter().for_each(give); Ok(()) };
                let repeated = seen.repeated(keys, earlier).unwrap();
                let expected: Vec<usize> = keys.iter().enumerate().filter(|(_, key)| !before.insert(key.to_vec())).map(|(at, _)| at).collect();
                prop_assert_eq!(repeated, expected);
            }
        }
    }
}
