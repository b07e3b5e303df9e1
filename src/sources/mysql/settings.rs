//! Reads the server's global variables as text.

use mysql_async::Conn;
use mysql_async::prelude::Queryable;

use super::errors::query_error;
use super::quoting::literal;
use crate::sources::SourceError;

const DOING: &str = "looking at the server's settings";

/// Returns a global variable; `None` if the server does not have it.
pub(super) async fn setting(conn: &mut Conn, name: &str) -> Result<Option<String>, SourceError> {
    let row: Option<(String, String)> =
        conn.query_first(format!("SHOW GLOBAL VARIABLES LIKE {}", literal(name))).await.map_err(|e| query_error(DOING, e))?;
    Ok(row.map(|(_, value)| value))
}
