//! Recursions, worked off round by round.
//!
//! In: the rows of the base, and arrangements of whatever the step joins with. Out: the recursion's rows, and what went wrong. In the loop
//! there is a [`Turn`] for each round of each moment: the rows of a turn are those that a row is made of in so many steps, as of that
//! moment. A change goes through the rounds with what it changes in each, so that it costs what it changes, also where rows lead to each
//! other in a circle.
//!
//! `found` begins each round: it holds which rows there are, and from which round on. The step follows: selections, and `lookup`s in what does
//! not depend on the recursion. What the step makes are the rows of the next round. All of them work off turns in one order, moment by
//! moment and in it round by round, so that each sees the turns before as they are as of its moment, and the turns behind as of the
//! moment before.

mod found;
mod held;
mod limit;
mod lookup;
mod rounds;

use differential_dataflow::operators::arrange::Arranged;
use timely::dataflow::operators::vec::Map;
use timely::dataflow::operators::{Concat, Concatenate, ConnectLoop, Enter, Feedback, Leave};
use timely::dataflow::{Scope, Stream};
use timely::order::Product;
use timely::progress::frontier::MutableAntichain;

use self::found::found;
use self::lookup::lookup;
use super::failed::ROW;
use super::input::Inlet;
use super::select::{key_by, select};
use super::sources::RowTrace;
use super::updates::Updates;
use super::{Failure, Moment};
use crate::plan::{Join, Recursion};
use crate::value::{Diff, Layout};

/// A round in a moment.
type Turn = Product<Moment, u32>;
type Rows<'s, T> = Stream<'s, T, Updates>;
/// Why something is not there, and how often.
type Problems<'s, T> = Stream<'s, T, Vec<(String, Moment, Diff)>>;

/// The step of a recursion, with what it reads from outside.
pub(super) enum Step<'s> {
    Itself,
    Select(Box<Step<'s>>, Inlet),
    /// The recursion's rows are the left side, or the right one of an inner join.
    Join(Box<Step<'s>>, Box<Join>, Arranged<'s, RowTrace>),
    Union(Vec<Step<'s>>),
}

pub(super) fn recursion<'s>(
    scope: Scope<'s, Moment>,
    base: Rows<'s, Moment>,
    step: Step<'s>,
    plan: &Recursion,
) -> (Rows<'s, Moment>, Problems<'s, Moment>) {
    scope.scoped("Recursion", |inner: Scope<'_, Turn>| {
        let a_round = Product::new(Default::default(), 1);
        let (again, next) = inner.feedback(a_round);
        let (count_again, counts) = inner.feedback(a_round);
        let found = found("Found", base.enter(inner).concat(next), counts, plan);
        found.counts.connect_loop(count_again);
        let mut problems = vec![found.problems];
        step.rows(inner, &found.rows, &mut problems).connect_loop(again);
        (found.rows.leave(scope), inner.concatenate(problems).leave(scope))
    })
}

impl Step<'_> {
    fn rows<'i>(self, scope: Scope<'i, Turn>, itself: &Rows<'i, Turn>, problems: &mut Vec<Problems<'i, Turn>>) -> Rows<'i, Turn> {
        match self {
            Step::Itself => itself.clone(),
            Step::Select(of, inlet) => {
                let selected = select("Select", of.rows(scope, itself, problems), inlet);
                problems.push(reasons(selected.failures));
                selected.rows
            }
            Step::Join(of, plan, outside) => {
                let rows = of.rows(scope, itself, problems);
                let own = usize::from(plan.right.node.reads_itself());
                let side = [&plan.left, &plan.right][own];
                let keyed = key_by("Key side", rows, Layout::new(side.node.schema()), side.key.clone());
                let (rows, problem) = lookup("Lookup", keyed, own, outside.stream.enter(scope), outside.trace, &plan);
                problems.push(problem);
                rows
            }
            Step::Union(branches) => {
                let branches: Vec<_> = branches.into_iter().map(|branch| branch.rows(scope, itself, problems)).collect();
                scope.concatenate(branches)
            }
        }
    }
}

/// Of rows that a query made, the reason is told and nothing else.
fn reasons<'i>(failures: Stream<'i, Turn, Vec<(Failure, Moment, Diff)>>) -> Problems<'i, Turn> {
    failures.map(|(failure, moment, diff)| (format!("{ROW}: {}", failure.reason), moment, diff))
}

/// Whether all has come of this turn, and of those before it.
fn is_complete(turn: (Moment, u32), frontiers: &[MutableAntichain<Turn>]) -> bool {
    frontiers.iter().all(|frontier| frontier.frontier().iter().all(|to_come| (to_come.outer, to_come.inner) > turn))
}
