//! Captures the missing tables of one source beside the attempt: what the source sends is staged in the store.
//!
//! In: a source and the tables that must be captured. Out: the position as of which they are exact, or that the source captures them in one
//! consistent read, which is then a part of the next attempt. Lost connections are tried again, with what is staged. Elsewhere: who decides
//! what is missing (`missing`), and when the tables join the others (`captures`).

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::block_in_place;

use super::missing::input_of;
use super::report::Report;
use super::retry::{ATTEMPT, Backoff, CONNECTION};
use super::{NamedSource, RunError};
use crate::fault;
use crate::plan::{Plan, PlanTable};
use crate::sources::{Rejected, SourceError, StagedCapture, StagedEvent, StagedMark};
use crate::store::{InputDef, RejectedRecord, Staging, Store, StoreError};
use crate::value::Position;

/// The capacity of the channel of a source's events.
const EVENTS: usize = 8;

/// How the tables of a source are captured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum CaptureEnd {
    /// All at once, by the next attempt.
    InOneRead,
    /// They are staged, exact as of this position.
    Staged(Position),
    /// What was staged does not lead to the position of the other tables; it is dropped, and the tables are captured anew.
    Dropped,
}

/// The missing tables of one source.
#[derive(Clone)]
pub(super) struct TableCapture {
    /// The index of the source in the setup.
    pub(super) index: usize,
    /// The source with only these tables.
    pub(super) source: NamedSource,
    /// The tables, as indexes into the plan's.
    pub(super) tables: BTreeSet<usize>,
    inputs: Vec<InputDef>,
    /// For each table, its index among all of the source's.
    shown: Vec<usize>,
    /// Whether a table needs more than its rows, so that it cannot be staged.
    is_ordered: bool,
    store: Store,
    report: Arc<Report>,
}

impl TableCapture {
    /// `tables`: indexes into the plan's tables, all of this source.
    pub(super) fn new(
        index: usize,
        source: &NamedSource,
        plan: &Plan,
        tables: BTreeSet<usize>,
        store: &Store,
        report: &Arc<Report>,
    ) -> TableCapture {
        let of_plan: Vec<&PlanTable> = tables.iter().map(|table| &plan.tables[*table]).collect();
        let shown: Vec<usize> =
            (0..source.tables.len()).filter(|table| of_plan.iter().any(|t| t.name == source.tables[*table].name)).collect();
        let own = NamedSource { tables: shown.iter().map(|table| source.tables[*table].clone()).collect(), ..source.clone() };
        TableCapture {
            index,
            inputs: of_plan.iter().map(|table| input_of(table)).collect(),
            is_ordered: of_plan.iter().any(|table| table.arrival),
            tables,
            source: own,
            shown,
            store: store.clone(),
            report: report.clone(),
        }
    }

    /// Whether the source can stage the tables now.
    pub(super) async fn can_stage(&self) -> Result<bool, SourceError> {
        Ok(!self.is_ordered && self.source.source.stages(&self.source.tables).await?)
    }

    /// Captures the tables, as often as it takes.
    pub(super) async fn run(&self) -> Result<CaptureEnd, RunError> {
        self.persist(None).await
    }

    /// Brings the staged tables to exactly this position, which is the one that [`run`](TableCapture::run) returned or a later one. Returns
    /// `Staged` with it, or `Dropped`.
    pub(super) async fn follow_until(&self, until: Position) -> Result<CaptureEnd, RunError> {
        self.persist(Some(until)).await
    }

    async fn persist(&self, until: Option<Position>) -> Result<CaptureEnd, RunError> {
        let (mut cut_off, mut again) = (Backoff::new(CONNECTION), Backoff::new(ATTEMPT));
        let name = &self.source.name;
        loop {
            cut_off.begin();
            again.begin();
            let staged_before = self.store.staged().remove(name);
            let error = match self.try_once(until.clone()).await {
                Ok(captured) => return Ok(captured),
                Err(CaptureError::Run(error)) => return Err(error),
                Err(CaptureError::Source(error)) => error,
            };
            let wait = match error {
                SourceError::Transient { message } => {
                    if self.store.staged().remove(name) != staged_before {
                        cut_off.progressed();
                    }
                    let wait = cut_off.pause();
                    tracing::warn!(source = name, reason = message, wait_ms = wait.as_millis() as u64, "capture interrupted");
                    self.waits(&message, "goes on", wait);
                    wait
                }
                SourceError::Resync { message, .. } => {
                    block_in_place(|| self.store.drop_staged(name))?;
                    if until.is_some() {
                        tracing::warn!(source = name, reason = message, "what was captured is of no use");
                        return Ok(CaptureEnd::Dropped);
                    }
                    let wait = again.pause();
                    tracing::warn!(source = name, reason = message, wait_ms = wait.as_millis() as u64, "capture starts over");
                    self.waits(&message, "the capture starts over", wait);
                    wait
                }
                SourceError::Redefined { message } => {
                    block_in_place(|| self.store.drop_staged(name))?;
                    return Err(RunError::Redefined { source_name: name.clone(), message });
                }
                error => return Err(RunError::Source { source_name: name.clone(), error }),
            };
            tokio::time::sleep(wait).await;
        }
    }

    fn waits(&self, message: &str, what: &str, wait: Duration) {
        self.report.capture_waits(self.index, format!("{message}; {what} in {:.1} s", wait.as_secs_f64()));
    }

    async fn try_once(&self, until: Option<Position>) -> Result<CaptureEnd, CaptureError> {
        if until.is_none() && !self.can_stage().await? {
            block_in_place(|| self.store.drop_staged(&self.source.name))?;
            return Ok(CaptureEnd::InOneRead);
        }
        let mut staging = block_in_place(|| self.store.stage(&self.source.name, &self.inputs))?;
        let capture =
            StagedCapture { tables: self.source.tables.clone(), progress: staging.progress(), from: staging.position().cloned(), until };
        let (out, mut events) = mpsc::channel(EVENTS);
        let running = self.source.source.stage(capture, out);
        tokio::pin!(running);
        let mut exact = None;
        let ended = loop {
            tokio::select! {
                event = events.recv() => match event {
                    Some(event) => self.take(&mut staging, event, &mut exact)?,
                    None => break running.await,
                },
                ended = &mut running => {
                    while let Ok(event) = events.try_recv() {
                        self.take(&mut staging, event, &mut exact)?;
                    }
                    break ended;
                }
            }
        };
        ended?;
        match exact {
            Some(position) => Ok(CaptureEnd::Staged(position)),
            None => Err(CaptureError::Run(RunError::Bug(format!("source `{}` ended its capture too early", self.source.name)))),
        }
    }

    /// Stages what the source has sent. `exact` becomes the position as of which everything is exact.
    fn take(&self, staging: &mut Staging, event: StagedEvent, exact: &mut Option<Position>) -> Result<(), CaptureError> {
        let cut_off = |error: std::io::Error| SourceError::Transient { message: error.to_string() };
        match event {
            StagedEvent::Plan { expected, read } => {
                for (table, (expected, read)) in expected.into_iter().zip(read).enumerate() {
                    self.report.capture_plan(self.index, self.shown[table], expected, read);
                }
            }
            StagedEvent::Rows { table, rows } => {
                fault::fallible("source.staged_rows").map_err(cut_off)?;
                self.report.capture_rows(self.index, self.shown[table], rows.len() as u64);
                block_in_place(|| staging.add(table, &rows))?;
            }
            StagedEvent::Changes(deltas) => block_in_place(|| staging.apply(&deltas))?,
            StagedEvent::Rejected(Rejected { table, place, reason }) => {
                staging.reject(RejectedRecord { table: table.unwrap_or_default(), place, reason });
            }
            StagedEvent::Waiting(what) => self.report.capture_waits(self.index, what),
            StagedEvent::Reached(StagedMark { progress, position, exact: is_exact }) => {
                fault::fallible("source.staged").map_err(cut_off)?;
                block_in_place(|| staging.save(&progress, &position, is_exact))?;
                tracing::debug!(source = self.source.name, %position, is_exact, "staged");
                *exact = is_exact.then_some(position);
            }
        }
        Ok(())
    }
}

/// Why a try ended.
enum CaptureError {
    Source(SourceError),
    /// The run ends with it.
    Run(RunError),
}

impl From<SourceError> for CaptureError {
    fn from(error: SourceError) -> CaptureError {
        CaptureError::Source(error)
    }
}

impl From<StoreError> for CaptureError {
    fn from(error: StoreError) -> CaptureError {
        CaptureError::Run(error.into())
    }
}
