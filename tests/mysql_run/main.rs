//! `tidemill run` and `tidemill check` on MySQL and MariaDB, as a user runs them.

#[path = "../support/mod.rs"]
mod support;

mod alter;
mod apply;
mod cut_off;
mod foreign_keys;
mod history;
mod kit;
mod proxy;
#[allow(dead_code, reason = "each test program uses a part of it")]
#[path = "../support/views/random.rs"]
mod random;
mod refused;
mod restarts;
mod resync;
mod server_id;
mod sessions;
mod statements;
mod unreadable;
