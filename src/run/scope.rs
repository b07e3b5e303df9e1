//! What an attempt maintains: everything, or what it can while tables are captured beside it.
//!
//! A table that must be captured belongs to no attempt until it is staged, and the views that read it keep the rows that the store has. All
//! other tables are followed and all other views maintained.

use std::collections::{BTreeMap, BTreeSet};

use super::missing::MissingTables;
use super::{NamedSource, Setup};
use crate::plan::Plan;
use crate::value::Position;

/// The part of a setup that an attempt maintains.
pub(super) struct AttemptScope {
    pub(super) plan: Plan,
    /// All sources of the setup, with their tables in the plan. One without tables is not run.
    pub(super) sources: Vec<NamedSource>,
    /// The sources that the attempt captures with all their tables.
    pub(super) captures: BTreeSet<String>,
    /// For each source with staged tables, the position as of which all its tables are exact.
    pub(super) staged: BTreeMap<String, Position>,
    /// The full names of the staged tables.
    pub(super) staged_tables: BTreeSet<String>,
    /// The names of views that are not maintained now.
    pub(super) resting: BTreeSet<String>,
    /// Whether everything is maintained.
    pub(super) is_whole: bool,
}

impl AttemptScope {
    /// `missing`: the tables that must be captured. Of these, those of the sources `captures` are captured by the attempt, and those of the
    /// sources `staged` are staged; the others do not belong to the scope.
    pub(super) fn new(
        setup: &Setup,
        missing: &MissingTables,
        captures: &BTreeSet<String>,
        staged: &BTreeMap<String, Position>,
    ) -> AttemptScope {
        let is_there = |table: &usize| {
            let source = &setup.plan.tables[*table].source;
            !missing.contains(source, *table) || captures.contains(source) || staged.contains_key(source)
        };
        let is_staged = |table: usize| {
            let source = &setup.plan.tables[table].source;
            missing.contains(source, table) && staged.contains_key(source)
        };
        let tables: BTreeSet<usize> = (0..setup.plan.tables.len()).filter(is_there).collect();
        let views: BTreeSet<usize> =
            (0..setup.plan.views.len()).filter(|view| setup.plan.views[*view].tables().is_subset(&tables)).collect();
        let named: BTreeSet<String> = tables.iter().map(|table| setup.plan.tables[*table].full_name()).collect();
        let source = |source: &NamedSource| {
            let mut source = source.clone();
            let name = source.name.clone();
            source.tables.retain(|table| named.contains(&format!("{name}.{}", table.name)));
            source
        };
        let sources: Vec<NamedSource> = setup.sources.iter().map(source).collect();
        let resting =
            (0..setup.plan.views.len()).filter(|view| !views.contains(view)).map(|view| setup.plan.views[view].name.clone()).collect();
        AttemptScope {
            plan: setup.plan.part(&tables, &views),
            sources,
            captures: captures.clone(),
            staged: staged.clone(),
            staged_tables: tables.iter().filter(|table| is_staged(**table)).map(|table| setup.plan.tables[*table].full_name()).collect(),
            resting,
            is_whole: tables.len() == setup.plan.tables.len(),
        }
    }

    /// The indexes of the sources of which it has tables.
    pub(super) fn followed(&self) -> BTreeSet<usize> {
        (0..self.sources.len()).filter(|source| !self.sources[*source].tables.is_empty()).collect()
    }

    /// Whether there is nothing to maintain.
    pub(super) fn is_empty(&self) -> bool {
        self.sources.iter().all(|source| source.tables.is_empty())
    }
}
