//! `tidemill completions`: what a shell needs to complete commands and their options.

use clap::Args;
use clap_complete::Shell;

use super::failure::CommandError;
use super::{command, print};

/// Print the completion script of a shell
///
/// For bash: `tidemill completions bash > ~/.local/share/bash-completion/completions/tidemill`.
#[derive(Debug, Args)]
pub(super) struct CompletionsArgs {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

impl CompletionsArgs {
    pub(super) fn run(self) -> Result<(), CommandError> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut command(), "tidemill", &mut script);
        print(&String::from_utf8_lossy(&script))
    }
}
