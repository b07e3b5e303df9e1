//! Follows a server's log: requests it from a position, passes every event to the [`Assembler`], and sends the results.
//!
//! The server sends something at least once per heartbeat; after `read_timeout_ms` of silence the connection counts as dead. Every end of
//! the stream, even an orderly one, is transient: the caller requests the log again from the last position.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::StreamExt;
use mysql_async::{BinlogStream, Error, ServerError};
use tokio::sync::Notify;

use super::assemble::{Assembler, Step};
use super::event::{RawEvent, kind};
use super::open::{self, FATAL_READING_LOG, StartAt};
use super::transaction::LogTransaction;
use super::watch::Watch;
use crate::sources::mysql::cascade::{self, Cascades};
use crate::sources::mysql::errors::transient;
use crate::sources::mysql::history;
use crate::sources::mysql::options::MysqlOptions;
use crate::sources::mysql::position::LogPosition;
use crate::sources::mysql::server::Server;
use crate::sources::mysql::side_effects;
use crate::sources::{Event, EventSender, HeldRows, Rejected, SourceError};
use crate::value::Position;

const DOING: &str = "reading the log";
/// How often a position without changes is sent.
const PROGRESS_EVERY: Duration = Duration::from_millis(200);

/// The engine closed the channel. This ends the run without an error.
pub(crate) struct HungUp;

/// Why following the log ended.
pub(crate) enum StreamEnd {
    HungUp,
    CaughtUp,
    Failed(SourceError),
}

impl From<HungUp> for StreamEnd {
    fn from(_: HungUp) -> StreamEnd {
        StreamEnd::HungUp
    }
}

impl From<SourceError> for StreamEnd {
    fn from(error: SourceError) -> StreamEnd {
        StreamEnd::Failed(error)
    }
}

/// Sends the events of a source, and [`Event::CaughtUp`] when the initial end of the log is reached.
#[derive(Debug)]
pub(crate) struct Outlet {
    pub(crate) out: EventSender,
    /// The position to reach for [`Event::CaughtUp`]; `None` once that was sent.
    pub(crate) end: Option<LogPosition>,
    pub(crate) until_caught_up: bool,
    told: Instant,
    untold: bool,
    /// The last position that was sent, or from which the run resumed.
    last: Position,
    /// Notified once the server sends its log and the position is found in it.
    pub(crate) verified: Arc<Notify>,
}

impl Outlet {
    pub(crate) fn new(out: EventSender, end: Option<LogPosition>, until_caught_up: bool, last: Position) -> Outlet {
        Outlet { out, end, until_caught_up, told: Instant::now(), untold: false, last, verified: Arc::default() }
    }

    pub(crate) async fn send(&self, event: Event) -> Result<(), HungUp> {
        self.out.send(event).await.map_err(|_| HungUp)
    }

    /// Sends the result of a step.
    pub(crate) async fn step(&mut self, step: Step, position: &LogPosition) -> Result<(), StreamEnd> {
        match step {
            Step::Nothing | Step::Asks(_) => return Ok(()),
            Step::Moved { committed_ms, rejected } => {
                self.untold = true;
                let has_rejected = !rejected.is_empty();
                self.rejected(rejected).await?;
                if has_rejected || self.told.elapsed() >= PROGRESS_EVERY {
                    self.tell(position, committed_ms).await?;
                }
            }
            Step::Committed { mut changes, committed_ms } => {
                self.rejected(std::mem::take(&mut changes.rejected)).await?;
                self.changes(changes).await?;
                self.last = position.to_position();
                self.send(Event::Commit { position: self.last.clone(), committed_ms }).await?;
                self.told = Instant::now();
                self.untold = false;
            }
        }
        self.check_end(position).await
    }

    /// Sends [`Event::CaughtUp`] if the end is reached.
    pub(crate) async fn check_end(&mut self, position: &LogPosition) -> Result<(), StreamEnd> {
        if self.end.as_ref().is_some_and(|end| position.reaches(end)) {
            self.end = None;
            self.end_here(position).await?;
            if self.until_caught_up {
                return Err(StreamEnd::CaughtUp);
            }
        }
        Ok(())
    }

    /// Sends [`Event::CaughtUp`] here, without regard to the expected end.
    pub(crate) async fn end_here(&mut self, position: &LogPosition) -> Result<(), HungUp> {
        if self.untold {
            self.tell(position, None).await?;
        }
        self.send(Event::CaughtUp).await
    }

    async fn tell(&mut self, position: &LogPosition, committed_ms: Option<u64>) -> Result<(), HungUp> {
        self.last = position.to_position();
        self.send(Event::Progress { position: self.last.clone(), committed_ms }).await?;
        self.told = Instant::now();
        self.untold = false;
        Ok(())
    }

    async fn rejected(&mut self, rejected: Vec<Rejected>) -> Result<(), HungUp> {
        for rejected in rejected {
            self.send(Event::Rejected(rejected)).await?;
        }
        Ok(())
    }

    async fn changes(&mut self, changes: LogTransaction) -> Result<(), StreamEnd> {
        let on_disk = |e: std::io::Error| SourceError::Transient { message: format!("a large transaction cannot be read back: {e}") };
        let mut batches = changes.into_steps().map_err(on_disk)?;
        loop {
            let batch = batches.next_batch().map_err(on_disk)?;
            if batch.is_empty() {
                return Ok(());
            }
            self.send(Event::Changes(batch)).await?;
        }
    }

    /// How long until a pending position must be sent; `None` if none is pending.
    fn due(&self) -> Option<Duration> {
        self.untold.then(|| PROGRESS_EVERY.saturating_sub(self.told.elapsed()))
    }
}

/// Reads the log from the assembler's position, until the engine closes the channel, the end is reached, or something fails.
pub(crate) async fn follow(
    options: &MysqlOptions,
    server: &Server,
    foreign_keys: &ForeignKeys<'_>,
    assembler: &mut Assembler,
    outlet: &mut Outlet,
) -> StreamEnd {
    match follow_inner(options, server, foreign_keys, assembler, outlet).await {
        Ok(never) => match never {},
        Err(ended) => ended,
    }
}

/// What foreign keys do, and the rows to which they do it.
pub(crate) struct ForeignKeys<'a> {
    pub(crate) cascades: &'a Cascades,
    pub(crate) held: &'a dyn HeldRows,
}

impl ForeignKeys<'_> {
    /// Adds to a transaction what foreign keys do to other rows. `last` is the last position that was sent.
    async fn carry_out(&self, options: &MysqlOptions, step: Step, last: &Position) -> Result<Step, SourceError> {
        let Step::Committed { changes, committed_ms } = step else { return Ok(step) };
        if !changes.has_parents() && !changes.has_children() {
            return Ok(Step::Committed { changes, committed_ms });
        }
        if changes.has_parents() {
            self.cascades.allow_parents()?;
            self.held.wait_for(last).await?;
        }
        let mut changes = cascade::carry_out(self.cascades, options, self.held, changes).await?;
        Ok(match changes.is_empty() {
            true => Step::Moved { committed_ms, rejected: std::mem::take(&mut changes.rejected) },
            false => Step::Committed { changes, committed_ms },
        })
    }
}

enum Never {}

async fn follow_inner(
    options: &MysqlOptions,
    server: &Server,
    foreign_keys: &ForeignKeys<'_>,
    assembler: &mut Assembler,
    outlet: &mut Outlet,
) -> Result<Never, StreamEnd> {
    let mut watch = Watch::new(outlet.end.as_ref());
    let mut stream = open(options, server, assembler.position()).await?;
    let read_timeout = Duration::from_millis(options.read_timeout_ms);
    let mut is_verified = false;
    loop {
        let event = tokio::select! {
            biased;
            event = tokio::time::timeout(read_timeout, stream.next()) => event,
            () = tokio::time::sleep(outlet.due().unwrap_or(read_timeout)), if outlet.due().is_some() => {
                outlet.tell(assembler.position(), None).await?;
                continue;
            }
            () = outlet.out.closed() => return Err(StreamEnd::HungUp),
        };
        let event = match event {
            Err(_) => return Err(silent(options).into()),
            Ok(None) => return Err(SourceError::Transient { message: format!("{DOING}: the server ended the connection") }.into()),
            Ok(Some(Err(error))) => return Err(stream_error(assembler.position(), error).into()),
            Ok(Some(Ok(event))) => event,
        };
        // The first event arrives immediately. The server has then chosen its start position.
        if !std::mem::replace(&mut is_verified, true) {
            history::verify(options, server, assembler.position()).await?;
            outlet.verified.notify_one();
            outlet.check_end(assembler.position()).await?;
        }
        let raw = RawEvent::from_event(&event);
        watch.pass(&raw, assembler.position())?;
        let mut step = assembler.next(&event)?;
        if let Step::Asks(written) = step {
            let reaches_further = side_effects::find(options, server, &written, foreign_keys.cascades).await?;
            step = assembler.answer(written, reaches_further)?;
        }
        let step = foreign_keys.carry_out(options, step, &outlet.last).await?;
        outlet.step(step, assembler.position()).await?;
        if matches!(raw.kind, kind::HEARTBEAT | kind::HEARTBEAT_2) {
            watch.look(&raw, options, server, assembler.position()).await?;
        }
    }
}

fn silent(options: &MysqlOptions) -> SourceError {
    SourceError::Transient { message: format!("{DOING}: the server was silent for {} ms", options.read_timeout_ms) }
}

/// Connects and requests the log.
async fn open(options: &MysqlOptions, server: &Server, from: &LogPosition) -> Result<BinlogStream, SourceError> {
    let start = match &from.gtid {
        Some(gtid) if server.has_gtids => StartAt::Gtids(gtid),
        _ => {
            let not_here = || SourceError::Resync { message: format!("the position `{from}` is not valid at this server"), table: None };
            let place = from.file.as_ref().filter(|_| from.server == server.identity).ok_or_else(not_here)?;
            if place.offset > u32::MAX as u64 {
                return Err(SourceError::Stopped {
                    message: format!("the offset {} of the log is too large to be requested without GTIDs", place.offset),
                    help: Some("switch GTIDs on at the server, or keep max_binlog_size at 1 GB and transactions below 4 GB".into()),
                });
            }
            StartAt::File { file: &place.file, offset: place.offset }
        }
    };
    let (conn, request) = open::prepare(options, server, start, options.server_id).await?;
    conn.get_binlog_stream(request).await.map_err(open::error)
}

const MARIADB_NEEDS_UNIQUE_ID: u16 = 4052;

fn stream_error(from: &LogPosition, error: Error) -> SourceError {
    match &error {
        Error::Server(ServerError { code: MARIADB_NEEDS_UNIQUE_ID, message, .. }) => {
            SourceError::Transient { message: format!("{DOING}: {message}; another reader has the same `server_id`") }
        }
        Error::Server(ServerError { code: FATAL_READING_LOG, message, .. }) if message.contains("same server") => {
            SourceError::Transient { message: format!("{DOING}: {message}; another reader has the same `server_id`") }
        }
        Error::Server(ServerError { code: FATAL_READING_LOG, message, .. }) => {
            let message = format!("the server cannot give its log from `{from}` on: {message}");
            match message.contains("anonymous transaction") {
                true => SourceError::Stopped {
                    message,
                    help: Some("SET GLOBAL gtid_mode = ON_PERMISSIVE; and ON again once a run has caught up".into()),
                },
                // The log was purged before it was read; binlog_expire_logs_seconds determines how long it is kept.
                false => SourceError::Resync { message, table: None },
            }
        }
        _ => transient(DOING, error),
    }
}
