//! The errors of a state folder, each with help for the user.

use std::io;
use std::path::{Path, PathBuf};

use crate::value::Tick;

use super::{journal, tree};

/// An error of the store. The message says what is wrong and where, [`StoreError::help`] how to fix it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process (or another `Store` of this process) has the folder open. `pid` is `None` only until the other has written it.
    #[error("the state folder `{}` is in use by {}", .dir.display(), .pid.map_or("another process".to_string(), |pid| format!("process {pid}")))]
    InUse { dir: PathBuf, pid: Option<u32> },
    #[error("there is no state in `{}`", .dir.display())]
    NoState { dir: PathBuf },
    #[error("the state in `{}` has format {found}, this program reads format {expected}", .dir.display())]
    Format { dir: PathBuf, found: String, expected: u32 },
    #[error("no space is left for the state folder `{}`", .dir.display())]
    NoSpace { dir: PathBuf, source: io::Error },
    #[error("cannot read or write the state folder `{}`: {source}", .dir.display())]
    Io { dir: PathBuf, source: io::Error },
    /// Files are missing, incomplete or changed.
    #[error("the state in `{}` is damaged: {message}", .dir.display())]
    Damaged { dir: PathBuf, message: String },
    /// A copy of a folder that a process had open: its files are from different points in time.
    #[error("the state in `{}` was copied while a process had it open, or after such a process died", .dir.display())]
    Copied { dir: PathBuf },
    /// An earlier write failed, so nothing more is written until the folder is opened again.
    #[error("the state folder `{}` accepts no more writes because one failed", .dir.display())]
    Failed { dir: PathBuf },
    /// The changelog no longer has this tick: read the whole view, then continue from its tick.
    #[error("the changelog of `{view}` starts after tick {floor}, but tick {asked} was requested")]
    Compacted { view: String, asked: Tick, floor: Tick },
    #[error("a key of `{of}` has {bytes} bytes, but a key can have at most {}", super::MAX_KEY_BYTES)]
    KeyTooLong { of: String, bytes: usize },
    /// The caller broke a rule of this module's contract: a bug.
    #[error("bug: {0}")]
    Contract(String),
}

impl StoreError {
    /// What the user can do about it, if anything.
    pub fn help(&self) -> Option<String> {
        Some(match self {
            StoreError::InUse { pid: Some(pid), .. } => format!("stop process {pid} first, or give another folder with --state"),
            StoreError::InUse { pid: None, .. } => "stop the other process first, or give another folder with --state".into(),
            StoreError::NoState { .. } => "`tidemill run` creates it; check that --state is the folder of that run".into(),
            StoreError::Format { .. } => "use the version that wrote it, or give an empty folder to rebuild the state".into(),
            StoreError::NoSpace { .. } => {
                "free some space or move the folder to a larger disk, and start again: what was committed is intact".into()
            }
            StoreError::Io { .. } | StoreError::Failed { .. } => {
                "fix the cause (see the first error) and start again: what was committed is intact".into()
            }
            StoreError::Damaged { .. } => {
                "check the disk; then restore a copy that was taken while nothing was running, or remove the folder to rebuild the \
                 state"
                    .into()
            }
            StoreError::Copied { .. } => {
                "stop the engine and copy it again (after a crash: start it once where it was, and stop it), or remove the folder to \
                 rebuild the state"
                    .into()
            }
            StoreError::Compacted { .. } | StoreError::KeyTooLong { .. } | StoreError::Contract(_) => return None,
        })
    }
}

/// Converts an error of the file system or the storage engine to a [`StoreError`] of a folder.
pub(super) trait AtFolder<T> {
    fn at(self, dir: &Path) -> Result<T, StoreError>;
}

impl<T> AtFolder<T> for io::Result<T> {
    fn at(self, dir: &Path) -> Result<T, StoreError> {
        self.map_err(|e| of_io(dir, e))
    }
}

impl<T> AtFolder<T> for fjall::Result<T> {
    fn at(self, dir: &Path) -> Result<T, StoreError> {
        self.map_err(|e| match e {
            fjall::Error::Io(e) | fjall::Error::Storage(fjall::LsmError::Io(e)) => match e.kind() {
                io::ErrorKind::NotFound | io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData => {
                    StoreError::Damaged { dir: dir.into(), message: culprit(dir).unwrap_or_else(|| e.to_string()) }
                }
                _ => of_io(dir, e),
            },
            fjall::Error::Poisoned => StoreError::Failed { dir: dir.into() },
            fjall::Error::Locked => StoreError::InUse { dir: dir.into(), pid: None },
            fjall::Error::InvalidVersion(found) => StoreError::Damaged {
                dir: dir.into(),
                message: format!("the file `data/version` is not what was written, or of another storage engine ({found:?})"),
            },
            fjall::Error::JournalRecovery(error) => {
                let message = culprit(dir).unwrap_or_else(|| format!("{} is not what was written ({error:?})", journals(dir)));
                StoreError::Damaged { dir: dir.into(), message }
            }
            other => StoreError::Damaged { dir: dir.into(), message: culprit(dir).unwrap_or_else(|| other.to_string()) },
        })
    }
}

/// The first file that is damaged according to the checksums of whole files.
pub(super) fn culprit(dir: &Path) -> Option<String> {
    let broken = tree::first_broken(&dir.join(tree::DATA)).ok()??;
    Some(broken.in_words(dir))
}

/// The journals by name: the storage engine does not say which of them it means.
fn journals(dir: &Path) -> String {
    let ids = journal::ids(&dir.join(tree::DATA)).unwrap_or_default();
    let names: Vec<String> = ids.iter().map(|id| format!("the file `{}/{id}.jnl`", tree::DATA)).collect();
    names.join(" or ")
}

fn of_io(dir: &Path, source: io::Error) -> StoreError {
    match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => StoreError::NoSpace { dir: dir.into(), source },
        _ => StoreError::Io { dir: dir.into(), source },
    }
}

pub(super) fn damaged(dir: &Path, message: impl Into<String>) -> StoreError {
    StoreError::Damaged { dir: dir.into(), message: message.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_told_from_other_failures_whoever_reports_it() {
        let dir = Path::new("/state");
        let full = || io::Error::from(io::ErrorKind::StorageFull);
        let told: [StoreError; 3] = [
            Err::<(), _>(full()).at(dir).unwrap_err(),
            Err::<(), _>(fjall::Error::Io(full())).at(dir).unwrap_err(),
            Err::<(), _>(fjall::Error::Storage(fjall::LsmError::Io(full()))).at(dir).unwrap_err(),
        ];
        for error in told {
            assert!(matches!(error, StoreError::NoSpace { .. }));
            assert_eq!(error.to_string(), "no space is left for the state folder `/state`");
            assert_eq!(
                error.help().unwrap(),
                "free some space or move the folder to a larger disk, and start again: what was committed is intact"
            );
        }
        let other = Err::<(), _>(io::Error::from(io::ErrorKind::PermissionDenied)).at(dir).unwrap_err();
        assert_eq!(other.to_string(), "cannot read or write the state folder `/state`: permission denied");
    }

    #[test]
    fn a_journal_that_cannot_be_read_is_named() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join(tree::DATA)).unwrap();
        for id in [0, 12] {
            std::fs::write(folder.path().join(tree::DATA).join(format!("{id}.jnl")), "").unwrap();
        }
        let torn = fjall::Error::JournalRecovery(fjall::JournalRecoveryError::ChecksumMismatch);
        let told = Err::<(), _>(torn).at(folder.path()).unwrap_err().to_string();
        assert!(told.ends_with("the file `data/0.jnl` or the file `data/12.jnl` is not what was written (ChecksumMismatch)"), "{told}");
    }
}
