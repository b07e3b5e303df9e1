//! `tidemill tail`: a view's changelog as JSON lines.

use std::path::PathBuf;

use clap::Args;
use tokio::sync::mpsc;

use super::failure::Failure;
use super::get::{Printed, print};
use super::runtime;
use crate::serve::local::{self, Access, From};

/// Print a view's changelog as JSON lines, and follow it
#[derive(Debug, Args)]
pub(super) struct Tail {
    /// The view
    view: String,
    /// `start` (all that is still known), `now`, or a position of a source
    #[arg(long, default_value = "start", value_name = "start|now|POSITION")]
    from: String,
    /// End with what is committed by now
    #[arg(long)]
    until_caught_up: bool,
    /// The state folder
    #[arg(long, value_name = "DIR", default_value = ".")]
    state: PathBuf,
}

impl Tail {
    pub(super) fn run(self) -> Result<(), Failure> {
        let from = match self.from.as_str() {
            "start" => From::Start,
            "now" => From::Now,
            position => From::Position(position.to_string()),
        };
        runtime()?.block_on(async {
            let access = Access::open(&self.state).await?;
            let (out, lines) = mpsc::channel(16);
            let printed = tokio::task::spawn_blocking(move || print(lines));
            let tail = local::Tail { view: self.view, from, until_caught_up: self.until_caught_up };
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
