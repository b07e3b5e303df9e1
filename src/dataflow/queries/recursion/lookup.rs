//! A join in the step of a recursion: the recursion's rows with a side that does not depend on them.
//!
//! The other side is read from its arrangement, which is outside the loop and may be shared. The recursion's rows are held by key, with
//! their rounds. Rows of a turn are joined with the other side as of the moment. A change of the other side has round 0. It is joined with
//! the rows of all rounds as of before the moment, and changes the result in each of these rounds.

use std::collections::BTreeMap;

use timely::dataflow::Stream;
use timely::order::Product;

use super::held::RoundRows;
use crate::dataflow::changes::Failure;
use crate::dataflow::errors::Key;
use crate::dataflow::exchange::by_key;
use crate::dataflow::held::arranged::{AsOf, RowCounts, RowTrace, each_update};
use crate::dataflow::held::bytes::RowBatch;
use crate::dataflow::held::memory::{HeapSize, Memory};
use crate::dataflow::held::updates::{Update, Updates};
use crate::dataflow::moments::{Operator, Reads, Turn};
use crate::dataflow::queries::join::pairs::Pairs;
use crate::dataflow::streams::{ErrorStream, RowStream};
use crate::dataflow::time::{Moment, START};
use crate::plan::Join;
use crate::value::{Diff, Layout, Row};

/// `own`: which side of the join the recursion's rows are, 0 or 1. They carry their key.
pub(super) fn lookup<'s>(
    memory: &Memory,
    name: &str,
    rows: RowStream<'s, Turn>,
    own: usize,
    outside: Stream<'s, Turn, Vec<RowBatch>>,
    trace: &RowTrace,
    plan: &Join,
) -> (RowStream<'s, Turn>, ErrorStream<'s, Turn>) {
    let mut operator: Operator<'_, Turn, _, LookupInput> = Operator::new(name, rows.scope());
    operator.input(rows, by_key(), |_, _, waiting, block| waiting.blocks.push(std::mem::take(block)));
    operator.batches(outside, |_, batch, slots| {
        // At the first moment no rows precede the change, so it affects none.
        each_update(batch, |update| {
            if update.moment != START {
                let touched = &mut slots.at(&Product::new(update.moment, 0)).touched;
                if touched.last().is_none_or(|last| **last != *update.key) {
                    touched.push(Row::from_bytes(update.key));
                }
            }
        });
    });
    operator.reads(trace, Reads::BeforeAndAt);
    let (mut rows_out, joined) = operator.output::<Updates>();
    let (mut errors_out, errors) = operator.output();
    let names = [&plan.left, &plan.right].map(|side| Key::new(Layout::new(side.node.schema()), Vec::new()));
    let lookup = RoundLookup { own, pairs: Pairs::new(plan, names), held: RoundRows::default() };
    operator.build(memory, lookup, move |lookup, now, waiting| {
        let Product { outer: moment, inner: round } = now.time;
        let mut made = TurnOutput { moment, rows: BTreeMap::new(), errors: BTreeMap::new() };
        lookup.change_outside(&waiting.touched, || now.read(0), &mut made);
        lookup.add(round, &waiting.blocks, now.read(0), &mut made);
        let (mut rows, mut errors) = (rows_out.activate(), errors_out.activate());
        for (round, mut updates) in made.rows {
            now.send_at(&Product::new(moment, round), &mut rows, &mut updates);
        }
        for (round, mut failed) in made.errors {
            now.send_at(&Product::new(moment, round), &mut errors, &mut failed);
        }
    });
    (joined, errors)
}

/// The input of a turn.
#[derive(Default)]
struct LookupInput {
    /// The recursion's rows.
    blocks: Vec<Updates>,
    /// Keys of changed rows of the other side.
    touched: Vec<Row>,
}

impl HeapSize for LookupInput {
    fn held_bytes(&self) -> usize {
        self.blocks.held_bytes() + self.touched.held_bytes()
    }
}

/// The output of a turn, by the round that it belongs to.
struct TurnOutput {
    moment: Moment,
    rows: BTreeMap<u32, Updates>,
    errors: BTreeMap<u32, Vec<(Failure, Moment, Diff)>>,
}

impl TurnOutput {
    fn row(&mut self, round: u32, row: &[u8], diff: Diff) {
        if diff != 0 {
            self.rows.entry(round).or_default().push(Update { key: &[], row, moment: self.moment, diff });
        }
    }
}

struct RoundLookup {
    own: usize,
    pairs: Pairs,
    held: RoundRows,
}

impl HeapSize for RoundLookup {
    fn held_bytes(&self) -> usize {
        self.held.held_bytes()
    }
}

impl RoundLookup {
    /// Applies changes of the other side to the rows held so far.
    fn change_outside(&mut self, touched: &[Row], read: impl FnOnce() -> AsOf, made: &mut TurnOutput) {
        if self.held.is_empty() || touched.is_empty() {
            return;
        }
        let mut touched: Vec<&Row> = touched.iter().collect();
        touched.sort_unstable();
        touched.dedup();
        let mut outside = read();
        for key in touched {
            let mut own = self.held.rows(key);
            if own.is_empty() {
                continue;
            }
            let others = outside.entries(key);
            own.sort_unstable_by_key(|(_, round, _)| *round);
            for of_round in own.chunk_by(|a, b| a.1 == b.1) {
                let entry = |(row, _, count): &(&Row, u32, Diff)| RowCounts { row: (*row).clone(), before: *count, after: *count };
                let entries = of_round.iter().map(entry).collect();
                join(&mut self.pairs, self.own, key, entries, &others, of_round[0].1, made);
            }
        }
    }

    /// Adds changes of a round's rows.
    fn add(&mut self, round: u32, blocks: &[Updates], mut outside: AsOf, made: &mut TurnOutput) {
        let mut updates: Vec<Update> = blocks.iter().flat_map(Updates::iter).collect();
        updates.sort_unstable_by(|a, b| (a.key, a.row).cmp(&(b.key, b.row)));
        for of_key in updates.chunk_by(|a, b| a.key == b.key) {
            let key = of_key[0].key;
            if self.pairs.matches_nothing(self.own, of_key[0].row) {
                let mut changed = [Vec::new(), Vec::new()];
                changed[self.own] = of_key.to_vec();
                self.pairs.without_partner(&changed, &mut |row, diff| made.row(round, row, diff));
                continue;
            }
            let mut others = outside.entries(key);
            others.iter_mut().for_each(|other| other.before = other.after);
            let mut own = Vec::new();
            for of_row in of_key.chunk_by(|a, b| a.row == b.row) {
                let diff = of_row.iter().map(|update| update.diff).sum();
                if diff != 0 {
                    self.held.add(key, of_row[0].row, round, diff);
                    own.push(RowCounts { row: Row::from_bytes(of_row[0].row), before: 0, after: diff });
                }
            }
            join(&mut self.pairs, self.own, key, own, &others, round, made);
        }
    }
}

/// Joins rows of one round and one key with the other side's rows.
fn join(pairs: &mut Pairs, own_side: usize, key: &[u8], own: Vec<RowCounts>, others: &[RowCounts], round: u32, made: &mut TurnOutput) {
    let (moment, mut errors) = (made.moment, Vec::new());
    let mut give = |row: &[u8], diff: Diff| made.row(round, row, diff);
    let mut complain = |reason: String, diff: Diff| errors.push((Failure::of_query(reason), moment, diff));
    let (left, right) = if own_side == 0 { (&own[..], others) } else { (others, &own[..]) };
    pairs.of_key(key, moment, left, right, &mut give, &mut complain);
    if !errors.is_empty() {
        made.errors.entry(round).or_default().append(&mut errors);
    }
}
