//! Opens a spec's sources and asks them for the tables that its views need.
//!
//! Problems are collected, so that they can be reported together with those that need no server.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use crate::plan::{Catalog, TableName};
use crate::run::plan_table;
use crate::sources::{self, Source, SourceError, Table};
use crate::spec::{Problem, SourceSpec, Spec};

/// How long `check` and `explain` wait for a server's first answer.
pub(super) const REACH: Duration = Duration::from_secs(20);

/// The tables that the sources of a spec have, and the problems found on the way.
#[derive(Default)]
pub(super) struct Discovered {
    pub(super) catalog: Catalog,
    pub(super) sources: Vec<OpenSource>,
    pub(super) problems: Vec<Problem>,
    /// Sources that did not answer, or answered with an error.
    pub(super) unreachable: Vec<Unreachable>,
}

pub(super) struct Unreachable {
    pub(super) source: String,
    pub(super) reason: String,
    pub(super) help: Option<String>,
}

pub(super) struct OpenSource {
    pub(super) name: String,
    pub(super) kind: String,
    pub(super) source: Arc<dyn Source>,
    /// The needed tables that exist, in the order in which the views first name them.
    pub(super) tables: Vec<Table>,
}

/// Why the tables of a source are unknown.
enum Silent {
    Wrong(Problem),
    Unreachable(Unreachable),
}

/// Asks every source that views need, except those in `broken`. `reach`: how long the first answer may take; `None`: no limit, and the names of
/// all tables are not asked for.
pub(super) async fn discover(spec: &Spec, broken: &BTreeSet<String>, reach: Option<Duration>) -> Discovered {
    let mut found = Discovered::default();
    found.catalog.unknown = broken.clone();
    for (name, needed) in spec.tables() {
        let Some(source) = spec.sources.iter().find(|s| s.name == name && !broken.contains(&name)) else { continue };
        let Err(silent) = ask(spec, source, &needed, reach, &mut found).await else { continue };
        found.catalog.unknown.insert(name.clone());
        match silent {
            Silent::Wrong(problem) => found.problems.push(problem),
            Silent::Unreachable(unreachable) => found.unreachable.push(unreachable),
        }
    }
    found
}

async fn ask(spec: &Spec, of_spec: &SourceSpec, needed: &[String], reach: Option<Duration>, found: &mut Discovered) -> Result<(), Silent> {
    let name = &of_spec.name;
    let source: Arc<dyn Source> = match sources::open(&of_spec.kind, &of_spec.options) {
        Ok(source) => source.into(),
        Err(error) => return Err(Silent::Wrong(spec.source_option(name, &error))),
    };
    let silent = |error| silent(spec, name, error);
    if let Some(reach) = reach {
        let answer = tokio::time::timeout(reach, source.table_names()).await;
        let late = || SourceError::Transient { message: format!("no answer within {} s", reach.as_secs()) };
        let names = answer.map_err(|_| silent(late()))?;
        found.catalog.names.insert(name.clone(), names.map_err(silent)?);
    }
    let tables = match source.discover(needed).await {
        Err(SourceError::Invalid { .. }) => one_by_one(spec, name, source.as_ref(), needed, found).await?,
        answer => answer.map_err(silent)?,
    };
    found.catalog.tables.extend(tables.iter().map(|table| plan_table(name, table)));
    found.sources.push(OpenSource { name: name.clone(), kind: of_spec.kind.clone(), source, tables });
    Ok(())
}

/// Asks for each table separately because at least one of them is wrong, so that every problem is reported.
async fn one_by_one(spec: &Spec, name: &str, source: &dyn Source, needed: &[String], found: &mut Discovered) -> Result<Vec<Table>, Silent> {
    let names = match found.catalog.names.get(name) {
        Some(names) => names.clone(),
        None => source.table_names().await.map_err(|error| silent(spec, name, error))?,
    };
    let mut tables = Vec::new();
    for table in needed {
        match source.discover(std::slice::from_ref(table)).await {
            Ok(mut one) => tables.append(&mut one),
            // Lowering reports a missing table, and suggests the nearest name.
            Err(SourceError::Invalid { .. }) if !names.contains(table) => {}
            Err(SourceError::Invalid { message, help, .. }) => {
                found.problems.push(spec.table_problem(name, Some(table), message, help));
                found.catalog.unknown_tables.insert(TableName { source: name.to_string(), table: table.clone() });
            }
            Err(error) => return Err(silent(spec, name, error)),
        }
    }
    found.catalog.names.insert(name.to_string(), names);
    Ok(tables)
}

fn silent(spec: &Spec, source: &str, error: SourceError) -> Silent {
    match error {
        SourceError::Invalid { message, table, help } => Silent::Wrong(spec.table_problem(source, table.as_deref(), message, help)),
        SourceError::Option(error) => Silent::Wrong(spec.source_option(source, &error)),
        SourceError::Stopped { message, help } => Silent::Unreachable(Unreachable { source: source.into(), reason: message, help }),
        SourceError::Transient { message } | SourceError::Resync { message, .. } | SourceError::Redefined { message } => {
            Silent::Unreachable(Unreachable { source: source.into(), reason: message, help: None })
        }
    }
}
