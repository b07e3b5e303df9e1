//! The writing half of a bulk load: chunks of rows into sorted runs.
//!
//! In: chunks, from a channel. Out: one table file or more per run, synced and registered when no more chunks come. A chunk that
//! begins after the end of its target's open run goes on with it, another begins a new one.

use std::path::Path;
use std::sync::mpsc::Receiver;

use fjall::Keyspace;

use crate::fault;
use crate::value::{Diff, Row};

use super::error::{At, StoreError};
use super::record::{self, HASH_BYTES};
use super::space::{InputSpace, ViewSpace};

pub(super) struct Chunk {
    pub(super) index: usize,
    pub(super) rows: Buffer,
}

/// Keys and values one after the other, and where each is.
#[derive(Default)]
pub(super) struct Buffer {
    bytes: Vec<u8>,
    entries: Vec<Entry>,
}

#[derive(Clone, Copy)]
struct Entry {
    /// The first bytes of the key, so that most comparisons need no look at the others.
    first: u128,
    at: u32,
    key_len: u32,
    value_len: u32,
}

impl Buffer {
    /// How many bytes it took.
    pub(super) fn push(&mut self, key: &[u8], head: &[u8], row: &[u8]) -> usize {
        let mut first = [0; 16];
        let take = key.len().min(16);
        first[..take].copy_from_slice(&key[..take]);
        let value_len = head.len() + row.len();
        self.entries.push(Entry {
            first: u128::from_be_bytes(first),
            at: self.bytes.len() as u32,
            key_len: key.len() as u32,
            value_len: value_len as u32,
        });
        self.bytes.extend_from_slice(key);
        self.bytes.extend_from_slice(head);
        self.bytes.extend_from_slice(row);
        key.len() + value_len + size_of::<Entry>()
    }

    pub(super) fn size(&self) -> usize {
        self.bytes.len() + self.entries.len() * size_of::<Entry>()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    fn key(&self, entry: &Entry) -> &[u8] {
        &self.bytes[entry.at as usize..][..entry.key_len as usize]
    }

    fn value(&self, entry: &Entry) -> &[u8] {
        &self.bytes[(entry.at + entry.key_len) as usize..][..entry.value_len as usize]
    }

    /// Takes the entries out, by key; of equal keys, as they came.
    fn take_sorted(&mut self) -> Vec<Entry> {
        let mut entries = std::mem::take(&mut self.entries);
        entries.sort_by(|a, b| a.first.cmp(&b.first).then_with(|| self.key(a).cmp(self.key(b))));
        entries
    }
}

/// Where the runs of one input or view go.
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
struct Run<'a> {
    table: Table<'a>,
    last_key: Vec<u8>,
}

/// The storage engine's table writer, whose type has no name outside of it: takes a key and value, or `None` for the end.
type Table<'a> = Box<dyn FnMut(Option<(&[u8], &[u8])>) -> fjall::Result<()> + 'a>;

fn open_table(rows: &Keyspace) -> fjall::Result<Table<'_>> {
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

/// Writes chunks until no more come, then makes every run whole: synced, and visible to whoever may read it.
pub(super) fn write_runs(targets: &[RunsOf], chunks: &Receiver<Chunk>, dir: &Path) -> Result<(), StoreError> {
    let mut open: Vec<Option<Run>> = targets.iter().map(|_| None).collect();
    let mut runs_begun = vec![0; targets.len()];
    for Chunk { index, mut rows } in chunks {
        let target = &targets[index];
        let entries = rows.take_sorted();
        let first_key = rows.key(&entries[0]);
        if let Some(mut run) = open[index].take_if(|run| *run.last_key >= *first_key) {
            (run.table)(None).at(dir)?;
        }
        if open[index].is_none() {
            runs_begun[index] += 1;
            open[index] = Some(Run { table: open_table(&target.rows).at(dir)?, last_key: Vec::new() });
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

fn write_keyed(table: &mut Table, rows: &Buffer, entries: &[Entry]) -> fjall::Result<()> {
    for of_key in entries.chunk_by(|a, b| rows.key(a) == rows.key(b)) {
        let last = of_key.last().expect("not empty");
        table(Some((rows.key(last), rows.value(last))))?;
    }
    Ok(())
}

/// Each run is a part of its own, so that a row's copies in several runs add up.
fn write_multiset(table: &mut Table, rows: &Buffer, entries: &[Entry], run: u32, dir: &Path) -> Result<(), StoreError> {
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
