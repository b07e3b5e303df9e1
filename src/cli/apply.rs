//! `tidemill apply`: lets the running engine go on with a changed spec.

use std::path::PathBuf;

use clap::Args;

use super::connect::default_state;
use super::failure::CommandError;
use super::{print, runtime};
use crate::run::Outlook;
use crate::serve::local::Access;
use crate::serve::question::Apply;

/// Let the running engine go on with a changed spec
///
/// The spec is checked completely before anything is done. Views that stay the same go on, and readers are answered all the time.
#[derive(Debug, Args)]
pub(super) struct ApplyArgs {
    /// The spec file
    spec: PathBuf,
    /// The state folder [default: the path of the spec file, with the extension .state]
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
    /// Only print what would be done
    #[arg(long)]
    dry_run: bool,
    /// Delete the views that the spec no longer has. Without it, such a spec is refused
    #[arg(long)]
    drop: bool,
}

impl ApplyArgs {
    pub(super) fn run(self) -> Result<(), CommandError> {
        let state = self.state.unwrap_or_else(|| default_state(&self.spec));
        let absolute = std::path::absolute(&self.spec);
        let spec = absolute.map_err(|e| CommandError::wrong(format!("cannot find `{}`: {e}", self.spec.display()), None))?;
        let apply = Apply { spec, dry_run: self.dry_run, drop: self.drop };
        let done = runtime()?.block_on(async { Access::open(&state).await?.apply(apply).await })?;
        print(&done)
    }
}

/// What is done, or would be done, one thing in a line.
pub(super) fn lines(outlook: &Outlook, dry_run: bool) -> String {
    let Outlook { captured, captured_tables, new, redefined, replaced, same, dropped } = outlook;
    let (captured_again, deleted) = match dry_run {
        true => ("would be captured", "would be deleted"),
        false => ("captured", "deleted"),
    };
    let listed = [
        ("view", same, "stays"),
        ("view", new, "new"),
        ("view", redefined, "changed: gets the difference"),
        ("view", replaced, "changed: built anew, read as it was until then"),
        ("view", dropped, deleted),
        ("source", captured, captured_again),
        ("table", captured_tables, captured_again),
    ];
    let mut lines = String::new();
    for (kind, names, what) in listed {
        names.iter().for_each(|name| lines.push_str(&format!("{kind} {name}: {what}\n")));
    }
    lines
}
