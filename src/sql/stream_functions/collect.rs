//! All values of a group as a list.

use super::{ArrivalColumn, Replacement, StreamFunction, Wrong};

/// `COLLECT_LIST(value)`: in order of arrival, including NULLs; in the order of the values if arrival is not known.
pub(super) const LIST: StreamFunction = StreamFunction {
    name: "collect_list",
    usage: "collect_list(value)",
    write: |call| match (call.arguments.len(), call.arrival) {
        (1, ArrivalColumn::Known) => Ok(Replacement { text: "array_agg($1 ORDER BY ROWOFFSET)".into(), where_: None }),
        (1, _) => Ok(Replacement { text: "array_agg($1 ORDER BY $1)".into(), where_: None }),
        _ => Err(Wrong::Arguments),
    },
};

/// `COLLECT_SET(value)`: each value once, in the order of the values, including NULL.
pub(super) const SET: StreamFunction = StreamFunction {
    name: "collect_set",
    usage: "collect_set(value)",
    write: |call| match call.arguments.len() {
        1 => Ok(Replacement { text: "array_agg(DISTINCT $1 ORDER BY $1)".into(), where_: None }),
        _ => Err(Wrong::Arguments),
    },
};
