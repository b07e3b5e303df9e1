//! The relations that queries read.

use crate::value::Schema;

/// A table or a view that a query can read.
#[derive(Debug, Clone, PartialEq)]
pub struct Relation {
    /// The name of a table's source; `None` for a view.
    pub source: Option<String>,
    pub name: String,
    pub schema: Schema,
}
