//! What each worker's own rows come to, before they go to the groups' workers.
//!
//! In: rows. Out, with the group's key beside: how many rows and what each accumulator has come to, one record for each group of what
//! was there to work on; at the first moment, for as many rows as are held in bounds. Rows are read where they are and not copied.

use timely::container::CapacityContainerBuilder;
use timely::dataflow::Stream;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;

use super::aggregate::Accumulators;
use crate::dataflow::Moment;
use crate::dataflow::slots::Slots;
use crate::dataflow::updates::{Update, Updates};
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

pub(super) fn partial<'s>(name: &str, rows: Stream<'s, Moment, Updates>, grouping: Grouping) -> Stream<'s, Moment, Updates> {
    let mut builder = OperatorBuilder::new(name.to_string(), rows.scope());
    let mut rows_in = builder.new_input(rows, Pipeline);
    let (rows_out, partials) = builder.new_output::<Updates>();
    let mut rows_out = OutputBuilder::<_, CapacityContainerBuilder<_>>::from(rows_out);
    let mut parts = Parts::new(grouping);
    let mut open: Option<Capability<Moment>> = None;
    builder.build(move |_| {
        move |frontiers| {
            let mut handle = rows_out.activate();
            rows_in.for_each(|capability, updates: &mut Updates| {
                let moment = *capability.time();
                if open.as_ref().is_some_and(|open| *open.time() != moment || parts.is_full())
                    && let Some(open) = open.take()
                {
                    let mut session = handle.session(&open);
                    parts.hand_on(*open.time(), |update| session.give(update));
                }
                open.get_or_insert_with(|| capability.retain(0));
                parts.add(updates);
            });
            if let Some(capability) = open.take_if(|open| !frontiers[0].less_equal(open.time())) {
                let mut session = handle.session(&capability);
                parts.hand_on(*capability.time(), |update| session.give(update));
            }
        }
    });
    partials
}

/// The groups of rows that were not handed on yet.
struct Parts {
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

impl Parts {
    fn new(grouping: Grouping) -> Parts {
        let grows = grouping.calls.iter().any(|call| call.grows());
        Parts { grouping, groups: Slots::new(), rows: 0, grows, places: Vec::new(), key: Vec::new(), record: Vec::new() }
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
