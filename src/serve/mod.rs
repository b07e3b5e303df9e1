//! Answers questions about views, for whoever asks in whatever protocol: reads store snapshots and follows changelogs, writes
//! nothing.
//!
//! `local` is how another process on this machine asks: `tidemill get`, `tail` and `status`.

pub mod local;
