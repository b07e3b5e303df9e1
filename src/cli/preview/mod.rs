//! `tidemill preview`: shows a few rows or documents of views, from bounded reads of the sources.
//!
//! The rows that these documents need are read (`gather`), and the engine computes the view of them in a temporary state folder
//! (`compute`). So a document is the one that `run` and `get` would show. Whatever may be missing is said on stderr.

mod compute;
mod gather;
mod keys;
mod lookups;
mod read;
mod warnings;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Args;

use self::gather::{AskedRows, gather};
use self::read::Readers;
use super::connect::KINDS;
use super::discover::{Discovered, discover};
use super::failure::CommandError;
use super::{print, runtime};
use crate::plan::Plan;
use crate::serve::question::Get;
use crate::serve::{AccessError, AccessErrorKind, first_rows, key_values};
use crate::spec::Spec;

/// When reading ends, from the start of the command. The rest of the two seconds is for computing.
const READING: Duration = Duration::from_millis(1300);
/// The time for reading where connecting alone took long.
const SHORTEST: Duration = Duration::from_millis(500);

/// Show a few rows or documents of views, without capturing anything
///
/// Reads only what these rows need, and keeps nothing. Says on stderr what may be missing.
#[derive(Debug, Args)]
pub(super) struct PreviewArgs {
    /// The spec file
    spec: PathBuf,
    /// The name of the view [default: all views]
    view: Option<String>,
    /// The number of rows or documents of each view
    #[arg(short = 'n', value_name = "ROWS", default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=1000))]
    n: u16,
    /// Only rows with this value of the first key column; given again, of the next key column
    #[arg(long, value_name = "KEY", allow_hyphen_values = true)]
    key: Vec<String>,
}

impl PreviewArgs {
    pub(super) fn run(self) -> Result<(), CommandError> {
        let started = Instant::now();
        let spec = Spec::load(&self.spec, KINDS)?;
        let views = self.views(&spec)?;
        let runtime = runtime()?;
        let done = runtime.block_on(self.preview(&spec, &views, started));
        runtime.shutdown_background();
        done
    }

    /// The names of the views to show.
    fn views(&self, spec: &Spec) -> Result<Vec<String>, CommandError> {
        let all: Vec<String> = spec.views.iter().map(|view| view.name.value.clone()).collect();
        let listed = || all.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        match &self.view {
            Some(name) if !all.contains(name) => {
                let (message, help) = (format!("there is no view `{name}`"), Some(format!("there is {}", listed())));
                Err(AccessError { kind: AccessErrorKind::NotFound, message, help }.into())
            }
            Some(name) => Ok(vec![name.clone()]),
            None if !self.key.is_empty() && all.len() != 1 => {
                Err(CommandError::wrong("--key needs the name of a view", Some(format!("there is {}", listed()))))
            }
            None => Ok(all),
        }
    }

    async fn preview(&self, spec: &Spec, views: &[String], started: Instant) -> Result<(), CommandError> {
        let discovered = discover(spec, &BTreeSet::new(), None).await;
        let (plan, discovered) = planned(spec, discovered)?;
        let mut readers = Readers::open(discovered.sources).await?;
        let until = (started + READING).max(Instant::now() + SHORTEST);
        for (done, name) in views.iter().enumerate() {
            let now = Instant::now();
            let share = until.saturating_duration_since(now) / (views.len() - done) as u32;
            if views.len() > 1 {
                eprintln!("{name}:");
            }
            self.show(&plan, name, &mut readers, now + share).await?;
        }
        Ok(())
    }

    async fn show(&self, plan: &Plan, name: &str, readers: &mut Readers, until: Instant) -> Result<(), CommandError> {
        let view = plan.views.iter().position(|view| view.name == name).expect("the plan has all views of the spec");
        let plan = plan.only(view);
        let view = plan.views.last().expect("it has the view");
        let key = match self.key.is_empty() {
            true => None,
            false => Some(key_values(name, &view.schema, &view.key, &self.key)?),
        };
        let gathered = gather(&plan, readers, AskedRows { rows: self.n.into(), key, until }).await?;
        gathered.warnings.say(name);
        let computed = compute::compute(plan.clone(), readers, &gathered.tables).await?;
        computed.say_errors(name)?;
        let get = Get { view: name.into(), key: self.key.clone() };
        let is_shown = |key: &[u8]| gathered.keys.as_ref().is_none_or(|keys| keys.contains(key));
        let lines = first_rows(&computed.store, &get, self.n.into(), &is_shown)?;
        print(&String::from_utf8_lossy(&lines))
    }
}

/// The plan, if the spec is right and all sources answer.
fn planned(spec: &Spec, mut discovered: Discovered) -> Result<(Plan, Discovered), CommandError> {
    if let Some(unreachable) = discovered.unreachable.pop() {
        return Err(unreachable.into());
    }
    let (plan, mut problems) = spec.examine(&discovered.catalog);
    problems.append(&mut discovered.problems);
    match plan.filter(|_| problems.is_empty()) {
        Some(plan) => Ok((plan, discovered)),
        None => Err(spec.problems(problems).into()),
    }
}
