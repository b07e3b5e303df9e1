//! The newest and the oldest value by a time; of equal times, by arrival where that is known.

use super::{Arrival, Call, StreamFunction, Written, Wrong};

/// `LATEST_BY_TIME(value, time)`: right however late rows come. NULL values are passed over, and rows without a time.
pub(super) const LATEST: StreamFunction =
    StreamFunction { name: "latest_by_time", usage: "latest_by_time(value, time)", write: |call| written(call, "last_value") };

/// `EARLIEST_BY_TIME(value, time)`, likewise.
pub(super) const EARLIEST: StreamFunction =
    StreamFunction { name: "earliest_by_time", usage: "earliest_by_time(value, time)", write: |call| written(call, "first_value") };

fn written(call: &Call, pick: &str) -> Result<Written, Wrong> {
    if call.arguments.len() != 2 {
        return Err(Wrong::Arguments);
    }
    let ties = if call.arrival == Arrival::Known { ", ROWOFFSET" } else { "" };
    Ok(Written { text: format!("{pick}($1 ORDER BY $2{ties})"), where_: Some("$1 IS NOT NULL AND $2 IS NOT NULL") })
}
