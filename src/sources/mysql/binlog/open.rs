//! Requests a server's log: opens a connection, sets it up like a replica's, and builds the request for a start position.

use mysql_async::prelude::Queryable;
use mysql_async::{BinlogStreamRequest, Conn, Error, Row};

use super::gtid::GtidPosition;
use crate::sources::SourceError;
use crate::sources::mysql::connect::connect_to;
use crate::sources::mysql::errors::query_error;
use crate::sources::mysql::options::MysqlOptions;
use crate::sources::mysql::server::{Flavour, Server};

const DOING: &str = "reading the log";
/// The server's error code if its log does not have the requested position.
pub(crate) const FATAL_READING_LOG: u16 = 1236;

/// Where to begin in the log.
#[derive(Debug, Clone, Copy)]
pub(crate) enum StartAt<'a> {
    /// After these transactions.
    Gtids(&'a GtidPosition),
    /// At the offset of an event.
    File { file: &'a str, offset: u64 },
}

/// Returns a connection and the request to send on it. `server_id` is the replica id; `None` generates one.
pub(crate) async fn prepare<'a>(
    options: &MysqlOptions,
    server: &Server,
    start: StartAt<'a>,
    server_id: Option<u32>,
) -> Result<(Conn, BinlogStreamRequest<'a>), SourceError> {
    let mut conn = connect_to(server, options).await?;
    let heartbeat_ns = options.heartbeat_ms * 1_000_000;
    let mut variables =
        vec![("@master_heartbeat_period", heartbeat_ns.to_string()), ("@source_heartbeat_period", heartbeat_ns.to_string())];
    match server.flavour {
        Flavour::Mysql => run(&mut conn, "SET @replica_uuid=UUID(), @slave_uuid=@replica_uuid").await?,
        Flavour::Mariadb => variables.push(("@mariadb_slave_capability", "4".into())),
    }
    let mut request = BinlogStreamRequest::new(server_id.unwrap_or_else(made_up_id));
    match start {
        StartAt::Gtids(GtidPosition::Mysql(set)) => {
            let malformed = |_| SourceError::Stopped { message: format!("the GTID set {set} cannot be requested"), help: None };
            request = request.with_gtid().with_gtid_set(set.sids().map_err(malformed)?);
        }
        StartAt::Gtids(GtidPosition::Mariadb(set)) => {
            variables.extend([("@slave_gtid_strict_mode", "0".into()), ("@slave_gtid_ignore_duplicates", "0".into())]);
            variables.push(("@slave_connect_state", format!("'{set}'")));
        }
        StartAt::File { file, offset } => request = request.with_filename(file.as_bytes()).with_pos(offset),
    }
    set(&mut conn, &variables).await?;
    Ok((conn, request))
}

/// Sets session variables and reads them back. Without one of them the server would begin elsewhere or send other events.
async fn set(conn: &mut Conn, variables: &[(&str, String)]) -> Result<(), SourceError> {
    let assignments: Vec<String> = variables.iter().map(|(name, value)| format!("{name}={value}")).collect();
    run(conn, &format!("SET {}", assignments.join(", "))).await?;
    let names: Vec<&str> = variables.iter().map(|(name, _)| *name).collect();
    let row: Option<Row> = conn.query_first(format!("SELECT {}", names.join(", "))).await.map_err(error)?;
    for (column, (name, value)) in variables.iter().enumerate() {
        let found = row.as_ref().and_then(|row| row.get_opt::<Option<String>, usize>(column)).and_then(Result::ok).flatten();
        if found.as_deref() != Some(value.trim_matches('\'')) {
            return Err(SourceError::Invalid {
                message: format!("the variable `{name}` does not have the value that was set, so the log would be read from another place"),
                table: None,
                help: Some("connect to the server itself: its log cannot be read through a proxy that shares sessions".into()),
            });
        }
    }
    Ok(())
}

/// Maps an error before the first event.
pub(crate) fn error(error: Error) -> SourceError {
    query_error(DOING, error)
}

async fn run(conn: &mut Conn, statement: &str) -> Result<(), SourceError> {
    conn.query_drop(statement).await.map_err(error)
}

/// A random id in the upper half of the range, where people do not number their servers. Each connection has a new one, so two readers do
/// not collide.
fn made_up_id() -> u32 {
    use std::hash::{BuildHasher, Hasher};
    let random = std::collections::hash_map::RandomState::new().build_hasher().finish();
    (random as u32) | 0x8000_0000
}
