//! Computes views of given rows with the engine, in a temporary state folder.

use std::sync::Arc;

use async_trait::async_trait;
use tempfile::TempDir;
use tokio::sync::watch;

use super::read::{OpenReader, ReadTable, Readers};
use crate::cli::failure::CommandError;
use crate::plan::Plan;
use crate::run::{Engine, NamedSource, RunError, Setup};
use crate::sources::{Capture, Event, EventSender, Source, SourceError, Table};
use crate::store::{Retention, Store, StoreError, Sync};
use crate::value::{Position, Rows};

/// Where a folder is in memory, if there is one: nothing of it must survive, and disks take long to confirm writes.
const IN_MEMORY: &str = "/dev/shm";
/// How many reasons for missing rows are named.
const NAMED: usize = 5;

/// The store with the computed views. The folder is deleted with it.
pub(super) struct ComputedViews {
    pub(super) store: Store,
    _folder: TempDir,
}

impl ComputedViews {
    /// Prints why rows of a view are missing to stderr.
    pub(super) fn say_errors(&self, view: &str) -> Result<(), CommandError> {
        let snapshot = self.store.snapshot();
        let Some(computed) = snapshot.view(view) else { return Ok(()) };
        let mut errors = computed.errors().map_err(store_error)?;
        errors.sort_by(|a, b| a.message.cmp(&b.message));
        for error in errors.iter().take(NAMED) {
            eprintln!("warning: `{view}`: {} cannot be shown: {}", if error.count == 1 { "a row" } else { "rows" }, error.message);
        }
        Ok(())
    }
}

/// Runs the engine on these rows until it has computed all views of the plan.
pub(super) async fn compute(plan: Plan, readers: &Readers, tables: &[ReadTable]) -> Result<ComputedViews, CommandError> {
    let named = |open: &OpenReader| {
        let rows_of = |table: &Table| {
            let place = plan.tables.iter().position(|planned| planned.source == open.name && planned.name == table.name);
            place.map_or_else(Rows::default, |place| tables[place].rows())
        };
        let source = GivenRows { rows: open.tables.iter().map(rows_of).collect() };
        NamedSource { name: open.name.clone(), source: Arc::new(source), tables: open.tables.clone() }
    };
    let sources: Vec<NamedSource> = readers.all().iter().map(named).collect();
    if let Ok(folder) = tempfile::tempdir_in(IN_MEMORY) {
        match run(plan.clone(), sources.clone(), folder).await {
            // Containers often have little room there.
            Err(RunError::Store(_)) => {}
            done => return Ok(done?),
        }
    }
    let folder = tempfile::tempdir().map_err(|e| CommandError::running(format!("cannot create a temporary folder: {e}"), None))?;
    Ok(run(plan, sources, folder).await?)
}

async fn run(plan: Plan, sources: Vec<NamedSource>, folder: TempDir) -> Result<ComputedViews, RunError> {
    let setup = Setup {
        plan,
        sources,
        sinks: Vec::new(),
        state: folder.path().to_path_buf(),
        sync: Sync::Os,
        retention: Retention { ticks: None, age_ms: None, bytes: None },
        workers: 1,
        max_transaction_bytes: 1 << 30,
        until_caught_up: true,
    };
    let engine = Engine::open(setup)?;
    let store = engine.store().clone();
    let (_running, stop) = watch::channel(false);
    engine.run(stop).await?;
    Ok(ComputedViews { store, _folder: folder })
}

pub(super) fn store_error(error: StoreError) -> CommandError {
    CommandError::running(error.to_string(), error.help())
}

/// A source with these rows, which never change. It is only run.
#[derive(Debug)]
struct GivenRows {
    /// For each table.
    rows: Vec<Rows>,
}

#[async_trait]
impl Source for GivenRows {
    async fn discover(&self, _names: &[String]) -> Result<Vec<Table>, SourceError> {
        Ok(Vec::new())
    }

    async fn table_names(&self) -> Result<Vec<String>, SourceError> {
        Ok(Vec::new())
    }

    fn captures_the_present(&self) -> bool {
        false
    }

    async fn run(&self, _capture: Capture, out: EventSender) -> Result<(), SourceError> {
        let rows = self.rows.iter().enumerate().filter(|(_, rows)| !rows.is_empty());
        let rows = rows.map(|(table, rows)| Event::Rows { table, rows: rows.clone() });
        for event in rows.chain([Event::SnapshotDone { position: Position::new("read") }, Event::CaughtUp]) {
            if out.send(event).await.is_err() {
                break;
            }
        }
        Ok(())
    }
}
