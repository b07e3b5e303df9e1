//! Arrangements: rows sorted by key, shared by all readers, and reads of them as of a moment.

use differential_dataflow::operators::arrange::arrangement::arrange_core;
use differential_dataflow::operators::arrange::{Arranged, TraceAgent};
use differential_dataflow::trace::cursor::CursorList;
use differential_dataflow::trace::{Cursor, Navigable, TraceReader};

use super::batcher::{PassOn, RowBatchBuilder, RowBatcher};
use super::bytes::{RowBatch, RowSpine};
use super::updates::Update;
use crate::dataflow::exchange::by_key;
use crate::dataflow::streams::RowStream;
use crate::dataflow::time::Moment;
use crate::value::{Diff, Row};

/// A handle to read an arrangement.
pub(crate) type RowTrace = TraceAgent<RowSpine>;

/// Arranges updates by key, each key at the worker that owns it.
pub(crate) fn arrange<'s>(name: &str, updates: RowStream<'s>) -> Arranged<'s, RowTrace> {
    arrange_core::<_, _, PassOn, RowBatcher, RowBatchBuilder, RowSpine>(updates, by_key(), name)
}

/// Passes on every update of a batch, ordered by key, then by row.
pub(crate) fn each_update<'b>(batch: &'b RowBatch, mut give: impl FnMut(Update<'b>)) {
    let mut cursor = batch.cursor();
    while let Some(key) = cursor.get_key(batch) {
        while let Some(row) = cursor.get_val(batch) {
            cursor.map_times(batch, |&moment, &diff| give(Update { key, row, moment, diff }));
            cursor.step_val(batch);
        }
        cursor.step_key(batch);
    }
}

/// Passes on the updates of each key of a batch.
pub(crate) fn each_key<'b>(batch: &'b RowBatch, mut give: impl FnMut(&[Update<'b>])) {
    let mut cursor = batch.cursor();
    while let Some(key) = cursor.get_key(batch) {
        let mut updates = Vec::new();
        while let Some(row) = cursor.get_val(batch) {
            cursor.map_times(batch, |&moment, &diff| updates.push(Update { key, row, moment, diff }));
            cursor.step_val(batch);
        }
        give(&updates);
        cursor.step_key(batch);
    }
}

/// A row of a key and its multiplicity before the moment and as of it.
pub(crate) struct RowCounts {
    pub(crate) row: Row,
    pub(crate) before: Diff,
    pub(crate) after: Diff,
}

/// An arrangement before a moment and as of it. Keys must be looked up in ascending order.
pub(crate) struct AsOf {
    moment: Moment,
    cursor: CursorList<<RowBatch as Navigable>::Cursor>,
    storage: Vec<RowBatch>,
}

impl AsOf {
    pub(crate) fn new(trace: &mut RowTrace, moment: Moment) -> AsOf {
        let (cursor, storage) = trace.cursor();
        AsOf { moment, cursor, storage }
    }

    /// Passes on each row of a key with its multiplicity before the moment and as of it, until `give` returns false.
    pub(crate) fn each_row(&mut self, key: &[u8], give: impl FnMut(&[u8], Diff, Diff) -> bool) {
        self.cursor.seek_key(&self.storage, key);
        if self.cursor.get_key(&self.storage) == Some(key) {
            self.rows_here(give);
        }
    }

    /// The rows of a key whose multiplicity before the moment or as of it is not zero.
    pub(crate) fn entries(&mut self, key: &[u8]) -> Vec<RowCounts> {
        let mut entries = Vec::new();
        self.each_row(key, |row, before, after| {
            if before != 0 || after != 0 {
                entries.push(RowCounts { row: Row::from_bytes(row), before, after });
            }
            true
        });
        entries
    }

    /// Whether the key has a row before the moment, and whether it has one as of it.
    pub(crate) fn presence(&mut self, key: &[u8]) -> [bool; 2] {
        let mut present = [false; 2];
        self.each_row(key, |_, before, after| {
            present = [present[0] || before > 0, present[1] || after > 0];
            present != [true; 2]
        });
        present
    }

    /// Moves to the first key after this one.
    pub(crate) fn seek_behind(&mut self, key: &[u8]) {
        self.cursor.seek_key(&self.storage, key);
        if self.cursor.get_key(&self.storage) == Some(key) {
            self.cursor.step_key(&self.storage);
        }
    }

    /// The current key.
    pub(crate) fn key(&self) -> Option<&[u8]> {
        self.cursor.get_key(&self.storage)
    }

    pub(crate) fn step_key(&mut self) {
        self.cursor.step_key(&self.storage);
    }

    /// Like [`each_row`](AsOf::each_row), for the current key.
    pub(crate) fn rows_here(&mut self, mut give: impl FnMut(&[u8], Diff, Diff) -> bool) {
        let moment = self.moment;
        while let Some(row) = self.cursor.get_val(&self.storage) {
            let (mut before, mut after) = (0, 0);
            self.cursor.map_times(&self.storage, |at, diff| {
                before += if *at < moment { *diff } else { 0 };
                after += if *at <= moment { *diff } else { 0 };
            });
            if !give(row, before, after) {
                return;
            }
            self.cursor.step_val(&self.storage);
        }
    }
}
