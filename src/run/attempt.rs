//! One go at maintaining the views: the sources, the workers that they feed, and what commits the workers' results.
//!
//! A run has one, unless a snapshot is cut off. What the workers were fed cannot be taken back, so then the attempt is abandoned with all
//! that it holds, and another one begins from the store, which kept nothing of it. Elsewhere: sinks, which follow the store and outlive it.

use std::sync::Arc;
use std::thread::JoinHandle;

use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle as TaskHandle, spawn_blocking};

use super::status::Status;
use super::supervise::{self, CutOff, Surroundings};
use super::worker::Workers;
use super::{Fatal, RunError, Setup, ingest, start, worker};
use crate::store::Store;

pub(super) struct Attempt {
    sources: Vec<TaskHandle<()>>,
    ingest: JoinHandle<()>,
    workers: Workers,
    committer: JoinHandle<()>,
    stop: watch::Sender<bool>,
    cut_off: mpsc::Receiver<CutOff>,
    /// So that waiting for a cut-off ends with one only.
    _cut_off: mpsc::Sender<CutOff>,
}

impl Attempt {
    /// Begins with what the store has.
    pub(super) fn start(setup: &Setup, store: &Store, status: &Arc<Status>, fatal: &Fatal) -> Result<Attempt, RunError> {
        let start = start::prepare(store, &setup.plan)?;
        let (committer, workers) = worker::spawn(&setup.plan, &start, setup.workers, fatal.clone())?;
        let committer = committer.run(store.clone(), &setup.plan, &start, status.clone(), fatal.clone());
        let (stop, stopping) = watch::channel(false);
        let (cut_off_in, cut_off) = mpsc::channel(1);
        let around = Surroundings {
            until_caught_up: setup.until_caught_up,
            status: status.clone(),
            fatal: fatal.clone(),
            cut_off: cut_off_in.clone(),
            stopping,
        };
        let started = setup.sources.iter().enumerate().map(|(index, source)| supervise::start(index, source.clone(), &start, &around));
        let (incoming, sources) = started.unzip();
        let (feeds, to_commit) = (workers.feeds(), workers.to_commit());
        let ingest = ingest::start(store.clone(), &setup.plan, &start, incoming, feeds, to_commit, status.clone(), fatal.clone());
        Ok(Attempt { sources, ingest, workers, committer, stop, cut_off, _cut_off: cut_off_in })
    }

    async fn join(self) -> bool {
        for source in self.sources {
            let _ = source.await;
        }
        let joined = spawn_blocking(move || {
            let ingest = self.ingest.join().is_ok();
            let workers = self.workers.join();
            self.committer.join().is_ok() && ingest && workers
        });
        joined.await.unwrap_or(false)
    }
}

/// Returns once a snapshot was cut off: the attempt can only be abandoned then.
pub(super) async fn cut_off(attempt: &mut Option<Attempt>) -> CutOff {
    let Some(attempt) = attempt else { return std::future::pending().await };
    match attempt.cut_off.recv().await {
        Some(cut_off) => cut_off,
        None => std::future::pending().await,
    }
}

/// Ends the sources and commits whatever they sent, unless a snapshot is not whole: of that nothing is kept. False where a thread panicked.
pub(super) async fn finish(attempt: Option<Attempt>) -> bool {
    let Some(attempt) = attempt else { return true };
    attempt.stop.send_replace(true);
    attempt.join().await
}
