//! Looks for anything that would make a run fail or lose data: settings, tables with changes that are not logged, grants.

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Row};

use super::cascade;
use super::errors::{is_access_error, is_lock_timeout, query_error};
use super::grants;
use super::options::MysqlOptions;
use super::replication;
use super::schema::MysqlTable;
use super::server::Server;
use super::server_id;
use super::settings::setting;
use super::snapshot_lock::LOCKED;
use crate::sources::{Finding, Severity, SourceError};

const DOING: &str = "looking at the server's settings";
const SHORT_EXPIRY_SECONDS: f64 = 86_400.0;

/// All findings; those that lose data first.
pub(super) async fn findings(
    conn: &mut Conn,
    server: &Server,
    options: &MysqlOptions,
    tables: &[MysqlTable],
) -> Result<Vec<Finding>, SourceError> {
    let mut findings = losses(conn, server, options, tables).await?;
    findings.extend(grants::findings(conn, server).await?);
    findings.extend(locked(conn, tables).await?);
    findings.extend(connections(conn, options).await?);
    findings.extend(warnings(conn, server).await?);
    findings.extend(server_id::findings(conn, server, options).await?);
    Ok(findings)
}

/// Fails with the first finding that would lose data.
pub(super) async fn refuse_unsafe(
    conn: &mut Conn,
    server: &Server,
    options: &MysqlOptions,
    tables: &[MysqlTable],
) -> Result<(), SourceError> {
    let findings = losses(conn, server, options, tables).await?;
    match findings.into_iter().next() {
        None => Ok(()),
        Some(Finding { message, fix, .. }) => Err(SourceError::Invalid { message, table: None, help: fix }),
    }
}

/// Everything that would lose data, or would hide that data is lost.
async fn losses(conn: &mut Conn, server: &Server, options: &MysqlOptions, tables: &[MysqlTable]) -> Result<Vec<Finding>, SourceError> {
    let mut findings = unsafe_settings(conn, server, options).await?;
    if server.log_bin {
        findings.extend(filters(conn, server, tables).await?);
        findings.extend(replication::findings(conn, server).await?);
    }
    findings.extend(cascade::findings(conn, server, options, tables).await?);
    Ok(findings)
}

fn error(message: impl Into<String>, fix: Option<&str>) -> Finding {
    Finding { severity: Severity::Error, message: message.into(), fix: fix.map(Into::into) }
}

async fn unsafe_settings(conn: &mut Conn, server: &Server, options: &MysqlOptions) -> Result<Vec<Finding>, SourceError> {
    if !server.log_bin {
        let name = super::errors::address(options);
        return Ok(vec![error(
            format!("the server {name} writes no binary log"),
            Some("start it with `log_bin = binlog` and a `server_id` in the [mysqld] section of its configuration"),
        )]);
    }
    let mut findings = Vec::new();
    let mut require = |name: &str, value: Option<String>, wanted: &str, why: &str| {
        if let Some(value) = value.filter(|value| !value.eq_ignore_ascii_case(wanted)) {
            let fix = format!("SET GLOBAL {name} = '{wanted}';");
            findings.push(error(format!("{name} is {value}, {why}"), Some(&fix)));
        }
    };
    let format = setting(conn, "binlog_format").await?;
    require("binlog_format", format, "ROW", "so the log does not contain rows");
    let image = setting(conn, "binlog_row_image").await?;
    require("binlog_row_image", image, "FULL", "so the log does not contain whole rows");
    let partial = setting(conn, "binlog_row_value_options").await?;
    require("binlog_row_value_options", partial, "", "so the log contains only parts of JSON documents");
    let order = setting(conn, "binlog_order_commits").await?;
    require("binlog_order_commits", order, "ON", "so a snapshot may lack transactions that are before it in the log");
    Ok(findings)
}

/// `binlog_do_db` and `binlog_ignore_db`, which leave whole databases out of the log.
async fn filters(conn: &mut Conn, server: &Server, tables: &[MysqlTable]) -> Result<Vec<Finding>, SourceError> {
    let Some((only, ignored)) = filter_lists(conn, server).await? else { return Ok(vec![grants::unseen_filters(conn).await?]) };
    let list = |names: String| -> Vec<String> { names.split(',').map(str::trim).filter(|name| !name.is_empty()).map(Into::into).collect() };
    let (only, ignored) = (list(only), list(ignored));
    let is_left_out = |database: &String| !only.is_empty() && !only.contains(database) || ignored.contains(database);
    let mut databases: Vec<&String> = tables.iter().map(|t| &t.database).filter(|database| is_left_out(database)).collect();
    databases.dedup();
    let finding = |database: &String| {
        error(
            format!("the server keeps the database `{database}` out of its log (binlog_do_db, binlog_ignore_db)"),
            Some("remove the filter from the [mysqld] section of the server's configuration and restart the server"),
        )
    };
    Ok(databases.into_iter().map(finding).collect())
}

/// The databases that alone are logged, and those that are not logged; `None` if the user may not see the lists.
async fn filter_lists(conn: &mut Conn, server: &Server) -> Result<Option<(String, String)>, SourceError> {
    // Newer MariaDB servers show them to every user.
    if let (Some(only), Some(ignored)) = (setting(conn, "binlog_do_db").await?, setting(conn, "binlog_ignore_db").await?) {
        return Ok(Some((only, ignored)));
    }
    match conn.query_first::<Row, _>(server.log_status_statement()).await {
        Ok(status) => {
            let list = |column: usize| status.as_ref().and_then(|row| row.get_opt(column)).and_then(Result::ok).unwrap_or_default();
            Ok(Some((list(2), list(3))))
        }
        Err(error) if is_access_error(&error) => Ok(None),
        Err(error) => Err(query_error(DOING, error)),
    }
}

/// Tables with a lock that a snapshot would wait for.
async fn locked(conn: &mut Conn, tables: &[MysqlTable]) -> Result<Vec<Finding>, SourceError> {
    let mut findings = Vec::new();
    for table in tables {
        match conn.query_drop(format!("SELECT * FROM {} LIMIT 0", table.quoted())).await {
            Ok(()) => {}
            Err(error) if is_lock_timeout(&error) => findings.push(Finding {
                severity: Severity::Warning,
                message: format!("a snapshot would wait for the table `{}`: {LOCKED}", table.table.name),
                fix: Some("UNLOCK TABLES; in that session, or end it: SHOW PROCESSLIST shows which it is".into()),
            }),
            Err(error) => return Err(query_error(DOING, error)),
        }
    }
    Ok(findings)
}

/// Compares the user's connection limit with what a run needs: one connection for the log, one for queries, the others for a snapshot.
async fn connections(conn: &mut Conn, options: &MysqlOptions) -> Result<Vec<Finding>, SourceError> {
    const OTHERS: u64 = 2;
    let most: u64 = super::server::one(conn, "SELECT @@session.max_user_connections", DOING).await?;
    let wanted = options.snapshot_connections as u64 + OTHERS;
    let finding = |severity, message, fix: String| Ok(vec![Finding { severity, message, fix: Some(fix) }]);
    let allow = format!("ALTER USER ... WITH MAX_USER_CONNECTIONS {wanted};");
    match most {
        0 => Ok(Vec::new()),
        1..=OTHERS => finding(Severity::Error, format!("the user may have {most} connections at once, and a snapshot takes 3"), allow),
        _ if most < wanted => finding(
            Severity::Warning,
            format!(
                "the user may have {most} connections at once, so a snapshot is read by {} instead of {}",
                most - OTHERS,
                wanted - OTHERS
            ),
            format!("{allow} or `snapshot_connections: {}` in the spec", most - OTHERS),
        ),
        _ => Ok(Vec::new()),
    }
}

async fn warnings(conn: &mut Conn, server: &Server) -> Result<Vec<Finding>, SourceError> {
    let mut findings = Vec::new();
    let metadata = setting(conn, "binlog_row_metadata").await?;
    if let Some(value) = metadata.filter(|value| !value.eq_ignore_ascii_case("FULL")) {
        findings.push(Finding {
            severity: Severity::Warning,
            message: format!("binlog_row_metadata is {value}, so the log does not show when a column is renamed or changes its sign"),
            fix: Some("SET GLOBAL binlog_row_metadata = 'FULL';".into()),
        });
    }
    let expiry = setting(conn, "binlog_expire_logs_seconds").await?.and_then(|value| value.parse::<f64>().ok()).unwrap_or(0.0);
    if 0.0 < expiry && expiry < SHORT_EXPIRY_SECONDS {
        findings.push(Finding {
            severity: Severity::Warning,
            message: format!("binlog_expire_logs_seconds is {expiry}, so a longer stop than that needs a new snapshot"),
            fix: Some("SET GLOBAL binlog_expire_logs_seconds = 604800;".into()),
        });
    }
    if !server.has_gtids {
        findings.push(Finding {
            severity: Severity::Warning,
            message: "gtid_mode is not ON, so nothing can be resumed at another server after a failover".into(),
            fix: Some("SET GLOBAL enforce_gtid_consistency = ON; then SET GLOBAL gtid_mode = step by step to ON".into()),
        });
    }
    Ok(findings)
}
