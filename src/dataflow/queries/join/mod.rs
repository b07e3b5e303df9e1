//! Joins: pairs of rows with equal keys, and the rows that some kinds of join return for rows without a partner.
//!
//! For every moment t: the sum of the output up to t = join(L(t), R(t)), where L(t) and R(t) are the sides' rows as of t. In: two
//! arrangements by the join key. For an inner join the output at t is
//!
//! ```text
//! dL(t) x R(t) + L(before t) x dR(t)
//! ```
//!
//! For a change, only those rows of the other side are read that decide its result. All rows of a key are read from both sides only if an
//! inserted or deleted partner can change the result of other rows (`pairs`). NOT IN, where one NULL affects every row, is in `not_in`.

pub(crate) mod columns;
mod condition;
mod not_in;
pub(crate) mod pairs;

use differential_dataflow::operators::arrange::Arranged;

use self::not_in::not_in;
use self::pairs::Pairs;
use crate::dataflow::changes::Failure;
use crate::dataflow::errors::Key;
use crate::dataflow::held::arranged::{AsOf, RowCounts, RowTrace, each_update};
use crate::dataflow::held::memory::{Fixed, HeapSize, Memory};
use crate::dataflow::held::updates::{Update, Updates};
use crate::dataflow::moments::{AtTime, Operator, Reads};
use crate::dataflow::streams::{ErrorStream, RowStream};
use crate::dataflow::time::Moment;
use crate::plan::{Join, JoinKind};
use crate::value::Diff;

/// The changes of the result, and the pairs on which the condition failed. `keys`: the columns by which messages identify rows of the
/// sides.
pub(crate) fn join<'s>(
    memory: &Memory,
    name: &str,
    left: &Arranged<'s, RowTrace>,
    right: &Arranged<'s, RowTrace>,
    plan: &Join,
    keys: [Key; 2],
) -> (RowStream<'s>, ErrorStream<'s>) {
    if plan.kind == JoinKind::NotIn {
        return not_in(memory, name, left, right, plan);
    }
    let mut operator: Operator<'_, Moment, _, SideChanges> = Operator::new(name, left.stream.scope());
    read_sides(&mut operator, [left, right], |changes| changes);
    let (mut rows_out, rows) = operator.output::<Updates>();
    let (mut errors_out, errors) = operator.output();
    operator.build(memory, Fixed(Pairs::new(plan, keys)), move |Fixed(pairs), now, SideChanges(changes)| {
        let moment = now.moment();
        let mut sides = Sides::read(now);
        let (mut rows, mut errors) = (rows_out.activate(), errors_out.activate());
        let (mut rows, mut errors) = (now.send(&mut rows), now.send(&mut errors));
        let mut give = |row: &[u8], diff: Diff| rows.give(Update { key: &[], row, moment, diff });
        let mut complain = |problem, diff| errors.give((Failure::of_query(problem), moment, diff));
        pairs.work(&changes, &mut sides, &mut give, &mut complain);
    });
    (rows, errors)
}

/// Adds both sides as inputs, with their changes collected in `of`, and as arrangements to read: see [`Sides`].
fn read_sides<'s, S: HeapSize + 'static, W: Default + HeapSize + 'static>(
    operator: &mut Operator<'s, Moment, S, W>,
    sides: [&Arranged<'s, RowTrace>; 2],
    of: fn(&mut W) -> &mut SideChanges,
) {
    for (side, arranged) in sides.into_iter().enumerate() {
        operator.batches(arranged.stream.clone(), move |_, batch, slots| {
            each_update(batch, |update| of(slots.at(&update.moment)).0[side].push(update));
        });
        operator.reads(&arranged.trace, Reads::BeforeAndAt);
    }
}

/// The changes of one moment, of each side in the order of the keys.
#[derive(Default)]
struct SideChanges([Updates; 2]);

impl HeapSize for SideChanges {
    fn held_bytes(&self) -> usize {
        self.0.iter().map(HeapSize::held_bytes).sum()
    }
}

/// Passes on each changed key, with the changes of both sides.
fn each_key(changes: &[Updates; 2], mut give: impl FnMut(&[u8], &[Vec<Update>; 2])) {
    let (mut left, mut right) = (changes[0].iter().peekable(), changes[1].iter().peekable());
    loop {
        let key = match (left.peek(), right.peek()) {
            (None, None) => break,
            (Some(one), None) | (None, Some(one)) => one.key,
            (Some(left), Some(right)) => left.key.min(right.key),
        };
        let of_key = [&mut left, &mut right].map(|side| std::iter::from_fn(|| side.next_if(|u| u.key == key)).collect());
        give(key, &of_key);
    }
}

/// Both sides as of a moment and as of before it.
struct Sides {
    left: AsOf,
    right: AsOf,
}

impl Sides {
    fn read<W: Default>(now: &mut AtTime<'_, Moment, W>) -> Sides {
        Sides { left: now.read(0), right: now.read(1) }
    }

    fn left(&mut self, key: &[u8]) -> Vec<RowCounts> {
        self.left.entries(key)
    }

    fn right(&mut self, key: &[u8]) -> Vec<RowCounts> {
        self.right.entries(key)
    }

    /// Whether the key has a right row before the moment, and whether it has one as of it.
    fn right_presence(&mut self, key: &[u8]) -> [bool; 2] {
        self.right.presence(key)
    }
}
