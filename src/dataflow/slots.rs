//! Values by the bytes of their keys, each at a place of its own that stays while the key does.

use hashbrown::HashTable;

use super::hash;
use crate::value::Row;

pub(super) struct Slots<T> {
    places: HashTable<usize>,
    entries: Vec<(Row, T)>,
    /// Places that no key has any more.
    free: Vec<usize>,
}

impl<T: Default> Slots<T> {
    pub(super) fn new() -> Slots<T> {
        Slots { places: HashTable::new(), entries: Vec::new(), free: Vec::new() }
    }

    /// How many keys there are.
    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    /// The place of the key, which is made where it is new: then the value is the default one.
    pub(super) fn place(&mut self, key: &[u8]) -> usize {
        let hashed = hash(key);
        if let Some(place) = self.places.find(hashed, |&place| *self.entries[place].0 == *key) {
            return *place;
        }
        let entry = (Row::from_bytes(key), T::default());
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
        self.places.insert_unique(hashed, place, |&place| hash(&self.entries[place].0));
        place
    }

    pub(super) fn key(&self, place: usize) -> &Row {
        &self.entries[place].0
    }

    pub(super) fn get_mut(&mut self, place: usize) -> &mut T {
        &mut self.entries[place].1
    }

    /// The key and the value of a place.
    pub(super) fn at(&mut self, place: usize) -> (&Row, &mut T) {
        let (key, value) = &mut self.entries[place];
        (key, value)
    }

    /// Lets go of the key; its place may be another's soon.
    pub(super) fn remove(&mut self, place: usize) {
        let hashed = hash(&self.entries[place].0);
        if let Ok(found) = self.places.find_entry(hashed, |&other| other == place) {
            found.remove();
            self.entries[place] = Default::default();
            self.free.push(place);
        }
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        self.places.clear();
        self.entries.clear();
        self.free.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_one_keys_at_a_time() {
        let mut slots: Slots<u32> = Slots::new();
        for round in 0..3 {
            let places: Vec<usize> = (0..500u32).map(|n| slots.place(&n.to_be_bytes())).collect();
            assert_eq!(slots.len(), 500);
            for (n, &place) in places.iter().enumerate() {
                let (key, value) = slots.at(place);
                assert_eq!((&**key, *value), (&(n as u32).to_be_bytes()[..], if n % 2 == 1 { round } else { 0 }));
                *value = round + 1;
                if n % 2 == 0 {
                    slots.remove(place);
                }
            }
            assert_eq!(slots.len(), 250);
        }
        slots.clear();
        let place = slots.place(b"k");
        assert_eq!((slots.len(), *slots.get_mut(place)), (1, 0));
    }
}
