//! The captures that run beside the attempts, and how far each source with missing tables has come.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::task::{AbortHandle, Id, JoinError, JoinSet};

use super::missing::MissingTables;
use super::report::Report;
use super::staging::{CaptureEnd, TableCapture};
use super::{NamedSource, RunError, panicked};
use crate::plan::Plan;
use crate::store::Store;
use crate::value::{Position, Tick};

/// How long sources are asked how they capture before the attempt begins without those that have not answered.
const ASK_FOR: Duration = Duration::from_secs(2);

/// The captures of a run.
pub(super) struct Captures {
    store: Store,
    report: Arc<Report>,
    /// For sources whose capture is over: how their missing tables join the next attempt.
    known: BTreeMap<String, CaptureEnd>,
    running: BTreeMap<String, RunningCapture>,
    /// How long the next capture of a source waits before it begins.
    delays: BTreeMap<String, Duration>,
    tasks: JoinSet<EndedCapture>,
    /// Captures that are complete and whose tables wait to join the attempt.
    complete: VecDeque<(TableCapture, CaptureEnd)>,
}

/// A capture that is over, and its end.
type EndedCapture = (TableCapture, Result<CaptureEnd, RunError>);

struct RunningCapture {
    tables: BTreeSet<usize>,
    abort: AbortHandle,
}

/// The sources whose captures must be begun.
pub(super) struct ToBegin(Vec<TableCapture>);

impl Captures {
    pub(super) fn new(store: &Store, report: &Arc<Report>) -> Captures {
        Captures {
            store: store.clone(),
            report: report.clone(),
            known: BTreeMap::new(),
            running: BTreeMap::new(),
            delays: BTreeMap::new(),
            tasks: JoinSet::new(),
            complete: VecDeque::new(),
        }
    }

    /// Adapts the captures to what is missing now: ends those of other tables, and asks the sources that have none how they capture. A source
    /// that captures in one read captures all its tables: they are added to `missing`.
    pub(super) async fn adapt(&mut self, plan: &Plan, sources: &[NamedSource], missing: &mut MissingTables) -> Result<ToBegin, RunError> {
        let staged = self.store.staged();
        for source in staged.keys().filter(|source| missing.tables_of(source).is_none()) {
            tokio::task::block_in_place(|| self.store.drop_staged(source))?;
        }
        self.known.retain(|source, captured| match captured {
            CaptureEnd::InOneRead | CaptureEnd::Dropped => false,
            CaptureEnd::Staged(position) => missing.tables_of(source).is_some_and(|tables| {
                let names: BTreeSet<String> = tables.iter().map(|table| plan.tables[*table].full_name()).collect();
                staged.get(source).is_some_and(|state| {
                    let held: BTreeSet<String> = state.inputs.iter().map(|input| input.def.name.clone()).collect();
                    state.exact && state.position.as_ref() == Some(position) && held == names
                })
            }),
        });
        let outdated: Vec<String> = self
            .running
            .iter()
            .filter(|(source, running)| missing.tables_of(source) != Some(&running.tables))
            .map(|(source, _)| source.clone())
            .collect();
        for source in outdated {
            self.end(&source).await;
        }
        self.complete.retain(|(capture, _)| missing.tables_of(&capture.source.name).is_some_and(|tables| *tables == capture.tables));
        let is_idle = |source: &String| {
            let is_complete = self.complete.iter().any(|(capture, _)| capture.source.name == *source);
            !self.known.contains_key(source) && !self.running.contains_key(source) && !is_complete
        };
        let idle: Vec<TableCapture> =
            missing.sources().filter(|source| is_idle(source)).map(|source| self.capture(plan, sources, source, missing)).collect();
        let asked = futures::future::join_all(idle.into_iter().map(|capture| async {
            let in_one_read = matches!(tokio::time::timeout(ASK_FOR, capture.can_stage()).await, Ok(Ok(false)));
            (capture, in_one_read)
        }));
        let mut begin = Vec::new();
        for (capture, in_one_read) in asked.await {
            match in_one_read {
                true => {
                    let name = capture.source.name.clone();
                    if let Some(wait) = self.delays.remove(&name) {
                        tokio::time::sleep(wait).await;
                    }
                    missing.extend_to_all(plan, &name);
                    self.known.insert(name, CaptureEnd::InOneRead);
                }
                false => begin.push(capture),
            }
        }
        Ok(ToBegin(begin))
    }

    fn capture(&self, plan: &Plan, sources: &[NamedSource], source: &str, missing: &MissingTables) -> TableCapture {
        let index = sources.iter().position(|s| s.name == *source).expect("every table's source is one of the run's");
        let tables = missing.tables_of(source).cloned().unwrap_or_default();
        TableCapture::new(index, &sources[index], plan, tables, &self.store, &self.report)
    }

    /// Lets the next capture of a source wait.
    pub(super) fn delay(&mut self, source: &str, wait: Duration) {
        self.delays.insert(source.into(), wait);
    }

    /// Begins captures. What the store has staged must not be taken by an attempt meanwhile.
    pub(super) fn begin(&mut self, ToBegin(captures): ToBegin) {
        for capture in captures {
            let (source, tables) = (capture.source.name.clone(), capture.tables.clone());
            let wait = self.delays.remove(&source).unwrap_or_default();
            let abort = self.tasks.spawn(async move {
                tokio::time::sleep(wait).await;
                let captured = capture.run().await;
                (capture, captured)
            });
            self.running.insert(source, RunningCapture { tables, abort });
        }
    }

    /// The sources that capture in one read.
    pub(super) fn in_one_read(&self) -> BTreeSet<String> {
        self.known.iter().filter(|(_, captured)| **captured == CaptureEnd::InOneRead).map(|(source, _)| source.clone()).collect()
    }

    /// For each source whose missing tables are staged and as far as the others: the position.
    pub(super) fn staged(&self) -> BTreeMap<String, Position> {
        let staged = |(source, captured): (&String, &CaptureEnd)| match captured {
            CaptureEnd::Staged(position) => Some((source.clone(), position.clone())),
            CaptureEnd::InOneRead | CaptureEnd::Dropped => None,
        };
        self.known.iter().filter_map(staged).collect()
    }

    /// Returns once the tables of a source can join: its capture is complete, the first tick of the attempt is committed, and, if the attempt
    /// follows the source, it has reached the position of the capture. `first`: the first tick, if it must be committed; `followed`: the indexes
    /// of the sources that the attempt follows.
    pub(super) async fn ready(&mut self, first: Option<Tick>, followed: &BTreeSet<usize>) -> Result<(), RunError> {
        while self.complete.is_empty() {
            let Some(ended) = self.tasks.join_next_with_id().await else { return std::future::pending().await };
            self.ended(ended)?;
        }
        let mut committed = self.store.committed();
        loop {
            committed.mark_unchanged();
            let checkpoint = self.store.checkpoint();
            let is_first_committed = first.is_none_or(|first| checkpoint.as_ref().is_some_and(|checkpoint| checkpoint.tick >= first));
            let (capture, captured) = &self.complete[0];
            let position = checkpoint.as_ref().and_then(|checkpoint| checkpoint.sources.get(&capture.source.name));
            let is_reached = match captured {
                CaptureEnd::Staged(wanted) if followed.contains(&capture.index) => {
                    position.is_some_and(|at| capture.source.source.reaches(&at.position, wanted))
                }
                _ => true,
            };
            tracing::debug!(source = capture.source.name, ?captured, is_first_committed, is_reached, "captured");
            if is_first_committed && is_reached {
                return Ok(());
            }
            let _ = committed.changed().await;
        }
    }

    fn ended(&mut self, ended: Result<(Id, EndedCapture), JoinError>) -> Result<(), RunError> {
        match ended {
            // It ended when another one had taken its place.
            Ok((id, (capture, _))) if self.running.get(&capture.source.name).is_none_or(|running| running.abort.id() != id) => Ok(()),
            Ok((_, (capture, captured))) => {
                self.running.remove(&capture.source.name);
                self.complete.push_back((capture, captured?));
                Ok(())
            }
            Err(error) if error.is_cancelled() => Ok(()),
            Err(_) => Err(panicked()),
        }
    }

    /// Lets the tables that are [ready](Captures::ready) join the next attempt. No attempt may run. `followed`: the sources that the last attempt
    /// followed.
    pub(super) async fn join(&mut self, followed: &BTreeSet<usize>) -> Result<(), RunError> {
        let Some((capture, captured)) = self.complete.pop_front() else { return Ok(()) };
        let name = capture.source.name.clone();
        let at = self.store.checkpoint().and_then(|checkpoint| checkpoint.sources.get(&name).map(|at| at.position.clone()));
        let joined = match (captured, at.filter(|_| followed.contains(&capture.index))) {
            (CaptureEnd::Staged(position), Some(at)) if position != at => capture.follow_until(at.clone()).await?,
            (captured, _) => captured,
        };
        self.report.capture_ended(capture.index);
        self.known.insert(name, joined);
        Ok(())
    }

    /// Ends the capture of a source.
    async fn end(&mut self, source: &str) {
        let Some(running) = self.running.remove(source) else { return };
        running.abort.abort();
        // The store must not be written any more when this returns.
        while !running.abort.is_finished() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// Ends all captures.
    pub(super) async fn end_all(mut self) {
        self.tasks.shutdown().await;
    }
}
