//! `tidemill errors`: why rows are missing, as JSON lines.

use std::path::PathBuf;

use clap::Args;
use tokio::sync::mpsc;

use super::failure::Failure;
use super::get::{Printed, print};
use super::runtime;
use crate::serve::local::{self, Access};

/// Print why rows of views are missing, the records that sources left out, and the documents that targets refuse, as JSON lines
#[derive(Debug, Args)]
pub(super) struct Errors {
    /// Views, sources and sinks [default: all]
    of: Vec<String>,
    /// The state folder
    #[arg(long, value_name = "DIR", default_value = ".")]
    state: PathBuf,
}

impl Errors {
    pub(super) fn run(self) -> Result<(), Failure> {
        runtime()?.block_on(async {
            let access = Access::open(&self.state).await?;
            let (out, lines) = mpsc::channel(16);
            let printed = tokio::task::spawn_blocking(move || print(lines));
            let answered = access.errors(local::Errors { of: self.of }, out).await;
            match printed.await {
                Ok(Printed::All) => Ok(answered.map(|_| ())?),
                _ => Ok(()),
            }
        })
    }
}
