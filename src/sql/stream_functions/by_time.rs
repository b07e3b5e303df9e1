//! The newest and the oldest value by a time column; equal times are ordered by arrival if that is known.

use super::{ArrivalColumn, FunctionCall, Replacement, StreamFunction, Wrong};

/// `LATEST_BY_TIME(value, time)`: correct however late rows arrive. Ignores rows whose value or time is NULL.
pub(super) const LATEST: StreamFunction =
    StreamFunction { name: "latest_by_time", usage: "latest_by_time(value, time)", write: |call| written(call, "last_value") };

/// `EARLIEST_BY_TIME(value, time)`: the same for the oldest value.
pub(super) const EARLIEST: StreamFunction =
    StreamFunction { name: "earliest_by_time", usage: "earliest_by_time(value, time)", write: |call| written(call, "first_value") };

fn written(call: &FunctionCall, pick: &str) -> Result<Replacement, Wrong> {
    if call.arguments.len() != 2 {
        return Err(Wrong::Arguments);
    }
    let ties = if call.arrival == ArrivalColumn::Known { ", ROWOFFSET" } else { "" };
    Ok(Replacement { text: format!("{pick}($1 ORDER BY $2{ties})"), where_: Some("$1 IS NOT NULL AND $2 IS NOT NULL") })
}
