//! Asks the server what else a write to an uncaptured table may have changed.
//!
//! This is needed only if the log has a statement instead of its rows, because it then lacks what triggers and foreign keys did. The answer
//! is about the present; triggers that are created later show up in the log. A user without TRIGGER on a database sees none of its triggers.

use mysql_async::prelude::Queryable;

use super::binlog::assemble::WrittenByText;
use super::cascade::Cascades;
use super::connect::connect_to;
use super::errors::query_error;
use super::options::MysqlOptions;
use super::quoting::literal;
use super::server::Server;
use crate::sources::SourceError;

const DOING: &str = "asking what a statement in the log could change";

/// Why the write may have changed a captured table; `None` if it did not.
pub(super) async fn find(
    options: &MysqlOptions,
    server: &Server,
    written: &WrittenByText,
    cascades: &Cascades,
) -> Result<Option<&'static str>, SourceError> {
    if cascades.acts() {
        return Ok(Some("foreign keys may have changed other tables"));
    }
    let mut conn = connect_to(server, options).await?;
    let mut questions = Vec::new();
    if let WrittenByText::Table { database, name } = written {
        let (database, name) = (literal(database), literal(name));
        let is = format!("TABLE_SCHEMA = {database} AND TABLE_NAME = {name} AND TABLE_TYPE = 'VIEW'");
        questions.push((format!("SELECT COUNT(*) FROM information_schema.TABLES WHERE {is}"), "it is a view"));
        let is_on = format!("EVENT_OBJECT_SCHEMA = {database} AND EVENT_OBJECT_TABLE = {name}");
        questions.push((format!("SELECT COUNT(*) FROM information_schema.TRIGGERS WHERE {is_on}"), "it has a trigger"));
    }
    let mut found = None;
    for (question, why) in questions {
        let count: Option<u64> = conn.query_first(question).await.map_err(|e| query_error(DOING, e))?;
        if count != Some(0) {
            found = Some(why);
            break;
        }
    }
    let _ = conn.disconnect().await;
    Ok(found)
}
