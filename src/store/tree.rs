//! Reads which files a key space of the storage engine has on disk, without opening it.
//!
//! In: the key space's folder. Out: its version and its tables, each with the checksum of its whole file; or the file that is missing or
//! damaged. The engine itself does not compare files with these checksums: it only checks each block that it reads, and treats a key space
//! without a version as one that was never created.
//!
//! The format is that of lsm-tree 3.1: `current` is `version:u64 checksum:u128 0`, little endian, with the xxh3 of the file `vN`, an
//! archive whose section `tables` lists, level by level and run by run, `number:u64 0 checksum:u128 seqno:u64`.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::{Xxh3, xxh3_128};

/// A file that is missing or damaged, and what is wrong with it.
#[derive(Debug)]
pub(super) struct Broken {
    pub(super) file: PathBuf,
    pub(super) how: String,
}

impl Broken {
    /// The message, with the path of the file relative to the folder `dir`.
    pub(super) fn in_words(&self, dir: &Path) -> String {
        let shown = self.file.strip_prefix(dir).unwrap_or(&self.file);
        format!("the file `{}` {}", shown.display(), self.how)
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tree {
    pub(super) version: u64,
    pub(super) tables: Vec<TableFile>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TableFile {
    pub(super) id: u64,
    checksum: u128,
}

/// The folder of the storage engine's files, in the state folder.
pub(super) const DATA: &str = "data";
pub(super) const CURRENT: &str = "current";
pub(super) const TABLES: &str = "tables";

/// Seconds and nanoseconds.
pub(super) type Time = (i64, i64);

/// When a file or its metadata was last changed (ctime), which no program can set.
pub(super) fn changed_at(file: &Path) -> io::Result<Time> {
    let known = fs::metadata(file)?;
    Ok((known.ctime(), known.ctime_nsec()))
}

/// The folder of a key space by its number; 0 is the engine's own, with the names of the others.
pub(super) fn folder_of(data: &Path, space: u64) -> PathBuf {
    data.join("keyspaces").join(space.to_string())
}

pub(super) fn version_file(version: u64) -> String {
    format!("v{version}")
}

/// The current version of a key space.
pub(super) fn version_of(folder: &Path) -> Result<u64, Broken> {
    Ok(read_current(folder)?.0)
}

impl Tree {
    pub(super) fn read(folder: &Path) -> Result<Tree, Broken> {
        let (version, checksum) = read_current(folder)?;
        let path = folder.join(version_file(version));
        let bytes = fs::read(&path).map_err(|e| unread(&path, e))?;
        if xxh3_128(&bytes) != checksum {
            return Err(other(&path));
        }
        let tables = tables_of(&bytes).ok_or_else(|| other(&path))?;
        Ok(Tree { version, tables })
    }

    /// Checks that every table exists. Tables that were changed since `since` are read and compared with their checksum.
    pub(super) fn check_tables(&self, folder: &Path, since: Option<Time>) -> Result<(), Broken> {
        for table in &self.tables {
            let path = table.path(folder);
            let changed = changed_at(&path).map_err(|e| unread(&path, e))?;
            if since.is_some_and(|since| changed >= since) {
                table.check(folder)?;
            }
        }
        Ok(())
    }
}

impl TableFile {
    pub(super) fn path(&self, folder: &Path) -> PathBuf {
        folder.join(TABLES).join(self.id.to_string())
    }

    /// Compares the whole file with its checksum.
    pub(super) fn check(&self, folder: &Path) -> Result<(), Broken> {
        let path = self.path(folder);
        let hash = hash_of(&path).map_err(|e| unread(&path, e))?;
        match hash == self.checksum {
            true => Ok(()),
            false => Err(other(&path)),
        }
    }
}

/// The first missing or damaged file of any key space.
pub(super) fn first_broken(data: &Path) -> io::Result<Option<Broken>> {
    let mut folders: Vec<PathBuf> = fs::read_dir(data.join("keyspaces"))?.map(|e| e.map(|e| e.path())).collect::<io::Result<_>>()?;
    folders.retain(|folder| folder.join(CURRENT).exists());
    folders.sort();
    for folder in folders {
        let checked = Tree::read(&folder).and_then(|tree| tree.tables.iter().try_for_each(|table| table.check(&folder)));
        if let Err(broken) = checked {
            return Ok(Some(broken));
        }
    }
    Ok(None)
}

pub(super) fn unread(path: &Path, error: io::Error) -> Broken {
    let how = match error.kind() {
        io::ErrorKind::NotFound => "is missing".to_string(),
        _ => format!("cannot be read: {error}"),
    };
    Broken { file: path.into(), how }
}

pub(super) fn other(path: &Path) -> Broken {
    Broken { file: path.into(), how: "is not what was written".into() }
}

fn read_current(folder: &Path) -> Result<(u64, u128), Broken> {
    let path = folder.join(CURRENT);
    let bytes = fs::read(&path).map_err(|e| unread(&path, e))?;
    let bytes: [u8; 25] = bytes.try_into().map_err(|_| other(&path))?;
    let (version, rest) = bytes.split_first_chunk::<8>().expect("25 bytes");
    let (checksum, kind) = rest.split_first_chunk::<16>().expect("25 bytes");
    match kind {
        [0] => Ok((u64::from_le_bytes(*version), u128::from_le_bytes(*checksum))),
        _ => Err(other(&path)),
    }
}

fn tables_of(archive: &[u8]) -> Option<Vec<TableFile>> {
    let archive_reader = sfa::Reader::from_reader(&mut io::Cursor::new(archive)).ok()?;
    let section = archive_reader.toc().section(b"tables")?;
    let (from, bytes) = (usize::try_from(section.pos()).ok()?, usize::try_from(section.len()).ok()?);
    let mut list = archive.get(from..from.checked_add(bytes)?)?;
    let mut tables = Vec::new();
    let [levels] = take(&mut list)?;
    for _ in 0..levels {
        let [runs] = take(&mut list)?;
        for _ in 0..runs {
            for _ in 0..u32::from_le_bytes(take(&mut list)?) {
                let id = u64::from_le_bytes(take(&mut list)?);
                let [_xxh3] = take(&mut list)?;
                let checksum = u128::from_le_bytes(take(&mut list)?);
                let _seqno: [u8; 8] = take(&mut list)?;
                tables.push(TableFile { id, checksum });
            }
        }
    }
    Some(tables)
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (first, rest) = bytes.split_first_chunk::<N>()?;
    *bytes = rest;
    Some(*first)
}

fn hash_of(path: &Path) -> io::Result<u128> {
    let mut file = File::open(path)?;
    let mut hash = Xxh3::new();
    let mut buffer = vec![0; 256 << 10];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hash.digest128()),
            bytes => hash.update(&buffer[..bytes]),
        }
    }
}
