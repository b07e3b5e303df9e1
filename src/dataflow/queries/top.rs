//! The first rows of each partition in an order.
//!
//! For every moment t: the sum of the output up to t = the rows of the sum of the input up to t whose number in their partition is in the
//! plan's range. In: rows with their partition's key. The owner of a partition keeps all its rows sorted. A change costs a search and a
//! walk over the rows up to the last one that is shown.

use std::collections::{BTreeMap, HashMap};

use crate::dataflow::exchange::by_key;
use crate::dataflow::held::memory::{HeapSize, Memory, block, table, tree};
use crate::dataflow::held::order::SortKeys;
use crate::dataflow::held::updates::{Update, Updates};
use crate::dataflow::moments::{Operator, collect_early};
use crate::dataflow::streams::RowStream;
use crate::plan::{Counted, Top};
use crate::value::{Datum, Diff, Layout, Row, RowBuilder};

pub(crate) fn top<'s>(memory: &Memory, name: &str, rows: RowStream<'s>, plan: &Top) -> RowStream<'s> {
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
    shape: TopShape,
    partitions: HashMap<Row, Ranking>,
    /// Keys of the partitions with changes that are not output yet.
    touched: Vec<Row>,
    /// Heap memory of the keys and the rankings.
    bytes: usize,
}

struct TopShape {
    rows: Layout,
    places: SortKeys,
    counted: Counted,
    skip: u64,
    /// The last number that is shown.
    last: u64,
    numbered: bool,
    out: RowBuilder,
    built: Vec<u8>,
}

/// The rows of one partition, and what was last output for it.
#[derive(Default)]
struct Ranking {
    /// The multiplicity of each row. The map's key is the row's sort key followed by its bytes, which begin at the given offset.
    rows: BTreeMap<Row, (Diff, usize)>,
    /// The rows that are in the output, each with its number (0 if numbers are not shown) and its multiplicity.
    told: BTreeMap<(Row, u64), Diff>,
    touched: bool,
    /// Heap memory of `rows`' keys.
    row_bytes: usize,
    /// Heap memory of the rows in `told`.
    told_bytes: usize,
}

impl HeapSize for Ranking {
    fn held_bytes(&self) -> usize {
        tree::<(Row, (Diff, usize))>(self.rows.len()) + tree::<((Row, u64), Diff)>(self.told.len()) + self.row_bytes + self.told_bytes
    }
}

impl HeapSize for Rankings {
    fn held_bytes(&self) -> usize {
        table::<(Row, Ranking)>(self.partitions.capacity()) + self.bytes
    }
}

impl Rankings {
    fn new(plan: &Top) -> Rankings {
        let shape = TopShape {
            rows: Layout::new(plan.of.schema()),
            places: SortKeys::new(plan.of.schema(), &plan.order),
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

    /// Outputs the changes of the rows that are shown.
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
    fn add(&mut self, shape: &mut TopShape, row: &[u8], diff: Diff) {
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

    fn tell(&mut self, shape: &mut TopShape, mut give: impl FnMut(&[u8], Diff)) {
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

    fn shown(&self, shape: &TopShape) -> BTreeMap<(Row, u64), Diff> {
        let mut now = BTreeMap::new();
        // How many rows, and how many distinct sort keys, precede the current row.
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

impl TopShape {
    /// The row, with its number if numbers are shown.
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
