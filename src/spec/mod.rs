//! A spec file to checked definitions: sources, views, sinks.
//!
//! In: YAML text, the kinds of sources and sinks, the environment. Out: a [`Spec`], or every problem of the file at once, each with its
//! line. Views come out as written; [`Spec::lower`] makes a plan of them once the tables are known, and turns what it finds wrong back
//! into lines. Nothing here opens a connection; the only files read are the spec and those of `{file: ...}` secrets.
//! The grammar is data (`grammar`), from which the JSON Schema for editors is made too ([`json_schema()`]).

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
    /// The file, as it was given.
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
    /// One of the given kinds.
    pub kind: String,
    /// As the kind declares them; paths absolute. May hold secrets: not for printing.
    pub options: serde_json::Value,
    /// Tables whose rows get the order of their arrival.
    arrival: Vec<(String, span::Span)>,
    written: locate::WrittenOptions,
}

#[derive(Clone)]
pub struct SinkSpec {
    pub name: String,
    pub kind: String,
    /// The name of one of the spec's views.
    pub view: String,
    /// As the kind declares them; paths absolute. May hold secrets: not for printing.
    pub options: serde_json::Value,
    written: locate::WrittenOptions,
}

/// Every kind that a spec may name.
#[derive(Debug, Clone, Copy)]
pub struct Kinds {
    pub sources: &'static [Kind],
    pub sinks: &'static [Kind],
}

/// A spec file as far as it could be understood, and what is wrong with it.
#[derive(Debug, Clone)]
pub struct Draft {
    /// Parts that are wrong are left out of it, or out of their part.
    pub spec: Spec,
    pub problems: Vec<Problem>,
    /// Sources and sinks whose kind or options are wrong: they cannot be opened.
    pub broken_sources: BTreeSet<String>,
    pub broken_sinks: BTreeSet<String>,
}

impl Spec {
    /// Reads and checks a file with this process's environment.
    pub fn load(path: &Path, kinds: Kinds) -> Result<Spec, Problems> {
        Draft::load(path, kinds)?.finish()
    }

    /// The tables that the views need: each source that is named by one, in the order of the file, with its tables in the order in
    /// which the views name them.
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

    /// The plan of all views over these tables ([`Spec::tables`]).
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

    /// Sinks write each row under its key: views whose rows have none cannot go there.
    fn sinks_without_key(&self, plan: &Plan) -> Vec<Problem> {
        let without_key = |name: &str| plan.views.iter().any(|v| v.name == name && !v.has_key());
        let help = "group by what makes a row unique, select the keys of the tables as well, or say what makes it so: `key: [...]`";
        let problem = |sink: &SinkSpec| {
            self.sink_problem(&sink.name, format!("rows of `{}` have no key to be written under", sink.view), Some(help.into()))
        };
        self.sinks.iter().filter(|sink| without_key(&sink.view)).map(problem).collect()
    }

    /// The plan where all is known and right, and every problem that can be seen with what the catalog knows.
    pub fn examine(&self, catalog: &Catalog) -> (Option<Plan>, Vec<Problem>) {
        let (tables, mut problems) = self.with_arrival(&catalog.tables);
        let (plan, found) = plan::examine(&self.views, &Catalog { tables, ..catalog.clone() });
        problems.extend(found.into_iter().map(|p| self.located(p)));
        problems.extend(plan.iter().flat_map(|plan| self.sinks_without_key(plan)));
        (plan.filter(|_| problems.is_empty()), problems)
    }

    /// Problems of this file, to be shown.
    pub fn problems(&self, list: Vec<Problem>) -> Problems {
        Problems::new(Arc::clone(&self.text), list)
    }
}

impl Draft {
    /// As [`Spec::load`], going on past what is wrong. Fails where nothing can be said about the rest: no file, no YAML.
    pub fn load(path: &Path, kinds: Kinds) -> Result<Draft, Problems> {
        read::load(path, kinds)
    }

    /// `path`: for messages, and its folder for relative paths.
    pub fn parse(path: &Path, text: &str, kinds: Kinds, environment: Environment) -> Result<Draft, Problems> {
        read::parse(path, text, kinds, environment)
    }

    /// The spec, if nothing is wrong with it.
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
