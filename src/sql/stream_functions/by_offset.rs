//! The newest and the oldest value by order of arrival.

use super::{ArrivalColumn, FunctionCall, Replacement, StreamFunction, Wrong};

/// `LATEST_BY_OFFSET(value [, n] [, ignore_nulls])`: the newest value, or the `n` newest, oldest first. NULLs are ignored unless
/// `ignore_nulls` is false.
pub(super) const LATEST: StreamFunction = StreamFunction {
    name: "latest_by_offset",
    usage: "latest_by_offset(value), latest_by_offset(value, 3), or either with `false` at the end if a NULL may be the latest",
    write: |call| {
        written(call, "last_value($1 ORDER BY ROWOFFSET)", |n| {
            format!("array_reverse(array_slice(array_agg($1 ORDER BY ROWOFFSET DESC), 1, {n}))")
        })
    },
};

/// `EARLIEST_BY_OFFSET(value [, n] [, ignore_nulls])`: the same for the oldest values.
pub(super) const EARLIEST: StreamFunction = StreamFunction {
    name: "earliest_by_offset",
    usage: "earliest_by_offset(value), earliest_by_offset(value, 3), or either with `false` at the end if a NULL may be the earliest",
    write: |call| written(call, "first_value($1 ORDER BY ROWOFFSET)", |n| format!("array_slice(array_agg($1 ORDER BY ROWOFFSET), 1, {n})")),
};

fn written(call: &FunctionCall, one: &str, several: fn(u64) -> String) -> Result<Replacement, Wrong> {
    let flag = call.flag(call.arguments.len().saturating_sub(1));
    let arguments = call.arguments.len() - usize::from(flag.is_some());
    let text = match (arguments, call.number(1)) {
        (1, _) => one.to_string(),
        (2, Some(n)) => several(n),
        _ => return Err(Wrong::Arguments),
    };
    if call.arrival == ArrivalColumn::None {
        return Err(Wrong::NeedsArrival);
    }
    Ok(Replacement { text, where_: flag.unwrap_or(true).then_some("$1 IS NOT NULL") })
}
