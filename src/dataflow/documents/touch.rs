//! Finds the root keys that a tick touches, each once, and outputs them in portions with their root rows as of the tick.
//!
//! For every tick t: the roots output at the moments of t = { (k, the root rows of k as of t) : k in the touched keys of t }.

use std::cell::Cell;
use std::rc::Rc;

use differential_dataflow::operators::arrange::Arranged;
use timely::dataflow::Stream;
use timely::dataflow::operators::probe::Handle as Probe;

use super::fetch::{Relations, Request, Requests};
use crate::dataflow::exchange::to_owner;
use crate::dataflow::held::arranged::{AsOf, RowTrace};
use crate::dataflow::held::memory::{HeapSize, Memory};
use crate::dataflow::moments::{Operator, Reads};
use crate::dataflow::time::{Moment, portion_of};
use crate::value::Row;

/// A touched key and its root row, from which a document is built.
#[derive(Debug, Clone)]
pub(crate) struct Root {
    /// The document's number in its portion.
    pub(crate) slot: u32,
    pub(crate) key: Row,
    pub(crate) row: RootRow,
}

/// The root row of a touched key.
#[derive(Debug, Clone)]
pub(crate) enum RootRow {
    Missing,
    One(Row),
    /// Several rows have this key.
    Several,
}

/// How many roots go through the lookups at a time.
const PORTION: usize = 4096;
/// How many portions may be in flight. Two keep every operator busy.
const UNDER_WAY: u64 = 2;

/// Keeps a large tick from running ahead of the consumer.
pub(crate) struct Brake {
    /// The frontier of assembled documents.
    pub(crate) assembled: Probe<Moment>,
    /// Set while the consumer of the documents is behind.
    pub(crate) hold_back: Rc<Cell<bool>>,
}

impl Brake {
    /// Whether the portion of this moment has to wait.
    fn holds(&self, moment: Moment) -> bool {
        let portion = portion_of(moment);
        portion > 0 && (self.hold_back.get() || portion >= UNDER_WAY && self.assembled.less_equal(&(moment - UNDER_WAY)))
    }
}

/// The touched keys of a tick that are not output yet.
enum TickKeys {
    /// Unsorted, with duplicates, while they arrive.
    Coming(Vec<Row>),
    /// Sorted and without duplicates, with the index of the next one.
    Listed(Vec<Row>, usize),
    /// Every root of this worker whose key is greater than this one.
    All(Option<Row>),
}

impl Default for TickKeys {
    fn default() -> TickKeys {
        TickKeys::Coming(Vec::new())
    }
}

impl HeapSize for TickKeys {
    fn held_bytes(&self) -> usize {
        match self {
            TickKeys::Coming(keys) | TickKeys::Listed(keys, _) => keys.held_bytes(),
            TickKeys::All(_) => 0,
        }
    }
}

impl HeapSize for Vec<Root> {
    fn held_bytes(&self) -> usize {
        let bytes = |root: &Root| root.key.len() + if let RootRow::One(row) = &root.row { row.len() } else { 0 };
        self.capacity() * size_of::<Root>() + self.iter().map(bytes).sum::<usize>()
    }
}

/// Outputs the portions of a tick at consecutive moments that start at the tick's own. No row changes at the later ones, so every lookup is
/// as of the tick. `hydrate_at`: the moment at which all roots are touched.
pub(crate) fn touch<'s>(
    memory: &Memory,
    name: &str,
    touched: Stream<'s, Moment, Vec<Row>>,
    roots: &Arranged<'s, RowTrace>,
    relations: Relations,
    hydrate_at: Option<Moment>,
    brake: Brake,
) -> (Stream<'s, Moment, Vec<Root>>, Vec<Requests<'s>>) {
    let scope = touched.scope();
    let owner = scope.index() as u32;
    let mut operator = Operator::new(name, scope);
    operator.input(touched, to_owner(), |(), _, waiting, keys: &mut Vec<Row>| match waiting {
        TickKeys::Coming(waiting) => waiting.append(keys),
        // All roots are touched already.
        TickKeys::All(_) => keys.clear(),
        TickKeys::Listed(..) => unreachable!("no key comes at the moments of portions"),
    });
    operator.arrangement(roots, Reads::At);
    let (mut roots_out, found) = operator.output::<Vec<Root>>();
    let (mut asks_out, asks): (Vec<_>, Vec<_>) = relations.columns.iter().map(|_| operator.output::<Vec<Request>>()).unzip();
    if let Some(moment) = hydrate_at {
        operator.begin_with(moment, TickKeys::All(None));
    }
    operator.only_when(move |moment| !brake.holds(*moment));
    operator.build(memory, (), move |(), now, keys| {
        let mut keys = keys.sorted();
        let mut rows = now.read(0);
        let more = {
            let mut roots = roots_out.activate();
            let mut roots = now.send(&mut roots);
            let mut asks: Vec<_> = asks_out.iter_mut().map(|out| out.activate()).collect();
            let mut asks: Vec<_> = asks.iter_mut().map(|out| now.send(out)).collect();
            let mut slot = 0;
            keys.portion(&mut rows, |key, row| {
                if let RootRow::One(row) = &row {
                    for (child, asks) in asks.iter_mut().enumerate() {
                        if let Some(ask) = relations.request(child, row, owner, slot, 0) {
                            asks.give(ask);
                        }
                    }
                }
                roots.give(Root { slot, key, row });
                slot += 1;
            })
        };
        if more {
            let next = now.moment() + 1;
            *now.later(&next) = keys;
        }
    });
    (found, asks)
}

impl TickKeys {
    fn sorted(self) -> TickKeys {
        match self {
            TickKeys::Coming(mut keys) => {
                keys.sort_unstable();
                keys.dedup();
                TickKeys::Listed(keys, 0)
            }
            sorted => sorted,
        }
    }

    /// Outputs the next portion. Returns whether more may follow.
    fn portion(&mut self, rows: &mut AsOf, mut give: impl FnMut(Row, RootRow)) -> bool {
        match self {
            TickKeys::Coming(_) => unreachable!("keys are sorted first"),
            TickKeys::Listed(keys, next) => {
                let end = keys.len().min(*next + PORTION);
                for key in &mut keys[*next..end] {
                    let mut found = RootRow::Missing;
                    rows.each_row(key, |row, _, count| found.add(row, count));
                    give(std::mem::take(key), found);
                }
                *next = end;
                end < keys.len()
            }
            TickKeys::All(beyond) => {
                if let Some(last) = beyond {
                    rows.seek_behind(last);
                }
                for _ in 0..PORTION {
                    let Some(key) = rows.key().map(Row::from_bytes) else { return false };
                    let mut found = RootRow::Missing;
                    rows.rows_here(|row, _, count| found.add(row, count));
                    if !matches!(found, RootRow::Missing) {
                        give(key.clone(), found);
                    }
                    *beyond = Some(key);
                    rows.step_key();
                }
                true
            }
        }
    }
}

impl RootRow {
    /// Counts a root row. Returns whether further rows can change the result.
    fn add(&mut self, row: &[u8], count: i64) -> bool {
        if count > 0 {
            *self = match self {
                RootRow::Missing if count == 1 => RootRow::One(Row::from_bytes(row)),
                _ => RootRow::Several,
            };
        }
        !matches!(self, RootRow::Several)
    }
}
