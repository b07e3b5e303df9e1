//! Reads the rows of all tables, several files at a time.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::{Arc, Mutex};

use tokio::sync::mpsc;

use super::bad_line::{BadLine, BadLines};
use super::options::{RowsFile, TableOptions};
use super::{BATCH, csv, jsonl};
use crate::sources::{Event, EventSender, SourceError, Table};
use crate::value::Row;

/// Batches that wait between the readers and the engine. With a batch's some hundred KiB this bounds what is held.
const WAITING_BATCHES: usize = 4;
const READERS: usize = 4;

/// A table to read: its place in the list that the engine asked for, what it is, where its rows are.
#[derive(Debug, Clone)]
pub(super) struct Job {
    pub(super) index: usize,
    pub(super) table: Table,
    pub(super) options: TableOptions,
    pub(super) bad_lines: BadLines,
}

/// Sends the plan, and then the rows of every table. Answers false if nobody listens any more.
pub(super) async fn send(jobs: Vec<Job>, out: &EventSender) -> Result<bool, SourceError> {
    let (sender, mut events) = mpsc::channel(WAITING_BATCHES);
    let reading = tokio::spawn(read_all(jobs, sender));
    // Readers send here and not straight to the engine, so that they stop when this future is dropped.
    while let Some(event) = events.recv().await {
        if out.send(event).await.is_err() {
            return Ok(false);
        }
    }
    reading.await.expect("the readers do not panic").map(|()| true)
}

async fn read_all(mut jobs: Vec<Job>, out: EventSender) -> Result<(), SourceError> {
    let plan = tokio::task::spawn_blocking({
        let files: Vec<RowsFile> = jobs.iter().map(|job| job.options.rows.clone()).collect();
        move || files.iter().map(count_rows).collect()
    });
    let rows = plan.await.expect("counting does not panic");
    if out.send(Event::SnapshotPlan { rows }).await.is_err() {
        return Ok(());
    }
    // The longest first, so that no long one is left over at the end.
    jobs.sort_by_key(|job| std::cmp::Reverse(job.options.rows.path().and_then(|path| path.metadata().ok()).map_or(0, |m| m.len())));
    let readers = std::thread::available_parallelism().map_or(1, |n| n.get()).min(READERS).min(jobs.len());
    let jobs = Arc::new(Mutex::new(VecDeque::from(jobs)));
    let handles: Vec<_> = (0..readers)
        .map(|_| {
            let (jobs, out) = (jobs.clone(), out.clone());
            tokio::task::spawn_blocking(move || {
                while let Some(job) = take(&jobs) {
                    if let Err(error) = read(&job, &out) {
                        // The others end with the table they are at.
                        jobs.lock().expect("no reader panics").clear();
                        return Err(error);
                    }
                }
                Ok(())
            })
        })
        .collect();
    drop(out);
    let mut result = Ok(());
    for handle in handles {
        result = result.and(handle.await.expect("a reader does not panic"));
    }
    result
}

fn take(jobs: &Mutex<VecDeque<Job>>) -> Option<Job> {
    jobs.lock().expect("no reader panics").pop_front()
}

fn read(job: &Job, out: &EventSender) -> Result<(), SourceError> {
    let mut taker = Taker { job, out, rows: Vec::with_capacity(BATCH), any_row: false, bad: 0 };
    match &job.options.rows {
        RowsFile::Csv { path, null, delimiter } => csv::read(path, *delimiter, null, &job.table, &mut taker),
        RowsFile::JsonLines { path } => jsonl::read(path, &job.table, &mut taker),
        RowsFile::None => Ok(()),
    }
}

/// A file whose first lines are bad, as many as this, and none of them good, is wholly wrong.
const ALL_BAD: u64 = 100;

/// Takes the rows of one file and hands them on, in batches; sets bad lines aside.
pub(super) struct Taker<'a> {
    job: &'a Job,
    out: &'a EventSender,
    rows: Vec<Row>,
    any_row: bool,
    bad: u64,
}

impl Taker<'_> {
    /// Whether more is wanted. Fails where the source is to stop at a bad line, or the file is wholly wrong.
    pub(super) fn take(&mut self, read: Result<Row, BadLine>) -> Result<bool, SourceError> {
        match read {
            Ok(row) => {
                self.any_row = true;
                self.rows.push(row);
                match self.rows.len() {
                    BATCH => Ok(self.hand_on(Vec::with_capacity(BATCH))),
                    _ => Ok(true),
                }
            }
            Err(bad) => self.set_aside(bad),
        }
    }

    /// There is no more.
    pub(super) fn end(&mut self) {
        if !self.rows.is_empty() {
            self.hand_on(Vec::new());
        }
    }

    fn hand_on(&mut self, next: Vec<Row>) -> bool {
        let rows = std::mem::replace(&mut self.rows, next);
        self.out.blocking_send(Event::Rows { table: self.job.index, rows }).is_ok()
    }

    fn set_aside(&mut self, bad: BadLine) -> Result<bool, SourceError> {
        self.bad += 1;
        if self.job.bad_lines == BadLines::Quarantine && !self.any_row && self.bad == ALL_BAD {
            let message = format!("none of the first {ALL_BAD} rows can be read; {bad}");
            let help = "are these the columns, the delimiter and the types of this file?".to_string();
            return Err(SourceError::Stopped { message, help: Some(help) });
        }
        let rejected = self.job.bad_lines.set_aside(bad, Some(&self.job.table.name))?;
        Ok(self.out.blocking_send(Event::Rejected(rejected)).is_ok())
    }
}

/// The lines that hold rows, for the display of progress: counted in a file's first part, and taken to go on like that. `None` where the
/// file cannot be read, which the reader then says.
fn count_rows(rows: &RowsFile) -> Option<u64> {
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
