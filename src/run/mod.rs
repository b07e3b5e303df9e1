//! Where the parts meet: sources, workers, store and sinks, and the channels between them.
//!
//! ```text
//! source tasks --events--> ingest --rows, ticks--> workers --documents, ticks done--> committer --one batch--> store
//!                             `------------- ticks, positions, input rows ----------------^          store --> sink tasks
//! ```
//! Every channel is bounded, so a slow sink or disk slows the sources and nothing grows. A tick is committed once every worker has
//! finished it, with its positions and input rows, in one batch. Elsewhere: what a spec means (`spec`), how a view is maintained
//! (`dataflow`), what a commit makes durable (`store`).

mod arrival;
mod attempt;
mod commit;
mod copy;
mod held;
mod ingest;
mod memory;
mod sink;
mod start;
mod status;
mod supervise;
mod worker;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use self::attempt::Attempt;
use self::supervise::{Cause, Interruption};
use crate::fault;
use crate::plan::{Plan, PlanTable};
use crate::sinks::{Sink, SinkError};
use crate::sources::{Source, SourceError, Table};
use crate::store::{Retention, Store, StoreError, Sync};

pub use copy::{Comparison, compare, repair};
pub use sink::shape_of;
pub use status::{SinkStatus, SourcePhase, SourceStatus, Status, TableProgress, ViewStatus};

/// Everything that a run needs, opened and checked.
pub struct Setup {
    pub plan: Plan,
    pub sources: Vec<NamedSource>,
    pub sinks: Vec<NamedSink>,
    /// The state folder.
    pub state: PathBuf,
    pub sync: Sync,
    /// How much of the changelogs is kept for readers that come later.
    pub retention: Retention,
    pub workers: usize,
    /// About how much memory a transaction may take until it is durable. A larger one is not followed row by row, but its source
    /// captured again; unless that would lead through the same transaction, as with files.
    pub max_transaction_bytes: u64,
    /// End once everything that the sources have now is durable and in every sink.
    pub until_caught_up: bool,
}

#[derive(Clone)]
pub struct NamedSource {
    pub name: String,
    pub source: Arc<dyn Source>,
    /// Those of [`Plan::tables`] that are this source's, in their order, as the source describes them.
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

/// Why a run ended before it was told to.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("source `{source_name}`: {error}")]
    Source { source_name: String, error: SourceError },
    #[error("sink `{sink_name}`: {error}")]
    Sink { sink_name: String, error: SinkError },
    /// The state stays as of the last commit. What the run still holds is left to the end of the process.
    #[error("{} of the {} MB of memory that {name} allows are used", used >> 20, limit >> 20)]
    Memory { used: u64, limit: u64, name: String },
    #[error("bug: {0}")]
    Bug(String),
}

impl RunError {
    /// What the user can do about it, where there is something.
    pub fn help(&self) -> Option<String> {
        match self {
            RunError::Store(error) => error.help(),
            RunError::Source { error: SourceError::Invalid { help, .. } | SourceError::Stopped { help, .. }, .. } => help.clone(),
            RunError::Source { error: SourceError::Option(error), .. } | RunError::Sink { error: SinkError::Option(error), .. } => {
                error.help.clone()
            }
            RunError::Sink { error: SinkError::Stopped { help, .. }, .. } => help.clone(),
            RunError::Memory { .. } => Some(
                "allow more, or maintain less; `tidemill explain` estimates what each view holds. The state is as of the last commit"
                    .into(),
            ),
            RunError::Source { .. } | RunError::Sink { .. } | RunError::Bug(_) => None,
        }
    }
}

/// What a part tells the run when it cannot go on.
pub(crate) type Fatal = mpsc::Sender<RunError>;

/// How often what nobody needs any more, or what is too much, is dropped.
const COMPACT_EVERY: Duration = Duration::from_secs(10);

/// How long after a snapshot was cut off or called for everything starts over: at first, and at most, since each time the whole of it is
/// read again. An attempt that lasted longer than that was a success.
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// How long what is under way may take to end after the stop was asked for.
const GRACE: Duration = Duration::from_secs(20);

/// A store opened for a run, and what the run shows of itself meanwhile.
pub struct Engine {
    setup: Setup,
    store: Store,
    status: Arc<Status>,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.setup.fmt(f)
    }
}

impl Engine {
    /// Takes the state folder.
    pub fn open(setup: Setup) -> Result<Engine, RunError> {
        let store = Store::open(&setup.state, setup.sync)?;
        Engine::over(setup, store)
    }

    /// With the state folder taken already.
    pub fn over(setup: Setup, store: Store) -> Result<Engine, RunError> {
        let names: Vec<&str> = setup.sinks.iter().map(|sink| sink.name.as_str()).collect();
        let left = store.release_readers_but(&names)?.into_iter().map(|reader| reader.name).collect();
        let status = Arc::new(Status::new(&setup, left));
        Ok(Engine { setup, store, status })
    }

    pub fn store(&self) -> &Store {
        &self.store
    }

    pub fn status(&self) -> &Arc<Status> {
        &self.status
    }

    /// Runs until `stop` becomes true, until caught up where that was asked for, or until something cannot go on. What was committed
    /// stays in any case. Holds nothing of the store once it has returned: the state folder can be opened again. Must be called on a tokio
    /// runtime of several threads.
    pub async fn run(self, mut stop: watch::Receiver<bool>) -> Result<(), RunError> {
        let Engine { mut setup, store, status } = self;
        let (fatal, mut failures) = mpsc::channel(16);
        let mut attempt = Some(Attempt::start(&setup, &store, &status, &fatal)?);
        let (stop_followers, stopping) = watch::channel(false);
        let followers = follow(&mut setup, &store, &status, &fatal, &stopping);
        fault::point("run.started");
        let mut wait = FIRST_WAIT;
        let mut began = Instant::now();
        let result = loop {
            let interruption = tokio::select! {
                Some(error) = failures.recv() => break Err(error),
                _ = stop.wait_for(|stop| *stop) => break Ok(()),
                done = status.wait_until_caught_up(setup.until_caught_up) => break done,
                interruption = attempt::interrupted(&mut attempt) => interruption,
            };
            if !attempt::finish(attempt.take()).await {
                break Err(panicked());
            }
            if began.elapsed() > LONGEST_WAIT {
                wait = FIRST_WAIT;
            }
            if interruption.cause == Cause::Resync
                && let Err(error) = tokio::task::block_in_place(|| store.note_resync(&interruption.name, &interruption.message))
            {
                break Err(error.into());
            }
            say_interrupted(&interruption, wait, &status);
            tokio::select! {
                _ = stop.wait_for(|stop| *stop) => break Ok(()),
                () = tokio::time::sleep(wait) => {}
            }
            wait = (wait * 2).min(LONGEST_WAIT);
            began = Instant::now();
            match Attempt::start(&setup, &store, &status, &fatal) {
                Ok(next) => attempt = Some(next),
                Err(error) => break Err(error),
            }
        };
        stop_followers.send_replace(true);
        if let Err(error @ RunError::Memory { .. }) = result {
            // To end in order takes more of what there is no more of.
            return Err(error);
        }
        let left = async { tokio::join!(attempt::finish(attempt), futures::future::join_all(followers)).0 };
        match (tokio::time::timeout(GRACE, left).await, result) {
            (_, Err(error)) => Err(error),
            (Ok(true), Ok(())) => failures.try_recv().map_or(Ok(()), Err),
            (Ok(false), Ok(())) => Err(panicked()),
            (Err(_), Ok(())) => Err(RunError::Bug(format!("the engine did not stop within {} s", GRACE.as_secs()))),
        }
    }
}

fn panicked() -> RunError {
    RunError::Bug("a thread of the engine panicked".into())
}

/// Starts what follows the store: the sinks, and the compaction.
fn follow(setup: &mut Setup, store: &Store, status: &Arc<Status>, fatal: &Fatal, stopping: &watch::Receiver<bool>) -> Vec<JoinHandle<()>> {
    let (memory_fatal, memory_stopping) = (fatal.clone(), stopping.clone());
    let mut followers = vec![
        tokio::task::spawn_blocking(move || memory::guard(Path::new("/"), &memory_fatal, &memory_stopping)),
        tokio::spawn(compact(store.clone(), setup.retention, fatal.clone(), stopping.clone())),
    ];
    for (index, named) in std::mem::take(&mut setup.sinks).into_iter().enumerate() {
        let follower = sink::Follower::new(index, named, &setup.plan, store.clone(), status.clone());
        followers.push(tokio::spawn(follower.follow(fatal.clone(), stopping.clone())));
    }
    followers
}

fn say_interrupted(Interruption { source, name, message, cause }: &Interruption, wait: Duration, status: &Status) {
    let (wait_ms, seconds) = (wait.as_millis() as u64, wait.as_secs_f64());
    match cause {
        Cause::CutOff => {
            tracing::warn!(source = name, reason = message, wait_ms, "snapshot cut off");
            status.start_over(*source, format!("snapshot of `{name}` was cut off: {message}; starts over in {seconds:.1} s"));
        }
        Cause::Resync => {
            tracing::error!(source = name, reason = message, wait_ms, "source must be captured again");
            status.start_over(*source, format!("`{name}` is captured again in {seconds:.1} s, the old answers stay until then: {message}"));
        }
    }
}

/// Drops what of the changelogs neither a sink nor the retention needs, at the start and again and again.
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

/// A source's table as a plan knows it.
pub fn plan_table(source: &str, table: &Table) -> PlanTable {
    let Table { name, schema, key, stream } = table.clone();
    PlanTable { source: source.into(), name, schema, key, stream, arrival: false }
}
