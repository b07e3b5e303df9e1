//! Tables from files: the rows from CSV or JSON lines, the changes to them from a JSON-lines file.
//!
//! In: files, and the types of their columns, declared or inferred ([`infer`]). Out: the rows of every table as the snapshot, then the
//! transactions of the changes file ([`changes`]) and the rows that are appended to the files of streams ([`stream`]). Both are followed
//! while they grow ([`follow`]). A position is a place in the changes file and in each stream's file. Other files are read once, so a later
//! change of their rows must be in the changes file.
//!
//! Alternatively rows and changes both come from recorded binary logs of a server ([`recorded`]).
//!
//! A line that cannot be read is left out and reported ([`bad_line`]) with file, line, column and what was expected, but never the value.
//! The tables then have the rows of the readable lines. Nothing is skipped silently, and a file that is entirely wrong stops the source.

mod bad_line;
mod bounded;
mod change;
mod changes;
mod chunks;
mod columns;
mod csv;
mod current;
mod extent;
mod follow;
mod infer;
mod jsonl;
mod lines;
mod object;
mod options;
mod parsed;
mod position;
mod reader;
#[cfg(feature = "mysql")]
mod recorded;
mod seen;
mod snapshot;
mod stream;
mod tables;
mod transaction;

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Instant;

use async_trait::async_trait;

use self::bad_line::BadLines;
use self::bounded::FileBoundedReader;
pub(crate) use self::options::KIND;
use self::options::{FileOptions, TableOptions};
use self::position::FilePosition;
use crate::options::OptionError;
use crate::sources::{BoundedReader, Capture, CapturedRows, Event, EventSender, Source, SourceError, SourceExtent, Table};

#[cfg(test)]
mod tests;

/// Files with fewer bytes together are read whole in a moment.
const SMALL_BYTES: u64 = 16 << 20;

/// A line of a JSON-lines file.
type Object = serde_json::Map<String, serde_json::Value>;

/// Creates a source with these options, which must have been checked against [`KIND`].
pub(super) fn open_source(options: &serde_json::Value) -> Result<Box<dyn Source>, OptionError> {
    Ok(match FileOptions::read(options)? {
        FileOptions::Tables { tables, changes, bad_lines } => Box::new(FileSource { tables, changes, bad_lines }),
        #[cfg(feature = "mysql")]
        FileOptions::Binlog(paths) => Box::new(recorded::RecordedSource { paths }),
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

    async fn extents(&self, tables: &[Table], _until: Instant) -> Result<SourceExtent, SourceError> {
        let (jobs, changes) = (self.jobs(tables), self.changes.is_some());
        let measuring = tokio::task::spawn_blocking(move || jobs.iter().map(|job| extent::extent(job, changes)).collect());
        let beside = changes.then(|| "the changes in its `changes` file are not counted".into());
        Ok(SourceExtent { tables: measuring.await.expect("measuring does not panic"), beside })
    }

    /// Small files are captured, so what is read of them is what a run would have.
    async fn bounded_reader(&self, tables: &[Table]) -> Result<Option<Box<dyn BoundedReader>>, SourceError> {
        let jobs = self.jobs(tables);
        let paths = jobs.iter().filter_map(|job| job.options.rows.path()).chain(self.changes.as_deref());
        let bytes: u64 = paths.filter_map(|path| path.metadata().ok()).map(|found| found.len()).sum();
        if bytes <= SMALL_BYTES {
            return Ok(Some(Box::new(CapturedRows::capture(self, tables).await?)));
        }
        Ok(Some(Box::new(FileBoundedReader { jobs, has_changes: self.changes.is_some() })))
    }

    /// False, because the changes file is read from its beginning.
    fn captures_the_present(&self) -> bool {
        false
    }

    async fn run(&self, capture: Capture, out: EventSender) -> Result<(), SourceError> {
        let from = match &capture.from {
            Some(from) => from.clone(),
            None => {
                let Some(streams) = snapshot::send(self.jobs(&capture.tables), &out).await? else { return Ok(()) };
                let from = FilePosition { streams, ..FilePosition::default() }.position();
                if out.send(Event::SnapshotDone { position: from.clone() }).await.is_err() {
                    return Ok(());
                }
                from
            }
        };
        follow::run(self, &from, capture, out).await
    }
}

fn open(path: &Path) -> Result<File, SourceError> {
    File::open(path).map_err(|e| unreadable(path, e))
}

fn unreadable(path: &Path, error: io::Error) -> SourceError {
    SourceError::Stopped { message: format!("cannot read {}: {error}", path.display()), help: None }
}
