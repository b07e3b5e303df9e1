//! Applies the changes of one view row in a commit: writes its new version, its parts, and a changelog entry for each tick that changed it.

use std::rc::Rc;

use fjall::{OwnedWriteBatch, UserValue};

use crate::value::Tick;

use super::Store;
use super::error::{AtFolder, StoreError};
use super::long_row_reader::LongRowReader;
use super::parts::{LONG, LongRow};
use super::record::{self, Counters, RowForm};
use super::space::ViewSpace;

/// A changelog entry to write.
pub(super) struct LogRecord {
    pub(super) value: Vec<u8>,
    bytes_gone: usize,
}

impl LogRecord {
    /// The bytes that it adds to its changelog.
    pub(super) fn bytes(&self) -> u64 {
        record::log_bytes(&self.value, self.bytes_gone)
    }
}

/// A row during the ticks of a commit.
pub(super) struct ChangedRow<'a> {
    space: &'a ViewSpace,
    key: &'a [u8],
    count: &'a mut Counters,
    held: Option<Version>,
    now: Option<Version>,
    /// The tick of the last change.
    changed: Option<Tick>,
    /// The number of the first part that is not stored yet, and the long rows with such parts.
    first_new: u64,
    long: Vec<Rc<LongRow>>,
}

/// A row as of one tick.
#[derive(Clone)]
enum Version {
    Whole(RowBytes),
    Long(Rc<LongRow>),
}

/// The bytes of a stored value after its head. The value is shared, not copied.
#[derive(Clone)]
struct RowBytes {
    value: UserValue,
    head: usize,
}

impl RowBytes {
    fn parse(bytes: &[u8]) -> RowBytes {
        RowBytes { value: bytes.into(), head: 0 }
    }
}

impl AsRef<[u8]> for RowBytes {
    fn as_ref(&self) -> &[u8] {
        &self.value[self.head..]
    }
}

impl PartialEq for Version {
    fn eq(&self, other: &Version) -> bool {
        match (self, other) {
            (Version::Whole(a), Version::Whole(b)) => a.as_ref() == b.as_ref(),
            (Version::Long(a), Version::Long(b)) => a.manifest == b.manifest,
            (Version::Whole(_), Version::Long(_)) | (Version::Long(_), Version::Whole(_)) => false,
        }
    }
}

impl Version {
    fn row_bytes(&self) -> usize {
        match self {
            Version::Whole(row) => row.as_ref().len(),
            Version::Long(row) => row.row_bytes(),
        }
    }

    fn record(&self) -> RowForm<RowBytes> {
        match self {
            Version::Whole(row) => RowForm::Whole(row.clone()),
            Version::Long(row) => RowForm::Long(RowBytes::parse(&row.manifest.bytes())),
        }
    }

    fn long(&self) -> Option<&LongRow> {
        match self {
            Version::Whole(_) => None,
            Version::Long(row) => Some(row),
        }
    }
}

impl<'a> ChangedRow<'a> {
    /// Reads the current row of this key.
    pub(super) fn new(store: &Store, space: &'a ViewSpace, key: &'a [u8], count: &'a mut Counters) -> Result<ChangedRow<'a>, StoreError> {
        let held = match space.rows.get(key).at(store.dir())? {
            None => None,
            Some(value) => Some(match record::read_view_row(&value).ok_or_else(|| store.cut_short())?.1 {
                RowForm::Whole(row) => Version::Whole(RowBytes { head: value.len() - row.len(), value: value.clone() }),
                RowForm::Long(manifest) => {
                    Version::Long(Rc::new(LongRowReader::new(store, &store.0.db.snapshot(), space).long_row(manifest)?))
                }
            }),
        };
        let first_new = count.next_part as u64;
        Ok(ChangedRow { space, key, count, now: held.clone(), held, changed: None, first_new, long: Vec::new() })
    }

    /// Sets the row from `tick` on. Ticks must increase from call to call.
    pub(super) fn change(&mut self, tick: Tick, after: Option<&[u8]>, log: &mut Vec<(Tick, LogRecord)>) -> Result<(), StoreError> {
        if self.changed == Some(tick) {
            let name = &self.space.record.name;
            return Err(StoreError::Contract(format!("`{name}` has two changes of one key at tick {tick}")));
        }
        let after = after.map(|row| self.version(row));
        if after == self.now {
            return Ok(());
        }
        let before = std::mem::replace(&mut self.now, after);
        let after = self.now.as_ref();
        let later = after.and_then(Version::long);
        let bytes_gone = before.as_ref().and_then(Version::long).map_or(0, |row| row.bytes_gone(later));
        let (before, after) = (before.map(|before| before.record()), after.map(Version::record));
        log.push((tick, LogRecord { value: record::log_value(self.key, before.as_ref(), after.as_ref(), bytes_gone), bytes_gone }));
        self.changed = Some(tick);
        Ok(())
    }

    fn version(&mut self, row: &[u8]) -> Version {
        if row.len() < LONG {
            return Version::Whole(RowBytes::parse(row));
        }
        let mut next_part = self.count.next_part as u64;
        let before = self.now.as_ref().and_then(Version::long);
        let row = Rc::new(LongRow::cut(&self.space.layout, row, before, &mut next_part));
        if next_part != self.count.next_part as u64 {
            self.count.next_part = next_part as i64;
            self.long.push(row.clone());
        }
        Version::Long(row)
    }

    /// Adds the row and its parts to the batch. Returns whether the row changed. Without a changelog (`logged` is false), the parts of
    /// intermediate versions are not written.
    pub(super) fn write(self, batch: &mut OwnedWriteBatch, logged: bool) -> bool {
        let Some(tick) = self.changed else { return false };
        let bytes = |version: &Option<Version>| version.as_ref().map_or(0, |row| (self.key.len() + row.row_bytes()) as i64);
        self.count.bytes += bytes(&self.now) - bytes(&self.held);
        self.count.rows += self.now.is_some() as i64 - self.held.is_some() as i64;
        let rows = &self.space.rows;
        match &self.now {
            Some(row) => batch.insert(rows, self.key, record::view_row(tick, &row.record())),
            None if self.held.is_some() => batch.remove(rows, self.key),
            None => {}
        }
        let parts = &self.space.parts;
        let now = self.now.as_ref().and_then(Version::long);
        if logged {
            let mut first_new = self.first_new;
            for row in &self.long {
                row.parts_from(first_new).for_each(|(part, bytes)| batch.insert(parts, part.to_be_bytes(), bytes));
                first_new = row.manifest.parts.iter().fold(first_new, |new, part| new.max(part + 1));
            }
            return true;
        }
        for (part, bytes) in now.iter().flat_map(|now| now.parts_from(self.first_new)) {
            batch.insert(parts, part.to_be_bytes(), bytes);
        }
        for part in self.held.iter().filter_map(Version::long).flat_map(|held| held.manifest.gone(now.map(|now| &now.manifest))) {
            batch.remove(parts, part.to_be_bytes());
        }
        true
    }
}
