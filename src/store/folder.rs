//! The state folder itself: who may open it, and whether this program can read it.
//!
//! In: a path. Out: a [`Folder`] that is ours alone until it is dropped, also against a process that dies: the lock is the
//! kernel's, the pid in the file is only for the message.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::error::{At, StoreError, damaged};

/// The format of everything under the folder; a change of any record's bytes raises it.
pub(super) const FORMAT: u32 = 1;

const LOCK: &str = "lock";
const FORMAT_FILE: &str = "format.json";
const DATA: &str = "data";
/// Written last by the storage engine when it makes its folder; without it nothing was ever committed there.
const ENGINE_MARKER: &str = "version";

/// As much as the largest write buffer that may have to go out at once.
const PROBE_BYTES: usize = 16 << 20;

#[derive(Debug)]
pub(super) struct Folder {
    pub(super) path: PathBuf,
    /// Locked while open; holds our pid.
    lock: File,
}

/// Unlocks in so many words: closing would not do while a process that was forked in between still has a copy of the handle.
impl Drop for Folder {
    fn drop(&mut self) {
        if let Err(error) = self.lock.unlock() {
            tracing::warn!(dir = %self.path.display(), %error, "the state folder's lock stays until the program ends");
        }
    }
}

#[derive(Serialize, Deserialize)]
struct FormatFile {
    format: u32,
}

impl Folder {
    /// Takes the folder. With `create` it is made where it is missing, otherwise it must hold state.
    pub(super) fn take(path: &Path, create: bool) -> Result<Folder, StoreError> {
        if create {
            fs::create_dir_all(path).at(path)?;
        } else if !path.join(FORMAT_FILE).exists() {
            return Err(StoreError::NoState { dir: path.into() });
        }
        let lock = lock(path)?;
        check_format(path)?;
        let data = path.join(DATA);
        if data.exists() && !data.join(ENGINE_MARKER).exists() {
            fs::remove_dir_all(&data).at(path)?;
        }
        if !create && !data.exists() {
            return Err(StoreError::NoState { dir: path.into() });
        }
        Ok(Folder { path: path.into(), lock })
    }

    /// Why writing may have failed, where the storage engine's background threads kept it to themselves: tries to write.
    pub(super) fn probe(&self) -> Result<(), StoreError> {
        let path = self.path.join("probe.unfinished");
        let written = fs::write(&path, vec![0; PROBE_BYTES]).and_then(|()| File::open(&path)?.sync_all());
        let removed = fs::remove_file(&path);
        written.and(removed).at(&self.path)
    }

    /// Where the storage engine keeps its files.
    pub(super) fn data(&self) -> PathBuf {
        self.path.join(DATA)
    }
}

fn lock(dir: &Path) -> Result<File, StoreError> {
    let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(dir.join(LOCK)).at(dir)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut text = String::new();
            file.read_to_string(&mut text).at(dir)?;
            return Err(StoreError::InUse { dir: dir.into(), pid: text.trim().parse().ok() });
        }
        Err(TryLockError::Error(e)) => return Err(e).at(dir),
    }
    file.set_len(0).at(dir)?;
    file.rewind().at(dir)?;
    writeln!(file, "{}", std::process::id()).at(dir)?;
    Ok(file)
}

fn check_format(dir: &Path) -> Result<(), StoreError> {
    let path = dir.join(FORMAT_FILE);
    if !path.exists() {
        let text = serde_json::to_string(&FormatFile { format: FORMAT }).expect("a number is JSON");
        return write_whole(&path, text.as_bytes()).at(dir);
    }
    let text = fs::read_to_string(&path).at(dir)?;
    let found: serde_json::Value = serde_json::from_str(&text).map_err(|_| damaged(dir, "format.json is not JSON"))?;
    match serde_json::from_value::<FormatFile>(found.clone()) {
        Ok(FormatFile { format: FORMAT }) => Ok(()),
        _ => Err(StoreError::Format {
            dir: dir.into(),
            found: found.get("format").map_or("unknown".into(), |f| f.to_string()),
            expected: FORMAT,
        }),
    }
}

/// Writes a file so that it is there whole or not at all.
fn write_whole(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let unfinished = path.with_extension("unfinished");
    let mut file = File::create(&unfinished)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&unfinished, path)?;
    match path.parent() {
        Some(dir) => File::open(dir)?.sync_all(),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_taker_is_told_the_first_ones_pid_and_gets_it_after_the_drop() {
        let dir = tempfile::tempdir().unwrap();
        let first = Folder::take(dir.path(), true).unwrap();
        let refused = Folder::take(dir.path(), true).unwrap_err();
        let pid = std::process::id();
        assert_eq!(refused.to_string(), format!("the state folder `{}` is in use by process {pid}", dir.path().display()));
        assert_eq!(refused.help().unwrap(), format!("stop process {pid} first, or give another folder with --state"));
        drop(first);
        Folder::take(dir.path(), true).unwrap();
    }

    #[test]
    fn a_copy_of_the_lock_in_a_child_process_does_not_keep_the_folder() {
        let dir = tempfile::tempdir().unwrap();
        let first = Folder::take(dir.path(), true).unwrap();
        let _inherited = first.lock.try_clone().unwrap();
        drop(first);
        Folder::take(dir.path(), true).unwrap();
    }

    #[test]
    fn a_folder_of_another_format_is_refused_and_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(FORMAT_FILE), r#"{"format":7,"more":true}"#).unwrap();
        let refused = Folder::take(dir.path(), true).unwrap_err();
        assert_eq!(refused.to_string(), format!("the state in `{}` has format 7, this program reads format 1", dir.path().display()));
        assert_eq!(fs::read_to_string(dir.path().join(FORMAT_FILE)).unwrap(), r#"{"format":7,"more":true}"#);
    }

    #[test]
    fn a_reader_needs_a_folder_that_holds_state_and_makes_none() {
        let dir = tempfile::tempdir().unwrap();
        let missing = dir.path().join("state");
        assert!(matches!(Folder::take(&missing, false), Err(StoreError::NoState { .. })));
        assert!(!missing.exists());
    }
}
