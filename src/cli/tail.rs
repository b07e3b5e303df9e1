//! `tidemill tail`: prints a view's changelog as JSON lines.

use std::path::PathBuf;

use clap::Args;
use tokio::sync::mpsc;

use super::failure::CommandError;
use super::get::{Printed, print};
use super::runtime;
use crate::serve::local::Access;
use crate::serve::question::{Tail, TailFrom};

/// Print the changes of a view as JSON lines, and follow them
#[derive(Debug, Args)]
pub(super) struct TailArgs {
    /// The name of the view
    view: String,
    /// Where to start: `start` (the rows before the oldest change that is kept), `now`, or a position of a source
    #[arg(long, default_value = "start", value_name = "start|now|POSITION")]
    from: String,
    /// Stop after the changes that are committed now
    #[arg(long)]
    until_caught_up: bool,
    /// The state folder
    #[arg(long, value_name = "DIR", default_value = ".")]
    state: PathBuf,
}

impl TailArgs {
    pub(super) fn run(self) -> Result<(), CommandError> {
        let from = match self.from.as_str() {
            "start" => TailFrom::Start,
            "now" => TailFrom::Now,
            position => TailFrom::Position(position.to_string()),
        };
        runtime()?.block_on(async {
            let access = Access::open(&self.state).await?;
            let (out, lines) = mpsc::channel(16);
            let printed = tokio::task::spawn_blocking(move || print(lines));
            let tail = Tail { view: self.view, from, until_caught_up: self.until_caught_up };
            let answered = tokio::select! {
                answered = access.tail(&self.state, tail, out) => answered.map(|_| ()),
                _ = tokio::signal::ctrl_c() => Ok(()),
            };
            match printed.await {
                Ok(Printed::All) => Ok(answered?),
                _ => Ok(()),
            }
        })
    }
}
