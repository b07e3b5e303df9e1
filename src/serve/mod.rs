//! Serves views to readers outside the engine: reads store snapshots and follows changelogs. Only orders about sinks write to the store.
//!
//! `local` serves other processes on the same machine: `tidemill get`, `tail`, `errors`, `status` and `sink`.

mod changes;
mod error;
mod errors;
mod json_lines;
pub mod local;
pub mod question;
mod rows;
mod sinks;
mod status;

pub use error::{AccessError, AccessErrorKind};
pub use json_lines::Lines;
pub use rows::{first_rows, key_values};
pub use status::{MemoryStatus, SinkStatus, SourceStatus, Status, ViewStatus};
