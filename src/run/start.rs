//! How an attempt starts: what the store has already, and what must be built.

use std::collections::{BTreeMap, BTreeSet};

use super::missing::{MissingTables, definitions};
use super::scope::AttemptScope;
use super::{NamedSource, RunError, notes_of};
use crate::plan::{Arrangements, Plan};
use crate::sources::Table;
use crate::store::{Checkpoint, InputDef, InputState, Redefine, Store, ViewState};
use crate::value::{Position, Tick};

/// How a view gets its first rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hydration {
    /// The store has them.
    Stored,
    /// The store has no rows: all rows are loaded.
    Load,
    /// The store has rows of another definition or of older tables, or has errors: the differences are committed.
    Difference,
}

#[derive(Debug, Clone)]
pub(super) struct Start {
    pub(super) checkpoint: Option<Checkpoint>,
    /// The tick at which the first rows are sent into the dataflow: the one after the checkpoint.
    pub(super) tick: Tick,
    /// The sources that begin with a snapshot. The tables of all others are read from the store.
    pub(super) captures: BTreeSet<String>,
    /// For each source with staged tables, the position as of which all its tables are exact.
    pub(super) staged: BTreeMap<String, Position>,
    /// The inputs whose rows were staged.
    pub(super) staged_inputs: BTreeSet<usize>,
    pub(super) views: Vec<Hydration>,
    pub(super) arrangements: Arrangements,
}

impl Start {
    /// The position from which a source resumes; `None` if it begins with a snapshot.
    pub(super) fn position_of(&self, source: &str) -> Option<Position> {
        if let Some(position) = self.staged.get(source) {
            return Some(position.clone());
        }
        let checkpoint = self.checkpoint.as_ref().filter(|_| !self.captures.contains(source))?;
        checkpoint.sources.get(source).map(|s| s.position.clone())
    }

    /// Whether the first tick must be committed: a source is captured, tables were staged, or a view is built.
    pub(super) fn builds(&self) -> bool {
        !self.captures.is_empty() || !self.staged.is_empty() || self.views.iter().any(|v| *v != Hydration::Stored)
    }
}

/// What a run of a plan does first, beside what the store has.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outlook {
    /// The sources of which all tables are captured, or captured again.
    pub captured: Vec<String>,
    /// The tables of other sources that are captured, with their sources' names.
    pub captured_tables: Vec<String>,
    /// Views that are not in the store.
    pub new: Vec<String>,
    /// Views with another definition, of which the difference is computed.
    pub redefined: Vec<String>,
    /// Views with other columns or another key, which are built anew.
    pub replaced: Vec<String>,
    /// Views that stay as they are; what is captured again may change their rows.
    pub same: Vec<String>,
    /// Views that are in the store and not in the plan: they are deleted.
    pub dropped: Vec<String>,
}

/// Compares a plan with the store. Changes nothing. `sources` are those of the plan; they are asked how they capture.
pub async fn outlook(store: &Store, plan: &Plan, sources: &[NamedSource]) -> Result<Outlook, RunError> {
    let mut plan = plan.clone();
    plan.tables.extend(notes_of(sources));
    let mut missing = MissingTables::of(store, &plan)?;
    for source in sources {
        let Some(tables) = missing.tables_of(&source.name) else { continue };
        let is_missing = |table: &&Table| tables.iter().any(|index| plan.tables[*index].name == table.name);
        let wanted: Vec<Table> = source.tables.iter().filter(is_missing).cloned().collect();
        // A source that cannot be asked now is asked again later.
        if !source.source.stages(&wanted).await.unwrap_or(true) {
            missing.extend_to_all(&plan, &source.name);
        }
    }
    let again = |input: &InputDef| {
        let is_input = |table: &usize| plan.tables[*table].full_name() == input.name;
        missing.by_source().flat_map(|(_, tables)| tables).any(is_input)
    };
    let (inputs, views) = definitions(&plan);
    let compared = store.compare(&inputs, &views, &Redefine { again: &again, ..Redefine::NOTHING });
    let of_state = |wanted: ViewState| {
        let of_state = plan.views.iter().zip(&compared.views).filter(|(_, state)| **state == wanted);
        of_state.map(|(view, _)| view.name.clone()).collect()
    };
    let stored: BTreeSet<String> = store.views()?.into_iter().map(|view| view.name).collect();
    let mut outlook = Outlook {
        new: of_state(ViewState::New),
        redefined: of_state(ViewState::Redefined),
        replaced: of_state(ViewState::Changed),
        same: of_state(ViewState::Same),
        dropped: compared.dropped.into_iter().filter(|name| stored.contains(name)).collect(),
        ..Outlook::default()
    };
    for (source, tables) in missing.by_source() {
        match (0..plan.tables.len()).all(|table| plan.tables[table].source != *source || tables.contains(&table)) {
            true => outlook.captured.push(source.clone()),
            false => outlook.captured_tables.extend(tables.iter().map(|table| plan.tables[*table].full_name())),
        }
    }
    Ok(outlook)
}

/// Defines the inputs and views of an attempt in the store, and decides what is captured and how each view gets its rows.
pub(super) fn prepare(store: &Store, scope: &AttemptScope) -> Result<Start, RunError> {
    let AttemptScope { plan, captures, staged, staged_tables, resting, .. } = scope;
    let (inputs, views) = definitions(plan);
    let checkpoint = store.checkpoint();
    let (again, is_staged) = (is_of(plan, captures), |input: &InputDef| staged_tables.contains(&input.name));
    let redefine = Redefine { again: &again, staged: &is_staged, resting: &|view| resting.contains(view) };
    let defined = store.define_again(&inputs, &views, &redefine)?;
    let gets_rows = |table: usize| defined.inputs[table] != InputState::Same;
    let hydration = |(index, state): (usize, &ViewState)| {
        let view = &plan.views[index];
        Ok(match state {
            ViewState::New | ViewState::Changed => Hydration::Load,
            ViewState::Redefined => Hydration::Difference,
            ViewState::Same if view.tables().into_iter().any(gets_rows) => Hydration::Difference,
            ViewState::Same => match store.view(&view.name).map(|v| v.info()).transpose()? {
                Some(info) if info.errors == 0 => Hydration::Stored,
                _ => Hydration::Difference,
            },
        })
    };
    let views = defined.views.iter().enumerate().map(hydration).collect::<Result<Vec<_>, RunError>>()?;
    let tick = checkpoint.as_ref().map_or(Tick(1), |c| c.tick.next());
    let staged_inputs = (0..inputs.len()).filter(|input| defined.inputs[*input] == InputState::Staged).collect();
    let (captures, staged) = (captures.clone(), staged.clone());
    Ok(Start { checkpoint, tick, captures, staged, staged_inputs, views, arrangements: plan.arrangements() })
}

/// Whether an input is a table of one of these sources.
fn is_of(plan: &Plan, sources: &BTreeSet<String>) -> impl Fn(&InputDef) -> bool {
    |input| plan.tables.iter().any(|table| sources.contains(&table.source) && table.full_name() == input.name)
}
