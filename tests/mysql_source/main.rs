//! The MySQL and MariaDB source against real servers of both families.

#[path = "../support/mod.rs"]
mod servers;

mod access;
mod cascades;
mod charsets;
mod follow;
#[allow(dead_code, reason = "the tests of views read all of it")]
#[path = "../support/graphs.rs"]
mod graphs;
mod history;
mod locks;
#[path = "../support/long.rs"]
mod long;
mod names;
#[path = "../support/views/random.rs"]
mod random;
mod random_cascades;
mod refusals;
mod second_decoder;
mod settings;
mod snapshot;
mod statements;
mod support;
mod types;
mod unreadable;
mod waits;
mod without_rows;
mod xa;
