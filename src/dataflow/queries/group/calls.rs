//! Chooses how the call of an aggregate function is computed.
//!
//! Every call gets accumulators: from the first constructor in [`ALL`] that supports the call, else from [`Computed`], which computes any
//! function. A new function is a file of its own with its [`Aggregate`](super::aggregate::Aggregate), and a line in [`ALL`].

use super::aggregate::{Accumulators, AggregateCall, of_all_rows};
use super::computed::Computed;
use super::{bits, bools, count, float, histogram, list, only, pairs, percentile, pick, sum, variance};
use crate::plan::AggregateFunction;
use crate::value::Layout;

/// The accumulators of a call. Column c of the call is column `place(c)` in `layout`. `only_come`: rows are only inserted, never deleted.
pub(super) fn accumulators(
    function: &AggregateFunction,
    layout: &Layout,
    place: &dyn Fn(usize) -> usize,
    only_come: bool,
) -> Box<dyn Accumulators> {
    let special = function.simple().and_then(|simple| {
        let call = AggregateCall { function, simple: simple.moved(place), layout, only_come };
        ALL.iter().find_map(|constructor| constructor(&call))
    });
    special.unwrap_or_else(|| of_all_rows(Computed::new(function, place)))
}

/// Builds the accumulators of a call; `None` if it does not support the call.
type Constructor = fn(&AggregateCall) -> Option<Box<dyn Accumulators>>;

/// Constructors of calls that need not be recomputed from all values. The first one that supports a call is used.
const ALL: &[Constructor] = &[
    count::rows,
    count::values,
    count::distinct,
    pick::extreme,
    pick::first_or_last,
    only::value,
    sum::whole,
    float::sum_or_average,
    variance::accumulators,
    pairs::accumulators,
    list::array,
    list::text,
    list::nth,
    percentile::accumulators,
    histogram::accumulators,
    bools::accumulators,
    bits::accumulators,
];
