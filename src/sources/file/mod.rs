//! Tables from files: the rows from CSV or JSON lines, the changes to them from a JSON-lines file.
//!
//! In: files, and the types of their columns, declared or inferred ([`infer`]). Out: the rows of every table as the snapshot, then
//! the changes file's transactions ([`changes`]), which is followed while it grows. A position is a place in the changes file; the
//! files of rows are read once and never looked at again, so what changes in them later must come as a change.
//!
//! Recorded binary logs of a server are the other way in: rows and changes both come from them ([`recorded`]).
//!
//! A line that cannot be read is left out and told of ([`bad_line`]): it names file, line, column and what was expected, never the value. The
//! tables are then what the lines that can be read say. Nothing is passed over untold, and a file that is wholly wrong stops the source.

mod bad_line;
mod changes;
mod chunks;
mod csv;
mod infer;
mod jsonl;
mod lines;
mod options;
mod position;
mod recorded;
mod snapshot;
mod tables;

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::mpsc;

use self::bad_line::BadLines;
use self::changes::{ChangesFile, Ended, Portion};
pub(crate) use self::options::KIND;
use self::options::{FileOptions, TableOptions};
use self::position::FilePosition;
use self::recorded::RecordedSource;
use crate::options::OptionError;
use crate::sources::{Capture, Event, EventSender, Finding, Source, SourceError, Table};

#[cfg(test)]
mod tests;

/// What a line of a JSON-lines file holds.
type Object = serde_json::Map<String, serde_json::Value>;

/// How often a file is looked at for more.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// A source of these options, which must have passed the check against [`KIND`].
pub(super) fn open_source(options: &serde_json::Value) -> Result<Box<dyn Source>, OptionError> {
    Ok(match FileOptions::read(options)? {
        FileOptions::Tables { tables, changes, bad_lines } => Box::new(FileSource { tables, changes, bad_lines }),
        FileOptions::Binlog(paths) => Box::new(RecordedSource { paths }),
    })
}

#[derive(Debug)]
struct FileSource {
    tables: Vec<TableOptions>,
    changes: Option<PathBuf>,
    bad_lines: BadLines,
}

impl FileSource {
    fn table(&self, name: &str) -> Option<&TableOptions> {
        self.tables.iter().find(|table| table.name == name)
    }

    fn jobs(&self, tables: &[Table]) -> Vec<snapshot::Job> {
        let job = |(index, table): (usize, &Table)| {
            let options = self.table(&table.name).expect("`discover` gave this table").clone();
            snapshot::Job { index, table: table.clone(), options, bad_lines: self.bad_lines }
        };
        tables.iter().enumerate().map(job).collect()
    }
}

#[async_trait]
impl Source for FileSource {
    async fn discover(&self, names: &[String]) -> Result<Vec<Table>, SourceError> {
        let mut found = Vec::new();
        for name in names {
            let options = self.table(name).ok_or_else(|| SourceError::Invalid {
                message: format!("there is no table `{name}`"),
                table: Some(name.clone()),
                help: None,
            })?;
            let (options, bad_lines) = (options.clone(), self.bad_lines);
            found.push(tokio::task::spawn_blocking(move || tables::discover(&options, bad_lines)));
        }
        let mut tables = Vec::new();
        for table in found {
            tables.push(table.await.expect("discovery does not panic")?);
        }
        Ok(tables)
    }

    async fn table_names(&self) -> Result<Vec<String>, SourceError> {
        Ok(self.tables.iter().map(|table| table.name.clone()).collect())
    }

    async fn row_counts(&self, tables: &[Table]) -> Result<Vec<Option<u64>>, SourceError> {
        let files: Vec<_> = self.jobs(tables).into_iter().map(|job| job.options.rows).collect();
        let counting = tokio::task::spawn_blocking(move || files.iter().map(snapshot::count_rows).collect());
        Ok(counting.await.expect("counting does not panic"))
    }

    async fn preflight(&self, _tables: &[Table]) -> Result<Vec<Finding>, SourceError> {
        Ok(Vec::new())
    }

    async fn run(&self, capture: Capture, out: EventSender) -> Result<(), SourceError> {
        if capture.from.is_none() {
            if !snapshot::send(self.jobs(&capture.tables), &out).await? {
                return Ok(());
            }
            if out.send(Event::SnapshotDone { position: FilePosition::default().position() }).await.is_err() {
                return Ok(());
            }
        }
        match &self.changes {
            Some(path) => self.follow(path, capture, out).await,
            None => {
                if out.send(Event::CaughtUp).await.is_ok() && !capture.until_caught_up {
                    out.closed().await;
                }
                Ok(())
            }
        }
    }
}

impl FileSource {
    /// Sends the changes file's transactions, and follows it.
    async fn follow(&self, path: &Path, capture: Capture, out: EventSender) -> Result<(), SourceError> {
        let from = capture.from.as_ref().map(FilePosition::read).transpose()?.unwrap_or_default();
        let names = self.table_names().await?;
        let mut changes = ChangesFile::open(path, &from, &capture.tables, &names, self.bad_lines)?;
        let mut caught_up = false;
        let mut waiting = None;
        loop {
            let portion;
            (changes, portion) = read_on(changes, &out).await;
            for event in portion.events {
                if out.send(event).await.is_err() {
                    return Ok(());
                }
            }
            match portion.ended {
                None => continue,
                Some(Ended::Failed(error)) => return Err(error),
                Some(Ended::End(unfinished)) if unfinished != waiting => {
                    waiting = unfinished;
                    if let Some(reason) = &waiting
                        && out.send(Event::Waiting(reason.clone())).await.is_err()
                    {
                        return Ok(());
                    }
                }
                Some(Ended::End(_)) => {}
            }
            if !caught_up && out.send(Event::CaughtUp).await.is_err() {
                return Ok(());
            }
            caught_up = true;
            if capture.until_caught_up || out.is_closed() {
                return Ok(());
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}

/// Reads the next portion, on a thread that may block; the parts of a large transaction go out meanwhile.
async fn read_on(mut changes: ChangesFile, out: &EventSender) -> (ChangesFile, Portion) {
    let (sender, mut parts) = mpsc::channel(1);
    let reading = tokio::task::spawn_blocking(move || {
        let portion = changes.read(&mut |event| sender.blocking_send(event).is_ok());
        (changes, portion)
    });
    while let Some(event) = parts.recv().await {
        if out.send(event).await.is_err() {
            break;
        }
    }
    drop(parts);
    reading.await.expect("reading does not panic")
}

fn open(path: &Path) -> Result<File, SourceError> {
    File::open(path).map_err(|e| unreadable(path, e))
}

fn unreadable(path: &Path, error: io::Error) -> SourceError {
    SourceError::Stopped { message: format!("cannot read {}: {error}", path.display()), help: None }
}
