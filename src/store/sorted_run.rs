//! The writer of a bulk load: writes chunks of rows as sorted runs.
//!
//! In: chunks, from a channel. Out: one or more table files per run, synced and registered when the channel closes. A chunk whose first key is
//! after the last key of its target's open run continues that run; any other chunk begins a new run.

use std::path::Path;
use std::sync::mpsc::Receiver;

use fjall::Keyspace;

use crate::fault;
use crate::value::{Diff, Row};

use super::error::{AtFolder, StoreError};
use super::record::{self, HASH_BYTES};
use super::space::{InputSpace, ViewSpace};

pub(super) struct RowChunk {
    pub(super) index: usize,
    pub(super) rows: Buffer,
}

/// Keys and values in one byte buffer, with the place of each.
#[derive(Default)]
pub(super) struct Buffer {
    bytes: Vec<u8>,
    entries: Vec<RunEntry>,
}

#[derive(Clone, Copy)]
struct RunEntry {
    /// The first 16 bytes of the key, which decide most comparisons.
    first: u128,
    at: u32,
    key_len: u32,
    value_len: u32,
}

impl Buffer {
    /// Adds an entry whose value is `head` and `row`. Returns the bytes of memory that it uses.
    pub(super) fn push(&mut self, key: &[u8], head: &[u8], row: &[u8]) -> usize {
        let mut first = [0; 16];
        let take = key.len().min(16);
        first[..take].copy_from_slice(&key[..take]);
        let value_len = head.len() + row.len();
        self.entries.push(RunEntry {
            first: u128::from_be_bytes(first),
            at: self.bytes.len() as u32,
            key_len: key.len() as u32,
            value_len: value_len as u32,
        });
        self.bytes.extend_from_slice(key);
        self.bytes.extend_from_slice(head);
        self.bytes.extend_from_slice(row);
        key.len() + value_len + size_of::<RunEntry>()
    }

    pub(super) fn size(&self) -> usize {
        self.bytes.len() + self.entries.len() * size_of::<RunEntry>()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    fn key(&self, entry: &RunEntry) -> &[u8] {
        &self.bytes[entry.at as usize..][..entry.key_len as usize]
    }

    fn value(&self, entry: &RunEntry) -> &[u8] {
        &self.bytes[(entry.at + entry.key_len) as usize..][..entry.value_len as usize]
    }

    /// Takes the entries, sorted by key; entries with equal keys stay in their order.
    fn take_sorted(&mut self) -> Vec<RunEntry> {
        let mut entries = std::mem::take(&mut self.entries);
        entries.sort_by(|a, b| a.first.cmp(&b.first).then_with(|| self.key(a).cmp(self.key(b))));
        entries
    }
}

/// The key space to which the runs of an input or view are written.
pub(super) struct RunsOf {
    rows: Keyspace,
    multiset: bool,
}

impl RunsOf {
    pub(super) fn input(space: &InputSpace) -> RunsOf {
        RunsOf { rows: space.rows.clone(), multiset: space.is_multiset() }
    }

    pub(super) fn view(space: &ViewSpace) -> RunsOf {
        RunsOf { rows: space.rows.clone(), multiset: false }
    }

    pub(super) fn parts(space: &ViewSpace) -> RunsOf {
        RunsOf { rows: space.parts.clone(), multiset: false }
    }
}

/// A run that can still be appended to.
struct OpenRun<'a> {
    table: TableWriter<'a>,
    last_key: Vec<u8>,
}

/// The storage engine's table writer, whose type is private there: takes a key and value, or `None` for the end.
type TableWriter<'a> = Box<dyn FnMut(Option<(&[u8], &[u8])>) -> fjall::Result<()> + 'a>;

fn open_table(rows: &Keyspace) -> fjall::Result<TableWriter<'_>> {
    let mut ingestion = Some(rows.start_ingestion()?);
    Ok(Box::new(move |entry| match (entry, ingestion.as_mut()) {
        (Some((key, value)), Some(table)) => table.write(key, value),
        (_, None) => Ok(()),
        (None, Some(_)) => {
            fault::fallible("store.load.run")?;
            ingestion.take().map_or(Ok(()), |table| table.finish())
        }
    }))
}

/// Writes chunks until the channel closes, then completes every run: syncs it and makes it visible to readers.
pub(super) fn write_runs(targets: &[RunsOf], chunks: &Receiver<RowChunk>, dir: &Path) -> Result<(), StoreError> {
    let mut open: Vec<Option<OpenRun>> = targets.iter().map(|_| None).collect();
    let mut runs_begun = vec![0; targets.len()];
    for RowChunk { index, mut rows } in chunks {
        let target = &targets[index];
        let entries = rows.take_sorted();
        let first_key = rows.key(&entries[0]);
        if let Some(mut run) = open[index].take_if(|run| *run.last_key >= *first_key) {
            (run.table)(None).at(dir)?;
        }
        if open[index].is_none() {
            runs_begun[index] += 1;
            open[index] = Some(OpenRun { table: open_table(&target.rows).at(dir)?, last_key: Vec::new() });
        }
        let run = open[index].as_mut().expect("opened above");
        match target.multiset {
            true => write_multiset(&mut run.table, &rows, &entries, runs_begun[index], dir)?,
            false => write_keyed(&mut run.table, &rows, &entries).at(dir)?,
        }
        run.last_key = rows.key(entries.last().expect("not empty")).to_vec();
    }
    for mut run in open.into_iter().flatten() {
        (run.table)(None).at(dir)?;
    }
    Ok(())
}

fn write_keyed(table: &mut TableWriter, rows: &Buffer, entries: &[RunEntry]) -> fjall::Result<()> {
    for of_key in entries.chunk_by(|a, b| rows.key(a) == rows.key(b)) {
        let last = of_key.last().expect("not empty");
        table(Some((rows.key(last), rows.value(last))))?;
    }
    Ok(())
}

/// Writes each run under its own part number, so that the counts of a row in several runs add up.
fn write_multiset(table: &mut TableWriter, rows: &Buffer, entries: &[RunEntry], run: u32, dir: &Path) -> Result<(), StoreError> {
    let mut held: Vec<(Row, Diff)> = Vec::new();
    for of_hash in entries.chunk_by(|a, b| rows.key(a) == rows.key(b)) {
        held.clear();
        for entry in of_hash {
            record::add_to_multiset(&mut held, rows.value(entry), 1);
        }
        let hash = *rows.key(&of_hash[0]).first_chunk::<HASH_BYTES>().expect("a multiset is keyed by a hash");
        table(Some((&record::multiset_part(hash, run), &record::multiset_value(&held)))).at(dir)?;
    }
    Ok(())
}
