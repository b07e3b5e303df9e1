//! Writes the rows of a source's tables that are staged; [`staged`](super::staged) has the rules.
//!
//! What was added and applied is kept in memory up to [`BATCH_BYTES`] and then written as one batch. Within a batch only the last row of a key
//! counts, so a batch stands for several calls in their order.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use fjall::{AbstractTree, Keyspace, PersistMode};

use crate::fault;
use crate::value::{Delta, Position, Row, Rows};

use super::Store;
use super::commit::check_key;
use super::error::{AtFolder, StoreError};
use super::rejected::{RejectedRecord, Rejections};
use super::space::InputSpace;
use super::staged_state::StagedSource;

const BATCH_BYTES: usize = 1 << 20;
const BATCH_KEYS: usize = 4096;

/// How often what is saved is made durable, beyond a crash of the process.
const SYNC_EVERY: Duration = Duration::from_secs(1);

/// With so many write buffers that wait, or runs that are not merged, the storage engine is close to slowing down all writes.
const MOST_BUFFERS: usize = 3;
const MOST_RUNS: usize = 16;
const LOOK_EVERY: Duration = Duration::from_millis(5);
/// After this the storage engine may make others wait, too.
const LOOKS: usize = 6000;

/// Collects rows of a source's tables while they change ([`Store::stage`]). Methods block on the disk. What is not saved may be lost, from some
/// call on. A write that fails makes the store refuse all later writes.
pub struct Staging {
    store: Store,
    source: String,
    turn: u64,
    targets: Vec<Target>,
    position: Option<Position>,
    progress: Vec<Option<String>>,
    rejected: Rejections,
    pending_bytes: usize,
    pending_keys: usize,
    /// The most keys of a batch.
    pub(super) batch_keys: usize,
    /// How long saves may go on without being made durable beyond a crash of the process.
    pub(super) sync_every: Duration,
    synced: Instant,
}

/// The key spaces of one staged input.
pub(super) struct Target {
    space: InputSpace,
    touched: Keyspace,
    /// Whether `touched` has a key: else nothing is looked up in it.
    any_touched: bool,
    /// By key, what the next batch writes.
    pending: BTreeMap<Row, Pending>,
}

struct Pending {
    /// `None` if the row is deleted.
    row: Option<Row>,
    /// Whether a change has touched the key.
    touched: bool,
}

impl std::fmt::Debug for Staging {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Staging").field("source", &self.source).field("position", &self.position).finish_non_exhaustive()
    }
}

impl Staging {
    pub(super) fn new(store: Store, source: String, turn: u64, targets: Vec<Target>, staged: StagedSource) -> Staging {
        let progress = staged.inputs.into_iter().map(|record| record.progress).collect();
        let (position, rejected) = (staged.position, Rejections::default());
        let (pending_bytes, pending_keys, batch_keys) = (0, 0, BATCH_KEYS);
        Staging {
            store,
            source,
            turn,
            targets,
            position,
            progress,
            rejected,
            pending_bytes,
            pending_keys,
            batch_keys,
            sync_every: SYNC_EVERY,
            synced: Instant::now(),
        }
    }

    /// The position up to which changes have been applied and saved; `None` before the first save.
    pub fn position(&self) -> Option<&Position> {
        self.position.as_ref()
    }

    /// What was last saved of each input.
    pub fn progress(&self) -> Vec<Option<String>> {
        self.progress.clone()
    }

    /// Adds rows that were read from a table. Of equal keys the last wins. A row whose key a change has touched since the input was first staged
    /// is left out: it is not newer than what the changes lead to.
    pub fn add(&mut self, input: usize, rows: &Rows) -> Result<(), StoreError> {
        for row in rows.iter() {
            let target = target(&mut self.targets, input)?;
            let key = target.key_of(row)?;
            if !target.is_touched(&key).at(self.store.dir())? {
                self.put(input, key, Pending { row: Some(Row::from_bytes(row)), touched: false })?;
            }
        }
        Ok(())
    }

    /// Applies changes of the log, in their order: a deletion removes the row of its key, an insertion writes it, whatever is there. The keys are
    /// touched from now on, also those of deleted rows.
    pub fn apply(&mut self, deltas: &[Delta]) -> Result<(), StoreError> {
        for Delta { table, row, diff } in deltas {
            let target = target(&mut self.targets, *table)?;
            let key = target.key_of(row)?;
            let row = match diff {
                1 => Some(row.clone()),
                -1 => None,
                _ => return Err(StoreError::Contract(format!("`{}` has {diff} copies of a row", target.space.record.name))),
            };
            self.put(*table, key, Pending { row, touched: true })?;
        }
        Ok(())
    }

    /// Adds a rejected record, which the next save stores.
    pub fn reject(&mut self, record: RejectedRecord) {
        self.rejected.add(record);
    }

    /// Stores everything so far, atomically with these notes: the progress of each
    /// input (`None`: unchanged), the position up to which changes were applied, and whether the rows are exactly those of the position. They are
    /// if all keys were read not after the position, and the position is not before the end of the log as of [`Store::stage`]: before a crash
    /// changes up to that end may have been written and not saved.
    ///
    /// It survives a crash of the process. A power cut may lose what was saved within the last second, unless `exact` is true (with
    /// [`Sync::EachCommit`](super::Sync::EachCommit)).
    pub fn save(&mut self, progress: &[Option<String>], position: &Position, exact: bool) -> Result<(), StoreError> {
        if progress.len() != self.targets.len() {
            return Err(StoreError::Contract(format!("the progress of {} inputs of {}", progress.len(), self.targets.len())));
        }
        self.write(Some(Save { progress, position, exact }))?;
        self.position = Some(position.clone());
        for (held, next) in self.progress.iter_mut().zip(progress) {
            if next.is_some() {
                held.clone_from(next);
            }
        }
        self.rejected = Rejections::default();
        Ok(())
    }

    /// The key spaces of rows and of touched keys of each input.
    #[cfg(test)]
    pub(super) fn spaces(&self) -> impl Iterator<Item = &Keyspace> {
        self.targets.iter().flat_map(Target::spaces)
    }

    fn put(&mut self, input: usize, key: Row, pending: Pending) -> Result<(), StoreError> {
        self.pending_bytes += key.len() + pending.row.as_ref().map_or(0, |row| row.len());
        self.pending_keys += usize::from(self.targets[input].pending.insert(key, pending).is_none());
        match self.pending_bytes >= BATCH_BYTES || self.pending_keys >= self.batch_keys {
            true => self.write(None),
            false => Ok(()),
        }
    }

    /// Writes a batch of what is pending, and what is saved with it.
    fn write(&mut self, save: Option<Save>) -> Result<(), StoreError> {
        self.wait_for_room();
        let store = self.store.clone();
        let mut writer = store.sound_writer()?;
        let mut staged = writer.staged_in_turn(&self.source, self.turn)?.clone();
        let syncs = save.as_ref().is_some_and(|save| save.exact || self.synced.elapsed() >= self.sync_every);
        let written = self.write_batch(&mut staged, save.as_ref(), syncs).and_then(|()| {
            if syncs {
                store.note(&writer, *store.0.committed.borrow())?;
                self.synced = Instant::now();
            }
            if save.is_some() {
                fault::point("store.stage.after_save");
            }
            Ok(())
        });
        store.after_write(&mut writer, written)?;
        writer.staged.put(&self.source, staged);
        for target in &mut self.targets {
            target.any_touched |= target.pending.values().any(|pending| pending.touched);
            target.pending.clear();
        }
        (self.pending_bytes, self.pending_keys) = (0, 0);
        Ok(())
    }

    fn write_batch(&self, staged: &mut StagedSource, save: Option<&Save>, syncs: bool) -> Result<(), StoreError> {
        let dir = self.store.dir();
        let mut batch = match syncs {
            true => self.store.batch(),
            false => self.store.0.db.batch().durability(save.map(|_| PersistMode::Buffer)),
        };
        for Target { space, touched, pending, .. } in &self.targets {
            for (key, Pending { row, touched: is_touched }) in pending {
                match row {
                    Some(row) => batch.insert(&space.rows, &**key, &**row),
                    None => batch.remove(&space.rows, &**key),
                }
                if *is_touched {
                    batch.insert(touched, &**key, []);
                }
            }
        }
        match save {
            Some(Save { progress, position, exact }) => {
                for (record, progress) in staged.inputs.iter_mut().zip(*progress) {
                    record.progress = progress.clone().or(record.progress.take());
                }
                (staged.position, staged.exact) = (Some((*position).clone()), *exact);
                staged.rejections.append(self.rejected.clone());
                staged.write(&self.store, &mut batch, &self.source);
                fault::fallible("store.stage.before_save").at(dir)?;
                batch.commit().at(dir)?;
                fault::point("store.stage.before_note");
            }
            None => {
                // From here on the rows may be those of a later position.
                if staged.exact {
                    staged.exact = false;
                    staged.write(&self.store, &mut batch, &self.source);
                }
                fault::fallible("store.stage.before_batch").at(dir)?;
                batch.commit().at(dir)?;
            }
        }
        Ok(())
    }

    /// Waits until the storage engine has room. Otherwise it makes the write wait, and all commits with it.
    fn wait_for_room(&self) {
        let is_full = |space: &Keyspace| space.tree.sealed_memtable_count() >= MOST_BUFFERS || space.tree.l0_run_count() >= MOST_RUNS;
        let written = || self.targets.iter().filter(|target| !target.pending.is_empty()).flat_map(Target::spaces);
        for _ in 0..LOOKS {
            if !written().any(is_full) {
                return;
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }
}

struct Save<'a> {
    progress: &'a [Option<String>],
    position: &'a Position,
    exact: bool,
}

impl Target {
    pub(super) fn new(space: InputSpace, touched: Keyspace, dir: &Path) -> Result<Target, StoreError> {
        let any_touched = !touched.is_empty().at(dir)?;
        Ok(Target { space, touched, any_touched, pending: BTreeMap::new() })
    }

    pub(super) fn spaces(&self) -> [&Keyspace; 2] {
        [&self.space.rows, &self.touched]
    }

    fn key_of(&self, row: &[u8]) -> Result<Row, StoreError> {
        let key = self.space.key_of(row);
        check_key(&self.space.record.name, &key)?;
        Ok(key)
    }

    fn is_touched(&self, key: &Row) -> fjall::Result<bool> {
        match self.pending.get(key) {
            // What is pending untouched was looked up when it was added.
            Some(pending) => Ok(pending.touched),
            None if !self.any_touched => Ok(false),
            None => self.touched.contains_key(key),
        }
    }
}

fn target(targets: &mut [Target], input: usize) -> Result<&mut Target, StoreError> {
    targets.get_mut(input).ok_or_else(|| StoreError::Contract(format!("staged input {input} does not exist")))
}
