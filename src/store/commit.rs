//! Commits whole ticks in one atomic batch. After the first load this is the only way to change rows.

use std::collections::BTreeMap;

use fjall::{OwnedWriteBatch, Readable};

use crate::fault;
use crate::value::{Diff, Position, Row, Tick};

use super::change::{ChangedRow, LogRecord};
use super::error::{AtFolder, StoreError, culprit, damaged};
use super::record::{self, Counters, Floor, TickRecord};
use super::rejected::Rejections;
use super::space::ViewSpace;
use super::staged_state::Staged;
use super::{CATALOG, CHECKPOINT, Checkpoint, MAX_KEY_BYTES, SourcePosition, Store, Writer, id_key, now_ms};

/// All changes after the last commit, up to and including tick `up_to`.
#[derive(Debug, Default)]
pub struct Commit {
    /// Later than the last commit's tick; or the same, if only positions advance.
    pub up_to: Tick,
    /// The source positions of the ticks: at most one mark per tick and source. A source without a mark keeps its position.
    pub ticks: Vec<TickMark>,
    /// Positions that sources reached after their ticks, at most one per source: the next start resumes there. The marks of ticks do not
    /// change.
    pub reached: Vec<Reached>,
    /// Changes of inputs, in any order, by the input's index.
    pub inputs: Vec<InputDeltas>,
    pub views: Vec<ViewBatch>,
    /// The records that sources rejected before the positions of `ticks` and `reached`, by the source's name.
    pub rejected: BTreeMap<String, Rejections>,
    /// Sources whose tables were captured again with this commit: their earlier rejected records and resync requests are dropped.
    pub captured: Vec<String>,
    /// Single tables that were captured again, by their source and name: likewise.
    pub recaptured: Vec<(String, String)>,
}

/// An input's index and its changes.
pub type InputDeltas = (usize, Vec<(Tick, Row, Diff)>);

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TickMark {
    pub tick: Tick,
    /// The source's name.
    pub source: String,
    pub position: Position,
    /// The source's commit time, in ms since 1970.
    pub committed_ms: Option<u64>,
}

/// A position that a source reached without another change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reached {
    /// The source's name.
    pub source: String,
    pub position: Position,
    /// The source's commit time, in ms since 1970.
    pub committed_ms: Option<u64>,
}

/// The changes of one view.
#[derive(Debug, Default)]
pub struct ViewBatch {
    pub view: usize,
    /// In any order, at most one for each tick and key.
    pub changes: Vec<ViewChange>,
    pub errors: Vec<ErrorChange>,
}

/// The row of `key` from `tick` on; `None` deletes it. A row that is equal to the one before is not written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ViewChange {
    pub tick: Tick,
    pub key: Row,
    pub after: Option<Row>,
}

/// An error of the view that explains missing rows; its count changes by `diff`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErrorChange {
    pub tick: Tick,
    pub message: String,
    pub diff: Diff,
}

/// The result of a commit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Committed {
    pub up_to: Tick,
    /// For each batch of the commit.
    pub views: Vec<ViewCommitted>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ViewCommitted {
    pub view: usize,
    /// The number of rows that changed at one or more ticks of the commit.
    pub rows: u64,
    /// The number of changed rows, summed over the ticks.
    pub changes: u64,
}

/// The counters of the rows of a bulk load, written by the commit that ends it.
pub(super) struct LoadedCounters {
    /// By id.
    pub(super) counters: BTreeMap<u32, Counters>,
}

impl Store {
    /// Makes a commit durable and visible, atomically. After a failure all later commits are refused until the folder is opened again, with the
    /// state of the last whole commit. Memory: a few times the size of the commit's rows.
    pub fn commit(&self, commit: Commit) -> Result<Committed, StoreError> {
        let mut writer = self.sound_writer()?;
        self.refuse_while_loading()?;
        writer.refuse_after_giving_up()?;
        self.commit_noted(&mut writer, commit, None)
    }

    pub(super) fn commit_noted(&self, writer: &mut Writer, commit: Commit, load: Option<LoadedCounters>) -> Result<Committed, StoreError> {
        let done = self.write_commit(writer, commit, load);
        self.after_write(writer, done)
    }

    /// The result of a write, with the cause of a failure if it is known. After a failure all later writes are refused.
    pub(super) fn after_write<T>(&self, writer: &mut Writer, mut done: Result<T, StoreError>) -> Result<T, StoreError> {
        if let Err(StoreError::Failed { .. }) = &done {
            done = self.0.folder.probe().and(done);
        }
        if let Err(StoreError::Failed { dir }) = &done
            && let Some(message) = culprit(dir)
        {
            done = Err(damaged(dir, message));
        }
        writer.failed |= done.is_err();
        done
    }

    fn write_commit(&self, writer: &mut Writer, mut commit: Commit, load: Option<LoadedCounters>) -> Result<Committed, StoreError> {
        let last = writer.checkpoint.clone().unwrap_or_default();
        check_ticks(&commit, last.tick)?;
        let mut batch = self.batch();
        let mut counters: BTreeMap<u32, Counters> = load.as_ref().map(|l| l.counters.clone()).unwrap_or_default();
        let mut staged = None;
        if writer.unready {
            self.make_ready(writer, &mut batch, &commit, load.is_some())?;
            staged = Some(self.take_staged(writer, &mut batch, &mut commit.rejected));
        }
        for (input, deltas) in commit.inputs {
            self.write_input(&mut batch, &mut counters, input, deltas)?;
        }
        let mut views = Vec::with_capacity(commit.views.len());
        for view in commit.views {
            let space = self.view_space(view.view)?;
            if load.is_some() && !space.record.ready && !view.changes.is_empty() {
                return Err(StoreError::Contract(format!("`{}` is loaded and changed in one commit", space.record.name)));
            }
            // The changelog of a new view in a store that already has ticks starts at its floor, so its first rows are not logged.
            let logged = space.record.ready || last.tick == Tick(0);
            views.push(self.write_view(&mut batch, &mut counters, &space, view, logged)?);
        }
        for (id, counters) in counters {
            batch.insert(&self.0.meta, id_key(b'n', id), record::counters_value(&counters));
        }
        for source in &commit.captured {
            self.remove_resync(&mut batch, source)?;
            commit.rejected.entry(source.clone()).or_default();
        }
        for (source, table) in &commit.recaptured {
            self.remove_resync_of(&mut batch, source, table);
            commit.rejected.entry(source.clone()).or_default();
        }
        for (source, rejections) in std::mem::take(&mut commit.rejected) {
            let is_anew = |table: &str| {
                commit.captured.contains(&source) || commit.recaptured.iter().any(|(of, recaptured)| *of == source && recaptured == table)
            };
            self.write_rejected(&mut batch, &source, rejections, &is_anew)?;
        }
        let checkpoint = self.write_checkpoint(&mut batch, last, commit.up_to, commit.ticks, commit.reached);
        fault::fallible("store.commit.before_batch").at(self.dir())?;
        // A snapshot sees what this batch makes whole together with it, or neither.
        let spaces = writer.unready.then(|| self.0.spaces.write().expect("nothing panics while it holds this"));
        batch.commit().at(self.dir())?;
        if let Some(mut spaces) = spaces {
            spaces.make_ready(&writer.catalog.clone().all_ready());
        }
        fault::point("store.commit.before_note");
        self.note(writer, commit.up_to)?;
        fault::point("store.commit.after_batch");
        self.now_at(writer, checkpoint, staged)?;
        Ok(Committed { up_to: commit.up_to, views })
    }

    /// Adds the catalog to the batch, with everything that is defined marked as ready.
    fn make_ready(&self, writer: &Writer, batch: &mut OwnedWriteBatch, commit: &Commit, loaded: bool) -> Result<(), StoreError> {
        let had_ticks = writer.checkpoint.is_some();
        for view in writer.catalog.views.iter().filter(|v| !v.ready) {
            let floor = if had_ticks || loaded { commit.up_to } else { Tick(0) };
            batch.insert(&self.0.meta, id_key(b'f', view.id), record::floor_value(Floor { tick: floor, forgotten: 0 }));
        }
        let catalog = writer.catalog.clone().all_ready();
        for replaced in writer.whole.inputs.iter().filter(|held| !catalog.inputs.iter().any(|input| input.id == held.id)) {
            batch.remove(&self.0.meta, id_key(b'n', replaced.id));
        }
        for replaced in writer.whole.views.iter().filter(|held| !catalog.views.iter().any(|view| view.id == held.id)) {
            self.remove_view_records(batch, replaced.id)?;
        }
        batch.insert(&self.0.meta, CATALOG, serde_json::to_vec(&catalog).expect("the catalog is JSON"));
        Ok(())
    }

    fn write_checkpoint(
        &self,
        batch: &mut OwnedWriteBatch,
        last: Checkpoint,
        up_to: Tick,
        ticks: Vec<TickMark>,
        reached: Vec<Reached>,
    ) -> Checkpoint {
        let mut checkpoint = Checkpoint { tick: up_to, ..last };
        let stored_ms = now_ms();
        for TickMark { tick, source, position, committed_ms } in ticks {
            let value = record::tick_value(&TickRecord { position: position.clone(), committed_ms, stored_ms });
            batch.insert(&self.0.ticks, record::tick_key(tick, &source), value);
            let newest = checkpoint.sources.get(&source).is_none_or(|held| held.tick <= tick);
            if newest {
                checkpoint.sources.insert(source, SourcePosition { tick, position, committed_ms });
            }
        }
        for Reached { source, position, committed_ms } in reached {
            let tick = checkpoint.sources.get(&source).map_or(up_to, |held| held.tick);
            checkpoint.sources.insert(source, SourcePosition { tick, position, committed_ms });
        }
        batch.insert(&self.0.meta, CHECKPOINT, serde_json::to_vec(&checkpoint).expect("a checkpoint is JSON"));
        checkpoint
    }

    /// Publishes a batch that is on disk; `staged` is what is still staged. Drops inputs and views that were replaced.
    fn now_at(&self, writer: &mut Writer, checkpoint: Checkpoint, staged: Option<Staged>) -> Result<(), StoreError> {
        if let Some(staged) = staged {
            writer.staged = staged;
        }
        let made_whole = std::mem::take(&mut writer.unready);
        if made_whole {
            writer.catalog = std::mem::take(&mut writer.catalog).all_ready();
            writer.whole = writer.catalog.clone();
        }
        let tick = checkpoint.tick;
        writer.checkpoint = Some(checkpoint);
        self.0.committed.send_replace(tick);
        match made_whole {
            true => self.keep_only(&writer.catalog, &writer.staged),
            false => Ok(()),
        }
    }

    fn write_view(
        &self,
        batch: &mut OwnedWriteBatch,
        counters: &mut BTreeMap<u32, Counters>,
        space: &ViewSpace,
        view: ViewBatch,
        logged: bool,
    ) -> Result<ViewCommitted, StoreError> {
        let mut count = self.counted(counters, space.record.id)?;
        let mut changes = view.changes;
        changes.sort_by(|a, b| (&a.key, a.tick).cmp(&(&b.key, b.tick)));
        let mut done = ViewCommitted { view: view.view, ..ViewCommitted::default() };
        let mut log: Vec<(Tick, LogRecord)> = Vec::new();
        for of_key in changes.chunk_by(|a, b| a.key == b.key) {
            check_key(&space.record.name, &of_key[0].key)?;
            let mut changed = ChangedRow::new(self, space, &of_key[0].key, &mut count)?;
            for change in of_key {
                changed.change(change.tick, change.after.as_deref(), &mut log)?;
            }
            changed.write(batch, logged).then(|| done.rows += 1);
        }
        done.changes = log.len() as u64;
        count.changes += log.len() as i64;
        if logged {
            count.logged += log.iter().map(|(_, entry)| entry.bytes() as i64).sum::<i64>();
            // The sort is stable: within a tick the entries stay in key order.
            log.sort_by_key(|(tick, _)| *tick);
            for of_tick in log.chunk_by_mut(|a, b| a.0 == b.0) {
                for (ordinal, (tick, entry)) in of_tick.iter_mut().enumerate() {
                    batch.insert(&space.log, record::log_key(*tick, ordinal as u32), std::mem::take(&mut entry.value));
                }
            }
        }
        self.write_errors(batch, &mut count, space.record.id, view.errors)?;
        counters.insert(space.record.id, count);
        Ok(done)
    }

    /// The counters of an input or view, including the changes of this commit so far.
    pub(super) fn counted(&self, counters: &BTreeMap<u32, Counters>, id: u32) -> Result<Counters, StoreError> {
        match counters.get(&id) {
            Some(counted) => Ok(*counted),
            None => self.counters(&self.0.db.snapshot(), id),
        }
    }

    fn write_errors(&self, batch: &mut OwnedWriteBatch, count: &mut Counters, id: u32, errors: Vec<ErrorChange>) -> Result<(), StoreError> {
        let mut net: BTreeMap<String, (Diff, Tick)> = BTreeMap::new();
        for ErrorChange { tick, message, diff } in errors {
            let (sum, since) = net.entry(message).or_insert((0, tick));
            *sum += diff;
            *since = tick.min(*since);
        }
        for (message, (diff, tick)) in net.into_iter().filter(|(_, (diff, _))| *diff != 0) {
            let hash = xxhash_rust::xxh3::xxh3_128(message.as_bytes()).to_be_bytes();
            let key = [&id_key(b'e', id)[..], &hash].concat();
            let held = self.0.db.snapshot().get(&self.0.meta, &key).at(self.dir())?;
            let (held, since) = match &held {
                Some(value) => super::view::read_error(value).map(|e| (e.count, e.since)).ok_or_else(|| self.cut_short())?,
                None => (0, tick),
            };
            count.errors += diff;
            match held + diff {
                0 => batch.remove(&self.0.meta, key),
                sum => batch.insert(&self.0.meta, key, super::view::error_value(sum, since, &message)),
            }
        }
        Ok(())
    }
}

impl super::Spaces {
    fn make_ready(&mut self, catalog: &super::StoreCatalog) {
        for (space, record) in self.inputs.iter_mut().zip(&catalog.inputs) {
            let (layout, rows) = (space.layout.clone(), space.rows.clone());
            *space = std::sync::Arc::new(super::InputSpace { record: record.clone(), layout, rows });
        }
        for (space, record) in self.views.iter_mut().zip(&catalog.views) {
            *space = std::sync::Arc::new(space.with(record.clone()));
        }
        self.replaced.clear();
    }
}

fn check_ticks(commit: &Commit, last: Tick) -> Result<(), StoreError> {
    let Commit { up_to, ticks, inputs, views, reached: _, rejected: _, captured: _, recaptured: _ } = commit;
    let inputs = inputs.iter().flat_map(|(_, deltas)| deltas.iter().map(|(tick, _, _)| tick));
    let changes = views.iter().flat_map(|v| v.changes.iter().map(|c| &c.tick));
    let errors = views.iter().flat_map(|v| v.errors.iter().map(|e| &e.tick));
    let of_data = inputs.chain(changes).chain(errors);
    if *up_to < last {
        return Err(StoreError::Contract(format!("a commit up to tick {up_to} after one up to {last}")));
    }
    if let Some(tick) = of_data.copied().find(|tick| *tick <= last || tick > up_to) {
        return Err(StoreError::Contract(format!("a change at tick {tick} in a commit after {last} up to {up_to}")));
    }
    match ticks.iter().find(|mark| mark.tick > *up_to) {
        Some(mark) => Err(StoreError::Contract(format!("a mark of tick {} in a commit up to {up_to}", mark.tick))),
        None => Ok(()),
    }
}

pub(super) fn check_key(of: &str, key: &[u8]) -> Result<(), StoreError> {
    match key.len() {
        0 => Err(StoreError::Contract(format!("an empty key for `{of}`"))),
        bytes if bytes > MAX_KEY_BYTES => Err(StoreError::KeyTooLong { of: of.into(), bytes }),
        _ => Ok(()),
    }
}
