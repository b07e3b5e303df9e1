//! Queries: an operator for each kind of node of a query's plan.

pub(crate) mod constants;
pub(crate) mod delta_join;
pub(crate) mod group;
pub(crate) mod join;
pub(crate) mod nodes;
pub(crate) mod present;
pub(crate) mod recursion;
pub(crate) mod select;
pub(crate) mod top;
pub(crate) mod unnest;
pub(crate) mod window;
