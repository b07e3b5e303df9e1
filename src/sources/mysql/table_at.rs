//! Where a table is at the server.

use serde::{Deserialize, Serialize};

use super::quoting::{literal, quoted};

/// A table of the server, with the names as the server writes them.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct TableAt {
    pub(super) database: String,
    pub(super) name: String,
}

impl TableAt {
    pub(super) fn new(database: &str, name: &str) -> TableAt {
        TableAt { database: database.into(), name: name.into() }
    }

    /// The table's name for a statement.
    pub(super) fn quoted(&self) -> String {
        format!("{}.{}", quoted(&self.database), quoted(&self.name))
    }

    /// `database.table`, as a spec names it.
    pub(super) fn dotted(&self) -> String {
        format!("{}.{}", self.database, self.name)
    }

    /// The condition for its rows in a table of `information_schema`.
    pub(super) fn filter(&self) -> String {
        format!("TABLE_SCHEMA = {} AND TABLE_NAME = {}", literal(&self.database), literal(&self.name))
    }
}

/// The kind of a table that keeps its history (MariaDB).
pub(super) const VERSIONED: &str = "SYSTEM VERSIONED";

/// Why a table of this kind cannot be captured, as the rest of a sentence; `None` if it can. `kind`: `information_schema.TABLES.TABLE_TYPE`.
pub(super) fn unusable_kind(kind: &str) -> Option<String> {
    match kind {
        "BASE TABLE" => None,
        VERSIONED => Some("is system-versioned, and its log does not say what was deleted".into()),
        other => Some(format!("is not a table but a {}", other.to_lowercase())),
    }
}
