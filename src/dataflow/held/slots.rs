//! A map from key bytes to values. Each key has a slot whose number (its place) does not change until the key is removed.

use hashbrown::HashTable;

use super::memory::{HeapSize, block};
use crate::dataflow::exchange::hash;

pub(crate) struct Slots<T> {
    places: HashTable<usize>,
    entries: Vec<SlotEntry<T>>,
    /// Slots without a key.
    free: Vec<usize>,
    /// The keys, end to end, including those of removed keys.
    keys: Vec<u8>,
    /// How many bytes of `keys` belong to removed keys.
    garbage: usize,
}

#[derive(Default)]
struct SlotEntry<T> {
    hash: u64,
    start: usize,
    length: u32,
    value: T,
}

/// With less garbage than this the keys are not compacted.
const MUCH_GARBAGE: usize = 1 << 16;

impl<T> HeapSize for Slots<T> {
    /// Excludes heap memory of the values.
    fn held_bytes(&self) -> usize {
        block(self.places.allocation_size())
            + block(self.entries.capacity() * size_of::<SlotEntry<T>>())
            + block(self.free.capacity() * size_of::<usize>())
            + block(self.keys.capacity())
    }
}

impl<T: Default> Slots<T> {
    pub(crate) fn new() -> Slots<T> {
        Slots { places: HashTable::new(), entries: Vec::new(), free: Vec::new(), keys: Vec::new(), garbage: 0 }
    }

    /// The number of keys.
    pub(crate) fn len(&self) -> usize {
        self.places.len()
    }

    /// The slot of the key. A new key gets a slot with the default value.
    pub(crate) fn place(&mut self, key: &[u8]) -> usize {
        let hashed = hash(key);
        let same = |entry: &SlotEntry<T>| entry.hash == hashed && self.keys[entry.start..][..entry.length as usize] == *key;
        if let Some(place) = self.places.find(hashed, |&place| same(&self.entries[place])) {
            return *place;
        }
        let length = u32::try_from(key.len()).expect("a key is shorter than 4 GiB");
        let entry = SlotEntry { hash: hashed, start: self.keys.len(), length, value: T::default() };
        self.keys.extend_from_slice(key);
        let place = match self.free.pop() {
            Some(place) => {
                self.entries[place] = entry;
                place
            }
            None => {
                self.entries.push(entry);
                self.entries.len() - 1
            }
        };
        self.places.insert_unique(hashed, place, |&place| self.entries[place].hash);
        place
    }

    pub(crate) fn get_mut(&mut self, place: usize) -> &mut T {
        &mut self.entries[place].value
    }

    /// The key and the value of a slot.
    pub(crate) fn at(&mut self, place: usize) -> (&[u8], &mut T) {
        let SlotEntry { start, length, value, .. } = &mut self.entries[place];
        (&self.keys[*start..][..*length as usize], value)
    }

    /// Removes the key. Its slot may be reused for another key.
    pub(crate) fn remove(&mut self, place: usize) {
        let Ok(found) = self.places.find_entry(self.entries[place].hash, |&other| other == place) else { return };
        found.remove();
        self.garbage += self.entries[place].length as usize;
        self.entries[place] = SlotEntry::default();
        self.free.push(place);
        if self.garbage > MUCH_GARBAGE && self.garbage > self.keys.len() / 2 {
            self.move_together();
        }
    }

    fn move_together(&mut self) {
        let mut keys = Vec::with_capacity(self.keys.len() - self.garbage);
        for &place in &self.places {
            let entry = &mut self.entries[place];
            let start = keys.len();
            keys.extend_from_slice(&self.keys[entry.start..][..entry.length as usize]);
            entry.start = start;
        }
        (self.keys, self.garbage) = (keys, 0);
    }

    /// Removes all keys.
    pub(crate) fn clear(&mut self) {
        self.places.clear();
        self.entries.clear();
        self.free.clear();
        self.keys.clear();
        self.garbage = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_one_keys_at_a_time() {
        let key = |n: u32| [&n.to_be_bytes()[..], &[7; 300]].concat();
        let mut slots: Slots<u32> = Slots::new();
        for round in 0..4 {
            let places: Vec<usize> = (0..500).map(|n| slots.place(&key(n))).collect();
            assert_eq!(slots.len(), 500);
            for (n, &place) in places.iter().enumerate() {
                let (found, value) = slots.at(place);
                assert_eq!((found, *value), (&*key(n as u32), if n % 4 == 1 { round } else { 0 }));
                *value = round + 1;
                if n % 4 != 1 {
                    slots.remove(place);
                }
            }
            assert_eq!(slots.len(), 125);
            assert!(slots.keys.len() < 3 * 125 * 304 + MUCH_GARBAGE, "garbage is removed");
        }
        slots.clear();
        let place = slots.place(b"k");
        assert_eq!((slots.len(), *slots.get_mut(place)), (1, 0));
    }
}
