//! Checks whether another reader uses the `server_id` of the spec: the server disconnects one of two readers with the same id.
//!
//! Ids that are generated for each connection are not checked.

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Row};

use super::options::MysqlOptions;
use super::server::{Flavour, Server, one};
use crate::sources::{Finding, Severity, SourceError};

const DOING: &str = "asking the server for its id";
const MEND: &str = "leave `server_id` out of the spec, or give one that nobody else has";

/// Warns if the `server_id` of the spec is the server's own or that of a connected reader.
pub(super) async fn findings(conn: &mut Conn, server: &Server, options: &MysqlOptions) -> Result<Vec<Finding>, SourceError> {
    let Some(id) = options.server_id else { return Ok(Vec::new()) };
    let own: u32 = one(conn, "SELECT @@global.server_id", DOING).await?;
    let warning = |message: String, fix: &str| Finding { severity: Severity::Warning, message, fix: Some(fix.into()) };
    let mut findings = Vec::new();
    if own == id {
        findings.push(warning(format!("`server_id` {id} is the server's own"), MEND));
    }
    if connected(conn, server).await.contains(&id) {
        let message = format!("a reader of the log with the `server_id` {id} is connected, and the server throws one of two out");
        findings.push(warning(message, &format!("unless it is a run of this spec: {MEND}")));
    }
    Ok(findings)
}

/// The ids of the current readers of the log. Empty if the user may not ask (at MariaDB that takes REPLICATION MASTER ADMIN).
async fn connected(conn: &mut Conn, server: &Server) -> Vec<u32> {
    let statement = match server.flavour {
        Flavour::Mysql if server.version >= (8, 0, 22) => "SHOW REPLICAS",
        _ => "SHOW SLAVE HOSTS",
    };
    let readers: Vec<Row> = conn.query(statement).await.unwrap_or_default();
    readers.iter().filter_map(|row| row.get_opt(0)?.ok()).collect()
}
