//! The state folder itself: its lock and its format.
//!
//! In: a path. Out: a [`Folder`] that is locked for this process until it is dropped or the process dies: the kernel keeps the lock, the pid in
//! the file is only for the message. Or one that is shared with other readers and never written to, for the time that opening takes.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::error::{AtFolder, StoreError, damaged};
use super::slots;
use super::tree::DATA;
use super::whole_file::write_whole;

/// The version of the format of the whole folder; a change of any record's bytes raises it.
pub(super) const FORMAT: u32 = 2;

const LOCK: &str = "lock";
const FORMAT_FILE: &str = "format.json";

/// The size of a probe, as large as the largest write buffer that may be flushed at once.
const PROBE_BYTES: usize = 16 << 20;

#[derive(Debug)]
pub(super) struct Folder {
    pub(super) path: PathBuf,
    /// Locked while open; has the pid of this process if the lock is exclusive. `None` if there is no lock file.
    lock: Option<File>,
    /// Whether the lock is exclusive.
    alone: bool,
}

/// Unlocks explicitly: closing the file is not enough while a forked process still has a copy of the handle.
impl Drop for Folder {
    fn drop(&mut self) {
        let Some(lock) = &self.lock else { return };
        let unnamed = if self.alone { lock.set_len(0) } else { Ok(()) };
        if let Err(error) = unnamed.and(lock.unlock()) {
            tracing::warn!(dir = %self.path.display(), %error, "the state folder stays locked until the program ends");
        }
    }
}

#[derive(Serialize, Deserialize)]
struct FormatFile {
    format: u32,
}

impl Folder {
    /// Locks the folder exclusively, and creates it if it is missing.
    pub(super) fn take(path: &Path) -> Result<Folder, StoreError> {
        fs::create_dir_all(path).at(path)?;
        let lock = lock(path)?;
        let folder = Folder { path: path.into(), lock: Some(lock), alone: true };
        if !folder.format_file().exists() {
            folder.refuse_without_format()?;
            let text = serde_json::to_string(&FormatFile { format: FORMAT }).expect("a number is JSON");
            write_whole(&folder.format_file(), text.as_bytes()).at(path)?;
        }
        folder.check_format()?;
        Ok(folder)
    }

    /// Locks the folder for reading, which keeps engines out meanwhile. The folder must have state; nothing of it is changed.
    pub(super) fn share(path: &Path) -> Result<Folder, StoreError> {
        let mut folder = Folder { path: path.into(), lock: None, alone: false };
        if !folder.format_file().exists() {
            folder.refuse_without_format()?;
            return Err(StoreError::NoState { dir: path.into() });
        }
        folder.lock = share_lock(path)?;
        folder.check_format()?;
        Ok(folder)
    }

    /// Releases the lock and keeps the path.
    pub(super) fn released(self) -> Folder {
        Folder { path: self.path.clone(), lock: None, alone: false }
    }

    fn format_file(&self) -> PathBuf {
        self.path.join(FORMAT_FILE)
    }

    fn refuse_without_format(&self) -> Result<(), StoreError> {
        match self.data().exists() || slots::path_in(&self.path).exists() {
            true => Err(damaged(&self.path, format!("the file `{FORMAT_FILE}` is missing"))),
            false => Ok(()),
        }
    }

    fn check_format(&self) -> Result<(), StoreError> {
        let dir = &self.path;
        let text = fs::read(self.format_file()).at(dir)?;
        let found: serde_json::Value =
            serde_json::from_slice(&text).map_err(|_| damaged(dir, format!("the file `{FORMAT_FILE}` is not JSON")))?;
        match serde_json::from_value::<FormatFile>(found.clone()) {
            Ok(FormatFile { format: FORMAT }) => Ok(()),
            _ => Err(StoreError::Format {
                dir: dir.into(),
                found: found.get("format").map_or("unknown".into(), |f| f.to_string()),
                expected: FORMAT,
            }),
        }
    }

    /// Writes a test file, to find out why a write failed if the storage engine's background threads do not report it.
    pub(super) fn probe(&self) -> Result<(), StoreError> {
        let path = self.path.join("probe.unfinished");
        let written = fs::write(&path, vec![0; PROBE_BYTES]).and_then(|()| File::open(&path)?.sync_all());
        let removed = fs::remove_file(&path);
        written.and(removed).at(&self.path)
    }

    /// The folder of the storage engine's files.
    pub(super) fn data(&self) -> PathBuf {
        self.path.join(DATA)
    }
}

fn lock(dir: &Path) -> Result<File, StoreError> {
    let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(dir.join(LOCK)).at(dir)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(in_use(dir, &mut file)?),
        Err(TryLockError::Error(e)) => return Err(e).at(dir),
    }
    file.set_len(0).at(dir)?;
    file.rewind().at(dir)?;
    writeln!(file, "{}", std::process::id()).at(dir)?;
    Ok(file)
}

/// Returns `None` if there is no lock file: no engine has the folder open.
fn share_lock(dir: &Path) -> Result<Option<File>, StoreError> {
    let mut file = match File::open(dir.join(LOCK)) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        opened => opened.at(dir)?,
    };
    match file.try_lock_shared() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Err(in_use(dir, &mut file)?),
        Err(TryLockError::Error(e)) => Err(e).at(dir),
    }
}

fn in_use(dir: &Path, lock: &mut File) -> Result<StoreError, StoreError> {
    let mut text = String::new();
    lock.read_to_string(&mut text).at(dir)?;
    Ok(StoreError::InUse { dir: dir.into(), pid: text.trim().parse().ok() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_taker_is_told_the_first_ones_pid_and_gets_it_after_the_drop() {
        let dir = tempfile::tempdir().unwrap();
        let first = Folder::take(dir.path()).unwrap();
        let refused = Folder::take(dir.path()).unwrap_err();
        let pid = std::process::id();
        assert_eq!(refused.to_string(), format!("the state folder `{}` is in use by process {pid}", dir.path().display()));
        assert_eq!(refused.help().unwrap(), format!("stop process {pid} first, or give another folder with --state"));
        drop(first);
        Folder::take(dir.path()).unwrap();
    }

    #[test]
    fn a_copy_of_the_lock_in_a_child_process_does_not_keep_the_folder() {
        let dir = tempfile::tempdir().unwrap();
        let first = Folder::take(dir.path()).unwrap();
        let _inherited = first.lock.as_ref().unwrap().try_clone().unwrap();
        drop(first);
        Folder::take(dir.path()).unwrap();
    }

    #[test]
    fn a_folder_of_another_format_is_refused_and_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(FORMAT_FILE), r#"{"format":7,"more":true}"#).unwrap();
        let refused = Folder::take(dir.path()).unwrap_err();
        assert_eq!(refused.to_string(), format!("the state in `{}` has format 7, this program reads format 2", dir.path().display()));
        assert_eq!(fs::read_to_string(dir.path().join(FORMAT_FILE)).unwrap(), r#"{"format":7,"more":true}"#);
    }

    #[test]
    fn a_reader_needs_a_folder_that_holds_state_and_makes_none() {
        let dir = tempfile::tempdir().unwrap();
        let missing = dir.path().join("state");
        assert!(matches!(Folder::share(&missing), Err(StoreError::NoState { .. })));
        assert!(!missing.exists());
    }
}
