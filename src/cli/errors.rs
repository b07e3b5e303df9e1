//! `tidemill errors`: prints why rows are missing, as JSON lines.

use std::path::PathBuf;

use clap::Args;
use tokio::sync::mpsc;

use super::failure::CommandError;
use super::get::{Printed, print};
use super::runtime;
use crate::serve::local::Access;
use crate::serve::question::Errors;

/// Print failed rows, records that sources could not read, and documents that targets refused, as JSON lines
#[derive(Debug, Args)]
pub(super) struct ErrorsArgs {
    /// Names of views, sources and sinks [default: all]
    of: Vec<String>,
    /// The state folder
    #[arg(long, value_name = "DIR", default_value = ".")]
    state: PathBuf,
}

impl ErrorsArgs {
    pub(super) fn run(self) -> Result<(), CommandError> {
        runtime()?.block_on(async {
            let access = Access::open(&self.state).await?;
            let (out, lines) = mpsc::channel(16);
            let printed = tokio::task::spawn_blocking(move || print(lines));
            let answered = access.errors(Errors { of: self.of }, out).await;
            match printed.await {
                Ok(Printed::All) => Ok(answered.map(|_| ())?),
                _ => Ok(()),
            }
        })
    }
}
