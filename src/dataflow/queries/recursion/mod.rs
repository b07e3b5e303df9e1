//! Recursions, computed round by round.
//!
//! For every moment t, with B(t) the base's rows and step the recursive SELECT, both as of t: the sum of the output up to t =
//!
//! ```text
//! UNION ALL: R0 + R1 + R2 + ...    where R0 = B(t), Rn+1 = step(Rn)
//! UNION:     the same without rows that an earlier round has
//! ```
//!
//! In: the rows of the base, and arrangements of whatever the step joins with. In the loop there is a [`Turn`] for each round of each moment.
//! A change goes through the rounds with what it changes in each, so that it costs what it changes, also where rows lead to each other in
//! a circle.
//!
//! `found` begins each round: it holds which rows there are, and from which round on. The step follows: selections, and `lookup`s in what
//! does not depend on the recursion. The step's rows are those of the next round. All of them take turns in one order, moment by moment and
//! in it round by round: each sees earlier turns as of its moment, and later ones as of the moment before.

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

use self::found::found;
use self::lookup::lookup;
use super::select::{key_by, select};
use crate::dataflow::changes::Failure;
use crate::dataflow::errors::{Errors, ROW};
use crate::dataflow::held::arranged::RowTrace;
use crate::dataflow::held::memory::Memory;
use crate::dataflow::held::updates::Updates;
use crate::dataflow::inputs::selector::Inlet;
use crate::dataflow::moments::Turn;
use crate::dataflow::time::Moment;
use crate::plan::{Join, Recursion};
use crate::value::Layout;

type Rows<'s, T> = Stream<'s, T, Updates>;

/// The step of a recursion, with what it reads from outside.
pub(crate) enum Step<'s> {
    Itself,
    Select(Box<Step<'s>>, Inlet),
    /// The recursion's rows are the left side, or the right one of an inner join.
    Join(Box<Step<'s>>, Box<Join>, Arranged<'s, RowTrace>),
    Union(Vec<Step<'s>>),
}

pub(crate) fn recursion<'s>(
    memory: &Memory,
    name: &str,
    scope: Scope<'s, Moment>,
    base: Rows<'s, Moment>,
    step: Step<'s>,
    plan: &Recursion,
) -> (Rows<'s, Moment>, Errors<'s, Moment>) {
    scope.scoped("Recursion", |inner: Scope<'_, Turn>| {
        let a_round = Product::new(Default::default(), 1);
        let (again, next) = inner.feedback(a_round);
        let (count_again, counts) = inner.feedback(a_round);
        let found = found(memory, name, base.enter(inner).concat(next), counts, plan);
        found.counts.connect_loop(count_again);
        let mut errors = vec![found.errors];
        step.rows(memory, name, inner, &found.rows, &mut errors).connect_loop(again);
        (found.rows.leave(scope), inner.concatenate(errors).leave(scope))
    })
}

impl Step<'_> {
    fn rows<'i>(
        self,
        memory: &Memory,
        name: &str,
        scope: Scope<'i, Turn>,
        itself: &Rows<'i, Turn>,
        errors: &mut Vec<Errors<'i, Turn>>,
    ) -> Rows<'i, Turn> {
        match self {
            Step::Itself => itself.clone(),
            Step::Select(of, inlet) => {
                let (selected, failed) = select(memory, "Select", of.rows(memory, name, scope, itself, errors), inlet);
                errors.push(reasons(failed));
                selected
            }
            Step::Join(of, plan, outside) => {
                let rows = of.rows(memory, name, scope, itself, errors);
                let own = usize::from(plan.right.node.reads_itself());
                let side = [&plan.left, &plan.right][own];
                let keyed = key_by(memory, "Key side", rows, Layout::new(side.node.schema()), side.key.clone());
                let (rows, error) =
                    lookup(memory, &format!("{name}: join"), keyed, own, outside.stream.enter(scope), &outside.trace, &plan);
                errors.push(error);
                rows
            }
            Step::Union(branches) => {
                let branches: Vec<_> = branches.into_iter().map(|branch| branch.rows(memory, name, scope, itself, errors)).collect();
                scope.concatenate(branches)
            }
        }
    }
}

/// Of rows that a query made, the reason is told and nothing else.
fn reasons(failures: Errors<'_, Turn>) -> Errors<'_, Turn> {
    failures.map(|(failure, moment, diff)| (Failure::of_query(format!("{ROW}: {}", failure.reason)), moment, diff))
}
