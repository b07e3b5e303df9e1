//! Records what the storage engine's folder must contain, and refuses a folder that does not contain it.
//!
//! The engine finds a damaged block when it reads it. It does not notice that a file is missing or older than the others, and treats an
//! unreadable batch of a journal as the journal's end. So beside the engine's folder there is a `witness`: after each synced write it records
//! the version of every key space, and the length and digest of every journal ([`Claims`]). Opening the folder checks the claims: after a crash
//! the folder must contain at least that, after a stop exactly that.
//!
//! Guarantees: only durable data is claimed, so a folder is never refused because of a crash or a power cut. The engine's folder is not changed
//! before its claims are verified.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard};
use std::{fs, io};

use fjall::{AbstractTree, Keyspace};

use crate::value::Tick;

use super::Sync;
use super::claims::{Claims, Identity, JournalClaim, Life};
use super::error::{AtFolder, StoreError, damaged};
use super::folder::Folder;
use super::journal::{self, Items, Journal};
use super::slots::{self, Durable, SlotContent, WitnessSlots};
use super::tree::{self, Broken, Tree};
use super::whole_file::sync_folder;

/// The claims of an open folder, updated after writes. Must be dropped after the engine is closed; it then records exact claims.
pub(super) struct Witness {
    dir: PathBuf,
    data: PathBuf,
    sync: Sync,
    state: Mutex<State>,
}

struct State {
    slots: WitnessSlots,
    claims: Claims,
    /// The existing journals, ascending; the engine writes to the last one.
    journals: Vec<Journal>,
    /// The folder is not open yet, or a write failed: the files beyond the claims are unknown.
    abandoned: bool,
}

/// A folder whose claims are verified.
pub(super) struct Sound {
    pub(super) claims: Claims,
    /// The journals, read up to their last whole batch.
    pub(super) journals: Vec<Journal>,
    /// Key spaces by number.
    pub(super) trees: Vec<(u64, Tree)>,
}

/// The state of a folder before it is opened.
pub(super) enum FolderState {
    /// Nothing was ever committed.
    Nothing,
    Sound(Box<Sound>),
}

/// Compares the files of a folder with its claims. Changes nothing.
pub(super) fn examine(folder: &Folder) -> Result<FolderState, StoreError> {
    let (dir, data) = (&folder.path, folder.data());
    let (claims, own) = match slots::read(dir).at(dir)? {
        SlotContent::Some { claims, .. } if claims.life == Life::Making => return Ok(FolderState::Nothing),
        SlotContent::Some { claims, own } => (claims, own),
        SlotContent::None if !data.exists() => return Ok(FolderState::Nothing),
        SlotContent::None => return Err(damaged(dir, "the file `witness` is missing")),
        SlotContent::Unreadable => return Err(damaged(dir, "the file `witness` is not what was written")),
    };
    if claims.life == Life::Open && !own {
        return Err(StoreError::Copied { dir: dir.into() });
    }
    for file in ["version", "lock"] {
        if !data.join(file).exists() {
            return Err(damaged(dir, format!("the file `data/{file}` is missing")));
        }
    }
    let broken = |broken: Broken| name(dir, broken);
    let exact = claims.life == Life::Closed;
    // In a copy every file is new, so its ctime is no help: there the engine's own checksums find damage, block by block.
    let since = own.then(|| tree::changed_at(&slots::path_in(dir))).transpose().at(dir)?;
    let mut trees = Vec::with_capacity(claims.trees.len());
    for (space, version) in &claims.trees {
        let at = tree::folder_of(&data, *space);
        let tree = Tree::read(&at).map_err(broken)?;
        if tree.version < *version || exact && tree.version != *version {
            return Err(broken(tree::other(&at.join(tree::CURRENT))));
        }
        tree.check_tables(&at, since).map_err(broken)?;
        trees.push((*space, tree));
    }
    let journals = examine_journals(dir, &data, &claims)?;
    Ok(FolderState::Sound(Box::new(Sound { claims, journals, trees })))
}

fn examine_journals(dir: &Path, data: &Path, claims: &Claims) -> Result<Vec<Journal>, StoreError> {
    let first = claims.journals.first().map_or(0, |claim| claim.id);
    let last = claims.journals.last().map_or(0, |claim| claim.id);
    let mut journals: Vec<Journal> = Vec::new();
    // Journals before the first claimed one are not needed; a power cut may have restored them.
    for id in journal::ids(data).at(dir)?.into_iter().filter(|id| *id >= first) {
        let path = journal::path_of(data, id);
        let mut journal = Journal::open(data, id).at(dir)?;
        match claims.journals.iter().find(|claim| claim.id == id) {
            Some(claim) => {
                journal.advance(Items::Checked, Some(claim.end)).at(dir)?;
                let whole = journal.end;
                if whole != claim.end || journal.digest() != claim.digest {
                    let how = format!("is not what was written: it can be read up to byte {whole} of {}", claim.end);
                    return Err(name(dir, Broken { file: path, how }));
                }
            }
            None if id < last => return Err(damaged(dir, format!("the file `data/{id}.jnl` does not belong there"))),
            None => {}
        }
        let claimed = journal.end;
        journal.advance(Items::Checked, None).at(dir)?;
        if claims.life == Life::Closed && journal.end != claimed {
            return Err(name(dir, Broken { file: path, how: "was written to after it was closed".into() }));
        }
        journals.push(journal);
    }
    let there = |id| journals.iter().any(|journal| journal.id == id);
    if let Some(missing) = claims.journals.iter().find(|claim| claims.life == Life::Closed && !there(claim.id)) {
        return Err(damaged(dir, format!("the file `data/{}.jnl` is missing", missing.id)));
    }
    if let Some(gap) = journals.windows(2).find(|pair| pair[0].id + 1 != pair[1].id) {
        return Err(damaged(dir, format!("the file `data/{}.jnl` is missing", gap[0].id + 1)));
    }
    Ok(journals)
}

impl Witness {
    /// Starts a witness for a folder in which nothing was ever committed. Removes an incomplete engine's folder.
    pub(super) fn of_nothing(folder: &Folder, sync: Sync) -> Result<Witness, StoreError> {
        let dir = &folder.path;
        let identity = Identity::NONE;
        let claims = Claims { number: 1, life: Life::Making, identity, tick: 0, trees: Vec::new(), journals: Vec::new() };
        let witness = Witness::take(folder, claims, Vec::new(), sync)?;
        match fs::remove_dir_all(folder.data()) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e).at(dir)?,
            _ => Ok(witness),
        }
    }

    /// Starts a witness for a folder whose claims are verified.
    pub(super) fn of_sound(folder: &Folder, sound: Sound, sync: Sync) -> Result<Witness, StoreError> {
        let (dir, data) = (&folder.path, folder.data());
        let Sound { mut claims, journals, trees: _ } = sound;
        let first = journals.first().map_or(0, |journal| journal.id);
        for id in journal::ids(&data).at(dir)?.into_iter().filter(|id| *id < first) {
            fs::remove_file(journal::path_of(&data, id)).at(dir)?;
        }
        claims.number += 1;
        claims.life = Life::Open;
        Witness::take(folder, claims, journals, sync)
    }

    fn take(folder: &Folder, mut claims: Claims, journals: Vec<Journal>, sync: Sync) -> Result<Witness, StoreError> {
        let dir = folder.path.clone();
        let slots = WitnessSlots::take(&dir, &mut claims).at(&dir)?;
        let state = Mutex::new(State { slots, claims, journals, abandoned: true });
        Ok(Witness { data: folder.data(), dir, sync, state })
    }

    /// Records everything written so far as durable. Must be called after a synced write, before any other write. `newest` is the sequence
    /// number of the last write. With [`Sync::Os`] writes are not synced, and nothing is recorded.
    pub(super) fn note(&self, tick: Tick, newest: u64, spaces: &[Keyspace]) -> Result<(), StoreError> {
        if self.sync == Sync::Os {
            return Ok(());
        }
        let mut state = self.state();
        let engine = state.claims.trees.iter().find(|(space, _)| *space == ENGINE).map_or(0, |(_, version)| *version);
        self.update(&mut state, tick, engine, spaces, Some(newest))?;
        self.write(&mut state, Durable::Later)
    }

    /// As [`note`](Witness::note), but includes the engine's own key space, syncs the journals itself, and is durable when it returns. Must be
    /// called before key spaces are dropped, after they were created, and after a folder was opened.
    pub(super) fn settle(&self, tick: Tick, spaces: &[Keyspace]) -> Result<(), StoreError> {
        let mut state = self.state();
        let engine = tree::version_of(&tree::folder_of(&self.data, ENGINE)).map_err(|broken| name(&self.dir, broken))?;
        state.claims.life = Life::Open;
        self.update(&mut state, tick, engine, spaces, None)?;
        state.journals.iter().try_for_each(Journal::sync).at(&self.dir)?;
        // The engine syncs the folders of key spaces, but not these.
        [tree::folder_of(&self.data, ENGINE).parent(), Some(&*self.data), Some(&*self.dir)]
            .into_iter()
            .flatten()
            .try_for_each(sync_folder)
            .at(&self.dir)?;
        self.write(&mut state, Durable::Now)?;
        state.abandoned = false;
        Ok(())
    }

    fn update(&self, state: &mut State, tick: Tick, engine: u64, spaces: &[Keyspace], newest: Option<u64>) -> Result<(), StoreError> {
        let versions = spaces.iter().map(|space| (space.id(), space.tree.current_version().id()));
        let trees: Vec<(u64, u64)> = std::iter::once((ENGINE, engine)).chain(versions).collect();
        // Save system calls at each commit: if its write is in the only journal, there is no later journal to look for.
        let all = match (&mut state.journals[..], newest) {
            ([only], Some(newest)) => {
                only.advance(Items::Taken, None).at(&self.dir)?;
                only.last.iter().any(|(_, last)| *last >= newest)
            }
            _ => false,
        };
        if !all {
            self.follow(state)?;
        }
        for journal in &mut state.journals {
            // Forget key spaces that are dropped.
            journal.last.retain(|(id, _)| trees.iter().any(|(space, _)| space == id));
        }
        if state.journals.len() > 1 {
            for space in spaces.iter().filter(|space| !state.claims.trees.contains(&(space.id(), space.tree.current_version().id()))) {
                let persisted = space.tree.get_highest_persisted_seqno();
                for journal in &mut state.journals {
                    journal.last.retain(|(id, last)| *id != space.id() || persisted.is_none_or(|persisted| persisted < *last));
                }
            }
        }
        state.claims.trees = trees;
        state.claims.tick = tick.0;
        Ok(())
    }

    /// Called after a failed write: files beyond the claims may be incomplete.
    pub(super) fn abandon(&self) {
        self.state().abandoned = true;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Reads new batches of the journals, and opens new journals.
    fn follow(&self, state: &mut State) -> Result<(), StoreError> {
        let (dir, data) = (&self.dir, &self.data);
        loop {
            let next = match state.journals.last() {
                Some(last) if journal::path_of(data, last.id + 1).exists() => Some(last.id + 1),
                Some(last) if journal::path_of(data, last.id).exists() => None,
                Some(last) => journal::ids(data).at(dir)?.into_iter().find(|id| *id > last.id),
                None => journal::ids(data).at(dir)?.first().copied(),
            };
            // If there is a next journal, this one is not written to any more.
            if let Some(last) = state.journals.last_mut() {
                last.advance(Items::Taken, None).at(dir)?;
            }
            match next {
                Some(id) => match Journal::open(data, id) {
                    // The engine may have dropped it meanwhile; then there are later ones.
                    Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                    opened => state.journals.push(opened.at(dir)?),
                },
                None => break,
            }
        }
        // Forget journals that the engine has dropped.
        if state.journals.len() > 1 {
            state.journals.retain(|journal| journal::path_of(data, journal.id).exists());
        }
        Ok(())
    }

    fn write(&self, state: &mut State, durable: Durable) -> Result<(), StoreError> {
        let State { slots, claims, journals, .. } = state;
        claims.number += 1;
        claims.journals = journals.iter().map(claim).collect();
        slots.write(claims, durable).at(&self.dir)
    }

    /// Called after the engine is closed: records exact claims.
    fn close(&self, state: &mut State) -> Result<(), StoreError> {
        if state.claims.life == Life::Making {
            return Ok(());
        }
        if state.abandoned {
            state.claims.number += 1;
            state.claims.life = Life::Abandoned;
            let State { slots, claims, .. } = state;
            return slots.write(claims, Durable::Now).at(&self.dir);
        }
        self.follow(state)?;
        state.journals.iter().try_for_each(Journal::sync).at(&self.dir)?;
        for (space, version) in &mut state.claims.trees {
            *version = tree::version_of(&tree::folder_of(&self.data, *space)).map_err(|broken| name(&self.dir, broken))?;
        }
        state.claims.life = Life::Closed;
        self.write(state, Durable::Now)
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        let mut state = self.state();
        if let Err(error) = self.close(&mut state) {
            tracing::warn!(dir = %self.dir.display(), %error, "the state folder was not closed cleanly; this is safe");
        }
    }
}

/// The number of the engine's own key space, which stores the names of the others.
const ENGINE: u64 = 0;

fn claim(journal: &Journal) -> JournalClaim {
    JournalClaim { id: journal.id, end: journal.end, digest: journal.digest(), last: journal.last.clone() }
}

/// Claimed journals that do not exist. The engine drops a journal once all its writes are in tables. So each of its key spaces must have a later
/// version, or tables with its sequence numbers ([`check_evicted`]).
pub(super) fn evicted(sound: &Sound) -> Vec<JournalClaim> {
    let there = |id| sound.journals.iter().any(|journal| journal.id == id);
    sound.claims.journals.iter().filter(|claim| claim.end > 0 && !there(claim.id)).cloned().collect()
}

pub(super) fn check_evicted(dir: &Path, evicted: &[JournalClaim], claimed: &[(u64, u64)], spaces: &[Keyspace]) -> Result<(), StoreError> {
    for claim in evicted {
        for (id, last) in &claim.last {
            // A missing key space was dropped.
            let Some(space) = spaces.iter().find(|space| space.id() == *id) else { continue };
            let later = claimed.iter().any(|(claimed, version)| claimed == id && space.tree.current_version().id() > *version);
            if !later && space.tree.get_highest_persisted_seqno().is_none_or(|persisted| persisted < *last) {
                return Err(damaged(dir, format!("the file `data/{}.jnl` is missing", claim.id)));
            }
        }
    }
    Ok(())
}

fn name(dir: &Path, broken: Broken) -> StoreError {
    damaged(dir, broken.in_words(dir))
}
