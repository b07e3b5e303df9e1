//! Looks for what would make a run fail or lose data: settings, tables that the log does not follow, grants.

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Row};

use super::column::ColumnKind;
use super::connect::{literal, query_error};
use super::grants;
use super::options::MysqlOptions;
use super::schema::MysqlTable;
use super::server::{Flavour, Server};
use super::server_id;
use crate::sources::{Finding, Severity, SourceError};

const DOING: &str = "looking at the server's settings";
const SHORT_EXPIRY_SECONDS: f64 = 86_400.0;

/// Everything worth saying, errors first.
pub(super) async fn findings(
    conn: &mut Conn,
    server: &Server,
    options: &MysqlOptions,
    tables: &[MysqlTable],
) -> Result<Vec<Finding>, SourceError> {
    let mut findings = unsafe_settings(conn, server, options).await?;
    findings.extend(filters(conn, server, tables).await?);
    findings.extend(cascades(conn, server, tables).await?);
    findings.extend(grants::findings(conn, server).await?);
    findings.extend(time_zone(conn, tables).await?);
    findings.extend(warnings(conn, server).await?);
    findings.extend(server_id::findings(conn, server, options).await?);
    Ok(findings)
}

/// Fails with the first finding under which data would be lost.
pub(super) async fn refuse_unsafe(
    conn: &mut Conn,
    server: &Server,
    options: &MysqlOptions,
    tables: &[MysqlTable],
) -> Result<(), SourceError> {
    let mut findings = unsafe_settings(conn, server, options).await?;
    findings.extend(filters(conn, server, tables).await?);
    findings.extend(cascades(conn, server, tables).await?);
    match findings.into_iter().next() {
        None => Ok(()),
        Some(Finding { message, mend, .. }) => Err(SourceError::Invalid { message, table: None, help: mend }),
    }
}

fn error(message: impl Into<String>, mend: Option<&str>) -> Finding {
    Finding { severity: Severity::Error, message: message.into(), mend: mend.map(Into::into) }
}

async fn unsafe_settings(conn: &mut Conn, server: &Server, options: &MysqlOptions) -> Result<Vec<Finding>, SourceError> {
    if !server.log_bin {
        let name = super::connect::address(options);
        return Ok(vec![error(
            format!("the server {name} writes no binary log"),
            Some("start it with `log_bin = binlog` and a `server_id` in the [mysqld] section of its configuration"),
        )]);
    }
    let mut findings = Vec::new();
    let mut require = |name: &str, value: Option<String>, wanted: &str, why: &str| {
        if let Some(value) = value.filter(|value| !value.eq_ignore_ascii_case(wanted)) {
            let mend = format!("SET GLOBAL {name} = '{wanted}';");
            findings.push(error(format!("{name} is {value}, {why}"), Some(&mend)));
        }
    };
    let format = setting(conn, "binlog_format").await?;
    require("binlog_format", format, "ROW", "so the log does not hold rows");
    let image = setting(conn, "binlog_row_image").await?;
    require("binlog_row_image", image, "FULL", "so the log does not hold whole rows");
    let partial = setting(conn, "binlog_row_value_options").await?;
    require("binlog_row_value_options", partial, "", "so the log holds only parts of JSON documents");
    Ok(findings)
}

/// `binlog_do_db` and `binlog_ignore_db`, which keep whole databases out of the log. Only asked where the user may ask.
async fn filters(conn: &mut Conn, server: &Server, tables: &[MysqlTable]) -> Result<Vec<Finding>, SourceError> {
    let Ok(Some(status)) = conn.query_first::<Row, _>(server.log_status_statement()).await else { return Ok(Vec::new()) };
    let list = |column: usize| -> Vec<String> {
        let names: String = status.get_opt(column).and_then(Result::ok).unwrap_or_default();
        names.split(',').filter(|name| !name.is_empty()).map(Into::into).collect()
    };
    let (only, ignored) = (list(2), list(3));
    let is_left_out = |database: &String| !only.is_empty() && !only.contains(database) || ignored.contains(database);
    let mut databases: Vec<&String> = tables.iter().map(|t| &t.database).filter(|database| is_left_out(database)).collect();
    databases.dedup();
    let finding = |database: &String| {
        error(
            format!("the server keeps the database `{database}` out of its log (binlog_do_db, binlog_ignore_db)"),
            Some("take the filter out of the [mysqld] section of its configuration and restart it"),
        )
    };
    Ok(databases.into_iter().map(finding).collect())
}

/// Foreign keys whose actions on captured tables the server does not log.
async fn cascades(conn: &mut Conn, server: &Server, tables: &[MysqlTable]) -> Result<Vec<Finding>, SourceError> {
    if server.flavour == Flavour::Mysql && server.version >= (9, 6, 0) {
        return Ok(Vec::new());
    }
    let mut findings = Vec::new();
    for table in tables {
        let query = format!(
            "SELECT CONSTRAINT_NAME, UPDATE_RULE, DELETE_RULE FROM information_schema.REFERENTIAL_CONSTRAINTS \
             WHERE CONSTRAINT_SCHEMA = {} AND TABLE_NAME = {} ORDER BY 1",
            literal(&table.database),
            literal(&table.name)
        );
        let rules: Vec<(String, String, String)> = conn.query(query).await.map_err(|e| query_error(DOING, e))?;
        for (constraint, on_update, on_delete) in rules {
            let rule = [("UPDATE", on_update), ("DELETE", on_delete)].into_iter().find(|(_, rule)| is_action(rule));
            if let Some((event, rule)) = rule {
                findings.push(error(
                    format!(
                        "the foreign key `{constraint}` of `{}` has ON {event} {rule}, and this server does not log what that does",
                        table.table.name
                    ),
                    Some(&format!(
                        "ALTER TABLE {} DROP FOREIGN KEY {}; and add it again with ON {event} RESTRICT",
                        table.quoted(),
                        super::connect::quoted(&constraint)
                    )),
                ));
            }
        }
    }
    Ok(findings)
}

fn is_action(rule: &str) -> bool {
    matches!(rule, "CASCADE" | "SET NULL" | "SET DEFAULT")
}

/// Every connection asks for UTC, so the server's zone is of no consequence, unless something on the way drops that.
async fn time_zone(conn: &mut Conn, tables: &[MysqlTable]) -> Result<Vec<Finding>, SourceError> {
    let is_timestamp = |c: &super::schema::MysqlColumn| matches!(c.kind, ColumnKind::Timestamp { .. });
    if !tables.iter().flat_map(|t| &t.columns).any(is_timestamp) {
        return Ok(Vec::new());
    }
    let zone: String = super::server::one(conn, "SELECT @@session.time_zone", DOING).await?;
    Ok(not_utc(&zone).into_iter().collect())
}

fn not_utc(zone: &str) -> Option<Finding> {
    let finding = || {
        error(
            format!("the connection is in the time zone {zone} although UTC was asked for, so a snapshot would read TIMESTAMP wrongly"),
            Some("connect to the server itself, or let the proxy between pass `SET SESSION time_zone` on"),
        )
    };
    (zone != "+00:00").then(finding)
}

async fn warnings(conn: &mut Conn, server: &Server) -> Result<Vec<Finding>, SourceError> {
    let mut findings = Vec::new();
    let metadata = setting(conn, "binlog_row_metadata").await?;
    if let Some(value) = metadata.filter(|value| !value.eq_ignore_ascii_case("FULL")) {
        findings.push(Finding {
            severity: Severity::Warning,
            message: format!("binlog_row_metadata is {value}, so a column that is renamed or changes its sign goes unseen in the log"),
            mend: Some("SET GLOBAL binlog_row_metadata = 'FULL';".into()),
        });
    }
    let expiry = setting(conn, "binlog_expire_logs_seconds").await?.and_then(|value| value.parse::<f64>().ok()).unwrap_or(0.0);
    if 0.0 < expiry && expiry < SHORT_EXPIRY_SECONDS {
        findings.push(Finding {
            severity: Severity::Warning,
            message: format!("binlog_expire_logs_seconds is {expiry}, so a longer stop than that needs a new snapshot"),
            mend: Some("SET GLOBAL binlog_expire_logs_seconds = 604800;".into()),
        });
    }
    if !server.has_gtids {
        findings.push(Finding {
            severity: Severity::Warning,
            message: "gtid_mode is not ON, so nothing can be resumed at another server after a failover".into(),
            mend: Some("SET GLOBAL enforce_gtid_consistency = ON; then SET GLOBAL gtid_mode = step by step to ON".into()),
        });
    }
    Ok(findings)
}

/// A global variable; `None` where the server does not have it.
async fn setting(conn: &mut Conn, name: &str) -> Result<Option<String>, SourceError> {
    let row: Option<(String, String)> =
        conn.query_first(format!("SHOW GLOBAL VARIABLES LIKE {}", literal(name))).await.map_err(|e| query_error(DOING, e))?;
    Ok(row.map(|(_, value)| value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_that_is_not_in_utc_is_told() {
        assert_eq!(not_utc("+00:00"), None);
        let told = not_utc("SYSTEM").unwrap();
        let expected = "the connection is in the time zone SYSTEM although UTC was asked for, so a snapshot would read TIMESTAMP wrongly";
        assert_eq!((told.message.as_str(), told.severity), (expected, Severity::Error));
    }
}
