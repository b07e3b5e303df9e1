//! The greatest values of a group.

use super::{Call, StreamFunction, Written, Wrong};

/// `TOPK(value, others, k)`: the `k` greatest, the greatest first, with what stands beside them as `{sort_col, col0, col1, ...}` where others
/// are given; NULLs are passed over.
pub(super) const TOPK: StreamFunction = StreamFunction {
    name: "topk",
    usage: "topk(value, 3), or topk(value, other, 3) for what stands beside it",
    write: |call| match call.arguments.len() {
        0..=2 => written(call, 1, "array_agg($1 ORDER BY $1 DESC)"),
        count => {
            let others: String = (2..count).map(|n| format!(", 'col{}', ${n}", n - 2)).collect();
            written(call, count - 1, &format!("array_agg(named_struct('sort_col', $1{others}) ORDER BY $1 DESC)"))
        }
    },
};

/// `TOPKDISTINCT(value, k)`: each value once.
pub(super) const TOPK_DISTINCT: StreamFunction = StreamFunction {
    name: "topkdistinct",
    usage: "topkdistinct(value, 3)",
    write: |call| match call.arguments.len() {
        2 => written(call, 1, "array_agg(DISTINCT $1 ORDER BY $1 DESC)"),
        _ => Err(Wrong::Arguments),
    },
};

/// `last`: the place of `k`.
fn written(call: &Call, last: usize, all: &str) -> Result<Written, Wrong> {
    let k = call.number(last).ok_or(Wrong::Arguments)?;
    Ok(Written { text: format!("array_slice({all}, 1, {k})"), where_: Some("$1 IS NOT NULL") })
}
