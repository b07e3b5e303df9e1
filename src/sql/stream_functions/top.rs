//! The greatest values of a group.

use super::{FunctionCall, Replacement, StreamFunction, Wrong};

/// `TOPK(value, others, k)`: the `k` greatest values, the greatest first. With `others`, the elements are `{sort_col, col0, col1, ...}`.
/// NULLs are ignored.
pub(super) const TOPK: StreamFunction = StreamFunction {
    name: "topk",
    usage: "topk(value, 3), or topk(value, other, 3) for other columns of the same rows",
    write: |call| match call.arguments.len() {
        0..=2 => written(call, 1, "array_agg($1 ORDER BY $1 DESC)"),
        count => {
            let others: String = (2..count).map(|n| format!(", 'col{}', ${n}", n - 2)).collect();
            written(call, count - 1, &format!("array_agg(named_struct('sort_col', $1{others}) ORDER BY $1 DESC)"))
        }
    },
};

/// `TOPKDISTINCT(value, k)`: the same with each value once.
pub(super) const TOPK_DISTINCT: StreamFunction = StreamFunction {
    name: "topkdistinct",
    usage: "topkdistinct(value, 3)",
    write: |call| match call.arguments.len() {
        2 => written(call, 1, "array_agg(DISTINCT $1 ORDER BY $1 DESC)"),
        _ => Err(Wrong::Arguments),
    },
};

/// `last`: the index of the argument `k`.
fn written(call: &FunctionCall, last: usize, all: &str) -> Result<Replacement, Wrong> {
    let k = call.number(last).ok_or(Wrong::Arguments)?;
    Ok(Replacement { text: format!("array_slice({all}, 1, {k})"), where_: Some("$1 IS NOT NULL") })
}
