//! One attempt at maintaining the views: the sources, the workers that they feed, and the committer of the workers' results.
//!
//! A run has one attempt at a time. The next one begins when tables that were captured beside it join it (`captures`), or when it is interrupted.
//! If a snapshot is cut off, the attempt is abandoned, because the rows that the workers got cannot be taken back; the next attempt begins from
//! the store, which has nothing of it. If tables must be captured again, everything before is committed, and the next attempt goes on without
//! them, or begins with a snapshot of their source; the differences from the stored views are committed in one tick. Elsewhere: sinks, which
//! follow the store and outlive the attempt.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread::JoinHandle;

use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle as TaskHandle, spawn_blocking};

use super::commit::CommitterEnd;
use super::held::StoredRows;
use super::report::Report;
use super::scope::AttemptScope;
use super::supervise::{self, Interruption, Surroundings};
use super::worker::Workers;
use super::{Fatal, RunError, Setup, ingest, start, worker};
use crate::store::Store;
use crate::value::Tick;

pub(super) struct Attempt {
    sources: Vec<TaskHandle<()>>,
    /// For each source, its access to the store.
    held: Vec<Arc<StoredRows>>,
    ingest: JoinHandle<()>,
    workers: Workers,
    committer: JoinHandle<()>,
    /// The first tick, if it must be committed.
    first: Option<Tick>,
    stop: watch::Sender<bool>,
    interrupted: mpsc::Receiver<Interruption>,
    /// Keeps the channel open, so that `interrupted` only returns an interruption.
    _interrupt: mpsc::Sender<Interruption>,
}

impl Attempt {
    /// Starts sources, workers, ingest and committer from the state of the store.
    pub(super) fn start(
        setup: &Setup,
        scope: &AttemptScope,
        store: &Store,
        report: &Arc<Report>,
        fatal: &Fatal,
    ) -> Result<Attempt, RunError> {
        let start = start::prepare(store, scope)?;
        let AttemptScope { plan, sources, is_whole, .. } = scope;
        let (committer, workers) = worker::spawn(plan, &start, setup.workers, fatal.clone())?;
        let (interrupt, interrupted) = mpsc::channel(sources.len() + 1);
        let halted = Arc::new(AtomicBool::new(false));
        let ends = CommitterEnd { interrupt: interrupt.clone(), halted: halted.clone(), fatal: fatal.clone() };
        let committer = committer.run(store.clone(), plan, &start, report.clone(), ends);
        let (stop, stopping) = watch::channel(false);
        let around = Surroundings {
            is_whole: *is_whole,
            until_caught_up: setup.until_caught_up && *is_whole,
            report: report.clone(),
            fatal: fatal.clone(),
            interrupt: interrupt.clone(),
            stopping,
        };
        let held: Vec<_> = sources.iter().map(|source| Arc::new(StoredRows::new(store, plan, source))).collect();
        let started = sources.iter().zip(&held).enumerate();
        let started = started.map(|(index, (source, held))| supervise::start(index, source.clone(), held.clone(), &start, &around));
        let (incoming, sources) = started.unzip();
        let (feeds, to_commit) = (workers.feeds(), workers.to_commit());
        let max = setup.max_transaction_bytes;
        let ingest = ingest::start(store.clone(), plan, &start, incoming, feeds, to_commit, halted, max, &around);
        let first = start.builds().then_some(start.tick);
        Ok(Attempt { sources, held, ingest, workers, committer, first, stop, interrupted, _interrupt: interrupt })
    }

    /// The first tick, if it must be committed.
    pub(super) fn first(&self) -> Option<Tick> {
        self.first
    }

    async fn join(self) -> bool {
        for source in self.sources {
            let _ = source.await;
        }
        self.held.iter().for_each(|held| held.release());
        let joined = spawn_blocking(move || {
            let ingest = self.ingest.join().is_ok();
            let workers = self.workers.join();
            self.committer.join().is_ok() && ingest && workers
        });
        joined.await.unwrap_or(false)
    }
}

/// Returns once the attempt is interrupted, which must then be finished.
pub(super) async fn interrupted(attempt: &mut Option<Attempt>) -> Interruption {
    let Some(attempt) = attempt else { return std::future::pending().await };
    match attempt.interrupted.recv().await {
        Some(interruption) => interruption,
        None => std::future::pending().await,
    }
}

/// Ends the sources and commits what they sent, except an incomplete snapshot, which is dropped. Returns false if a thread panicked.
pub(super) async fn finish(attempt: Option<Attempt>) -> bool {
    let Some(attempt) = attempt else { return true };
    attempt.stop.send_replace(true);
    attempt.join().await
}
