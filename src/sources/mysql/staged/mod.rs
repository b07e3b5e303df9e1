//! Stages tables: reads them in chunks while the log is followed, so that an interrupted capture goes on where it was.
//!
//! `chunks` cuts tables, `reader` reads the chunks, and this file puts chunks and log into one sequence of events. The log is complete from a
//! position that no later read can miss, because one read saw exactly that position. The rows are exact once all chunks are read and the log
//! is read up to an end that was looked up after the last chunk, by file and offset: a transaction is in the file before anybody can see it.
//! Elsewhere: why chunks and log may overlap (`sources::staged`).
//!
//! Only tables with a key are staged, of a server whose log has everything that foreign keys do to them; others are captured by one consistent
//! read (`snapshot`).

mod chunks;
mod reader;

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mysql_async::Conn;
use mysql_async::prelude::Queryable;
use tokio::sync::{Notify, mpsc};

use self::chunks::{ChunkProgress, TableChunks};
use self::reader::{Read, ReadChunk};
use super::binlog::assemble::Assembler;
use super::binlog::stream::{self, ForeignKeys, Outlet, StreamEnd};
use super::binlog::watch;
use super::cascade::Cascades;
use super::connect::{connect, connect_to};
use super::options::MysqlOptions;
use super::position::LogPosition;
use super::schema::{self, MysqlTable};
use super::server::Server;
use super::{close, history, preflight, snapshot, snapshot_lock, unchanged};
use crate::sources::{
    Event, EventSender, MemoryRows, Rejected, SourceError, StagedCapture, StagedEvent, StagedMark, StagedSender, Table, notes_table,
};
use crate::value::Position;

/// How often the place in the log is noted.
const MARK_EVERY: Duration = Duration::from_millis(500);
/// How often the server is asked until its tables and its status are where its log is.
const LOOK_AGAIN: Duration = Duration::from_millis(20);
const LOOKS: usize = 500;
/// What is noted of the table of notes, once its rows were sent.
const NOTED: &str = "noted";

/// Whether these tables can be staged.
pub(super) async fn can_stage(options: &MysqlOptions, tables: &[Table]) -> Result<bool, SourceError> {
    let captured = tables.strip_suffix(&[notes_table()]).unwrap_or(tables);
    if captured.iter().any(|table| table.key.is_empty()) {
        return Ok(false);
    }
    let mut conn = connect(options).await?;
    let server = Server::identify(&mut conn).await?;
    let tables = read_tables(&mut conn, &server, options, captured).await?;
    let cascades = Cascades::of_server(&mut conn, &server, options, &tables).await?;
    let end = server.end_of_log(&mut conn).await?;
    close(conn).await;
    Ok(!cascades.follows_some() && end.file.is_some())
}

pub(super) async fn stage(options: &MysqlOptions, capture: StagedCapture, out: StagedSender) -> Result<(), SourceError> {
    let mut conn = connect(options).await?;
    let server = Server::identify(&mut conn).await?;
    let has_notes = capture.tables.last() == Some(&notes_table());
    let captured = capture.tables.strip_suffix(&[notes_table()]).unwrap_or(&capture.tables);
    let tables = read_tables(&mut conn, &server, options, captured).await?;
    preflight::refuse_unsafe(&mut conn, &server, options, &tables).await?;
    let database = options.database().filter(|_| tables.iter().any(MysqlTable::is_named_without_database));
    let cascades = Cascades::of_server(&mut conn, &server, options, &tables).await?;
    if cascades.follows_some() {
        return Err(again("foreign keys act on the tables now"));
    }
    let cascades = Arc::new(if has_notes { cascades } else { cascades.without_notes()? });
    let from = match &capture.from {
        None => None,
        Some(position) => {
            let from = LogPosition::try_from(position)?;
            if from.server != server.identity {
                return Err(again("the connection now leads to another server"));
            }
            Some(history::place(&mut conn, &server, from, database).await?)
        }
    };
    // A reader of the log with the `server_id` of the spec may be connected already.
    let options = &MysqlOptions { server_id: None, ..options.clone() };
    let stager = Stager { options, server: &server, cascades, tables: capture.tables.len(), out };
    match capture.until {
        Some(until) => {
            close(conn).await;
            let from = from.ok_or_else(|| again("nothing is staged yet"))?;
            stager.follow_until(from, &until).await
        }
        None => stager.read_all(conn, &capture, from, database, has_notes).await,
    }
}

/// Reads the definitions of tables, which must be those that the capture expects.
async fn read_tables(conn: &mut Conn, server: &Server, options: &MysqlOptions, expected: &[Table]) -> Result<Vec<MysqlTable>, SourceError> {
    let names: Vec<String> = expected.iter().map(|table| table.name.clone()).collect();
    let tables = schema::read_tables(conn, server, options, &names).await?;
    unchanged(expected, &tables)?;
    Ok(tables)
}

/// What was staged is of no use.
fn again(why: &str) -> SourceError {
    SourceError::Resync { message: why.into(), table: None }
}

fn gone() -> SourceError {
    SourceError::Transient { message: "the receiver is gone".into() }
}

struct Stager<'a> {
    options: &'a MysqlOptions,
    server: &'a Server,
    cascades: Arc<Cascades>,
    /// The number of tables, with that of notes.
    tables: usize,
    out: StagedSender,
}

impl Stager<'_> {
    /// The captured tables, without those that only foreign keys need.
    fn captured(&self) -> &[MysqlTable] {
        &self.cascades.tables[..self.cascades.notes_table()]
    }

    async fn send(&self, event: StagedEvent) -> Result<(), SourceError> {
        self.out.send(event).await.map_err(|_| gone())
    }

    /// Follows the log from a position on. Without an end it returns only with an error. `verified` is notified once the server sends its log
    /// from there.
    async fn follow(
        &self,
        from: LogPosition,
        end: Option<LogPosition>,
        verified: Arc<Notify>,
        out: EventSender,
    ) -> Result<(), SourceError> {
        let last = from.to_position();
        let tables = self.cascades.tables.clone();
        let assembler = Assembler::new(tables, self.server.name_case(), self.options.zero_dates, from);
        let mut assembler = assembler.with_roles(self.cascades.roles());
        let until_end = end.is_some();
        let mut outlet = Outlet::new(out, end, until_end, last);
        outlet.verified = verified;
        let held = MemoryRows::new(&[], None);
        let foreign_keys = ForeignKeys { cascades: &self.cascades, held: &held };
        match stream::follow(self.options, self.server, &foreign_keys, &mut assembler, &mut outlet).await {
            StreamEnd::CaughtUp => Ok(()),
            StreamEnd::HungUp => Err(gone()),
            StreamEnd::Failed(error) => Err(error),
        }
    }

    /// Follows the log from one position to another.
    async fn follow_until(&self, from: LogPosition, position: &Position) -> Result<(), SourceError> {
        let until = LogPosition::try_from(position)?;
        let mut at = from.clone();
        if !from.reaches(&until) {
            let (log_out, mut log) = mpsc::channel(8);
            let passing_on = async {
                while let Some(event) = log.recv().await {
                    if let Some(position) = self.pass_on(event).await? {
                        at = LogPosition::try_from(&position)?;
                    }
                }
                Ok(())
            };
            tokio::try_join!(self.follow(from, Some(until.clone()), Arc::default(), log_out), passing_on)?;
        }
        if !until.reaches(&at) {
            return Err(again("the log went on past the position of the other tables"));
        }
        self.send(StagedEvent::Reached(StagedMark { progress: vec![None; self.tables], position: position.clone(), exact: true })).await
    }

    /// Passes an event of the log on. Returns the position after it, if it has one.
    async fn pass_on(&self, event: Event) -> Result<Option<Position>, SourceError> {
        match event {
            Event::Changes(deltas) => self.send(StagedEvent::Changes(deltas)).await?,
            Event::Rejected(rejected) => self.send(StagedEvent::Rejected(rejected)).await?,
            Event::Waiting(what) => self.send(StagedEvent::Waiting(what)).await?,
            Event::Commit { position, .. } | Event::Progress { position, .. } => return Ok(Some(position)),
            Event::SnapshotPlan { .. } | Event::Rows { .. } | Event::SnapshotDone { .. } | Event::CaughtUp => {}
        }
        Ok(None)
    }

    /// Reads what is missing.
    async fn read_all(
        &self,
        mut conn: Conn,
        capture: &StagedCapture,
        from: Option<LogPosition>,
        database: Option<&str>,
        has_notes: bool,
    ) -> Result<(), SourceError> {
        let tables = Arc::new(self.captured().to_vec());
        let noted = |table: usize| capture.progress.get(table).and_then(Option::as_ref);
        let progress = |table: usize| match noted(table) {
            None => Ok(ChunkProgress::default()),
            Some(noted) => serde_json::from_str(noted).map_err(|_| again("how far the tables were read is not understood")),
        };
        let progress = (0..tables.len()).map(progress).collect::<Result<Vec<ChunkProgress>, SourceError>>()?;
        let expected = snapshot::estimate(&mut conn, &tables).await?;
        let read = progress.iter().map(|table| table.rows).collect();
        self.send(StagedEvent::Plan { expected: expected.clone(), read }).await?;
        let readers = self.options.snapshot_connections;
        let rows_per_second = self.options.snapshot_rows_per_second.map(|rows| rows / readers as u64);
        let chunks = Arc::new(TableChunks::new(tables, progress, &expected, readers, rows_per_second));
        let (log_out, mut log) = mpsc::channel(8);
        let (read_out, mut read) = mpsc::channel(4);
        let (begin, mut begun) = mpsc::channel(1);
        let (finish, mut finished) = mpsc::channel(1);
        let producing = async {
            let from = self.start(&mut conn, from, database, &log_out).await?;
            // A user may be limited to a few connections, so none is kept for later, and the log comes first.
            close(conn).await;
            begin.send(from.clone()).await.map_err(|_| gone())?;
            let verified = Arc::<Notify>::default();
            let following = self.follow(from, None, verified.clone(), log_out);
            let reading = async {
                verified.notified().await;
                reader::read(&chunks, &self.cascades, self.options, self.server, &read_out).await?;
                finish.send(self.end_of_log().await?).await.map_err(|_| gone())
            };
            tokio::try_join!(following, reading)?;
            Err::<Infallible, SourceError>(gone())
        };
        let taking = async {
            if has_notes && noted(self.cascades.notes_table()).is_none() {
                self.send(StagedEvent::Rows { table: self.cascades.notes_table(), rows: self.cascades.definitions() }).await?;
            }
            let mut taken =
                Taken { at: None, end: None, rejected: Vec::new(), early: BTreeMap::new(), is_new: false, marked: Instant::now() };
            loop {
                tokio::select! {
                    Some(event) = log.recv() => match event {
                        // It is told with the position behind it: before, the log may be read again.
                        Event::Rejected(rejected) => taken.rejected.push(rejected),
                        event => if let Some(position) = self.pass_on(event).await? {
                            taken.at = Some(LogPosition::try_from(&position)?);
                            for rejected in taken.rejected.drain(..) {
                                self.send(StagedEvent::Rejected(rejected)).await?;
                            }
                        },
                    },
                    Some(position) = begun.recv() => taken.at = taken.at.or(Some(position)),
                    Some(event) = read.recv() => self.take(event, &chunks, &mut taken).await?,
                    // The readers have ended, and everything that they sent is taken.
                    Some(end) = finished.recv(), if read.is_empty() => {
                        tracing::debug!(%end, at = taken.at.as_ref().map(ToString::to_string), "everything is read");
                        taken.end = Some(end);
                    }
                }
                if let Some(at) = taken.due() {
                    let exact = taken.is_exact(at)?;
                    if exact {
                        self.confirm(at).await?;
                    }
                    let progress = self.progress(&chunks, has_notes);
                    self.send(StagedEvent::Reached(StagedMark { progress, position: at.to_position(), exact })).await?;
                    (taken.marked, taken.is_new) = (Instant::now(), false);
                    if exact {
                        return Ok(());
                    }
                }
            }
        };
        tokio::select! {
            biased;
            taken = taking => taken,
            Err(error) = producing => Err(error),
        }
    }

    /// Passes on what the readers send. Chunks of a table are passed on in the order of the key, which is the fastest order to store them in.
    async fn take(&self, event: Read, chunks: &TableChunks, taken: &mut Taken) -> Result<(), SourceError> {
        let part = match event {
            Read::Waiting(what) => return self.send(StagedEvent::Waiting(what)).await,
            Read::Chunk(part) => part,
        };
        let table = part.table;
        taken.early.entry((table, part.number)).or_default().push(part);
        while let Some(number) = chunks.first_open(table) {
            let mut rows_of_chunk = 0;
            let Some(parts) = taken.early.get_mut(&(table, number)) else { break };
            let is_whole = parts.last().is_some_and(|part| part.is_last);
            for part in std::mem::take(parts) {
                for rejected in part.rejected {
                    self.send(StagedEvent::Rejected(rejected)).await?;
                }
                for rows in part.rows {
                    rows_of_chunk += rows.len() as u64;
                    self.send(StagedEvent::Rows { table, rows }).await?;
                }
            }
            chunks.sent(table, rows_of_chunk);
            if !is_whole {
                break;
            }
            taken.early.remove(&(table, number));
            chunks.done(table, number);
            taken.is_new = true;
        }
        Ok(())
    }

    fn progress(&self, chunks: &TableChunks, has_notes: bool) -> Vec<Option<String>> {
        let of_tables = (0..self.captured().len()).map(|table| serde_json::to_string(&chunks.progress(table)).ok());
        of_tables.chain(has_notes.then(|| Some(NOTED.into()))).collect()
    }

    /// The position to follow the log from. Everything before it is seen by every later read.
    async fn start(
        &self,
        conn: &mut Conn,
        from: Option<LogPosition>,
        database: Option<&str>,
        out: &EventSender,
    ) -> Result<LogPosition, SourceError> {
        for _ in 0..LOOKS {
            let opened = snapshot_lock::open(conn, self.server, self.options, self.captured(), 1, out).await?;
            for mut conn in opened.connections {
                let _ = conn.query_drop("ROLLBACK").await;
                close(conn).await;
            }
            match &from {
                None => return history::remember(self.server, self.options, opened.position, database).await,
                Some(from) if opened.position.reaches(from) => return Ok(from.clone()),
                Some(_) => tokio::time::sleep(LOOK_AGAIN).await,
            }
        }
        Err(SourceError::Transient { message: "the server's tables lag behind its log".into() })
    }

    /// Fails if the server's log does not have what was followed, so that places in it mean nothing: it was reset meanwhile.
    async fn confirm(&self, at: &LogPosition) -> Result<(), SourceError> {
        for _ in 0..LOOKS {
            if watch::has(&self.end_of_log().await?, at) {
                return Ok(());
            }
            // A slow server counts a transaction late.
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        Err(again("the server's log was reset, or is another one"))
    }

    /// The end of the log, by file and offset.
    async fn end_of_log(&self) -> Result<LogPosition, SourceError> {
        let mut conn = connect_to(self.server, self.options).await?;
        let end = self.server.end_of_log(&mut conn).await?;
        close(conn).await;
        match end.file {
            Some(_) => Ok(end),
            None => Err(SourceError::Transient { message: "the server does not tell the place at which its log ends".into() }),
        }
    }
}

/// What was sent of log and chunks.
struct Taken {
    /// All changes of the log up to here.
    at: Option<LogPosition>,
    /// All chunks, and the end of the log after the last one.
    end: Option<LogPosition>,
    /// What the log has rejected after `at`.
    rejected: Vec<Rejected>,
    /// Chunks that are read before an earlier one of their table, by table and number.
    early: BTreeMap<(usize, u64), Vec<ReadChunk>>,
    /// Whether a chunk was sent after the last mark.
    is_new: bool,
    /// When a mark was sent.
    marked: Instant,
}

impl Taken {
    /// The position of the mark that must be sent now.
    fn due(&self) -> Option<&LogPosition> {
        let at = self.at.as_ref()?;
        (self.is_new || self.marked.elapsed() >= MARK_EVERY || self.is_exact(at).unwrap_or(true)).then_some(at)
    }

    /// Whether everything that the chunks have seen is before this position.
    fn is_exact(&self, at: &LogPosition) -> Result<bool, SourceError> {
        let Some(end) = self.end.as_ref().and_then(|end| end.file.as_ref()) else { return Ok(false) };
        match &at.file {
            Some(at) => Ok(at.reaches(end)),
            None => Err(again("the place in the log's file is not known")),
        }
    }
}
