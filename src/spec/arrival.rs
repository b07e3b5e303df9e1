//! `arrival`: tables whose rows get the order of their arrival.

use super::{Problem, Spec};
use crate::plan::PlanTable;
use crate::value::{Column, ROW_OFFSET, Schema, Type};

impl Spec {
    /// The tables with the column that they are to get, and what is wrong with that.
    pub(super) fn with_arrival(&self, tables: &[PlanTable]) -> (Vec<PlanTable>, Vec<Problem>) {
        let mut problems = Vec::new();
        let mut all = tables.to_vec();
        for (source, (name, span)) in self.sources.iter().flat_map(|source| source.arrival.iter().map(move |table| (source, table))) {
            // A table that no view reads is not there.
            let Some(table) = all.iter_mut().find(|table| table.source == source.name && table.name == *name && !table.arrival) else {
                continue;
            };
            let problem = |message: String, help: &str| Problem::new(*span, message).help(help);
            if table.stream {
                problems.push(problem(format!("the rows of the stream `{name}` have their order anyhow"), "leave it out of `arrival`"));
            } else if table.key.is_empty() {
                let help = "give the table a primary key: without one nobody knows which of several equal rows goes";
                problems.push(problem(format!("the table `{name}` has no key, by which its rows could be told apart"), help));
            } else if table.schema.index_of(ROW_OFFSET).is_some() {
                let help = "give it another name in the table, or leave the table out of `arrival`";
                problems.push(problem(
                    format!("the table `{name}` has a column `{ROW_OFFSET}`, which is the name of the one that it gets"),
                    help,
                ));
            } else {
                let column = Column::new(ROW_OFFSET, Type::Int64, false);
                table.schema = Schema::new(table.schema.columns().iter().cloned().chain([column]).collect());
                table.arrival = true;
            }
        }
        (all, problems)
    }
}
