//! Keeps a source running: remembers its last position, and restarts it there after a transient error.

use std::sync::Arc;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use super::report::{Report, SourcePhase};
use super::retry::{Backoff, CONNECTION};
use super::start::Start;
use super::{Fatal, NamedSource, RunError};
use crate::fault;
use crate::sources::{Capture, Event, HeldRows, SourceError};
use crate::value::Position;

/// A running source, as ingest sees it.
#[derive(Debug)]
pub(super) struct Incoming {
    pub(super) name: String,
    pub(super) events: mpsc::Receiver<Event>,
    /// The full names of its tables.
    pub(super) tables: Vec<String>,
    /// Whether the source begins with a snapshot.
    pub(super) snapshots: bool,
    /// See [`Source::captures_the_present`](crate::sources::Source::captures_the_present).
    pub(super) captures_the_present: bool,
}

/// A source that ends the attempt, and why.
#[derive(Debug)]
pub(super) struct Interruption {
    pub(super) source: usize,
    pub(super) name: String,
    /// The only table that is concerned; `None` for all of the source.
    pub(super) table: Option<String>,
    pub(super) message: String,
    pub(super) cause: Cause,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause {
    /// A snapshot failed after a part of it was sent: nothing of it is kept.
    CutOff,
    /// The source's log does not continue from the stored rows: everything before is committed, then the source is captured again.
    Resync,
}

/// What all sources of an attempt share.
#[derive(Debug, Clone)]
pub(super) struct Surroundings {
    /// Whether the attempt maintains everything.
    pub(super) is_whole: bool,
    pub(super) until_caught_up: bool,
    pub(super) report: Arc<Report>,
    pub(super) fatal: Fatal,
    pub(super) interrupt: mpsc::Sender<Interruption>,
    pub(super) stopping: watch::Receiver<bool>,
}

/// The capacity of the channel of a source's events.
const EVENTS: usize = 8;

/// Starts a task that runs a source and restarts it after transient errors. Ingest receives its events from the returned [`Incoming`].
pub(super) fn start(
    index: usize,
    source: NamedSource,
    held: Arc<dyn HeldRows>,
    start: &Start,
    around: &Surroundings,
) -> (Incoming, JoinHandle<()>) {
    let from = start.position_of(&source.name);
    let (out, events) = mpsc::channel(EVENTS);
    let incoming = Incoming {
        name: source.name.clone(),
        events,
        tables: source.tables.iter().map(|t| format!("{}.{}", source.name, t.name)).collect(),
        snapshots: from.is_none() && start.captures.contains(&source.name),
        captures_the_present: source.source.captures_the_present(),
    };
    let Surroundings { until_caught_up, report, fatal, interrupt, stopping, .. } = around.clone();
    let supervisor = Supervisor { index, held, from, until_caught_up, report, out, fatal, interrupt };
    let task = tokio::spawn(async move {
        // All tables of a source may be captured beside the attempt.
        if !source.tables.is_empty() {
            supervisor.run(source, stopping).await;
        }
    });
    (incoming, task)
}

struct Supervisor {
    index: usize,
    held: Arc<dyn HeldRows>,
    /// The position to resume from; `None` before the end of the snapshot.
    from: Option<Position>,
    until_caught_up: bool,
    report: Arc<Report>,
    out: mpsc::Sender<Event>,
    fatal: Fatal,
    interrupt: mpsc::Sender<Interruption>,
}

enum Forwarded {
    Yes,
    /// Ingest has ended.
    Closed,
}

impl Supervisor {
    async fn run(mut self, source: NamedSource, mut stopping: watch::Receiver<bool>) {
        let mut backoff = Backoff::new(CONNECTION);
        loop {
            let before = self.from.clone();
            backoff.begin();
            let result = tokio::select! {
                result = self.run_once(&source) => result,
                _ = stopping.wait_for(|stop| *stop) => return,
            };
            let Err(error) = result else { return };
            let mut table = None;
            let (message, cause) = match error {
                SourceError::Transient { message } if self.from.is_none() && self.report.progress.snapshot_began(self.index) => {
                    (message, Some(Cause::CutOff))
                }
                SourceError::Transient { message } => (message, None),
                SourceError::Resync { message, .. } if self.from.is_none() => (message, Some(Cause::CutOff)),
                SourceError::Resync { message, table: of } => {
                    table = of;
                    (message, Some(Cause::Resync))
                }
                SourceError::Redefined { message } => {
                    self.report.source_waits(self.index, format!("{message}: the views are planned again"));
                    let _ = self.fatal.send(RunError::Redefined { source_name: source.name, message }).await;
                    return;
                }
                error => {
                    let _ = self.fatal.send(RunError::Source { source_name: source.name, error }).await;
                    return;
                }
            };
            if let Some(cause) = cause {
                let _ = self.interrupt.send(Interruption { source: self.index, name: source.name, table, message, cause }).await;
                return;
            }
            if self.from != before {
                backoff.progressed();
            }
            let wait = backoff.pause();
            tracing::warn!(source = source.name, reason = message, wait_ms = wait.as_millis() as u64, "source interrupted");
            self.report.source_waits(self.index, format!("{message}; tries again in {:.1} s", wait.as_secs_f64()));
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                _ = stopping.wait_for(|stop| *stop) => return,
            }
        }
    }

    async fn run_once(&mut self, source: &NamedSource) -> Result<(), SourceError> {
        let (events, mut received) = mpsc::channel(EVENTS);
        let capture = Capture {
            tables: source.tables.clone(),
            from: self.from.clone(),
            until_caught_up: self.until_caught_up,
            held: self.held.clone(),
        };
        let running = source.source.run(capture, events);
        tokio::pin!(running);
        loop {
            tokio::select! {
                event = received.recv() => match event {
                    Some(event) => if let Forwarded::Closed = self.forward(event).await? { return Ok(()) },
                    None => return running.await,
                },
                result = &mut running => {
                    while let Ok(event) = received.try_recv() {
                        if let Forwarded::Closed = self.forward(event).await? {
                            return Ok(());
                        }
                    }
                    return result;
                }
            }
        }
    }

    async fn forward(&mut self, event: Event) -> Result<Forwarded, SourceError> {
        break_at(&event)?;
        match &event {
            Event::SnapshotDone { position } | Event::Commit { position, .. } | Event::Progress { position, .. } => {
                self.from = Some(position.clone());
                self.report.source_phase(self.index, SourcePhase::Following);
            }
            Event::SnapshotPlan { rows } => self.report.snapshot_plan(self.index, rows),
            Event::Rows { table, rows } => {
                if !rows.is_empty() {
                    self.report.progress.snapshot_sent(self.index);
                }
                self.report.snapshot_rows(self.index, *table, rows.len() as u64);
            }
            Event::Waiting(what) => self.report.source_waits(self.index, what.clone()),
            Event::Changes(_) | Event::Rejected(_) | Event::CaughtUp => {}
        }
        Ok(match self.out.send(event).await {
            Ok(()) => Forwarded::Yes,
            Err(_) => Forwarded::Closed,
        })
    }
}

/// The fault points of a source's events. Between the parts of a transaction a source cannot fail.
fn break_at(event: &Event) -> Result<(), SourceError> {
    let broken = match event {
        Event::Rows { .. } => fault::fallible("source.rows"),
        Event::SnapshotDone { .. } => fault::fallible("source.snapshot_done"),
        Event::Progress { .. } => fault::fallible("source.progress"),
        Event::Changes(_) => {
            fault::point("source.changes");
            Ok(())
        }
        Event::Commit { .. } => {
            fault::point("source.commit");
            Ok(())
        }
        Event::SnapshotPlan { .. } | Event::Rejected(_) | Event::CaughtUp | Event::Waiting(_) => Ok(()),
    };
    broken.map_err(|error| SourceError::Transient { message: error.to_string() })
}
