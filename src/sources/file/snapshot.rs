//! Reads the rows of all tables. Several threads read one file after another, each thread a chunk at a time; rows are sent in the order of
//! the file.
//!
//! The first of several rows with the same key counts; the others are bad lines.
//!
//! A stream's file is read up to its last whole record at the time it is opened; the end of that is stored in the position.

use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex};

use tokio::sync::mpsc;

use super::bad_line::{BadLine, BadLines};
use super::chunks::{Chunk, Chunks};
use super::options::{RowsFile, TableOptions};
use super::parsed::Parsed;
use super::position::StreamPlace;
use super::reader::FileReader;
use super::seen::SeenKeys;
use super::{stream, tables};
use crate::sources::{Event, EventSender, SourceError, Table};
use crate::value::{Layout, Rows, key};

/// The maximum number of batches between the readers and the engine. A batch has some hundred KiB, so this bounds memory.
const WAITING_BATCHES: usize = 4;
const READERS: usize = 4;

/// A table to read. `index` is its index in the engine's list of tables.
#[derive(Debug, Clone)]
pub(super) struct Job {
    pub(super) index: usize,
    pub(super) table: Table,
    pub(super) options: TableOptions,
    pub(super) bad_lines: BadLines,
}

/// How far the files of streams were read, by stream name.
pub(super) type StreamPlaces = BTreeMap<String, StreamPlace>;

/// Sends the plan, and then the rows of every table. Returns `None` if the receiver is gone.
pub(super) async fn send(jobs: Vec<Job>, out: &EventSender) -> Result<Option<StreamPlaces>, SourceError> {
    let (sender, mut events) = mpsc::channel(WAITING_BATCHES);
    let reading = tokio::spawn(read_all(jobs, sender));
    // Readers send to this channel and not to the engine, so that they stop when this future is dropped.
    while let Some(event) = events.recv().await {
        if out.send(event).await.is_err() {
            return Ok(None);
        }
    }
    reading.await.expect("the readers do not panic").map(Some)
}

async fn read_all(mut jobs: Vec<Job>, out: EventSender) -> Result<StreamPlaces, SourceError> {
    let plan = tokio::task::spawn_blocking({
        let files: Vec<RowsFile> = jobs.iter().map(|job| job.options.rows.clone()).collect();
        move || files.iter().map(count_rows).collect()
    });
    let rows = plan.await.expect("counting does not panic");
    if out.send(Event::SnapshotPlan { rows }).await.is_err() {
        return Ok(StreamPlaces::new());
    }
    // The longest first, because small files keep all readers busy at the end.
    jobs.sort_by_key(|job| std::cmp::Reverse(job.options.rows.path().and_then(|path| path.metadata().ok()).map_or(0, |m| m.len())));
    let files = Arc::new(Mutex::new(UnreadFiles { waiting: jobs.into(), ..UnreadFiles::default() }));
    let readers = std::thread::available_parallelism().map_or(1, |n| n.get()).min(READERS);
    let handles: Vec<_> = (0..readers)
        .map(|_| {
            let (files, out) = (files.clone(), out.clone());
            tokio::task::spawn_blocking(move || {
                // If one reader fails or the receiver is gone, the others stop after their current chunk.
                let go_on = read(&files, &out);
                if !matches!(go_on, Ok(true)) {
                    *files.lock().expect("no reader panics") = UnreadFiles::default();
                }
                go_on.map(|_| ())
            })
        })
        .collect();
    drop(out);
    let mut result = Ok(());
    for handle in handles {
        result = result.and(handle.await.expect("a reader does not panic"));
    }
    result.map(|()| std::mem::take(&mut files.lock().expect("no reader panics").places))
}

/// The files that are not read yet.
#[derive(Default)]
struct UnreadFiles {
    waiting: VecDeque<Job>,
    /// The current file, with the number of its next chunk.
    open: Option<(Arc<SnapshotFile>, Chunks, u64)>,
    /// The ends of the streams' files that were read.
    places: StreamPlaces,
}

impl UnreadFiles {
    /// Returns the next chunk with its number in its file.
    fn next(&mut self) -> Result<Option<(Arc<SnapshotFile>, Chunk, u64)>, SourceError> {
        loop {
            let Some((file, chunks, number)) = &mut self.open else {
                let Some(job) = self.waiting.pop_front() else { return Ok(None) };
                self.open = SnapshotFile::open(job)?.map(|(file, chunks)| (Arc::new(file), chunks, 0));
                continue;
            };
            if let Some(chunk) = chunks.next()? {
                *number += 1;
                return Ok(Some((file.clone(), chunk, *number - 1)));
            }
            if file.job.table.stream {
                let path = file.job.options.rows.path().expect("it is open");
                self.places.insert(file.job.table.name.clone(), stream::place_of(path, chunks)?);
            }
            self.open = None;
        }
    }
}

/// Reads chunks until there are no more; returns false if the receiver is gone.
fn read(files: &Mutex<UnreadFiles>, out: &EventSender) -> Result<bool, SourceError> {
    loop {
        let next = files.lock().expect("no reader panics").next()?;
        let Some((file, chunk, number)) = next else { return Ok(true) };
        let turn = ChunkTurn { file: &file, number, went_well: false };
        let parsed = file.reader.parse(&chunk);
        drop(chunk);
        let keys = file.keys_of(&parsed.rows);
        if !turn.take(parsed, keys, out)? {
            return Ok(false);
        }
    }
}

/// A file whose rows are read by all readers.
struct SnapshotFile {
    job: Job,
    layout: Layout,
    reader: FileReader,
    progress: Mutex<ReadProgress>,
    progressed: Condvar,
}

/// What was sent of a file.
#[derive(Default)]
struct ReadProgress {
    /// The chunk that is sent next.
    chunk: u64,
    any_row: bool,
    bad: u64,
    seen: SeenKeys,
    /// Nothing more is sent, because a reader failed or the receiver is gone.
    ended: bool,
}

impl SnapshotFile {
    /// `None` if the table has no file.
    fn open(job: Job) -> Result<Option<(SnapshotFile, Chunks)>, SourceError> {
        let opened = FileReader::open(&job.options.rows, &job.table)?;
        let layout = Layout::new(&job.table.schema);
        Ok(opened
            .map(|(reader, chunks)| (SnapshotFile { job, layout, reader, progress: Mutex::default(), progressed: Condvar::new() }, chunks)))
    }

    /// The keys to check for duplicates; `None` if the table has no key or is a stream.
    fn keys_of(&self, rows: &Rows) -> Option<Rows> {
        let Table { key: columns, stream: false, .. } = &self.job.table else { return None };
        if columns.is_empty() {
            return None;
        }
        let (mut keys, mut key) = (Rows::default(), Vec::new());
        for row in rows.iter() {
            key.clear();
            key::of_into(&self.layout, row, columns, &mut key);
            keys.push(&key);
        }
        Some(keys)
    }

    /// Passes the keys of the first `chunks` chunks to `give` again.
    fn read_keys(&self, chunks: u64, give: &mut dyn FnMut(&Rows)) -> Result<(), SourceError> {
        let Some((reader, mut again)) = FileReader::open(&self.job.options.rows, &self.job.table)? else { return Ok(()) };
        for _ in 0..chunks {
            let Some(chunk) = again.next()? else { break };
            self.keys_of(&reader.parse(&chunk).rows).iter().for_each(&mut *give);
        }
        Ok(())
    }

    /// Turns rows whose keys occurred before into bad lines.
    fn set_repeated_aside(&self, number: u64, keys: &Rows, seen: &mut SeenKeys, parsed: &mut Parsed) -> Result<(), SourceError> {
        let repeated = seen.repeated(keys, |give| self.read_keys(number, give))?;
        if repeated.is_empty() {
            return Ok(());
        }
        let path = self.job.options.rows.path().expect("it is read");
        let keys: Vec<&[u8]> = keys.iter().collect();
        for &at in &repeated {
            let key = tables::show_key(&self.job.table, keys[at]);
            parsed.bad.push(BadLine::new(path, parsed.lines[at], format!("the key {key} is that of an earlier row")));
        }
        parsed.bad.sort_by_key(BadLine::line);
        let mut repeated = repeated.into_iter().peekable();
        let first = parsed.rows.iter().enumerate().filter(|(at, _)| repeated.next_if_eq(at).is_none());
        parsed.rows = first.map(|(_, row)| row).collect();
        Ok(())
    }
}

/// If a file begins with this many bad lines and no good one, it is entirely wrong.
const ALL_BAD: u64 = 100;

/// The turn of a chunk: its rows are sent after those of all chunks before it.
struct ChunkTurn<'a> {
    file: &'a SnapshotFile,
    number: u64,
    went_well: bool,
}

impl ChunkTurn<'_> {
    /// Sends the rows and reports bad lines; returns false if the receiver is gone. Fails if the source must stop at a bad line or the file
    /// is entirely wrong.
    fn take(mut self, mut parsed: Parsed, keys: Option<Rows>, out: &EventSender) -> Result<bool, SourceError> {
        let progress = self.file.progress.lock().expect("no reader panics");
        let waits = |progress: &mut ReadProgress| progress.chunk < self.number && !progress.ended;
        let mut progress = self.file.progressed.wait_while(progress, waits).expect("no reader panics");
        if progress.ended {
            return Ok(false);
        }
        let job = &self.file.job;
        if let Some(keys) = keys {
            self.file.set_repeated_aside(self.number, &keys, &mut progress.seen, &mut parsed)?;
        }
        let first = if progress.any_row { 0 } else { progress.bad + parsed.bad_first };
        for (n, bad) in parsed.bad.into_iter().enumerate() {
            if job.bad_lines == BadLines::Quarantine && first >= ALL_BAD && progress.bad + n as u64 + 1 == ALL_BAD {
                let message = format!("none of the first {ALL_BAD} rows can be read; {bad}");
                let help = "are these the columns, the delimiter and the types of this file?".to_string();
                return Err(SourceError::Stopped { message, help: Some(help) });
            }
            let rejected = job.bad_lines.set_aside(bad, Some(&job.table.name))?;
            if out.blocking_send(Event::Rejected(rejected)).is_err() {
                return Ok(false);
            }
        }
        progress.bad += parsed.bad_first;
        progress.any_row |= !parsed.rows.is_empty();
        if !parsed.rows.is_empty() && out.blocking_send(Event::Rows { table: job.index, rows: parsed.rows }).is_err() {
            return Ok(false);
        }
        progress.chunk += 1;
        drop(progress);
        self.went_well = true;
        Ok(true)
    }
}

impl Drop for ChunkTurn<'_> {
    /// If the chunk failed, the others must not wait for it.
    fn drop(&mut self) {
        if !self.went_well
            && let Ok(mut progress) = self.file.progress.lock()
        {
            progress.ended = true;
        }
        self.file.progressed.notify_all();
    }
}

/// Estimates the number of rows, for the display of progress: counts lines in the file's first part and extrapolates. `None` if the file
/// cannot be read, which the reader then reports.
pub(super) fn count_rows(rows: &RowsFile) -> Option<u64> {
    match rows {
        RowsFile::Csv { path, .. } => Some(count_lines(path).ok()?.saturating_sub(1)),
        RowsFile::JsonLines { path } => count_lines(path).ok(),
        RowsFile::None => Some(0),
    }
}

const COUNTED_BYTES: u64 = 1 << 20;

fn count_lines(path: &Path) -> io::Result<u64> {
    let file = File::open(path)?;
    let length = file.metadata()?.len();
    let mut start = Vec::new();
    file.take(COUNTED_BYTES).read_to_end(&mut start)?;
    let ends = start.iter().filter(|b| **b == b'\n').count() as u64;
    Ok(match length > start.len() as u64 {
        true => (ends as u128 * length as u128 / start.len() as u128) as u64,
        false => ends + u64::from(start.last().is_some_and(|b| *b != b'\n')),
    })
}
