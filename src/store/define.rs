//! Defines the inputs and views of the store, as a spec has them.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use fjall::{Database, Keyspace, OwnedWriteBatch};

use crate::fault;

use super::catalog::{InputDef, InputRecord, StoreCatalog, ViewDef, ViewRecord};
use super::error::{AtFolder, StoreError};
use super::space::ViewSpace;
use super::space_names::BESIDE;
use super::{CATALOG, Spaces, Store, id_key, sequence};

/// The state of each defined input and view, in the order of the definition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Definition {
    pub inputs: Vec<InputState>,
    pub views: Vec<ViewState>,
    /// Names of the inputs and views that are no longer defined.
    pub dropped: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InputState {
    /// It has no rows and must be loaded.
    New,
    /// It has its rows as of the checkpoint.
    Same,
    /// Its schema or key has changed, or it is captured again: it must be loaded. The old rows are kept until a commit has completed the new
    /// ones.
    Changed,
    /// It has the rows that were staged for it; the next commit makes them its rows. The old rows are kept until then.
    Staged,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ViewState {
    /// It has no rows and must be loaded.
    New,
    /// It has its rows as of the checkpoint.
    Same,
    /// Its fingerprint has changed, its schema and key have not: it has the rows of the old definition, and the differences
    /// ([`BulkLoad::difference`](super::BulkLoad::difference)) must be committed.
    Redefined,
    /// Its schema or key has changed: it must be loaded, and its changelog begins anew. The old rows and changelog are read until a commit has
    /// completed the new rows.
    Changed,
}

/// What a definition does with what the store has.
pub struct Redefine<'a> {
    /// Whether an input is captured again, so that its rows are replaced.
    pub again: &'a dyn Fn(&InputDef) -> bool,
    /// Whether the rows of an input are those that were staged for it.
    pub staged: &'a dyn Fn(&InputDef) -> bool,
    /// Whether a view of this name that is not defined keeps its rows and changelog as they are.
    pub resting: &'a dyn Fn(&str) -> bool,
}

impl Redefine<'_> {
    pub const NOTHING: Redefine<'static> = Redefine { again: &|_| false, staged: &|_| false, resting: &|_| false };
}

impl std::fmt::Debug for Redefine<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Redefine").finish_non_exhaustive()
    }
}

impl Store {
    /// The inputs whose rows a commit has completed.
    pub fn inputs(&self) -> Vec<InputDef> {
        self.writer().whole.inputs.iter().map(InputRecord::def).collect()
    }

    /// As [`define_again`](Store::define_again), with no input to capture again, no staged one and no resting view.
    pub fn define(&self, inputs: &[InputDef], views: &[ViewDef]) -> Result<Definition, StoreError> {
        self.define_again(inputs, views, &Redefine::NOTHING)
    }

    /// Defines the inputs and views of the store; commits refer to them by their index in these lists. Other inputs and views are dropped at
    /// once. New and changed ones become ready with the next commit, which must complete their rows; a crash before drops them again. An input
    /// or a view whose schema or key has changed, and an input for which `again` returns true, keeps its old rows until that commit, also after
    /// a crash. [`Redefine`] says what else is kept.
    ///
    /// An input for which `staged` returns true gets the rows that were staged for it ([`Store::stage`]): they can be read at once
    /// ([`Store::load_input`]), and the next commit makes them its rows. Until that commit a crash leaves them staged. The staged rows must be
    /// of the same definition and exact, and nobody may add to them any more.
    ///
    /// # Errors
    /// [`StoreError::Contract`] if two have the same name, if a bulk load is running, or if staged rows are not there or not exact.
    pub fn define_again(&self, inputs: &[InputDef], views: &[ViewDef], redefine: &Redefine<'_>) -> Result<Definition, StoreError> {
        let mut writer = self.sound_writer()?;
        self.refuse_while_loading()?;
        check_names(inputs.iter().map(|i| &i.name))?;
        check_names(views.iter().map(|v| &v.name))?;
        let whole = writer.whole.clone();
        let mut next = StoreCatalog { next_id: whole.next_id.max(writer.catalog.next_id), ..StoreCatalog::default() };
        let mut states = Vec::with_capacity(inputs.len());
        for def in inputs {
            states.push(match (redefine.staged)(def) {
                true => next.place_staged(writer.staged.exact(def)?),
                false => next.place_input(&whole, def, (redefine.again)(def)),
            });
        }
        let views: Vec<_> = views.iter().map(|def| next.place_view(&whole, def)).collect();
        let is_resting = |held: &&ViewRecord| (redefine.resting)(&held.name) && !next.views.iter().any(|view| view.name == held.name);
        let resting: Vec<ViewRecord> = whole.views.iter().filter(is_resting).cloned().collect();
        // Behind the defined ones, whose indexes commits use.
        next.views.extend(resting);
        let on_disk = next.until_whole(&whole);
        // A snapshot sees the views as they were, or as they are defined now.
        let mut spaces = self.0.spaces.write().expect("nothing panics while it holds this");
        let written = self.write_catalog(&whole, &on_disk);
        writer.failed = written.is_err();
        let dropped = written?;
        writer.unready = next != on_disk || next.clone().ready_only() != next;
        writer.catalog = next.clone();
        writer.whole = on_disk.clone().ready_only();
        writer.load_given_up = false;
        let dir = self.dir();
        let mut opened = open_spaces(&self.0.db, &self.0.meta, &next, dir)?;
        let is_replaced =
            |space: &&Arc<ViewSpace>| writer.whole.views.iter().any(|held| held.id == space.record.id) && !next.has_view(space.record.id);
        opened.replaced = spaces.views.iter().chain(&spaces.replaced).filter(is_replaced).cloned().collect();
        *spaces = opened;
        drop(spaces);
        let kept = self.keep_only(&on_disk, &writer.staged);
        writer.failed = kept.is_err();
        kept?;
        fault::point("store.define.after");
        Ok(Definition { inputs: states, views, dropped })
    }

    /// What [`define_again`](Store::define_again) would return, without defining anything. The staged rows need not be there yet.
    pub fn compare(&self, inputs: &[InputDef], views: &[ViewDef], redefine: &Redefine<'_>) -> Definition {
        let whole = &self.writer().whole;
        let mut next = StoreCatalog { next_id: whole.next_id, ..StoreCatalog::default() };
        let mut place = |def: &InputDef| match (redefine.staged)(def) {
            true => next.place_staged(&InputRecord::of(0, def)),
            false => next.place_input(whole, def, (redefine.again)(def)),
        };
        let inputs = inputs.iter().map(&mut place).collect();
        let views = views.iter().map(|def| next.place_view(whole, def)).collect();
        let names = |catalog: &StoreCatalog| -> Vec<String> {
            catalog.inputs.iter().map(|input| &input.name).chain(catalog.views.iter().map(|view| &view.name)).cloned().collect()
        };
        let defined = names(&next);
        Definition { inputs, views, dropped: names(whole).into_iter().filter(|name| !defined.contains(name)).collect() }
    }

    /// Writes the catalog, and removes the records of inputs and views that are no longer defined. Returns their names.
    fn write_catalog(&self, old: &StoreCatalog, next: &StoreCatalog) -> Result<Vec<String>, StoreError> {
        let dir = self.dir();
        let mut dropped = Vec::new();
        let mut batch = self.batch();
        for input in old.inputs.iter().filter(|i| !next.inputs.iter().any(|n| n.id == i.id)) {
            batch.remove(&self.0.meta, id_key(b'n', input.id));
            if !next.inputs.iter().any(|n| n.name == input.name) {
                dropped.push(input.name.clone());
            }
        }
        for view in old.views.iter().filter(|v| !next.views.iter().any(|n| n.id == v.id)) {
            self.remove_view_records(&mut batch, view.id)?;
            if !next.views.iter().any(|n| n.name == view.name) {
                dropped.push(view.name.clone());
            }
        }
        self.remove_rejected_of_others(&mut batch, next)?;
        batch.insert(&self.0.meta, CATALOG, serde_json::to_vec(next).expect("the catalog is JSON"));
        fault::fallible("store.define.before_catalog").at(dir)?;
        batch.commit().at(dir)?;
        fault::point("store.define.before_orphans");
        Ok(dropped)
    }

    pub(super) fn remove_view_records(&self, batch: &mut OwnedWriteBatch, id: u32) -> Result<(), StoreError> {
        batch.remove(&self.0.meta, id_key(b'n', id));
        batch.remove(&self.0.meta, id_key(b'f', id));
        for error in self.0.meta.prefix(id_key(b'e', id)) {
            batch.remove(&self.0.meta, error.key().at(self.dir())?);
        }
        Ok(())
    }

    /// Drops key spaces that no catalog names.
    pub(super) fn drop_keyspaces(&self, spaces: Vec<Keyspace>) -> Result<(), StoreError> {
        if spaces.is_empty() {
            return Ok(());
        }
        // The lock keeps this write from falling between a commit and its record in the witness.
        let _writer = self.writer();
        drop_spaces(&self.0.db, &self.0.meta, spaces, self.dir())
    }

    pub(super) fn refuse_while_loading(&self) -> Result<(), StoreError> {
        match self.0.loading.load(std::sync::atomic::Ordering::Acquire) {
            true => Err(StoreError::Contract("a bulk load is running".into())),
            false => Ok(()),
        }
    }
}

impl StoreCatalog {
    /// The catalog that is on disk until a commit makes this one ready: it still has replaced inputs and views, and the old fingerprints of
    /// redefined views.
    fn until_whole(&self, whole: &StoreCatalog) -> StoreCatalog {
        let mut on_disk = self.clone();
        for view in &mut on_disk.views {
            if let Some(held) = whole.views.iter().find(|held| held.id == view.id) {
                view.fingerprint.clone_from(&held.fingerprint);
            }
        }
        let replaced = |held: &&InputRecord| self.inputs.iter().any(|input| input.name == held.name && input.id != held.id);
        on_disk.inputs.extend(whole.inputs.iter().filter(replaced).cloned());
        let replaced = |held: &&ViewRecord| self.views.iter().any(|view| view.name == held.name && view.id != held.id);
        on_disk.views.extend(whole.views.iter().filter(replaced).cloned());
        on_disk
    }

    fn has_view(&self, id: u32) -> bool {
        self.views.iter().any(|view| view.id == id)
    }

    fn place_input(&mut self, old: &StoreCatalog, def: &InputDef, again: bool) -> InputState {
        let held = old.inputs.iter().find(|held| held.name == def.name);
        if let Some(held) = held.filter(|held| !again && held.ready && held.schema == def.schema && held.key == def.key) {
            self.inputs.push(held.clone());
            return InputState::Same;
        }
        let id = self.take_id();
        self.inputs.push(InputRecord::of(id, def));
        match held.is_some_and(|held| held.ready) {
            true => InputState::Changed,
            false => InputState::New,
        }
    }

    fn place_staged(&mut self, staged: &InputRecord) -> InputState {
        self.inputs.push(InputRecord { staged: true, ..staged.clone() });
        InputState::Staged
    }

    fn place_view(&mut self, old: &StoreCatalog, def: &ViewDef) -> ViewState {
        let held = old.views.iter().find(|held| held.name == def.name);
        if let Some(held) = held.filter(|held| held.ready && held.schema == def.schema && held.key == def.key) {
            self.views.push(ViewRecord { fingerprint: def.fingerprint.clone(), ..held.clone() });
            return match held.fingerprint == def.fingerprint {
                true => ViewState::Same,
                false => ViewState::Redefined,
            };
        }
        let id = self.take_id();
        let ViewDef { name, schema, key, fingerprint } = def.clone();
        self.views.push(ViewRecord { id, ready: false, name, schema, key, fingerprint });
        match held.is_some_and(|held| held.ready) {
            true => ViewState::Changed,
            false => ViewState::New,
        }
    }
}

/// Opens the key spaces of a catalog, and creates the missing ones.
fn open_spaces(db: &Database, meta: &Keyspace, catalog: &StoreCatalog, dir: &Path) -> Result<Spaces, StoreError> {
    let missing = catalog.space_names().filter(|name| !db.keyspace_exists(name)).count();
    if missing > 0 {
        sequence::reserve(db, meta, missing, dir)?;
    }
    Spaces::open(db, catalog, dir)
}

/// Drops every key space that is not `named`.
pub(super) fn drop_orphans(db: &Database, meta: &Keyspace, named: &BTreeSet<String>, dir: &Path) -> Result<(), StoreError> {
    let ours = |name: &str| ["rows-", "touched-", "parts-", "log-", BESIDE].iter().any(|prefix| name.starts_with(prefix));
    let mut orphans = db.list_keyspace_names();
    orphans.retain(|name| ours(name) && !named.contains(&**name));
    let opened = orphans.iter().map(|name| db.keyspace(name, fjall::KeyspaceCreateOptions::default).at(dir));
    let spaces = opened.collect::<Result<Vec<Keyspace>, StoreError>>()?;
    drop_spaces(db, meta, spaces, dir)
}

pub(super) fn drop_spaces(db: &Database, meta: &Keyspace, spaces: Vec<Keyspace>, dir: &Path) -> Result<(), StoreError> {
    if spaces.is_empty() {
        return Ok(());
    }
    sequence::reserve(db, meta, spaces.len(), dir)?;
    for space in spaces {
        db.delete_keyspace(space).at(dir)?;
        fault::point("store.space_dropped");
    }
    Ok(())
}

pub(super) fn check_names<'a>(names: impl Iterator<Item = &'a String>) -> Result<(), StoreError> {
    let mut seen = std::collections::HashSet::new();
    for name in names {
        if !seen.insert(name) {
            return Err(StoreError::Contract(format!("`{name}` is defined twice")));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
