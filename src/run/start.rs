//! How an attempt starts: what the store has already, and what must be built.

use std::collections::BTreeSet;

use xxhash_rust::xxh3::xxh3_128;

use super::{NamedSource, RunError, notes_of};
use crate::plan::{Arrangements, Plan, PlanTable, View};
use crate::store::{Checkpoint, InputDef, InputState, Store, ViewDef, ViewState};
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
    pub(super) views: Vec<Hydration>,
    pub(super) arrangements: Arrangements,
}

impl Start {
    /// The position from which a source resumes; `None` if it begins with a snapshot.
    pub(super) fn position_of(&self, source: &str) -> Option<Position> {
        let checkpoint = self.checkpoint.as_ref().filter(|_| !self.captures.contains(source))?;
        checkpoint.sources.get(source).map(|s| s.position.clone())
    }

    /// Whether the first tick must be committed: a source is captured or a view is built.
    pub(super) fn builds(&self) -> bool {
        !self.captures.is_empty() || self.views.iter().any(|v| *v != Hydration::Stored)
    }
}

/// What a run of a plan does first, beside what the store has.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outlook {
    /// The sources that are captured, or captured again.
    pub captured: Vec<String>,
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

/// Compares a plan with the store. Changes nothing. `sources` are those of the plan.
pub fn outlook(store: &Store, plan: &Plan, sources: &[NamedSource]) -> Result<Outlook, RunError> {
    let mut plan = plan.clone();
    plan.tables.extend(notes_of(sources));
    let (inputs, views) = definitions(&plan);
    let captures = captures(store, &plan, &inputs, store.checkpoint().as_ref())?;
    let compared = store.compare(&inputs, &views, &is_of(&plan, &captures));
    let of_state = |wanted: ViewState| {
        let of_state = plan.views.iter().zip(&compared.views).filter(|(_, state)| **state == wanted);
        of_state.map(|(view, _)| view.name.clone()).collect()
    };
    let stored: BTreeSet<String> = store.views()?.into_iter().map(|view| view.name).collect();
    Ok(Outlook {
        captured: captures.into_iter().collect(),
        new: of_state(ViewState::New),
        redefined: of_state(ViewState::Redefined),
        replaced: of_state(ViewState::Changed),
        same: of_state(ViewState::Same),
        dropped: compared.dropped.into_iter().filter(|name| stored.contains(name)).collect(),
    })
}

/// The inputs and views of a plan, as the store defines them.
fn definitions(plan: &Plan) -> (Vec<InputDef>, Vec<ViewDef>) {
    let input = |t: &PlanTable| InputDef { name: t.full_name(), schema: t.schema.clone(), key: t.key.clone() };
    let view = |view: &View| ViewDef {
        name: view.name.clone(),
        schema: view.schema.clone(),
        key: view.key.clone(),
        fingerprint: format!("{:032x}", xxh3_128(plan.definition_of(view).as_bytes())),
    };
    (plan.tables.iter().map(input).collect(), plan.views.iter().map(view).collect())
}

/// Defines the inputs and views of the plan in the store, and decides what is captured and how each view gets its rows.
pub(super) fn prepare(store: &Store, plan: &Plan) -> Result<Start, RunError> {
    let (inputs, views) = definitions(plan);
    let checkpoint = store.checkpoint();
    let captures = captures(store, plan, &inputs, checkpoint.as_ref())?;
    let defined = store.define_again(&inputs, &views, &is_of(plan, &captures))?;
    debug_assert!(defined.inputs.iter().zip(&plan.tables).all(|(state, t)| (*state == InputState::Same) != captures.contains(&t.source)));
    let hydration = |(index, state): (usize, &ViewState)| {
        let view = &plan.views[index];
        Ok(match state {
            ViewState::New | ViewState::Changed => Hydration::Load,
            ViewState::Redefined => Hydration::Difference,
            ViewState::Same if view.tables().iter().any(|t| captures.contains(&plan.tables[*t].source)) => Hydration::Difference,
            ViewState::Same => match store.view(&view.name).map(|v| v.info()).transpose()? {
                Some(info) if info.errors == 0 => Hydration::Stored,
                _ => Hydration::Difference,
            },
        })
    };
    let views = defined.views.iter().enumerate().map(hydration).collect::<Result<Vec<_>, RunError>>()?;
    let tick = checkpoint.as_ref().map_or(Tick(1), |c| c.tick.next());
    Ok(Start { checkpoint, tick, captures, views, arrangements: plan.arrangements() })
}

/// Whether an input is a table of one of these sources.
fn is_of(plan: &Plan, sources: &BTreeSet<String>) -> impl Fn(&InputDef) -> bool {
    |input| plan.tables.iter().any(|table| sources.contains(&table.source) && table.full_name() == input.name)
}

/// The sources that must be captured: those without all tables and a position in the store, and those noted for a resync.
fn captures(store: &Store, plan: &Plan, inputs: &[InputDef], checkpoint: Option<&Checkpoint>) -> Result<BTreeSet<String>, RunError> {
    let held = store.inputs();
    let resyncs = store.resyncs()?;
    let is_held = |source: &String, input: &InputDef| {
        checkpoint.is_some_and(|c| c.sources.contains_key(source)) && held.contains(input) && !resyncs.contains_key(source)
    };
    let tables = plan.tables.iter().zip(inputs);
    Ok(tables.filter(|(table, input)| !is_held(&table.source, input)).map(|(table, _)| table.source.clone()).collect())
}
