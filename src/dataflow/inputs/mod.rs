//! Routes rows of tables and of queries to arrangements.

pub(crate) mod route;
pub(crate) mod selected;
pub(crate) mod selector;
pub(crate) mod shared;
