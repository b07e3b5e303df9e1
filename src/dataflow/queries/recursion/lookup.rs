//! A join in the step of a recursion: the recursion's rows with a side that does not depend on them.
//!
//! The other side is read from its arrangement, which is outside of the loop and may be shared. The recursion's rows are held by the key,
//! with their rounds. Rows of a turn meet the other side as of the moment. A change of the other side, which has round 0, meets the rows of
//! all rounds as of the moment before, and changes the result in each of these rounds.

use std::collections::BTreeMap;

use timely::dataflow::Stream;
use timely::order::Product;

use super::Rows;
use super::held::Held;
use crate::dataflow::changes::Failure;
use crate::dataflow::errors::{Errors, Key};
use crate::dataflow::exchange::by_key;
use crate::dataflow::held::arranged::{AsOf, Entry, RowTrace, each_update};
use crate::dataflow::held::bytes::RowBatch;
use crate::dataflow::held::memory::{Holds, Memory};
use crate::dataflow::held::updates::{Update, Updates};
use crate::dataflow::moments::{Operator, Reads, Turn};
use crate::dataflow::queries::join::pairs::Pairs;
use crate::dataflow::time::{Moment, START};
use crate::plan::Join;
use crate::value::{Diff, Layout, Row};

/// `own`: which side of the join the recursion's rows are, 0 or 1; they come with their key.
pub(super) fn lookup<'s>(
    memory: &Memory,
    name: &str,
    rows: Rows<'s, Turn>,
    own: usize,
    outside: Stream<'s, Turn, Vec<RowBatch>>,
    trace: &RowTrace,
    plan: &Join,
) -> (Rows<'s, Turn>, Errors<'s, Turn>) {
    let mut operator: Operator<'_, Turn, _, Waiting> = Operator::new(name, rows.scope());
    operator.input(rows, by_key(), |_, _, waiting, block| waiting.blocks.push(std::mem::take(block)));
    operator.batches(outside, |_, batch, slots| {
        // At the very first moment there are no rows yet that this could change anything for.
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
    let lookup = Lookup { own, pairs: Pairs::new(plan, names), held: Held::default() };
    operator.build(memory, lookup, move |lookup, now, waiting| {
        let Product { outer: moment, inner: round } = now.time;
        let mut made = Made { moment, rows: BTreeMap::new(), errors: BTreeMap::new() };
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

/// What has come for a turn.
#[derive(Default)]
struct Waiting {
    /// The recursion's rows.
    blocks: Vec<Updates>,
    /// Keys of the other side's rows.
    touched: Vec<Row>,
}

impl Holds for Waiting {
    fn held_bytes(&self) -> usize {
        self.blocks.held_bytes() + self.touched.held_bytes()
    }
}

/// What a turn makes, by the round that it is of.
struct Made {
    moment: Moment,
    rows: BTreeMap<u32, Updates>,
    errors: BTreeMap<u32, Vec<(Failure, Moment, Diff)>>,
}

impl Made {
    fn row(&mut self, round: u32, row: &[u8], diff: Diff) {
        if diff != 0 {
            self.rows.entry(round).or_default().push(Update { key: &[], row, moment: self.moment, diff });
        }
    }
}

struct Lookup {
    own: usize,
    pairs: Pairs,
    held: Held,
}

impl Holds for Lookup {
    fn held_bytes(&self) -> usize {
        self.held.held_bytes()
    }
}

impl Lookup {
    /// What the changes of the other side change for rows that are there.
    fn change_outside(&mut self, touched: &[Row], read: impl FnOnce() -> AsOf, made: &mut Made) {
        if self.held.is_empty() || touched.is_empty() {
            return;
        }
        let mut touched: Vec<&Row> = touched.iter().collect();
        touched.sort_unstable();
        touched.dedup();
        let mut outside = read();
        for key in touched {
            let mut own = self.held.of(key);
            if own.is_empty() {
                continue;
            }
            let others = outside.entries(key);
            own.sort_unstable_by_key(|(_, round, _)| *round);
            for of_round in own.chunk_by(|a, b| a.1 == b.1) {
                let entry = |(row, _, count): &(&Row, u32, Diff)| Entry { row: (*row).clone(), before: *count, after: *count };
                let entries = of_round.iter().map(entry).collect();
                join(&mut self.pairs, self.own, key, entries, &others, of_round[0].1, made);
            }
        }
    }

    /// New rows of a round, or fewer of them.
    fn add(&mut self, round: u32, blocks: &[Updates], mut outside: AsOf, made: &mut Made) {
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
                    own.push(Entry { row: Row::from_bytes(of_row[0].row), before: 0, after: diff });
                }
            }
            join(&mut self.pairs, self.own, key, own, &others, round, made);
        }
    }
}

/// What rows of one round and of one key give with the other side's rows.
fn join(pairs: &mut Pairs, own_side: usize, key: &[u8], own: Vec<Entry>, others: &[Entry], round: u32, made: &mut Made) {
    let (moment, mut errors) = (made.moment, Vec::new());
    let mut give = |row: &[u8], diff: Diff| made.row(round, row, diff);
    let mut complain = |reason: String, diff: Diff| errors.push((Failure::of_query(reason), moment, diff));
    let (left, right) = if own_side == 0 { (&own[..], others) } else { (others, &own[..]) };
    pairs.of_key(key, moment, left, right, &mut give, &mut complain);
    if !errors.is_empty() {
        made.errors.entry(round).or_default().append(&mut errors);
    }
}
