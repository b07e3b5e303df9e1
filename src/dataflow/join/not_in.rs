//! NOT IN: left rows of which it is known that their key is none of the right ones.
//!
//! As SQL has it, NULL may be equal to anything: a right row whose key is NULL leaves no left row, and a left row whose key is NULL is there
//! only if there is no right row at all. So every worker knows how many right rows there are in all, and how many with NULL. While neither
//! changes from none to some or back, a change costs what it does in an anti join.

use std::collections::BTreeMap;

use differential_dataflow::operators::arrange::Arranged;
use differential_dataflow::trace::{Cursor, Navigable, TraceReader};
use timely::container::CapacityContainerBuilder;
use timely::dataflow::Stream;
use timely::dataflow::channels::pact::{Exchange, Pipeline};
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::dataflow::operators::generic::operator::Operator;

use super::pairs::{Give, Made};
use super::{Entry, Joined, Sides, Waiting, each_key, release, unpack};
use crate::dataflow::Moment;
use crate::dataflow::bytes::RowBatch;
use crate::dataflow::sources::RowTrace;
use crate::dataflow::updates::{Update, Updates};
use crate::plan::Join;
use crate::value::{Diff, Layout};

/// For a worker, how many right rows came in all, and how many whose key is NULL.
type Told = (u64, (Diff, Diff));

/// Right rows in all, and those whose key is NULL.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Counts {
    rows: Diff,
    nulls: Diff,
}

impl Counts {
    fn plus(self, (rows, nulls): (Diff, Diff)) -> Counts {
        Counts { rows: self.rows + rows, nulls: self.nulls + nulls }
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

pub(super) fn not_in<'s>(name: &str, left: &Arranged<'s, RowTrace>, right: &Arranged<'s, RowTrace>, plan: &Join) -> Joined<'s> {
    let mut builder = OperatorBuilder::new(name.to_string(), left.stream.scope());
    let mut left_in = builder.new_input(left.stream.clone(), Pipeline);
    let mut right_in = builder.new_input(right.stream.clone(), Pipeline);
    let mut counts_in = builder.new_input(count(name, right, plan), Exchange::new(|(worker, _): &Told| *worker));
    let (rows_out, rows) = builder.new_output::<Updates>();
    let mut rows_out = OutputBuilder::<_, CapacityContainerBuilder<_>>::from(rows_out);
    // There is no condition that could fail.
    let (_, problems) = builder.new_output();
    let mut traces = [Some(left.trace.clone()), Some(right.trace.clone())];
    let mut waiting: BTreeMap<Moment, Waiting> = BTreeMap::new();
    let mut counted: BTreeMap<Moment, (Diff, Diff)> = BTreeMap::new();
    let mut working = NotIn::new(plan);
    builder.build(move |_| {
        move |frontiers| {
            for (side, input) in [&mut left_in, &mut right_in].into_iter().enumerate() {
                input.for_each(|capability, batches: &mut Vec<RowBatch>| {
                    let capabilities = [capability.retain(0), capability.retain(1)];
                    batches.drain(..).for_each(|batch| unpack(&batch, side, &capabilities, &mut waiting));
                });
            }
            counts_in.for_each(|capability, counts| {
                let moment = *capability.time();
                waiting.entry(moment).or_insert_with(|| Waiting::new([capability.retain(0), capability.retain(1)]));
                let sum = counted.entry(moment).or_default();
                counts.drain(..).for_each(|(_, (rows, nulls))| *sum = (sum.0 + rows, sum.1 + nulls));
            });
            let mut rows_handle = rows_out.activate();
            while let Some((&moment, _)) = waiting.first_key_value() {
                if frontiers.iter().any(|frontier| frontier.less_equal(&moment)) {
                    break;
                }
                let Some((_, Waiting { capabilities, changes })) = waiting.pop_first() else { break };
                let [Some(left), Some(right)] = &mut traces else { return };
                let mut rows = rows_handle.session(&capabilities[0]);
                let mut give = |row: &[u8], diff: Diff| rows.give(Update { key: &[], row, moment, diff });
                let counted = counted.remove(&moment).unwrap_or_default();
                working.work(moment, &changes, counted, [left, right], &mut give);
            }
            let to_come = frontiers.iter().filter_map(|f| f.frontier().iter().copied().min()).min();
            let least = to_come.into_iter().chain(waiting.keys().next().copied()).min();
            traces.iter_mut().for_each(|trace| release(trace, least));
        }
    });
    (rows, problems)
}

/// What each moment adds to the counts, told to every worker.
fn count<'s>(name: &str, right: &Arranged<'s, RowTrace>, plan: &Join) -> Stream<'s, Moment, Vec<Told>> {
    let workers = right.stream.scope().peers() as u64;
    let (layout, key) = (Layout::new(plan.right.node.schema()), plan.right.key.clone());
    right.stream.clone().unary(Pipeline, &format!("{name} counts"), move |_, _| {
        move |input, output| {
            input.for_each(|capability, batches: &mut Vec<RowBatch>| {
                let capability = capability.retain(0);
                let mut counts: BTreeMap<Moment, (Diff, Diff)> = BTreeMap::new();
                for batch in batches.drain(..) {
                    let mut cursor = batch.cursor();
                    while cursor.get_key(&batch).is_some() {
                        while let Some(row) = cursor.get_val(&batch) {
                            let null = key.iter().any(|&column| layout.is_null(row, column));
                            cursor.map_times(&batch, |&moment, &diff| {
                                let (rows, nulls) = counts.entry(moment).or_default();
                                *rows += diff;
                                *nulls += if null { diff } else { 0 };
                            });
                            cursor.step_val(&batch);
                        }
                        cursor.step_key(&batch);
                    }
                }
                for (moment, counts) in counts {
                    let capability = capability.delayed(&moment);
                    let mut session = output.session(&capability);
                    (0..workers).for_each(|worker| session.give((worker, counts)));
                }
            });
        }
    })
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

    fn work(&mut self, moment: Moment, changes: &[Updates; 2], counted: (Diff, Diff), traces: [&mut RowTrace; 2], give: Give) {
        let counts = [self.counts, self.counts.plus(counted)];
        self.counts = counts[1];
        if counts.iter().all(|counts| counts.nulls != 0) {
            return;
        }
        let [left, right] = traces;
        let mut sides = Sides::new(moment, left, right);
        if !counts[0].differs(counts[1]) {
            each_key(changes, |key, changed| self.changed(key, changed, counts, &mut sides, give));
            return;
        }
        let (mut keys, storage) = left.cursor();
        while let Some(key) = keys.get_key(&storage) {
            self.whole(key, counts, &mut sides, give);
            keys.step_key(&storage);
        }
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
