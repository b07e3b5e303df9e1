//! The session variables that reading depends on.
//!
//! Whatever the server's settings and its `init_connect` make of a session, it is brought to one state, and what took effect is read
//! back: a connection is handed out only if every variable is as it must be. Values are compared as the server shows them.
//! Elsewhere: what only reading the log needs (`binlog::open`).

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Error, Row, ServerError};

use super::errors::{address, connect_error, reason};
use super::options::MysqlOptions;
use super::quoting::literal;
use crate::sources::SourceError;

/// A variable, what it is set to as an expression, and how the server shows that.
struct Variable {
    name: &'static str,
    value: &'static str,
    shown: &'static str,
}

const fn variable(name: &'static str, value: &'static str, shown: &'static str) -> Variable {
    Variable { name, value, shown }
}

/// Goes first, in comments that only one of the two servers reads: the very next statement must not run into the limit of the last.
const UNLIMITED: &str = "/*M!100101 max_statement_time=0, */ /*!50708 max_execution_time=0, */";

/// What every server has; first what would cut the answers of the others.
const EVERYWHERE: &[Variable] = &[
    variable("sql_select_limit", "18446744073709551615", "18446744073709551615"),
    variable("max_join_size", "18446744073709551615", "18446744073709551615"),
    variable("sql_big_selects", "1", "ON"),
    variable("sql_mode", "''", ""),
    variable("time_zone", "'+00:00'", "+00:00"),
    // Statements are written in UTF-8; text comes in the columns' own character sets, so a snapshot decodes what the log decodes.
    variable("character_set_client", "utf8mb4", "utf8mb4"),
    variable("character_set_connection", "utf8mb4", "utf8mb4"),
    variable("collation_connection", "utf8mb4_bin", "utf8mb4_bin"),
    variable("character_set_results", "NULL", ""),
    variable("autocommit", "1", "ON"),
    // A ROLLBACK could end the connection, or begin another transaction.
    variable("completion_type", "0", "NO_CHAIN"),
    variable("sql_auto_is_null", "0", "OFF"),
    variable("sql_safe_updates", "0", "OFF"),
    variable("sql_buffer_result", "0", "OFF"),
    // A slow sink holds back reading; the server must not take that for a dead client.
    variable("net_write_timeout", "86400", "86400"),
    variable("net_read_timeout", "86400", "86400"),
    variable("wait_timeout", "86400", "86400"),
    variable("lock_wait_timeout", "2", "2"),
];

/// What some servers have, set where it is there and not right already.
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
    // A secondary engine, a node that is cut off from its cluster, and a cache may answer from another moment than the snapshot's.
    variable("use_secondary_engine", "'OFF'", "OFF"),
    variable("wsrep_dirty_reads", "0", "OFF"),
    variable("query_cache_type", "0", "OFF"),
    // Else a key that the server made itself would be in the log and not in the table's description.
    variable("show_gipk_in_create_table_and_information_schema", "1", "ON"),
    variable("information_schema_stats_expiry", "0", "0"),
    // Of a session that reads the log: events that a replica may pass over would not come.
    variable("skip_replication", "0", "OFF"),
];

/// Sets everything and reads it back.
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
            message: format!("{what} in a session at {} that set it, so what is read there cannot be trusted", address(options)),
            table: None,
            help: Some("connect to the server itself, or let what is between (a proxy, a pool of connections) pass SET SESSION on".into()),
        }),
    }
}

impl Variable {
    fn differs(&self, name: &str, value: &str) -> bool {
        name.eq_ignore_ascii_case(self.name) && !value.eq_ignore_ascii_case(self.shown)
    }
}

/// The first variable that is not as it must be, or of those that every server has is not there.
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
        // What a session variable may not be, or may not be set to.
        Error::Server(ServerError { code: 1193 | 1227 | 1231 | 1232 | 1238 | 1621, .. }) => SourceError::Invalid {
            message: format!("{} refuses a session variable that reading depends on: {}", address(options), reason(&error)),
            table: None,
            help: Some(format!("let the user set {}", variables.iter().map(|v| v.name).collect::<Vec<_>>().join(", "))),
        },
        _ => connect_error(options, error),
    })
}

/// The variables of both lists that the server has, and their values.
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
