//! `tidemill preview`, as a user runs it: its documents are those of `run` and `get`.

#[path = "../support/mod.rs"]
mod support;

mod files;
mod kit;
mod large;
mod shapes;
mod small;
