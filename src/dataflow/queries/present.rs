//! What a query's changes make of the view's keys, tick by tick.
//!
//! For every tick t: the changes given up to t, applied in order, leave exactly the query's rows as of t, each under its key. A key is given
//! at most once a tick, and only if one of its rows changed.

use std::collections::{BTreeMap, HashMap};

use timely::dataflow::Stream;
use timely::dataflow::channels::pact::Pipeline;

use crate::dataflow::changes::Outcome;
use crate::dataflow::exchange::by_key;
use crate::dataflow::held::memory::{Fixed, Holds, Memory, block, table};
use crate::dataflow::held::slots::Slots;
use crate::dataflow::held::updates::Updates;
use crate::dataflow::moments::{Operator, collect};
use crate::dataflow::output::ViewOutput;
use crate::dataflow::time::Moment;
use crate::plan::Uniqueness;
use crate::value::{Diff, Layout, Row};

/// Gives what becomes of each key, once its moment is complete. Blocks carry the view's key beside each row. The returned stream carries
/// nothing but the frontier.
pub(crate) fn present<'s>(
    memory: &Memory,
    name: &str,
    rows: Stream<'s, Moment, Updates>,
    layout: &Layout,
    uniqueness: Uniqueness,
    output: ViewOutput,
) -> Stream<'s, Moment, Vec<()>> {
    let mut operator = Operator::new(name, rows.scope());
    operator.input(rows, by_key(), collect);
    let (_, done) = operator.output::<Vec<()>>();
    operator.build(memory, Keys::new(layout, uniqueness), move |keys, now, blocks| {
        let mut output = output.at(now.moment());
        let give = |key, outcome| output.give(key, outcome);
        match keys {
            Keys::Sole(changes) => sole(changes, &blocks, give),
            Keys::One(held) => one(held, &changes_of(&blocks), give),
            Keys::Copies(held) => copies(held, &changes_of(&blocks), give),
            Keys::Apart(held) => apart(held, &changes_of(&blocks), give),
        }
    });
    done
}

/// As [`present`] for the rows of groups, with the groups' keys beside them: at a moment what becomes of a group comes together, and at
/// the key's worker.
pub(crate) fn present_groups<'s>(
    memory: &Memory,
    name: &str,
    rows: Stream<'s, Moment, Updates>,
    output: ViewOutput,
) -> Stream<'s, Moment, Vec<()>> {
    let mut operator = Operator::new(name, rows.scope());
    operator.requests(rows, Pipeline, collect);
    let (_, done) = operator.output::<Vec<()>>();
    operator.build(memory, Fixed(()), move |_, now, blocks| {
        let mut output = output.at(now.moment());
        // A group's rows are sent together, but may go on in the next block.
        let mut open: Option<(Row, Outcome)> = None;
        for update in blocks.iter().flat_map(Updates::iter) {
            let goes_on = open.as_ref().is_some_and(|(key, _)| **key == *update.key);
            let outcome = (update.diff > 0).then(|| Outcome::Document(Row::from_bytes(update.row)));
            match (&mut open, outcome) {
                (Some((_, known)), Some(outcome)) if goes_on => *known = outcome,
                (Some(_), None) if goes_on => {}
                (_, outcome) => {
                    let next = (Row::from_bytes(update.key), outcome.unwrap_or(Outcome::Gone));
                    open.replace(next).into_iter().for_each(|(key, outcome)| output.give(key, outcome));
                }
            }
        }
        open.into_iter().for_each(|(key, outcome)| output.give(key, outcome));
    });
    done
}

/// What is there now.
enum Keys {
    /// Nothing is kept: a key has one row at most, so that the one that comes is the one that is there. The keys that a moment changes,
    /// with the row that comes.
    Sole(Slots<Sole>),
    /// Rows of each key: one, or the key is not one.
    One(Held<Vec<(Row, Diff)>>),
    /// How often each row is there. A key has one row.
    Copies(Held<Diff>),
    /// The same by key, in the order of their bytes: rows with 0.0 and with -0.0 have one key.
    Apart(Held<Vec<(Row, Diff)>>),
}

/// By key or row.
#[derive(Default)]
struct Held<T> {
    rows: HashMap<Row, T>,
    /// Of keys and rows.
    bytes: usize,
}

impl Keys {
    fn new(layout: &Layout, uniqueness: Uniqueness) -> Keys {
        match uniqueness {
            Uniqueness::Made => Keys::Sole(Slots::new()),
            Uniqueness::Declared => Keys::One(Held::default()),
            Uniqueness::None if layout.schema().columns().iter().any(|column| column.ty.has_floats()) => Keys::Apart(Held::default()),
            Uniqueness::None => Keys::Copies(Held::default()),
        }
    }
}

impl Holds for Keys {
    fn held_bytes(&self) -> usize {
        match self {
            Keys::Sole(changes) => changes.held_bytes(),
            Keys::One(held) | Keys::Apart(held) => table::<(Row, Vec<(Row, Diff)>)>(held.rows.capacity()) + held.bytes,
            Keys::Copies(held) => table::<(Row, Diff)>(held.rows.capacity()) + held.bytes,
        }
    }
}

/// What a moment does to a key that has one row at most.
#[derive(Default)]
struct Sole {
    /// Rows that came more often than they went, or the other way round; none is there twice.
    rows: Vec<(Row, Diff)>,
}

/// Room for so many changes stays; that of a hydration goes.
const KEPT: usize = 1 << 12;

fn sole(changes: &mut Slots<Sole>, blocks: &[Updates], mut give: impl FnMut(Row, Outcome)) {
    changes.clear();
    for update in blocks.iter().flat_map(Updates::iter) {
        let place = changes.place(update.key);
        let rows = &mut changes.get_mut(place).rows;
        match rows.iter_mut().find(|(row, _)| **row == *update.row) {
            Some((_, diff)) => *diff += update.diff,
            None => rows.push((Row::from_bytes(update.row), update.diff)),
        }
    }
    for place in 0..changes.len() {
        let (key, Sole { rows }) = changes.at(place);
        rows.retain(|(_, diff)| *diff != 0);
        if rows.is_empty() {
            continue;
        }
        let outcome = match rows.iter_mut().find(|(_, diff)| *diff > 0) {
            Some((row, _)) => Outcome::Document(std::mem::take(row)),
            None => Outcome::Gone,
        };
        give(Row::from_bytes(key), outcome);
    }
    match changes.len() > KEPT {
        true => *changes = Slots::new(),
        false => changes.clear(),
    }
}

type Changes<'a> = BTreeMap<&'a [u8], BTreeMap<&'a [u8], Diff>>;

/// By key and row.
fn changes_of(blocks: &[Updates]) -> Changes<'_> {
    let mut changes = Changes::new();
    for update in blocks.iter().flat_map(Updates::iter) {
        *changes.entry(update.key).or_default().entry(update.row).or_default() += update.diff;
    }
    changes.retain(|_, rows| {
        rows.retain(|_, diff| *diff != 0);
        !rows.is_empty()
    });
    changes
}

fn one(held: &mut Held<Vec<(Row, Diff)>>, changes: &Changes, mut give: impl FnMut(Row, Outcome)) {
    for (&key, changes) in changes {
        let rows = held.rows.entry(Row::from_bytes(key)).or_default();
        held.bytes -= bytes_of(key, rows);
        for (&row, diff) in changes {
            match rows.iter_mut().find(|(held, _)| **held == *row) {
                Some((_, count)) => *count += diff,
                None => {
                    // Mostly it is the only one.
                    rows.reserve_exact(1);
                    rows.push((Row::from_bytes(row), *diff));
                }
            }
        }
        rows.retain(|(_, count)| *count != 0);
        held.bytes += bytes_of(key, rows);
        let outcome = match rows.as_slice() {
            [] => {
                held.rows.remove(key);
                Outcome::Gone
            }
            [(row, 1)] => Outcome::Document(row.clone()),
            _ => Outcome::Failed("several rows have this key".into()),
        };
        give(Row::from_bytes(key), outcome);
    }
}

/// Of a key and its rows; nothing where it has none.
fn bytes_of(key: &[u8], rows: &Vec<(Row, Diff)>) -> usize {
    match rows.is_empty() {
        true => 0,
        false => {
            let bytes: usize = rows.iter().map(|(row, _)| block(row.len())).sum();
            block(key.len()) + block(rows.capacity() * size_of::<(Row, Diff)>()) + bytes
        }
    }
}

/// Each copy of a row is a row of its own, under the row's key and its number.
fn copies(held: &mut Held<Diff>, changes: &Changes, mut give: impl FnMut(Row, Outcome)) {
    for (key, row, diff) in changes.iter().flat_map(|(key, rows)| rows.iter().map(move |(row, diff)| (*key, *row, *diff))) {
        let before = held.rows.get(row).copied().unwrap_or(0);
        let after = before + diff;
        let known = match after {
            0 => held.rows.remove(row),
            _ => held.rows.insert(Row::from_bytes(row), after),
        };
        match (known, after) {
            (None, after) if after != 0 => held.bytes += block(row.len()),
            (Some(_), 0) => held.bytes -= block(row.len()),
            _ => {}
        }
        for n in before.max(0)..after.max(0) {
            give(numbered(key, n), Outcome::Document(Row::from_bytes(row)));
        }
        for n in after.max(0)..before.max(0) {
            give(numbered(key, n), Outcome::Gone);
        }
    }
}

fn numbered(key: &[u8], n: Diff) -> Row {
    Row::from([key, &(n as u64).to_be_bytes()].concat())
}

/// The same where a key has several rows: one after the other.
fn apart(held: &mut Held<Vec<(Row, Diff)>>, changes: &Changes, mut give: impl FnMut(Row, Outcome)) {
    for (&key, changes) in changes {
        let rows = held.rows.entry(Row::from_bytes(key)).or_default();
        held.bytes -= bytes_of(key, rows);
        let before = rows.clone();
        for (&row, diff) in changes {
            match rows.binary_search_by(|(held, _)| (**held).cmp(row)) {
                Ok(place) => rows[place].1 += diff,
                Err(place) => {
                    rows.reserve_exact(1);
                    rows.insert(place, (Row::from_bytes(row), *diff));
                }
            }
        }
        rows.retain(|(_, count)| *count != 0);
        held.bytes += bytes_of(key, rows);
        let (mut was, mut is) = (Runs::new(&before), Runs::new(rows));
        let mut n = 0;
        while let Some(end) = was.end_behind(n).into_iter().chain(is.end_behind(n)).min() {
            match (was.row, is.row) {
                (Some(was), Some(is)) if was == is => {}
                (_, Some(row)) => (n..end).for_each(|n| give(numbered(key, n), Outcome::Document(row.clone()))),
                (_, None) => (n..end).for_each(|n| give(numbered(key, n), Outcome::Gone)),
            }
            n = end;
        }
        if rows.is_empty() {
            held.rows.remove(key);
        }
    }
}

/// Goes through copies of rows, of each row all at once.
struct Runs<'a> {
    rows: std::slice::Iter<'a, (Row, Diff)>,
    /// Whose copies these are; `None` behind the last one.
    row: Option<&'a Row>,
    end: Diff,
}

impl<'a> Runs<'a> {
    fn new(rows: &'a [(Row, Diff)]) -> Runs<'a> {
        Runs { rows: rows.iter(), row: None, end: 0 }
    }

    /// Where the copies end that have the number `n`.
    fn end_behind(&mut self, n: Diff) -> Option<Diff> {
        while self.end <= n {
            let Some((row, count)) = self.rows.next() else {
                self.row = None;
                return None;
            };
            (self.row, self.end) = (Some(row), self.end + (*count).max(0));
        }
        Some(self.end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_one_key_are_numbered_one_after_the_other() {
        let (mut held, mut shown) = (Held::default(), BTreeMap::new());
        let mut turn = |changes: &[(&'static [u8], Diff)]| {
            let rows: BTreeMap<&[u8], Diff> = changes.iter().copied().collect();
            let mut told = 0;
            apart(&mut held, &BTreeMap::from([(&b"k"[..], rows)]), |key, outcome| {
                told += 1;
                match outcome {
                    Outcome::Document(row) => shown.insert(key, row),
                    _ => shown.remove(&key),
                };
            });
            (shown.values().map(|row| String::from_utf8_lossy(row).into_owned()).collect::<String>(), told)
        };
        assert_eq!(turn(&[(b"b", 2)]), ("bb".into(), 2));
        assert_eq!(turn(&[(b"a", 1)]), ("abb".into(), 2));
        assert_eq!(turn(&[(b"b", 1_000)]).1, 1_000);
        assert_eq!(turn(&[(b"b", -1_001), (b"c", 1)]).0, "abc");
        assert_eq!(turn(&[(b"a", -1)]), ("bc".into(), 3));
        assert_eq!(turn(&[(b"b", -1), (b"c", -1)]), (String::new(), 2));
        assert!(held.rows.is_empty());
        assert_eq!(held.bytes, 0);
    }
}
