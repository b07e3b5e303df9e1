//! Reads the answers from an open store.

use tokio::sync::mpsc::error::SendError;

use super::Out;
use crate::serve::json_lines::{ChangeWriter, Lines, push_error, push_row};
use crate::serve::question::{Errors, Get, Tail};
use crate::serve::rows::RowsAnswer;
use crate::serve::{AccessError, changes, errors};
use crate::store::{Store, ViewReader};
use crate::value::{Layout, Tick};

/// Lines are sent once they have this many bytes.
const CHUNK_BYTES: usize = 64 << 10;
/// About how many changes are read at a time, always whole ticks.
const CHANGES: usize = 1000;

/// Why an answer ended early.
pub(super) enum AnswerEnd {
    /// The receiver was dropped.
    Unread,
    Error(AccessError),
}

impl<E: Into<AccessError>> From<E> for AnswerEnd {
    fn from(error: E) -> AnswerEnd {
        AnswerEnd::Error(error.into())
    }
}

impl From<SendError<Lines>> for AnswerEnd {
    fn from(_: SendError<Lines>) -> AnswerEnd {
        AnswerEnd::Unread
    }
}

/// Sends rows as JSON lines in key order, all of one commit. Returns its tick.
pub(super) fn get(store: &Store, get: &Get, out: &Out) -> Result<Tick, AnswerEnd> {
    let mut rows = RowsAnswer::read(&store.snapshot(), get)?;
    let layout = Layout::new(&rows.schema);
    let mut lines = Lines::new();
    let mut found = false;
    for read in &mut rows.scan {
        let (_, row) = read?;
        found = true;
        push_row(&layout, &row, &mut lines);
        send_when_full(&mut lines, out)?;
    }
    rows.check_found(found)?;
    out.blocking_send(lines)?;
    Ok(rows.scan.tick)
}

/// Sends what is wrong; returns the tick that it is of.
pub(super) fn errors(store: &Store, asked: &Errors, out: &Out) -> Result<Tick, AnswerEnd> {
    let snapshot = store.snapshot();
    let mut lines = Lines::new();
    errors::each_error(&snapshot, asked, |entry| {
        push_error(entry, &mut lines);
        send_when_full(&mut lines, out)
    })?;
    out.blocking_send(lines)?;
    Ok(snapshot.tick()?)
}

/// Sends changes. With `until_caught_up` it ends with the last commit, otherwise when the receiver or the store is dropped. Returns the tick up
/// to which all changes were sent.
pub(super) async fn tail(store: Store, tail: Tail, out: &Out) -> Result<Tick, AnswerEnd> {
    let mut committed = store.committed();
    let mut after = begin(&store, &tail, out).await?;
    while !(tail.until_caught_up && after >= *committed.borrow()) {
        if after >= *committed.borrow_and_update() {
            tokio::select! {
                changed = committed.changed() => if changed.is_err() { break },
                () = out.closed() => return Err(AnswerEnd::Unread),
            }
            continue;
        }
        let (store, name, out) = (store.clone(), tail.view.clone(), out.clone());
        after = blocking(move || send_changes(&changes::reader(&store, &name)?, after, &out)).await?;
    }
    Ok(after)
}

/// Sends the start of the changelog if the question asks for it. Returns the tick after which to continue.
async fn begin(store: &Store, tail: &Tail, out: &Out) -> Result<Tick, AnswerEnd> {
    let (store, tail, out) = (store.clone(), tail.clone(), out.clone());
    blocking(move || {
        let view = changes::reader(&store, &tail.view)?;
        if let Some(after) = changes::begin_after(&store, &tail.from)? {
            return Ok(after);
        }
        let mut changes = view.changes_from_start()?;
        let mut writer = ChangeWriter::new(&view);
        for entry in &mut changes {
            writer.write(&entry?)?;
            send_when_full(&mut writer.lines, &out)?;
        }
        out.blocking_send(writer.lines)?;
        Ok(changes.up_to())
    })
    .await
}

fn send_changes(view: &ViewReader, after: Tick, out: &Out) -> Result<Tick, AnswerEnd> {
    let changes = view.changes(after, CHANGES)?;
    let mut writer = ChangeWriter::new(view);
    for entry in &changes.entries {
        writer.write(entry)?;
    }
    if !writer.lines.is_empty() {
        out.blocking_send(writer.lines)?;
    }
    Ok(changes.up_to)
}

fn send_when_full(lines: &mut Lines, out: &Out) -> Result<(), AnswerEnd> {
    if lines.len() >= CHUNK_BYTES {
        out.blocking_send(std::mem::take(lines))?;
    }
    Ok(())
}

/// Runs work that waits for the disk or for the receiver in a blocking thread.
pub(super) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T, AnswerEnd> + Send + 'static) -> Result<T, AnswerEnd> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|_| Err(AccessError::failed("the answer was aborted".into()).into()))
}
