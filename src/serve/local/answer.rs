//! The answers themselves, from an open store.

use tokio::sync::mpsc::error::SendError;

use crate::store::{ChangeEntry, Store, ViewReader};
use crate::value::{Layout, RowBuilder, Schema, Tick, json, key, push_text};

use super::{AccessError, From, Get, Lines, Out, SourceStatus, Status, Tail, ViewStatus, sinks};

/// Lines are handed on when they come to this much.
const CHUNK_BYTES: usize = 64 << 10;
/// Changes that are read at a time, beyond which a tick is not cut.
const CHANGES: usize = 1000;

/// Why an answer ended early.
pub(super) enum Ended {
    /// Nobody reads it any more.
    Unread,
    Error(AccessError),
}

impl<E: Into<AccessError>> std::convert::From<E> for Ended {
    fn from(error: E) -> Ended {
        Ended::Error(error.into())
    }
}

impl std::convert::From<SendError<Lines>> for Ended {
    fn from(_: SendError<Lines>) -> Ended {
        Ended::Unread
    }
}

/// The rows asked for, as JSON lines in key order, all of one commit, whose tick it returns.
pub(super) fn get(store: &Store, get: &Get, out: &Out) -> Result<Tick, Ended> {
    let view = view(store, &get.view)?;
    let prefix = key_prefix(&view, &get.key)?;
    let layout = Layout::new(view.schema());
    let mut scan = view.scan_prefix(&prefix)?;
    let mut lines = Lines::new();
    let mut found = false;
    for read in &mut scan {
        let (_, row) = read?;
        found = true;
        json::write_row(&layout, &row, &mut lines);
        lines.push(b'\n');
        send_when_full(&mut lines, out)?;
    }
    if !found && get.key.len() == view.key_columns().len() {
        return Err(AccessError::not_found(format!("`{}` has no row with this key", get.view), None).into());
    }
    out.blocking_send(lines)?;
    Ok(scan.tick)
}

/// The changes asked for; with `until_caught_up` it ends with the last commit, otherwise when nobody reads or commits any more.
/// Returns the tick up to which all was sent.
pub(super) async fn tail(store: Store, tail: Tail, out: &Out) -> Result<Tick, Ended> {
    let mut committed = store.committed();
    let mut after = begin(&store, &tail, out).await?;
    while !(tail.until_caught_up && after >= *committed.borrow()) {
        if after >= *committed.borrow_and_update() {
            tokio::select! {
                changed = committed.changed() => if changed.is_err() { break },
                () = out.closed() => return Err(Ended::Unread),
            }
            continue;
        }
        let (store, name, out) = (store.clone(), tail.view.clone(), out.clone());
        after = blocking(move || send_changes(&view(&store, &name)?, after, &out)).await?;
    }
    Ok(after)
}

/// Sends the base where it is asked for; the tick to go on after.
async fn begin(store: &Store, tail: &Tail, out: &Out) -> Result<Tick, Ended> {
    let (store, tail, out) = (store.clone(), tail.clone(), out.clone());
    blocking(move || {
        let view = view(&store, &tail.view)?;
        match tail.from {
            From::Start => {
                let mut changes = view.changes_from_start()?;
                let mut writer = ChangeWriter::new(&view);
                for entry in &mut changes {
                    writer.write(&entry?)?;
                    send_when_full(&mut writer.lines, &out)?;
                }
                out.blocking_send(writer.lines)?;
                Ok(changes.up_to())
            }
            From::Now => Ok(*store.committed().borrow()),
            From::After(tick) => Ok(tick),
            From::Position(position) => store.tick_of(None, &position)?.ok_or_else(|| {
                let help = "`tidemill tail --from start` shows the positions that are still known".to_string();
                AccessError::not_found(format!("no tick is known for position `{position}`"), Some(help)).into()
            }),
        }
    })
    .await
}

fn send_changes(view: &ViewReader, after: Tick, out: &Out) -> Result<Tick, Ended> {
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

/// Everything that the store itself knows.
pub(super) fn status(store: &Store) -> Result<Status, AccessError> {
    let checkpoint = store.checkpoint().unwrap_or_default();
    let rejected = store.rejected_counts()?;
    let sources = checkpoint.sources.into_iter().map(|(name, at)| SourceStatus {
        rejected: rejected.get(&name).map_or(0, |tables| tables.values().sum()),
        name,
        tick: at.tick,
        position: at.position.to_string(),
        committed_ms: at.committed_ms,
        ..SourceStatus::default()
    });
    let views = store.views()?.into_iter().map(|view| ViewStatus {
        name: view.name,
        rows: view.rows,
        bytes: view.bytes,
        disk_bytes: view.disk_bytes,
        changes: view.changes,
        errors: view.errors,
        changelog_after: view.floor,
        changelog_bytes: view.changelog_bytes,
    });
    Ok(Status {
        store: store.id().into(),
        pid: None,
        tick: checkpoint.tick,
        disk_bytes: store.disk_bytes()?,
        sources: sources.collect(),
        views: views.collect(),
        sinks: sinks::status(store)?,
        memory: Vec::new(),
    })
}

/// Changes as JSON lines.
struct ChangeWriter<'a> {
    view: &'a ViewReader,
    layout: Layout,
    key: Layout,
    /// The tick of the entry before, and its position as JSON.
    position: Option<(Tick, Vec<u8>)>,
    lines: Lines,
}

impl ChangeWriter<'_> {
    fn new(view: &ViewReader) -> ChangeWriter<'_> {
        let key = Layout::new(&view.schema().project(view.key_columns()));
        ChangeWriter { view, layout: Layout::new(view.schema()), key, position: None, lines: Lines::new() }
    }

    fn write(&mut self, entry: &ChangeEntry) -> Result<(), AccessError> {
        if self.position.as_ref().is_none_or(|(tick, _)| *tick != entry.tick) {
            let marks = self.view.store().positions_of(entry.tick)?;
            let text = marks.first().map(|mark| mark.position.as_str().to_string());
            self.position = Some((entry.tick, serde_json::to_vec(&text).expect("text is JSON")));
        }
        let position = self.position.as_ref().map_or(&b"null"[..], |(_, json)| json);
        let lines = &mut self.lines;
        lines.extend_from_slice(format!("{{\"tick\":{},\"position\":", entry.tick).as_bytes());
        lines.extend_from_slice(position);
        lines.extend_from_slice(b",\"key\":");
        let row = entry.after.as_ref().or(entry.before.as_ref()).expect("a change has a row before or after");
        json::write_row(&self.key, &key_row(&self.layout, &self.key, self.view.key_columns(), row), lines);
        for (name, row) in [("before", &entry.before), ("after", &entry.after)] {
            lines.extend_from_slice(format!(",\"{name}\":").as_bytes());
            match row {
                Some(row) => json::write_row(&self.layout, row, lines),
                None => lines.extend_from_slice(b"null"),
            }
        }
        lines.extend_from_slice(b"}\n");
        Ok(())
    }
}

fn key_row(layout: &Layout, key: &Layout, columns: &[usize], row: &[u8]) -> Vec<u8> {
    let mut builder = RowBuilder::new(key);
    columns.iter().for_each(|&column| builder.push(layout.get(row, column)));
    let mut out = Vec::new();
    builder.finish_into(&mut out);
    out
}

fn view(store: &Store, name: &str) -> Result<ViewReader, AccessError> {
    if let Some(view) = store.view(name) {
        return Ok(view);
    }
    let names: Vec<String> = store.views()?.into_iter().map(|v| format!("`{}`", v.name)).collect();
    let help = match names.is_empty() {
        true => "nothing is committed yet".to_string(),
        false => format!("there is {}", names.join(", ")),
    };
    Err(AccessError::not_found(format!("there is no view `{name}`"), Some(help)))
}

/// The order-preserving key of the given values of the first key columns.
fn key_prefix(view: &ViewReader, values: &[String]) -> Result<Vec<u8>, AccessError> {
    let columns = view.key_columns();
    let names = |schema: &Schema| schema.columns().iter().map(|c| format!("`{}`", c.name)).collect::<Vec<_>>().join(", ");
    let Some(columns) = columns.get(..values.len()) else {
        let has = names(&view.schema().project(columns));
        return Err(AccessError::invalid(format!("the key of `{}` is {has}, not {} values", view.name(), values.len())));
    };
    let schema = view.schema().project(columns);
    let layout = Layout::new(&schema);
    let mut builder = RowBuilder::new(&layout);
    for (value, column) in values.iter().zip(schema.columns()) {
        push_text(&mut builder, value).map_err(|e| AccessError::invalid(format!("`{}` of `{}`: {e}", column.name, view.name())))?;
    }
    let all: Vec<usize> = (0..schema.len()).collect();
    Ok(key::of(&layout, &builder.finish(), &all).to_vec())
}

pub(super) fn send_when_full(lines: &mut Lines, out: &Out) -> Result<(), Ended> {
    if lines.len() >= CHUNK_BYTES {
        out.blocking_send(std::mem::take(lines))?;
    }
    Ok(())
}

/// Runs what waits for the disk, or for whoever reads, off the async threads.
pub(super) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T, Ended> + Send + 'static) -> Result<T, Ended> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|_| Err(AccessError::failed("the answer was given up".into()).into()))
}
