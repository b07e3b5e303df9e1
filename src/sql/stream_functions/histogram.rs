//! Counts of each value.

use super::{Replacement, StreamFunction, Wrong};

/// `HISTOGRAM(value)`: a document with the count of each value; NULLs are ignored.
pub(super) const HISTOGRAM: StreamFunction = StreamFunction {
    name: "histogram",
    usage: "histogram(value)",
    write: |call| match call.arguments.len() {
        1 => Ok(Replacement { text: "histogram($1)".into(), where_: None }),
        _ => Err(Wrong::Arguments),
    },
};
