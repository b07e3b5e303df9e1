//! The MySQL and MariaDB source against real servers of both families.

mod access;
mod follow;
mod locks;
mod refusals;
mod second_decoder;
mod snapshot;
mod support;
mod types;
