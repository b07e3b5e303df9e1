//! Maps problems that are found later back to lines of the file: problems of the plan, of options, of tables.

use super::problem::Problem;
use super::span::Span;
use super::yaml::{NodeKind, YamlNode};
use super::{SinkSpec, SourceSpec, Spec};
use crate::options::OptionError;
use crate::plan::{self, TableName, WrittenView};

/// The options as written in the file, with their places.
#[derive(Clone, Default)]
pub(super) struct WrittenOptions {
    /// Of the name of the source or sink.
    pub name: Span,
    pub kind: Span,
    pub options: Option<YamlNode>,
}

impl Spec {
    pub(super) fn located(&self, problem: plan::ViewProblem) -> Problem {
        let Some(spot) = self.spots.get(problem.at.0) else { return Problem::of_file(problem.message) };
        Problem { label: problem.label, help: problem.help, ..spot.problem(problem.within, problem.message) }
    }

    /// The problem for an option that a source refuses.
    pub fn source_option(&self, source: &str, error: &OptionError) -> Problem {
        let written = self.sources.iter().find(|s| s.name == source).map(|s| &s.written);
        option_problem(written, error)
    }

    /// The problem for an option that a sink refuses.
    pub fn sink_option(&self, sink: &str, error: &OptionError) -> Problem {
        let written = self.sinks.iter().find(|s| s.name == sink).map(|s| &s.written);
        option_problem(written, error)
    }

    /// A problem with a table of a source, at the first place that names the table; with `None`, a problem with the source, at its name.
    pub fn table_problem(&self, source: &str, table: Option<&str>, message: impl Into<String>, help: Option<String>) -> Problem {
        let wanted = |name: &&TableName| name.source == source && Some(name.table.as_str()) == table;
        let inputs = self.views.iter().flat_map(WrittenView::inputs);
        let named = inputs.filter_map(|input| input.from.as_ref()).find(|from| from.value.tables().iter().any(wanted)).map(|from| from.at);
        let queries = || self.views.iter().filter_map(WrittenView::query);
        let at = named.or_else(|| queries().find(|q| q.tables.iter().any(|name| wanted(&name))).map(|q| q.sql.at));
        let place = at.map(|at| self.spots[at.0].span);
        let at = place.or_else(|| self.sources.iter().find(|s| s.name == source).map(|s| s.written.name));
        Problem { at, in_file: None, message: message.into(), label: None, help }
    }

    /// A problem with a sink as a whole, at its name.
    pub fn sink_problem(&self, sink: &str, message: impl Into<String>, help: Option<String>) -> Problem {
        let at = self.sinks.iter().find(|s| s.name == sink).map(|s| s.written.name);
        Problem { at, in_file: None, message: message.into(), label: None, help }
    }
}

fn option_problem(written: Option<&WrittenOptions>, error: &OptionError) -> Problem {
    let at = written.map(|written| match &written.options {
        Some(options) => deepest(options, &error.path).unwrap_or(written.kind),
        None => written.kind,
    });
    let message = if error.path.is_empty() { error.message.clone() } else { error.to_string() };
    Problem { at, in_file: None, message, label: None, help: error.help.clone() }
}

/// The place of the value at `path`, or of the nearest name above it.
fn deepest(options: &YamlNode, path: &[String]) -> Option<Span> {
    let (mut node, mut found) = (options, None);
    for name in path {
        let next = match &node.kind {
            NodeKind::Map(entries) => entries.iter().find(|(key, _)| key.key_text() == name).map(|(key, value)| (key.span, value)),
            NodeKind::List(items) => name.parse::<usize>().ok().and_then(|i| items.get(i)).map(|item| (item.head(), item)),
            NodeKind::Scalar(_) => None,
        };
        let Some((place, value)) = next else { break };
        (node, found) = (value, Some(if matches!(value.kind, NodeKind::Scalar(_)) { value.span } else { place }));
    }
    found
}

impl SourceSpec {
    pub(super) fn new(
        name: String,
        kind: String,
        options: serde_json::Value,
        arrival: Vec<(String, Span)>,
        written: WrittenOptions,
    ) -> SourceSpec {
        SourceSpec { name, kind, options, arrival, written }
    }
}

impl SinkSpec {
    pub(super) fn new(name: String, kind: String, view: String, options: serde_json::Value, written: WrittenOptions) -> SinkSpec {
        SinkSpec { name, kind, view, options, written }
    }
}
