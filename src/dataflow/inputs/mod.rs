//! Rows of tables and of queries on their way to arrangements.

pub(crate) mod route;
pub(crate) mod selector;
pub(crate) mod shared;
