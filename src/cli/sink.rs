//! `tidemill sink`: what the state knows of sinks, and what can be done about one.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::failure::Failure;
use super::{print, runtime};
use crate::serve::local::{Access, Order, SinkOrder, SinkStatus};

/// List sinks, forget one that left the spec, or compare one's target with its view
#[derive(Debug, Args)]
pub(super) struct Sink {
    #[command(subcommand)]
    what: What,
    /// The state folder
    #[arg(long, value_name = "DIR", default_value = ".", global = true)]
    state: PathBuf,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Show every sink that the state knows, also of earlier specs
    List {
        /// One JSON object per line
        #[arg(long)]
        json: bool,
    },
    /// Drop what is known of a sink that is not in the spec any more; its target stays as it is
    Forget { name: String },
    /// Compare the target with the whole view and write what differs: at once where an engine runs, else with the next run
    Resync { name: String },
}

impl Sink {
    pub(super) fn run(self) -> Result<(), Failure> {
        runtime()?.block_on(async {
            let access = Access::open(&self.state).await?;
            match self.what {
                What::List { json } => {
                    for sink in access.status().await?.sinks {
                        print(&if json { json_line(&sink)? } else { line(&sink) })?;
                    }
                }
                What::Forget { name } => drop(access.order(SinkOrder { name, order: Order::Forget }).await?),
                What::Resync { name } => drop(access.order(SinkOrder { name, order: Order::Resync }).await?),
            }
            Ok(())
        })
    }
}

fn json_line(sink: &SinkStatus) -> Result<String, Failure> {
    let line = serde_json::to_string(sink).map_err(|e| Failure::running(e.to_string(), None))?;
    Ok(line + "\n")
}

/// A sink for people, in a line or a few.
pub(super) fn line(sink: &SinkStatus) -> String {
    let position = sink.position.as_ref().map_or(String::new(), |p| format!(", position {p}"));
    let refused = match sink.refused {
        0 => String::new(),
        1 => ", 1 document refused".into(),
        n => format!(", {n} documents refused"),
    };
    let mut lines = format!("sink {}: view {} at tick {}{position}, lag {} ms{refused}\n", sink.name, sink.view, sink.tick, sink.lag_ms);
    if sink.left {
        lines += &format!("  not in the spec: its changelog is not kept; `tidemill sink forget {}` drops what is known of it\n", sink.name);
    }
    for (what, text) in [("waiting", &sink.waiting), ("note", &sink.note)] {
        text.iter().for_each(|text| lines += &format!("  {what}: {text}\n"));
    }
    lines
}
