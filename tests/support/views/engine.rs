//! The engine on a spec with one source, in this process: run until caught up, then everything that can be seen of its views.

use std::path::Path;
use std::sync::Arc;

use tidemill::plan::Plan;
use tidemill::run::{Engine, NamedSource, Setup, plan_table};
use tidemill::sinks;
use tidemill::sources::{self, Source, Table};
use tidemill::spec::{Kinds, Spec};
use tidemill::store::{Retention, Store, Sync};
use tidemill::value::{Layout, Tick};
use tokio::sync::watch;

use super::recording::{Object, text};
use super::scattered::Scattered;

/// No operator of a case holds as much.
const MOST_HELD: usize = 64 << 20;

/// A spec, checked, with its source.
pub(crate) struct Prepared {
    pub(crate) spec: Spec,
    pub(crate) plan: Plan,
    pub(crate) tables: Vec<Table>,
    pub(crate) name: String,
    options: serde_json::Value,
}

/// How the engine is run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Way {
    pub(crate) workers: usize,
    /// The seed of a [`Scattered`] source.
    pub(crate) scatter: Option<u64>,
}

/// What can be seen of a view.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Observed {
    /// As `tidemill get` prints them.
    pub(crate) rows: Vec<String>,
    pub(crate) steps: Vec<Step>,
    pub(crate) changes: u64,
    pub(crate) errors: u64,
    /// What is told of the errors.
    pub(crate) reasons: Vec<String>,
}

/// A tick of a view's history; the first is the snapshot.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) tick: Tick,
    pub(crate) position: Option<String>,
    pub(crate) changes: Vec<Change>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) key: String,
    pub(crate) before: Option<String>,
    pub(crate) after: Option<String>,
}

/// Fails with what the user would be shown.
pub(crate) async fn prepare(path: &Path) -> Result<Prepared, String> {
    let kinds = Kinds { sources: sources::KINDS, sinks: sinks::KINDS };
    let spec = Spec::load(path, kinds).map_err(|problems| problems.to_string())?;
    let [source] = spec.sources.as_slice() else { return Err("a case has one source".into()) };
    let (name, options) = (source.name.clone(), source.options.clone());
    let opened = sources::open(&source.kind, &options).map_err(|e| e.to_string())?;
    let needed = spec.tables().remove(0).1;
    let tables = opened.discover(&needed).await.map_err(|e| e.to_string())?;
    let plan =
        spec.lower(&tables.iter().map(|table| plan_table(&name, table)).collect::<Vec<_>>()).map_err(|problems| problems.to_string())?;
    Ok(Prepared { spec, plan, tables, name, options })
}

impl Prepared {
    pub(crate) fn source(&self) -> Arc<dyn Source> {
        sources::open("file", &self.options).expect("it was opened before").into()
    }

    /// Runs on the state folder until caught up; what each view then is.
    pub(crate) async fn run(&self, state: &Path, way: Way) -> Vec<Observed> {
        let source = match way.scatter {
            None => self.source(),
            Some(seed) => Arc::new(Scattered::new(self.source(), seed)),
        };
        let setup = Setup {
            plan: self.plan.clone(),
            sources: vec![NamedSource { name: self.name.clone(), source, tables: self.tables.clone() }],
            sinks: Vec::new(),
            state: state.to_path_buf(),
            sync: Sync::Os,
            // All of the history is looked at, however long the run takes.
            retention: Retention { ticks: Some(u64::MAX), age_ms: None, bytes: None },
            workers: way.workers,
            max_transaction_bytes: 1 << 30,
            until_caught_up: true,
        };
        let engine = Engine::open(setup).expect("the state folder opens");
        let store = engine.store().clone();
        let (_running, stop) = watch::channel(false);
        let report = engine.report().clone();
        engine.run(stop).await.unwrap_or_else(|error| panic!("the run ended: {error}"));
        for held in report.held_in_memory() {
            assert!(held.bytes < MOST_HELD, "{held:?}: a case has few rows");
        }
        self.spec.views.iter().map(|view| observe(&store, &view.name.value)).collect()
    }
}

fn observe(store: &Store, name: &str) -> Observed {
    let view = store.view(name).unwrap_or_else(|| panic!("view `{name}` is not whole"));
    let layout = Layout::new(view.schema());
    let rows = view.scan().unwrap().map(|row| text(&layout, &row.unwrap().1)).collect();
    let info = view.info().unwrap();
    let mut steps = vec![Step { tick: info.floor, position: None, changes: Vec::new() }];
    for tick in info.floor.0 + 1..=store.checkpoint().expect("something was committed").tick.0 {
        let position = store.positions_of(Tick(tick)).unwrap().first().map(|mark| mark.position.to_string());
        steps.push(Step { tick: Tick(tick), position, changes: Vec::new() });
    }
    let key = |row: &str| {
        let row: Object = serde_json::from_str(row).unwrap();
        let names = view.key_columns().iter().map(|&k| view.schema().columns()[k].name.clone());
        serde_json::Value::Object(names.map(|name| (name.clone(), row[&name].clone())).collect()).to_string()
    };
    for entry in view.changes_from_start().unwrap() {
        let entry = entry.unwrap();
        let [before, after] = [&entry.before, &entry.after].map(|row| row.as_ref().map(|row| text(&layout, row)));
        let key = key(after.as_ref().or(before.as_ref()).expect("a change has a row"));
        let step = steps.iter_mut().find(|s| s.tick == entry.tick).expect("a change is of a tick that is known");
        step.changes.push(Change { key, before, after });
    }
    let mut reasons: Vec<String> = view.errors().unwrap().into_iter().map(|error| error.message).collect();
    reasons.sort();
    Observed { rows, steps, changes: info.changes, errors: info.errors, reasons }
}
