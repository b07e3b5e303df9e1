//! Knows what must be in the storage engine's folder, and refuses a folder in which it is not.
//!
//! The engine sees a damaged block when it reads it. It does not see that a file is missing or older than the others, and where its journal
//! cannot be read it takes what is before for all there was. So beside the engine's folder there is a `witness`: after each synced
//! write it notes the version of every key space, and for every journal up to where it is whole and what it comes to ([`Claims`]).
//! When the folder is opened, all of that must be there: at least that after a crash, exactly that after a stop.
//!
//! What always holds: nothing is claimed that is not on disk for good, so no crash and no power cut make a folder that is refused.
//! Nothing of the engine's folder is changed before the claims have been found true.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard};
use std::{fs, io};

use fjall::{AbstractTree, Keyspace};

use crate::value::Tick;

use super::Sync;
use super::claims::{Claims, Identity, JournalClaim, Life};
use super::error::{At, StoreError, damaged};
use super::folder::Folder;
use super::journal::{self, Items, Journal};
use super::slots::{self, Durable, Kept, Slots};
use super::tree::{self, Broken, Tree};
use super::whole_file::sync_folder;

/// The claims of an open folder, kept up with what is written. Dropped after the engine is closed, it notes exactly what there is.
pub(super) struct Witness {
    dir: PathBuf,
    data: PathBuf,
    sync: Sync,
    state: Mutex<State>,
}

struct State {
    slots: Slots,
    claims: Claims,
    /// Those that exist, ascending; the last one is written to.
    journals: Vec<Journal>,
    /// The folder is not open yet, or a write failed: what is on disk beyond the claims is not known.
    abandoned: bool,
}

/// A folder whose claims were found true.
pub(super) struct Sound {
    pub(super) claims: Claims,
    /// As far as they are whole.
    pub(super) journals: Vec<Journal>,
    /// Key spaces by number.
    pub(super) trees: Vec<(u64, Tree)>,
}

/// What there is to open.
pub(super) enum Found {
    /// Nothing was ever committed.
    Nothing,
    Sound(Box<Sound>),
}

/// Compares what is there with what must be, and changes nothing.
pub(super) fn examine(folder: &Folder) -> Result<Found, StoreError> {
    let (dir, data) = (&folder.path, folder.data());
    let (claims, own) = match slots::read(dir).at(dir)? {
        Kept::Some { claims, .. } if claims.life == Life::Making => return Ok(Found::Nothing),
        Kept::Some { claims, own } => (claims, own),
        Kept::None if !data.exists() => return Ok(Found::Nothing),
        Kept::None => return Err(damaged(dir, "the file `witness` is missing")),
        Kept::Unreadable => return Err(damaged(dir, "the file `witness` is not what was written")),
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
    // In a copy every file is new, so that says nothing: there the engine's own checksums must do, block by block.
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
    Ok(Found::Sound(Box::new(Sound { claims, journals, trees })))
}

fn examine_journals(dir: &Path, data: &Path, claims: &Claims) -> Result<Vec<Journal>, StoreError> {
    let first = claims.journals.first().map_or(0, |claim| claim.id);
    let last = claims.journals.last().map_or(0, |claim| claim.id);
    let mut journals: Vec<Journal> = Vec::new();
    // What is before the first was no longer needed when the claims were written; a power cut may have brought it back.
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
    /// Takes a folder in which nothing was ever committed; what is half made of the engine's folder goes.
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

    /// Takes a folder whose claims are true.
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
        let slots = Slots::take(&dir, &mut claims).at(&dir)?;
        let state = Mutex::new(State { slots, claims, journals, abandoned: true });
        Ok(Witness { data: folder.data(), dir, sync, state })
    }

    /// Notes what is written, and that it stays so: call when a write of the journal was synced, before anybody else writes.
    /// `newest` is the sequence number of the last write. With [`Sync::Os`] writes are not synced, and nothing is noted.
    pub(super) fn note(&self, tick: Tick, newest: u64, spaces: &[Keyspace]) -> Result<(), StoreError> {
        if self.sync == Sync::Os {
            return Ok(());
        }
        let mut state = self.state();
        let engine = state.claims.trees.iter().find(|(space, _)| *space == ENGINE).map_or(0, |(_, version)| *version);
        self.update(&mut state, tick, engine, spaces, Some(newest))?;
        self.write(&mut state, Durable::Later)
    }

    /// As [`note`](Witness::note), with the engine's own key space, and for good when it returns: call before key spaces go, after they
    /// have come, and when a folder has been opened. Syncs the journals itself.
    pub(super) fn settle(&self, tick: Tick, spaces: &[Keyspace]) -> Result<(), StoreError> {
        let mut state = self.state();
        let engine = tree::version_of(&tree::folder_of(&self.data, ENGINE)).map_err(|broken| name(&self.dir, broken))?;
        state.claims.life = Life::Open;
        self.update(&mut state, tick, engine, spaces, None)?;
        state.journals.iter().try_for_each(Journal::sync).at(&self.dir)?;
        // The engine syncs what is in the folders of key spaces, and not these.
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
        // Each call of the system counts in a commit: where its write is in the only journal there is no later one to look for.
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
            // Of the others nobody needs anything any more.
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

    /// Whatever is on disk beyond the claims need not be whole.
    pub(super) fn abandon(&self) {
        self.state().abandoned = true;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Reads on in the journals, and goes on to those that came since.
    fn follow(&self, state: &mut State) -> Result<(), StoreError> {
        let (dir, data) = (&self.dir, &self.data);
        loop {
            let next = match state.journals.last() {
                Some(last) if journal::path_of(data, last.id + 1).exists() => Some(last.id + 1),
                Some(last) if journal::path_of(data, last.id).exists() => None,
                Some(last) => journal::ids(data).at(dir)?.into_iter().find(|id| *id > last.id),
                None => journal::ids(data).at(dir)?.first().copied(),
            };
            // Where there is a next one, nothing more is written to this one.
            if let Some(last) = state.journals.last_mut() {
                last.advance(Items::Taken, None).at(dir)?;
            }
            match next {
                Some(id) => match Journal::open(data, id) {
                    // The engine may drop it meanwhile; then there are later ones.
                    Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                    opened => state.journals.push(opened.at(dir)?),
                },
                None => break,
            }
        }
        // Also those from which it was gone on: several may have gone since.
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

    /// The engine is closed: from here on the claims are exact.
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
            tracing::warn!(dir = %self.dir.display(), %error, "the state folder is left as after a crash");
        }
    }
}

/// The number of the engine's own key space, which has the names of the others.
const ENGINE: u64 = 0;

fn claim(journal: &Journal) -> JournalClaim {
    JournalClaim { id: journal.id, end: journal.end, digest: journal.digest(), last: journal.last.clone() }
}

/// Journals that were claimed and are not there. The engine drops one when everything in it is in the key spaces' own files, so then each
/// of its key spaces has a later version or, by the numbers of its tables, all of it ([`check_evicted`]).
pub(super) fn evicted(sound: &Sound) -> Vec<JournalClaim> {
    let there = |id| sound.journals.iter().any(|journal| journal.id == id);
    sound.claims.journals.iter().filter(|claim| claim.end > 0 && !there(claim.id)).cloned().collect()
}

pub(super) fn check_evicted(dir: &Path, evicted: &[JournalClaim], claimed: &[(u64, u64)], spaces: &[Keyspace]) -> Result<(), StoreError> {
    for claim in evicted {
        for (id, last) in &claim.last {
            // One that is gone was dropped.
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
