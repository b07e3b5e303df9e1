//! Aggregates each worker's own rows before they are sent to the groups' workers.
//!
//! In: rows. Out, with the group's key: how many rows the group has and the state of each accumulator, one record for each group of a
//! moment, or several if more groups or values are collected than the bounds allow. Rows are read in place, not copied.

use timely::dataflow::channels::pact::Pipeline;

use super::aggregate::Accumulators;
use crate::dataflow::held::memory::{HeapSize, Memory};
use crate::dataflow::held::slots::Slots;
use crate::dataflow::held::updates::{Update, Updates, push_to};
use crate::dataflow::moments::{Operator, collect};
use crate::dataflow::streams::RowStream;
use crate::dataflow::time::Moment;
use crate::value::{Diff, Layout, key};

/// The most groups that are collected before they are handed on.
const MOST_GROUPS: usize = 1 << 14;
/// The most rows that are collected if an accumulator keeps values, because its state grows with them.
const MOST_VALUES: usize = 1 << 14;

/// How rows are grouped.
pub(super) struct Grouping {
    /// Layout of the rows.
    pub(super) layout: Layout,
    pub(super) key: Vec<usize>,
    pub(super) calls: Vec<Box<dyn Accumulators>>,
}

pub(super) fn partial<'s>(memory: &Memory, name: &str, rows: RowStream<'s>, grouping: Grouping) -> RowStream<'s> {
    let mut operator = Operator::new(name, rows.scope());
    operator.blocks(rows, Pipeline, collect);
    let (mut rows_out, partials) = operator.output::<Updates>();
    operator.build(memory, PartialGroups::new(grouping), move |parts, now, blocks| {
        let moment = now.moment();
        let mut out = rows_out.activate();
        // Blocks of a later moment may have arrived first: hand on what they left.
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
        // Until the moment is complete, more of its rows may be added to these groups.
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

/// The groups of rows that are not handed on yet.
struct PartialGroups {
    /// The moment of these rows.
    open: Option<Moment>,
    grouping: Grouping,
    /// The number of rows in each group.
    groups: Slots<Diff>,
    rows: usize,
    grows: bool,
    /// The places of the groups of the rows that are being added.
    places: Vec<usize>,
    key: Vec<u8>,
    record: Vec<u8>,
}

impl HeapSize for PartialGroups {
    fn held_bytes(&self) -> usize {
        self.groups.held_bytes() + self.grouping.calls.iter().map(|call| call.held_bytes()).sum::<usize>()
    }
}

impl PartialGroups {
    fn new(grouping: Grouping) -> PartialGroups {
        let grows = grouping.calls.iter().any(|call| call.grows());
        PartialGroups {
            open: None,
            grouping,
            groups: Slots::new(),
            rows: 0,
            grows,
            places: Vec::new(),
            key: Vec::new(),
            record: Vec::new(),
        }
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

    /// Gives the record of each group, then removes all groups.
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
