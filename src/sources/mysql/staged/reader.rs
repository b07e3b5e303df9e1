//! Reads chunks, over several connections. Each chunk is one statement outside of a transaction, so the server keeps nothing for us between
//! chunks, and a change of a table's definition waits for at most one.

use std::sync::Arc;

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Error, ServerError};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::chunks::{TableChunks, Wanted};
use crate::fault;
use crate::sources::mysql::cascade::Cascades;
use crate::sources::mysql::connect::connect_readers;
use crate::sources::mysql::errors::{is_lock_timeout, query_error, transient};
use crate::sources::mysql::options::MysqlOptions;
use crate::sources::mysql::pace::Pace;
use crate::sources::mysql::select::{RowReader, select_list};
use crate::sources::mysql::server::Server;
use crate::sources::mysql::snapshot_lock::LOCKED;
use crate::sources::mysql::values::ValueWriter;
use crate::sources::{Rejected, SourceError};
use crate::value::Rows;

const ROWS_PER_EVENT: usize = 2048;
const BYTES_PER_EVENT: usize = 1 << 20;
/// A chunk is read to its end before it is passed on, so that the statement does not wait for us; but not if it has more bytes than this.
const HELD_BYTES: usize = 32 << 20;
const DOING: &str = "reading a table";
/// The server's codes for a column or a table that is not there, and for a table whose definition has just changed.
const REDEFINED: [u16; 3] = [1054, 1146, 1412];

/// What the readers send.
#[derive(Debug)]
pub(super) enum Read {
    Chunk(ReadChunk),
    Waiting(String),
}

/// A part of a chunk that was read; the whole chunk unless it is very large.
#[derive(Debug)]
pub(super) struct ReadChunk {
    pub(super) table: usize,
    pub(super) number: u64,
    pub(super) rows: Vec<Rows>,
    /// The rows of the whole chunk that were left out; with the last part.
    pub(super) rejected: Vec<Rejected>,
    /// Whether this is the last part.
    pub(super) is_last: bool,
}

/// Reads all chunks. Uses fewer connections than the options ask for if the server allows no more.
pub(super) async fn read(
    chunks: &Arc<TableChunks>,
    cascades: &Arc<Cascades>,
    options: &MysqlOptions,
    server: &Server,
    out: &mpsc::Sender<Read>,
) -> Result<(), SourceError> {
    let connections = connect_readers(options, server, options.snapshot_connections).await?;
    let pace = options.snapshot_rows_per_second.map(|rate| Arc::new(Pace::new(rate)));
    let mut readers: JoinSet<Result<(), SourceError>> = JoinSet::new();
    for conn in connections {
        let (chunks, cascades, pace, out) = (chunks.clone(), cascades.clone(), pace.clone(), out.clone());
        let writer = ValueWriter::new(options.zero_dates);
        readers.spawn(ChunkReader { chunks, cascades, writer, pace, out }.run(conn));
    }
    while let Some(ended) = readers.join_next().await {
        match ended {
            Ok(result) => result?,
            Err(panic) => std::panic::resume_unwind(panic.into_panic()),
        }
    }
    Ok(())
}

struct ChunkReader {
    chunks: Arc<TableChunks>,
    cascades: Arc<Cascades>,
    writer: ValueWriter,
    pace: Option<Arc<Pace>>,
    out: mpsc::Sender<Read>,
}

impl ChunkReader {
    async fn run(mut self, mut conn: Conn) -> Result<(), SourceError> {
        while let Some(wanted) = self.next(&mut conn).await? {
            self.read(&mut conn, &wanted).await?;
        }
        let _ = conn.disconnect().await;
        Ok(())
    }

    async fn next(&mut self, conn: &mut Conn) -> Result<Option<Wanted>, SourceError> {
        loop {
            match self.chunks.next(conn).await {
                Ok(next) => return Ok(next),
                Err(error) if is_lock_timeout(&error) => send(&self.out, Read::Waiting(format!("a table: {LOCKED}"))).await?,
                Err(error) => return Err(read_error(error)),
            }
        }
    }

    async fn read(&mut self, conn: &mut Conn, wanted: &Wanted) -> Result<(), SourceError> {
        let table = &self.cascades.tables[wanted.table];
        let condition = wanted.condition.as_ref().map_or(String::new(), |condition| format!(" FORCE INDEX (PRIMARY) WHERE {condition}"));
        let query = format!("SELECT {} FROM {}{condition}", select_list(table), table.quoted());
        fault::fallible("mysql.stage.chunk").map_err(|e| SourceError::Transient { message: e.to_string() })?;
        let mut result = loop {
            match conn.exec_iter(&query, ()).await {
                Ok(result) => break result,
                Err(error) if is_lock_timeout(&error) => {
                    let what = format!("the table `{}`: {LOCKED}", table.table.name);
                    send(&self.out, Read::Waiting(what)).await?;
                }
                Err(error) => return Err(read_error(error)),
            }
        };
        let mut reader = RowReader::new(table, &mut self.writer);
        let mut held = Held::of(wanted);
        while let Some(row) = result.next().await.map_err(|e| transient(DOING, e))? {
            let before = held.growing.bytes_len();
            if let Some(bad) = reader.read(&row, &mut held.growing).map_err(redefined)? {
                self.cascades.allow_unreadable(wanted.table)?;
                held.part.rejected.push(bad.rejected(table, "in the snapshot"));
            }
            held.bytes += held.growing.bytes_len() - before;
            if held.growing.len() == ROWS_PER_EVENT || held.growing.bytes_len() >= BYTES_PER_EVENT {
                held.part.rows.push(std::mem::take(&mut held.growing));
            }
            if held.bytes >= HELD_BYTES {
                let mut full = std::mem::replace(&mut held, Held::of(wanted));
                // They are told with the last part: before, the chunk may be read again.
                held.part.rejected = std::mem::take(&mut full.part.rejected);
                pass_on(&self.out, self.pace.as_deref(), full, false).await?;
            }
        }
        drop(result);
        pass_on(&self.out, self.pace.as_deref(), held, true).await
    }
}

/// The rows of a chunk that are not passed on yet.
struct Held {
    part: ReadChunk,
    growing: Rows,
    bytes: usize,
}

impl Held {
    fn of(wanted: &Wanted) -> Held {
        let part = ReadChunk { table: wanted.table, number: wanted.number, rows: Vec::new(), rejected: Vec::new(), is_last: false };
        Held { part, growing: Rows::default(), bytes: 0 }
    }
}

async fn pass_on(out: &mpsc::Sender<Read>, pace: Option<&Pace>, mut held: Held, is_last: bool) -> Result<(), SourceError> {
    held.part.rows.extend((!held.growing.is_empty()).then_some(held.growing));
    held.part.is_last = is_last;
    if let Some(pace) = pace {
        pace.wait_for(held.part.rows.iter().map(Rows::len).sum()).await;
    }
    send(out, Read::Chunk(held.part)).await
}

async fn send(out: &mpsc::Sender<Read>, read: Read) -> Result<(), SourceError> {
    out.send(read).await.map_err(|_| SourceError::Transient { message: "the receiver is gone".into() })
}

/// A table whose definition changes while it is read is planned again.
fn read_error(error: Error) -> SourceError {
    match &error {
        Error::Server(ServerError { code, message, .. }) if REDEFINED.contains(code) => {
            SourceError::Redefined { message: format!("{DOING}: {message}") }
        }
        _ => query_error(DOING, error),
    }
}

fn redefined(error: SourceError) -> SourceError {
    match error {
        SourceError::Resync { message, .. } => SourceError::Redefined { message },
        other => other,
    }
}
