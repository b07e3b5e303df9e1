//! `tidemill get`: rows of a view as JSON lines.

use std::io::Write;
use std::path::PathBuf;

use clap::Args;
use tokio::sync::mpsc;

use super::failure::Failure;
use super::runtime;
use crate::serve::local::{self, Access, Lines};

/// Print the rows of a view as JSON lines in key order, or the row of one key
#[derive(Debug, Args)]
pub(super) struct Get {
    /// The view
    view: String,
    /// The values of the key's columns, or of the first few
    key: Vec<String>,
    /// The state folder
    #[arg(long, value_name = "DIR", default_value = ".")]
    state: PathBuf,
}

impl Get {
    pub(super) fn run(self) -> Result<(), Failure> {
        runtime()?.block_on(async {
            let access = Access::open(&self.state).await?;
            let (out, lines) = mpsc::channel(16);
            let printed = tokio::task::spawn_blocking(move || print(lines));
            let answered = access.get(local::Get { view: self.view, key: self.key }, out).await;
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
    /// Nobody reads any more (`| head`): no reason to complain.
    Unread,
}

/// Prints until there is no more, or nobody reads any more.
pub(super) fn print(mut lines: mpsc::Receiver<Lines>) -> Printed {
    let mut stdout = std::io::BufWriter::new(std::io::stdout().lock());
    while let Some(lines_) = lines.blocking_recv() {
        // Flushed whenever nothing more waits: a follower sees each change as it comes.
        if stdout.write_all(&lines_).is_err() || lines.is_empty() && stdout.flush().is_err() {
            return Printed::Unread;
        }
    }
    match stdout.flush() {
        Ok(()) => Printed::All,
        Err(_) => Printed::Unread,
    }
}
