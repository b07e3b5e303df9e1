//! `tidemill status`: how the engine and everything in its store are doing.

use std::path::PathBuf;

use clap::Args;

use super::failure::Failure;
use super::runtime;
use super::show::left_out;
use crate::serve::local::Access;

/// Show how far sources, views and sinks are
#[derive(Debug, Args)]
pub(super) struct Status {
    /// The state folder
    #[arg(long, value_name = "DIR", default_value = ".")]
    state: PathBuf,
    /// As one JSON object
    #[arg(long)]
    json: bool,
}

impl Status {
    pub(super) fn run(self) -> Result<(), Failure> {
        let status = runtime()?.block_on(async { Access::open(&self.state).await?.status().await })?;
        if self.json {
            println!("{}", serde_json::to_string(&status).map_err(|e| Failure::running(e.to_string(), None))?);
            return Ok(());
        }
        let running = status.pid.map_or("at rest".to_string(), |pid| format!("running as process {pid}"));
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
            println!("in memory: {bytes} bytes");
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
