//! Joins: pairs of rows with equal keys, and what the kinds of join make of rows without a partner.
//!
//! For every moment t: the sum of the output up to t = join(L(t), R(t)), where L(t) and R(t) are the sides' rows as of t. In: two
//! arrangements by the joined key. For an inner join the output at t is
//!
//! ```text
//! dL(t) x R(t) + L(before t) x dR(t)
//! ```
//!
//! Of the other side only the rows are read that decide about the rows that changed. Both sides of a key are read whole only where partners
//! that come or go can change what other rows give (`pairs`). NOT IN, where one NULL decides about every row, is `not_in`.

pub(crate) mod columns;
mod condition;
mod not_in;
pub(crate) mod pairs;

use differential_dataflow::operators::arrange::Arranged;
use timely::dataflow::Stream;

use self::not_in::not_in;
use self::pairs::Pairs;
use crate::dataflow::changes::Failure;
use crate::dataflow::errors::{Errors, Key};
use crate::dataflow::held::arranged::{AsOf, Entry, RowTrace, each_update};
use crate::dataflow::held::memory::{Fixed, Holds, Memory};
use crate::dataflow::held::updates::{Update, Updates};
use crate::dataflow::moments::{Now, Operator, Reads};
use crate::dataflow::time::Moment;
use crate::plan::{Join, JoinKind};
use crate::value::Diff;

/// The result's changes, and pairs on which the condition failed.
pub(crate) type Joined<'s> = (Stream<'s, Moment, Updates>, Errors<'s, Moment>);

/// `keys`: what makes rows of the sides unique.
pub(crate) fn join<'s>(
    memory: &Memory,
    name: &str,
    left: &Arranged<'s, RowTrace>,
    right: &Arranged<'s, RowTrace>,
    plan: &Join,
    keys: [Key; 2],
) -> Joined<'s> {
    if plan.kind == JoinKind::NotIn {
        return not_in(memory, name, left, right, plan);
    }
    let mut operator: Operator<'_, Moment, _, Changes> = Operator::new(name, left.stream.scope());
    read_sides(&mut operator, [left, right], |changes| changes);
    let (mut rows_out, rows) = operator.output::<Updates>();
    let (mut errors_out, errors) = operator.output();
    operator.build(memory, Fixed(Pairs::new(plan, keys)), move |Fixed(pairs), now, Changes(changes)| {
        let moment = now.moment();
        let mut sides = Sides::of(now);
        let (mut rows, mut errors) = (rows_out.activate(), errors_out.activate());
        let (mut rows, mut errors) = (now.send(&mut rows), now.send(&mut errors));
        let mut give = |row: &[u8], diff: Diff| rows.give(Update { key: &[], row, moment, diff });
        let mut complain = |problem, diff| errors.give((Failure::of_query(problem), moment, diff));
        pairs.work(&changes, &mut sides, &mut give, &mut complain);
    });
    (rows, errors)
}

/// Takes the sides' changes to where `of` says, and reads both sides: see [`Sides`].
fn read_sides<'s, S: Holds + 'static, W: Default + Holds + 'static>(
    operator: &mut Operator<'s, Moment, S, W>,
    sides: [&Arranged<'s, RowTrace>; 2],
    of: fn(&mut W) -> &mut Changes,
) {
    for (side, arranged) in sides.into_iter().enumerate() {
        operator.batches(arranged.stream.clone(), move |_, batch, slots| {
            each_update(batch, |update| of(slots.at(&update.moment)).0[side].push(update));
        });
        operator.reads(&arranged.trace, Reads::BeforeAndAt);
    }
}

/// Changes of one moment; of each side in the order of the keys.
#[derive(Default)]
struct Changes([Updates; 2]);

impl Holds for Changes {
    fn held_bytes(&self) -> usize {
        self.0.iter().map(Holds::held_bytes).sum()
    }
}

/// Gives each key that has changes, with those of both sides.
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

/// Both sides as of a moment and as of before.
struct Sides {
    left: AsOf,
    right: AsOf,
}

impl Sides {
    fn of<W: Default>(now: &mut Now<'_, Moment, W>) -> Sides {
        Sides { left: now.read(0), right: now.read(1) }
    }

    fn left(&mut self, key: &[u8]) -> Vec<Entry> {
        self.left.entries(key)
    }

    fn right(&mut self, key: &[u8]) -> Vec<Entry> {
        self.right.entries(key)
    }

    /// Whether there is a right row as of before, and as of the moment.
    fn right_presence(&mut self, key: &[u8]) -> [bool; 2] {
        self.right.presence(key)
    }
}
