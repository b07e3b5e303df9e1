//! Opens a state folder, exclusively for writing or for reading.
//!
//! In both cases the files are compared with the claims of the [`witness`] before the storage engine opens them.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, RwLock};

use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};
use tokio::sync::watch;

use crate::fault;
use crate::value::Tick;

use super::catalog::StoreCatalog;
use super::error::{AtFolder, StoreError, damaged};
use super::folder::Folder;
use super::space::{self, InputSpace, ViewSpace};
use super::space_names::{META, TICKS};
use super::staged_state::Staged;
use super::witness::{self, FolderState, Witness};
use super::{CATALOG, CHECKPOINT, Checkpoint, ID, Spaces, Store, StoreInner, Sync, Writer, define, read_json, reading, sequence};

impl Store {
    /// Opens the state folder exclusively, and creates it if it is missing. [`StoreError::InUse`] names the process that has it open. Drops
    /// inputs and views that no commit has completed.
    pub fn open(dir: &Path, sync: Sync) -> Result<Store, StoreError> {
        fault::point("store.open.before");
        let folder = Folder::take(dir)?;
        let found = witness::examine(&folder)?;
        let claimed = match &found {
            FolderState::Nothing => None,
            FolderState::Sound(sound) => Some(Tick(sound.claims.tick)),
        };
        let witness = match found {
            FolderState::Nothing => Witness::of_nothing(&folder, sync)?,
            FolderState::Sound(sound) => {
                let evicted = witness::evicted(&sound);
                if !evicted.is_empty() {
                    let db = space::open_to_read(&folder.data(), dir, space::WhenOpened::AsNeeded)?;
                    witness::check_evicted(dir, &evicted, &sound.claims.trees, &space::all(&db, dir)?)?;
                }
                Witness::of_sound(&folder, *sound, sync)?
            }
        };
        let db = space::open_database(&folder.data(), dir)?;
        let store = Store::from_parts(db, folder, sync, claimed, Some(witness), None)?;
        sequence::catch_up(&store.0.db, &store.0.meta, dir)?;
        fault::point("store.open.before_orphans");
        let catalog = store.writer().catalog.clone();
        let staged = store.writer().staged.clone();
        store.keep_only(&catalog, &staged)?;
        store.begin_life()?;
        Ok(store)
    }

    /// As [`open`](Store::open), but fails with [`StoreError::NoState`] if there is no state yet.
    pub fn open_held(dir: &Path, sync: Sync) -> Result<Store, StoreError> {
        drop(Folder::share(dir)?);
        Store::open(dir, sync)
    }

    /// Opens the state folder for reading its current contents. It is not changed, and an engine may open it and write meanwhile.
    /// [`StoreError::NoState`] if there is no state, [`StoreError::InUse`] if an engine has the folder open.
    pub fn open_existing(dir: &Path) -> Result<Store, StoreError> {
        let folder = Folder::share(dir)?;
        let FolderState::Sound(sound) = witness::examine(&folder)? else { return Err(StoreError::NoState { dir: dir.into() }) };
        let (db, private) = reading::open(&folder, &sound)?;
        witness::check_evicted(dir, &witness::evicted(&sound), &sound.claims.trees, &space::all(&db, dir)?)?;
        Store::from_parts(db, folder.released(), Sync::Os, Some(Tick(sound.claims.tick)), None, private)
    }

    /// `claimed`: a tick that was committed, so that the last commit must not be earlier; `None` if nothing ever was.
    fn from_parts(
        db: Database,
        folder: Folder,
        sync: Sync,
        claimed: Option<Tick>,
        witness: Option<Witness>,
        private: Option<tempfile::TempDir>,
    ) -> Result<Store, StoreError> {
        let dir = &folder.path;
        if claimed.is_some() {
            check_is_there(&db, [META, TICKS].into_iter().map(str::to_string), dir)?;
        }
        let meta = space::meta(&db, META, dir)?;
        let ticks = space::meta(&db, TICKS, dir)?;
        let id = store_id(&db, &meta, claimed.is_some(), dir)?;
        let catalog = read_json::<StoreCatalog>(&meta, CATALOG, dir)?.unwrap_or_default().ready_only();
        let checkpoint = read_json::<Checkpoint>(&meta, CHECKPOINT, dir)?;
        let tick = checkpoint.as_ref().map_or(Tick(0), |c| c.tick);
        if claimed.is_some_and(|claimed| tick < claimed) {
            return Err(damaged(dir, format!("its last commit is tick {tick}, but tick {} was committed", claimed.unwrap_or_default())));
        }
        let staged = Staged::read(&meta, dir)?;
        check_is_there(&db, catalog.space_names().chain(staged.space_names()), dir)?;
        let spaces = Spaces::open(&db, &catalog, dir)?;
        let lives = RwLock::new(Store::read_lives(&meta, dir)?);
        let whole = catalog.clone();
        let writer = Mutex::new(Writer { catalog, whole, unready: false, checkpoint, staged, failed: false, load_given_up: false });
        Ok(Store(Arc::new(StoreInner {
            id,
            sync,
            db,
            meta,
            ticks,
            spaces: RwLock::new(spaces),
            writer,
            compacting: Mutex::new(()),
            loading: AtomicBool::new(false),
            committed: watch::Sender::new(tick),
            lives,
            asked: watch::Sender::new(0),
            kept: RwLock::default(),
            witness,
            _private: private,
            folder,
        })))
    }

    /// Durably records which key spaces must exist from now on, then drops all others.
    pub(super) fn keep_only(&self, catalog: &StoreCatalog, staged: &Staged) -> Result<(), StoreError> {
        let dir = self.dir();
        let ours = [META, TICKS].map(str::to_string);
        // A staged input that is defined is in both.
        let names: BTreeSet<String> = ours.into_iter().chain(catalog.space_names()).chain(staged.space_names()).collect();
        let spaces = names.iter().map(|name| self.0.db.keyspace(name, KeyspaceCreateOptions::default).at(dir));
        self.keep(spaces.collect::<Result<Vec<Keyspace>, StoreError>>()?)?;
        define::drop_orphans(&self.0.db, &self.0.meta, &names, dir)
    }

    /// Durably records which key spaces must exist from now on.
    pub(super) fn keep(&self, spaces: Vec<Keyspace>) -> Result<(), StoreError> {
        if let Some(witness) = &self.0.witness {
            witness.settle(*self.0.committed.borrow(), &spaces)?;
        }
        *self.0.kept.write().expect("nothing panics while it holds this") = spaces;
        Ok(())
    }
}

impl Spaces {
    pub(super) fn open(db: &Database, catalog: &StoreCatalog, dir: &Path) -> Result<Spaces, StoreError> {
        let mut spaces = Spaces::default();
        for record in &catalog.inputs {
            spaces.inputs.push(Arc::new(InputSpace::open(db, record.clone(), dir)?));
        }
        for record in &catalog.views {
            spaces.views.push(Arc::new(ViewSpace::open(db, record.clone(), dir)?));
        }
        Ok(spaces)
    }
}

fn check_is_there(db: &Database, mut names: impl Iterator<Item = String>, dir: &Path) -> Result<(), StoreError> {
    match names.find(|name| !db.keyspace_exists(name)) {
        Some(missing) => Err(damaged(dir, format!("the key space `{missing}` is missing"))),
        None => Ok(()),
    }
}

fn store_id(db: &Database, meta: &Keyspace, made_before: bool, dir: &Path) -> Result<String, StoreError> {
    if let Some(id) = meta.get(ID).at(dir)? {
        return String::from_utf8(id.to_vec()).map_err(|_| damaged(dir, "its id is not text"));
    }
    if made_before {
        return Err(damaged(dir, "its id is missing"));
    }
    let id = random_text();
    meta.insert(ID, &id).at(dir)?;
    db.persist(PersistMode::SyncAll).at(dir)?;
    Ok(id)
}

/// 128 random bits, seeded by the operating system, as hex.
pub(super) fn random_text() -> String {
    use std::hash::{BuildHasher, RandomState};
    format!("{:016x}{:016x}", RandomState::new().hash_one(std::process::id()), RandomState::new().hash_one(std::time::SystemTime::now()))
}
