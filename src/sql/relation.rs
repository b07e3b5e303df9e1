//! What queries read.

use crate::value::Schema;

/// Something that a query can read.
#[derive(Debug, Clone, PartialEq)]
pub struct Relation {
    /// The source's name for a table, `None` for a view.
    pub source: Option<String>,
    pub name: String,
    pub schema: Schema,
}
