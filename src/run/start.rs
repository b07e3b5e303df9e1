//! What a run begins with: what the store still has, and what must be built.

use xxhash_rust::xxh3::xxh3_128;

use super::RunError;
use crate::plan::{Arrangements, Plan};
use crate::store::{Checkpoint, InputDef, InputState, Store, ViewDef, ViewState};
use crate::value::{Position, Tick};

/// How a view gets its first rows in this run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hydration {
    /// It has them.
    Stored,
    /// The store has nothing of it.
    Load,
    /// The store has rows of another definition, or errors to compare: what is different is committed.
    Difference,
}

#[derive(Debug, Clone)]
pub(super) struct Start {
    pub(super) checkpoint: Option<Checkpoint>,
    /// The tick at which everything held is sent into the dataflow: the one after the checkpoint's.
    pub(super) tick: Tick,
    /// Whether the inputs come out of the store; else every source begins with a snapshot.
    pub(super) inputs_held: bool,
    pub(super) views: Vec<Hydration>,
    pub(super) arrangements: Arrangements,
}

impl Start {
    pub(super) fn position_of(&self, source: &str) -> Option<Position> {
        let checkpoint = self.checkpoint.as_ref().filter(|_| self.inputs_held)?;
        checkpoint.sources.get(source).map(|s| s.position.clone())
    }

    /// Whether something comes out at the first tick that must be committed.
    pub(super) fn builds(&self) -> bool {
        !self.inputs_held || self.views.iter().any(|v| *v != Hydration::Stored)
    }
}

pub(super) fn prepare(store: &Store, plan: &Plan) -> Result<Start, RunError> {
    let inputs: Vec<InputDef> =
        plan.tables.iter().map(|t| InputDef { name: t.full_name(), schema: t.schema.clone(), key: t.key.clone() }).collect();
    let views: Vec<ViewDef> = plan
        .views
        .iter()
        .map(|view| ViewDef {
            name: view.name.clone(),
            schema: view.schema.clone(),
            key: view.key.clone(),
            fingerprint: format!("{:032x}", xxh3_128(plan.definition_of(view).as_bytes())),
        })
        .collect();
    let mut defined = store.define(&inputs, &views)?;
    let mut checkpoint = store.checkpoint();
    let same = defined.inputs.iter().all(|i| *i == InputState::Same);
    let positions = plan.tables.iter().all(|t| checkpoint.as_ref().is_some_and(|c| c.sources.contains_key(&t.source)));
    let inputs_held = checkpoint.is_some() && same && positions;
    if !inputs_held && checkpoint.is_some() {
        // Other tables than before: everything is captured again, and every view and target gets the difference.
        store.define(&[], &[])?;
        defined = store.define(&inputs, &views)?;
        checkpoint = store.checkpoint();
    }
    let hydration = |(view, state): (&ViewDef, &ViewState)| {
        Ok(match state {
            ViewState::New | ViewState::Changed => Hydration::Load,
            ViewState::Redefined => Hydration::Difference,
            ViewState::Same => match store.view(&view.name).map(|v| v.info()).transpose()? {
                Some(info) if info.errors == 0 => Hydration::Stored,
                _ => Hydration::Difference,
            },
        })
    };
    let views = views.iter().zip(&defined.views).map(hydration).collect::<Result<Vec<_>, RunError>>()?;
    let tick = checkpoint.as_ref().map_or(Tick(1), |c| c.tick.next());
    Ok(Start { checkpoint, tick, inputs_held, views, arrangements: plan.arrangements() })
}
