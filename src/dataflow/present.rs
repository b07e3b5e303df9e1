//! What a query's changes make of the view's keys, tick by tick.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use timely::container::CapacityContainerBuilder;
use timely::dataflow::Stream;
use timely::dataflow::channels::pact::{ExchangeCore, Pipeline};
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;

use super::slots::Slots;
use super::updates::{Update, Updates};
use super::{Clock, DocumentChange, Moment, Outcome, START, hash};
use crate::plan::Uniqueness;
use crate::value::{Diff, Layout, Row};

/// Puts what becomes of each key into `done`, once its moment is complete. Blocks carry the view's key beside each row. `hydrate`: also at
/// the first moment. The returned stream carries nothing but the frontier.
pub(super) fn present<'s>(
    name: &str,
    rows: Stream<'s, Moment, Updates>,
    layout: &Layout,
    uniqueness: Uniqueness,
    hydrate: bool,
    clock: Clock,
    done: Rc<RefCell<Vec<DocumentChange>>>,
) -> Stream<'s, Moment, Vec<()>> {
    let mut builder = OperatorBuilder::new(name.to_string(), rows.scope());
    let by_key = ExchangeCore::<CapacityContainerBuilder<Updates>, _>::new(|u: &Update<'_>| hash(u.key));
    let mut rows_in = builder.new_input(rows, by_key);
    let (_, out) = builder.new_output::<Vec<()>>();
    let mut waiting: BTreeMap<Moment, (Capability<Moment>, Vec<Updates>)> = BTreeMap::new();
    let mut keys = match uniqueness {
        Uniqueness::Made => Keys::Sole(Slots::new()),
        Uniqueness::Declared => Keys::One(HashMap::new()),
        Uniqueness::None if layout.schema().columns().iter().any(|column| column.ty.has_floats()) => Keys::Apart(HashMap::new()),
        Uniqueness::None => Keys::Copies(HashMap::new()),
    };
    builder.build(move |_| {
        move |frontiers| {
            rows_in.for_each(|capability, updates: &mut Updates| {
                let slot = waiting.entry(*capability.time()).or_insert_with(|| (capability.retain(0), Vec::new()));
                slot.1.push(std::mem::take(updates));
            });
            while let Some((&moment, _)) = waiting.first_key_value() {
                if frontiers[0].less_equal(&moment) {
                    break;
                }
                let Some((_, (_capability, blocks))) = waiting.pop_first() else { break };
                let (mut done, tick) = (done.borrow_mut(), clock.tick_of(moment));
                let give = |key, outcome| {
                    if moment > START || hydrate {
                        done.push(DocumentChange { tick, key, outcome });
                    }
                };
                match &mut keys {
                    Keys::Sole(changes) => sole(changes, &blocks, give),
                    Keys::One(held) => one(held, &changes_of(&blocks), give),
                    Keys::Copies(held) => copies(held, &changes_of(&blocks), give),
                    Keys::Apart(held) => apart(held, &changes_of(&blocks), give),
                }
            }
        }
    });
    out
}

/// As [`present`] for the rows of groups, with the groups' keys beside them: at a moment what becomes of a group comes together, and at
/// the key's worker.
pub(super) fn present_groups<'s>(
    name: &str,
    rows: Stream<'s, Moment, Updates>,
    hydrate: bool,
    clock: Clock,
    done: Rc<RefCell<Vec<DocumentChange>>>,
) -> Stream<'s, Moment, Vec<()>> {
    let mut builder = OperatorBuilder::new(name.to_string(), rows.scope());
    let mut rows_in = builder.new_input(rows, Pipeline);
    let (_, out) = builder.new_output::<Vec<()>>();
    // What becomes of the last key may go on in the next block.
    let mut open: Option<(Moment, Row, Outcome)> = None;
    builder.build(move |_| {
        move |_| {
            let mut done = done.borrow_mut();
            let mut tell = |(moment, key, outcome): (Moment, Row, Outcome)| {
                if moment > START || hydrate {
                    done.push(DocumentChange { tick: clock.tick_of(moment), key, outcome });
                }
            };
            rows_in.for_each(|_, updates: &mut Updates| {
                for update in updates.iter() {
                    let goes_on = open.as_ref().is_some_and(|(at, key, _)| *at == update.moment && **key == *update.key);
                    let outcome = (update.diff > 0).then(|| Outcome::Document(Row::from_bytes(update.row)));
                    match (&mut open, outcome) {
                        (Some((_, _, known)), Some(outcome)) if goes_on => *known = outcome,
                        (Some(_), None) if goes_on => {}
                        (_, outcome) => {
                            let next = (update.moment, Row::from_bytes(update.key), outcome.unwrap_or(Outcome::Gone));
                            open.replace(next).into_iter().for_each(&mut tell);
                        }
                    }
                }
            });
            // A group's rows are sent together: nothing more comes of the last one.
            open.take().into_iter().for_each(&mut tell);
        }
    });
    out
}

/// What is there now.
enum Keys {
    /// Nothing is kept: a key has one row at most, so that the one that comes is the one that is there. The keys that a moment changes,
    /// with the row that comes.
    Sole(Slots<Sole>),
    /// Rows of each key: one, or the key is not one.
    One(HashMap<Row, Vec<(Row, Diff)>>),
    /// How often each row is there. A key has one row.
    Copies(HashMap<Row, Diff>),
    /// The same by key, in the order of their bytes: rows with 0.0 and with -0.0 have one key.
    Apart(HashMap<Row, Vec<(Row, Diff)>>),
}

/// What a moment does to a key that has one row at most.
#[derive(Default)]
struct Sole {
    /// Rows that came more often than they went, or the other way round; none is there twice.
    rows: Vec<(Row, Diff)>,
}

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
    changes.clear();
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

fn one(held: &mut HashMap<Row, Vec<(Row, Diff)>>, changes: &Changes, mut give: impl FnMut(Row, Outcome)) {
    for (&key, changes) in changes {
        let rows = held.entry(Row::from_bytes(key)).or_default();
        for (&row, diff) in changes {
            match rows.iter_mut().find(|(held, _)| **held == *row) {
                Some((_, count)) => *count += diff,
                None => rows.push((Row::from_bytes(row), *diff)),
            }
        }
        rows.retain(|(_, count)| *count != 0);
        let outcome = match rows.as_slice() {
            [] => {
                held.remove(key);
                Outcome::Gone
            }
            [(row, 1)] => Outcome::Document(row.clone()),
            _ => Outcome::Failed("several rows have this key".into()),
        };
        give(Row::from_bytes(key), outcome);
    }
}

/// Each copy of a row is a row of its own, under the row's key and its number.
fn copies(held: &mut HashMap<Row, Diff>, changes: &Changes, mut give: impl FnMut(Row, Outcome)) {
    for (key, row, diff) in changes.iter().flat_map(|(key, rows)| rows.iter().map(move |(row, diff)| (*key, *row, *diff))) {
        let before = held.get(row).copied().unwrap_or(0);
        let after = before + diff;
        match after {
            0 => held.remove(row),
            _ => held.insert(Row::from_bytes(row), after),
        };
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
fn apart(held: &mut HashMap<Row, Vec<(Row, Diff)>>, changes: &Changes, mut give: impl FnMut(Row, Outcome)) {
    for (&key, changes) in changes {
        let rows = held.entry(Row::from_bytes(key)).or_default();
        let before = rows.clone();
        for (&row, diff) in changes {
            match rows.binary_search_by(|(held, _)| (**held).cmp(row)) {
                Ok(place) => rows[place].1 += diff,
                Err(place) => rows.insert(place, (Row::from_bytes(row), *diff)),
            }
        }
        rows.retain(|(_, count)| *count != 0);
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
            held.remove(key);
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
        let (mut held, mut shown) = (HashMap::new(), BTreeMap::new());
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
        assert!(held.is_empty());
    }
}
