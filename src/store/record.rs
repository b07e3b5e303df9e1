//! The bytes of each kind of record; the drawing is in the module above.
//!
//! Reading checks lengths only, so it answers `None` for bytes that are too short: the storage engine below has checksums.

use crate::value::{Diff, Position, Row, Tick};

use super::changelog::ChangeEntry;

/// A multiset row's key is the hash of the row, then the part (0 for commits, from 1 for runs of a bulk load).
pub(super) const HASH_BYTES: usize = 16;

pub(super) fn view_row(tick: Tick, row: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(8 + row.len());
    out.extend_from_slice(&tick.0.to_be_bytes());
    out.extend_from_slice(row);
    out
}

/// The tick that last changed the row (0: as it was loaded), and the row.
pub(super) fn read_view_row(value: &[u8]) -> Option<(Tick, &[u8])> {
    let (tick, row) = value.split_first_chunk::<8>()?;
    Some((Tick(u64::from_be_bytes(*tick)), row))
}

pub(super) fn log_key(tick: Tick, ordinal: u32) -> [u8; 12] {
    let mut key = [0; 12];
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

pub(super) fn log_value(key: &[u8], before: Option<&[u8]>, after: Option<&[u8]>) -> Vec<u8> {
    let before_bytes = before.unwrap_or_default();
    let after_bytes = after.unwrap_or_default();
    let mut out = Vec::with_capacity(9 + key.len() + before_bytes.len() + after_bytes.len());
    out.push(if before.is_some() { BEFORE } else { 0 } | if after.is_some() { AFTER } else { 0 });
    out.extend_from_slice(&(key.len() as u32).to_le_bytes());
    out.extend_from_slice(&(before_bytes.len() as u32).to_le_bytes());
    out.extend_from_slice(key);
    out.extend_from_slice(before_bytes);
    out.extend_from_slice(after_bytes);
    out
}

pub(super) fn read_log(key: &[u8], value: &[u8]) -> Option<ChangeEntry> {
    let (tick, ordinal) = read_log_key(key)?;
    let (&flags, rest) = value.split_first()?;
    let (key_len, rest) = rest.split_first_chunk::<4>()?;
    let (before_len, rest) = rest.split_first_chunk::<4>()?;
    let (key, rest) = rest.split_at_checked(u32::from_le_bytes(*key_len) as usize)?;
    let (before, after) = rest.split_at_checked(u32::from_le_bytes(*before_len) as usize)?;
    let row = |flag: u8, bytes: &[u8]| (flags & flag != 0).then(|| Row::from_bytes(bytes));
    Some(ChangeEntry { tick, ordinal, key: Row::from_bytes(key), before: row(BEFORE, before), after: row(AFTER, after) })
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

/// What is kept of a tick besides its number and source.
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

/// What is counted of a view or input as commits go by, so that nobody has to scan for it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Counters {
    pub(super) rows: i64,
    pub(super) bytes: i64,
    pub(super) changes: i64,
    pub(super) errors: i64,
}

pub(super) fn counters_value(c: &Counters) -> Vec<u8> {
    [c.rows, c.bytes, c.changes, c.errors].iter().flat_map(|n| n.to_be_bytes()).collect()
}

pub(super) fn read_counters(value: &[u8]) -> Option<Counters> {
    let mut numbers = value.chunks_exact(8).map(|n| i64::from_be_bytes(n.try_into().expect("eight bytes")));
    Some(Counters { rows: numbers.next()?, bytes: numbers.next()?, changes: numbers.next()?, errors: numbers.next()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_absent_row_is_not_an_empty_one() {
        for (before, after) in [(None, Some(&b""[..])), (Some(&b""[..]), None), (Some(&b"b"[..]), Some(&b"a"[..]))] {
            let entry = read_log(&log_key(Tick(7), 3), &log_value(b"k", before, after)).unwrap();
            assert_eq!((entry.tick, entry.ordinal, &*entry.key), (Tick(7), 3, &b"k"[..]));
            assert_eq!((entry.before.as_deref(), entry.after.as_deref()), (before, after));
        }
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
        let value = log_value(b"key", Some(b"before"), Some(b"after"));
        assert!(read_log(&log_key(Tick(1), 0), &value[..15]).is_none());
        let mut rows = Vec::new();
        assert!(read_multiset(&multiset_value(&[(Row::from_bytes(b"row"), 1)])[..13], &mut rows).is_none());
        assert!(read_tick(&[0; 15]).is_none());
    }
}
