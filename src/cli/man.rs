//! `tidemill man`: the manual pages.

use std::path::PathBuf;

use clap::Args;

use super::command;
use super::failure::CommandError;

/// Write the manual pages of all commands into a folder
///
/// `tidemill man ~/.local/share/man/man1`, then `man tidemill-run`.
#[derive(Debug, Args)]
pub(super) struct ManArgs {
    /// The folder to write to; made if missing, files of the same names are replaced
    dir: PathBuf,
}

impl ManArgs {
    pub(super) fn run(self) -> Result<(), CommandError> {
        let failed = |error| CommandError::running(format!("cannot write the manual pages to `{}`: {error}", self.dir.display()), None);
        std::fs::create_dir_all(&self.dir).map_err(failed)?;
        clap_mangen::generate_to(command(), &self.dir).map_err(failed)
    }
}
