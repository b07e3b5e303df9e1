//! NOT IN: left rows whose key is known to differ from all right keys.
//!
//! In SQL a NULL may equal anything. If a right key is NULL, no left row is returned. A left row whose key is NULL is returned only if
//! there are no right rows at all. So every worker counts all right rows, and those with a NULL key. While neither count changes from zero
//! or to zero, a change costs as much as in an anti join.

use differential_dataflow::operators::arrange::Arranged;
use timely::dataflow::Stream;
use timely::dataflow::channels::pact::Exchange;

use super::pairs::RowMaker;
use super::{SideChanges, Sides, each_key, read_sides};
use crate::dataflow::held::arranged::{RowCounts, RowTrace, each_update};
use crate::dataflow::held::memory::{Fixed, HeapSize, Memory};
use crate::dataflow::held::updates::{Update, Updates};
use crate::dataflow::moments::Operator;
use crate::dataflow::streams::{EmitRow, ErrorStream, RowStream};
use crate::dataflow::time::Moment;
use crate::plan::Join;
use crate::value::{Diff, Layout};

/// For a worker: the change in the number of right rows, and in the number of those whose key is NULL.
type WorkerCounts = (u64, Diff, Diff);

/// The number of right rows, and of those whose key is NULL.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct RightCounts {
    rows: Diff,
    nulls: Diff,
}

impl HeapSize for RightCounts {
    fn held_bytes(&self) -> usize {
        0
    }
}

impl RightCounts {
    fn plus(self, more: RightCounts) -> RightCounts {
        RightCounts { rows: self.rows + more.rows, nulls: self.nulls + more.nulls }
    }

    /// Whether a left row is in the result. `null`: its key is NULL; `partner`: a right row has its key.
    fn leave(self, null: bool, partner: bool) -> bool {
        self.nulls == 0 && if null { self.rows == 0 } else { !partner }
    }

    /// Whether left rows may enter or leave the result without a change of their own key.
    fn differs(self, other: RightCounts) -> bool {
        (self.nulls == 0, self.rows == 0) != (other.nulls == 0, other.rows == 0)
    }
}

/// The input of a moment.
#[derive(Default)]
struct Came {
    changes: SideChanges,
    counts: RightCounts,
}

impl HeapSize for Came {
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
) -> (RowStream<'s>, ErrorStream<'s>) {
    let mut operator: Operator<'_, Moment, _, Came> = Operator::new(name, left.stream.scope());
    read_sides(&mut operator, [left, right], |came| &mut came.changes);
    let counts = count(memory, &format!("{name} counts"), right, plan);
    operator.input(counts, Exchange::new(|(worker, _, _): &WorkerCounts| *worker), |_, _, came, counts: &mut Vec<WorkerCounts>| {
        counts.drain(..).for_each(|(_, rows, nulls)| came.counts = came.counts.plus(RightCounts { rows, nulls }));
    });
    let (mut rows_out, rows) = operator.output::<Updates>();
    // Always empty: there is no condition that could fail.
    let (_, errors) = operator.output();
    operator.build(memory, Fixed(NotIn::new(plan)), move |Fixed(not_in), now, came| {
        let moment = now.moment();
        let (mut sides, mut keys) = (Sides::read(now), now.read(0));
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

/// Sends the change in the counts of each moment to every worker.
fn count<'s>(memory: &Memory, name: &str, right: &Arranged<'s, RowTrace>, plan: &Join) -> Stream<'s, Moment, Vec<WorkerCounts>> {
    let scope = right.stream.scope();
    let (layout, key) = (Layout::new(plan.right.node.schema()), plan.right.key.clone());
    let mut operator: Operator<'_, Moment, (), RightCounts> = Operator::new(name, scope);
    operator.batches(right.stream.clone(), move |(), batch, slots| {
        each_update(batch, |update| {
            let null = key.iter().any(|&column| layout.is_null(update.row, column));
            let counts = slots.at(&update.moment);
            counts.rows += update.diff;
            counts.nulls += if null { update.diff } else { 0 };
        });
    });
    let (mut counts_out, counts) = operator.output::<Vec<WorkerCounts>>();
    let workers = scope.peers() as u64;
    operator.build(memory, (), move |(), now, RightCounts { rows, nulls }| {
        let mut out = counts_out.activate();
        let mut out = now.send(&mut out);
        (0..workers).for_each(|worker| out.give((worker, rows, nulls)));
    });
    counts
}

struct NotIn {
    layouts: [Layout; 2],
    /// The key's columns in left rows.
    key: Vec<usize>,
    made: RowMaker,
    counts: RightCounts,
}

impl NotIn {
    fn new(plan: &Join) -> NotIn {
        let layouts = [&plan.left, &plan.right].map(|side| Layout::new(side.node.schema()));
        NotIn { layouts, key: plan.left.key.clone(), made: RowMaker::new(plan), counts: RightCounts::default() }
    }

    /// The counts before and after this moment; `None` if the result is empty in both.
    fn counted(&mut self, more: RightCounts) -> Option<[RightCounts; 2]> {
        let counts = [self.counts, self.counts.plus(more)];
        self.counts = counts[1];
        counts.iter().any(|counts| counts.nulls == 0).then_some(counts)
    }

    /// Outputs the changes of a changed key, if the counts affect no other keys.
    fn changed(&mut self, key: &[u8], changed: &[Vec<Update>; 2], counts: [RightCounts; 2], sides: &mut Sides, give: EmitRow) {
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

    /// Outputs the changes of any key, if the counts may affect all keys.
    fn whole(&mut self, key: &[u8], counts: [RightCounts; 2], sides: &mut Sides, give: EmitRow) {
        let left = sides.left(key);
        let Some(first) = left.first() else { return };
        let null = self.is_null(&first.row);
        let partners = sides.right_presence(key);
        self.rows(left, [0, 1].map(|i| counts[i].leave(null, partners[i])), give);
    }

    /// Outputs the difference of left rows: `before` and `after` are whether they are in the result.
    fn rows(&mut self, left: Vec<RowCounts>, [before, after]: [bool; 2], give: EmitRow) {
        for RowCounts { row, before: count_before, after: count_after } in left {
            let count = |there: bool, count: Diff| if there { count } else { 0 };
            self.made.left(&self.layouts, &row, count(after, count_after) - count(before, count_before), give);
        }
    }

    fn is_null(&self, row: &[u8]) -> bool {
        self.key.iter().any(|&column| self.layouts[0].is_null(row, column))
    }
}
