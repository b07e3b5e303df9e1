//! Turns a spec into opened sources, a plan and opened sinks.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::discover::{OpenSource, Unreachable, discover};
use super::failure::CommandError;
use crate::plan::Plan;
use crate::run::{NamedSink, NamedSource};
use crate::spec::{Kinds, Problems, Spec};
use crate::{sinks, sources};

pub(super) const KINDS: Kinds = Kinds { sources: sources::KINDS, sinks: sinks::KINDS };

pub(super) struct Connected {
    pub(super) plan: Plan,
    pub(super) sources: Vec<NamedSource>,
    pub(super) sinks: Vec<NamedSink>,
}

/// Why a spec has no plan.
pub(super) enum NotConnected {
    /// A source does not answer, or not as it should.
    Unreachable(Unreachable),
    /// All problems of the spec.
    Wrong(Problems),
}

impl From<NotConnected> for CommandError {
    fn from(error: NotConnected) -> CommandError {
        match error {
            NotConnected::Unreachable(unreachable) => unreachable.into(),
            NotConnected::Wrong(problems) => problems.into(),
        }
    }
}

/// Opens every source that the views need, asks it for its tables, and lowers the views.
pub(super) async fn connect(spec: &Spec) -> Result<Connected, NotConnected> {
    let discovered = discover(spec, &BTreeSet::new(), None).await;
    if let Some(unreachable) = discovered.unreachable.into_iter().next() {
        return Err(NotConnected::Unreachable(unreachable));
    }
    let (plan, mut problems) = spec.examine(&discovered.catalog);
    problems.extend(discovered.problems);
    let mut sinks = Vec::new();
    for sink in &spec.sinks {
        match sinks::open(&sink.kind, &sink.options) {
            Ok(opened) => sinks.push((sink.name.clone(), sink.view.clone(), opened)),
            Err(error) => problems.push(spec.sink_option(&sink.name, &error)),
        }
    }
    let Some(plan) = plan.filter(|_| problems.is_empty()) else { return Err(NotConnected::Wrong(spec.problems(problems))) };
    let place = |view: &str| plan.views.iter().position(|v| v.name == view).expect("a sink names a view of its spec");
    let sinks = sinks.into_iter().map(|(name, view, sink)| NamedSink { name, view: place(&view), sink }).collect();
    let named = |open: OpenSource| NamedSource { name: open.name, source: open.source, tables: open.tables };
    Ok(Connected { plan, sources: discovered.sources.into_iter().map(named).collect(), sinks })
}

/// The state folder of a spec without `--state`: beside the spec file, with the extension `.state`.
pub(super) fn default_state(spec: &Path) -> PathBuf {
    spec.with_extension("state")
}
