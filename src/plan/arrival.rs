//! The column of their arrival, which some tables have beside those of their source.

use super::PlanTable;
use crate::value::{Datum, Layout, RowBuilder, Rows};

impl PlanTable {
    /// Rows of the source with the column of their arrival, if the table has one: each row's number among these.
    pub fn with_arrival(&self, rows: &Rows) -> Rows {
        if !self.arrival {
            return rows.clone();
        }
        let columns: Vec<usize> = (0..self.schema.len() - 1).collect();
        let layout = Layout::new(&self.schema.project(&columns));
        let mut builder = RowBuilder::new(&Layout::new(&self.schema));
        let mut wide = Rows::default();
        for (number, row) in rows.iter().enumerate() {
            columns.iter().for_each(|&column| builder.push(layout.get(row, column)));
            builder.push(Datum::Int(number as i64));
            wide.push_built(&mut builder);
        }
        wide
    }
}
