//! TPC-H: its tables, its 22 queries as views of one spec, and what DataFusion says that they are.

pub(crate) mod data;
pub(crate) mod duckdb;
pub(crate) mod right;
