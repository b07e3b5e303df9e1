//! `tidemill get`: prints rows of a view as JSON lines.

use std::io::Write;
use std::path::PathBuf;

use clap::Args;
use tokio::sync::mpsc;

use super::failure::CommandError;
use super::runtime;
use crate::serve::Lines;
use crate::serve::local::Access;
use crate::serve::question::Get;

/// Print the rows of a view, or those with a given key, as JSON lines in key order
#[derive(Debug, Args)]
pub(super) struct GetArgs {
    /// The name of the view
    view: String,
    /// The values of the key columns, or of the first few key columns
    key: Vec<String>,
    /// The state folder
    #[arg(long, value_name = "DIR", default_value = ".")]
    state: PathBuf,
}

impl GetArgs {
    pub(super) fn run(self) -> Result<(), CommandError> {
        runtime()?.block_on(async {
            let access = Access::open(&self.state).await?;
            let (out, lines) = mpsc::channel(16);
            let printed = tokio::task::spawn_blocking(move || print(lines));
            let answered = access.get(Get { view: self.view, key: self.key }, out).await;
            match printed.await {
                Ok(Printed::All) => Ok(answered.map(|_| ())?),
                _ => Ok(()),
            }
        })
    }
}

/// How a printed answer ended.
pub(super) enum Printed {
    All,
    /// The reader closed stdout (`| head`), which is not an error.
    Unread,
}

/// Prints until the answer ends or the reader closes stdout.
pub(super) fn print(mut lines: mpsc::Receiver<Lines>) -> Printed {
    let mut stdout = std::io::BufWriter::new(std::io::stdout().lock());
    while let Some(lines_) = lines.blocking_recv() {
        // Flush when the channel is empty, so that a follower sees each change at once.
        if stdout.write_all(&lines_).is_err() || lines.is_empty() && stdout.flush().is_err() {
            return Printed::Unread;
        }
    }
    match stdout.flush() {
        Ok(()) => Printed::All,
        Err(_) => Printed::Unread,
    }
}
