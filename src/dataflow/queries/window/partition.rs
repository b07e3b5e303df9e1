//! The rows of one partition, sorted.
//!
//! Values are updated by a walk. It begins at the first row whose values a change can affect and recomputes rows stretch by stretch, until
//! a stretch shows that all rows after it are unaffected. Then it continues at the next change that is further on. If a function reads the
//! whole partition, all rows are recomputed together.

use std::collections::BTreeMap;
use std::ops::Bound;

use super::shape::{OrderedRow, RunningSums, WindowShape};
use crate::dataflow::held::memory::{HeapSize, block, tree};
use crate::dataflow::streams::EmitRow;
use crate::value::{Diff, Row};

#[derive(Default)]
pub(super) struct Partition {
    /// By a row's sort key followed by its bytes, so equal rows share an entry.
    rows: BTreeMap<Row, HeldRow>,
    problem: Option<String>,
    touched: bool,
    /// Whether the output is right except for rows in `changed` and rows that depend on them. False after an error.
    told: bool,
    changed: Vec<Row>,
    /// Heap memory of the map's keys and of the values that were output.
    bytes: usize,
}

impl HeapSize for Partition {
    fn held_bytes(&self) -> usize {
        tree::<(Row, HeldRow)>(self.rows.len()) + self.bytes
    }
}

/// A row of the partition. Its count may be 0 until its deletion is output.
struct HeldRow {
    /// Where the row's bytes begin in the map's key, after the sort key.
    at: usize,
    count: Diff,
    /// The values that were last output for each copy.
    told: Vec<Row>,
}

/// How many rows the first stretch of a walk has.
const FIRST_STRETCH: usize = 8;

impl HeldRow {
    fn copies(&self) -> usize {
        self.count.max(0) as usize
    }
}

fn copies<'a>(place: &'a Row, held: &'a HeldRow) -> impl Iterator<Item = OrderedRow<'a>> {
    let (place, row) = place.split_at(held.at);
    std::iter::repeat_n(OrderedRow { place, row }, held.copies())
}

impl Partition {
    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Changes a row's count. Returns whether this is the first change since the last output.
    pub(super) fn add(&mut self, shape: &mut WindowShape, row: &[u8], diff: Diff) -> bool {
        let walks = self.told && !shape.reach.partition;
        let (place, at) = shape.placed(row);
        match self.rows.get_mut(place) {
            Some(held) => held.count += diff,
            None => {
                self.bytes += block(place.len());
                self.rows.insert(Row::from_bytes(place), HeldRow { at, count: diff, told: Vec::new() });
            }
        }
        if walks {
            self.changed.push(Row::from_bytes(place));
        }
        !std::mem::replace(&mut self.touched, true)
    }

    /// Outputs the changes of the partition's rows.
    pub(super) fn tell(&mut self, shape: &mut WindowShape, give: EmitRow, complain: &mut dyn FnMut(String, Diff)) {
        self.touched = false;
        let mut changed = std::mem::take(&mut self.changed);
        changed.sort_unstable();
        changed.dedup();
        let walks = self.told && !shape.reach.partition && changed.len() < self.rows.len() / 4;
        let told = match walks {
            true => self.walk(shape, &changed, give),
            false => self.all(shape, give),
        };
        match walks {
            true => changed.iter().for_each(|place| self.forget(place)),
            false => {
                let bytes = &mut self.bytes;
                self.rows.retain(|place, held| {
                    *bytes -= if held.count == 0 { block(place.len()) } else { 0 };
                    held.count != 0
                });
            }
        }
        self.told = told.is_ok();
        let problem = told.err();
        if problem != self.problem {
            self.problem.take().into_iter().for_each(|reason| complain(reason, -1));
            problem.iter().for_each(|reason| complain(reason.clone(), 1));
            self.problem = problem;
        }
    }

    fn forget(&mut self, place: &Row) {
        if self.rows.get(place).is_some_and(|held| held.count == 0) {
            self.rows.remove(place);
            self.bytes -= block(place.len());
        }
    }

    /// Recomputes all rows. If that fails, all rows are retracted.
    fn all(&mut self, shape: &mut WindowShape, give: EmitRow) -> Result<(), String> {
        let rows: Vec<OrderedRow> = self.rows.iter().flat_map(|(place, held)| copies(place, held)).collect();
        let values = shape.evaluate(&rows, 0..rows.len(), &mut shape.nothing());
        if values.is_err() {
            self.take_back(shape, give);
        }
        let mut values = values?.into_iter();
        let bytes = &mut self.bytes;
        self.rows.iter_mut().for_each(|(place, held)| {
            let now = values.by_ref().take(held.copies()).collect();
            told(shape, place, held, now, bytes, give);
        });
        Ok(())
    }

    fn take_back(&mut self, shape: &mut WindowShape, give: EmitRow) {
        let bytes = &mut self.bytes;
        self.rows.iter_mut().for_each(|(place, held)| told(shape, place, held, Vec::new(), bytes, give));
    }

    /// Recomputes the rows that depend on a change.
    fn walk(&mut self, shape: &mut WindowShape, changed: &[Row], give: EmitRow) -> Result<(), String> {
        let mut left = changed.iter().peekable();
        let mut done: Option<Row> = None;
        let mut sums = shape.nothing();
        while let Some(next) = left.peek() {
            let (start, ranked) = self.start(shape, next);
            let mut from = match done.take() {
                Some(done) if start <= done => Bound::Excluded(done),
                _ => {
                    sums = self.sums_before(shape, &start, ranked);
                    Bound::Included(start)
                }
            };
            let (mut length, mut since) = (FIRST_STRETCH, 0);
            let mut change = None;
            while let Some(stretch) = self.stretch(shape, from, length, &mut sums) {
                let stretch = stretch.inspect_err(|_| self.take_back(shape, give))?;
                while let Some(passed) = left.next_if(|next| **next <= stretch.last) {
                    (change, since) = (Some(passed), 0);
                }
                let same = self.give(shape, &stretch, change, &mut since, give);
                (from, length) = (Bound::Excluded(stretch.last.clone()), length * 2);
                if same && since >= shape.reach.before {
                    done = Some(stretch.last);
                    break;
                }
            }
        }
        Ok(())
    }

    /// Where a walk for this change begins: the first row whose values the change can affect, or an earlier row from which running sums can
    /// be read. The second value is true if the walk begins at an earlier place, whose rank in the output is still right.
    fn start(&self, shape: &WindowShape, changed: &Row) -> (Row, bool) {
        let mut start = changed;
        let mut seen = 0;
        for (place, held) in self.rows.range::<Row, _>(..changed).rev() {
            if seen >= shape.reach.behind {
                break;
            }
            seen += held.copies();
            start = place;
        }
        if shape.reach.peers {
            start = self.first_of_place(start);
        }
        let before = shape.reach.ranks.then(|| self.row_before(start)).flatten();
        let ranked = before.map(|(place, _)| self.first_of_place(place));
        (ranked.unwrap_or(start).clone(), ranked.is_some())
    }

    fn first_of_place<'a>(&'a self, row: &'a Row) -> &'a Row {
        let at = self.rows.get(row).map_or(0, |held| held.at);
        let same = self.rows.range::<Row, _>(..=row).rev().take_while(|(other, _)| other.starts_with(&row[..at]));
        same.last().map_or(row, |(first, _)| first)
    }

    /// The last row before this one with a positive count.
    fn row_before(&self, row: &Row) -> Option<(&Row, &HeldRow)> {
        self.rows.range::<Row, _>(..row).rev().find(|(_, held)| held.count > 0)
    }

    fn sums_before(&self, shape: &WindowShape, start: &Row, ranked: bool) -> RunningSums {
        let last = self.row_before(start).and_then(|(_, held)| held.told.last());
        let next = ranked.then(|| self.rows.range::<Row, _>(start..).find(|(_, held)| held.count > 0)).flatten();
        shape.read(last, next.and_then(|(_, held)| held.told.first()))
    }

    /// Computes the next `length` rows and, if peers are computed together, the peers of the last one. `None` if there are no more rows.
    fn stretch(&self, shape: &mut WindowShape, from: Bound<Row>, length: usize, sums: &mut RunningSums) -> Option<Result<Stretch, String>> {
        let mut inside: Vec<OrderedRow> = Vec::new();
        let mut last: Option<(&Row, &HeldRow)> = None;
        for (row, held) in self.rows.range::<Row, _>((from.as_ref(), Bound::Unbounded)) {
            let goes_on = |(last, of): (&Row, &HeldRow)| shape.reach.peers && row.starts_with(&last[..of.at]);
            if inside.len() >= length && !last.is_some_and(goes_on) {
                break;
            }
            inside.extend(copies(row, held));
            last = Some((row, held));
        }
        let (last, _) = last?;
        let first = match &from {
            Bound::Included(first) => self.rows.range::<Row, _>(..first),
            Bound::Excluded(before) => self.rows.range::<Row, _>(..=before),
            Bound::Unbounded => self.rows.range::<Row, _>(..last),
        };
        let mut rows: Vec<OrderedRow> = first.rev().flat_map(|(row, held)| copies(row, held)).take(shape.reach.before).collect();
        rows.reverse();
        let wanted = rows.len()..rows.len() + inside.len();
        rows.append(&mut inside);
        let behind = self.rows.range::<Row, _>((Bound::Excluded(last), Bound::Unbounded));
        rows.extend(behind.flat_map(|(row, held)| copies(row, held)).take(shape.reach.behind));
        let values = shape.evaluate(&rows, wanted, sums);
        let last = last.clone();
        Some(values.map(|values| Stretch { from, last, values }))
    }

    /// Outputs the changes of a stretch. Returns whether the running sums after it are as before. Adds to `since` the number of rows after
    /// the change.
    fn give(&mut self, shape: &mut WindowShape, stretch: &Stretch, change: Option<&Row>, since: &mut usize, give: EmitRow) -> bool {
        let changed_at = change.and_then(|change| self.rows.get(change)).map_or(0, |held| held.at);
        let mut values = stretch.values.iter().cloned();
        let mut same = false;
        for (row, held) in self.rows.range_mut::<Row, _>((stretch.from.as_ref(), Bound::Included(&stretch.last))) {
            let now: Vec<Row> = values.by_ref().take(held.copies()).collect();
            let apart = change.is_none_or(|change| match shape.reach.peers {
                true => change[..changed_at] != row[..held.at],
                false => change < row,
            });
            let sums = now.last().zip(held.told.last());
            same = apart && sums.is_some_and(|(now, told)| shape.same_sums(now, told));
            *since += if change.is_none_or(|change| change < row) { now.len() } else { 0 };
            told(shape, row, held, now, &mut self.bytes, give);
        }
        same
    }
}

/// Consecutive rows, with their values.
struct Stretch {
    from: Bound<Row>,
    last: Row,
    values: Vec<Row>,
}

/// Outputs the changes of a row's copies. `bytes`: heap memory of the values that were output.
fn told(shape: &mut WindowShape, place: &[u8], held: &mut HeldRow, now: Vec<Row>, bytes: &mut usize, give: &mut dyn FnMut(&[u8], Diff)) {
    let row = &place[held.at..];
    for copy in 0..now.len().max(held.told.len()) {
        let (before, after) = (held.told.get(copy), now.get(copy));
        if before != after {
            before.into_iter().for_each(|values| give(shape.whole(row, values), -1));
            after.into_iter().for_each(|values| give(shape.whole(row, values), 1));
        }
    }
    *bytes = *bytes + now.held_bytes() - held.told.held_bytes();
    held.told = now;
}
