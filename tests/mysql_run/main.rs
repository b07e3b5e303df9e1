//! `tidemill run` and `tidemill check` on MySQL and MariaDB, as a user runs them.

#[path = "../support/mod.rs"]
mod support;

mod alter;
mod apply;
mod cut_off;
mod foreign_keys;
mod graph_views;
#[path = "../support/graphs.rs"]
mod graphs;
mod history;
mod kit;
#[path = "../support/long.rs"]
mod long;
mod proxy;
#[allow(dead_code, reason = "each test program uses a part of it")]
#[path = "../support/views/random.rs"]
mod random;
mod random_graphs;
mod refused;
mod restarts;
mod resync;
mod server_id;
mod sessions;
mod statements;
mod unreadable;
#[allow(dead_code, reason = "the tests with kills use all of it")]
#[path = "../support/values.rs"]
mod values;
