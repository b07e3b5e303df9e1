//! Keeps a source running: remembers where it got to, and starts it again there when the outside fails.

use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use super::start::Start;
use super::status::{SourcePhase, Status};
use super::{Fatal, NamedSource, RunError};
use crate::fault;
use crate::sources::{Capture, Event, HeldRows, SourceError};
use crate::value::Position;
use std::sync::Arc;

/// A running source, as ingest sees it.
#[derive(Debug)]
pub(super) struct Incoming {
    pub(super) name: String,
    pub(super) events: mpsc::Receiver<Event>,
    /// Where its tables are in the plan's.
    pub(super) tables: Vec<String>,
    /// Whether it begins with a snapshot.
    pub(super) snapshots: bool,
    /// See [`Source::captures_the_present`](crate::sources::Source::captures_the_present).
    pub(super) captures_the_present: bool,
}

/// The attempt is over, because of a source.
#[derive(Debug)]
pub(super) struct Interruption {
    pub(super) source: usize,
    pub(super) name: String,
    pub(super) message: String,
    pub(super) cause: Cause,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause {
    /// A snapshot of which a part was sent cannot go on: nothing of it is kept.
    CutOff,
    /// The source's log does not lead on from what is held: what came before stands, then the source is captured again.
    Resync,
}

/// What every source of an attempt is run with.
#[derive(Debug, Clone)]
pub(super) struct Surroundings {
    pub(super) until_caught_up: bool,
    pub(super) status: Arc<Status>,
    pub(super) fatal: Fatal,
    pub(super) interrupt: mpsc::Sender<Interruption>,
    pub(super) stopping: watch::Receiver<bool>,
}

const EVENTS: usize = 8;
const FIRST_WAIT: Duration = Duration::from_millis(200);
const LONGEST_WAIT: Duration = Duration::from_secs(10);

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
        snapshots: from.is_none(),
        captures_the_present: source.source.captures_the_present(),
    };
    let Surroundings { until_caught_up, status, fatal, interrupt, stopping } = around.clone();
    let supervisor = Supervisor { index, held, from, until_caught_up, status, out, fatal, interrupt };
    let task = tokio::spawn(async move { supervisor.run(source, stopping).await });
    (incoming, task)
}

struct Supervisor {
    index: usize,
    held: Arc<dyn HeldRows>,
    /// Where to go on.
    from: Option<Position>,
    until_caught_up: bool,
    status: Arc<Status>,
    out: mpsc::Sender<Event>,
    fatal: Fatal,
    interrupt: mpsc::Sender<Interruption>,
}

enum Forwarded {
    Yes,
    /// Nobody wants events any more.
    Closed,
}

impl Supervisor {
    async fn run(mut self, source: NamedSource, mut stopping: watch::Receiver<bool>) {
        let mut wait = FIRST_WAIT;
        loop {
            let before = self.from.clone();
            let result = tokio::select! {
                result = self.run_once(&source) => result,
                _ = stopping.wait_for(|stop| *stop) => return,
            };
            let Err(error) = result else { return };
            let (message, cause) = match error {
                SourceError::Transient { message } if self.from.is_none() && self.status.snapshot_began(self.index) => {
                    (message, Some(Cause::CutOff))
                }
                SourceError::Transient { message } => (message, None),
                SourceError::Resync { message } if self.from.is_none() => (message, Some(Cause::CutOff)),
                SourceError::Resync { message } => (message, Some(Cause::Resync)),
                error => {
                    let _ = self.fatal.send(RunError::Source { source_name: source.name, error }).await;
                    return;
                }
            };
            if let Some(cause) = cause {
                let _ = self.interrupt.send(Interruption { source: self.index, name: source.name, message, cause }).await;
                return;
            }
            if self.from != before {
                wait = FIRST_WAIT;
            }
            tracing::warn!(source = source.name, reason = message, wait_ms = wait.as_millis() as u64, "source interrupted");
            self.status.source_waits(self.index, format!("{message}; tries again in {:.1} s", wait.as_secs_f64()));
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                _ = stopping.wait_for(|stop| *stop) => return,
            }
            wait = (wait * 2).min(LONGEST_WAIT);
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
                self.status.source_phase(self.index, SourcePhase::Following);
            }
            Event::SnapshotPlan { rows } => self.status.snapshot_plan(self.index, rows),
            Event::Rows { table, rows } => self.status.snapshot_rows(self.index, *table, rows.len() as u64),
            Event::Waiting(what) => self.status.source_waits(self.index, what.clone()),
            Event::Changes(_) | Event::Rejected(_) | Event::CaughtUp => {}
        }
        Ok(match self.out.send(event).await {
            Ok(()) => Forwarded::Yes,
            Err(_) => Forwarded::Closed,
        })
    }
}

/// The fault points of what a source sends. Between the parts of a transaction nothing can fail.
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
