//! A lowered query: its node and the key of its rows.

use crate::plan::{Node, Uniqueness};

pub(in crate::plan) struct LoweredQuery {
    pub node: Node,
    /// The columns that make a row unique: declared, or known from the query. `None` if unknown.
    pub key: Option<Vec<usize>>,
    pub uniqueness: Uniqueness,
}
