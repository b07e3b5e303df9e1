//! Asks a server for its log: a connection that is set up as a replica's is, and the request that fits the place to begin at.

use mysql_async::prelude::Queryable;
use mysql_async::{BinlogStreamRequest, Conn, Error, Row};

use super::gtid::GtidPosition;
use crate::sources::SourceError;
use crate::sources::mysql::connect::connect;
use crate::sources::mysql::errors::query_error;
use crate::sources::mysql::options::MysqlOptions;
use crate::sources::mysql::server::{Flavour, Server};

const DOING: &str = "reading the log";
/// How a server says that its log does not have what is asked for.
pub(crate) const FATAL_READING_LOG: u16 = 1236;

/// Where to begin.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Start<'a> {
    /// After these transactions.
    Gtids(&'a GtidPosition),
    /// At the offset of an event.
    File { file: &'a str, offset: u64 },
}

/// A connection and what to ask for on it. `server_id`: as which replica, made up where it is not said.
pub(crate) async fn prepare<'a>(
    options: &MysqlOptions,
    server: &Server,
    start: Start<'a>,
    server_id: Option<u32>,
) -> Result<(Conn, BinlogStreamRequest<'a>), SourceError> {
    let mut conn = connect(options).await?;
    let heartbeat_ns = options.heartbeat_ms * 1_000_000;
    let mut variables =
        vec![("@master_heartbeat_period", heartbeat_ns.to_string()), ("@source_heartbeat_period", heartbeat_ns.to_string())];
    match server.flavour {
        Flavour::Mysql => run(&mut conn, "SET @replica_uuid=UUID(), @slave_uuid=@replica_uuid").await?,
        Flavour::Mariadb => variables.push(("@mariadb_slave_capability", "4".into())),
    }
    let mut request = BinlogStreamRequest::new(server_id.unwrap_or_else(made_up_id));
    match start {
        Start::Gtids(GtidPosition::Mysql(set)) => {
            let malformed = |_| SourceError::Stopped { message: format!("the GTID set {set} cannot be asked for"), help: None };
            request = request.with_gtid().with_gtid_set(set.sids().map_err(malformed)?);
        }
        Start::Gtids(GtidPosition::Mariadb(set)) => {
            variables.extend([("@slave_gtid_strict_mode", "0".into()), ("@slave_gtid_ignore_duplicates", "0".into())]);
            variables.push(("@slave_connect_state", format!("'{set}'")));
        }
        Start::File { file, offset } => request = request.with_filename(file.as_bytes()).with_pos(offset),
    }
    set(&mut conn, &variables).await?;
    Ok((conn, request))
}

/// Sets variables of the session and reads them back: without one of them the server would begin elsewhere, or send other events.
async fn set(conn: &mut Conn, variables: &[(&str, String)]) -> Result<(), SourceError> {
    let assignments: Vec<String> = variables.iter().map(|(name, value)| format!("{name}={value}")).collect();
    run(conn, &format!("SET {}", assignments.join(", "))).await?;
    let names: Vec<&str> = variables.iter().map(|(name, _)| *name).collect();
    let row: Option<Row> = conn.query_first(format!("SELECT {}", names.join(", "))).await.map_err(error)?;
    for (column, (name, value)) in variables.iter().enumerate() {
        let found = row.as_ref().and_then(|row| row.get_opt::<Option<String>, usize>(column)).and_then(Result::ok).flatten();
        if found.as_deref() != Some(value.trim_matches('\'')) {
            return Err(SourceError::Invalid {
                message: format!("the variable `{name}` was set and is not what it was set to, so the log would come from elsewhere"),
                table: None,
                help: Some("connect to the server itself: its log cannot be read through a proxy that shares sessions".into()),
            });
        }
    }
    Ok(())
}

/// What an error before the first event means.
pub(crate) fn error(error: Error) -> SourceError {
    query_error(DOING, error)
}

async fn run(conn: &mut Conn, statement: &str) -> Result<(), SourceError> {
    conn.query_drop(statement).await.map_err(error)
}

/// An id in the upper half, where people do not number their servers; anew each time, so that two readers do not meet.
fn made_up_id() -> u32 {
    use std::hash::{BuildHasher, Hasher};
    let random = std::collections::hash_map::RandomState::new().build_hasher().finish();
    (random as u32) | 0x8000_0000
}
