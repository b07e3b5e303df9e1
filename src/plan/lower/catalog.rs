//! The tables that views may read, and the lookup of their names.
//!
//! A name that is not in the catalog is reported, with the nearest name, unless the tables of its source are unknown or the source refuses
//! the table.

use std::collections::{BTreeMap, BTreeSet};

use super::problems::ViewProblems;
use crate::plan::PlanTable;
use crate::plan::problem::{did_you_mean, listed};
use crate::plan::written::{Place, TableName};

/// The tables that views may read.
#[derive(Clone, Debug, Default)]
pub struct Catalog {
    pub tables: Vec<PlanTable>,
    /// All table names of each source that was asked, so that messages can suggest the nearest name.
    pub names: BTreeMap<String, Vec<String>>,
    /// Sources whose tables are unknown. Names in them are not reported.
    pub unknown: BTreeSet<String>,
    /// Tables that exist but that their source refuses, which has been reported.
    pub unknown_tables: BTreeSet<TableName>,
}

impl From<Vec<PlanTable>> for Catalog {
    fn from(tables: Vec<PlanTable>) -> Catalog {
        Catalog { tables, ..Catalog::default() }
    }
}

/// The table's index in the catalog. Reports an unknown name.
pub(super) fn table(name: &TableName, at: Place, catalog: &Catalog, found: &mut ViewProblems) -> Option<usize> {
    let TableName { source, table } = name;
    let place = catalog.tables.iter().position(|t| t.source == *source && t.name == *table);
    if place.is_none() && !catalog.unknown.contains(source) && !catalog.unknown_tables.contains(name) {
        refuse_unknown_table(at, source, table, catalog, found);
    }
    place
}

fn refuse_unknown_table(at: Place, source: &str, table: &str, catalog: &Catalog, found: &mut ViewProblems) {
    let discovered = || catalog.tables.iter().filter(|t| t.source == source).map(|t| t.name.as_str());
    let names: Vec<&str> = match catalog.names.get(source) {
        Some(names) => names.iter().map(String::as_str).collect(),
        None => discovered().collect(),
    };
    let label = (!names.is_empty()).then(|| format!("tables: {}", listed(names.iter().copied())));
    found.say(at, format!("`{source}` has no table `{table}`"), label, did_you_mean(table, names.iter().copied()));
}
