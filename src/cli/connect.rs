//! From a spec file to opened sources, a plan and sinks.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::failure::Failure;
use crate::plan::{Plan, PlanTable};
use crate::run::{NamedSink, NamedSource};
use crate::sinks;
use crate::sources::{self, Source, SourceError};
use crate::spec::{Kinds, Spec};

pub(super) const KINDS: Kinds = Kinds { sources: sources::KINDS, sinks: sinks::KINDS };

pub(super) struct Connected {
    pub(super) plan: Plan,
    pub(super) sources: Vec<NamedSource>,
    pub(super) sinks: Vec<NamedSink>,
}

/// Opens every source that the views need, asks for the tables and lowers the views.
pub(super) async fn connect(spec: &Spec) -> Result<Connected, Failure> {
    let (mut named, mut tables, mut problems) = (Vec::new(), Vec::new(), Vec::new());
    for (name, wanted) in spec.tables() {
        let Some(of_spec) = spec.sources.iter().find(|s| s.name == name) else { continue };
        let source: Arc<dyn Source> = match sources::open(&of_spec.kind, &of_spec.options) {
            Ok(source) => source.into(),
            Err(error) => {
                problems.push(spec.source_option(&name, &error));
                continue;
            }
        };
        match source.discover(&wanted).await {
            Ok(found) => {
                tables.extend(found.iter().map(|t| PlanTable {
                    source: name.clone(),
                    name: t.name.clone(),
                    schema: t.schema.clone(),
                    key: t.key.clone(),
                }));
                named.push(NamedSource { name, source, tables: found });
            }
            Err(SourceError::Invalid { message, table, help }) => {
                problems.push(spec.table_problem(&name, table.as_deref(), message, help));
            }
            Err(SourceError::Option(error)) => problems.push(spec.source_option(&name, &error)),
            Err(SourceError::Transient { message }) => return Err(Failure::running(format!("source `{name}`: {message}"), None)),
            Err(SourceError::Stopped { message, help }) => return Err(Failure::running(format!("source `{name}`: {message}"), help)),
        }
    }
    let mut sinks = Vec::new();
    for sink in &spec.sinks {
        match sinks::open(&sink.kind, &sink.options) {
            Ok(opened) => sinks.push((sink.name.clone(), sink.view.clone(), opened)),
            Err(error) => problems.push(spec.sink_option(&sink.name, &error)),
        }
    }
    if !problems.is_empty() {
        return Err(spec.problems(problems).into());
    }
    let plan = spec.lower(&tables)?;
    let place = |view: &str| plan.views.iter().position(|v| v.name == view).expect("a sink names a view of its spec");
    let sinks = sinks.into_iter().map(|(name, view, sink)| NamedSink { name, view: place(&view), sink }).collect();
    Ok(Connected { plan, sources: named, sinks })
}

/// Where a spec keeps its state if nothing else is said: beside the file, named after it.
pub(super) fn default_state(spec: &Path) -> PathBuf {
    spec.with_extension("state")
}
