//! `tidemill explain`: the plan of a spec.

use std::path::PathBuf;

use clap::Args;

use super::connect::KINDS;
use super::discover::{REACH, discover};
use super::failure::Failure;
use super::{print, runtime};
use crate::spec::Draft;

/// Print the plan: lookups, arrangements and who shares them, columns that are never read
#[derive(Debug, Args)]
pub(super) struct Explain {
    /// The spec file
    spec: PathBuf,
}

impl Explain {
    pub(super) fn run(self) -> Result<(), Failure> {
        let draft = Draft::load(&self.spec, KINDS)?;
        let runtime = runtime()?;
        let discovered = runtime.block_on(discover(&draft.spec, &draft.broken_sources, Some(REACH)));
        runtime.shutdown_background();
        let (plan, mut problems) = draft.spec.examine(&discovered.catalog);
        problems.extend(draft.problems.iter().cloned().chain(discovered.problems));
        if !problems.is_empty() {
            return Err(draft.spec.problems(problems).into());
        }
        match (discovered.unreachable.into_iter().next(), plan) {
            (None, Some(plan)) => print(&plan.explain().to_string()),
            (Some(silent), _) => Err(silent.into()),
            (None, None) => unreachable!("all tables are known and nothing is wrong"),
        }
    }
}
