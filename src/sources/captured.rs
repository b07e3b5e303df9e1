//! Bounded reads of a source that is small enough to be captured into memory.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::mpsc;

use super::{BoundedRead, BoundedReader, Capture, Event, LeftRows, MemoryRows, ReadRows, Rejected, Source, SourceError, Table};
use crate::value::Layout;

/// All rows of all tables, as of the moment at which the source had caught up.
#[derive(Debug)]
pub struct CapturedRows {
    tables: Vec<Table>,
    rows: Arc<MemoryRows>,
    /// The records that the source left out, until they are reported.
    rejected: Vec<Rejected>,
}

impl CapturedRows {
    /// Runs the source until it has caught up.
    pub async fn capture(source: &dyn Source, tables: &[Table]) -> Result<CapturedRows, SourceError> {
        let rows = Arc::new(MemoryRows::new(tables, None));
        let (out, mut events) = mpsc::channel(16);
        let capture = Capture { tables: tables.to_vec(), from: None, until_caught_up: true, held: rows.clone() };
        let held = rows.clone();
        let take = async move {
            let mut rejected = Vec::new();
            while let Some(event) = events.recv().await {
                held.take(&event);
                if let Event::Rejected(record) = event {
                    rejected.push(record);
                }
            }
            rejected
        };
        let (ended, rejected) = tokio::join!(source.run(capture, out), take);
        ended?;
        Ok(CapturedRows { tables: tables.to_vec(), rows, rejected })
    }
}

#[async_trait]
impl BoundedReader for CapturedRows {
    async fn read(&mut self, BoundedRead { table, wanted, most, .. }: BoundedRead) -> Result<ReadRows, SourceError> {
        let mut read = ReadRows { rejected: std::mem::take(&mut self.rejected), ..ReadRows::default() };
        let layout = Layout::new(&self.tables[table].schema);
        let wanted = wanted.keys(&layout);
        self.rows.each(table, &mut |row| {
            let room = read.rows.len() < most;
            if wanted.has(&layout, row) {
                if room { read.rows.push(row) } else { read.left = Some(LeftRows::More) }
            }
        });
        Ok(read)
    }
}
