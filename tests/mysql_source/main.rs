//! The MySQL and MariaDB source against real servers of both families.

#[path = "../support/mod.rs"]
mod servers;

mod access;
mod charsets;
mod follow;
mod history;
mod locks;
mod names;
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
