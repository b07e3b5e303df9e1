//! Chooses how the call of an aggregate function is computed.
//!
//! Every call gets accumulators: those of the first constructor in [`ALL`] that takes the call, else those of [`Computed`], which computes
//! any function. A new function is a file of its own with its [`Aggregate`](super::aggregate::Aggregate), and a line in [`ALL`].

use super::aggregate::{Accumulators, Call, of_all_rows};
use super::computed::Computed;
use super::{bits, bools, count, float, histogram, list, only, pairs, percentile, pick, sum, variance};
use crate::plan::AggregateFunction;
use crate::value::Layout;

/// The accumulators of a call. The call's columns are at `place` in the rows' layout; `only_come`: no row is ever taken back.
pub(super) fn accumulators(
    function: &AggregateFunction,
    layout: &Layout,
    place: &dyn Fn(usize) -> usize,
    only_come: bool,
) -> Box<dyn Accumulators> {
    let special = function.simple().and_then(|simple| {
        let call = Call { function, simple: simple.moved(place), layout, only_come };
        ALL.iter().find_map(|constructor| constructor(&call))
    });
    special.unwrap_or_else(|| of_all_rows(Computed::new(function, place)))
}

/// Makes the accumulators of a call, or returns `None` where it does not compute such calls.
type Constructor = fn(&Call) -> Option<Box<dyn Accumulators>>;

/// The calls that are not computed from all values; the first constructor that takes a call has it.
const ALL: &[Constructor] = &[
    count::rows,
    count::values,
    count::distinct,
    pick::extreme,
    pick::first_or_last,
    only::value,
    sum::whole,
    float::sum_or_average,
    variance::of,
    pairs::of,
    list::array,
    list::text,
    list::nth,
    percentile::of,
    histogram::of,
    bools::of,
    bits::of,
];
