//! `tidemill sink`: lists the sinks of a state folder, forgets one, or resyncs one.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::failure::CommandError;
use super::{print, runtime};
use crate::serve::SinkStatus;
use crate::serve::local::Access;
use crate::serve::question::{SinkAction, SinkOrder};

/// List sinks, forget a sink that is no longer in the spec, or repair the target of a sink
#[derive(Debug, Args)]
pub(super) struct SinkArgs {
    #[command(subcommand)]
    what: What,
    /// The state folder
    #[arg(long, value_name = "DIR", default_value = ".", global = true)]
    state: PathBuf,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Show every sink that the state folder knows, including those of earlier specs
    List {
        /// Print one JSON object per line
        #[arg(long)]
        json: bool,
    },
    /// Remove a sink that is no longer in the spec from the state folder; its target is not changed
    Forget { name: String },
    /// Compare the target with the whole view and write the differences: now if an engine is running, else in the next run
    Resync { name: String },
}

impl SinkArgs {
    pub(super) fn run(self) -> Result<(), CommandError> {
        runtime()?.block_on(async {
            let access = Access::open(&self.state).await?;
            match self.what {
                What::List { json } => {
                    for sink in access.status().await?.sinks {
                        print(&if json { json_line(&sink)? } else { line(&sink) })?;
                    }
                }
                What::Forget { name } => drop(access.order(SinkOrder { name, order: SinkAction::Forget }).await?),
                What::Resync { name } => drop(access.order(SinkOrder { name, order: SinkAction::Resync }).await?),
            }
            Ok(())
        })
    }
}

fn json_line(sink: &SinkStatus) -> Result<String, CommandError> {
    let line = serde_json::to_string(sink).map_err(|e| CommandError::running(e.to_string(), None))?;
    Ok(line + "\n")
}

/// The text of a sink, in one or more lines.
pub(super) fn line(sink: &SinkStatus) -> String {
    let position = sink.position.as_ref().map_or(String::new(), |p| format!(", position {p}"));
    let refused = match sink.refused {
        0 => String::new(),
        1 => ", 1 document refused".into(),
        n => format!(", {n} documents refused"),
    };
    let mut lines = format!("sink {}: view {} at tick {}{position}, lag {} ms{refused}\n", sink.name, sink.view, sink.tick, sink.lag_ms);
    if sink.left {
        lines += &format!("  not in the spec: its changelog is not kept; remove it with `tidemill sink forget {}`\n", sink.name);
    }
    for (what, text) in [("waiting", &sink.waiting), ("note", &sink.note)] {
        text.iter().for_each(|text| lines += &format!("  {what}: {text}\n"));
    }
    lines
}
