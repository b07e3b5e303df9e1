//! What all partitions of a window have in common, and how the values of a stretch of their rows are computed.

use datafusion::arrow::array::ArrayRef;

use super::running::{Adder, Sum};
use crate::dataflow::held::order::Places;
use crate::plan::{Reach, Window as Plan, WindowFunction};
use crate::value::{Layout, Row, RowBuilder, arrow};

pub(super) struct Shape {
    pub(super) rows: Layout,
    places: Places,
    calls: Vec<Call>,
    pub(super) reach: Together,
    /// The calls' values.
    values: RowBuilder,
    /// A row and its values.
    out: RowBuilder,
    built: Vec<u8>,
}

/// How far the calls see together.
pub(super) struct Together {
    /// One of them sees the whole partition.
    pub(super) partition: bool,
    pub(super) before: usize,
    pub(super) behind: usize,
    /// One of them gives rows that the order leaves equal one value.
    pub(super) peers: bool,
    pub(super) ranks: bool,
}

struct Call {
    function: WindowFunction,
    /// For what rows add up to, and whether rows that the order leaves equal are added together.
    running: Option<(Adder, bool)>,
}

/// A copy of a row: its place in the order, and its bytes.
#[derive(Clone, Copy)]
pub(super) struct Copy<'a> {
    pub(super) place: &'a [u8],
    pub(super) row: &'a [u8],
}

/// What the rows so far add up to, for each call.
pub(super) type Sums = Vec<Sum>;

impl Shape {
    pub(super) fn new(plan: &Plan) -> Shape {
        let results = plan.of.schema().len()..plan.schema.len();
        let values = Layout::new(&plan.schema.project(&results.collect::<Vec<_>>()));
        let mut reach = Together { partition: false, before: 0, behind: 0, peers: false, ranks: false };
        let mut calls = Vec::new();
        for function in &plan.calls {
            let mut running = None;
            match function.reach() {
                Reach::Partition => reach.partition = true,
                Reach::Near { before, behind } => {
                    reach.before = reach.before.max(before);
                    reach.behind = reach.behind.max(behind);
                }
                Reach::Running { running: kind, peers } => {
                    let adder = Adder::new(kind, function);
                    reach.peers |= peers;
                    reach.ranks |= adder.ranks();
                    running = Some((adder, peers));
                }
            }
            calls.push(Call { function: function.clone(), running });
        }
        Shape {
            rows: Layout::new(plan.of.schema()),
            places: Places::new(plan.of.schema(), &plan.order),
            calls,
            reach,
            values: RowBuilder::new(&values),
            out: RowBuilder::new(&Layout::new(&plan.schema)),
            built: Vec::new(),
        }
    }

    /// The row's place and then its bytes, and where these begin.
    pub(super) fn placed(&mut self, row: &[u8]) -> (&[u8], usize) {
        self.built.clear();
        self.places.of_into(row, &mut self.built);
        let at = self.built.len();
        self.built.extend_from_slice(row);
        (&self.built, at)
    }

    /// Before the first row.
    pub(super) fn nothing(&self) -> Sums {
        vec![Sum::default(); self.calls.len()]
    }

    /// What rows add up to, of which these are the last one's values; for ranks the first one's of the next place.
    pub(super) fn read(&self, last: Option<&Row>, next: Option<&Row>) -> Sums {
        let layout = self.values.layout();
        let read = |(column, call): (usize, &Call)| match &call.running {
            Some((adder, _)) => {
                let values = if adder.ranks() { next } else { last };
                values.map(|values| adder.read(layout.get(values, column))).unwrap_or_default()
            }
            None => Sum::default(),
        };
        self.calls.iter().enumerate().map(read).collect()
    }

    /// Whether what rows add up to is the same behind a row with the one or the other values.
    pub(super) fn same_sums(&self, one: &Row, other: &Row) -> bool {
        let layout = self.values.layout();
        let running = self.calls.iter().enumerate().filter(|(_, call)| call.running.is_some());
        running.map(|(column, _)| column).all(|column| layout.get(one, column) == layout.get(other, column))
    }

    /// The values of the rows of `wanted`, before which the rows add up to `sums`. The rows around them are there to be looked at.
    pub(super) fn evaluate(&mut self, rows: &[Copy], wanted: std::ops::Range<usize>, sums: &mut Sums) -> Result<Vec<Row>, String> {
        let mut values = Vec::with_capacity(wanted.len());
        if wanted.is_empty() {
            return Ok(values);
        }
        let arrays = self.arrays(rows)?;
        let mut next = wanted.start;
        for i in wanted.clone() {
            if i == next {
                next = (i + 1..wanted.end).find(|&j| rows[j].place != rows[i].place).unwrap_or(wanted.end);
                self.begin_place(&rows[i..next], sums);
            }
            self.values.clear();
            for ((call, array), sum) in self.calls.iter().zip(&arrays).zip(sums.iter_mut()) {
                match (&call.running, array) {
                    (Some((adder, peers)), _) => {
                        if !peers {
                            adder.add(sum, &self.rows, rows[i].row);
                        }
                        adder.push(sum, &mut self.values)?;
                    }
                    (None, Some(array)) => arrow::push_array_value(&mut self.values, array, i).map_err(|error| error.to_string())?,
                    (None, None) => unreachable!("what is not added up is an array"),
                }
            }
            values.push(self.values.finish());
        }
        Ok(values)
    }

    fn arrays(&self, rows: &[Copy]) -> Result<Vec<Option<ArrayRef>>, String> {
        let array = |call: &Call| match call.running {
            Some(_) => Ok(None),
            None => {
                let batch = arrow::to_batch_of(&self.rows, call.function.columns(), rows.iter().map(|copy| copy.row));
                call.function.evaluate(&batch).map(Some).map_err(|error| error.reason)
            }
        };
        self.calls.iter().map(array).collect()
    }

    fn begin_place(&self, rows: &[Copy], sums: &mut Sums) {
        for (call, sum) in self.calls.iter().zip(sums) {
            if let Some((adder, true)) = &call.running {
                adder.place(sum);
                rows.iter().for_each(|copy| adder.add(sum, &self.rows, copy.row));
            }
        }
    }

    /// The row with its values.
    pub(super) fn whole(&mut self, row: &[u8], values: &[u8]) -> &[u8] {
        self.built.clear();
        let layout = self.values.layout();
        (0..self.rows.schema().len()).for_each(|column| self.out.push(self.rows.get(row, column)));
        (0..layout.schema().len()).for_each(|column| self.out.push(layout.get(values, column)));
        self.out.finish_into(&mut self.built);
        &self.built
    }
}
