//! The rows of one partition.

use std::collections::BTreeMap;

use datafusion::arrow::array::ArrayRef;

use crate::dataflow::order::Places;
use crate::plan::{Window as Plan, WindowFunction};
use crate::value::{Diff, Layout, Row, RowBuilder, arrow};

/// What all partitions of a window have in common.
pub(super) struct Shape {
    rows: Layout,
    places: Places,
    calls: Vec<WindowFunction>,
    /// The calls' values.
    values: RowBuilder,
    /// A row and its values.
    out: RowBuilder,
    built: Vec<u8>,
}

#[derive(Default)]
pub(super) struct Partition {
    /// By a row's place and then its bytes, so that equal rows are one.
    rows: BTreeMap<Row, Held>,
    problem: Option<String>,
    touched: bool,
}

/// A row that is there, or was.
struct Held {
    /// Where its bytes begin, behind its place.
    at: usize,
    count: Diff,
    /// The values that were told of each of its copies.
    told: Vec<Row>,
}

impl Shape {
    pub(super) fn new(plan: &Plan) -> Shape {
        let results = plan.of.schema().len()..plan.schema.len();
        let values = Layout::new(&plan.schema.project(&results.collect::<Vec<_>>()));
        Shape {
            rows: Layout::new(plan.of.schema()),
            places: Places::new(plan.of.schema(), &plan.order),
            calls: plan.calls.clone(),
            values: RowBuilder::new(&values),
            out: RowBuilder::new(&Layout::new(&plan.schema)),
            built: Vec::new(),
        }
    }

    /// The values of each row, of all rows of a partition in their order.
    fn evaluate(&mut self, rows: &[&[u8]]) -> Result<Vec<Row>, String> {
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        let array = |call: &WindowFunction| call.evaluate(&arrow::to_batch_of(&self.rows, call.columns(), rows.iter().copied()));
        let arrays: Vec<ArrayRef> = self.calls.iter().map(array).collect::<Result<_, _>>().map_err(|error| error.reason)?;
        let mut values = Vec::with_capacity(rows.len());
        for row in 0..rows.len() {
            self.values.clear();
            for array in &arrays {
                arrow::push_array_value(&mut self.values, array, row).map_err(|error| error.to_string())?;
            }
            values.push(self.values.finish());
        }
        Ok(values)
    }

    /// The row with its values.
    fn whole(&mut self, row: &[u8], values: &[u8]) -> &[u8] {
        self.built.clear();
        let layout = self.values.layout();
        (0..self.rows.schema().len()).for_each(|column| self.out.push(self.rows.get(row, column)));
        (0..layout.schema().len()).for_each(|column| self.out.push(layout.get(values, column)));
        self.out.finish_into(&mut self.built);
        &self.built
    }
}

impl Partition {
    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Whether this is its first change since it was last told.
    pub(super) fn add(&mut self, shape: &mut Shape, row: &[u8], diff: Diff) -> bool {
        let mut place = std::mem::take(&mut shape.built);
        place.clear();
        shape.places.of_into(row, &mut place);
        let at = place.len();
        place.extend_from_slice(row);
        match self.rows.get_mut(&place[..]) {
            Some(held) => held.count += diff,
            None => drop(self.rows.insert(Row::from_bytes(&place), Held { at, count: diff, told: Vec::new() })),
        }
        shape.built = place;
        !std::mem::replace(&mut self.touched, true)
    }

    /// What became of its rows.
    pub(super) fn tell(&mut self, shape: &mut Shape, give: &mut dyn FnMut(&[u8], Diff), complain: &mut dyn FnMut(String, Diff)) {
        self.touched = false;
        let mut rows: Vec<&[u8]> = Vec::new();
        for (place, held) in &self.rows {
            (0..held.count).for_each(|_| rows.push(&place[held.at..]));
        }
        let (mut values, problem) = match shape.evaluate(&rows) {
            Ok(values) => (values.into_iter(), None),
            Err(reason) => (Vec::new().into_iter(), Some(reason)),
        };
        if problem != self.problem {
            self.problem.take().into_iter().for_each(|reason| complain(reason, -1));
            problem.iter().for_each(|reason| complain(reason.clone(), 1));
            self.problem = problem;
        }
        for (place, held) in &mut self.rows {
            let now: Vec<Row> = values.by_ref().take(held.count.max(0) as usize).collect();
            let row = &place[held.at..];
            for copy in 0..now.len().max(held.told.len()) {
                let (before, after) = (held.told.get(copy), now.get(copy));
                if before != after {
                    before.into_iter().for_each(|values| give(shape.whole(row, values), -1));
                    after.into_iter().for_each(|values| give(shape.whole(row, values), 1));
                }
            }
            held.told = now;
        }
        self.rows.retain(|_, held| held.count != 0);
    }
}
