//! Writes files atomically, also with respect to a power cut: to a temporary file, which is synced and renamed, then the folder is synced.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

/// Writes a file atomically: it exists whole or not at all.
pub(super) fn write_whole(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let unfinished = path.with_extension("unfinished");
    let mut file = File::create(&unfinished)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&unfinished, path)?;
    path.parent().map_or(Ok(()), sync_folder)
}

/// Makes created, renamed and removed files of a folder durable.
pub(super) fn sync_folder(dir: &Path) -> std::io::Result<()> {
    File::open(dir)?.sync_all()
}
