//! Bounded reads of files that are too large to be captured for it: files are read from their beginning until there are enough rows or the
//! time is over.

use std::collections::HashSet;
use std::time::Instant;

use async_trait::async_trait;

use super::reader::FileReader;
use super::snapshot::Job;
use crate::sources::{BoundedRead, BoundedReader, LeftRows, ReadRows, SourceError};
use crate::value::{Layout, Row, key};

pub(super) struct FileBoundedReader {
    pub(super) jobs: Vec<Job>,
    pub(super) has_changes: bool,
}

#[async_trait]
impl BoundedReader for FileBoundedReader {
    async fn read(&mut self, read: BoundedRead) -> Result<ReadRows, SourceError> {
        let job = self.jobs[read.table].clone();
        tokio::task::spawn_blocking(move || scan(&job, read)).await.expect("reading does not panic")
    }

    fn caveat(&self) -> Option<String> {
        self.has_changes.then(|| "the changes of its `changes` file are not applied, because its files are large".into())
    }
}

fn scan(job: &Job, BoundedRead { wanted, most, until, .. }: BoundedRead) -> Result<ReadRows, SourceError> {
    let mut read = ReadRows::default();
    let Some((reader, mut chunks)) = FileReader::open(&job.options.rows, &job.table)? else { return Ok(read) };
    let layout = Layout::new(&job.table.schema);
    let wanted = wanted.keys(&layout);
    let mut seen: HashSet<Row> = HashSet::new();
    while let Some(chunk) = chunks.next()? {
        let parsed = reader.parse(&chunk);
        for bad in parsed.bad {
            read.rejected.push(job.bad_lines.set_aside(bad, Some(&job.table.name))?);
        }
        for row in parsed.rows.iter().filter(|row| wanted.has(&layout, row)) {
            // Of several rows with one key the first counts.
            if !job.table.key.is_empty() && !seen.insert(key::encode(&layout, row, &job.table.key)) {
                continue;
            }
            if read.rows.len() == most {
                return Ok(ReadRows { left: Some(LeftRows::More), ..read });
            }
            read.rows.push(row);
        }
        if Instant::now() >= until {
            return Ok(ReadRows { left: Some(LeftRows::Late { help: None }), ..read });
        }
    }
    Ok(read)
}
