//! The first rows of each partition in an order.
//!
//! For every moment t: the sum of the output up to t = the rows of the sum of the input up to t whose number in their partition is in the
//! plan's range. In: rows with their partition's key. The owner of a partition keeps all its rows in their order. A change costs finding
//! its place and walking the rows that are shown.

use std::collections::{BTreeMap, HashMap};

use timely::dataflow::Stream;

use crate::dataflow::exchange::by_key;
use crate::dataflow::held::memory::{Holds, Memory, block, table, tree};
use crate::dataflow::held::order::Places;
use crate::dataflow::held::updates::{Update, Updates};
use crate::dataflow::moments::{Operator, collect_early};
use crate::dataflow::time::Moment;
use crate::plan::{Counted, Top};
use crate::value::{Datum, Diff, Layout, Row, RowBuilder};

pub(crate) fn top<'s>(memory: &Memory, name: &str, rows: Stream<'s, Moment, Updates>, plan: &Top) -> Stream<'s, Moment, Updates> {
    let mut operator = Operator::new(name, rows.scope());
    operator.input(rows, by_key(), collect_early(Rankings::add));
    let (mut rows_out, first) = operator.output::<Updates>();
    operator.build(memory, Rankings::new(plan), move |rankings, now, blocks| {
        let moment = now.moment();
        blocks.iter().for_each(|block| rankings.add(block));
        let mut rows = rows_out.activate();
        let mut rows = now.send(&mut rows);
        rankings.tell(|row, diff| rows.give(Update { key: &[], row, moment, diff }));
    });
    first
}

struct Rankings {
    shape: Shape,
    partitions: HashMap<Row, Ranking>,
    /// Keys of the partitions that have changes to tell.
    touched: Vec<Row>,
    /// Of the keys and the rankings.
    bytes: usize,
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
    /// Of the rows with their places.
    row_bytes: usize,
    /// Of the rows that are shown.
    told_bytes: usize,
}

impl Holds for Ranking {
    fn held_bytes(&self) -> usize {
        tree::<(Row, (Diff, usize))>(self.rows.len()) + tree::<((Row, u64), Diff)>(self.told.len()) + self.row_bytes + self.told_bytes
    }
}

impl Holds for Rankings {
    fn held_bytes(&self) -> usize {
        table::<(Row, Ranking)>(self.partitions.capacity()) + self.bytes
    }
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
        Rankings { shape, partitions: HashMap::new(), touched: Vec::new(), bytes: 0 }
    }

    fn add(&mut self, updates: &Updates) {
        for update in updates.iter() {
            if !self.partitions.contains_key(update.key) {
                self.partitions.insert(Row::from_bytes(update.key), Ranking::default());
                self.bytes += block(update.key.len());
            }
            let ranking = self.partitions.get_mut(update.key).expect("it is there now");
            self.bytes -= ranking.held_bytes();
            ranking.add(&mut self.shape, update.row, update.diff);
            self.bytes += ranking.held_bytes();
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
            self.bytes -= ranking.held_bytes();
            ranking.tell(&mut self.shape, &mut give);
            self.bytes += ranking.held_bytes();
            if ranking.rows.is_empty() {
                self.bytes -= ranking.held_bytes() + block(key.len());
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
                self.row_bytes += block(place.len());
                diff
            }
        };
        if left == 0 {
            self.rows.remove(&place[..]);
            self.row_bytes -= block(place.len());
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
        self.told_bytes = now.keys().map(|(row, _)| block(row.len())).sum();
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
