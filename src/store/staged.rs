//! Rows of a source's tables that are collected while the tables change, until they are exact as of one position.
//!
//! In: chunks of rows, each read at some time, and the changes of the log in their order ([`Staging`]); in between what the source notes of
//! how far it is. All of it survives restarts. Out: inputs whose rows need not be loaded ([`Store::define_again`]).
//!
//! Guarantee: after `save(_, P, exact = true)` the staged rows of a table are its rows at P, if the source keeps three rules:
//! 1. every key is read at least once, after the position B at which the input began and not after P;
//! 2. every change from B up to P is applied, in the order of the log;
//! 3. P is not before the end of the log as of the last [`Store::stage`].
//!
//! B is where the source is in the log when it stages the input for the first time. An input of which nothing was saved begins again.
//!
//! Why: a key that a change has touched has the row of its last change, because [`Staging::add`] leaves touched keys out. A key that no
//! change has touched had the same row all the time, so it does not matter when it was read, nor how often.
//!
//! A crash leaves the state of a prefix of the calls, with at least those before the last save, because the batches are in one journal in the
//! order of the calls. The source then does everything again from the position and the progress of the last save. That leads to the same
//! rows: chunks are covered by the argument above. A change that is applied again takes its key back to an older row, but the later changes
//! of this key follow; they all do, because no change that was ever applied is after P (rule 3).
//!
//! Nothing here compares positions, so only the source can keep rule 3. The first write after a save with `exact` takes `exact` back.

use std::collections::BTreeMap;

use fjall::{Keyspace, OwnedWriteBatch};

use crate::fault;

use super::catalog::{InputDef, InputRecord, StoreCatalog};
use super::define::{check_names, drop_spaces};
use super::error::{AtFolder, StoreError};
use super::rejected::Rejections;
use super::space::{self, InputSpace};
use super::space_names::{rows_name, touched_name};
use super::staged_state::{Staged, StagedSource, StagedState};
use super::staging::{Staging, Target};
use super::{CATALOG, Store, Writer, read_json, sequence};

impl Store {
    /// Begins to collect rows of these inputs of a source, or goes on: an input of the same definition keeps what was collected of it, if it was
    /// ever saved. What was collected of other inputs of the source is dropped. An earlier [`Staging`] of the source can write no more.
    ///
    /// # Errors
    /// [`StoreError::Contract`] if an input has no key, if two have the same name, or if staged inputs of this source are defined
    /// ([`Store::define_again`]) and the commit that makes them ready is still to come.
    pub fn stage(&self, source: &str, inputs: &[InputDef]) -> Result<Staging, StoreError> {
        check_names(inputs.iter().map(|def| &def.name))?;
        if let Some(def) = inputs.iter().find(|def| def.key.is_empty()) {
            return Err(StoreError::Contract(format!("`{}` has no key, so its rows cannot be staged", def.name)));
        }
        let mut writer = self.sound_writer()?;
        writer.refuse_if_taken(source)?;
        let targets = self.restage(&mut writer, source, inputs);
        let targets = self.after_write(&mut writer, targets)?;
        let turn = writer.staged.next_turn(source);
        let staged = writer.staged.sources.get(source).cloned().unwrap_or_default();
        Ok(Staging::new(self.clone(), source.into(), turn, targets, staged))
    }

    /// What is collected of each source.
    pub fn staged(&self) -> BTreeMap<String, StagedState> {
        let writer = self.writer();
        writer.staged.sources.iter().map(|(source, staged)| (source.clone(), staged.state())).collect()
    }

    /// Drops everything that was collected of a source, if there is anything. A [`Staging`] of it can write no more.
    ///
    /// # Errors
    /// As [`stage`](Store::stage).
    pub fn drop_staged(&self, source: &str) -> Result<(), StoreError> {
        let mut writer = self.sound_writer()?;
        if !writer.staged.sources.contains_key(source) {
            return Ok(());
        }
        writer.refuse_if_taken(source)?;
        writer.staged.turns.remove(source);
        let dropped = self.restage(&mut writer, source, &[]).map(drop);
        self.after_write(&mut writer, dropped)
    }

    /// Makes these inputs the staged ones of a source, in this order; their key spaces.
    fn restage(&self, writer: &mut Writer, source: &str, inputs: &[InputDef]) -> Result<Vec<Target>, StoreError> {
        let held = writer.staged.sources.get(source).cloned().unwrap_or_default();
        let mut next_id = writer.catalog.next_id.max(writer.whole.next_id);
        let next = held.with_inputs(source, inputs, &mut next_id);
        let is_held = |id: u32| held.inputs.iter().any(|record| record.input.id == id);
        let is_next = |id: u32| next.inputs.iter().any(|record| record.input.id == id);
        let gone: Vec<u32> = held.ids().filter(|id| !is_next(*id)).collect();
        let begun = next.ids().filter(|id| !is_held(*id)).count();
        if begun > 0 || !gone.is_empty() {
            let mut left = StagedSource { exact: held.exact, ..next.clone() };
            left.inputs.retain(|record| is_held(record.input.id));
            self.write_ids(writer, source, &left, next_id)?;
            fault::point("store.stage.before_spaces");
            writer.staged.put(source, left);
            if begun > 0 {
                sequence::reserve(&self.0.db, &self.0.meta, 2 * begun, self.dir())?;
            }
        }
        let targets = next.inputs.iter().map(|record| self.staged_target(&record.input)).collect::<Result<Vec<Target>, StoreError>>()?;
        if begun > 0 || !gone.is_empty() {
            self.keep_staged(&targets, &gone)?;
            fault::point("store.stage.before_record");
        }
        self.write_staged(writer, source, next)?;
        Ok(targets)
    }

    /// Writes that the ids up to `next_id` are given away, and what of a source's inputs is still staged.
    fn write_ids(&self, writer: &mut Writer, source: &str, left: &StagedSource, next_id: u32) -> Result<(), StoreError> {
        let on_disk: StoreCatalog = read_json(&self.0.meta, CATALOG, self.dir())?.unwrap_or_default();
        let on_disk = StoreCatalog { next_id, ..on_disk };
        let mut batch = self.batch();
        batch.insert(&self.0.meta, CATALOG, serde_json::to_vec(&on_disk).expect("the catalog is JSON"));
        left.write(self, &mut batch, source);
        batch.commit().at(self.dir())?;
        (writer.catalog.next_id, writer.whole.next_id) = (next_id, next_id);
        Ok(())
    }

    fn staged_target(&self, record: &InputRecord) -> Result<Target, StoreError> {
        let space = InputSpace::open(&self.0.db, record.clone(), self.dir())?;
        let touched = space::touched(&self.0.db, record.id, self.dir())?;
        Target::new(space, touched, self.dir())
    }

    /// Records that the key spaces of `targets` must exist from now on, then drops those of `gone`. Key spaces of a running bulk load stay.
    fn keep_staged(&self, targets: &[Target], gone: &[u32]) -> Result<(), StoreError> {
        let names: Vec<String> = gone.iter().flat_map(|id| [rows_name(*id), touched_name(*id)]).collect();
        let mut kept = self.0.kept.read().expect("nothing panics while it holds this").clone();
        kept.retain(|space| !names.iter().any(|name| **name == **space.name()));
        for space in targets.iter().flat_map(Target::spaces) {
            if !kept.iter().any(|other| other.id() == space.id()) {
                kept.push(space.clone());
            }
        }
        self.keep(kept)?;
        let dropped = names.iter().map(|name| self.0.db.keyspace(name, fjall::KeyspaceCreateOptions::default).at(self.dir()));
        drop_spaces(&self.0.db, &self.0.meta, dropped.collect::<Result<Vec<Keyspace>, StoreError>>()?, self.dir())
    }

    fn write_staged(&self, writer: &mut Writer, source: &str, staged: StagedSource) -> Result<(), StoreError> {
        let mut batch = self.batch();
        staged.write(self, &mut batch, source);
        batch.commit().at(self.dir())?;
        self.note(writer, *self.0.committed.borrow())?;
        writer.staged.put(source, staged);
        Ok(())
    }

    /// Removes the inputs that the catalog has taken from what is staged, in the batch that makes them ready; what is still staged then. The
    /// rejected records of their sources are added in front of `rejected`.
    pub(super) fn take_staged(&self, writer: &Writer, batch: &mut OwnedWriteBatch, rejected: &mut BTreeMap<String, Rejections>) -> Staged {
        let mut left = writer.staged.clone();
        for (source, mut staged) in writer.staged.sources.clone() {
            let before = staged.inputs.len();
            staged.inputs.retain(|record| !writer.catalog.has_input(record.input.id));
            if staged.inputs.len() == before {
                continue;
            }
            let mut all = std::mem::take(&mut staged.rejections);
            all.append(rejected.remove(&source).unwrap_or_default());
            if !all.is_empty() {
                rejected.insert(source.clone(), all);
            }
            staged.write(self, batch, &source);
            left.turns.remove(&source);
            left.put(&source, staged);
        }
        left
    }
}

#[cfg(test)]
mod tests;
