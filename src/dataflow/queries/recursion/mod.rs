//! Recursions, computed round by round.
//!
//! For every moment t, with B(t) the base's rows and step the recursive SELECT, both as of t: the sum of the output up to t =
//!
//! ```text
//! UNION ALL: R0 + R1 + R2 + ...    where R0 = B(t), Rn+1 = step(Rn)
//! UNION:     the same without rows that an earlier round has
//! ```
//!
//! In: the rows of the base, and arrangements of everything that the step joins with. The loop has a [`Turn`] for each round of each
//! moment. A change passes through the rounds as the changes it causes in each, so its cost is proportional to them, even if rows lead to
//! each other in a circle.
//!
//! `found` begins each round: it stores which rows exist, and from which round on. Then the step follows: selections, and `lookup`s in
//! sides that do not depend on the recursion. The step's rows belong to the next round. All these operators process turns in one order: by
//! moment, then by round. Each sees earlier turns as of its moment, and later ones as of the moment before.

mod found;
mod held;
mod limit;
mod lookup;
mod rounds;

use differential_dataflow::operators::arrange::Arranged;
use timely::dataflow::Scope;
use timely::dataflow::operators::vec::Map;
use timely::dataflow::operators::{Concat, Concatenate, ConnectLoop, Enter, Feedback, Leave};
use timely::order::Product;

use self::found::found;
use self::lookup::lookup;
use super::select::{key_by, select};
use crate::dataflow::changes::Failure;
use crate::dataflow::errors::ROW;
use crate::dataflow::held::arranged::RowTrace;
use crate::dataflow::held::memory::Memory;
use crate::dataflow::inputs::selector::Inlet;
use crate::dataflow::moments::Turn;
use crate::dataflow::streams::{ErrorStream, RowStream};
use crate::dataflow::time::Moment;
use crate::plan::{Join, Recursion};
use crate::value::Layout;

/// The step of a recursion, with what it reads from outside.
pub(crate) enum RecursionStep<'s> {
    Itself,
    Select(Box<RecursionStep<'s>>, Inlet),
    /// The recursion's rows are the left side, or the right one of an inner join.
    Join(Box<RecursionStep<'s>>, Box<Join>, Arranged<'s, RowTrace>),
    Union(Vec<RecursionStep<'s>>),
}

pub(crate) fn recursion<'s>(
    memory: &Memory,
    name: &str,
    scope: Scope<'s, Moment>,
    base: RowStream<'s>,
    step: RecursionStep<'s>,
    plan: &Recursion,
) -> (RowStream<'s>, ErrorStream<'s>) {
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

impl RecursionStep<'_> {
    fn rows<'i>(
        self,
        memory: &Memory,
        name: &str,
        scope: Scope<'i, Turn>,
        itself: &RowStream<'i, Turn>,
        errors: &mut Vec<ErrorStream<'i, Turn>>,
    ) -> RowStream<'i, Turn> {
        match self {
            RecursionStep::Itself => itself.clone(),
            RecursionStep::Select(of, inlet) => {
                let (selected, failed) = select(memory, "Select", of.rows(memory, name, scope, itself, errors), inlet);
                errors.push(reasons(failed));
                selected
            }
            RecursionStep::Join(of, plan, outside) => {
                let rows = of.rows(memory, name, scope, itself, errors);
                let own = usize::from(plan.right.node.reads_itself());
                let side = [&plan.left, &plan.right][own];
                let keyed = key_by(memory, "Key side", rows, Layout::new(side.node.schema()), side.key.clone());
                let (rows, error) =
                    lookup(memory, &format!("{name}: join"), keyed, own, outside.stream.enter(scope), &outside.trace, &plan);
                errors.push(error);
                rows
            }
            RecursionStep::Union(branches) => {
                let branches: Vec<_> = branches.into_iter().map(|branch| branch.rows(memory, name, scope, itself, errors)).collect();
                scope.concatenate(branches)
            }
        }
    }
}

/// The row that failed is not reported, only the reason.
fn reasons(failures: ErrorStream<'_, Turn>) -> ErrorStream<'_, Turn> {
    failures.map(|(failure, moment, diff)| (Failure::of_query(format!("{ROW}: {}", failure.reason)), moment, diff))
}
