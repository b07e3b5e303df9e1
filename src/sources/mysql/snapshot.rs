//! Reads the tables as of one position in the log. Several connections read in parallel, each a range of a table's primary key.
//!
//! In: connections inside one consistent read (`snapshot_lock`). Out: batches of packed rows, in any order. One connection finds the ranges
//! while the others read them. Rows are sent as they arrive, so memory does not grow with the table.

use std::sync::Arc;

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Row as MysqlRow};
use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinSet;

use super::cascade::Cascades;
use super::errors::{query_error, transient};
use super::options::MysqlOptions;
use super::pace::Pace;
use super::ranges;
use super::schema::MysqlTable;
use super::select::{RowReader, select_list};
use super::values::ValueWriter;
use crate::sources::{Event, EventSender, Notes, SourceError};
use crate::value::Rows;

const ROWS_PER_EVENT: usize = 2048;
/// A batch is sent early when its rows have this many bytes.
const BYTES_PER_EVENT: usize = 1 << 20;
const DOING: &str = "reading the snapshot";

/// A part of a table: the rows that match a condition.
#[derive(Debug)]
pub(super) struct TablePart {
    pub(super) table: usize,
    /// An SQL condition; `None` for the whole table.
    pub(super) condition: Option<String>,
}

/// Sends every row of every table.
pub(super) async fn read(
    connections: Vec<Conn>,
    cascades: &Arc<Cascades>,
    options: &MysqlOptions,
    out: &EventSender,
) -> Result<(), SourceError> {
    let (parts_in, parts) = mpsc::channel(2 * connections.len().max(1));
    let parts = Arc::new(Mutex::new(parts));
    let pace = options.snapshot_rows_per_second.map(|rate| Arc::new(Pace::new(rate)));
    let mut readers = JoinSet::new();
    let definitions = cascades.definitions();
    if !definitions.is_empty() {
        tell(out, Event::Rows { table: cascades.notes_table(), rows: definitions }).await?;
    }
    let mut planner = Some(parts_in);
    for mut conn in connections {
        let (cascades, parts, out, pace) = (cascades.clone(), parts.clone(), out.clone(), pace.clone());
        let writer = ValueWriter::new(options.zero_dates);
        let planner = planner.take();
        readers.spawn(async move {
            let mut reader = PartReader { cascades: &cascades, out: &out, writer, notes: Notes::default(), pace: pace.as_deref() };
            // The first connection plans. It reads the parts itself that the channel has no room for.
            if let Some(parts_in) = planner {
                reader.plan(&mut conn, parts_in).await?;
            }
            reader.work(&mut conn, &parts).await?;
            let _ = conn.query_drop("ROLLBACK").await;
            let _ = conn.disconnect().await;
            Ok::<(), SourceError>(())
        });
    }
    while let Some(ended) = readers.join_next().await {
        match ended {
            Ok(result) => result?,
            Err(panic) => std::panic::resume_unwind(panic.into_panic()),
        }
    }
    Ok(())
}

/// The server's estimate of the number of rows per table.
pub(super) async fn estimate(conn: &mut Conn, tables: &[MysqlTable]) -> Result<Vec<Option<u64>>, SourceError> {
    let mut estimates = Vec::with_capacity(tables.len());
    for table in tables {
        let query = format!("SELECT TABLE_ROWS FROM information_schema.TABLES WHERE {}", table.at().filter());
        let row: Option<MysqlRow> = conn.query_first(query).await.map_err(|e| query_error(DOING, e))?;
        estimates.push(row.and_then(|row| row.get_opt::<Option<u64>, usize>(0)).and_then(Result::ok).flatten());
    }
    Ok(estimates)
}

struct PartReader<'a> {
    cascades: &'a Cascades,
    out: &'a EventSender,
    writer: ValueWriter,
    notes: Notes,
    pace: Option<&'a Pace>,
}

impl PartReader<'_> {
    /// Finds the parts of all tables. A part that the channel has no room for is read here.
    async fn plan(&mut self, conn: &mut Conn, parts: mpsc::Sender<TablePart>) -> Result<(), SourceError> {
        for table in self.cascades.snapshot_tables() {
            let described = &self.cascades.tables[table];
            let mut boundaries = ranges::Boundaries::read(conn, described).await.map_err(|e| query_error(DOING, e))?;
            while let Some(condition) = boundaries.next(conn, described).await.map_err(|e| query_error(DOING, e))? {
                match parts.try_send(TablePart { table, condition }) {
                    Ok(()) => {}
                    Err(mpsc::error::TrySendError::Full(part) | mpsc::error::TrySendError::Closed(part)) => {
                        self.read(conn, &part).await?;
                    }
                }
            }
        }
        Ok(())
    }

    async fn work(&mut self, conn: &mut Conn, parts: &Mutex<mpsc::Receiver<TablePart>>) -> Result<(), SourceError> {
        loop {
            let part = parts.lock().await.recv().await;
            match part {
                Some(part) => self.read(conn, &part).await?,
                None => return Ok(()),
            }
        }
    }

    async fn read(&mut self, conn: &mut Conn, part: &TablePart) -> Result<(), SourceError> {
        let table = &self.cascades.tables[part.table];
        let condition = part.condition.as_ref().map_or(String::new(), |c| format!(" WHERE {c}"));
        let query = format!("SELECT {} FROM {}{condition}", select_list(table), table.quoted());
        let mut reader = RowReader::new(table, &mut self.writer);
        let mut result = conn.exec_iter(query, ()).await.map_err(|e| query_error(DOING, e))?;
        let most = self.pace.map_or(ROWS_PER_EVENT, |pace| pace.rows_at_once(ROWS_PER_EVENT));
        let mut rows = Rows::default();
        while let Some(row) = result.next().await.map_err(|e| transient(DOING, e))? {
            if let Some(bad) = reader.read(&row, &mut rows)? {
                self.cascades.allow_unreadable(part.table)?;
                tell(self.out, Event::Rejected(bad.rejected(table, "in the snapshot"))).await?;
            }
            if rows.len() == most || rows.bytes_len() >= BYTES_PER_EVENT {
                send(self.out, &mut self.notes, self.cascades, self.pace, part.table, std::mem::take(&mut rows)).await?;
            }
        }
        if rows.is_empty() { Ok(()) } else { send(self.out, &mut self.notes, self.cascades, self.pace, part.table, rows).await }
    }
}

/// Sends rows of a table, and the notes of them.
async fn send(
    out: &EventSender,
    notes: &mut Notes,
    cascades: &Cascades,
    pace: Option<&Pace>,
    table: usize,
    rows: Rows,
) -> Result<(), SourceError> {
    if let Some(pace) = pace {
        pace.wait_for(rows.len()).await;
    }
    let mut noted = Vec::new();
    rows.iter().for_each(|row| cascades.notes_of(table, row, notes, &mut noted));
    if cascades.is_captured(table) {
        tell(out, Event::Rows { table, rows }).await?;
    }
    if noted.is_empty() {
        return Ok(());
    }
    let noted = noted.iter().map(|note| &note[..]).collect();
    tell(out, Event::Rows { table: cascades.notes_table(), rows: noted }).await
}

async fn tell(out: &EventSender, event: Event) -> Result<(), SourceError> {
    out.send(event).await.map_err(|_| SourceError::Transient { message: "the receiver is gone".into() })
}
