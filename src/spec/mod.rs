//! A spec file to checked definitions: sources, views, sinks.
//!
//! In: YAML text, the kinds of sources and sinks, the environment. Out: a [`Spec`], or all problems of the file at once, each with its
//! line. Views are returned as written: [`Spec::lower`] makes a plan of them once the tables are known, and maps the problems it finds back
//! to lines. Nothing here opens a connection; the only files read are the spec, its `sql_file`s and the files of `{file: ...}` secrets. The
//! grammar is data (`grammar`), and the JSON Schema for editors is generated from it ([`json_schema()`]).

mod arrival;
mod check;
mod grammar;
mod json_schema;
mod locate;
mod mask;
mod options;
mod problem;
mod queries;
mod read;
mod secrets;
mod span;
mod text;
mod variables;
mod views;
mod yaml;

pub use json_schema::json_schema;
pub use problem::{Problem, Problems};
pub use variables::Environment;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::options::Kind;
use crate::plan::{self, Catalog, Plan, PlanTable, WrittenView};

/// A checked spec file.
#[derive(Debug, Clone)]
pub struct Spec {
    /// Path of the file, as given.
    pub path: PathBuf,
    pub sources: Vec<SourceSpec>,
    pub views: Vec<WrittenView>,
    pub sinks: Vec<SinkSpec>,
    text: Arc<text::Text>,
    spots: Vec<views::Spot>,
}

#[derive(Clone)]
pub struct SourceSpec {
    pub name: String,
    /// The name of a [`Kind`] of source; empty in a [`Draft`] if the spec names no valid kind.
    pub kind: String,
    /// The options that the kind declares; paths are absolute. May contain secrets: never print.
    pub options: serde_json::Value,
    /// Tables that get a column with the order of arrival of their rows.
    arrival: Vec<(String, span::Span)>,
    written: locate::WrittenOptions,
}

#[derive(Clone)]
pub struct SinkSpec {
    pub name: String,
    pub kind: String,
    /// The name of one of the spec's views.
    pub view: String,
    /// The options that the kind declares; paths are absolute. May contain secrets: never print.
    pub options: serde_json::Value,
    written: locate::WrittenOptions,
}

/// The kinds of sources and sinks that a spec can name.
#[derive(Debug, Clone, Copy)]
pub struct Kinds {
    pub sources: &'static [Kind],
    pub sinks: &'static [Kind],
}

/// The valid parts of a spec file, and the problems of the rest.
#[derive(Debug, Clone)]
pub struct Draft {
    /// Without the invalid parts.
    pub spec: Spec,
    pub problems: Vec<Problem>,
    /// Sources whose name, kind or options are invalid: they cannot be opened.
    pub broken_sources: BTreeSet<String>,
    /// Sinks whose name, kind, options or view are invalid: they cannot be opened.
    pub broken_sinks: BTreeSet<String>,
}

impl Spec {
    /// Loads and checks a file, with the environment of this process.
    pub fn load(path: &Path, kinds: Kinds) -> Result<Spec, Problems> {
        Draft::load(path, kinds)?.finish()
    }

    /// The tables that the views read, by source. Sources without such tables are left out. Sources have the order of the file, tables the
    /// order in which the views name them.
    pub fn tables(&self) -> Vec<(String, Vec<String>)> {
        let mut tables: Vec<(String, Vec<String>)> = self.sources.iter().map(|s| (s.name.clone(), Vec::new())).collect();
        for name in self.views.iter().flat_map(|view| view.tables()) {
            let of_source = tables.iter_mut().find(|(source, _)| *source == name.source);
            if let Some((_, tables)) = of_source.filter(|(_, tables)| !tables.contains(&name.table)) {
                tables.push(name.table.clone());
            }
        }
        tables.retain(|(_, tables)| !tables.is_empty());
        tables
    }

    /// The plan of all views. `tables` are those of [`Spec::tables`].
    pub fn lower(&self, tables: &[PlanTable]) -> Result<Plan, Problems> {
        let (tables, problems) = self.with_arrival(tables);
        if !problems.is_empty() {
            return Err(self.problems(problems));
        }
        let plan = plan::lower(&self.views, &tables);
        let plan = plan.map_err(|found| self.problems(found.into_iter().map(|p| self.located(p)).collect()))?;
        let problems = self.sinks_without_key(&plan);
        if problems.is_empty() { Ok(plan) } else { Err(self.problems(problems)) }
    }

    /// One problem for each sink of a view without a key: sinks write rows by key.
    fn sinks_without_key(&self, plan: &Plan) -> Vec<Problem> {
        let without_key = |name: &str| plan.views.iter().any(|v| v.name == name && !v.has_key());
        let help = "group by columns that make a row unique, also select the keys of the tables, or name the unique columns: `key: [...]`";
        let problem = |sink: &SinkSpec| {
            self.sink_problem(&sink.name, format!("rows of `{}` have no key, which a sink requires", sink.view), Some(help.into()))
        };
        self.sinks.iter().filter(|sink| without_key(&sink.view)).map(problem).collect()
    }

    /// The plan if everything is known and valid, and every problem that can be found with what the catalog knows.
    pub fn examine(&self, catalog: &Catalog) -> (Option<Plan>, Vec<Problem>) {
        let (tables, mut problems) = self.with_arrival(&catalog.tables);
        let (plan, found) = plan::examine(&self.views, &Catalog { tables, ..catalog.clone() });
        problems.extend(found.into_iter().map(|p| self.located(p)));
        problems.extend(plan.iter().flat_map(|plan| self.sinks_without_key(plan)));
        (plan.filter(|_| problems.is_empty()), problems)
    }

    /// The problems, ready to be printed with the lines of this file.
    pub fn problems(&self, list: Vec<Problem>) -> Problems {
        Problems::new(Arc::clone(&self.text), list)
    }
}

impl Draft {
    /// Like [`Spec::load`], but continues after problems. Fails only if the rest cannot be checked: no file, no YAML.
    pub fn load(path: &Path, kinds: Kinds) -> Result<Draft, Problems> {
        read::load(path, kinds)
    }

    /// Like [`load`](Draft::load), with the text given. `path` is used in messages and to resolve relative paths.
    pub fn parse(path: &Path, text: &str, kinds: Kinds, environment: Environment) -> Result<Draft, Problems> {
        read::parse(path, text, kinds, environment)
    }

    /// The spec if there are no problems.
    pub fn finish(self) -> Result<Spec, Problems> {
        match self.problems.is_empty() {
            true => Ok(self.spec),
            false => Err(self.spec.problems(self.problems)),
        }
    }
}

impl std::fmt::Debug for SourceSpec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SourceSpec({}: {})", self.name, self.kind)
    }
}

impl std::fmt::Debug for SinkSpec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SinkSpec({}: {} of {})", self.name, self.kind, self.view)
    }
}
