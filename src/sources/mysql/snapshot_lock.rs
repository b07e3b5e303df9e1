//! Opens connections that all see the tables at one position of the log, and finds that position.
//!
//! MariaDB reports the log position of every consistent snapshot, so connections are opened until all report the same one, without a lock.
//! MySQL does not: there the log position is read before and after, and if it moved, the snapshots are opened again. On a server that is too
//! busy for that, a read lock is held for a moment, on the tables or on everything.

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Row};

use super::binlog::gtid::{GtidPosition, MysqlGtids};
use super::connect::connect_readers;
use super::errors::{is_access_error, is_lock_timeout, query_error, transient};
use super::options::MysqlOptions;
use super::position::{LogFilePosition, LogPosition};
use super::schema::MysqlTable;
use super::server::{Flavour, Server, one, parse_mariadb};
use crate::sources::{Event, EventSender, SourceError};

/// Connections inside read transactions that all see one state, and the log position of that state.
#[derive(Debug)]
pub(super) struct Snapshot {
    pub(super) connections: Vec<Conn>,
    pub(super) position: LogPosition,
}

const START: &str = "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY";
const TRIES: usize = 50;
const DOING: &str = "opening a snapshot";

/// `control` is a separate connection, for queries and locks. Opens fewer connections than `count` if the server allows no more.
pub(super) async fn open(
    control: &mut Conn,
    server: &Server,
    options: &MysqlOptions,
    tables: &[MysqlTable],
    count: usize,
    out: &EventSender,
) -> Result<Snapshot, SourceError> {
    let mut connections = connect_readers(options, server, count).await?;
    let position = match server.flavour {
        Flavour::Mariadb => mariadb(control, server, &mut connections).await?,
        Flavour::Mysql => mysql(control, server, tables, &mut connections).await?,
    };
    pin(&mut connections, tables, out).await?;
    Ok(Snapshot { connections, position })
}

async fn mariadb(control: &mut Conn, server: &Server, connections: &mut [Conn]) -> Result<LogPosition, SourceError> {
    for _ in 0..TRIES * 4 {
        for conn in connections.iter_mut() {
            run(conn, START).await?;
        }
        let mut places = Vec::with_capacity(connections.len());
        for conn in connections.iter_mut() {
            places.push(snapshot_place(conn).await?);
        }
        if places.windows(2).all(|pair| pair[0] == pair[1]) {
            let file = places.swap_remove(0);
            let query = format!("SELECT BINLOG_GTID_POS({}, {})", super::quoting::literal(&file.file), file.offset);
            let gtid: String = one(control, &query, DOING).await?;
            let gtid = Some(GtidPosition::Mariadb(parse_mariadb(&gtid)?));
            return Ok(LogPosition::new(server, gtid, Some(file)));
        }
        for conn in connections.iter_mut() {
            run(conn, "ROLLBACK").await?;
        }
    }
    Err(SourceError::Transient { message: format!("{DOING}: the server is too busy to open {} equal snapshots", connections.len()) })
}

/// The log position of this connection's snapshot.
async fn snapshot_place(conn: &mut Conn) -> Result<LogFilePosition, SourceError> {
    let rows: Vec<Row> = conn.query("SHOW STATUS LIKE 'binlog_snapshot_%'").await.map_err(|e| query_error(DOING, e))?;
    let value = |name: &str| {
        let row = rows.iter().find(|row| row.get::<String, usize>(0).is_some_and(|n| n.eq_ignore_ascii_case(name)))?;
        row.get::<String, usize>(1)
    };
    let file = value("Binlog_snapshot_file").filter(|file| !file.is_empty());
    let offset = value("Binlog_snapshot_position").and_then(|offset| offset.parse().ok());
    match (file, offset) {
        (Some(file), Some(offset)) => Ok(LogFilePosition { file, offset }),
        _ => Err(SourceError::Stopped {
            message: "the server does not report the log position of a snapshot".into(),
            help: Some("check that the binary log is on; `tidemill check` reports what is missing".into()),
        }),
    }
}

async fn mysql(control: &mut Conn, server: &Server, tables: &[MysqlTable], connections: &mut [Conn]) -> Result<LogPosition, SourceError> {
    if let Some(position) = by_log_status(control, server, connections).await? {
        return Ok(position);
    }
    let names: Vec<String> = tables.iter().map(|t| format!("{} READ", t.quoted())).collect();
    let locks = [format!("LOCK TABLES {}", names.join(", ")), "FLUSH TABLES WITH READ LOCK".to_string()];
    let mut last = None;
    for lock in &locks {
        match control.query_drop(lock).await {
            Ok(()) => {
                let taken = under_lock(control, server, connections).await;
                run(control, "UNLOCK TABLES").await?;
                return taken;
            }
            // A lock that another transaction delays may be available later; a lock without the privilege will not.
            Err(error) if last.is_none() || !is_access_error(&error) => last = Some(error),
            Err(_) => {}
        }
    }
    let error = last.unwrap_or_else(|| mysql_async::Error::Other("no lock".into()));
    Err(match query_error("locking the tables for a moment", error) {
        SourceError::Invalid { message, table, .. } => SourceError::Invalid {
            message,
            table,
            help: Some(
                "GRANT BACKUP_ADMIN ON *.* and SELECT ON performance_schema.log_status, or LOCK TABLES, or RELOAD to the user".into(),
            ),
        },
        other => other,
    })
}

/// Opens the snapshots without a lock, which is correct if the log did not move meanwhile. `None` if it moved every time or the user may not
/// read the log status.
async fn by_log_status(control: &mut Conn, server: &Server, connections: &mut [Conn]) -> Result<Option<LogPosition>, SourceError> {
    for _ in 0..TRIES {
        let Ok(before) = log_status(control).await else { return Ok(None) };
        for conn in connections.iter_mut() {
            run(conn, START).await?;
        }
        let Ok(after) = log_status(control).await else { return Ok(None) };
        if before == after {
            return position(server, after).map(Some);
        }
        for conn in connections.iter_mut() {
            run(conn, "ROLLBACK").await?;
        }
    }
    Ok(None)
}

#[derive(Debug, PartialEq)]
struct LogStatus {
    file: LogFilePosition,
    gtids: String,
}

async fn log_status(conn: &mut Conn) -> Result<LogStatus, mysql_async::Error> {
    let query = "SELECT JSON_UNQUOTE(JSON_EXTRACT(LOCAL, '$.binary_log_file')), \
                 CAST(JSON_EXTRACT(LOCAL, '$.binary_log_position') AS UNSIGNED), \
                 JSON_UNQUOTE(JSON_EXTRACT(LOCAL, '$.gtid_executed')) FROM performance_schema.log_status";
    let row: Option<(String, u64, String)> = conn.query_first(query).await?;
    let (file, offset, gtids) = row.ok_or_else(|| mysql_async::Error::Other("an empty log_status".into()))?;
    Ok(LogStatus { file: LogFilePosition { file, offset }, gtids })
}

async fn under_lock(control: &mut Conn, server: &Server, connections: &mut [Conn]) -> Result<LogPosition, SourceError> {
    let file = server.file_status(control).await.map_err(|e| query_error("asking the server where its log ends", e))?;
    let gtids = server.mysql_gtids(control).await?.to_string();
    for conn in connections.iter_mut() {
        run(conn, START).await?;
    }
    // LOCK TABLES stops only writes to captured tables. Writes to other tables between the two queries do not matter.
    position(server, LogStatus { file, gtids })
}

fn position(server: &Server, status: LogStatus) -> Result<LogPosition, SourceError> {
    let gtids: MysqlGtids =
        status.gtids.parse().map_err(|_| SourceError::Stopped { message: "the server's GTID set is not understood".into(), help: None })?;
    let gtid = server.has_gtids.then_some(GtidPosition::Mysql(gtids));
    Ok(LogPosition::new(server, gtid, Some(status.file)))
}

/// Selects from every table in every connection, so that no table definition changes until the snapshot is read. Waits for tables that
/// another session has locked.
async fn pin(connections: &mut [Conn], tables: &[MysqlTable], out: &EventSender) -> Result<(), SourceError> {
    for conn in connections.iter_mut() {
        for table in tables {
            let touch = format!("SELECT * FROM {} LIMIT 0", table.quoted());
            while let Err(error) = conn.query_drop(&touch).await {
                if !is_lock_timeout(&error) {
                    return Err(query_error(DOING, error));
                }
                let what = format!("the snapshot waits for the table `{}`: {LOCKED}", table.table.name);
                out.send(Event::Waiting(what)).await.map_err(|_| SourceError::Transient { message: "the receiver is gone".into() })?;
            }
        }
    }
    Ok(())
}

/// Why a table cannot be read now.
pub(super) const LOCKED: &str =
    "another session has locked it (LOCK TABLES ... WRITE, or an ALTER TABLE that itself waits for a transaction)";

async fn run(conn: &mut Conn, statement: &str) -> Result<(), SourceError> {
    conn.query_drop(statement).await.map_err(|e| match e {
        mysql_async::Error::Server(_) => query_error(DOING, e),
        other => transient(DOING, other),
    })
}
