//! The first rows of each partition in an order.
//!
//! In: rows with their partition's key. All rows are kept in their order, a partition's by one worker; a change costs finding its place and
//! walking the rows that are shown.

use std::collections::{BTreeMap, HashMap};

use timely::container::CapacityContainerBuilder;
use timely::dataflow::Stream;
use timely::dataflow::channels::pact::ExchangeCore;
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;

use super::order::Places;
use super::updates::{Update, Updates};
use super::{Moment, START, hash};
use crate::plan::{Counted, Top};
use crate::value::{Datum, Diff, Layout, Row, RowBuilder};

pub(super) fn top<'s>(name: &str, rows: Stream<'s, Moment, Updates>, plan: &Top) -> Stream<'s, Moment, Updates> {
    let mut builder = OperatorBuilder::new(name.to_string(), rows.scope());
    let by_partition = ExchangeCore::<CapacityContainerBuilder<Updates>, _>::new(|u: &Update<'_>| hash(u.key));
    let mut rows_in = builder.new_input(rows, by_partition);
    let (rows_out, first) = builder.new_output::<Updates>();
    let mut rows_out = OutputBuilder::<_, CapacityContainerBuilder<_>>::from(rows_out);
    let mut waiting: BTreeMap<Moment, (Capability<Moment>, Vec<Updates>)> = BTreeMap::new();
    let mut rankings = Rankings::new(plan);
    builder.build(move |_| {
        move |frontiers| {
            rows_in.for_each(|capability, updates: &mut Updates| {
                let moment = *capability.time();
                let slot = waiting.entry(moment).or_insert_with(|| (capability.retain(0), Vec::new()));
                // At the first moment nothing was there before: rows need not wait for it to be complete.
                match moment {
                    START => rankings.add(updates),
                    _ => slot.1.push(std::mem::take(updates)),
                }
            });
            let mut handle = rows_out.activate();
            while let Some((&moment, _)) = waiting.first_key_value() {
                if frontiers[0].less_equal(&moment) {
                    break;
                }
                let Some((_, (capability, blocks))) = waiting.pop_first() else { break };
                blocks.iter().for_each(|block| rankings.add(block));
                let mut out = handle.session(&capability);
                rankings.tell(|row, diff| out.give(Update { key: &[], row, moment, diff }));
            }
        }
    });
    first
}

struct Rankings {
    shape: Shape,
    partitions: HashMap<Row, Ranking>,
    /// Keys of the partitions that have changes to tell.
    touched: Vec<Row>,
}

struct Shape {
    rows: Layout,
    places: Places,
    counted: Counted,
    skip: u64,
    /// The last number that is shown.
    last: u64,
    numbered: bool,
    out: RowBuilder,
    built: Vec<u8>,
}

#[derive(Default)]
struct Ranking {
    /// How often each row is there and where its bytes begin, by its place in the order and then by its bytes.
    rows: BTreeMap<Row, (Diff, usize)>,
    /// The rows that are shown, each with its number where that is shown.
    told: BTreeMap<(Row, u64), Diff>,
    touched: bool,
}

impl Rankings {
    fn new(plan: &Top) -> Rankings {
        let shape = Shape {
            rows: Layout::new(plan.of.schema()),
            places: Places::new(plan.of.schema(), &plan.order),
            counted: plan.counted,
            skip: plan.skip as u64,
            last: (plan.skip as u64).saturating_add(plan.count as u64),
            numbered: plan.numbered,
            out: RowBuilder::new(&Layout::new(&plan.schema)),
            built: Vec::new(),
        };
        Rankings { shape, partitions: HashMap::new(), touched: Vec::new() }
    }

    fn add(&mut self, updates: &Updates) {
        for update in updates.iter() {
            if !self.partitions.contains_key(update.key) {
                self.partitions.insert(Row::from_bytes(update.key), Ranking::default());
            }
            let ranking = self.partitions.get_mut(update.key).expect("it is there now");
            ranking.add(&mut self.shape, update.row, update.diff);
            if !std::mem::replace(&mut ranking.touched, true) {
                self.touched.push(Row::from_bytes(update.key));
            }
        }
    }

    /// What became of the rows that are shown.
    fn tell(&mut self, mut give: impl FnMut(&[u8], Diff)) {
        for key in std::mem::take(&mut self.touched) {
            let Some(ranking) = self.partitions.get_mut(&*key) else { continue };
            ranking.touched = false;
            ranking.tell(&mut self.shape, &mut give);
            if ranking.rows.is_empty() {
                self.partitions.remove(&*key);
            }
        }
    }
}

impl Ranking {
    fn add(&mut self, shape: &mut Shape, row: &[u8], diff: Diff) {
        let mut place = std::mem::take(&mut shape.built);
        place.clear();
        shape.places.of_into(row, &mut place);
        let at = place.len();
        place.extend_from_slice(row);
        let left = match self.rows.get_mut(&place[..]) {
            Some((count, _)) => {
                *count += diff;
                *count
            }
            None => {
                self.rows.insert(Row::from_bytes(&place), (diff, at));
                diff
            }
        };
        if left == 0 {
            self.rows.remove(&place[..]);
        }
        shape.built = place;
    }

    fn tell(&mut self, shape: &mut Shape, mut give: impl FnMut(&[u8], Diff)) {
        let now = self.shown(shape);
        for ((row, number), before) in &self.told {
            let diff = now.get(&(row.clone(), *number)).copied().unwrap_or(0) - before;
            if diff != 0 {
                give(shape.whole(row, *number), diff);
            }
        }
        let fresh = now.iter().filter(|(shown, _)| !self.told.contains_key(*shown));
        fresh.for_each(|((row, number), count)| give(shape.whole(row, *number), *count));
        self.told = now;
    }

    fn shown(&self, shape: &Shape) -> BTreeMap<(Row, u64), Diff> {
        let mut now = BTreeMap::new();
        // How many rows and how many different places there were before.
        let (mut before, mut places) = (0, 0);
        let (mut rank, mut last_place): (u64, Option<&[u8]>) = (0, None);
        for (bytes, (count, at)) in &self.rows {
            let (place, row) = bytes.split_at(*at);
            let count = (*count).max(0) as u64;
            if count > 0 && last_place != Some(place) {
                (rank, places, last_place) = (before + 1, places + 1, Some(place));
            }
            let numbers = match shape.counted {
                Counted::Rows => before + 1..=before + count,
                Counted::Ranks => rank..=rank,
                Counted::Values => places..=places,
            };
            before += count;
            if *numbers.start() > shape.last {
                break;
            }
            let (first, last) = ((*numbers.start()).max(shape.skip + 1), (*numbers.end()).min(shape.last));
            if first > last || count == 0 {
                continue;
            }
            let mut show = |number: u64, copies: u64| now.insert((Row::from_bytes(row), number), copies as Diff);
            match (shape.counted, shape.numbered) {
                (Counted::Rows, true) => (first..=last).for_each(|number| {
                    show(number, 1);
                }),
                (Counted::Rows, false) => {
                    show(0, last - first + 1);
                }
                (Counted::Ranks | Counted::Values, numbered) => {
                    show(if numbered { first } else { 0 }, count);
                }
            }
        }
        now
    }
}

impl Shape {
    /// The row, with its number where that is shown.
    fn whole<'a>(&'a mut self, row: &'a [u8], number: u64) -> &'a [u8] {
        if !self.numbered {
            return row;
        }
        (0..self.rows.schema().len()).for_each(|column| self.out.push(self.rows.get(row, column)));
        self.out.push(Datum::UInt(number));
        self.built.clear();
        self.out.finish_into(&mut self.built);
        &self.built
    }
}
