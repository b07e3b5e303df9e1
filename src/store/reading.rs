//! Makes a private folder for a reader: files that change in place are copied, tables are linked to.
//!
//! The storage engine can only open a folder for writing. A reader must change nothing, needs no write permission, and must not keep an engine
//! from starting. So it gets a private temporary folder with the whole batches of the journals, each key space's list of tables, and links to
//! the tables. A table never changes, but an engine that starts later may remove it, so all tables are opened at once and kept open. After that
//! the private folder is removed.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use fjall::Database;
use tempfile::TempDir;

use super::error::{AtFolder, StoreError};
use super::folder::Folder;
use super::journal;
use super::space::{self, WhenOpened};
use super::tree::{self, CURRENT, TABLES};
use super::witness::Sound;

/// With more tables than this, tables are opened when they are needed, because by default a process may have only 1,024 open files. The private
/// folder is then kept, and if an engine starts meanwhile, the reader may fail because a file is missing.
const OPEN_AT_ONCE: usize = 700;

/// Opens the database. Also returns the private folder if it is still needed.
pub(super) fn open(folder: &Folder, sound: &Sound) -> Result<(Database, Option<TempDir>), StoreError> {
    let private = tempfile::Builder::new().prefix("tidemill-read-").tempdir().at(&std::env::temp_dir())?;
    fill(private.path(), &folder.data(), sound).at(&folder.path)?;
    let tables: usize = sound.trees.iter().map(|(_, tree)| tree.tables.len()).sum();
    match tables <= OPEN_AT_ONCE {
        true => Ok((space::open_to_read(private.path(), &folder.path, WhenOpened::AtOnce)?, None)),
        false => Ok((space::open_to_read(private.path(), &folder.path, WhenOpened::AsNeeded)?, Some(private))),
    }
}

fn fill(private: &Path, data: &Path, sound: &Sound) -> io::Result<()> {
    let data = fs::canonicalize(data)?;
    fs::copy(data.join("version"), private.join("version"))?;
    File::create(private.join("lock"))?;
    for journal in &sound.journals {
        let mut whole = File::open(journal::path_of(&data, journal.id))?.take(journal.end);
        io::copy(&mut whole, &mut File::create(journal::path_of(private, journal.id))?)?;
    }
    for (space, tree) in &sound.trees {
        let (from, to) = (tree::folder_of(&data, *space), tree::folder_of(private, *space));
        fs::create_dir_all(to.join(TABLES))?;
        for file in [CURRENT, &tree::version_file(tree.version)] {
            fs::copy(from.join(file), to.join(file))?;
        }
        for table in &tree.tables {
            std::os::unix::fs::symlink(table.path(&from), table.path(&to))?;
        }
    }
    Ok(())
}
