//! What all partitions of a window have in common, and how the values of a stretch of rows are computed.

use datafusion::arrow::array::ArrayRef;

use super::running::{Adder, RunningSum};
use crate::dataflow::held::order::SortKeys;
use crate::plan::{Reach, Window as Plan, WindowFunction};
use crate::value::{Layout, Row, RowBuilder, arrow};

pub(super) struct WindowShape {
    pub(super) rows: Layout,
    places: SortKeys,
    calls: Vec<WindowCall>,
    pub(super) reach: Together,
    /// Builds the calls' values.
    values: RowBuilder,
    /// Builds a row with its values.
    out: RowBuilder,
    built: Vec<u8>,
}

/// The combined reach of all calls.
pub(super) struct Together {
    /// Some call reads the whole partition.
    pub(super) partition: bool,
    /// How many rows before a row its values may depend on.
    pub(super) before: usize,
    /// How many rows after a row its values may depend on.
    pub(super) behind: usize,
    /// Some call gives the same value to rows that are equal in the order (peers).
    pub(super) peers: bool,
    /// Some call is `rank()`.
    pub(super) ranks: bool,
}

struct WindowCall {
    function: WindowFunction,
    /// For calls with a running sum: how it is updated, and whether peers are added together.
    running: Option<(Adder, bool)>,
}

/// A copy of a row: its sort key and its bytes.
#[derive(Clone, Copy)]
pub(super) struct OrderedRow<'a> {
    pub(super) place: &'a [u8],
    pub(super) row: &'a [u8],
}

/// The running sum of each call. Default for calls without one.
pub(super) type RunningSums = Vec<RunningSum>;

impl WindowShape {
    pub(super) fn new(plan: &Plan) -> WindowShape {
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
            calls.push(WindowCall { function: function.clone(), running });
        }
        WindowShape {
            rows: Layout::new(plan.of.schema()),
            places: SortKeys::new(plan.of.schema(), &plan.order),
            calls,
            reach,
            values: RowBuilder::new(&values),
            out: RowBuilder::new(&Layout::new(&plan.schema)),
            built: Vec::new(),
        }
    }

    /// The row's sort key followed by its bytes, and where the bytes begin.
    pub(super) fn placed(&mut self, row: &[u8]) -> (&[u8], usize) {
        self.built.clear();
        self.places.of_into(row, &mut self.built);
        let at = self.built.len();
        self.built.extend_from_slice(row);
        (&self.built, at)
    }

    /// The running sums before the first row.
    pub(super) fn nothing(&self) -> RunningSums {
        vec![RunningSum::default(); self.calls.len()]
    }

    /// Recovers running sums from output values: `last` are those of the last row before; for ranks, `next` are those of the first row of
    /// the next place.
    pub(super) fn read(&self, last: Option<&Row>, next: Option<&Row>) -> RunningSums {
        let layout = self.values.layout();
        let read = |(column, call): (usize, &WindowCall)| match &call.running {
            Some((adder, _)) => {
                let values = if adder.ranks() { next } else { last };
                values.map(|values| adder.read(layout.get(values, column))).unwrap_or_default()
            }
            None => RunningSum::default(),
        };
        self.calls.iter().enumerate().map(read).collect()
    }

    /// Whether two sets of values of a row imply the same running sums after it.
    pub(super) fn same_sums(&self, one: &Row, other: &Row) -> bool {
        let layout = self.values.layout();
        let running = self.calls.iter().enumerate().filter(|(_, call)| call.running.is_some());
        running.map(|(column, _)| column).all(|column| layout.get(one, column) == layout.get(other, column))
    }

    /// The values of the rows in `wanted`. `sums` are the running sums before these rows, and are advanced. The other rows are only
    /// context.
    pub(super) fn evaluate(
        &mut self,
        rows: &[OrderedRow],
        wanted: std::ops::Range<usize>,
        sums: &mut RunningSums,
    ) -> Result<Vec<Row>, String> {
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

    fn arrays(&self, rows: &[OrderedRow]) -> Result<Vec<Option<ArrayRef>>, String> {
        let array = |call: &WindowCall| match call.running {
            Some(_) => Ok(None),
            None => {
                let batch = arrow::to_batch_of(&self.rows, call.function.columns(), rows.iter().map(|copy| copy.row));
                call.function.evaluate(&batch).map(Some).map_err(|error| error.reason)
            }
        };
        self.calls.iter().map(array).collect()
    }

    fn begin_place(&self, rows: &[OrderedRow], sums: &mut RunningSums) {
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
