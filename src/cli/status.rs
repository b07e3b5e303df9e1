//! `tidemill status`: shows the state of the engine and of everything in its store.

use std::path::PathBuf;

use clap::Args;

use super::failure::CommandError;
use super::runtime;
use super::show::left_out;
use crate::serve::local::Access;

/// Show the progress of sources, views and sinks
#[derive(Debug, Args)]
pub(super) struct StatusArgs {
    /// The state folder
    #[arg(long, value_name = "DIR", default_value = ".")]
    state: PathBuf,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

impl StatusArgs {
    pub(super) fn run(self) -> Result<(), CommandError> {
        let status = runtime()?.block_on(async { Access::open(&self.state).await?.status().await })?;
        if self.json {
            println!("{}", serde_json::to_string(&status).map_err(|e| CommandError::running(e.to_string(), None))?);
            return Ok(());
        }
        let running = status.pid.map_or("not running".to_string(), |pid| format!("running as process {pid}"));
        println!("state {} {running}, tick {}, {} bytes on disk", self.state.display(), status.tick, status.disk_bytes);
        for source in &status.sources {
            let lag = source.lag_ms.map_or(String::new(), |ms| format!(", lag {ms} ms"));
            let behind = source.lag.as_ref().map_or(String::new(), |lag| format!(", {lag}"));
            let rejected = if source.rejected > 0 { format!(", {}", left_out(source.rejected)) } else { String::new() };
            let position = if source.position.is_empty() { "no position yet".into() } else { format!("position {}", source.position) };
            println!("source {}: {position}{lag}{behind}{rejected}", source.name);
            if let Some(waiting) = &source.waiting {
                println!("  waiting: {waiting}");
            }
        }
        for view in &status.views {
            println!("view {}: {} rows, {} bytes, {} changes, {} errors", view.name, view.rows, view.bytes, view.changes, view.errors);
            println!("  changelog: {} bytes, after tick {}", view.changelog_bytes, view.changelog_after);
        }
        if !status.memory.is_empty() {
            let bytes: u64 = status.memory.iter().map(|held| held.bytes).sum();
            let process = status.process_bytes.map_or(String::new(), |process| format!(" of the {process} bytes of the process"));
            println!("in memory: {bytes} bytes{process}");
            for held in &status.memory {
                let rows = held.rows.map(|rows| format!("{rows} rows, ")).unwrap_or_default();
                println!("  {}: {rows}{} bytes", held.name, held.bytes);
            }
        }
        for sink in &status.sinks {
            print!("{}", super::sink::line(sink));
        }
        Ok(())
    }
}
