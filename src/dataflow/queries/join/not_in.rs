//! NOT IN: left rows whose key is known to be none of the right ones.
//!
//! In SQL a NULL may be equal to anything: a right row whose key is NULL leaves no left row, and a left row whose key is NULL is in the
//! result only if there is no right row at all. So every worker counts all right rows, and those with a NULL. While neither count changes
//! from none to some or back, a change costs what it costs in an anti join.

use differential_dataflow::operators::arrange::Arranged;
use timely::dataflow::Stream;
use timely::dataflow::channels::pact::Exchange;

use super::pairs::{Give, Made};
use super::{Changes, Joined, Sides, each_key, read_sides};
use crate::dataflow::held::arranged::{Entry, RowTrace, each_update};
use crate::dataflow::held::memory::{Fixed, Holds, Memory};
use crate::dataflow::held::updates::{Update, Updates};
use crate::dataflow::moments::Operator;
use crate::dataflow::time::Moment;
use crate::plan::Join;
use crate::value::{Diff, Layout};

/// For a worker, how many right rows came in all, and how many whose key is NULL.
type Told = (u64, Diff, Diff);

/// Right rows in all, and those whose key is NULL.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Counts {
    rows: Diff,
    nulls: Diff,
}

impl Holds for Counts {
    fn held_bytes(&self) -> usize {
        0
    }
}

impl Counts {
    fn plus(self, more: Counts) -> Counts {
        Counts { rows: self.rows + more.rows, nulls: self.nulls + more.nulls }
    }

    /// Whether a left row is in the result, whose key is NULL or has a partner.
    fn leave(self, null: bool, partner: bool) -> bool {
        self.nulls == 0 && if null { self.rows == 0 } else { !partner }
    }

    /// Whether any left row may be there that was not, or the other way round, without a change of its own key.
    fn differs(self, other: Counts) -> bool {
        (self.nulls == 0, self.rows == 0) != (other.nulls == 0, other.rows == 0)
    }
}

/// What came of a moment.
#[derive(Default)]
struct Came {
    changes: Changes,
    counts: Counts,
}

impl Holds for Came {
    fn held_bytes(&self) -> usize {
        self.changes.held_bytes()
    }
}

pub(super) fn not_in<'s>(
    memory: &Memory,
    name: &str,
    left: &Arranged<'s, RowTrace>,
    right: &Arranged<'s, RowTrace>,
    plan: &Join,
) -> Joined<'s> {
    let mut operator: Operator<'_, Moment, _, Came> = Operator::new(name, left.stream.scope());
    read_sides(&mut operator, [left, right], |came| &mut came.changes);
    let counts = count(memory, &format!("{name} counts"), right, plan);
    operator.input(counts, Exchange::new(|(worker, _, _): &Told| *worker), |_, _, came, counts: &mut Vec<Told>| {
        counts.drain(..).for_each(|(_, rows, nulls)| came.counts = came.counts.plus(Counts { rows, nulls }));
    });
    let (mut rows_out, rows) = operator.output::<Updates>();
    // There is no condition that could fail.
    let (_, errors) = operator.output();
    operator.build(memory, Fixed(NotIn::new(plan)), move |Fixed(not_in), now, came| {
        let moment = now.moment();
        let (mut sides, mut keys) = (Sides::of(now), now.read(0));
        let mut rows = rows_out.activate();
        let mut rows = now.send(&mut rows);
        let mut give = |row: &[u8], diff: Diff| rows.give(Update { key: &[], row, moment, diff });
        let Some(counts) = not_in.counted(came.counts) else { return };
        if !counts[0].differs(counts[1]) {
            each_key(&came.changes.0, |key, changed| not_in.changed(key, changed, counts, &mut sides, &mut give));
            return;
        }
        while let Some(key) = keys.key() {
            not_in.whole(key, counts, &mut sides, &mut give);
            keys.step_key();
        }
    });
    (rows, errors)
}

/// What each moment adds to the counts, told to every worker.
fn count<'s>(memory: &Memory, name: &str, right: &Arranged<'s, RowTrace>, plan: &Join) -> Stream<'s, Moment, Vec<Told>> {
    let scope = right.stream.scope();
    let (layout, key) = (Layout::new(plan.right.node.schema()), plan.right.key.clone());
    let mut operator: Operator<'_, Moment, (), Counts> = Operator::new(name, scope);
    operator.batches(right.stream.clone(), move |(), batch, slots| {
        each_update(batch, |update| {
            let null = key.iter().any(|&column| layout.is_null(update.row, column));
            let counts = slots.at(&update.moment);
            counts.rows += update.diff;
            counts.nulls += if null { update.diff } else { 0 };
        });
    });
    let (mut counts_out, counts) = operator.output::<Vec<Told>>();
    let workers = scope.peers() as u64;
    operator.build(memory, (), move |(), now, Counts { rows, nulls }| {
        let mut out = counts_out.activate();
        let mut out = now.send(&mut out);
        (0..workers).for_each(|worker| out.give((worker, rows, nulls)));
    });
    counts
}

struct NotIn {
    layouts: [Layout; 2],
    /// Of the left side.
    key: Vec<usize>,
    made: Made,
    counts: Counts,
}

impl NotIn {
    fn new(plan: &Join) -> NotIn {
        let layouts = [&plan.left, &plan.right].map(|side| Layout::new(side.node.schema()));
        NotIn { layouts, key: plan.left.key.clone(), made: Made::new(plan), counts: Counts::default() }
    }

    /// Counts before and after this moment; `None` where they leave no left row in either.
    fn counted(&mut self, more: Counts) -> Option<[Counts; 2]> {
        let counts = [self.counts, self.counts.plus(more)];
        self.counts = counts[1];
        counts.iter().any(|counts| counts.nulls == 0).then_some(counts)
    }

    /// A key that has changes, where the counts say the same as before.
    fn changed(&mut self, key: &[u8], changed: &[Vec<Update>; 2], counts: [Counts; 2], sides: &mut Sides, give: Give) {
        let null = changed[0].first().is_some_and(|update| self.is_null(update.row));
        let partners = sides.right_presence(key);
        match null || partners[0] == partners[1] {
            true if counts[1].leave(null, partners[1]) => {
                changed[0].iter().for_each(|update| self.made.left(&self.layouts, update.row, update.diff, give));
            }
            true => {}
            false => self.rows(sides.left(key), [0, 1].map(|i| counts[i].leave(null, partners[i])), give),
        }
    }

    /// A key of which anything may have changed.
    fn whole(&mut self, key: &[u8], counts: [Counts; 2], sides: &mut Sides, give: Give) {
        let left = sides.left(key);
        let Some(first) = left.first() else { return };
        let null = self.is_null(&first.row);
        let partners = sides.right_presence(key);
        self.rows(left, [0, 1].map(|i| counts[i].leave(null, partners[i])), give);
    }

    /// Left rows that were there and are there.
    fn rows(&mut self, left: Vec<Entry>, [before, after]: [bool; 2], give: Give) {
        for Entry { row, before: count_before, after: count_after } in left {
            let count = |there: bool, count: Diff| if there { count } else { 0 };
            self.made.left(&self.layouts, &row, count(after, count_after) - count(before, count_before), give);
        }
    }

    fn is_null(&self, row: &[u8]) -> bool {
        self.key.iter().any(|&column| self.layouts[0].is_null(row, column))
    }
}
