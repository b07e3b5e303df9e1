//! `tidemill check`: reports everything that is wrong with a spec and with the servers that it names.
//!
//! If a server does not answer, the command still reports all other problems, and names what it could not check.

use std::fmt::Write;
use std::path::PathBuf;

use clap::Args;

use super::connect::{KINDS, default_state};
use super::discover::{Discovered, OpenSource, REACH, Unreachable, discover};
use super::estimates::{Estimates, estimates, not_known};
use super::failure::{CommandError, RUNNING, WRONG};
use super::{print, runtime};
use crate::plan::{Catalog, Plan};
use crate::run::shape_of;
use crate::sinks::{self, SinkError};
use crate::sources::{Finding, Severity};
use crate::spec::{Draft, Problem};

/// Check a spec and the servers that it names, and report all problems at once
///
/// Exits with 0 if the spec can run, with 2 if the spec is wrong, and with 1 if a server did not answer or must be set up first.
#[derive(Debug, Args)]
pub(super) struct CheckArgs {
    /// The spec file
    spec: PathBuf,
    /// Do not connect to any server: check the spec only, not tables, columns, servers and targets
    #[arg(long)]
    offline: bool,
    /// The state folder of the run, to compare the space there with what it will take [default: the path of the spec file, with the extension
    /// .state]
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
}

impl CheckArgs {
    pub(super) fn run(self) -> Result<(), CommandError> {
        let draft = Draft::load(&self.spec, KINDS)?;
        if self.offline {
            return self.offline(draft);
        }
        let runtime = runtime()?;
        let discovered = runtime.block_on(discover(&draft.spec, &draft.broken_sources, Some(REACH)));
        let mut findings = runtime.block_on(preflight(&discovered));
        let (plan, mut problems) = draft.spec.examine(&discovered.catalog);
        let sinks = runtime.block_on(check_sinks(&draft, plan.as_ref()));
        problems.extend(draft.problems.iter().cloned().chain(discovered.problems.iter().cloned()));
        problems.extend(sinks.problems);
        let estimates = match plan.as_ref().filter(|_| problems.is_empty() && discovered.unreachable.is_empty()) {
            Some(plan) => {
                let state = self.state.clone().unwrap_or_else(|| default_state(&self.spec));
                runtime.block_on(estimates(&discovered, plan, &state))
            }
            None => Estimates { text: not_known(&discovered), ..Estimates::default() },
        };
        runtime.shutdown_background();
        findings.extend(estimates.findings);
        findings.extend(sinks.findings);
        let wrong = !problems.is_empty();
        if wrong {
            eprintln!("{}", draft.spec.problems(problems));
        }
        for Unreachable { source, reason, help } in &discovered.unreachable {
            eprintln!("error: source `{source}`: {reason}");
            help.iter().for_each(|help| eprintln!("   = help: {help}"));
            eprintln!("   = its tables, columns and settings were not checked\n");
        }
        for (sink, reason, help) in &sinks.unusable {
            eprintln!("error: sink `{sink}`: {reason}");
            help.iter().for_each(|help| eprintln!("   = help: {help}"));
            eprintln!("   = the target was not checked any further\n");
        }
        let stops = say_findings(&findings);
        print(&format!("{}{}", summary(&discovered, plan.as_ref(), &sinks.sound), estimates.text))?;
        match (wrong, stops || !discovered.unreachable.is_empty() || !sinks.unusable.is_empty()) {
            (true, _) => Err(CommandError::said(WRONG)),
            (false, true) => Err(CommandError::said(RUNNING)),
            (false, false) => print("ok\n"),
        }
    }

    fn offline(&self, draft: Draft) -> Result<(), CommandError> {
        let mut catalog = Catalog::default();
        catalog.unknown.extend(draft.spec.sources.iter().map(|s| s.name.clone()));
        let (_, mut problems) = draft.spec.examine(&catalog);
        problems.extend(draft.problems.iter().cloned());
        problems.extend(wrong_sinks(&draft));
        match problems.is_empty() {
            true => print("ok, but the sources and targets were not checked\n"),
            false => Err(draft.spec.problems(problems).into()),
        }
    }
}

/// Problems in the options of the sinks.
fn wrong_sinks(draft: &Draft) -> Vec<Problem> {
    let sound = draft.spec.sinks.iter().filter(|s| !draft.broken_sinks.contains(&s.name));
    sound.filter_map(|s| sinks::open(&s.kind, &s.options).err().map(|e| draft.spec.sink_option(&s.name, &e))).collect()
}

async fn preflight(discovered: &Discovered) -> Vec<(String, Finding)> {
    let mut findings = Vec::new();
    for OpenSource { name, source, tables, .. } in &discovered.sources {
        match source.preflight(tables).await {
            Ok(found) => findings.extend(found.into_iter().map(|finding| (format!("source `{name}`"), finding))),
            Err(error) => {
                let message = format!("the settings could not be checked: {error}");
                findings.push((format!("source `{name}`"), Finding { severity: Severity::Error, message, fix: None }));
            }
        }
    }
    findings
}

/// The result of checking the sinks.
#[derive(Default)]
struct CheckedSinks {
    problems: Vec<Problem>,
    findings: Vec<(String, Finding)>,
    /// Name, reason and help.
    unusable: Vec<(String, String, Option<String>)>,
    /// Sinks that answered: name, kind and view.
    sound: Vec<(String, String, String)>,
}

async fn check_sinks(draft: &Draft, plan: Option<&Plan>) -> CheckedSinks {
    let mut checked = CheckedSinks::default();
    for spec in draft.spec.sinks.iter().filter(|s| !draft.broken_sinks.contains(&s.name)) {
        let view = plan.and_then(|plan| plan.views.iter().find(|view| view.name == spec.view)).map(shape_of);
        let found = match sinks::open(&spec.kind, &spec.options) {
            Ok(sink) => {
                let answer = tokio::time::timeout(REACH, sink.preflight(view.as_ref())).await;
                let silent = || SinkError::Transient { message: format!("the target did not answer within {} s", REACH.as_secs()) };
                answer.unwrap_or_else(|_| Err(silent()))
            }
            Err(error) => Err(error.into()),
        };
        match found {
            Ok(found) => {
                checked.findings.extend(found.into_iter().map(|finding| (format!("sink `{}`", spec.name), finding)));
                checked.sound.push((spec.name.clone(), spec.kind.clone(), spec.view.clone()));
            }
            Err(SinkError::Option(error)) => checked.problems.push(draft.spec.sink_option(&spec.name, &error)),
            Err(SinkError::Stopped { message, help }) => checked.unusable.push((spec.name.clone(), message, help)),
            Err(SinkError::Transient { message }) => checked.unusable.push((spec.name.clone(), message, None)),
        }
    }
    checked
}

/// Prints the findings. Returns whether one of them is an error, which keeps a source or a sink from running.
fn say_findings(findings: &[(String, Finding)]) -> bool {
    for (of, finding) in findings {
        let severity = match finding.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Note => "note",
        };
        eprintln!("{severity}: {of}: {}", finding.message);
        if let Some(fix) = &finding.fix {
            eprintln!("   = fix:");
            fix.lines().for_each(|line| eprintln!("     {line}"));
        }
        eprintln!();
    }
    findings.iter().any(|(_, finding)| finding.severity == Severity::Error)
}

/// Lists the tables as their sources describe them, the views, and the sinks that answered.
fn summary(discovered: &Discovered, plan: Option<&Plan>, sinks: &[(String, String, String)]) -> String {
    let mut out = String::new();
    for OpenSource { name, kind, tables, .. } in &discovered.sources {
        let _ = writeln!(out, "source {name}: {kind}");
        for table in tables {
            let column = |c: &crate::value::Column| format!("{} {}{}", c.name, c.ty, if c.nullable { "" } else { " not null" });
            let columns: Vec<String> = table.schema.columns().iter().map(column).collect();
            let key: Vec<&str> = table.key.iter().map(|&k| table.schema.columns()[k].name.as_str()).collect();
            let key = if key.is_empty() { "no key".to_string() } else { format!("key {}", key.join(", ")) };
            let _ = writeln!(out, "  {} ({key}): {}", table.name, columns.join(", "));
        }
    }
    for view in plan.iter().flat_map(|plan| &plan.views) {
        let key: Vec<&str> = view.key.iter().map(|&k| view.schema.columns()[k].name.as_str()).collect();
        let fields: Vec<&str> = view.schema.columns().iter().map(|c| c.name.as_str()).collect();
        let _ = writeln!(out, "view {} (key {}): {}", view.name, key.join(", "), fields.join(", "));
    }
    for (name, kind, view) in sinks {
        let _ = writeln!(out, "sink {name}: {kind} of view {view}");
    }
    out
}
