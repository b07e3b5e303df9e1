//! The first rows in an order.
//!
//! All rows are kept in their order, by one worker; a change costs finding its place and walking the rows that are shown.

use std::collections::BTreeMap;

use timely::container::CapacityContainerBuilder;
use timely::dataflow::Stream;
use timely::dataflow::channels::pact::ExchangeCore;
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;

use super::order::Places;
use super::updates::{Update, Updates};
use super::{Moment, hash};
use crate::plan::Top;
use crate::value::{Diff, Row};

pub(super) fn top<'s>(name: &str, rows: Stream<'s, Moment, Updates>, plan: &Top) -> Stream<'s, Moment, Updates> {
    let mut builder = OperatorBuilder::new(name.to_string(), rows.scope());
    let together = ExchangeCore::<CapacityContainerBuilder<Updates>, _>::new(|_: &Update<'_>| hash(&[]));
    let mut rows_in = builder.new_input(rows, together);
    let (rows_out, first) = builder.new_output::<Updates>();
    let mut rows_out = OutputBuilder::<_, CapacityContainerBuilder<_>>::from(rows_out);
    let mut waiting: BTreeMap<Moment, (Capability<Moment>, Vec<Updates>)> = BTreeMap::new();
    let mut ranking = Ranking::new(plan);
    builder.build(move |_| {
        move |frontiers| {
            rows_in.for_each(|capability, updates: &mut Updates| {
                let slot = waiting.entry(*capability.time()).or_insert_with(|| (capability.retain(0), Vec::new()));
                slot.1.push(std::mem::take(updates));
            });
            let mut handle = rows_out.activate();
            while let Some((&moment, _)) = waiting.first_key_value() {
                if frontiers[0].less_equal(&moment) {
                    break;
                }
                let Some((_, (capability, blocks))) = waiting.pop_first() else { break };
                blocks.iter().flat_map(Updates::iter).for_each(|update| ranking.add(update.row, update.diff));
                let mut out = handle.session(&capability);
                ranking.tell(|row, diff| out.give(Update { key: &[], row, moment, diff }));
            }
        }
    });
    first
}

struct Ranking {
    places: Places,
    skip: usize,
    count: usize,
    /// How often each row is there, by its place in the order and then by its bytes.
    rows: BTreeMap<(Vec<u8>, Row), Diff>,
    /// What is shown.
    told: BTreeMap<Row, Diff>,
}

impl Ranking {
    fn new(plan: &Top) -> Ranking {
        let places = Places::new(plan.of.schema(), &plan.order);
        Ranking { places, skip: plan.skip, count: plan.count, rows: BTreeMap::new(), told: BTreeMap::new() }
    }

    fn add(&mut self, row: &[u8], diff: Diff) {
        let mut place = Vec::new();
        self.places.of_into(row, &mut place);
        let place = (place, Row::from_bytes(row));
        let count = self.rows.entry(place.clone()).or_default();
        *count += diff;
        if *count == 0 {
            self.rows.remove(&place);
        }
    }

    /// What became of the rows that are shown.
    fn tell(&mut self, mut give: impl FnMut(&[u8], Diff)) {
        let mut now: BTreeMap<Row, Diff> = BTreeMap::new();
        let (mut skip, mut left) = (self.skip as i128, self.count as i128);
        for ((_, row), count) in &self.rows {
            if left <= 0 {
                break;
            }
            let skipped = skip.min((*count).max(0) as i128);
            skip -= skipped;
            let taken = left.min((*count).max(0) as i128 - skipped);
            left -= taken;
            if taken > 0 {
                *now.entry(row.clone()).or_default() += taken as Diff;
            }
        }
        for (row, before) in &self.told {
            let diff = now.get(row).copied().unwrap_or(0) - before;
            if diff != 0 {
                give(row, diff);
            }
        }
        now.iter().filter(|(row, _)| !self.told.contains_key(*row)).for_each(|(row, count)| give(row, *count));
        self.told = now;
    }
}
