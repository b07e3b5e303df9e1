//! The `mongodb` sink against a real server, and whole runs into it.

#[path = "../support/mod.rs"]
mod support;

mod altered;
mod changes;
mod fake;
mod identity;
mod kit;
mod refused;
mod runs;
mod transactions;
