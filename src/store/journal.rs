//! Reads the storage engine's journals as bytes: the end of their last whole batch, and a digest of everything before.
//!
//! In: the files `N.jnl` of the engine's folder, read only. Out: for each its end, its digest, and the last sequence number of each key space in
//! it. The engine checks a batch's items, but not its head, and treats an unreadable batch as the end of the journal. The digest shows whether
//! it really is the end.
//!
//! The format is that of fjall 3.1 (`journal/entry.rs`): a batch is `1 count:u32 seqno:u64`, its items, and
//! `3 checksum:u64 "FJL" 3`, with the checksum xxh3 over the items. An item is
//! `2 kind:u8 compression:u8 key space:u64 key length:u16 length:u32 length here:u32 key value`, or `4 key space:u64`; all little
//! endian. In a preallocated file zeros follow the last batch.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, ErrorKind, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use xxhash_rust::xxh3::Xxh3;

const START: u8 = 1;
const ITEM: u8 = 2;
const END: u8 = 3;
const CLEAR: u8 = 4;
const MAGIC: [u8; 4] = [b'F', b'J', b'L', 3];

const BUFFER_BYTES: usize = 32 << 10;
const PAGE_BYTES: u64 = 4 << 10;

/// A journal and what was read of it so far.
pub(super) struct Journal {
    pub(super) id: u64,
    file: Arc<File>,
    /// The end of the last whole batch.
    pub(super) end: u64,
    /// The hash of the heads and checksums of all batches up to `end`.
    digest: Xxh3,
    /// The number of each key space that has writes in it, with the sequence number of the last of them.
    pub(super) last: Vec<(u64, u64)>,
    /// The length of the last batch in bytes.
    batch_bytes: u64,
}

/// Whether the checksum over a batch's items is compared too, which is not needed for batches that this process has just written.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Items {
    Checked,
    Taken,
}

pub(super) fn path_of(data: &Path, id: u64) -> PathBuf {
    data.join(format!("{id}.jnl"))
}

/// The numbers of the journals in a folder, ascending.
pub(super) fn ids(data: &Path) -> io::Result<Vec<u64>> {
    let mut ids = Vec::new();
    for entry in fs::read_dir(data)? {
        let name = entry?.file_name();
        ids.extend(name.to_str().and_then(|name| name.strip_suffix(".jnl")).and_then(|id| id.parse::<u64>().ok()));
    }
    ids.sort_unstable();
    Ok(ids)
}

impl Journal {
    /// Opens a journal without reading it.
    pub(super) fn open(data: &Path, id: u64) -> io::Result<Journal> {
        let file = Arc::new(File::open(path_of(data, id))?);
        Ok(Journal { id, file, end: 0, digest: Xxh3::new(), last: Vec::new(), batch_bytes: 0 })
    }

    pub(super) fn digest(&self) -> u64 {
        self.digest.digest()
    }

    pub(super) fn sync(&self) -> io::Result<()> {
        self.file.sync_all()
    }

    /// Reads all whole batches that follow, or only those up to `until`. The buffer is about as long as the last batch, because reading bytes
    /// that are not written yet would make the system allocate pages of zeros at each commit.
    pub(super) fn advance(&mut self, items: Items, until: Option<u64>) -> io::Result<()> {
        let file = Arc::clone(&self.file);
        let next = (self.end + self.batch_bytes + 1).next_multiple_of(PAGE_BYTES) - self.end;
        let capacity = if self.batch_bytes == 0 { BUFFER_BYTES } else { BUFFER_BYTES.min(next as usize) };
        let mut reader = BufReader::with_capacity(capacity, ReadAt { file: &file, at: self.end });
        while until.is_none_or(|until| self.end < until) {
            match self.batch(&mut reader, items) {
                Ok(true) => {}
                Ok(false) => return Ok(()),
                Err(e) if e.kind() == ErrorKind::UnexpectedEof => return Ok(()),
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }

    /// Reads one batch and advances past it. Returns false if there is none.
    fn batch(&mut self, reader: &mut BufReader<ReadAt<'_>>, check: Items) -> io::Result<bool> {
        let head: [u8; 13] = read(reader)?;
        if head[0] != START {
            return Ok(false);
        }
        let count = u32::from_le_bytes(*head[1..].first_chunk().expect("13 bytes"));
        let seqno = u64::from_le_bytes(*head[5..].first_chunk().expect("13 bytes"));
        let mut items = ItemReader { reader, bytes: 0, hash: (check == Items::Checked).then(Xxh3::new) };
        let mut touched: Vec<u64> = Vec::new();
        for _ in 0..count {
            let Some(space) = items.next()? else { return Ok(false) };
            if touched.last() != Some(&space) && !touched.contains(&space) {
                touched.push(space);
            }
        }
        let (bytes, found) = (items.bytes, items.hash.map(|hash| hash.digest()));
        let tail: [u8; 13] = read(reader)?;
        let checksum = u64::from_le_bytes(*tail[1..].first_chunk().expect("13 bytes"));
        if tail[0] != END || tail[9..] != MAGIC || found.is_some_and(|found| found != checksum) {
            return Ok(false);
        }
        self.digest.update(&head);
        self.digest.update(&tail);
        self.batch_bytes = (head.len() + tail.len()) as u64 + bytes;
        self.end += self.batch_bytes;
        for space in touched {
            match self.last.iter_mut().find(|(known, _)| *known == space) {
                Some((_, last)) => *last = seqno,
                None => self.last.push((space, seqno)),
            }
        }
        Ok(true)
    }
}

struct ItemReader<'a, 'b> {
    reader: &'a mut BufReader<ReadAt<'b>>,
    bytes: u64,
    hash: Option<Xxh3>,
}

impl ItemReader<'_, '_> {
    /// Skips one item. Returns the number of its key space, or `None` if this is not an item.
    fn next(&mut self) -> io::Result<Option<u64>> {
        match self.take::<1>()?[0] {
            CLEAR => Ok(Some(u64::from_le_bytes(self.take()?))),
            ITEM => {
                self.take::<2>()?;
                let space = u64::from_le_bytes(self.take()?);
                let key_bytes = u16::from_le_bytes(self.take()?);
                self.take::<4>()?;
                let value_bytes = u32::from_le_bytes(self.take()?);
                self.skip(u64::from(key_bytes) + u64::from(value_bytes))?;
                Ok(Some(space))
            }
            _ => Ok(None),
        }
    }

    fn take<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let bytes = read(self.reader)?;
        self.took(&bytes);
        Ok(bytes)
    }

    fn skip(&mut self, mut bytes: u64) -> io::Result<()> {
        while bytes > 0 {
            let here = self.reader.fill_buf()?;
            if here.is_empty() {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            let some = here.len().min(usize::try_from(bytes).unwrap_or(usize::MAX));
            if let Some(hash) = &mut self.hash {
                hash.update(&here[..some]);
            }
            self.bytes += some as u64;
            self.reader.consume(some);
            bytes -= some as u64;
        }
        Ok(())
    }

    fn took(&mut self, bytes: &[u8]) {
        self.bytes += bytes.len() as u64;
        if let Some(hash) = &mut self.hash {
            hash.update(bytes);
        }
    }
}

fn read<const N: usize>(reader: &mut BufReader<ReadAt<'_>>) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    reader.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// Reads a file from an offset, independently of other readers of it.
struct ReadAt<'a> {
    file: &'a File,
    at: u64,
}

impl Read for ReadAt<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let bytes = self.file.read_at(into, self.at)?;
        self.at += bytes as u64;
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use fjall::{Database, KeyspaceCreateOptions, PersistMode};

    use super::*;

    #[test]
    fn what_the_engine_writes_is_read_to_its_end_and_nothing_that_is_changed_is() {
        let dir = tempfile::tempdir().unwrap();
        let db = Database::builder(dir.path()).open().unwrap();
        let spaces = ["a", "b"].map(|name| db.keyspace(name, KeyspaceCreateOptions::default).unwrap());
        let mut journal = Journal::open(dir.path(), 0).unwrap();
        for number in 1..=3u64 {
            let mut batch = db.batch().durability(Some(PersistMode::SyncData));
            // The second value is compressed in the journal.
            batch.insert(&spaces[0], number.to_be_bytes(), vec![7; 20]);
            batch.insert(&spaces[1], b"key", vec![number as u8; 9000]);
            batch.remove(&spaces[0], b"nothing");
            batch.commit().unwrap();
            let before = journal.end;
            journal.advance(Items::Taken, None).unwrap();
            assert!(journal.end > before, "batch {number}");
        }
        spaces[0].insert(b"one", b"alone").unwrap();
        journal.advance(Items::Checked, None).unwrap();
        let mut ids: Vec<u64> = journal.last.iter().map(|(space, _)| *space).collect();
        ids.sort_unstable();
        assert_eq!(ids, spaces.each_ref().map(|space| space.id()));
        assert!(journal.last[0].1 > journal.last[1].1, "the last write was to the first");
        drop((spaces, db));
        let path = path_of(dir.path(), 0);
        let mut bytes = fs::read(&path).unwrap();
        assert!(bytes[journal.end as usize..].iter().all(|b| *b == 0), "that was all");
        bytes.truncate(journal.end as usize);
        for at in 0..journal.end as usize {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            fs::write(&path, &changed).unwrap();
            let mut read = Journal::open(dir.path(), 0).unwrap();
            read.advance(Items::Checked, None).unwrap();
            assert!(read.end < journal.end || read.digest() != journal.digest(), "byte {at}");
        }
    }
}
