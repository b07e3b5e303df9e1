//! Runs the engine: connects sources, workers, store and sinks by channels.
//!
//! ```text
//! source tasks --events--> ingest --rows, ticks--> workers --documents, ticks done--> committer --one batch--> store
//!                             `------------- ticks, positions, input rows ----------------^          store --> sink tasks
//! ```
//! Every channel is bounded, so a slow disk slows the sources and memory does not grow. Once every worker has finished a tick, it is
//! committed in one batch with its positions and input rows. Elsewhere: the meaning of a spec (`spec`), the maintenance of views (`dataflow`),
//! the contents of a commit (`store`).

mod arrival;
mod attempt;
mod captures;
mod commit;
mod copy;
mod held;
mod ingest;
mod memory;
mod missing;
mod pending;
mod progress;
mod report;
mod retry;
mod scope;
mod sink;
mod staging;
mod start;
mod supervise;
mod worker;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use self::attempt::Attempt;
use self::captures::{Captures, ToBegin};
use self::missing::MissingTables;
use self::retry::{ATTEMPT, Backoff};
use self::scope::AttemptScope;
use self::supervise::{Cause, Interruption};
use crate::fault;
use crate::plan::{Plan, PlanTable};
use crate::sinks::{Sink, SinkError};
use crate::sources::{Source, SourceError, Table, notes_table};
use crate::store::{Retention, Store, StoreError, Sync};

pub use copy::{Comparison, compare, repair};
pub use memory::{GroupLimit, group_limits};
pub use report::{Report, SinkReport, SourcePhase, SourceReport, TableProgress, ViewReport};
pub use sink::shape_of;
pub use start::{Outlook, outlook};

/// Everything that a run needs. Sources and sinks are opened, the plan is checked.
pub struct Setup {
    pub plan: Plan,
    pub sources: Vec<NamedSource>,
    pub sinks: Vec<NamedSink>,
    /// The state folder.
    pub state: PathBuf,
    pub sync: Sync,
    /// How much of the changelogs is kept for new readers.
    pub retention: Retention,
    /// The number of worker threads.
    pub workers: usize,
    /// About how many bytes of memory a transaction may use until it is durable. After a larger one its source is captured again, unless a new
    /// capture would read the same transaction (as with files).
    pub max_transaction_bytes: u64,
    /// End once everything that the sources have now is durable and in every sink.
    pub until_caught_up: bool,
}

impl Setup {
    /// Adds the tables of notes of the sources that keep some. They are stored as other tables are, and no view reads them.
    fn add_notes(&mut self) {
        self.plan.tables.extend(notes_of(&self.sources));
        let keeping = self.sources.iter_mut().filter(|source| source.source.keeps_notes());
        keeping.for_each(|source| source.tables.push(notes_table()));
    }
}

/// The tables of notes of these sources.
fn notes_of(sources: &[NamedSource]) -> impl Iterator<Item = PlanTable> {
    sources.iter().filter(|source| source.source.keeps_notes()).map(|source| plan_table(&source.name, &notes_table()))
}

#[derive(Clone)]
pub struct NamedSource {
    pub name: String,
    pub source: Arc<dyn Source>,
    /// The tables of this source in [`Plan::tables`], in the same order, as the source describes them. [`Engine`] adds the source's notes.
    pub tables: Vec<Table>,
}

pub struct NamedSink {
    pub name: String,
    /// Index into [`Plan::views`].
    pub view: usize,
    pub sink: Box<dyn Sink>,
}

impl std::fmt::Debug for Setup {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Setup").field("state", &self.state).field("workers", &self.workers).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for NamedSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NamedSource").field("name", &self.name).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for NamedSink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NamedSink").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Why a run ended without a stop.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("source `{source_name}`: {error}")]
    Source { source_name: String, error: SourceError },
    /// A table is not as the plan has it. The state is that of the last commit; a new engine over a new plan continues from it.
    #[error("source `{source_name}`: {message}")]
    Redefined { source_name: String, message: String },
    #[error("sink `{sink_name}`: {error}")]
    Sink { sink_name: String, error: SinkError },
    /// A memory limit is nearly reached. The run ends without a clean shutdown; the state is that of the last commit.
    #[error("{} of the {} MB of memory that {name} allows are used", used >> 20, limit >> 20)]
    Memory { used: u64, limit: u64, name: String },
    #[error("bug: {0}")]
    Bug(String),
}

impl RunError {
    /// What the user can do about it, if anything.
    pub fn help(&self) -> Option<String> {
        match self {
            RunError::Store(error) => error.help(),
            RunError::Source { error: SourceError::Invalid { help, .. } | SourceError::Stopped { help, .. }, .. } => help.clone(),
            RunError::Source { error: SourceError::Option(error), .. } | RunError::Sink { error: SinkError::Option(error), .. } => {
                error.help.clone()
            }
            RunError::Sink { error: SinkError::Stopped { help, .. }, .. } => help.clone(),
            RunError::Memory { .. } => Some(
                "raise the limit, or maintain fewer views; `tidemill explain` estimates the memory of each view. The last commit is intact"
                    .into(),
            ),
            RunError::Source { .. } | RunError::Redefined { .. } | RunError::Sink { .. } | RunError::Bug(_) => None,
        }
    }
}

/// Where a part of the engine sends the error that ends the run.
pub(crate) type Fatal = mpsc::Sender<RunError>;

/// How often the changelogs are compacted.
const COMPACT_EVERY: Duration = Duration::from_secs(10);

/// How long the attempt and the sinks may take to finish after a stop.
const GRACE: Duration = Duration::from_secs(20);

/// An engine that is ready to run: its setup, its open store and its report.
pub struct Engine {
    setup: Setup,
    store: Store,
    report: Arc<Report>,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.setup.fmt(f)
    }
}

impl Engine {
    /// Opens the state folder, which is locked until the run ends.
    pub fn open(setup: Setup) -> Result<Engine, RunError> {
        let store = Store::open(&setup.state, setup.sync)?;
        Engine::over(setup, store)
    }

    /// Uses a store that is open already. Stops keeping changelogs for sinks that are not in the setup.
    pub fn over(mut setup: Setup, store: Store) -> Result<Engine, RunError> {
        setup.add_notes();
        let names: Vec<&str> = setup.sinks.iter().map(|sink| sink.name.as_str()).collect();
        let left = store.release_readers_but(&names)?.into_iter().map(|reader| reader.name).collect();
        let report = Arc::new(Report::new(&setup, left));
        Ok(Engine { setup, store, report })
    }

    pub fn store(&self) -> &Store {
        &self.store
    }

    pub fn report(&self) -> &Arc<Report> {
        &self.report
    }

    /// Runs until `stop` becomes true, until the views have caught up if the setup says so, or until an error. Commits are never lost. After it
    /// returns, the state folder can be opened again (except after [`RunError::Memory`]), and after [`RunError::Redefined`] another engine can
    /// use the store. Must be called on a multi-threaded tokio runtime.
    pub async fn run(self, mut stop: watch::Receiver<bool>) -> Result<(), RunError> {
        let Engine { mut setup, store, report } = self;
        let (fatal, mut failures) = mpsc::channel(16);
        let (stop_followers, stopping) = watch::channel(false);
        let followers = follow(&mut setup, &store, &report, &fatal, &stopping);
        let mut captures = Captures::new(&store, &report);
        let mut backoff = Backoff::new(ATTEMPT);
        let mut attempt = None;
        let result = loop {
            backoff.begin();
            let missing = tokio::select! {
                missing = missing(&setup.plan, &setup.sources, &store, &mut captures) => missing,
                _ = stop.wait_for(|stop| *stop) => break Ok(()),
            };
            let begun = missing.and_then(|missing| begin(&setup, missing, &store, &report, &fatal, &mut captures));
            let followed = match begun {
                Ok((begun, followed)) => {
                    attempt = begun;
                    followed
                }
                Err(error) => break Err(error),
            };
            let first = attempt.as_ref().and_then(Attempt::first);
            let interruption = tokio::select! {
                Some(error) = failures.recv() => break Err(error),
                _ = stop.wait_for(|stop| *stop) => break Ok(()),
                done = report.progress.wait_until_caught_up(setup.until_caught_up) => break done,
                interruption = attempt::interrupted(&mut attempt) => Some(interruption),
                ready = captures.ready(first, &followed) => match ready {
                    Ok(()) => None,
                    Err(error) => break Err(error),
                },
            };
            if !attempt::finish(attempt.take()).await {
                break Err(panicked());
            }
            let Some(interruption) = interruption else {
                report.progress.start_over();
                report.start_over();
                tokio::select! {
                    joined = captures.join(&followed) => match joined {
                        Ok(()) => continue,
                        Err(error) => break Err(error),
                    },
                    _ = stop.wait_for(|stop| *stop) => break Ok(()),
                }
            };
            let wait = backoff.pause();
            let Interruption { name, table, message, cause, .. } = &interruption;
            if *cause == Cause::Resync
                && let Err(error) = tokio::task::block_in_place(|| store.note_resync(name, table.as_deref(), message))
            {
                break Err(error.into());
            }
            say_interrupted(&interruption, wait, &report);
            if *cause == Cause::Resync {
                // Everything else goes on.
                captures.delay(name, wait);
                continue;
            }
            tokio::select! {
                _ = stop.wait_for(|stop| *stop) => break Ok(()),
                () = tokio::time::sleep(wait) => {}
            }
        };
        captures.end_all().await;
        stop_followers.send_replace(true);
        if let Err(error @ RunError::Memory { .. }) = result {
            // A clean shutdown would need more memory.
            return Err(error);
        }
        let left = async { tokio::join!(attempt::finish(attempt), futures::future::join_all(followers)).0 };
        match (tokio::time::timeout(GRACE, left).await, result) {
            // Another engine may follow this one, so nothing of it may go on.
            (Ok(true), Err(error @ RunError::Redefined { .. })) => Err(error),
            (Ok(false), Err(RunError::Redefined { .. })) => Err(panicked()),
            (Err(_), Err(RunError::Redefined { .. })) => Err(too_slow()),
            (_, Err(error)) => Err(error),
            (Ok(true), Ok(())) => failures.try_recv().map_or(Ok(()), Err),
            (Ok(false), Ok(())) => Err(panicked()),
            (Err(_), Ok(())) => Err(too_slow()),
        }
    }
}

/// What must be captured now, and the captures that must be begun for it.
async fn missing(
    plan: &Plan,
    sources: &[NamedSource],
    store: &Store,
    captures: &mut Captures,
) -> Result<(MissingTables, ToBegin), RunError> {
    let mut missing = MissingTables::of(store, plan)?;
    let to_begin = captures.adapt(plan, sources, &mut missing).await?;
    Ok((missing, to_begin))
}

/// Starts an attempt at what can be maintained now, if there is anything, and captures what is missing beside it. Also returns the indexes of
/// the sources that the attempt follows.
fn begin(
    setup: &Setup,
    (missing, to_begin): (MissingTables, ToBegin),
    store: &Store,
    report: &Arc<Report>,
    fatal: &Fatal,
    captures: &mut Captures,
) -> Result<(Option<Attempt>, BTreeSet<usize>), RunError> {
    let scope = AttemptScope::new(setup, &missing, &captures.in_one_read(), &captures.staged());
    let attempt = if scope.is_empty() && !scope.is_whole {
        // The views wait for tables, and nothing that was staged is taken.
        start::prepare(store, &scope)?;
        None
    } else {
        Some(Attempt::start(setup, &scope, store, report, fatal)?)
    };
    captures.begin(to_begin);
    fault::point("run.started");
    Ok((attempt, scope.followed()))
}

fn too_slow() -> RunError {
    RunError::Bug(format!("the engine did not stop within {} s", GRACE.as_secs()))
}

fn panicked() -> RunError {
    RunError::Bug("a thread of the engine panicked".into())
}

/// Starts the tasks that outlive an attempt: memory guard, compaction and sinks.
fn follow(setup: &mut Setup, store: &Store, report: &Arc<Report>, fatal: &Fatal, stopping: &watch::Receiver<bool>) -> Vec<JoinHandle<()>> {
    let (memory_fatal, memory_stopping) = (fatal.clone(), stopping.clone());
    let mut followers = vec![
        tokio::task::spawn_blocking(move || memory::guard(Path::new("/"), &memory_fatal, &memory_stopping)),
        tokio::spawn(compact(store.clone(), setup.retention, fatal.clone(), stopping.clone())),
    ];
    for (index, named) in std::mem::take(&mut setup.sinks).into_iter().enumerate() {
        let follower = sink::Follower::new(index, named, &setup.plan, store.clone(), report.clone());
        followers.push(tokio::spawn(follower.follow(fatal.clone(), stopping.clone())));
    }
    followers
}

fn say_interrupted(interruption: &Interruption, wait: Duration, report: &Report) {
    let Interruption { source, name, table, message, cause } = interruption;
    let (wait_ms, seconds) = (wait.as_millis() as u64, wait.as_secs_f64());
    report.progress.start_over();
    report.start_over();
    match cause {
        Cause::CutOff => {
            tracing::warn!(source = name, reason = message, wait_ms, "snapshot cut off");
            report.source_waits(*source, format!("snapshot of `{name}` was cut off: {message}; starts over in {seconds:.1} s"));
        }
        Cause::Resync => {
            let what = table.as_ref().map_or(format!("`{name}`"), |table| format!("`{table}` of `{name}`"));
            tracing::error!(source = name, table, reason = message, wait_ms, "source must be captured again");
            report.capture_waits(
                *source,
                format!("{what} is captured again in {seconds:.1} s, the views keep their old rows until then: {message}"),
            );
        }
    }
}

/// Drops changelog entries that neither a sink nor the retention needs, at the start and then every [`COMPACT_EVERY`].
async fn compact(store: Store, retention: Retention, fatal: Fatal, mut stopping: watch::Receiver<bool>) {
    loop {
        if let Err(error) = tokio::task::block_in_place(|| store.compact_all(&retention)) {
            let _ = fatal.send(error.into()).await;
            return;
        }
        tokio::select! {
            () = tokio::time::sleep(COMPACT_EVERY) => {}
            _ = stopping.wait_for(|stop| *stop) => return,
        }
    }
}

/// Converts a source's table to a table of a plan.
pub fn plan_table(source: &str, table: &Table) -> PlanTable {
    let Table { name, schema, key, stream } = table.clone();
    PlanTable { source: source.into(), name, schema, key, stream, arrival: false }
}
