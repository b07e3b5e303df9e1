//! Sets the session variables that reading depends on.
//!
//! Settings of the server and its `init_connect` may have changed the session, so every variable is set and then read back. A connection is
//! used only if every variable has the required value. Values are compared as the server shows them. Elsewhere: variables that only reading
//! the log needs (`binlog::open`).

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Error, Row, ServerError};

use super::errors::{address, connect_error, reason};
use super::options::MysqlOptions;
use super::quoting::literal;
use crate::sources::SourceError;

/// A variable, the expression that it is set to, and how the server shows that value.
struct Variable {
    name: &'static str,
    value: &'static str,
    shown: &'static str,
}

const fn variable(name: &'static str, value: &'static str, shown: &'static str) -> Variable {
    Variable { name, value, shown }
}

/// Comes first, because already the next statement must not run into an old limit. Each comment is executed by only one of the two servers.
const UNLIMITED: &str = "/*M!100101 max_statement_time=0, */ /*!50708 max_execution_time=0, */";

/// Variables that every server has. Those that would cut off results come first.
const EVERYWHERE: &[Variable] = &[
    variable("sql_select_limit", "18446744073709551615", "18446744073709551615"),
    variable("max_join_size", "18446744073709551615", "18446744073709551615"),
    variable("sql_big_selects", "1", "ON"),
    variable("sql_mode", "''", ""),
    variable("time_zone", "'+00:00'", "+00:00"),
    // Statements are in UTF-8. Text is returned in the columns' own character sets, so a snapshot and the log are decoded alike.
    variable("character_set_client", "utf8mb4", "utf8mb4"),
    variable("character_set_connection", "utf8mb4", "utf8mb4"),
    variable("collation_connection", "utf8mb4_bin", "utf8mb4_bin"),
    variable("character_set_results", "NULL", ""),
    variable("autocommit", "1", "ON"),
    // Otherwise a ROLLBACK could end the connection or begin another transaction.
    variable("completion_type", "0", "NO_CHAIN"),
    variable("sql_auto_is_null", "0", "OFF"),
    variable("sql_safe_updates", "0", "OFF"),
    variable("sql_buffer_result", "0", "OFF"),
    // A slow sink delays reading; the server must not close the connection for that.
    variable("net_write_timeout", "86400", "86400"),
    variable("net_read_timeout", "86400", "86400"),
    variable("wait_timeout", "86400", "86400"),
    variable("lock_wait_timeout", "2", "2"),
];

/// Variables that only some servers have. Each is set if it exists and has another value.
const WHERE_PRESENT: &[Variable] = &[
    variable("max_execution_time", "0", "0"),
    variable("max_statement_time", "0", "0.000000"),
    variable("idle_transaction_timeout", "0", "0"),
    variable("idle_readonly_transaction_timeout", "0", "0"),
    variable("max_session_mem_used", "9223372036854775807", "9223372036854775807"),
    variable("transaction_isolation", "'REPEATABLE-READ'", "REPEATABLE-READ"),
    variable("tx_isolation", "'REPEATABLE-READ'", "REPEATABLE-READ"),
    variable("transaction_read_only", "0", "OFF"),
    variable("tx_read_only", "0", "OFF"),
    // A secondary engine, a node that is cut off from its cluster, and a cache may return older data than the snapshot's.
    variable("use_secondary_engine", "'OFF'", "OFF"),
    variable("wsrep_dirty_reads", "0", "OFF"),
    variable("query_cache_type", "0", "OFF"),
    // Otherwise a key that the server generated would be in the log but not in the table's definition.
    variable("show_gipk_in_create_table_and_information_schema", "1", "ON"),
    variable("information_schema_stats_expiry", "0", "0"),
    // Otherwise the server would not send events to this session that are marked to be skipped.
    variable("skip_replication", "0", "OFF"),
];

/// Sets all variables and reads them back.
pub(super) async fn set_up(conn: &mut Conn, options: &MysqlOptions) -> Result<(), SourceError> {
    set(conn, options, EVERYWHERE.iter().collect()).await?;
    let found = shown(conn, options).await?;
    let is_wrong = |wanted: &&Variable| found.iter().any(|(name, value)| wanted.differs(name, value));
    let wrong: Vec<&Variable> = WHERE_PRESENT.iter().filter(is_wrong).collect();
    let found = if wrong.is_empty() {
        found
    } else {
        set(conn, options, wrong).await?;
        shown(conn, options).await?
    };
    match first_wrong(&found) {
        None => Ok(()),
        Some(what) => Err(SourceError::Invalid {
            message: format!("{what} at {}, although the session set it, so what is read there cannot be trusted", address(options)),
            table: None,
            help: Some(
                "connect to the server itself, or make what is in between (a proxy, a pool of connections) pass on SET SESSION".into(),
            ),
        }),
    }
}

impl Variable {
    fn differs(&self, name: &str, value: &str) -> bool {
        name.eq_ignore_ascii_case(self.name) && !value.eq_ignore_ascii_case(self.shown)
    }
}

/// Describes the first variable that has a wrong value, or that every server should have but this one does not show.
fn first_wrong(found: &[(String, String)]) -> Option<String> {
    for wanted in EVERYWHERE {
        if !found.iter().any(|(name, _)| name.eq_ignore_ascii_case(wanted.name)) {
            return Some(format!("the session variable `{}` is not shown", wanted.name));
        }
    }
    for wanted in EVERYWHERE.iter().chain(WHERE_PRESENT) {
        if let Some((_, value)) = found.iter().find(|(name, value)| wanted.differs(name, value)) {
            return Some(format!("the session variable `{}` is '{value}' and not '{}'", wanted.name, wanted.shown));
        }
    }
    None
}

async fn set(conn: &mut Conn, options: &MysqlOptions, variables: Vec<&Variable>) -> Result<(), SourceError> {
    let assignments: Vec<String> = variables.iter().map(|v| format!("{}={}", v.name, v.value)).collect();
    let set = conn.query_drop(format!("SET SESSION {UNLIMITED} {}", assignments.join(", "))).await;
    set.map_err(|error| match &error {
        // The codes for a variable that does not exist, is read-only, is not permitted, or has a wrong value.
        Error::Server(ServerError { code: 1193 | 1227 | 1231 | 1232 | 1238 | 1621, .. }) => SourceError::Invalid {
            message: format!("{} refuses a session variable that reading depends on: {}", address(options), reason(&error)),
            table: None,
            help: Some(format!("let the user set {}", variables.iter().map(|v| v.name).collect::<Vec<_>>().join(", "))),
        },
        _ => connect_error(options, error),
    })
}

/// The variables of both lists that the server has, with their values.
async fn shown(conn: &mut Conn, options: &MysqlOptions) -> Result<Vec<(String, String)>, SourceError> {
    let names: Vec<String> = EVERYWHERE.iter().chain(WHERE_PRESENT).map(|v| literal(v.name)).collect();
    let query = format!("SHOW SESSION VARIABLES WHERE Variable_name IN ({})", names.join(", "));
    let rows: Vec<Row> = conn.query(query).await.map_err(|e| connect_error(options, e))?;
    let text = |row: &Row, column| row.get_opt::<Option<String>, usize>(column).and_then(Result::ok).flatten();
    Ok(rows.iter().map(|row| (text(row, 0).unwrap_or_default(), text(row, 1).unwrap_or_default())).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn as_wanted() -> Vec<(String, String)> {
        EVERYWHERE.iter().map(|v| (v.name.to_string(), v.shown.to_string())).collect()
    }

    #[test]
    fn a_variable_that_did_not_take_effect_is_named() {
        assert_eq!(first_wrong(&as_wanted()), None);
        let mut found = as_wanted();
        found[0].1 = "2".into();
        assert_eq!(first_wrong(&found).unwrap(), "the session variable `sql_select_limit` is '2' and not '18446744073709551615'");
        let mut found = as_wanted();
        found.push(("max_statement_time".into(), "1.500000".into()));
        assert_eq!(first_wrong(&found).unwrap(), "the session variable `max_statement_time` is '1.500000' and not '0.000000'");
        let mut found = as_wanted();
        found.retain(|(name, _)| name != "time_zone");
        assert_eq!(first_wrong(&found).unwrap(), "the session variable `time_zone` is not shown");
    }

    #[test]
    fn how_letters_are_written_is_of_no_consequence() {
        let found: Vec<_> = as_wanted().into_iter().map(|(name, value)| (name.to_uppercase(), value.to_lowercase())).collect();
        assert_eq!(first_wrong(&found), None);
    }
}
