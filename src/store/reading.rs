//! A folder's files for one reader alone: what changes in place is copied, tables are linked to.
//!
//! The storage engine can only open a folder to write to it. So that a reader changes nothing, needs no right to write, and keeps no engine
//! from starting, it gets a folder of its own among the temporary files: the journals up to where they are whole, each key
//! space's list of tables, and links to the tables. A table never changes; it may be removed by an engine that starts later, so all of
//! them are opened at once and stay so. What is linked and copied is not needed any more then, and goes.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use fjall::Database;
use tempfile::TempDir;

use super::error::{At, StoreError};
use super::folder::Folder;
use super::journal;
use super::space::{self, Files};
use super::tree::{self, CURRENT, TABLES};
use super::witness::Sound;

/// More tables than this are opened when they are needed: a process may have 1,024 files open where nobody allows more. Then the links
/// stay, and a reader that is overtaken by an engine that starts is told that a file is missing.
const OPEN_AT_ONCE: usize = 700;

/// The database, and its folder if it is still needed.
pub(super) fn open(folder: &Folder, sound: &Sound) -> Result<(Database, Option<TempDir>), StoreError> {
    let private = tempfile::Builder::new().prefix("tidemill-read-").tempdir().at(&std::env::temp_dir())?;
    fill(private.path(), &folder.data(), sound).at(&folder.path)?;
    let tables: usize = sound.trees.iter().map(|(_, tree)| tree.tables.len()).sum();
    match tables <= OPEN_AT_ONCE {
        true => Ok((space::open_to_read(private.path(), &folder.path, Files::AtOnce)?, None)),
        false => Ok((space::open_to_read(private.path(), &folder.path, Files::AsNeeded)?, Some(private))),
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
