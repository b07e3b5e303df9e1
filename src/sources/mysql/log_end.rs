//! Finds where a server's log ends.

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Error, Row};

use super::binlog::gtid::GtidPosition;
use super::errors::query_error;
use super::position::{LogFilePosition, LogPosition};
use super::server::{Flavour, Server, one, parse_mariadb};
use crate::sources::SourceError;

impl Server {
    /// The current end of the log. It is read without a lock, so it can only tell whether everything written so far has been read.
    pub(super) async fn end_of_log(&self, conn: &mut Conn) -> Result<LogPosition, SourceError> {
        let doing = "asking the server where its log ends";
        let gtid = match self.flavour {
            Flavour::Mysql if self.has_gtids => Some(GtidPosition::Mysql(self.mysql_gtids(conn).await?)),
            Flavour::Mysql => None,
            Flavour::Mariadb => {
                let text: String = one(conn, "SELECT @@global.gtid_binlog_pos", doing).await?;
                Some(GtidPosition::Mariadb(parse_mariadb(&text)?))
            }
        };
        // Without the privilege to read the file position, the GTIDs suffice.
        let file = match self.file_status(conn).await {
            Ok(file) => Some(file),
            Err(error) if gtid.is_none() => return Err(query_error(doing, error)),
            Err(_) => None,
        };
        Ok(LogPosition::new(self, gtid, file))
    }

    /// The file and offset at which the log ends.
    pub(super) async fn file_status(&self, conn: &mut Conn) -> Result<LogFilePosition, Error> {
        let row: Option<Row> = conn.query_first(self.log_status_statement()).await?;
        let status = row.and_then(|row| Some(LogFilePosition { file: row.get(0)?, offset: row.get(1)? }));
        status.ok_or_else(|| Error::Other("the server writes no binary log".into()))
    }
}
