//! `tidemill draft` on MySQL and MariaDB: specs of schemas as people write them, each accepted as a file, checked, run, and compared with SQL.
//!
//! To accept new specs: `TIDEMILL_ACCEPT=1 cargo test --test draft`, and read the difference.

#[path = "../support/mod.rs"]
mod support;

mod kit;
mod many_tables;
mod readme;
mod refused;
mod schemas;
mod servers_need;
