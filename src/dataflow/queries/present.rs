//! Turns a query's row changes into changes of the view's keys.
//!
//! For every tick t: the changes output up to t, applied in order, leave exactly the query's rows as of t, each under its key. A key is
//! output at most once a tick, and only if one of its rows changed.

use std::collections::{BTreeMap, HashMap};

use timely::dataflow::Stream;
use timely::dataflow::channels::pact::Pipeline;

use crate::dataflow::changes::Outcome;
use crate::dataflow::exchange::by_key;
use crate::dataflow::held::memory::{Fixed, HeapSize, Memory, block, table};
use crate::dataflow::held::slots::Slots;
use crate::dataflow::held::updates::Updates;
use crate::dataflow::moments::{Operator, collect};
use crate::dataflow::output::ViewOutput;
use crate::dataflow::streams::RowStream;
use crate::dataflow::time::Moment;
use crate::plan::Uniqueness;
use crate::value::{Diff, Layout, Row};

/// Outputs the new state of each changed key once its moment is complete. Blocks carry the view's key with each row. The returned stream
/// carries only the frontier.
pub(crate) fn present<'s>(
    memory: &Memory,
    name: &str,
    rows: RowStream<'s>,
    layout: &Layout,
    uniqueness: Uniqueness,
    output: ViewOutput,
) -> Stream<'s, Moment, Vec<()>> {
    let mut operator = Operator::new(name, rows.scope());
    operator.input(rows, by_key(), collect);
    let (_, done) = operator.output::<Vec<()>>();
    operator.build(memory, PresentKeys::new(layout, uniqueness), move |keys, now, blocks| {
        let mut output = output.at(now.moment());
        let give = |key, outcome| output.give(key, outcome);
        match keys {
            PresentKeys::Sole(changes) => sole(changes, &blocks, give),
            PresentKeys::One(held) => one(held, &changes_of(&blocks), give),
            PresentKeys::Copies(held) => copies(held, &changes_of(&blocks), give),
            PresentKeys::Apart(held) => apart(held, &changes_of(&blocks), give),
        }
    });
    done
}

/// Like [`present`], for rows of groups that carry the groups' keys. All changes of a group at a moment arrive together, at the key's
/// worker.
pub(crate) fn present_groups<'s>(memory: &Memory, name: &str, rows: RowStream<'s>, output: ViewOutput) -> Stream<'s, Moment, Vec<()>> {
    let mut operator = Operator::new(name, rows.scope());
    operator.requests(rows, Pipeline, collect);
    let (_, done) = operator.output::<Vec<()>>();
    operator.build(memory, Fixed(()), move |_, now, blocks| {
        let mut output = output.at(now.moment());
        // A group's changes are sent together, but may continue in the next block.
        let mut open: Option<(Row, Outcome)> = None;
        for update in blocks.iter().flat_map(Updates::iter) {
            let goes_on = open.as_ref().is_some_and(|(key, _)| **key == *update.key);
            let outcome = (update.diff > 0).then(|| Outcome::Row(Row::from_bytes(update.row)));
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

/// The state needed to present a query's keys.
enum PresentKeys {
    /// No rows are kept: a key has at most one row, so an inserted row is the key's row. Only the keys that a moment changes are collected,
    /// with their changes.
    Sole(Slots<Sole>),
    /// The rows of each key. With more than one, the key fails.
    One(KeyedRows<Vec<(Row, Diff)>>),
    /// The multiplicity of each row. Each row has its own key.
    Copies(KeyedRows<Diff>),
    /// The rows of each key, sorted by their bytes. A key may have several rows: 0.0 and -0.0 are equal in keys.
    Apart(KeyedRows<Vec<(Row, Diff)>>),
}

/// Values by key or by row.
#[derive(Default)]
struct KeyedRows<T> {
    rows: HashMap<Row, T>,
    /// Heap memory of keys and rows.
    bytes: usize,
}

impl PresentKeys {
    fn new(layout: &Layout, uniqueness: Uniqueness) -> PresentKeys {
        match uniqueness {
            Uniqueness::Made => PresentKeys::Sole(Slots::new()),
            Uniqueness::Declared => PresentKeys::One(KeyedRows::default()),
            Uniqueness::None if layout.schema().columns().iter().any(|column| column.ty.has_floats()) => {
                PresentKeys::Apart(KeyedRows::default())
            }
            Uniqueness::None => PresentKeys::Copies(KeyedRows::default()),
        }
    }
}

impl HeapSize for PresentKeys {
    fn held_bytes(&self) -> usize {
        match self {
            PresentKeys::Sole(changes) => changes.held_bytes(),
            PresentKeys::One(held) | PresentKeys::Apart(held) => table::<(Row, Vec<(Row, Diff)>)>(held.rows.capacity()) + held.bytes,
            PresentKeys::Copies(held) => table::<(Row, Diff)>(held.rows.capacity()) + held.bytes,
        }
    }
}

/// The changes of a key with at most one row, at one moment.
#[derive(Default)]
struct Sole {
    /// Rows with their diffs; each row occurs once.
    rows: Vec<(Row, Diff)>,
}

/// Room for this many changes is kept. What a hydration needed beyond that is freed.
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
            Some((row, _)) => Outcome::Row(std::mem::take(row)),
            None => Outcome::Gone,
        };
        give(Row::from_bytes(key), outcome);
    }
    match changes.len() > KEPT {
        true => *changes = Slots::new(),
        false => changes.clear(),
    }
}

type ChangesByKey<'a> = BTreeMap<&'a [u8], BTreeMap<&'a [u8], Diff>>;

/// Consolidated changes, by key and row.
fn changes_of(blocks: &[Updates]) -> ChangesByKey<'_> {
    let mut changes = ChangesByKey::new();
    for update in blocks.iter().flat_map(Updates::iter) {
        *changes.entry(update.key).or_default().entry(update.row).or_default() += update.diff;
    }
    changes.retain(|_, rows| {
        rows.retain(|_, diff| *diff != 0);
        !rows.is_empty()
    });
    changes
}

fn one(held: &mut KeyedRows<Vec<(Row, Diff)>>, changes: &ChangesByKey, mut give: impl FnMut(Row, Outcome)) {
    for (&key, changes) in changes {
        let rows = held.rows.entry(Row::from_bytes(key)).or_default();
        held.bytes -= bytes_of(key, rows);
        for (&row, diff) in changes {
            match rows.iter_mut().find(|(held, _)| **held == *row) {
                Some((_, count)) => *count += diff,
                None => {
                    // Usually it is the only one.
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
            [(row, 1)] => Outcome::Row(row.clone()),
            _ => Outcome::Failed("several rows have this key".into()),
        };
        give(Row::from_bytes(key), outcome);
    }
}

/// Heap memory of a key and its rows; 0 if there are no rows.
fn bytes_of(key: &[u8], rows: &Vec<(Row, Diff)>) -> usize {
    match rows.is_empty() {
        true => 0,
        false => {
            let bytes: usize = rows.iter().map(|(row, _)| block(row.len())).sum();
            block(key.len()) + block(rows.capacity() * size_of::<(Row, Diff)>()) + bytes
        }
    }
}

/// Each copy of a row is shown as a row of its own. Its key is the row's key followed by the number of the copy.
fn copies(held: &mut KeyedRows<Diff>, changes: &ChangesByKey, mut give: impl FnMut(Row, Outcome)) {
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
            give(numbered(key, n), Outcome::Row(Row::from_bytes(row)));
        }
        for n in after.max(0)..before.max(0) {
            give(numbered(key, n), Outcome::Gone);
        }
    }
}

fn numbered(key: &[u8], n: Diff) -> Row {
    Row::from([key, &(n as u64).to_be_bytes()].concat())
}

/// Like [`copies`], for keys with several rows: the copies of all rows are numbered consecutively.
fn apart(held: &mut KeyedRows<Vec<(Row, Diff)>>, changes: &ChangesByKey, mut give: impl FnMut(Row, Outcome)) {
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
                (_, Some(row)) => (n..end).for_each(|n| give(numbered(key, n), Outcome::Row(row.clone()))),
                (_, None) => (n..end).for_each(|n| give(numbered(key, n), Outcome::Gone)),
            }
            n = end;
        }
        if rows.is_empty() {
            held.rows.remove(key);
        }
    }
}

/// Iterates over the copies of rows, all copies of one row at a time.
struct Runs<'a> {
    rows: std::slice::Iter<'a, (Row, Diff)>,
    /// The row of the current copies; `None` after the last one.
    row: Option<&'a Row>,
    end: Diff,
}

impl<'a> Runs<'a> {
    fn new(rows: &'a [(Row, Diff)]) -> Runs<'a> {
        Runs { rows: rows.iter(), row: None, end: 0 }
    }

    /// Where the copies of the row that contains copy number `n` end.
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
        let (mut held, mut shown) = (KeyedRows::default(), BTreeMap::new());
        let mut turn = |changes: &[(&'static [u8], Diff)]| {
            let rows: BTreeMap<&[u8], Diff> = changes.iter().copied().collect();
            let mut told = 0;
            apart(&mut held, &BTreeMap::from([(&b"k"[..], rows)]), |key, outcome| {
                told += 1;
                match outcome {
                    Outcome::Row(row) => shown.insert(key, row),
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
