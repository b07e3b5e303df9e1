//! Delta joins: a change of any input is looked up in the other inputs, one after the other, and only the inputs are held.
//!
//! For every moment t: the sum of the output up to t = A1(t) x A2(t) x ... x An(t). The output at t is the sum over the inputs i of
//!
//! ```text
//! dAi(t) x (every other input, as of t or as of before t)
//! ```
//!
//! The plan chooses which of the two states each lookup reads ([`DeltaStep::before`](crate::plan::DeltaStep::before)), so that each pair
//! of changes of one moment counts once. In: the inputs' arrangements, by each key that paths look up. A lookup runs once the arrangement
//! is complete up to the rows' moment.
//!
//! One worker has all keys, so it goes all paths in one operator ([`mod@local`]). With several workers, rows go to the worker that has the
//! key of their next lookup, and each lookup is an operator ([`mod@exchanged`]).

mod exchanged;
mod local;
mod lookup;

use differential_dataflow::operators::arrange::Arranged;
use timely::dataflow::Scope;

use crate::dataflow::held::arranged::RowTrace;
use crate::dataflow::held::memory::Memory;
use crate::dataflow::streams::RowStream;
use crate::dataflow::time::Moment;
use crate::plan::{DeltaJoin, HeldSide};

/// An arrangement and, if its rows have more columns than the input, where the input's columns are in them.
pub(crate) type HeldInput<'s> = (Arranged<'s, RowTrace>, Option<HeldSide>);

/// `held` are the inputs' arrangements, as in the plan.
pub(crate) fn delta_join<'s>(memory: &Memory, scope: Scope<'s, Moment>, plan: &DeltaJoin, held: &[Vec<HeldInput<'s>>]) -> RowStream<'s> {
    match scope.peers() {
        1 => local::delta_join(memory, scope, plan, held),
        _ => exchanged::delta_join(memory, scope, plan, held),
    }
}
