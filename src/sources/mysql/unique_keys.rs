//! The unique keys of tables, from `information_schema`.

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Error};

/// A unique key. The primary key is one, too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct UniqueKey {
    pub(super) table: String,
    name: String,
    /// In the order of the key. `None`: a part of it is an expression.
    columns: Option<Vec<String>>,
    /// Whether it has only the beginnings of some columns.
    has_beginnings: bool,
    /// Whether a part of it can be NULL, so that rows may repeat.
    nullable: bool,
}

impl UniqueKey {
    pub(super) fn is_primary(&self) -> bool {
        self.name == "PRIMARY"
    }

    /// The columns, if they alone keep rows from being equal.
    pub(super) fn identity(&self) -> Option<&[String]> {
        self.columns.as_deref().filter(|_| !self.nullable)
    }

    /// The columns, if the key has them whole.
    pub(super) fn whole_columns(&self) -> Option<&[String]> {
        self.columns.as_deref().filter(|_| !self.has_beginnings)
    }
}

/// Reads the unique keys of the tables that match a condition on `information_schema.STATISTICS`.
pub(super) async fn read(conn: &mut Conn, filter: &str) -> Result<Vec<UniqueKey>, Error> {
    let parts: Vec<(String, String, Option<String>, bool, bool)> = conn
        .query(format!(
            "SELECT TABLE_NAME, INDEX_NAME, COLUMN_NAME, SUB_PART IS NOT NULL, NULLABLE = 'YES' FROM information_schema.STATISTICS WHERE \
             {filter} AND NON_UNIQUE = 0 ORDER BY TABLE_NAME, INDEX_NAME, SEQ_IN_INDEX"
        ))
        .await?;
    let key = |parts: &[(String, String, Option<String>, bool, bool)]| UniqueKey {
        table: parts[0].0.clone(),
        name: parts[0].1.clone(),
        columns: parts.iter().map(|part| part.2.clone()).collect(),
        has_beginnings: parts.iter().any(|part| part.3),
        nullable: parts.iter().any(|part| part.4),
    };
    Ok(parts.chunk_by(|a, b| (&a.0, &a.1) == (&b.0, &b.1)).map(key).collect())
}

/// The columns of the primary key among the keys of one table; none if there is no primary key.
pub(super) fn primary(keys: &[UniqueKey]) -> &[String] {
    keys.iter().find(|key| key.is_primary()).and_then(|key| key.columns.as_deref()).unwrap_or_default()
}

/// The columns of the primary key, or of a unique key that tells rows apart as well.
pub(super) fn identity(keys: &[UniqueKey]) -> &[String] {
    match primary(keys) {
        [] => keys.iter().find_map(UniqueKey::identity).unwrap_or_default(),
        primary => primary,
    }
}
