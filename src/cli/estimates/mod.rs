//! What the first run of a spec takes, as `check` prints it: rows, time, memory and disk, and whether this machine has them.

mod human;
mod known;
mod room;

use std::fmt::Write;
use std::path::Path;

use self::room::Room;
use super::discover::Discovered;
use crate::estimate::Estimate;
use crate::finding::{Finding, Severity};
use crate::plan::Plan;
use crate::store::JOURNAL_BYTES;

pub(super) use self::known::KnownTables;

/// What `check` prints about a first run.
#[derive(Default)]
pub(super) struct Estimates {
    /// Lines for the end of the summary.
    pub(super) text: String,
    /// What does not fit, each with what it is about.
    pub(super) findings: Vec<(String, Finding)>,
}

/// Asks the sources how large their tables are. `state`: the state folder of a run.
pub(super) async fn estimates(discovered: &Discovered, plan: &Plan, state: &Path) -> Estimates {
    let known = KnownTables::ask(discovered, plan).await;
    let unknown = known.unknown();
    if !unknown.is_empty() {
        let mut text = String::from("first capture, memory and disk: not known\n");
        unknown.iter().for_each(|reason| text.push_str(&format!("  {reason}\n")));
        return Estimates { text, findings: Vec::new() };
    }
    let estimate = Estimate::new(plan, &plan.arrangements(), &known.tables());
    let findings = lacks(&estimate, room::memory(Path::new("/")), room::disk(state));
    let mut text = shown(&estimate);
    known.beside.iter().for_each(|beside| text.push_str(&format!("  {beside}\n")));
    if state.join("format.json").exists() {
        text.push_str(&format!("  `{}` exists: a run goes on from it, and captures only what it lacks\n", state.display()));
    }
    Estimates { text, findings }
}

/// Why nothing is estimated where a source did not answer.
pub(super) fn not_known(discovered: &Discovered) -> String {
    let names: Vec<String> = discovered.unreachable.iter().map(|silent| format!("`{}`", silent.source)).collect();
    match &names[..] {
        [] => String::new(),
        names => format!("first capture, memory and disk: not known without the source {}\n", names.join(", ")),
    }
}

fn shown(estimate: &Estimate) -> String {
    let Estimate { rows, read_bytes, seconds, memory_bytes, peak_bytes, disk_bytes, peak_disk_bytes, guessed, .. } = estimate;
    let mut text = String::new();
    let _ = writeln!(
        text,
        "first capture: about {} {} of {}; {}",
        human::count(*rows),
        if *rows == 1.0 { "row" } else { "rows" },
        human::bytes(*read_bytes),
        human::time(*seconds)
    );
    let (caught_up, most) = (human::bytes(*memory_bytes), human::bytes(*peak_bytes));
    let _ = writeln!(text, "memory: about {caught_up} when caught up (the most during the capture: {most})");
    let (disk, most, journal) = (human::bytes(*disk_bytes), human::bytes(*peak_disk_bytes), human::bytes(JOURNAL_BYTES as f64));
    let _ = writeln!(text, "on disk: about {disk} (the most during the capture: {most}), beside a journal of at most {journal}");
    if !guessed.is_empty() {
        let _ = writeln!(text, "  the number of rows is a guess for: {}", guessed.join(", "));
    }
    text
}

/// A warning for what the machine has too little of.
fn lacks(estimate: &Estimate, memory: Option<Room>, disk: Option<Room>) -> Vec<(String, Finding)> {
    let lack = |what: &str, needed: f64, room: Option<Room>, text: &str, fix: &str| {
        let Room { bytes, of } = room.filter(|room| room.bytes < needed)?;
        let message = format!("{text} about {}, and {of} has {} left", human::bytes(needed), human::bytes(bytes));
        Some((what.to_string(), Finding { severity: Severity::Warning, message, fix: Some(fix.into()) }))
    };
    let of_memory = "raise the limit, use a machine with more memory, or maintain fewer views: `tidemill explain` shows what each holds";
    let of_disk = "free some space there, or choose a folder on a larger disk: `--state DIR`, for `run` too";
    let memory = lack("memory", estimate.peak_bytes, memory, "the first capture takes", of_memory);
    let disk = lack("disk", estimate.peak_disk_bytes + JOURNAL_BYTES as f64, disk, "with its journal, the state folder takes", of_disk);
    memory.into_iter().chain(disk).collect()
}
