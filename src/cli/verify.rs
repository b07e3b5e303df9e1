//! `tidemill verify`: compares a sink's target with its view.

use std::path::PathBuf;

use clap::Args;

use super::connect::{connect, default_state};
use super::failure::{CommandError, RUNNING};
use super::{print, runtime};
use crate::run::{Comparison, NamedSink, compare, repair, shape_of};
use crate::spec::Spec;
use crate::store::{Store, Sync};
use crate::value::{Layout, json, row_of_key};

/// Compare a sink's target with its view, document by document, while no engine is running
///
/// Exits with 0 if they are the same or were repaired, and with 1 if they differ. While an engine is running, use `tidemill sink resync`.
#[derive(Debug, Args)]
pub(super) struct VerifyArgs {
    /// The spec file
    spec: PathBuf,
    /// The name of the sink
    #[arg(long, value_name = "NAME")]
    sink: String,
    /// Write the differences to the target
    #[arg(long)]
    repair: bool,
    /// The state folder [default: the path of the spec file, with the extension .state]
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
}

impl VerifyArgs {
    pub(super) fn run(self) -> Result<(), CommandError> {
        let spec = Spec::load(&self.spec, super::connect::KINDS)?;
        let runtime = runtime()?;
        let done = runtime.block_on(self.verify(&spec));
        runtime.shutdown_background();
        done
    }

    async fn verify(self, spec: &Spec) -> Result<(), CommandError> {
        if !spec.sinks.iter().any(|sink| sink.name == self.sink) {
            let names: Vec<String> = spec.sinks.iter().map(|sink| format!("`{}`", sink.name)).collect();
            let help = if names.is_empty() { "the spec has none".into() } else { format!("there is {}", names.join(", ")) };
            return Err(CommandError::wrong(format!("there is no sink `{}`", self.sink), Some(help)));
        }
        let connected = connect(spec).await?;
        let plan = connected.plan;
        let mut named = connected.sinks.into_iter().filter(|sink| sink.name == self.sink);
        let NamedSink { name, view, mut sink } = named.next().ok_or_else(|| CommandError::running("the sink could not be opened", None))?;
        let shape = shape_of(&plan.views[view]);
        let state = self.state.unwrap_or_else(|| default_state(&self.spec));
        let store = Store::open_held(&state, Sync::EachCommit).map_err(|error| CommandError::running(error.to_string(), error.help()))?;
        let found = compare(&store, &name, &mut *sink, &shape).await?;
        let key = Layout::new(&shape.schema.project(&shape.key));
        print(&said(&name, &found, &key))?;
        let same = found.is_same();
        if !same && self.repair {
            repair(&store, &name, &mut *sink, &shape).await?;
            print("repaired\n")?;
        }
        sink.close().await;
        if same || self.repair { Ok(()) } else { Err(CommandError::said(RUNNING)) }
    }
}

/// The text of the comparison: one line of counts, and one line for each of the first keys that differ.
fn said(name: &str, found: &Comparison, key: &Layout) -> String {
    let at = match found.target_at {
        Some(at) if at == found.tick => String::new(),
        Some(at) => format!(" (the target is at tick {at})"),
        None => " (the target has no position of this state folder)".into(),
    };
    let (rows, different, beyond) = (found.rows, found.different, found.beyond);
    let mut lines =
        format!("sink {name}: view at tick {}{at}: {rows} rows, {different} different or missing, {beyond} not in the view\n", found.tick);
    for row in found.first.iter().filter_map(|bytes| row_of_key(key, bytes)) {
        let mut text = b"different: ".to_vec();
        json::write_row(key, &row, &mut text);
        lines += &String::from_utf8_lossy(&text);
        lines.push('\n');
    }
    lines
}
