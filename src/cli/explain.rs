//! `tidemill explain`: prints the plan of a spec.

use std::path::PathBuf;

use clap::Args;

use super::connect::KINDS;
use super::discover::{Discovered, REACH, discover};
use super::estimates::KnownTables;
use super::failure::CommandError;
use super::{print, runtime};
use crate::sources::Companion;
use crate::spec::Draft;

/// Print the plan of a spec: its lookups, which views share which arrangements, and which columns are never read
#[derive(Debug, Args)]
pub(super) struct ExplainArgs {
    /// The spec file
    spec: PathBuf,
}

impl ExplainArgs {
    pub(super) fn run(self) -> Result<(), CommandError> {
        let draft = Draft::load(&self.spec, KINDS)?;
        let runtime = runtime()?;
        let discovered = runtime.block_on(discover(&draft.spec, &draft.broken_sources, Some(REACH)));
        let companions = runtime.block_on(companions(&discovered));
        let (plan, mut problems) = draft.spec.examine(&discovered.catalog);
        let sizes = plan.as_ref().map(|plan| runtime.block_on(KnownTables::ask(&discovered, plan)).arranged(plan)).unwrap_or_default();
        runtime.shutdown_background();
        problems.extend(draft.problems.iter().cloned().chain(discovered.problems));
        if !problems.is_empty() {
            return Err(draft.spec.problems(problems).into());
        }
        match (discovered.unreachable.into_iter().next(), plan) {
            (None, Some(plan)) => print(&format!("{}{companions}", plan.explain(&sizes))),
            (Some(silent), _) => Err(silent.into()),
            (None, None) => unreachable!("all tables are known and nothing is wrong"),
        }
    }
}

/// What sources keep beside the tables of the plan, as lines.
async fn companions(discovered: &Discovered) -> String {
    let mut lines = String::new();
    for open in &discovered.sources {
        let companions = match tokio::time::timeout(REACH, open.source.companions(&open.tables)).await {
            Ok(Ok(companions)) => companions,
            Ok(Err(error)) => {
                lines.push_str(&format!("\n{}: not known: {error}", open.name));
                continue;
            }
            Err(_) => {
                lines.push_str(&format!("\n{}: not known: the source did not answer", open.name));
                continue;
            }
        };
        for Companion { table, columns, reason } in companions {
            let columns = columns.join(", ");
            lines.push_str(&format!("\n{}.{table}: no view reads it, only its columns {columns} are kept: {reason}", open.name));
        }
    }
    if lines.is_empty() { lines } else { format!("\nbeside these tables:{lines}\n") }
}
