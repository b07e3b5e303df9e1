//! The order in which the rows of a table arrive, where the spec asks for it.
//!
//! In: a table's rows as its source has them. Out: the same with a number behind the columns that rises with every row that arrives; an
//! update arrives anew. A row that goes must be told with the number that it came with, so the number of each row is kept here by a hash of
//! its key: some 50 bytes a row. The numbers are stored with the rows; a run goes on behind the highest that it finds.

use std::collections::HashMap;

use xxhash_rust::xxh3::xxh3_128;

use crate::plan::{Plan, PlanTable};
use crate::value::{Datum, Delta, Layout, Row, RowBuilder, Rows, key};

/// By table; `None` where nobody asks for it.
pub(super) struct Arrivals(Vec<Option<Arrival>>);

struct Arrival {
    /// Of the source's rows.
    layout: Layout,
    key: Vec<usize>,
    wide: RowBuilder,
    /// The number of each row that is there, by a hash of its key.
    numbers: HashMap<u128, i64>,
    last: i64,
}

impl Arrivals {
    pub(super) fn new(plan: &Plan) -> Arrivals {
        Arrivals(plan.tables.iter().map(|table| table.arrival.then(|| Arrival::new(table))).collect())
    }

    /// Learns the number of a row that the store holds.
    pub(super) fn held(&mut self, table: usize, row: &[u8]) {
        if let Some(arrival) = &mut self.0[table] {
            arrival.held(row);
        }
    }

    /// Rows of a snapshot, which arrive in this order.
    pub(super) fn rows(&mut self, table: usize, rows: Rows) -> Rows {
        match &mut self.0[table] {
            Some(arrival) => rows.iter().map(|row| arrival.comes(row)).collect(),
            None => rows,
        }
    }

    /// A part of a transaction, whose changes come one after the other.
    pub(super) fn changes(&mut self, deltas: &mut [Delta]) {
        for delta in deltas {
            if let Some(arrival) = &mut self.0[delta.table] {
                delta.row = if delta.diff > 0 { arrival.comes(&delta.row) } else { arrival.goes(&delta.row) };
            }
        }
    }
}

impl Arrival {
    fn new(table: &PlanTable) -> Arrival {
        let columns: Vec<usize> = (0..table.schema.len() - 1).collect();
        let wide = RowBuilder::new(&Layout::new(&table.schema));
        Arrival { layout: Layout::new(&table.schema.project(&columns)), key: table.key.clone(), wide, numbers: HashMap::new(), last: 0 }
    }

    fn held(&mut self, row: &[u8]) {
        let wide = self.wide.layout();
        let Datum::Int(number) = wide.get(row, wide.schema().len() - 1) else { unreachable!("the last column is the number") };
        self.numbers.insert(xxh3_128(&key::of(wide, row, &self.key)), number);
        self.last = self.last.max(number);
    }

    fn comes(&mut self, row: &[u8]) -> Row {
        self.last += 1;
        self.numbers.insert(self.hash(row), self.last);
        self.numbered(row, self.last)
    }

    /// A row that never came has no number; the views say what is wrong then.
    fn goes(&mut self, row: &[u8]) -> Row {
        let number = self.numbers.remove(&self.hash(row)).unwrap_or_default();
        self.numbered(row, number)
    }

    fn hash(&self, row: &[u8]) -> u128 {
        xxh3_128(&key::of(&self.layout, row, &self.key))
    }

    fn numbered(&mut self, row: &[u8], number: i64) -> Row {
        (0..self.layout.schema().len()).for_each(|column| self.wide.push(self.layout.get(row, column)));
        self.wide.push(Datum::Int(number));
        self.wide.finish()
    }
}
