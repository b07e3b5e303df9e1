//! What each worker's own rows come to, before they go to the groups' workers.
//!
//! In: rows. Out, with the group's key beside: how many rows and what each accumulator has come to, one record for each group of what
//! was there to work on; at the first moment, for as many rows as are held in bounds. Rows are read where they are and not copied.

use timely::dataflow::Stream;
use timely::dataflow::channels::pact::Pipeline;

use super::aggregate::Accumulators;
use crate::dataflow::held::memory::{Holds, Memory};
use crate::dataflow::held::slots::Slots;
use crate::dataflow::held::updates::{Update, Updates, push_to};
use crate::dataflow::moments::{Operator, collect};
use crate::dataflow::time::Moment;
use crate::value::{Diff, Layout, key};

/// Groups that are held at most before they are handed on.
const MOST_GROUPS: usize = 1 << 14;
/// Rows after which all is handed on where an accumulator holds values: they are not fewer than the rows.
const MOST_VALUES: usize = 1 << 14;

/// How groups are made of rows.
pub(super) struct Grouping {
    /// Of the rows.
    pub(super) layout: Layout,
    pub(super) key: Vec<usize>,
    pub(super) calls: Vec<Box<dyn Accumulators>>,
}

pub(super) fn partial<'s>(
    memory: &Memory,
    name: &str,
    rows: Stream<'s, Moment, Updates>,
    grouping: Grouping,
) -> Stream<'s, Moment, Updates> {
    let mut operator = Operator::new(name, rows.scope());
    operator.blocks(rows, Pipeline, collect);
    let (mut rows_out, partials) = operator.output::<Updates>();
    operator.build(memory, Parts::new(grouping), move |parts, now, blocks| {
        let moment = now.moment();
        let mut out = rows_out.activate();
        // Blocks of a later moment may have come first.
        if let Some(later) = parts.open.replace(moment).filter(|open| *open != moment) {
            let mut records = Vec::new();
            parts.hand_on(later, |update| push_to(&mut records, update));
            records.iter_mut().for_each(|records| now.send_at(&later, &mut out, records));
        }
        let mut out = now.send(&mut out);
        for block in blocks {
            if parts.is_full() {
                parts.hand_on(moment, |update| out.give(update));
            }
            parts.add(&block);
        }
        // More of the moment may go with what there is.
        match now.is_complete() {
            true => {
                parts.hand_on(moment, |update| out.give(update));
                parts.open = None;
            }
            false => now.stay(),
        }
    });
    partials
}

/// The groups of rows that were not handed on yet.
struct Parts {
    /// The moment that they are of.
    open: Option<Moment>,
    grouping: Grouping,
    /// How many rows each has.
    groups: Slots<Diff>,
    rows: usize,
    grows: bool,
    /// Of the rows that are added.
    places: Vec<usize>,
    key: Vec<u8>,
    record: Vec<u8>,
}

impl Holds for Parts {
    fn held_bytes(&self) -> usize {
        self.groups.held_bytes() + self.grouping.calls.iter().map(|call| call.held_bytes()).sum::<usize>()
    }
}

impl Parts {
    fn new(grouping: Grouping) -> Parts {
        let grows = grouping.calls.iter().any(|call| call.grows());
        Parts { open: None, grouping, groups: Slots::new(), rows: 0, grows, places: Vec::new(), key: Vec::new(), record: Vec::new() }
    }

    fn is_full(&self) -> bool {
        self.groups.len() >= MOST_GROUPS || (self.grows && self.rows >= MOST_VALUES)
    }

    fn add(&mut self, updates: &Updates) {
        let Grouping { layout, key: columns, calls } = &mut self.grouping;
        self.rows += updates.len();
        self.places.clear();
        for update in updates.iter() {
            self.key.clear();
            key::of_into(layout, update.row, columns, &mut self.key);
            let place = self.groups.place(&self.key);
            *self.groups.get_mut(place) += update.diff;
            self.places.push(place);
        }
        for call in calls {
            call.reach(self.groups.len());
            call.add(layout, updates, &self.places);
        }
    }

    /// Gives what each group's rows came to, and forgets them.
    fn hand_on(&mut self, moment: Moment, mut give: impl FnMut(Update<'_>)) {
        for place in 0..self.groups.len() {
            let (key, rows) = self.groups.at(place);
            self.record.clear();
            self.record.extend_from_slice(&rows.to_le_bytes());
            self.grouping.calls.iter().for_each(|call| call.write(place, &mut self.record));
            give(Update { key, row: &self.record, moment, diff: 1 });
        }
        self.groups.clear();
        self.grouping.calls.iter_mut().for_each(|call| call.clear());
        self.rows = 0;
    }
}
