//! Encodes and decodes each kind of record; the formats are described in the parent module.
//!
//! Decoding only checks lengths, and returns `None` for bytes that are too short. The storage engine has checksums.

use std::borrow::Cow;

use crate::value::{Diff, Position, Row, Tick};

/// The bytes of the hash in a multiset row's key: the hash of the row, then the part (0 for commits, from 1 for runs of a bulk load).
pub(super) const HASH_BYTES: usize = 16;

/// A view's row as stored in a record: the whole row, or for a long row the bytes of its [`Manifest`](super::manifest::Manifest).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum RowForm<B> {
    Whole(B),
    Long(B),
}

impl<B: AsRef<[u8]>> RowForm<B> {
    pub(super) fn bytes(&self) -> &[u8] {
        match self {
            RowForm::Whole(bytes) | RowForm::Long(bytes) => bytes.as_ref(),
        }
    }

    fn is_long(&self) -> bool {
        matches!(self, RowForm::Long(_))
    }
}

/// The first bit of a view row's head, which is the tick: whether the row is in parts.
const IN_PARTS: u64 = 1 << 63;

pub(super) fn view_row_head(tick: Tick, long: bool) -> [u8; 8] {
    (tick.0 | if long { IN_PARTS } else { 0 }).to_be_bytes()
}

pub(super) fn view_row<B: AsRef<[u8]>>(tick: Tick, row: &RowForm<B>) -> Vec<u8> {
    let mut out = Vec::with_capacity(8 + row.bytes().len());
    out.extend_from_slice(&view_row_head(tick, row.is_long()));
    out.extend_from_slice(row.bytes());
    out
}

/// The tick that last changed the row (0: unchanged since the load), and the row.
pub(super) fn read_view_row(value: &[u8]) -> Option<(Tick, RowForm<&[u8]>)> {
    let (head, row) = value.split_first_chunk::<8>()?;
    let head = u64::from_be_bytes(*head);
    Some((Tick(head & !IN_PARTS), if head & IN_PARTS != 0 { RowForm::Long(row) } else { RowForm::Whole(row) }))
}

const LOG_KEY_BYTES: usize = 12;

pub(super) fn log_key(tick: Tick, ordinal: u32) -> [u8; LOG_KEY_BYTES] {
    let mut key = [0; LOG_KEY_BYTES];
    key[..8].copy_from_slice(&tick.0.to_be_bytes());
    key[8..].copy_from_slice(&ordinal.to_be_bytes());
    key
}

pub(super) fn read_log_key(key: &[u8]) -> Option<(Tick, u32)> {
    let (tick, ordinal) = key.split_first_chunk::<8>()?;
    Some((Tick(u64::from_be_bytes(*tick)), u32::from_be_bytes(ordinal.try_into().ok()?)))
}

const BEFORE: u8 = 1;
const AFTER: u8 = 2;
const LONG_BEFORE: u8 = 4;
const LONG_AFTER: u8 = 8;
/// The row before is stored as a difference from the row after.
const DIFFERENCE: u8 = 16;

/// Shorter rows are not stored as differences.
const SHORTEST_DIFFERENCE: usize = 32;

/// Encodes a changelog entry. `bytes_gone` is the number of bytes in parts that only the row before has.
pub(super) fn log_value<B: AsRef<[u8]>>(key: &[u8], before: Option<&RowForm<B>>, after: Option<&RowForm<B>>, bytes_gone: usize) -> Vec<u8> {
    let flag = |flag: u8, is_set: bool| if is_set { flag } else { 0 };
    let mut flags = flag(BEFORE, before.is_some()) | flag(AFTER, after.is_some());
    flags |= flag(LONG_BEFORE, before.is_some_and(RowForm::is_long)) | flag(LONG_AFTER, after.is_some_and(RowForm::is_long));
    let before = before.map_or(&[][..], RowForm::bytes);
    let after = after.map_or(&[][..], RowForm::bytes);
    let difference = difference(before, after);
    flags |= flag(DIFFERENCE, difference.is_some());
    let before = difference.as_deref().unwrap_or(before);
    let mut out = Vec::with_capacity(13 + key.len() + before.len() + after.len());
    out.push(flags);
    out.extend_from_slice(&(key.len() as u32).to_le_bytes());
    out.extend_from_slice(&(before.len() as u32).to_le_bytes());
    if flags & LONG_BEFORE != 0 {
        out.extend_from_slice(&(bytes_gone as u32).to_le_bytes());
    }
    out.extend_from_slice(key);
    out.extend_from_slice(before);
    out.extend_from_slice(after);
    out
}

/// `length: u32`, then `before` as an LZ4 block with `after` as its dictionary. `None` if that is not shorter than `before`.
fn difference(before: &[u8], after: &[u8]) -> Option<Vec<u8>> {
    if before.len() < SHORTEST_DIFFERENCE || after.len() < SHORTEST_DIFFERENCE {
        return None;
    }
    let mut out = vec![0; 4 + lz4_flex::block::get_maximum_output_size(before.len())];
    out[..4].copy_from_slice(&(before.len() as u32).to_le_bytes());
    let length = lz4_flex::block::compress_into_with_dict(before, &mut out[4..], after).ok()?;
    out.truncate(4 + length);
    (out.len() < before.len()).then_some(out)
}

/// A changelog entry as stored.
pub(super) struct LogEntry<'a> {
    pub(super) key: &'a [u8],
    flags: u8,
    before: &'a [u8],
    after: &'a [u8],
    /// The number of bytes in parts that only the row before has.
    pub(super) bytes_gone: u32,
}

pub(super) fn read_log(value: &[u8]) -> Option<LogEntry<'_>> {
    let (&flags, rest) = value.split_first()?;
    let (key_len, rest) = rest.split_first_chunk::<4>()?;
    let (before_len, rest) = rest.split_first_chunk::<4>()?;
    let (bytes_gone, rest) = match flags & LONG_BEFORE != 0 {
        true => rest.split_first_chunk::<4>().map(|(gone, rest)| (u32::from_le_bytes(*gone), rest))?,
        false => (0, rest),
    };
    let (key, rest) = rest.split_at_checked(u32::from_le_bytes(*key_len) as usize)?;
    let (before, after) = rest.split_at_checked(u32::from_le_bytes(*before_len) as usize)?;
    Some(LogEntry { key, flags, before, after, bytes_gone })
}

impl<'a> LogEntry<'a> {
    /// The row before. The inner `None`: there was no row. The outer `None`: the bytes are damaged.
    pub(super) fn before(&self) -> Option<Option<RowForm<Cow<'a, [u8]>>>> {
        let bytes = match self.flags & DIFFERENCE != 0 {
            true => {
                let (length, block) = self.before.split_first_chunk::<4>()?;
                let length = u32::from_le_bytes(*length) as usize;
                let bytes = lz4_flex::block::decompress_with_dict(block, length, self.after).ok()?;
                (bytes.len() == length).then_some(Cow::Owned(bytes))?
            }
            false => Cow::Borrowed(self.before),
        };
        Some(self.held(BEFORE, LONG_BEFORE, bytes))
    }

    pub(super) fn after(&self) -> Option<RowForm<Cow<'a, [u8]>>> {
        self.held(AFTER, LONG_AFTER, Cow::Borrowed(self.after))
    }

    fn held(&self, present: u8, long: u8, bytes: Cow<'a, [u8]>) -> Option<RowForm<Cow<'a, [u8]>>> {
        (self.flags & present != 0).then_some(if self.flags & long != 0 { RowForm::Long(bytes) } else { RowForm::Whole(bytes) })
    }
}

pub(super) fn multiset_key(row: &[u8], part: u32) -> [u8; HASH_BYTES + 4] {
    multiset_part(xxhash_rust::xxh3::xxh3_128(row).to_be_bytes(), part)
}

pub(super) fn multiset_part(hash: [u8; HASH_BYTES], part: u32) -> [u8; HASH_BYTES + 4] {
    let mut key = [0; HASH_BYTES + 4];
    key[..HASH_BYTES].copy_from_slice(&hash);
    key[HASH_BYTES..].copy_from_slice(&part.to_be_bytes());
    key
}

/// Adds `diff` copies of `row` to the rows of one hash.
pub(super) fn add_to_multiset(rows: &mut Vec<(Row, Diff)>, row: &[u8], diff: Diff) {
    match rows.iter_mut().find(|(held, _)| **held == *row) {
        Some((_, count)) => *count += diff,
        None => rows.push((Row::from_bytes(row), diff)),
    }
    rows.retain(|(_, count)| *count != 0);
}

pub(super) fn multiset_value(rows: &[(Row, Diff)]) -> Vec<u8> {
    let mut out = Vec::with_capacity(rows.iter().map(|(row, _)| 12 + row.len()).sum());
    for (row, count) in rows {
        out.extend_from_slice(&count.to_le_bytes());
        out.extend_from_slice(&(row.len() as u32).to_le_bytes());
        out.extend_from_slice(row);
    }
    out
}

pub(super) fn read_multiset(mut value: &[u8], into: &mut Vec<(Row, Diff)>) -> Option<()> {
    while !value.is_empty() {
        let (count, rest) = value.split_first_chunk::<8>()?;
        let (len, rest) = rest.split_first_chunk::<4>()?;
        let (row, rest) = rest.split_at_checked(u32::from_le_bytes(*len) as usize)?;
        add_to_multiset(into, row, Diff::from_le_bytes(*count));
        value = rest;
    }
    Some(())
}

/// The record of a tick and source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TickRecord {
    pub(super) position: Position,
    pub(super) committed_ms: Option<u64>,
    /// When it was committed here, in ms since 1970.
    pub(super) stored_ms: u64,
}

pub(super) fn tick_key(tick: Tick, source: &str) -> Vec<u8> {
    [&tick.0.to_be_bytes(), source.as_bytes()].concat()
}

pub(super) fn read_tick_key(key: &[u8]) -> Option<(Tick, &str)> {
    let (tick, source) = key.split_first_chunk::<8>()?;
    Some((Tick(u64::from_be_bytes(*tick)), std::str::from_utf8(source).ok()?))
}

pub(super) fn tick_value(record: &TickRecord) -> Vec<u8> {
    let committed = record.committed_ms.unwrap_or(u64::MAX);
    [&committed.to_be_bytes()[..], &record.stored_ms.to_be_bytes(), record.position.as_str().as_bytes()].concat()
}

pub(super) fn read_tick(value: &[u8]) -> Option<TickRecord> {
    let (committed, rest) = value.split_first_chunk::<8>()?;
    let (stored, position) = rest.split_first_chunk::<8>()?;
    let committed = u64::from_be_bytes(*committed);
    Some(TickRecord {
        position: Position::new(std::str::from_utf8(position).ok()?),
        committed_ms: (committed != u64::MAX).then_some(committed),
        stored_ms: u64::from_be_bytes(*stored),
    })
}

/// The counts of a view or input, updated by each commit, so that no scan is needed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Counters {
    pub(super) rows: i64,
    pub(super) bytes: i64,
    pub(super) changes: i64,
    pub(super) errors: i64,
    /// Of a view: the number of the next part of a long row.
    pub(super) next_part: i64,
    /// Of a view: all bytes that were ever written to its changelog.
    pub(super) logged: i64,
}

pub(super) fn counters_value(c: &Counters) -> Vec<u8> {
    [c.rows, c.bytes, c.changes, c.errors, c.next_part, c.logged].iter().flat_map(|n| n.to_be_bytes()).collect()
}

pub(super) fn read_counters(value: &[u8]) -> Option<Counters> {
    let mut numbers = value.as_chunks::<8>().0.iter().map(|number| i64::from_be_bytes(*number));
    let mut next = || numbers.next();
    Some(Counters { rows: next()?, bytes: next()?, changes: next()?, errors: next()?, next_part: next()?, logged: next()? })
}

/// The floor of a changelog: it has the entries after it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Floor {
    /// The last tick whose entries are dropped.
    pub(super) tick: Tick,
    /// The bytes of all dropped entries, as [`Counters::logged`] counts them.
    pub(super) forgotten: u64,
}

pub(super) fn floor_value(floor: Floor) -> [u8; 16] {
    let mut value = [0; 16];
    value[..8].copy_from_slice(&floor.tick.0.to_be_bytes());
    value[8..].copy_from_slice(&floor.forgotten.to_be_bytes());
    value
}

pub(super) fn read_floor(value: &[u8]) -> Option<Floor> {
    let (tick, forgotten) = value.split_first_chunk::<8>()?;
    Some(Floor { tick: Tick(u64::from_be_bytes(*tick)), forgotten: u64::from_be_bytes(forgotten.try_into().ok()?) })
}

/// The bytes that an entry adds to its changelog: its own, and those of the parts that are kept only for it.
pub(super) fn log_bytes(value: &[u8], bytes_gone: usize) -> u64 {
    (LOG_KEY_BYTES + value.len() + bytes_gone) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_absent_row_is_not_an_empty_one() {
        let whole = |bytes: &'static [u8]| Some(RowForm::Whole(bytes));
        for (before, after) in [(None, whole(b"")), (whole(b""), None), (whole(b"b"), whole(b"a"))] {
            let value = log_value(b"k", before.as_ref(), after.as_ref(), 0);
            let entry = read_log(&value).unwrap();
            assert_eq!(entry.key, b"k");
            assert_eq!(entry.before().unwrap().as_ref().map(RowForm::bytes), before.as_ref().map(RowForm::bytes));
            assert_eq!(entry.after().as_ref().map(RowForm::bytes), after.as_ref().map(RowForm::bytes));
        }
    }

    #[test]
    fn a_row_before_that_is_much_like_the_one_after_takes_few_bytes() {
        let row: Vec<u8> = (0..2000u32).flat_map(|i| i.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
        let mut other = row.clone();
        other.splice(100..103, *b"shipped");
        other[7000] ^= 1;
        for (before, after) in [(&row, &other), (&other, &row)] {
            let [before, after] = [before, after].map(|row| RowForm::Whole(&row[..]));
            let value = log_value(b"key", Some(&before), Some(&after), 0);
            assert!(value.len() < after.bytes().len() + 200, "{}", value.len());
            let entry = read_log(&value).unwrap();
            assert_eq!(entry.before().unwrap().unwrap().bytes(), before.bytes());
            assert_eq!(entry.after().unwrap().bytes(), after.bytes());
        }
    }

    #[test]
    fn an_entry_tells_long_rows_from_whole_ones_and_what_is_kept_for_it() {
        let value = log_value(b"key", Some(&RowForm::Long(&b"m"[..])), Some(&RowForm::Whole(&b"row"[..])), 4096);
        let entry = read_log(&value).unwrap();
        assert_eq!(entry.bytes_gone, 4096);
        assert!(matches!(entry.before(), Some(Some(RowForm::Long(bytes))) if *bytes == *b"m"));
        assert!(matches!(entry.after(), Some(RowForm::Whole(bytes)) if *bytes == *b"row"));
        let (tick, row) = (Tick(u64::MAX >> 1), RowForm::Long(&b"m"[..]));
        assert_eq!(read_view_row(&view_row(tick, &row)), Some((tick, row)));
    }

    #[test]
    fn log_keys_order_as_ticks_and_ordinals() {
        let keys = [log_key(Tick(1), u32::MAX), log_key(Tick(2), 0), log_key(Tick(2), 1), log_key(Tick(256), 0)];
        assert!(keys.is_sorted());
    }

    #[test]
    fn rows_that_share_a_hash_are_counted_apart() {
        let mut rows = Vec::new();
        add_to_multiset(&mut rows, b"a", 2);
        add_to_multiset(&mut rows, b"b", 1);
        add_to_multiset(&mut rows, b"a", -1);
        let mut back = Vec::new();
        read_multiset(&multiset_value(&rows), &mut back).unwrap();
        assert_eq!(back, [(Row::from_bytes(b"a"), 1), (Row::from_bytes(b"b"), 1)]);
        add_to_multiset(&mut back, b"a", -1);
        add_to_multiset(&mut back, b"b", -1);
        assert!(back.is_empty());
    }

    #[test]
    fn records_cut_short_are_refused() {
        let value = log_value(b"key", Some(&RowForm::Whole(&b"before"[..])), Some(&RowForm::Whole(&b"after"[..])), 0);
        assert!(read_log(&value[..15]).is_none());
        let mut rows = Vec::new();
        assert!(read_multiset(&multiset_value(&[(Row::from_bytes(b"row"), 1)])[..13], &mut rows).is_none());
        assert!(read_tick(&[0; 15]).is_none());
    }
}
