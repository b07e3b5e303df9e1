//! The inputs and views of a plan as the store defines them, and the tables that the store does not have yet.

use std::collections::{BTreeMap, BTreeSet};

use xxhash_rust::xxh3::xxh3_128;

use super::RunError;
use crate::plan::{Plan, PlanTable, View};
use crate::sources::NOTES;
use crate::store::{InputDef, Resync, Store, ViewDef};

/// A table of a plan, as the store defines it.
pub(super) fn input_of(table: &PlanTable) -> InputDef {
    InputDef { name: table.full_name(), schema: table.schema.clone(), key: table.key.clone() }
}

/// The inputs and views of a plan, as the store defines them.
pub(super) fn definitions(plan: &Plan) -> (Vec<InputDef>, Vec<ViewDef>) {
    let view = |view: &View| ViewDef {
        name: view.name.clone(),
        schema: view.schema.clone(),
        key: view.key.clone(),
        fingerprint: format!("{:032x}", xxh3_128(plan.definition_of(view).as_bytes())),
    };
    (plan.tables.iter().map(input_of).collect(), plan.views.iter().map(view).collect())
}

/// The tables that must be captured, as indexes into the plan's, by their source.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct MissingTables(BTreeMap<String, BTreeSet<usize>>);

impl MissingTables {
    /// The tables of a plan that the store does not have as of its position: all of a source without a position or without its notes; else those
    /// that it does not have as they are now, and those that are noted for a resync.
    pub(super) fn of(store: &Store, plan: &Plan) -> Result<MissingTables, RunError> {
        let (inputs, _) = definitions(plan);
        let (held, resyncs, checkpoint) = (store.inputs(), store.resyncs()?, store.checkpoint());
        let has_position = |source: &str| checkpoint.as_ref().is_some_and(|checkpoint| checkpoint.sources.contains_key(source));
        let is_noted = |table: &PlanTable| {
            let is_noted = |noted: &Resync| noted.source == table.source && noted.table.as_ref().is_none_or(|name| *name == table.name);
            resyncs.iter().any(is_noted)
        };
        let mut missing: BTreeMap<String, BTreeSet<usize>> = BTreeMap::new();
        for (index, (table, input)) in plan.tables.iter().zip(&inputs).enumerate() {
            if !has_position(&table.source) || !held.contains(input) || is_noted(table) {
                missing.entry(table.source.clone()).or_default().insert(index);
            }
        }
        // Notes are exact at a position only together with the rows.
        for (source, tables) in &mut missing {
            if tables.iter().any(|table| plan.tables[*table].name == NOTES) {
                tables.extend((0..plan.tables.len()).filter(|table| plan.tables[*table].source == *source));
            }
        }
        Ok(MissingTables(missing))
    }

    /// Adds the other tables of a source.
    pub(super) fn extend_to_all(&mut self, plan: &Plan, source: &str) {
        let all = (0..plan.tables.len()).filter(|table| plan.tables[*table].source == source);
        self.0.entry(source.into()).or_default().extend(all);
    }

    pub(super) fn contains(&self, source: &str, table: usize) -> bool {
        self.0.get(source).is_some_and(|tables| tables.contains(&table))
    }

    /// The missing tables of a source; `None` if it has all.
    pub(super) fn tables_of(&self, source: &str) -> Option<&BTreeSet<usize>> {
        self.0.get(source)
    }

    /// The sources with their missing tables.
    pub(super) fn by_source(&self) -> impl Iterator<Item = (&String, &BTreeSet<usize>)> {
        self.0.iter()
    }

    /// The sources of which tables are missing.
    pub(super) fn sources(&self) -> impl Iterator<Item = &String> {
        self.0.keys()
    }
}
