//! The file `witness`, which stores claims in four slots, so that a write never overwrites the last valid record.
//!
//! Two slots are for records that are synced, two for those of commits, which are not: after a crash of the process the record of the last
//! commit is there; after a power cut that one, an older one, or no whole one. The slots are allocated when the file is created, so that a
//! record needs no more space on a full disk.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::claims::{Claims, Identity};
use super::whole_file::sync_folder;

const WITNESS: &str = "witness";
const PLACES: u64 = 4;
const LEAST_PLACE_BYTES: u64 = 8 << 10;

/// Whether a record is synced when it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Durable {
    Now,
    Later,
}

#[derive(Debug)]
pub(super) struct WitnessSlots {
    path: PathBuf,
    file: File,
    place_bytes: u64,
    /// Which of the two synced slots is written next.
    synced_next: u64,
}

/// The content of the file.
#[derive(Debug)]
pub(super) enum SlotContent {
    /// There is no file.
    None,
    Unreadable,
    Some {
        /// The latest record.
        claims: Claims,
        /// Whether the record was written to this file; false for a copy.
        own: bool,
    },
}

pub(super) fn path_in(dir: &Path) -> PathBuf {
    dir.join(WITNESS)
}

pub(super) fn read(dir: &Path) -> io::Result<SlotContent> {
    let mut file = match File::open(path_in(dir)) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(SlotContent::None),
        opened => opened?,
    };
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    let Some(claims) = latest(&bytes) else { return Ok(SlotContent::Unreadable) };
    let own = claims.identity == Identity::read(&file)?;
    Ok(SlotContent::Some { claims, own })
}

/// The latest whole record.
fn latest(bytes: &[u8]) -> Option<Claims> {
    let place_bytes = (bytes.len() / PLACES as usize).max(1);
    let places = bytes.chunks_exact(place_bytes).take(PLACES as usize);
    places.filter_map(Claims::decode).max_by_key(|claims| claims.number)
}

impl WitnessSlots {
    /// Opens the folder's file and writes `claims` to it, with the identity of the file. Creates a new file if the file is a copy, too small or
    /// missing.
    pub(super) fn take(dir: &Path, claims: &mut Claims) -> io::Result<WitnessSlots> {
        let path = path_in(dir);
        if let Ok(file) = OpenOptions::new().read(true).write(true).open(&path) {
            let bytes = fs::read(&path)?;
            let place_bytes = bytes.len() as u64 / PLACES;
            let own = Identity::read(&file)?;
            if let Some(held) = latest(&bytes)
                && held.identity == own
                && claims.encode().len() as u64 <= place_bytes
            {
                claims.identity = own;
                // Do not overwrite the later synced record, which may be the only whole one.
                let synced = [0, 1].map(|place| Claims::decode(&bytes[(place * place_bytes) as usize..]).map(|claims| claims.number));
                let mut slots = WitnessSlots { path, file, place_bytes, synced_next: u64::from(synced[0] > synced[1]) };
                slots.write(claims, Durable::Now)?;
                return Ok(slots);
            }
        }
        WitnessSlots::make(path, claims)
    }

    fn make(path: PathBuf, claims: &mut Claims) -> io::Result<WitnessSlots> {
        let unfinished = path.with_extension("unfinished");
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(&unfinished)?;
        let place_bytes = (claims.encode().len() as u64 * 2).next_power_of_two().max(LEAST_PLACE_BYTES);
        (&file).write_all(&vec![0; (place_bytes * PLACES) as usize])?;
        claims.identity = Identity::read(&file)?;
        let mut slots = WitnessSlots { path, file, place_bytes, synced_next: 0 };
        slots.write(claims, Durable::Now)?;
        fs::rename(&unfinished, &slots.path)?;
        sync_folder(slots.path.parent().unwrap_or(Path::new(".")))?;
        Ok(slots)
    }

    /// Writes a record. Its number must be higher than that of any record before.
    pub(super) fn write(&mut self, claims: &mut Claims, durable: Durable) -> io::Result<()> {
        let bytes = claims.encode();
        if bytes.len() as u64 > self.place_bytes {
            *self = WitnessSlots::make(self.path.clone(), claims)?;
            return Ok(());
        }
        match durable {
            Durable::Later => self.file.write_all_at(&bytes, (2 + claims.number % 2) * self.place_bytes),
            Durable::Now => {
                self.file.write_all_at(&bytes, self.synced_next * self.place_bytes)?;
                self.file.sync_data()?;
                self.synced_next = (self.synced_next + 1) % 2;
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::claims::Life;
    use super::*;

    fn claims(number: u64) -> Claims {
        let identity = Identity::read(&File::open("/dev/null").unwrap()).unwrap();
        Claims { number, life: Life::Open, identity, tick: number, trees: vec![], journals: vec![] }
    }

    fn number(dir: &Path) -> Option<(u64, bool)> {
        match read(dir).unwrap() {
            SlotContent::Some { claims, own } => Some((claims.number, own)),
            SlotContent::None | SlotContent::Unreadable => None,
        }
    }

    #[test]
    fn the_latest_whole_record_counts_and_a_copy_is_told_from_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let mut slots = WitnessSlots::take(dir.path(), &mut claims(1)).unwrap();
        let identity = Identity::read(&slots.file).unwrap();
        for n in 2..6 {
            let durable = if n == 3 { Durable::Now } else { Durable::Later };
            slots.write(&mut Claims { identity, ..claims(n) }, durable).unwrap();
            assert_eq!(number(dir.path()), Some((n, true)));
        }
        // 5, then 4, then 3, then 1 are torn.
        for (place, left) in [(3, Some(4)), (2, Some(3)), (1, Some(1)), (0, None)] {
            slots.file.write_all_at(&[9; 30], place * slots.place_bytes + 10).unwrap();
            assert_eq!(number(dir.path()).map(|(n, _)| n), left);
        }
        let mut slots = WitnessSlots::take(dir.path(), &mut claims(7)).unwrap();
        let copy = tempfile::tempdir().unwrap();
        fs::copy(path_in(dir.path()), path_in(copy.path())).unwrap();
        assert_eq!((number(dir.path()), number(copy.path())), (Some((7, true)), Some((7, false))));
        let mut more = Claims { identity: Identity::read(&slots.file).unwrap(), trees: vec![(1, 2); 3000], ..claims(8) };
        slots.write(&mut more, Durable::Later).unwrap();
        assert_eq!(number(dir.path()), Some((8, true)));
    }
}
