//! The lives of the store: which opening committed which ticks.
//!
//! A folder that is restored from a copy has the same store id, and gives the tick numbers after the copy again, with other content. So each
//! opening for writing begins a life with a random name, and a tick belongs to the life in which it was committed: in every copy of the folder,
//! a tick and its life together identify one content. An opening without a commit leaves no trace.
//!
//! The record needs no sync of its own, because it is in the journal before the first commit of its life.

use std::path::Path;

use fjall::Keyspace;
use serde::{Deserialize, Serialize};

use crate::value::Tick;

use super::error::{AtFolder, StoreError};
use super::{Store, random_text, read_json};

const LIVES: &str = "lives";
/// The number of lives that are recorded. A target whose tick is of an older life is compared with the whole view.
const KEPT: usize = 1000;

/// The recorded lives, in the order of their ticks.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Lives(Vec<LifeRecord>);

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct LifeRecord {
    /// The tick before its first one.
    after: Tick,
    name: String,
}

impl Lives {
    fn begin(&mut self, after: Tick, name: String) {
        self.0.retain(|life| life.after < after);
        self.0.push(LifeRecord { after, name });
        let surplus = self.0.len().saturating_sub(KEPT);
        self.0.drain(..surplus);
    }

    fn name_at(&self, tick: Tick) -> Option<&str> {
        self.0.iter().rev().find(|life| life.after < tick).map(|life| life.name.as_str())
    }
}

impl Store {
    /// Reads the recorded lives.
    pub(super) fn read_lives(meta: &Keyspace, dir: &Path) -> Result<Lives, StoreError> {
        Ok(read_json(meta, LIVES, dir)?.unwrap_or_default())
    }

    /// Begins a life, which has the ticks after the last commit.
    pub(super) fn begin_life(&self) -> Result<(), StoreError> {
        let mut lives = self.0.lives.write().expect("nothing panics while it holds this");
        lives.begin(*self.committed().borrow(), random_text());
        let value = serde_json::to_vec(&*lives).expect("names and numbers are JSON");
        self.0.meta.insert(LIVES, value).at(self.dir())
    }

    /// The life in which a tick was committed; empty if it is not recorded.
    pub fn life_of(&self, tick: Tick) -> String {
        self.0.lives.read().expect("nothing panics while it holds this").name_at(tick).unwrap_or_default().to_string()
    }

    /// Whether this store committed `tick` in `life`, so that its changelog continues from the content of that tick.
    pub fn has_lived(&self, life: &str, tick: Tick) -> bool {
        tick <= *self.committed().borrow() && self.life_of(tick) == life
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Commit, Sync};

    fn commit(store: &Store, tick: u64) {
        store.commit(Commit { up_to: Tick(tick), ..Commit::default() }).unwrap();
    }

    fn copy(from: &Path, to: &Path) {
        std::fs::create_dir_all(to).unwrap();
        for entry in std::fs::read_dir(from).unwrap() {
            let entry = entry.unwrap();
            let target = to.join(entry.file_name());
            match entry.file_type().unwrap().is_dir() {
                true => copy(&entry.path(), &target),
                false => drop(std::fs::copy(entry.path(), target).unwrap()),
            }
        }
    }

    #[test]
    fn a_restored_copy_does_not_know_the_ticks_that_came_after_it() {
        let folder = tempfile::tempdir().unwrap();
        let (own, restored) = (folder.path().join("own"), folder.path().join("restored"));
        let store = Store::open(&own, Sync::Os).unwrap();
        commit(&store, 3);
        drop(store);
        copy(&own, &restored);
        let store = Store::open(&own, Sync::Os).unwrap();
        let first = store.life_of(Tick(3));
        commit(&store, 5);
        let second = store.life_of(Tick(5));
        assert_ne!(first, second);
        assert!(store.has_lived(&first, Tick(3)) && store.has_lived(&second, Tick(5)));
        assert!(!store.has_lived(&first, Tick(5)) && !store.has_lived(&second, Tick(6)));

        let store = Store::open(&restored, Sync::Os).unwrap();
        assert!(store.has_lived(&first, Tick(3)));
        assert!(!store.has_lived(&second, Tick(5)), "it is not there yet");
        commit(&store, 7);
        assert!(!store.has_lived(&second, Tick(5)), "tick 5 is another one here");
        assert!(store.has_lived(&first, Tick(3)));
    }

    #[test]
    fn openings_without_a_commit_leave_what_was_known() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path(), Sync::Os).unwrap();
        commit(&store, 2);
        let life = store.life_of(Tick(2));
        drop(store);
        for _ in 0..3 {
            drop(Store::open(folder.path(), Sync::Os).unwrap());
        }
        drop(Store::open_existing(folder.path()).unwrap());
        let store = Store::open(folder.path(), Sync::Os).unwrap();
        assert!(store.has_lived(&life, Tick(2)));
        commit(&store, 3);
        assert_ne!(store.life_of(Tick(3)), life);
        assert_eq!(Store::read_lives(&store.0.meta, store.dir()).unwrap().0.len(), 2);
    }

    #[test]
    fn only_the_last_openings_are_kept() {
        let mut lives = Lives::default();
        for tick in 0..2000 {
            lives.begin(Tick(tick), tick.to_string());
        }
        assert_eq!((lives.0.len(), lives.name_at(Tick(2000)), lives.name_at(Tick(1))), (KEPT, Some("1999"), None));
    }
}
