//! The server's own limit for the time of a statement.

use std::time::Duration;

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Error, ServerError};

use super::server::Flavour;

/// The error codes of MariaDB and of MySQL.
const OUT_OF_TIME: [u16; 2] = [1969, 3024];
/// Less time than this is not enough for a statement.
pub(super) const SHORTEST: Duration = Duration::from_millis(10);

/// Limits every SELECT that follows on the connection. `time`: at least [`SHORTEST`].
pub(super) async fn limit_time(conn: &mut Conn, flavour: Flavour, time: Duration) -> Result<(), Error> {
    conn.query_drop(match flavour {
        Flavour::Mariadb => format!("SET SESSION max_statement_time = {:.3}", time.as_secs_f64()),
        Flavour::Mysql => format!("SET SESSION max_execution_time = {}", time.as_millis()),
    })
    .await
}

/// Whether the server ended a statement because of its limit.
pub(super) fn is_out_of_time(error: &Error) -> bool {
    matches!(error, Error::Server(ServerError { code, .. }) if OUT_OF_TIME.contains(code))
}
