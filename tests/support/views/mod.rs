//! What shows that views are right: a case's folder, the engine run in several ways, and an independent recomputation.

pub(crate) mod aggregates;
pub(crate) mod case;
pub(crate) mod chains;
pub(crate) mod check;
pub(crate) mod documents;
pub(crate) mod engine;
pub(crate) mod expression;
pub(crate) mod generate;
pub(crate) mod judge;
pub(crate) mod nested;
pub(crate) mod oracle;
pub(crate) mod order;
pub(crate) mod parts;
pub(crate) mod queries;
pub(crate) mod query_case;
pub(crate) mod random;
pub(crate) mod recording;
pub(crate) mod recursive_queries;
mod related;
pub(crate) mod scattered;
pub(crate) mod shrink;
pub(crate) mod simpler;
pub(crate) mod typed;
pub(crate) mod windows;
pub(crate) mod wrong;
