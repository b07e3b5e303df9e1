//! Tidemill: an incremental view engine.
//!
//! A change goes one way through the modules: `sources` read it from a database or a file, `run` gives its transaction a tick,
//! `dataflow` works out what it does to every view, `store` makes that durable in one batch, `sinks` and readers follow the store.
//! A definition goes one way too: `cli`, then `spec`, then `plan`, then `dataflow`. `docs/architecture.md` has the whole picture.

pub mod cli;
pub mod dataflow;
pub mod fault;
pub mod finding;
pub mod options;
pub mod plan;
pub mod run;
pub mod serve;
pub mod shop;
pub mod sinks;
pub mod sources;
pub mod spec;
pub mod sql;
pub mod store;
pub mod value;
