//! A query as its node, with what is known to make one of its rows unique.

use crate::plan::{Node, Uniqueness};

pub(in crate::plan) struct LoweredQuery {
    pub node: Node,
    /// The columns that make a row unique: as declared, or as the query says.
    pub key: Option<Vec<usize>>,
    pub uniqueness: Uniqueness,
}
