//! Drives one sink: brings the target up to date with the store, then follows the view's changelog.
//!
//! An error of a target affects only its own sink: it is shown and tried again for as long as the run lasts. A document that the target
//! refuses is noted in the store before the target's position passes it. It is written again when it changes, at each start, and every minute.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::task::block_in_place;

use super::copy::{self, CopyError};
use super::report::Report;
use super::retry::{Backoff, CONNECTION, REFUSING};
use super::{Fatal, NamedSink};
use crate::plan::{Plan, View};
use crate::sinks::{self, Sink, SinkChange, SinkError, SinkPosition, TargetRefusal, ViewShape};
use crate::store::{LoggedChange, RefusedDocument, Store, StoreError, ViewReader};
use crate::value::{Row, Tick};

/// About how many changes are applied in one step, which always has whole ticks.
const CHANGES: usize = 2000;
/// How often the target is checked ([`Sink::look`]).
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// How often unchanged refused documents are tried again: a change of another document may have removed the cause.
const TRY_REFUSED_EVERY: Duration = Duration::from_secs(60);
/// The number of refused documents that are tried again at a time.
const REFUSED: usize = 1000;

pub(super) struct Follower {
    index: usize,
    name: String,
    sink: Box<dyn Sink>,
    shape: ViewShape,
    store: Store,
    report: Arc<Report>,
    /// The keys of refused documents, with the reason, as in the store.
    refused: HashMap<Row, String>,
}

/// Why a follower starts again with `open`, or ends.
enum FollowerEnd {
    Sink(SinkError),
    Store(StoreError),
    /// A resync was requested: a comparison with the whole view.
    Resync,
}

impl From<SinkError> for FollowerEnd {
    fn from(error: SinkError) -> Self {
        FollowerEnd::Sink(error)
    }
}

impl From<CopyError> for FollowerEnd {
    fn from(error: CopyError) -> Self {
        match error {
            CopyError::Sink(error) => FollowerEnd::Sink(error),
            CopyError::Store(error) => FollowerEnd::Store(error),
        }
    }
}

impl From<StoreError> for FollowerEnd {
    fn from(error: StoreError) -> Self {
        FollowerEnd::Store(error)
    }
}

impl Follower {
    pub(super) fn new(index: usize, named: NamedSink, plan: &Plan, store: Store, report: Arc<Report>) -> Follower {
        let shape = shape_of(&plan.views[named.view]);
        Follower { index, name: named.name, sink: named.sink, shape, store, report, refused: HashMap::new() }
    }

    /// Runs until the stop. Finishes the current step first.
    pub(super) async fn follow(mut self, fatal: Fatal, mut stopping: watch::Receiver<bool>) {
        let (mut interrupted, mut refused) = (Backoff::new(CONNECTION), Backoff::new(REFUSING));
        loop {
            interrupted.begin();
            refused.begin();
            let pause = match self.run(stopping.clone()).await {
                Ok(()) => return self.sink.close().await,
                // A resync was requested: after `open` comes a full copy.
                Err(FollowerEnd::Resync) => continue,
                // A full copy too, because the changelog no longer has the sink's tick.
                Err(FollowerEnd::Store(error @ StoreError::Compacted { .. })) => {
                    tracing::warn!(
                        sink = self.name,
                        reason = error.to_string(),
                        "sink too far behind: copies the whole view by difference"
                    );
                    continue;
                }
                Err(FollowerEnd::Store(error)) => {
                    let _ = fatal.send(error.into()).await;
                    return;
                }
                Err(FollowerEnd::Sink(SinkError::Transient { message })) => {
                    let pause = interrupted.pause();
                    tracing::warn!(sink = self.name, reason = message, wait_ms = pause.as_millis() as u64, "sink interrupted");
                    self.report.sink_waits(self.index, format!("{message}; tries again in {:.1} s", pause.as_secs_f64()));
                    pause
                }
                Err(FollowerEnd::Sink(error)) => {
                    let pause = refused.pause();
                    tracing::error!(sink = self.name, reason = %error, wait_ms = pause.as_millis() as u64, "sink stopped");
                    self.report.sink_stopped(self.index, &error, pause);
                    self.report.progress.sink_stopped(self.index, &error);
                    pause
                }
            };
            let ended = tokio::select! {
                () = tokio::time::sleep(pause) => false,
                _ = stopping.wait_for(|stop| *stop) => true,
            };
            if ended {
                return self.sink.close().await;
            }
        }
    }

    /// Opens the sink, copies the view if needed, and follows the changelog until the stop or an error.
    async fn run(&mut self, mut stopping: watch::Receiver<bool>) -> Result<(), FollowerEnd> {
        let mut committed = self.store.committed();
        let mut asked = self.store.asked();
        let mut seen = *asked.borrow_and_update();
        let Some(view) = made_whole(&self.store, &self.shape, &mut committed, &mut stopping).await else { return Ok(()) };
        sinks::break_at("sink.open")?;
        let position = self.sink.open(&self.shape).await?;
        let mut at = match position {
            Some(position) if !self.resync_is_asked()? && self.reaches(&view, &position)? => position.tick,
            _ => match self.copy(&view, &stopping).await? {
                Some(tick) => tick,
                None => return Ok(()),
            },
        };
        let mut target_at = at;
        self.load_refused()?;
        let (mut looked, mut tried_refused) = (Instant::now(), None::<Instant>);
        if self.try_refused(&view, at).await? {
            tried_refused = Some(Instant::now());
        }
        self.reached(at, 0)?;
        loop {
            let changes = block_in_place(|| view.changes(at, CHANGES))?;
            if changes.up_to > at {
                let entries = net(changes.entries);
                if !entries.is_empty() {
                    self.step(&entries, changes.up_to).await?;
                    target_at = changes.up_to;
                }
                at = changes.up_to;
                self.reached(at, entries.len() as u64)?;
            }
            let ending = *stopping.borrow();
            if ending || looked.elapsed() >= LOOK_EVERY {
                if at > target_at {
                    // The view has not changed since `target_at`, but the changelog may be dropped up to `at`.
                    self.sink.reach(&copy::position(&self.store, at)).await?;
                    target_at = at;
                }
                if ending {
                    return Ok(());
                }
                self.sink.look().await?;
                looked = Instant::now();
            }
            let now = *asked.borrow_and_update();
            if std::mem::replace(&mut seen, now) != now && self.resync_is_asked()? {
                return Err(FollowerEnd::Resync);
            }
            if *committed.borrow_and_update() > at {
                continue;
            }
            let due = tried_refused.is_none_or(|since| since.elapsed() >= TRY_REFUSED_EVERY);
            if due && self.try_refused(&view, at).await? {
                tried_refused = Some(Instant::now());
            }
            tokio::select! {
                changed = committed.changed() => if changed.is_err() { return Ok(()) },
                _ = asked.changed() => {}
                () = tokio::time::sleep(LOOK_EVERY.saturating_sub(looked.elapsed())) => {}
                _ = stopping.wait_for(|stop| *stop) => {}
            }
        }
    }

    /// Whether the changelog has every change after the position.
    fn reaches(&self, view: &ViewReader, position: &SinkPosition) -> Result<bool, StoreError> {
        if position.store_id != self.store.id() || !self.store.has_lived(&position.life, position.tick) {
            return Ok(false);
        }
        Ok(block_in_place(|| view.info())?.floor <= position.tick)
    }

    fn resync_is_asked(&self) -> Result<bool, StoreError> {
        Ok(block_in_place(|| self.store.reader(&self.name))?.is_some_and(|reader| reader.resync))
    }

    /// Writes changes, stores the refused documents, and sets the target's position to `up_to`.
    async fn step(&mut self, changes: &[SinkChange], up_to: Tick) -> Result<(), FollowerEnd> {
        sinks::break_at("sink.step.before_write")?;
        let refused = self.sink.write(changes).await?;
        self.note_refused(changes.iter().map(|change| &change.key), refused, up_to)?;
        sinks::break_at("sink.step.before_position")?;
        self.sink.reach(&copy::position(&self.store, up_to)).await?;
        sinks::break_at("sink.step.after")?;
        if let Some(note) = self.sink.note() {
            // Keep the note in the report, since the next step clears it at the sink.
            self.report.sink_note(self.index, format!("{note} (tick {up_to})"));
        }
        Ok(())
    }

    async fn copy(&mut self, view: &ViewReader, stopping: &watch::Receiver<bool>) -> Result<Option<Tick>, FollowerEnd> {
        let Follower { index, name, sink, store, report, .. } = self;
        let goes_on = |written| {
            report.sink_waits(*index, format!("full copy, {written} rows written"));
            !*stopping.borrow()
        };
        Ok(copy::copy(store, name, &mut **sink, view, goes_on).await?)
    }

    fn load_refused(&mut self) -> Result<(), StoreError> {
        let held = block_in_place(|| self.store.refused(&self.name).map(|r| r.map(|r| (r.key, r.reason))).collect::<Result<_, _>>())?;
        self.refused = held;
        self.report.sink_refuses(self.index, self.refused.len() as u64);
        Ok(())
    }

    /// Updates the refused documents after a write of `written`, of which `refused` were refused.
    fn note_refused<'a>(
        &mut self,
        written: impl Iterator<Item = &'a Row>,
        refused: Vec<TargetRefusal>,
        tick: Tick,
    ) -> Result<(), StoreError> {
        if self.refused.is_empty() && refused.is_empty() {
            return Ok(());
        }
        let now: HashMap<Row, String> = refused.into_iter().map(|refused| (refused.key, refused.reason)).collect();
        let taken: Vec<&Row> = written.filter(|key| self.refused.contains_key(*key) && !now.contains_key(*key)).collect();
        let other = now.iter().filter(|(key, reason)| self.refused.get(*key) != Some(reason));
        let other: Vec<_> = other.map(|(key, reason)| RefusedDocument { key: key.clone(), since: tick, reason: reason.clone() }).collect();
        block_in_place(|| self.store.note_refused(&self.name, taken.iter().copied(), other))?;
        taken.iter().for_each(|key| drop(self.refused.remove(*key)));
        self.refused.extend(now);
        self.report.sink_refuses(self.index, self.refused.len() as u64);
        Ok(())
    }

    /// Writes refused documents again as of tick `at`. Returns false, without writing, if the store has a newer tick.
    async fn try_refused(&mut self, view: &ViewReader, at: Tick) -> Result<bool, FollowerEnd> {
        let mut changes = Vec::new();
        for key in self.refused.keys().take(REFUSED) {
            let mut found = block_in_place(|| view.scan_prefix(key))?;
            if found.tick != at {
                return Ok(false);
            }
            let row = found.next().transpose()?.map(|(_, row)| row);
            changes.push(SinkChange { key: key.clone(), before: None, after: row });
        }
        if !changes.is_empty() {
            self.step(&changes, at).await?;
        }
        Ok(true)
    }

    /// Records in the store and the report that the target has `tick`, with `written` more changes.
    fn reached(&self, tick: Tick, written: u64) -> Result<(), StoreError> {
        block_in_place(|| self.store.set_reader(&self.name, &self.shape.name, tick))?;
        self.report.sink_at(self.index, tick, written);
        self.report.progress.sink_at(self.index, tick);
        Ok(())
    }
}

/// Returns the view as it is defined once a commit has completed it; `None` if the stop comes first.
async fn made_whole(
    store: &Store,
    shape: &ViewShape,
    committed: &mut watch::Receiver<Tick>,
    stopping: &mut watch::Receiver<bool>,
) -> Option<ViewReader> {
    loop {
        committed.borrow_and_update();
        // While the view waits for a table, the store may have it with other columns.
        let is_of_shape = |view: &ViewReader| *view.schema() == shape.schema && view.key_columns() == shape.key;
        if let Some(view) = store.defined_view(&shape.name).filter(is_of_shape) {
            return Some(view);
        }
        tokio::select! {
            changed = committed.changed() => if changed.is_err() { return None },
            _ = stopping.wait_for(|stop| *stop) => return None,
        }
    }
}

/// Combines the entries to one change for each key: from the row before the first to the row after the last. Keeps a change even if both are
/// equal, because a failed call may have written a row in between.
fn net(entries: Vec<LoggedChange>) -> Vec<SinkChange> {
    let mut by_key: BTreeMap<Row, (Option<Row>, Option<Row>)> = BTreeMap::new();
    for LoggedChange { key, before, after, .. } in entries {
        by_key.entry(key).and_modify(|net| net.1.clone_from(&after)).or_insert((before, after));
    }
    by_key.into_iter().map(|(key, (before, after))| SinkChange { key, before, after }).collect()
}

/// The name, schema, key and indexes of a view, as a sink needs them.
pub fn shape_of(view: &View) -> ViewShape {
    ViewShape { name: view.name.clone(), schema: view.schema.clone(), key: view.key.clone(), indexes: view.indexes() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_came_back_to_what_it_was_is_still_written() {
        let row = |text: &str| Some(Row::from_bytes(text.as_bytes()));
        let entry = |tick, key: &str, before: Option<Row>, after: Option<Row>| LoggedChange {
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
