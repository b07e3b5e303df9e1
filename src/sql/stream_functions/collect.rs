//! All values of a group as a list.

use super::{Arrival, StreamFunction, Written, Wrong};

/// `COLLECT_LIST(value)`: as they arrived, NULLs too; in the values' own order where arrival is not known.
pub(super) const LIST: StreamFunction = StreamFunction {
    name: "collect_list",
    usage: "collect_list(value)",
    write: |call| match (call.arguments.len(), call.arrival) {
        (1, Arrival::Known) => Ok(Written { text: "array_agg($1 ORDER BY ROWOFFSET)".into(), where_: None }),
        (1, _) => Ok(Written { text: "array_agg($1 ORDER BY $1)".into(), where_: None }),
        _ => Err(Wrong::Arguments),
    },
};

/// `COLLECT_SET(value)`: each value once, in the values' own order, NULL too.
pub(super) const SET: StreamFunction = StreamFunction {
    name: "collect_set",
    usage: "collect_set(value)",
    write: |call| match call.arguments.len() {
        1 => Ok(Written { text: "array_agg(DISTINCT $1 ORDER BY $1)".into(), where_: None }),
        _ => Err(Wrong::Arguments),
    },
};
