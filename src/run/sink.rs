//! Drives one sink: brings the target to where the store is, then follows the view's changelog.
//!
//! Whatever goes wrong at one target stays with it: it is shown, and tried again for as long as the run lasts. A document that the target
//! refuses is noted in the store before the target's position passes it, and tried again when it changes, at each start, and now and then.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::task::block_in_place;

use super::copy::{self, CopyError};
use super::status::Status;
use super::{Fatal, NamedSink};
use crate::plan::{Plan, View};
use crate::sinks::{self, Change, Refused, Sink, SinkError, SinkPosition, ViewShape};
use crate::store::{ChangeEntry, RefusedDocument, Store, StoreError, ViewReader};
use crate::value::{Row, Tick};

/// Changes that are applied at a time, as far as whole ticks allow.
const CHANGES: usize = 2000;
const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(10);
/// The same for a target that refuses until somebody has changed something.
const FIRST_STOP: Duration = Duration::from_secs(5);
const LONGEST_STOP: Duration = Duration::from_secs(300);
/// How often the target is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// How often documents that the target refuses are tried again without a change of theirs: another's may have made room.
const TRY_REFUSED_EVERY: Duration = Duration::from_secs(60);
/// Refused documents that are tried again at a time.
const REFUSED: usize = 1000;

pub(super) struct Follower {
    index: usize,
    name: String,
    sink: Box<dyn Sink>,
    shape: ViewShape,
    store: Store,
    status: Arc<Status>,
    /// What the target refuses, with the reason, as the store has it.
    refused: HashMap<Row, String>,
}

/// Why a follower begins again with `open`, or ends.
enum Interruption {
    Sink(SinkError),
    Store(StoreError),
    /// Somebody asked for a comparison with the whole view.
    Resync,
}

impl From<SinkError> for Interruption {
    fn from(error: SinkError) -> Self {
        Interruption::Sink(error)
    }
}

impl From<CopyError> for Interruption {
    fn from(error: CopyError) -> Self {
        match error {
            CopyError::Sink(error) => Interruption::Sink(error),
            CopyError::Store(error) => Interruption::Store(error),
        }
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
        Follower { index, name: named.name, sink: named.sink, shape, store, status, refused: HashMap::new() }
    }

    /// Until the stop; what is being written is finished first.
    pub(super) async fn follow(mut self, fatal: Fatal, mut stopping: watch::Receiver<bool>) {
        let (mut wait, mut stop) = (FIRST_WAIT, FIRST_STOP);
        loop {
            let began = Instant::now();
            let pause = match self.run(stopping.clone()).await {
                Ok(()) => return self.sink.close().await,
                // Somebody wants it so: a full copy, after `open`.
                Err(Interruption::Resync) => continue,
                // The same, because the changelog went on without us.
                Err(Interruption::Store(error @ StoreError::Compacted { .. })) => {
                    tracing::warn!(sink = self.name, reason = error.to_string(), "sink too far behind: copies the view anew");
                    continue;
                }
                Err(Interruption::Store(error)) => {
                    let _ = fatal.send(error.into()).await;
                    return;
                }
                Err(Interruption::Sink(SinkError::Transient { message })) => {
                    if began.elapsed() > LONGEST_WAIT {
                        wait = FIRST_WAIT;
                    }
                    let pause = wait;
                    wait = (wait * 2).min(LONGEST_WAIT);
                    tracing::warn!(sink = self.name, reason = message, wait_ms = pause.as_millis() as u64, "sink interrupted");
                    self.status.sink_waits(self.index, format!("{message}; tries again in {:.1} s", pause.as_secs_f64()));
                    pause
                }
                Err(Interruption::Sink(error)) => {
                    if began.elapsed() > LONGEST_STOP {
                        stop = FIRST_STOP;
                    }
                    let pause = stop;
                    stop = (stop * 2).min(LONGEST_STOP);
                    tracing::error!(sink = self.name, reason = %error, wait_ms = pause.as_millis() as u64, "sink stopped");
                    self.status.sink_stopped(self.index, error, pause);
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

    async fn run(&mut self, mut stopping: watch::Receiver<bool>) -> Result<(), Interruption> {
        let mut committed = self.store.committed();
        let mut asked = self.store.asked();
        let mut seen = *asked.borrow_and_update();
        let Some(view) = made_whole(&self.store, &self.shape.name, &mut committed, &mut stopping).await else { return Ok(()) };
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
                    // Nothing of the view changed since, but the changelog is not kept from there.
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
                return Err(Interruption::Resync);
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

    /// Whether the changelog leads on from there.
    fn reaches(&self, view: &ViewReader, position: &SinkPosition) -> Result<bool, StoreError> {
        if position.store_id != self.store.id() || !self.store.has_lived(&position.life, position.tick) {
            return Ok(false);
        }
        Ok(block_in_place(|| view.info())?.floor <= position.tick)
    }

    fn resync_is_asked(&self) -> Result<bool, StoreError> {
        Ok(block_in_place(|| self.store.reader(&self.name))?.is_some_and(|reader| reader.resync))
    }

    async fn step(&mut self, changes: &[Change], up_to: Tick) -> Result<(), Interruption> {
        sinks::break_at("sink.step.before_write")?;
        let refused = self.sink.write(changes).await?;
        self.note_refused(changes.iter().map(|change| &change.key), refused, up_to)?;
        sinks::break_at("sink.step.before_position")?;
        self.sink.reach(&copy::position(&self.store, up_to)).await?;
        sinks::break_at("sink.step.after")?;
        if let Some(note) = self.sink.note() {
            // It stays to be seen: the next step comes soon.
            self.status.sink_note(self.index, format!("{note} (tick {up_to})"));
        }
        Ok(())
    }

    async fn copy(&mut self, view: &ViewReader, stopping: &watch::Receiver<bool>) -> Result<Option<Tick>, Interruption> {
        let Follower { index, name, sink, store, status, .. } = self;
        let goes_on = |written| {
            status.sink_waits(*index, format!("full copy, {written} rows written"));
            !*stopping.borrow()
        };
        Ok(copy::copy(store, name, &mut **sink, view, goes_on).await?)
    }

    fn load_refused(&mut self) -> Result<(), StoreError> {
        let held = block_in_place(|| self.store.refused(&self.name)?.map(|r| r.map(|r| (r.key, r.reason))).collect::<Result<_, _>>())?;
        self.refused = held;
        self.status.sink_refuses(self.index, self.refused.len() as u64);
        Ok(())
    }

    /// Notes which of the documents that were written just now the target refuses.
    fn note_refused<'a>(&mut self, written: impl Iterator<Item = &'a Row>, refused: Vec<Refused>, tick: Tick) -> Result<(), StoreError> {
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
        self.status.sink_refuses(self.index, self.refused.len() as u64);
        Ok(())
    }

    /// Writes refused documents again as they are at this tick, if that is still the store's; whether it is.
    async fn try_refused(&mut self, view: &ViewReader, at: Tick) -> Result<bool, Interruption> {
        let mut changes = Vec::new();
        for key in self.refused.keys().take(REFUSED) {
            let mut found = block_in_place(|| view.scan_prefix(key))?;
            if found.tick != at {
                return Ok(false);
            }
            let row = found.next().transpose()?.map(|(_, row)| row);
            changes.push(Change { key: key.clone(), before: None, after: row });
        }
        if !changes.is_empty() {
            self.step(&changes, at).await?;
        }
        Ok(true)
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
