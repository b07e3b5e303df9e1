//! Numbers the rows of a table in their order of arrival, if the spec asks for it.
//!
//! In: a table's rows as its source has them. Out: the same rows with one more column, a number that grows with every inserted row; an update
//! gets a new number. A delete must carry the number of its insert, so the number of each row is kept here by a hash of its key: about 50
//! bytes per row. The numbers are stored with the rows; a run continues after the highest stored number.

use std::collections::HashMap;

use xxhash_rust::xxh3::xxh3_128;

use crate::plan::{Plan, PlanTable};
use crate::value::{Datum, Delta, Layout, Row, RowBuilder, Rows, key};

/// By table; `None` if the table is not numbered.
pub(super) struct Arrivals(Vec<Option<ArrivalNumbers>>);

struct ArrivalNumbers {
    /// The layout of the source's rows, without the number.
    layout: Layout,
    key: Vec<usize>,
    wide: RowBuilder,
    /// The number of each current row, by a hash of its key.
    numbers: HashMap<u128, i64>,
    /// The highest number so far.
    last: i64,
}

impl Arrivals {
    pub(super) fn new(plan: &Plan) -> Arrivals {
        Arrivals(plan.tables.iter().map(|table| table.arrival.then(|| ArrivalNumbers::new(table))).collect())
    }

    pub(super) fn held_bytes(&self) -> usize {
        // Seven of eight places are used at most, and each has a byte of its own.
        self.0.iter().flatten().map(|arrival| arrival.numbers.capacity() * 8 / 7 * (size_of::<(u128, i64)>() + 1)).sum()
    }

    /// Takes the number of a row of the store.
    pub(super) fn held(&mut self, table: usize, row: &[u8]) {
        if let Some(arrival) = &mut self.0[table] {
            arrival.held(row);
        }
    }

    /// Numbers rows of a snapshot, in this order.
    pub(super) fn rows(&mut self, table: usize, rows: Rows) -> Rows {
        match &mut self.0[table] {
            Some(arrival) => rows.iter().map(|row| arrival.comes(row)).collect(),
            None => rows,
        }
    }

    /// Numbers the changes of a part of a transaction, in this order.
    pub(super) fn changes(&mut self, deltas: &mut [Delta]) {
        for delta in deltas {
            if let Some(arrival) = &mut self.0[delta.table] {
                delta.row = if delta.diff > 0 { arrival.comes(&delta.row) } else { arrival.goes(&delta.row) };
            }
        }
    }
}

impl ArrivalNumbers {
    fn new(table: &PlanTable) -> ArrivalNumbers {
        let columns: Vec<usize> = (0..table.schema.len() - 1).collect();
        let wide = RowBuilder::new(&Layout::new(&table.schema));
        ArrivalNumbers {
            layout: Layout::new(&table.schema.project(&columns)),
            key: table.key.clone(),
            wide,
            numbers: HashMap::new(),
            last: 0,
        }
    }

    fn held(&mut self, row: &[u8]) {
        let wide = self.wide.layout();
        let Datum::Int(number) = wide.get(row, wide.schema().len() - 1) else { unreachable!("the last column is the number") };
        self.numbers.insert(xxh3_128(&key::encode(wide, row, &self.key)), number);
        self.last = self.last.max(number);
    }

    fn comes(&mut self, row: &[u8]) -> Row {
        self.last += 1;
        self.numbers.insert(self.hash(row), self.last);
        self.numbered(row, self.last)
    }

    /// The row of a delete, with the number of its insert; 0 if the row is unknown.
    fn goes(&mut self, row: &[u8]) -> Row {
        let number = self.numbers.remove(&self.hash(row)).unwrap_or_default();
        self.numbered(row, number)
    }

    fn hash(&self, row: &[u8]) -> u128 {
        xxh3_128(&key::encode(&self.layout, row, &self.key))
    }

    fn numbered(&mut self, row: &[u8], number: i64) -> Row {
        (0..self.layout.schema().len()).for_each(|column| self.wide.push(self.layout.get(row, column)));
        self.wide.push(Datum::Int(number));
        self.wide.finish()
    }
}
