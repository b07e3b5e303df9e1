//! Notices that the followed log is no longer the server's log.
//!
//! After a reset a server may leave a reader at the old file, to which nothing is written any more, and later continue with the next file as
//! if it followed. So while no changes arrive, this module asks the server where its log ends: the log must have everything that was read, at
//! the latest when it is asked again, and what it has must arrive before the next question, unless the server's heartbeats show that it still
//! searches for the requested position, which it does from the beginning of a file. Also, a file that was begun meanwhile must follow a file
//! that announced it at its end, because a server that crashes ends the stream.

use std::time::{Duration, Instant};

use mysql_async::Conn;

use super::event::{self, RawEvent, kind};
use super::gtid::GtidPosition;
use crate::sources::SourceError;
use crate::sources::mysql::connect::connect_to;
use crate::sources::mysql::options::MysqlOptions;
use crate::sources::mysql::position::{LogFilePosition, LogPosition};
use crate::sources::mysql::server::Server;

/// Watches one stream.
#[derive(Debug)]
pub(crate) struct Watch {
    /// The end of the log when the stream was begun, if known.
    newest: Option<LogFilePosition>,
    /// The connection for questions, opened when first needed.
    conn: Option<Conn>,
    /// What had not been read when the server was last asked.
    unread: Option<Unread>,
    /// Whether the log lacked something that was read when the server was last asked.
    lacks: bool,
    /// When the server was last asked.
    asked: Option<Instant>,
    /// Whether a file has begun in this stream.
    has_begun: bool,
    /// Whether the current file announced the next one at its end.
    was_closed: bool,
}

#[derive(Debug)]
struct Unread {
    end: LogPosition,
    /// The position that had been read then.
    read: LogPosition,
    /// Where the server was then.
    at: ServerPlace,
}

/// Where in its log the server is when it sends a heartbeat, as it says it.
#[derive(Debug, PartialEq, Eq)]
struct ServerPlace {
    offset: u32,
    file: Vec<u8>,
}

impl Watch {
    /// `end` is where the log ended just before.
    pub(crate) fn new(end: Option<&LogPosition>) -> Watch {
        let newest = end.and_then(|end| end.file.clone());
        Watch { newest, conn: None, unread: None, lacks: false, asked: None, has_begun: false, was_closed: false }
    }

    /// Inspects an event before the assembler gets it; `position` is the position before the event. Each file begins with an artificial
    /// ROTATE, which must follow a real one for all files but the first.
    pub(crate) fn pass(&mut self, raw: &RawEvent, position: &LogPosition) -> Result<(), SourceError> {
        let is_made_up = raw.is_artificial() || raw.timestamp == 0;
        match raw.kind {
            kind::STOP => self.was_closed = true,
            kind::ROTATE if !is_made_up => self.was_closed = true,
            kind::ROTATE => {
                let follows = std::mem::take(&mut self.was_closed);
                let is_first = !std::mem::replace(&mut self.has_begun, true);
                if !follows && !is_first && self.is_newer(raw) {
                    return Err(was_reset(position));
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Whether the file that a ROTATE names was begun after the stream.
    fn is_newer(&self, raw: &RawEvent) -> bool {
        let file =
            event::rotate(raw.body).map(|(name, offset)| LogFilePosition { file: String::from_utf8_lossy(name).into_owned(), offset });
        match (&self.newest, file) {
            (Some(newest), Ok(file)) => file.number() > newest.number(),
            _ => false,
        }
    }

    /// Called with a heartbeat. A server that skips unrequested transactions sends heartbeats too, but their offset advances.
    pub(crate) async fn look(
        &mut self,
        beat: &RawEvent<'_>,
        options: &MysqlOptions,
        server: &Server,
        position: &LogPosition,
    ) -> Result<(), SourceError> {
        let at = ServerPlace { offset: beat.next_offset, file: beat.body.to_vec() };
        let pause = Duration::from_millis(options.heartbeat_ms) / 2;
        if self.asked.is_some_and(|asked| asked.elapsed() < pause) {
            return Ok(());
        }
        self.asked = Some(Instant::now());
        if let Some(Unread { end, read, at: before }) = self.unread.take()
            && read == *position
            && before == at
            && !has_read(position, &end, server)
        {
            return Err(was_reset(position));
        }
        let timeout = Duration::from_millis(options.read_timeout_ms);
        let late = || SourceError::Transient { message: "no answer".into() };
        let end = match tokio::time::timeout(timeout, self.ask(options, server)).await.unwrap_or_else(|_| Err(late())) {
            Ok(end) => end,
            // The server may allow no more connections. The log itself is still followed.
            Err(error) => {
                self.conn = None;
                tracing::warn!(reason = %error, "the server cannot be asked how far its log is");
                return Ok(());
            }
        };
        // A slow MySQL sends a transaction some time before it counts it among the executed ones.
        let lacks = !has(&end, position);
        if std::mem::replace(&mut self.lacks, lacks) && lacks {
            return Err(was_reset(position));
        }
        self.unread = if has_read(position, &end, server) { None } else { Some(Unread { end, read: position.clone(), at }) };
        Ok(())
    }

    async fn ask(&mut self, options: &MysqlOptions, server: &Server) -> Result<LogPosition, SourceError> {
        let conn = match &mut self.conn {
            Some(conn) => conn,
            none => none.insert(connect_to(server, options).await?),
        };
        server.end_of_log(conn).await
    }
}

/// Whether a log that ends there contains what was read.
pub(crate) fn has(end: &LogPosition, read: &LogPosition) -> bool {
    let by_gtid = match (&end.gtid, &read.gtid) {
        (Some(end), Some(read)) => end.contains(read),
        _ => true,
    };
    let by_file = match (&end.file, &read.file) {
        (Some(end), Some(read)) => end.reaches(read),
        _ => true,
    };
    by_gtid && by_file
}

/// Whether everything up to this end of the log was read. Of MySQL's GTIDs, only the server's own are certain to be in its log.
fn has_read(read: &LogPosition, end: &LogPosition, server: &Server) -> bool {
    match (&read.gtid, &end.gtid) {
        (Some(GtidPosition::Mysql(read)), Some(GtidPosition::Mysql(end))) => read.contains(&end.made_by(&server.identity)),
        (Some(read), Some(end)) => read.contains(end),
        _ => match (&read.file, &end.file) {
            (Some(read), Some(end)) => read.reaches(end),
            _ => true,
        },
    }
}

fn was_reset(position: &LogPosition) -> SourceError {
    SourceError::Resync { message: format!("the server's log was reset, or is another one, after `{position}`"), table: None }
}
