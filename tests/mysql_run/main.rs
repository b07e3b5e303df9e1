//! `tidemill run` and `tidemill check` on MySQL and MariaDB, as a user runs them.

#[path = "../support/mod.rs"]
mod support;

mod cut_off;
