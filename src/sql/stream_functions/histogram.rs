//! How often each value is there.

use super::{StreamFunction, Written, Wrong};

/// `HISTOGRAM(value)`: a document of values and how often each is there; NULLs are passed over.
pub(super) const HISTOGRAM: StreamFunction = StreamFunction {
    name: "histogram",
    usage: "histogram(value)",
    write: |call| match call.arguments.len() {
        1 => Ok(Written { text: "histogram($1)".into(), where_: None }),
        _ => Err(Wrong::Arguments),
    },
};
