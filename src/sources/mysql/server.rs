//! Identifies the server: its dialect, version and identity. Elsewhere: where its log ends (`log_end`).

use mysql_async::Conn;
use mysql_async::prelude::Queryable;

use super::binlog::gtid::{MariadbGtids, MysqlGtids};
use super::binlog::names::Case;
use super::errors::{query_error, transient};
use super::table_at::TableAt;
use crate::sources::SourceError;

/// Which of the two kinds of server it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flavour {
    Mysql,
    Mariadb,
}

/// The server of a connection.
#[derive(Debug, Clone)]
pub(super) struct Server {
    pub(super) flavour: Flavour,
    pub(super) version: (u16, u16, u16),
    /// Identifies the server, because a file and offset are valid only there: the server's UUID at MySQL, its `server_id` at MariaDB.
    pub(super) identity: String,
    pub(super) log_bin: bool,
    /// Whether every transaction has a GTID: always at MariaDB, depending on a setting at MySQL.
    pub(super) has_gtids: bool,
    /// `lower_case_table_names`: 0 if names of databases and tables are case-sensitive.
    pub(super) lower_case_names: u8,
}

impl Server {
    /// Queries the server for its version, identity and settings.
    pub(super) async fn identify(conn: &mut Conn) -> Result<Server, SourceError> {
        let doing = "asking the server for its version";
        let version_text: String = one(conn, "SELECT VERSION()", doing).await?;
        let flavour = if version_text.to_lowercase().contains("mariadb") { Flavour::Mariadb } else { Flavour::Mysql };
        let log_bin: i64 = one(conn, "SELECT @@global.log_bin", doing).await?;
        let has_gtids = match flavour {
            Flavour::Mysql => one::<String>(conn, "SELECT @@global.gtid_mode", doing).await? == "ON",
            Flavour::Mariadb => true,
        };
        let identity = identity(conn, flavour).await?;
        let version = parse_version(&version_text);
        let lower_case_names: u8 = one(conn, "SELECT @@global.lower_case_table_names", doing).await?;
        Ok(Server { flavour, version, identity, log_bin: log_bin != 0, has_gtids, lower_case_names })
    }

    /// Fails if another connection leads to another server, as through something that balances load. Positions, rows and the log of two servers
    /// do not fit together.
    pub(super) async fn expect_same(&self, conn: &mut Conn) -> Result<(), SourceError> {
        match identity(conn, self.flavour).await? == self.identity {
            true => Ok(()),
            false => Err(SourceError::Transient { message: DIFFERENT.into() }),
        }
    }

    /// How names in its log are compared.
    pub(super) fn name_case(&self) -> Case {
        if self.lower_case_names == 0 { Case::Kept } else { Case::Folded }
    }

    /// Whether this server treats two names as the same database or table.
    pub(super) fn same_name(&self, one: &str, other: &str) -> bool {
        one == other || self.lower_case_names != 0 && one.to_lowercase() == other.to_lowercase()
    }

    pub(super) fn same_table(&self, one: &TableAt, other: &TableAt) -> bool {
        self.same_name(&one.database, &other.database) && self.same_name(&one.name, &other.name)
    }

    /// Whether names of foreign keys need only be unique in their table, so that InnoDB orders the keys of a parent by something else than
    /// their names (MariaDB from 12.1 on).
    pub(super) fn names_keys_by_table(&self) -> bool {
        self.flavour == Flavour::Mariadb && self.version >= (12, 1, 0)
    }

    /// The statement returns file, offset, the databases that alone are logged, and those that are not logged.
    pub(super) fn log_status_statement(&self) -> &'static str {
        match self.flavour {
            Flavour::Mysql if self.version >= (8, 2, 0) => "SHOW BINARY LOG STATUS",
            _ => "SHOW MASTER STATUS",
        }
    }

    /// Returns all transactions that this MySQL server has executed.
    pub(super) async fn mysql_gtids(&self, conn: &mut Conn) -> Result<MysqlGtids, SourceError> {
        let doing = "asking the server for its GTIDs";
        let text: String = one(conn, "SELECT @@global.gtid_executed", doing).await?;
        text.parse().map_err(|_| SourceError::Stopped { message: format!("{doing}: the answer is not understood"), help: None })
    }
}

const DIFFERENT: &str =
    "the connections lead to different servers; `url` must name one server itself, and not what balances load between several";

async fn identity(conn: &mut Conn, flavour: Flavour) -> Result<String, SourceError> {
    let doing = "asking the server for its identity";
    match flavour {
        Flavour::Mysql => one(conn, "SELECT @@global.server_uuid", doing).await,
        Flavour::Mariadb => Ok(one::<u64>(conn, "SELECT @@global.server_id", doing).await?.to_string()),
    }
}

pub(super) fn parse_mariadb(text: &str) -> Result<MariadbGtids, SourceError> {
    text.parse().map_err(|_| SourceError::Stopped { message: "the server's GTID position is not understood".into(), help: None })
}

/// Returns the first column of the first row.
pub(super) async fn one<T>(conn: &mut Conn, query: &str, doing: &str) -> Result<T, SourceError>
where
    T: mysql_async::prelude::FromValue + Send + 'static,
{
    let row: Option<mysql_async::Row> = conn.query_first(query).await.map_err(|e| query_error(doing, e))?;
    let value = row.and_then(|row| row.get_opt::<T, usize>(0)).and_then(Result::ok);
    value.ok_or_else(|| transient(doing, mysql_async::Error::Other("an unexpected answer".into())))
}

pub(super) fn parse_version(text: &str) -> (u16, u16, u16) {
    // Old MariaDB servers prefix their version with `5.5.5-`, for old replicas.
    let text = text.strip_prefix("5.5.5-").unwrap_or(text);
    let mut numbers = text.split(|c: char| !c.is_ascii_digit()).map(|part| part.parse().unwrap_or(0));
    let mut next = || numbers.next().unwrap_or(0);
    (next(), next(), next())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read() {
        assert_eq!(parse_version("9.7.4-1"), (9, 7, 4));
        assert_eq!(parse_version("10.11.19-MariaDB-log"), (10, 11, 19));
        assert_eq!(parse_version("5.5.5-10.6.2-MariaDB"), (10, 6, 2));
        assert_eq!(parse_version("8.4"), (8, 4, 0));
    }
}
