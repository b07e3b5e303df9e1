//! What workers have output of a view and is not committed yet.

use std::collections::HashMap;

use xxhash_rust::xxh3::xxh3_128;

use super::start::Hydration;
use crate::dataflow::{FailureChange, Outcome, RowChange};
use crate::plan::{Origin, Plan, View};
use crate::store::{ErrorChange, MAX_KEY_BYTES, ViewBatch, ViewChange};
use crate::value::{Layout, Row, RowBuilder, Tick, json, row_of_key};

/// A view's outputs that are not committed yet.
pub(super) struct PendingView {
    pub(super) hydration: Hydration,
    layout: Layout,
    key: Vec<usize>,
    /// Changes whose tick is not complete yet.
    changes: Vec<RowChange>,
    failures: Vec<FailureChange>,
    /// Documents of the first tick, until they are passed to the load.
    loading: Vec<(Row, Row)>,
    /// Keys whose document failed, with the stored error message.
    failed: HashMap<Row, String>,
    /// The memory of `changes` and `failures`.
    bytes: usize,
    /// The memory of `loading`.
    loading_bytes: usize,
}

impl PendingView {
    pub(super) fn new(view: &View, hydration: Hydration) -> PendingView {
        PendingView {
            hydration,
            layout: Layout::new(&view.schema),
            key: view.key.clone(),
            changes: Vec::new(),
            failures: Vec::new(),
            loading: Vec::new(),
            failed: HashMap::new(),
            bytes: 0,
            loading_bytes: 0,
        }
    }

    /// The memory of what waits, about. Costs nothing: it is asked for often, and much may wait.
    pub(super) fn held_bytes(&self) -> usize {
        self.bytes + self.loading_bytes + self.failed.capacity() * size_of::<(Row, String)>()
    }

    /// Takes changes from a worker. `first`: while the first tick is loaded, its rows are kept apart unless the view is stored already.
    pub(super) fn take(&mut self, changes: Vec<RowChange>, first: Option<Tick>) {
        let first = first.filter(|_| self.hydration != Hydration::Stored);
        for change in changes.into_iter().map(keepable) {
            match change.outcome {
                Outcome::Row(row) if first == Some(change.tick) => {
                    self.loading_bytes += size_of::<(Row, Row)>() + change.key.len() + row.len();
                    self.loading.push((change.key, row));
                }
                _ => {
                    self.bytes += bytes_of_change(&change);
                    self.changes.push(change);
                }
            }
        }
    }

    pub(super) fn take_failures(&mut self, changes: Vec<FailureChange>) {
        self.bytes += changes.iter().map(bytes_of_failure).sum::<usize>();
        self.failures.extend(changes);
    }

    /// The rows of the first tick that have not been taken yet.
    pub(super) fn take_loading(&mut self) -> Vec<(Row, Row)> {
        self.loading_bytes = 0;
        std::mem::take(&mut self.loading)
    }

    /// Takes the changes and failures of ticks up to and including `up_to`; `None` if there are none.
    pub(super) fn batch(&mut self, plan: &Plan, view: usize, up_to: Tick) -> Option<ViewBatch> {
        let (ready, waiting): (Vec<_>, Vec<_>) = std::mem::take(&mut self.changes).into_iter().partition(|c| c.tick <= up_to);
        self.changes = waiting;
        let (failed, waiting): (Vec<_>, Vec<_>) = std::mem::take(&mut self.failures).into_iter().partition(|f| f.tick <= up_to);
        self.failures = waiting;
        self.bytes = self.changes.iter().map(bytes_of_change).sum::<usize>() + self.failures.iter().map(bytes_of_failure).sum::<usize>();
        if ready.is_empty() && failed.is_empty() {
            return None;
        }
        let mut batch = ViewBatch { view, ..ViewBatch::default() };
        for failure in failed {
            let message = failure_message(plan, &failure);
            batch.errors.push(ErrorChange { tick: failure.tick, message, diff: failure.diff });
        }
        let mut ready = ready;
        ready.sort_by_key(|c| c.tick);
        for RowChange { tick, key, outcome } in ready {
            let reason = match &outcome {
                Outcome::Failed(reason) => Some(format!("{}: {reason}", self.describe(&key))),
                Outcome::Row(_) | Outcome::Gone => None,
            };
            self.note_failure(&mut batch, tick, &key, reason);
            let after = match outcome {
                Outcome::Row(row) => Some(row),
                Outcome::Gone | Outcome::Failed(_) => None,
            };
            batch.changes.push(ViewChange { tick, key, after });
        }
        Some(batch)
    }

    /// Adds to the batch how the error of a key changes: the old one is retracted, the new one (`reason`) is added.
    fn note_failure(&mut self, batch: &mut ViewBatch, tick: Tick, key: &Row, reason: Option<String>) {
        if self.failed.get(key) == reason.as_ref() {
            return;
        }
        if let Some(message) = self.failed.remove(key) {
            batch.errors.push(ErrorChange { tick, message, diff: -1 });
        }
        if let Some(message) = reason {
            batch.errors.push(ErrorChange { tick, message: message.clone(), diff: 1 });
            self.failed.insert(key.clone(), message);
        }
    }

    /// The key as JSON, e.g. `{"order_id":7}`.
    fn describe(&self, key: &[u8]) -> String {
        let layout = Layout::new(&self.layout.schema().project(&self.key));
        row_of_key(&layout, key).map_or("a key".into(), |row| json_of(&layout, &row))
    }
}

/// Replaces a row whose key is too long for the store by an error, under a key made of the start and the hash of the long one.
fn keepable(change: RowChange) -> RowChange {
    let length = change.key.len();
    if length <= MAX_KEY_BYTES {
        return change;
    }
    const START: usize = 64;
    let key = [&change.key[..START], &xxh3_128(&change.key).to_be_bytes()].concat().into();
    let reason = format!("it has {length} bytes, but a key can have at most {MAX_KEY_BYTES}: use shorter columns as the key of the view");
    let outcome = match change.outcome {
        Outcome::Row(_) => Outcome::Failed(reason),
        other => other,
    };
    RowChange { key, outcome, ..change }
}

fn bytes_of_change(change: &RowChange) -> usize {
    let row = match &change.outcome {
        Outcome::Row(row) => row.len(),
        Outcome::Failed(reason) => reason.len(),
        Outcome::Gone => 0,
    };
    size_of::<RowChange>() + change.key.len() + row
}

fn bytes_of_failure(change: &FailureChange) -> usize {
    size_of::<FailureChange>() + change.failure.row.len() + change.failure.reason.len()
}

/// The error message: the row's key and the reason, never other values of the row.
fn failure_message(plan: &Plan, failure: &FailureChange) -> String {
    let (name, schema, key) = match failure.of {
        Some(Origin::Table(table)) => (plan.tables[table].full_name(), &plan.tables[table].schema, &plan.tables[table].key),
        Some(Origin::View(view)) if plan.views[view].has_key() => {
            (plan.views[view].name.clone(), &plan.views[view].schema, &plan.views[view].key)
        }
        Some(Origin::View(view)) => return format!("a row of {}: {}", plan.views[view].name, failure.failure.reason),
        Some(Origin::Own(_)) => return format!("a row of the query: {}", failure.failure.reason),
        None => return failure.failure.reason.clone(),
    };
    let layout = Layout::new(schema);
    let key_layout = Layout::new(&schema.project(key));
    let mut builder = RowBuilder::new(&key_layout);
    for &column in key {
        builder.push(layout.get(&failure.failure.row, column));
    }
    format!("{name} {}: {}", json_of(&key_layout, &builder.finish()), failure.failure.reason)
}

pub(super) fn json_of(layout: &Layout, row: &[u8]) -> String {
    let mut out = Vec::new();
    json::write_row(layout, row, &mut out);
    String::from_utf8(out).unwrap_or_default()
}
