//! The first load of inputs and views: writes sorted runs as table files, past journal and write buffers.
//!
//! Rows are buffered up to [`CHUNK_BYTES`] over all inputs and views together; then a thread sorts and writes the fullest buffer
//! ([`sorted_run`](super::sorted_run)). Rows in key order make one run; rows in any other order make a few, which the storage engine merges in the
//! background. Memory: the buffers, and the chunk that is being written.
//!
//! New rows of a view that exists already are written beside it in the same way, to compute the difference that is committed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;

use fjall::Keyspace;

use crate::fault;
use crate::value::{Row, Tick, key};

use super::commit::{Commit, Committed, LoadedCounters, check_key};
use super::error::{AtFolder, StoreError};
use super::parts::{LONG, LongRow};
use super::record::{self, Counters};
use super::sorted_run::{Buffer, RowChunk, RunsOf, write_runs};
use super::space::{InputSpace, ViewSpace};
use super::{Spaces, Store, ViewReader, sequence};

const CHUNK_BYTES: usize = 6 << 20;

/// A running bulk load; see [`Store::bulk_load`]. If it is dropped without [`finish`](BulkLoad::finish), the store refuses commits until it
/// is defined or opened again, which drops the loaded rows.
pub struct BulkLoad {
    store: Store,
    inputs: Vec<Target<InputSpace>>,
    views: Vec<Target<ViewSpace>>,
    /// The parts of each view's long rows.
    parts: Vec<Target<ViewSpace>>,
    buffered: usize,
    counters: BTreeMap<u32, Counters>,
    key: Vec<u8>,
    finished: bool,
    /// The key spaces of rows that are compared with views; dropped with the load.
    beside: Vec<Keyspace>,
    to_writer: Option<SyncSender<RowChunk>>,
    writer: Option<JoinHandle<Result<(), StoreError>>>,
}

struct Target<S> {
    space: Arc<S>,
    /// Its index in the writer's list.
    index: usize,
    rows: Buffer,
    /// Whether these rows are only compared with those of the view.
    beside: bool,
}

impl std::fmt::Debug for BulkLoad {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BulkLoad").field("buffered", &self.buffered).finish_non_exhaustive()
    }
}

impl Store {
    /// Starts to load the inputs and views that [`define`](Store::define) reported as new or changed. Until the load is finished or dropped,
    /// commits are refused and the loaded rows cannot be read.
    pub fn bulk_load(&self) -> Result<BulkLoad, StoreError> {
        self.bulk_load_beside(&[])
    }

    /// As [`bulk_load`](Store::bulk_load), and also loads rows of these existing views beside them, to be compared.
    pub fn bulk_load_beside(&self, compared: &[usize]) -> Result<BulkLoad, StoreError> {
        self.sound_writer()?.refuse_after_giving_up()?;
        if self.0.loading.swap(true, Ordering::AcqRel) {
            return Err(StoreError::Contract("two bulk loads at once".into()));
        }
        if !compared.is_empty() {
            let _writer = self.writer();
            let reserved = sequence::reserve(&self.0.db, &self.0.meta, 2 * compared.len(), self.dir());
            reserved.inspect_err(|_| self.0.loading.store(false, Ordering::Release))?;
        }
        let Spaces { inputs, views, .. } = &*self.0.spaces.read().expect("nothing panics while it holds this");
        let first_view = inputs.len();
        let is_beside = |view: usize| compared.contains(&view) && views[view].record.ready;
        let views: Result<Vec<Arc<ViewSpace>>, StoreError> =
            (0..views.len()).map(|v| if is_beside(v) { views[v].beside(&self.0.db, self.dir()) } else { Ok(views[v].clone()) }).collect();
        let views = views.inspect_err(|_| self.0.loading.store(false, Ordering::Release))?;
        let beside = (0..views.len()).filter(|view| is_beside(*view)).map(|view| views[view].rows.clone()).collect();
        let runs = inputs.iter().map(|i| RunsOf::input(i)).chain(views.iter().map(|v| RunsOf::view(v)));
        let spaces: Vec<RunsOf> = runs.chain(views.iter().map(|v| RunsOf::parts(v))).collect();
        let (to_writer, chunks) = sync_channel(0);
        let dir = self.dir().to_path_buf();
        let thread = std::thread::Builder::new().name("bulk-load".into()).spawn(move || write_runs(&spaces, &chunks, &dir));
        let writer = thread.at(self.dir()).inspect_err(|_| self.0.loading.store(false, Ordering::Release))?;
        let target = |index, space| Target { space, index, rows: Buffer::default(), beside: false };
        Ok(BulkLoad {
            store: self.clone(),
            inputs: inputs.iter().enumerate().map(|(i, space)| target(i, space.clone())).collect(),
            views: views
                .iter()
                .enumerate()
                .map(|(i, space)| Target { space: space.clone(), index: first_view + i, rows: Buffer::default(), beside: is_beside(i) })
                .collect(),
            parts: views
                .iter()
                .enumerate()
                .map(|(i, space)| Target {
                    space: space.clone(),
                    index: first_view + views.len() + i,
                    rows: Buffer::default(),
                    beside: false,
                })
                .collect(),
            buffered: 0,
            counters: BTreeMap::new(),
            key: Vec::new(),
            finished: false,
            beside,
            to_writer: Some(to_writer),
            writer: Some(writer),
        })
    }
}

impl BulkLoad {
    /// Loads rows of a new input, one copy each, in any order. Of rows with the same primary key the last one wins.
    pub fn input<'a>(&mut self, input: usize, rows: impl IntoIterator<Item = &'a [u8]>) -> Result<(), StoreError> {
        let target = self.inputs.get_mut(input).ok_or_else(|| StoreError::Contract(format!("input {input} is not defined")))?;
        let space = target.space.clone();
        if space.record.ready || space.record.staged {
            return Err(StoreError::Contract(format!("`{}` is loaded already", space.record.name)));
        }
        for row in rows {
            let target = &mut self.inputs[input];
            let counters = self.counters.entry(space.record.id).or_default();
            counters.rows += 1;
            counters.bytes += row.len() as i64;
            self.buffered += match space.is_multiset() {
                true => target.rows.push(&xxhash_rust::xxh3::xxh3_128(row).to_be_bytes(), &[], row),
                false => {
                    self.key.clear();
                    key::of_into(&space.layout, row, &space.record.key, &mut self.key);
                    check_key(&space.record.name, &self.key)?;
                    target.rows.push(&self.key, &[], row)
                }
            };
            self.write_when_full()?;
        }
        Ok(())
    }

    /// Tells the number and the bytes of rows that a staged input ([`InputState::Staged`](super::InputState::Staged)) has, in addition to what
    /// was told before: the commit stores the sums as its counts.
    pub fn staged_input(&mut self, input: usize, rows: u64, bytes: u64) {
        let counters = self.counters.entry(self.inputs[input].space.record.id).or_default();
        counters.rows += rows as i64;
        counters.bytes += bytes as i64;
    }

    /// Loads rows, with their keys, of a new view or to compare with a view. No key may occur twice. Any order works, key order is fastest.
    pub fn view<'a>(&mut self, view: usize, rows: impl IntoIterator<Item = (&'a [u8], &'a [u8])>) -> Result<(), StoreError> {
        let target = self.views.get_mut(view).ok_or_else(|| StoreError::Contract(format!("view {view} is not defined")))?;
        let (space, beside) = (target.space.clone(), target.beside);
        if space.record.ready && !beside {
            return Err(StoreError::Contract(format!("`{}` is loaded already", space.record.name)));
        }
        for (key, row) in rows {
            check_key(&space.record.name, key)?;
            // Rows that are only compared are dropped soon, so they are not cut into parts.
            if beside {
                self.buffered += self.views[view].rows.push(key, &record::view_row_head(Tick(0), false), row);
                self.write_when_full()?;
                continue;
            }
            let counters = self.counters.entry(space.record.id).or_default();
            counters.rows += 1;
            counters.bytes += (key.len() + row.len()) as i64;
            let head = record::view_row_head(Tick(0), row.len() >= LONG);
            if row.len() < LONG {
                self.buffered += self.views[view].rows.push(key, &head, row);
            } else {
                let first = counters.next_part as u64;
                let mut next = first;
                let row = LongRow::cut(&space.layout, row, None, &mut next);
                counters.next_part = next as i64;
                for (part, bytes) in row.parts_from(first) {
                    self.buffered += self.parts[view].rows.push(&part.to_be_bytes(), &[], bytes);
                }
                self.buffered += self.views[view].rows.push(key, &head, &row.manifest.bytes());
            }
            self.write_when_full()?;
        }
        Ok(())
    }

    /// Makes the loaded rows durable, then commits, which makes them readable. The commit has the positions of the loaded rows. It may change
    /// any input, existing views, and the errors of any view, but not the rows of a loaded view. The changelogs of loaded views start after its
    /// tick.
    pub fn finish(mut self, commit: Commit) -> Result<Committed, StoreError> {
        fault::fallible("store.load.before_finish").at(self.store.dir())?;
        self.write_rest()?;
        fault::fallible("store.load.before_commit").at(self.store.dir())?;
        self.finished = true;
        let store = self.store.clone();
        let mut writer = store.sound_writer()?;
        let counters = std::mem::take(&mut self.counters);
        let committed = store.commit_noted(&mut writer, commit, Some(LoadedCounters { counters }));
        drop(writer);
        fault::point("store.load.after");
        committed
    }

    /// The changes that turn a view into the rows that were loaded beside it: each key to insert or update with its row, each key to delete
    /// with `None`. No more rows can be loaded afterwards.
    pub fn difference(&mut self, view: usize) -> Result<impl Iterator<Item = Result<(Row, Option<Row>), StoreError>> + use<>, StoreError> {
        self.write_rest()?;
        let target = self.views.get(view).filter(|target| target.beside);
        let target = target.ok_or_else(|| StoreError::Contract(format!("no rows are loaded beside view {view}")))?;
        let reader = |space| ViewReader { store: self.store.clone(), space };
        let wanted = reader(target.space.clone()).scan()?;
        reader(self.store.view_space(view)?).difference(wanted)
    }

    /// Sends all buffered rows to the writer and waits for it to end.
    fn write_rest(&mut self) -> Result<(), StoreError> {
        if self.writer.is_none() {
            return Ok(());
        }
        for target in &mut self.inputs {
            send(self.to_writer.as_ref(), target.index, &mut target.rows);
        }
        for target in self.views.iter_mut().chain(&mut self.parts) {
            send(self.to_writer.as_ref(), target.index, &mut target.rows);
        }
        self.join()
    }

    /// Sends the fullest buffer to the writer if the buffers are full.
    fn write_when_full(&mut self) -> Result<(), StoreError> {
        if self.buffered < CHUNK_BYTES {
            return Ok(());
        }
        let inputs = self.inputs.iter_mut().map(|t| (t.index, &mut t.rows));
        let views = self.views.iter_mut().chain(&mut self.parts).map(|t| (t.index, &mut t.rows));
        let (index, rows) = inputs.chain(views).max_by_key(|(_, rows)| rows.size()).expect("something is buffered");
        self.buffered -= rows.size();
        fault::fallible("store.load.chunk").at(self.store.dir())?;
        match send(self.to_writer.as_ref(), index, rows) {
            true => Ok(()),
            // The writer has ended with an error.
            false => self.join(),
        }
    }

    fn join(&mut self) -> Result<(), StoreError> {
        self.to_writer = None;
        let Some(writer) = self.writer.take() else { return Err(StoreError::Failed { dir: self.store.dir().into() }) };
        let written = writer.join().unwrap_or_else(|_| Err(StoreError::Contract("the writer of a bulk load panicked".into())));
        if written.is_err() {
            self.store.writer().failed = true;
        }
        written
    }
}

impl Drop for BulkLoad {
    fn drop(&mut self) {
        if self.writer.is_some() {
            let _ = self.join();
        }
        if !self.finished {
            self.store.writer().load_given_up = true;
        }
        if let Err(error) = self.store.drop_keyspaces(std::mem::take(&mut self.beside)) {
            tracing::warn!(%error, "temporary rows of a comparison stay on disk until the state folder is opened again");
        }
        self.store.0.loading.store(false, Ordering::Release);
    }
}

fn send(to_writer: Option<&SyncSender<RowChunk>>, index: usize, rows: &mut Buffer) -> bool {
    let rows = std::mem::take(rows);
    rows.is_empty() || to_writer.is_some_and(|to| to.send(RowChunk { index, rows }).is_ok())
}
