//! What a preview says about rows that may be missing.

use crate::cli::show::left_out;
use crate::sources::{LeftRows, Rejected};

/// How many rejected records are named.
const NAMED: usize = 3;

#[derive(Debug, Default)]
pub(super) struct Warnings {
    lines: Vec<(String, Option<String>)>,
    rejected: Vec<String>,
}

impl Warnings {
    pub(super) fn add(&mut self, line: String, help: Option<String>) {
        if !self.lines.iter().any(|(said, _)| *said == line) {
            self.lines.push((line, help));
        }
    }

    pub(super) fn rejected(&mut self, source: &str, records: Vec<Rejected>) {
        let line = |Rejected { table, place, reason }: Rejected| match table {
            Some(table) => format!("{source}.{table}: {place}: {reason}"),
            None => format!("{source}: {place}: {reason}"),
        };
        for line in records.into_iter().map(line) {
            if !self.rejected.contains(&line) {
                self.rejected.push(line);
            }
        }
    }

    /// A query that reads only some rows of a table.
    pub(super) fn of_query(&mut self, table: &str, rows: usize, left: LeftRows) {
        let in_time = if let LeftRows::Late { .. } = left { ", those that were read in time" } else { "" };
        self.add(format!("a query of it is computed of the first {rows} rows of {table}{in_time}, so the result is not exact"), None);
    }

    /// Rows of a lookup that may be missing in documents. `place`: the lookup, as in `items (shop.items)`.
    pub(super) fn of_lookup(&mut self, place: &str, rows: usize, left: LeftRows) {
        match left {
            LeftRows::More => self.add(format!("{place}: more than {rows} rows match, so documents are incomplete"), None),
            LeftRows::Late { help } => {
                self.add(format!("{place}: not all rows were found in time, so documents may be incomplete"), help);
            }
            LeftRows::Incomparable { column } => self.add(
                format!(
                    "{place}: the server cannot be asked for values of the column `{column}`, so only the first rows of the table were \
                     searched, and documents may be incomplete"
                ),
                None,
            ),
        }
    }

    /// Prints all of it to stderr.
    pub(super) fn say(&self, view: &str) {
        for (line, help) in &self.lines {
            eprintln!("warning: `{view}`: {line}");
            help.iter().for_each(|help| eprintln!("   = help: {help}"));
        }
        if !self.rejected.is_empty() {
            let first: Vec<&str> = self.rejected.iter().take(NAMED).map(String::as_str).collect();
            eprintln!("warning: `{view}`: {}: {}", left_out(self.rejected.len() as u64), first.join("; "));
        }
    }
}
