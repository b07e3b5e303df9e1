//! Finds changes that reach the server but are not in its own log.
//!
//! A replica logs what it replicates only if it is configured to, and so does a node of a cluster. What a replica's triggers do may be
//! missing too.

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Row};

use super::errors::{is_access_error, query_error};
use super::server::{Flavour, Server};
use super::settings::setting;
use crate::sources::{Finding, Severity, SourceError};

const DOING: &str = "looking at the server's own replication";

/// Returns an error finding for each way in which changes bypass the log.
pub(super) async fn findings(conn: &mut Conn, server: &Server) -> Result<Vec<Finding>, SourceError> {
    let mut findings = Vec::new();
    let is_on = |value: Option<String>| value.is_some_and(|value| value.eq_ignore_ascii_case("ON"));
    let name = match server.flavour {
        Flavour::Mysql if server.version >= (8, 0, 26) => "log_replica_updates",
        _ => "log_slave_updates",
    };
    let logs = is_on(setting(conn, name).await?);
    if !logs && is_on(setting(conn, "wsrep_on").await?) {
        findings.push(error(format!("{name} is OFF at a node of a cluster, so its log lacks what is written at the other nodes"), name));
    }
    let triggers = setting(conn, "slave_run_triggers_for_rbr").await?.filter(|value| value.eq_ignore_ascii_case("YES"));
    if (!logs || triggers.is_some()) && is_replica(conn, server).await? {
        if !logs {
            findings.push(error(format!("{name} is OFF at a server that is a replica, so its log lacks what it replicates"), name));
        }
        if triggers.is_some() {
            findings.push(Finding {
                severity: Severity::Error,
                message: "slave_run_triggers_for_rbr is YES at a server that is a replica, so its log lacks what triggers do".into(),
                fix: Some("SET GLOBAL slave_run_triggers_for_rbr = 'LOGGING';".into()),
            });
        }
    }
    Ok(findings)
}

fn error(message: String, name: &str) -> Finding {
    let fix = format!(
        "put `{name} = ON` into the [mysqld] section of its configuration and restart it, or read from the server that it replicates"
    );
    Finding { severity: Severity::Error, message, fix: Some(fix) }
}

/// Whether the server is a replica, running or stopped. If the user may not ask that: whether it is replicating now.
async fn is_replica(conn: &mut Conn, server: &Server) -> Result<bool, SourceError> {
    let statement = match server.flavour {
        Flavour::Mariadb => "SHOW ALL SLAVES STATUS",
        Flavour::Mysql if server.version >= (8, 0, 22) => "SHOW REPLICA STATUS",
        Flavour::Mysql => "SHOW SLAVE STATUS",
    };
    match conn.query_first::<Row, _>(statement).await {
        Ok(row) => Ok(row.is_some()),
        Err(error) if is_access_error(&error) => {
            let running: Option<(String, String)> =
                conn.query_first("SHOW GLOBAL STATUS LIKE 'Slaves_running'").await.map_err(|e| query_error(DOING, e))?;
            Ok(running.is_some_and(|(_, count)| count != "0"))
        }
        Err(error) => Err(query_error(DOING, error)),
    }
}
