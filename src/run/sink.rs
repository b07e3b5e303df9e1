//! Drives one sink: brings the target to where the store is, then follows the view's changelog.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::block_in_place;

use super::status::Status;
use super::{Fatal, NamedSink, RunError};
use crate::plan::{Plan, View};
use crate::sinks::{Change, Sink, SinkError, SinkPosition, ViewShape};
use crate::store::{ChangeEntry, Store, StoreError, ViewReader};
use crate::value::{Row, Tick};

/// Changes that are applied at a time, as far as whole ticks allow.
const CHANGES: usize = 2000;
/// Rows of a full copy that are written at a time.
const ROWS: usize = 2000;
const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(10);

pub(super) struct Follower {
    index: usize,
    name: String,
    sink: Box<dyn Sink>,
    shape: ViewShape,
    store: Store,
    status: Arc<Status>,
}

/// Why a follower begins again with `open`, or ends.
enum Interruption {
    Sink(SinkError),
    Store(StoreError),
}

impl From<SinkError> for Interruption {
    fn from(error: SinkError) -> Self {
        Interruption::Sink(error)
    }
}

impl From<StoreError> for Interruption {
    fn from(error: StoreError) -> Self {
        Interruption::Store(error)
    }
}

impl Follower {
    pub(super) fn new(index: usize, named: NamedSink, plan: &Plan, store: Store, status: Arc<Status>) -> Follower {
        let shape = shape_of(&plan.views[named.view]);
        Follower { index, name: named.name, sink: named.sink, shape, store, status }
    }

    /// Until the stop; what is being written is finished first.
    pub(super) async fn follow(mut self, fatal: Fatal, mut stopping: watch::Receiver<bool>) {
        let mut wait = FIRST_WAIT;
        loop {
            let began = std::time::Instant::now();
            let message = match self.run(stopping.clone()).await {
                Ok(()) => return self.sink.close().await,
                Err(Interruption::Sink(SinkError::Transient { message })) => message,
                // The changelog went on without us: a full copy, after `open`.
                Err(Interruption::Store(StoreError::Compacted { .. })) => continue,
                Err(Interruption::Sink(error)) => {
                    let _ = fatal.send(RunError::Sink { sink_name: self.name, error }).await;
                    return;
                }
                Err(Interruption::Store(error)) => {
                    let _ = fatal.send(error.into()).await;
                    return;
                }
            };
            if began.elapsed() > LONGEST_WAIT {
                wait = FIRST_WAIT;
            }
            tracing::warn!(sink = self.name, reason = message, wait_ms = wait.as_millis() as u64, "sink interrupted");
            self.status.sink_waits(self.index, format!("{message}; tries again in {:.1} s", wait.as_secs_f64()));
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                _ = stopping.wait_for(|stop| *stop) => return,
            }
            wait = (wait * 2).min(LONGEST_WAIT);
        }
    }

    async fn run(&mut self, mut stopping: watch::Receiver<bool>) -> Result<(), Interruption> {
        let mut committed = self.store.committed();
        let Some(view) = made_whole(&self.store, &self.shape.name, &mut committed, &mut stopping).await else { return Ok(()) };
        let mut at = match self.sink.open(&self.shape).await? {
            Some(position) if self.reaches(&view, &position)? => position.tick,
            _ => match self.copy(&view, &stopping).await? {
                Some(tick) => tick,
                None => return Ok(()),
            },
        };
        self.reached(at, 0)?;
        loop {
            let changes = block_in_place(|| view.changes(at, CHANGES))?;
            if changes.up_to > at {
                let entries = net(changes.entries);
                let position = SinkPosition { store_id: self.store.id().into(), tick: changes.up_to };
                if !entries.is_empty() {
                    self.sink.apply(&entries, &position).await?;
                }
                at = changes.up_to;
                self.reached(at, entries.len() as u64)?;
            }
            if *stopping.borrow() {
                return Ok(());
            }
            if *committed.borrow_and_update() > at {
                continue;
            }
            tokio::select! {
                changed = committed.changed() => if changed.is_err() { return Ok(()) },
                _ = stopping.wait_for(|stop| *stop) => {}
            }
        }
    }

    /// Whether the changelog leads on from there.
    fn reaches(&self, view: &ViewReader, position: &SinkPosition) -> Result<bool, StoreError> {
        if position.store_id != self.store.id() {
            return Ok(false);
        }
        Ok(block_in_place(|| view.info())?.floor <= position.tick)
    }

    async fn copy(&mut self, view: &ViewReader, stopping: &watch::Receiver<bool>) -> Result<Option<Tick>, Interruption> {
        let mut scan = block_in_place(|| view.scan())?;
        let tick = scan.tick;
        // From here on the changelog is kept for us.
        self.store.set_reader(&self.name, &self.shape.name, tick)?;
        let mut written = 0;
        loop {
            let rows: Vec<(Row, Row)> = block_in_place(|| scan.by_ref().take(ROWS).collect::<Result<_, _>>())?;
            if rows.is_empty() {
                break;
            }
            if *stopping.borrow() {
                return Ok(None);
            }
            written += rows.len();
            self.sink.copy(&rows).await?;
            self.status.sink_waits(self.index, format!("full copy, {written} rows written"));
        }
        self.sink.finish_copy(&SinkPosition { store_id: self.store.id().into(), tick }).await?;
        Ok(Some(tick))
    }

    fn reached(&self, tick: Tick, written: u64) -> Result<(), StoreError> {
        block_in_place(|| self.store.set_reader(&self.name, &self.shape.name, tick))?;
        self.status.sink_at(self.index, tick, written);
        Ok(())
    }
}

/// The view, once a commit has made it whole; `None` if the stop comes first.
async fn made_whole(
    store: &Store,
    view: &str,
    committed: &mut watch::Receiver<Tick>,
    stopping: &mut watch::Receiver<bool>,
) -> Option<ViewReader> {
    loop {
        committed.borrow_and_update();
        if let Some(view) = store.view(view) {
            return Some(view);
        }
        tokio::select! {
            changed = committed.changed() => if changed.is_err() { return None },
            _ = stopping.wait_for(|stop| *stop) => return None,
        }
    }
}

/// One change for each key: from what it was before the first to what it was after the last. Also where that is the same: a call that
/// failed may have written what was between.
fn net(entries: Vec<ChangeEntry>) -> Vec<Change> {
    let mut by_key: BTreeMap<Row, (Option<Row>, Option<Row>)> = BTreeMap::new();
    for ChangeEntry { key, before, after, .. } in entries {
        by_key.entry(key).and_modify(|net| net.1.clone_from(&after)).or_insert((before, after));
    }
    by_key.into_iter().map(|(key, (before, after))| Change { key, before, after }).collect()
}

/// What a sink must know of a view.
pub fn shape_of(view: &View) -> ViewShape {
    ViewShape { name: view.name.clone(), schema: view.schema.clone(), key: view.key.clone(), indexes: view.indexes() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_came_back_to_what_it_was_is_still_written() {
        let row = |text: &str| Some(Row::from_bytes(text.as_bytes()));
        let entry = |tick, key: &str, before: Option<Row>, after: Option<Row>| ChangeEntry {
            tick: Tick(tick),
            ordinal: 0,
            key: Row::from_bytes(key.as_bytes()),
            before,
            after,
        };
        let changes = net(vec![
            entry(1, "a", row("x"), row("y")),
            entry(1, "b", None, row("z")),
            entry(2, "a", row("y"), row("x")),
            entry(2, "b", row("z"), None),
        ]);
        let seen: Vec<_> = changes.iter().map(|change| (&change.before, &change.after)).collect();
        assert_eq!(seen, [(&row("x"), &row("x")), (&None, &None)]);
    }
}
