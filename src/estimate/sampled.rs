//! What the sampled rows of a table say about all of its rows.

use std::cell::RefCell;
use std::collections::HashSet;
use std::rc::Rc;

use super::KnownTable;
use super::widths::{fixed_width, head_bytes, width_of_type};
use crate::dataflow::select_rows;
use crate::plan::{Plan, PlanTable, TableRows};
use crate::value::{Layout, Row, Rows, Schema, key};

/// The rows of a plan's tables, as its parts read them.
pub(super) struct Samples<'a> {
    plan: &'a Plan,
    tables: Vec<SampledTable>,
    selected: RefCell<Vec<(TableRows, Rc<SelectedRows>)>>,
}

/// A table with some of its rows.
pub(super) struct SampledTable {
    pub(super) rows: f64,
    pub(super) widths: Vec<f64>,
    places: Vec<Rows>,
    whole: bool,
    /// How much longer values of variable length are than those of the sample.
    stretch: f64,
}

/// Filtered and computed rows of a table.
pub(super) struct SelectedRows {
    pub(super) rows: f64,
    pub(super) widths: Vec<f64>,
    layout: Layout,
    /// The selected rows of each place.
    places: Vec<Rows>,
    whole: bool,
}

impl<'a> Samples<'a> {
    pub(super) fn new(plan: &'a Plan, tables: &[KnownTable]) -> Samples<'a> {
        let tables = plan.tables.iter().zip(tables).map(|(planned, known)| SampledTable::new(planned, known)).collect();
        Samples { plan, tables, selected: RefCell::default() }
    }

    pub(super) fn table(&self, table: usize) -> &SampledTable {
        &self.tables[table]
    }

    pub(super) fn selected(&self, rows: &TableRows) -> Rc<SelectedRows> {
        if let Some((_, known)) = self.selected.borrow().iter().find(|(other, _)| other == rows) {
            return known.clone();
        }
        let selected = Rc::new(self.tables[rows.table].select(rows, &self.plan.tables[rows.table].schema));
        self.selected.borrow_mut().push((rows.clone(), selected.clone()));
        selected
    }
}

impl SampledTable {
    fn new(planned: &PlanTable, known: &KnownTable) -> SampledTable {
        let places: Vec<Rows> = known.extent.places.iter().map(|rows| planned.with_arrival(rows)).collect();
        let (read, bytes) = (total(&places), places.iter().map(Rows::bytes_len).sum::<usize>() as f64);
        let head = head_bytes(&planned.schema);
        let stretch = match known.extent.row_bytes {
            Some(mean) if read > 0.0 && bytes / read > head => ((mean - head) / (bytes / read - head)).max(0.0),
            _ => 1.0,
        };
        let widths = widths(&planned.schema, &places, stretch);
        let rows = known.extent.rows.map_or(0.0, |count| count.rows as f64);
        SampledTable { rows, widths, places, whole: known.extent.whole, stretch }
    }

    fn select(&self, rows: &TableRows, table: &Schema) -> SelectedRows {
        let places: Vec<Rows> = self.places.iter().map(|place| select_rows(rows, table, place)).collect();
        let (read, kept) = (total(&self.places), total(&places));
        let share = match kept {
            _ if read == 0.0 => 1.0,
            // Others may be kept.
            0.0 if !self.whole => 0.5 / read,
            kept => kept / read,
        };
        let widths = widths(&rows.schema, &places, self.stretch);
        SelectedRows { rows: self.rows * share, widths, layout: Layout::new(&rows.schema), places, whole: self.whole }
    }
}

fn total(places: &[Rows]) -> f64 {
    places.iter().map(Rows::len).sum::<usize>() as f64
}

/// The mean bytes of the values of each column.
fn widths(schema: &Schema, places: &[Rows], stretch: f64) -> Vec<f64> {
    let (layout, read) = (Layout::new(schema), total(places));
    let mean = |(place, column): (usize, &crate::value::Column)| match fixed_width(&column.ty) {
        Some(width) => width,
        None if read == 0.0 => width_of_type(column),
        None => {
            let rows = places.iter().flat_map(Rows::iter);
            let bytes = rows.map(|row| if layout.is_null(row, place) { 0 } else { layout.raw(row, place).len() });
            bytes.sum::<usize>() as f64 / read * stretch
        }
    };
    schema.columns().iter().enumerate().map(mean).collect()
}

impl SelectedRows {
    /// How many different values these columns have together.
    ///
    /// The places are divided in two samples. If a value is in both, values come again all over the table, and their number follows from
    /// how many do (capture and recapture). If none is, equal values are next to each other or there are none, and their number grows with
    /// the rows.
    pub(super) fn distinct(&self, columns: &[usize]) -> f64 {
        let read = total(&self.places);
        if read == 0.0 {
            return self.rows;
        }
        let [one, other] = self.halves();
        let [one, other] =
            [one, other].map(|rows| rows.into_iter().map(|row| key::encode(&self.layout, row, columns)).collect::<HashSet<Row>>());
        let again = one.intersection(&other).count() as f64;
        let (one, other) = (one.len() as f64, other.len() as f64);
        let found = one + other - again;
        if self.whole {
            return found;
        }
        let by_rows = self.rows * found / read;
        let by_both = (one + 1.0) * (other + 1.0) / (again + 1.0) - 1.0;
        by_rows.min(by_both.max(found)).max(1.0)
    }

    fn halves(&self) -> [Vec<&[u8]>; 2] {
        if let [only] = &self.places[..] {
            let (rows, half) = (only.iter(), only.len() / 2);
            return rows.enumerate().fold([Vec::new(), Vec::new()], |mut halves: [Vec<&[u8]>; 2], (number, row)| {
                halves[usize::from(number >= half)].push(row);
                halves
            });
        }
        let mut halves = [Vec::new(), Vec::new()];
        self.places.iter().enumerate().for_each(|(number, rows)| halves[number % 2].extend(rows.iter()));
        halves
    }
}
