//! What a query's changes make of the view's keys, tick by tick.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use timely::container::CapacityContainerBuilder;
use timely::dataflow::Stream;
use timely::dataflow::channels::pact::ExchangeCore;
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;

use super::updates::{Update, Updates};
use super::{Clock, DocumentChange, Moment, Outcome, START, hash};
use crate::value::{Diff, Row};

/// Puts what becomes of each key into `done`, once its moment is complete. Blocks carry the view's key beside each row. `hydrate`: also at
/// the first moment. The returned stream carries nothing but the frontier.
pub(super) fn present<'s>(
    name: &str,
    rows: Stream<'s, Moment, Updates>,
    unique: bool,
    hydrate: bool,
    clock: Clock,
    done: Rc<RefCell<Vec<DocumentChange>>>,
) -> Stream<'s, Moment, Vec<()>> {
    let mut builder = OperatorBuilder::new(name.to_string(), rows.scope());
    let by_key = ExchangeCore::<CapacityContainerBuilder<Updates>, _>::new(|u: &Update<'_>| hash(u.key));
    let mut rows_in = builder.new_input(rows, by_key);
    let (_, out) = builder.new_output::<Vec<()>>();
    let mut waiting: BTreeMap<Moment, (Capability<Moment>, Vec<Updates>)> = BTreeMap::new();
    let mut keys = if unique { Keys::One(HashMap::new()) } else { Keys::Copies(HashMap::new()) };
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
                keys.take(&blocks, |key, outcome| {
                    if moment > START || hydrate {
                        done.push(DocumentChange { tick, key, outcome });
                    }
                });
            }
        }
    });
    out
}

/// What is there now.
enum Keys {
    /// Rows of each key: one, or the key is not one.
    One(HashMap<Row, Vec<(Row, Diff)>>),
    /// How often each row is there.
    Copies(HashMap<Row, Diff>),
}

impl Keys {
    fn take(&mut self, blocks: &[Updates], mut give: impl FnMut(Row, Outcome)) {
        let mut changes: BTreeMap<&[u8], BTreeMap<&[u8], Diff>> = BTreeMap::new();
        for update in blocks.iter().flat_map(Updates::iter) {
            *changes.entry(update.key).or_default().entry(update.row).or_default() += update.diff;
        }
        for (key, mut rows) in changes {
            rows.retain(|_, diff| *diff != 0);
            if rows.is_empty() {
                continue;
            }
            match self {
                Keys::One(held) => give(Row::from_bytes(key), one(held, key, rows)),
                Keys::Copies(copies) => rows.into_iter().for_each(|(row, diff)| self::copies(copies, key, row, diff, &mut give)),
            }
        }
    }
}

fn one(held: &mut HashMap<Row, Vec<(Row, Diff)>>, key: &[u8], changes: BTreeMap<&[u8], Diff>) -> Outcome {
    let rows = held.entry(Row::from_bytes(key)).or_default();
    for (row, diff) in changes {
        match rows.iter_mut().find(|(held, _)| **held == *row) {
            Some((_, count)) => *count += diff,
            None => rows.push((Row::from_bytes(row), diff)),
        }
    }
    rows.retain(|(_, count)| *count != 0);
    match rows.as_slice() {
        [] => {
            held.remove(key);
            Outcome::Gone
        }
        [(row, 1)] => Outcome::Document(row.clone()),
        _ => Outcome::Failed("several rows have this key".into()),
    }
}

/// Each copy of a row is a row of its own, under the row's key and its number.
fn copies(copies: &mut HashMap<Row, Diff>, key: &[u8], row: &[u8], diff: Diff, give: &mut impl FnMut(Row, Outcome)) {
    let before = copies.get(row).copied().unwrap_or(0);
    let after = before + diff;
    match after {
        0 => copies.remove(row),
        _ => copies.insert(Row::from_bytes(row), after),
    };
    let numbered = |n: Diff| Row::from([key, &(n as u64).to_be_bytes()].concat());
    for n in before.max(0)..after.max(0) {
        give(numbered(n), Outcome::Document(Row::from_bytes(row)));
    }
    for n in after.max(0)..before.max(0) {
        give(numbered(n), Outcome::Gone);
    }
}
