//! `arrival`: adds the column `ROWOFFSET` to tables whose order of arrival is recorded.

use super::{Problem, Spec};
use crate::plan::{PlanTable, did_you_mean};
use crate::value::{Column, ROW_OFFSET, Schema, Type};

impl Spec {
    /// The tables, with the column added to those listed under `arrival`, and the problems with that.
    pub(super) fn with_arrival(&self, tables: &[PlanTable]) -> (Vec<PlanTable>, Vec<Problem>) {
        let mut problems = Vec::new();
        let mut all = tables.to_vec();
        for (source, (name, span)) in self.sources.iter().flat_map(|source| source.arrival.iter().map(move |table| (source, table))) {
            let named = || self.views.iter().flat_map(|view| view.tables()).filter(|table| table.source == source.name);
            if !named().any(|table| table.table == *name) {
                let help = did_you_mean(name, named().map(|table| table.table.as_str()));
                let help = help.unwrap_or_else(|| "remove it from `arrival`".into());
                problems.push(Problem::new(*span, format!("no view reads the table `{name}`")).help(help));
                continue;
            }
            // Of a source that did not answer no table is known.
            let Some(table) = all.iter_mut().find(|table| table.source == source.name && table.name == *name && !table.arrival) else {
                continue;
            };
            let problem = |message: String, help: &str| Problem::new(*span, message).help(help);
            if table.stream {
                problems
                    .push(problem(format!("the rows of the stream `{name}` already have an order of arrival"), "remove it from `arrival`"));
            } else if table.key.is_empty() {
                let help = "give the table a primary key: without one, a delete does not tell which of several equal rows is deleted";
                problems.push(problem(format!("the table `{name}` has no key, which `arrival` requires"), help));
            } else if table.schema.index_of(ROW_OFFSET).is_some() {
                let help = "rename the column in the table, or remove the table from `arrival`";
                problems.push(problem(
                    format!("the table `{name}` has a column `{ROW_OFFSET}`, the name of the column that `arrival` adds"),
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
