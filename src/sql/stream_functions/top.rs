//! The greatest values of a group.

use super::{Call, StreamFunction, Written, Wrong};

/// `TOPK(value, k)`: the `k` greatest, the greatest first; NULLs are passed over.
pub(super) const TOPK: StreamFunction =
    StreamFunction { name: "topk", usage: "topk(value, 3)", write: |call| written(call, "array_agg($1 ORDER BY $1 DESC)") };

/// `TOPKDISTINCT(value, k)`: each value once.
pub(super) const TOPK_DISTINCT: StreamFunction = StreamFunction {
    name: "topkdistinct",
    usage: "topkdistinct(value, 3)",
    write: |call| written(call, "array_agg(DISTINCT $1 ORDER BY $1 DESC)"),
};

fn written(call: &Call, all: &str) -> Result<Written, Wrong> {
    match (call.arguments.len(), call.number(1)) {
        (2, Some(k)) => Ok(Written { text: format!("array_slice({all}, 1, {k})"), where_: Some("$1 IS NOT NULL") }),
        _ => Err(Wrong::Arguments),
    }
}
