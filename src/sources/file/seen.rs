//! The keys of a file's rows so far, to notice a second row of one key.
//!
//! In: the keys of one chunk after the other, in the file's order. Out: which of them were there before. Nothing is held for as long as keys
//! rise, as they do in most exports; from the first that does not, 16 bytes for each key, a hash with a seed of this run.

use std::collections::HashSet;
use std::hash::{BuildHasher, BuildHasherDefault, Hasher, RandomState};

use xxhash_rust::xxh3::xxh3_128_with_seed;

use crate::sources::SourceError;
use crate::value::Rows;

#[derive(Debug, Default)]
pub(super) struct Seen {
    /// The highest key, for as long as they rise.
    last: Vec<u8>,
    hashes: Option<Hashes>,
}

impl Seen {
    /// Where in `keys` those stand that were there before. `earlier` gives the keys of all chunks before this one anew, for which it may read
    /// the file again.
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
    /// Whether it was not there.
    fn insert(&mut self, key: &[u8]) -> bool {
        self.all.insert(xxh3_128_with_seed(key, self.seed))
    }
}

/// The hash of what is one already.
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
            // The first chunks rise, so that the change from one way to the other is anywhere.
            let mut next = 0;
            let chunks: Vec<Rows> = chunks.iter().enumerate().map(|(n, chunk)| {
                chunk.iter().map(|key| if n < rising { next += 1; [next] } else { [*key] }).collect()
            }).collect();
            let (mut seen, mut before) = (Seen::default(), HashSet::new());
            for (n, keys) in chunks.iter().enumerate() {
                let earlier = |give: &mut dyn FnMut(&Rows)| { chunks[..n].iter().for_each(give); Ok(()) };
                let repeated = seen.repeated(keys, earlier).unwrap();
                let expected: Vec<usize> = keys.iter().enumerate().filter(|(_, key)| !before.insert(key.to_vec())).map(|(at, _)| at).collect();
                prop_assert_eq!(repeated, expected);
            }
        }
    }
}
