//! Checks whether a server's log is the one that a position was read from.
//!
//! A server that was reset numbers its transactions anew, and another server has its own numbers. So even if a server accepts a position, it
//! may have another history. This module looks up what the position remembers: at the same server the event before the position, at another
//! one (a replica, a promoted one) the last transaction and its commit time. Out: the position for this server, or [`SourceError::Resync`].
//! Elsewhere: a log that is replaced while it is followed (`binlog::watch`).

use std::time::Duration;

use futures::StreamExt;
use mysql_async::{BinlogStream, BinlogStreamRequest, Conn, Error, ServerError};
use mysql_common::binlog::events::Event;

use super::binlog::event::{RawEvent, kind};
use super::binlog::gtid::{DomainGtid, GtidPosition, MariadbGtids};
use super::binlog::open::{self, FATAL_READING_LOG, StartAt};
use super::binlog::trail;
use super::options::MysqlOptions;
use super::position::{LastTransaction, LogEvent, LogFilePosition, LogPosition};
use super::server::{Flavour, Server, one, parse_mariadb};
use crate::sources::SourceError;

const DOING: &str = "looking for the position in the server's log";

/// The result of a lookup in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LogLookup {
    Same,
    Another,
    /// The log no longer reaches back that far.
    Gone,
}

/// Returns the position to request from this server, after all checks that need no reading of the log. `database` is the database of tables
/// whose name has none.
pub(super) async fn place(conn: &mut Conn, server: &Server, from: LogPosition, database: Option<&str>) -> Result<LogPosition, SourceError> {
    if let (Some(before), Some(now)) = (&from.database, database)
        && !server.same_name(before, now)
    {
        return Err(resync(&from, &format!("is of the database `{before}`, but the tables are now in `{now}`")));
    }
    if from.flavour != server.flavour {
        return Err(resync(&from, "is of the other kind of server"));
    }
    if from.server != server.identity && (from.gtid.is_none() || !server.has_gtids) {
        return Err(resync(&from, "is a file of another server, and only transactions with a GTID are found at this one"));
    }
    if let Some(gtid) = &from.gtid
        && !was_executed(conn, server, gtid).await?
    {
        return Err(resync(&from, "has transactions that this server never had: its log was reset, or it is another server"));
    }
    Ok(LogPosition { database: database.map(Into::into), ..from.at_server(server) })
}

/// Looks the position up in the log. Call it once the server has begun to send its log from there: an earlier reset is detected, and a later
/// one does not change what is sent.
pub(super) async fn verify(options: &MysqlOptions, server: &Server, from: &LogPosition) -> Result<(), SourceError> {
    let found = match (&from.file, &from.event) {
        (Some(place), Some(event)) => look_at_event(options, server, place, *event).await?,
        _ => LogLookup::Gone,
    };
    let found = match (&from.last, found) {
        (Some(last), LogLookup::Gone) if server.has_gtids && from.gtid.is_some() => look_for(options, server, from, last).await?,
        _ => found,
    };
    let was_at_another_server = from.file.is_none();
    match found {
        LogLookup::Another => Err(resync(from, "is not in this server's log: the log was reset, or belongs to another server")),
        // MySQL's GTIDs contain the id of the server that made them; MariaDB's contain a number that many servers share.
        LogLookup::Gone if was_at_another_server && from.last.is_some() && server.flavour == Flavour::Mariadb => {
            Err(resync(from, "is of another server, and this server's log does not reach back far enough to compare their histories"))
        }
        LogLookup::Same | LogLookup::Gone => Ok(()),
    }
}

/// Adds to a position in the current log what the next run needs to find it again.
pub(super) async fn remember(
    server: &Server,
    options: &MysqlOptions,
    at: LogPosition,
    database: Option<&str>,
) -> Result<LogPosition, SourceError> {
    let event = match &at.file {
        None => None,
        // The file's first event: it has the file's creation time and what preceded it. The server may allow no more connections now.
        Some(place) => match first_event(options, server, place, 4).await {
            Ok(found) => found.ok(),
            Err(SourceError::Transient { message }) => {
                tracing::warn!(reason = message, "the snapshot's place in the log cannot be looked at");
                None
            }
            Err(error) => return Err(error),
        },
    };
    Ok(LogPosition { event, database: database.map(Into::into), ..at })
}

fn resync(from: &LogPosition, why: &str) -> SourceError {
    SourceError::Resync { message: format!("the position `{from}` {why}"), table: None }
}

/// Whether the server's log has had all of these transactions.
async fn was_executed(conn: &mut Conn, server: &Server, gtid: &GtidPosition) -> Result<bool, SourceError> {
    match gtid {
        GtidPosition::Mysql(set) => Ok(server.mysql_gtids(conn).await?.contains(set)),
        GtidPosition::Mariadb(set) => {
            let state: String = one(conn, "SELECT @@global.gtid_binlog_state", DOING).await?;
            let logged = logged(&state)?;
            Ok(set.iter().all(|g| logged.iter().any(|l| (l.domain, l.server) == (g.domain, g.server) && l.sequence >= g.sequence)))
        }
    }
}

/// The last transaction of each domain and server.
fn logged(state: &str) -> Result<Vec<DomainGtid>, SourceError> {
    let each = state.split(',').map(str::trim).filter(|gtid| !gtid.is_empty());
    let sets: Result<Vec<MariadbGtids>, SourceError> = each.map(parse_mariadb).collect();
    Ok(sets?.iter().flat_map(MariadbGtids::iter).collect())
}

async fn look_at_event(
    options: &MysqlOptions,
    server: &Server,
    place: &LogFilePosition,
    event: LogEvent,
) -> Result<LogLookup, SourceError> {
    if event.start > u32::MAX as u64 {
        return Ok(LogLookup::Gone);
    }
    match first_event(options, server, place, event.start).await? {
        // At the beginning of a file this is the second event.
        Ok(found) if found.checksum == event.checksum => Ok(LogLookup::Same),
        Ok(_) => Ok(LogLookup::Another),
        Err(found) => Ok(found),
    }
}

/// Returns the first event at or after this offset that is in the file as it is sent, or what its absence means.
async fn first_event(
    options: &MysqlOptions,
    server: &Server,
    place: &LogFilePosition,
    start: u64,
) -> Result<Result<LogEvent, LogLookup>, SourceError> {
    let start_at = StartAt::File { file: &place.file, offset: start };
    let mut log = Look::open(options, server, start_at).await?;
    loop {
        match log.next().await? {
            NextEvent::Event(event) => {
                let raw = RawEvent::from_event(&event);
                // The event has only the lower half of the offset; the upper half is that of the requested offset.
                let end = start & !0xffff_ffff | raw.next_offset as u64;
                if let Some(start) = trail::start(&raw, end) {
                    return Ok(Ok(LogEvent { start, checksum: trail::checksum(&event) }));
                }
                if raw.kind == kind::ROTATE && !raw.is_artificial() {
                    return Ok(Err(LogLookup::Another));
                }
            }
            NextEvent::End => return Ok(Err(LogLookup::Another)),
            NextEvent::NotThere(message) if message.contains("Could not find first log file") => return Ok(Err(LogLookup::Gone)),
            // With GTIDs enabled, the server sends no transaction without one. Following the log reports that too.
            NextEvent::NotThere(message) if message.contains("anonymous transaction") => return Ok(Err(LogLookup::Gone)),
            NextEvent::NotThere(_) => return Ok(Err(LogLookup::Another)),
        }
    }
}

/// Requests the log from before the last transaction, and compares the first transaction that matters.
async fn look_for(options: &MysqlOptions, server: &Server, from: &LogPosition, last: &LastTransaction) -> Result<LogLookup, SourceError> {
    let before = match (&from.gtid, &last.gtid) {
        (Some(GtidPosition::Mysql(set)), GtidPosition::Mysql(last)) => GtidPosition::Mysql(set.without(last)),
        (Some(GtidPosition::Mariadb(set)), GtidPosition::Mariadb(last)) => {
            let mut before = set.clone();
            for gtid in last.iter() {
                before.set(gtid.domain, gtid.server, gtid.sequence.saturating_sub(1));
            }
            GtidPosition::Mariadb(before)
        }
        _ => return Ok(LogLookup::Gone),
    };
    let mut log = Look::open(options, server, StartAt::Gtids(&before)).await?;
    loop {
        let event = match log.next().await? {
            NextEvent::Event(event) => event,
            NextEvent::End => return Ok(LogLookup::Another),
            NextEvent::NotThere(_) => return Ok(LogLookup::Gone),
        };
        if let Some(found) = trail::transaction(&event, &RawEvent::from_event(&event)).filter(|found| is_due(&found.gtid, &last.gtid)) {
            return Ok(if found == *last { LogLookup::Same } else { LogLookup::Another });
        }
    }
}

/// Whether this transaction is the wanted one or is in its place: the first of its domain.
fn is_due(found: &GtidPosition, wanted: &GtidPosition) -> bool {
    match (found, wanted) {
        (GtidPosition::Mariadb(found), GtidPosition::Mariadb(wanted)) => {
            found.iter().any(|f| wanted.iter().any(|w| w.domain == f.domain && f.sequence >= w.sequence))
        }
        _ => found == wanted,
    }
}

/// A connection that reads the log up to its end.
struct Look {
    stream: BinlogStream,
    timeout: Duration,
}

enum NextEvent {
    Event(Event),
    End,
    /// The server does not have the requested position; the server's message.
    NotThere(String),
}

impl Look {
    async fn open(options: &MysqlOptions, server: &Server, from: StartAt<'_>) -> Result<Look, SourceError> {
        let (conn, request): (Conn, BinlogStreamRequest) = open::prepare(options, server, from, None).await?;
        let stream = conn.get_binlog_stream(request.with_non_blocking()).await.map_err(open::error)?;
        Ok(Look { stream, timeout: Duration::from_millis(options.read_timeout_ms) })
    }

    async fn next(&mut self) -> Result<NextEvent, SourceError> {
        match tokio::time::timeout(self.timeout, self.stream.next()).await {
            Err(_) => Err(SourceError::Transient { message: format!("{DOING}: the server was silent") }),
            Ok(None) => Ok(NextEvent::End),
            Ok(Some(Ok(event))) => Ok(NextEvent::Event(event)),
            Ok(Some(Err(Error::Server(ServerError { code: FATAL_READING_LOG, message, .. })))) => Ok(NextEvent::NotThere(message)),
            Ok(Some(Err(error))) => Err(open::error(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::binlog::gtid::MysqlGtids;
    use super::*;

    #[test]
    fn what_stands_in_the_place_of_a_transaction_is_due() {
        let mariadb = |text: &str| GtidPosition::Mariadb(text.parse().unwrap());
        assert!(is_due(&mariadb("0-1-178"), &mariadb("0-1-178")));
        assert!(is_due(&mariadb("0-2-179"), &mariadb("0-1-178")), "there is none of this number");
        assert!(!is_due(&mariadb("0-1-177"), &mariadb("0-1-178")));
        assert!(!is_due(&mariadb("7-1-900"), &mariadb("0-1-178")));
        let mysql = |number| GtidPosition::Mysql(MysqlGtids::one([7; 16], "", number));
        assert!(is_due(&mysql(5), &mysql(5)) && !is_due(&mysql(6), &mysql(5)));
    }

    #[test]
    fn a_domain_may_have_transactions_of_several_servers() {
        let logged = logged("0-2-7, 0-1-5,3-1-9").unwrap();
        assert_eq!(logged.iter().map(|g| (g.domain, g.server, g.sequence)).collect::<Vec<_>>(), [(0, 2, 7), (0, 1, 5), (3, 1, 9)]);
        assert!(super::logged("").unwrap().is_empty());
    }
}
