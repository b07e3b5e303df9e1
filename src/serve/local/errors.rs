//! What is wrong: why rows of views are missing, the records that sources left out, and the documents that targets refuse.

use std::collections::BTreeMap;

use serde_json::json;

use crate::store::{RefusedDocument, Store, ViewError};
use crate::value::{Layout, Tick, json, row_of_key};

use super::answer::{Ended, send_when_full};
use super::{AccessError, Errors, Lines, Out};

/// All of it as JSON lines, first the views', then the sources', then the sinks'; the tick that it is of.
pub(super) fn errors(store: &Store, asked: &Errors, out: &Out) -> Result<Tick, Ended> {
    let tick = *store.committed().borrow();
    let (views, sources) = names(store)?;
    let sinks = store.readers()?;
    let sink_names: Vec<String> = sinks.iter().map(|sink| sink.name.clone()).collect();
    let known = || views.iter().chain(&sources).chain(&sink_names);
    if let Some(unknown) = asked.of.iter().find(|name| !known().any(|known| known == *name)) {
        let known: Vec<String> = known().map(|name| format!("`{name}`")).collect();
        let help = if known.is_empty() { "nothing is committed yet".to_string() } else { format!("there is {}", known.join(", ")) };
        return Err(AccessError::not_found(format!("there is no view, source or sink `{unknown}`"), Some(help)).into());
    }
    let wanted = |name: &&String| asked.of.is_empty() || asked.of.contains(name);
    let mut lines = Lines::new();
    for name in views.iter().filter(wanted) {
        of_view(store, name, &mut lines)?;
        send_when_full(&mut lines, out)?;
    }
    for name in sources.iter().filter(wanted) {
        of_source(store, name, &mut lines, out)?;
    }
    for sink in sinks.iter().filter(|sink| wanted(&&sink.name)) {
        of_sink(store, &sink.name, &sink.view, &mut lines, out)?;
    }
    out.blocking_send(lines)?;
    Ok(tick)
}

fn names(store: &Store) -> Result<(Vec<String>, Vec<String>), AccessError> {
    let views = store.views()?.into_iter().map(|view| view.name).collect();
    let sources = store.checkpoint().unwrap_or_default().sources.into_keys().collect();
    Ok((views, sources))
}

fn of_view(store: &Store, name: &str, lines: &mut Lines) -> Result<(), AccessError> {
    let Some(view) = store.view(name) else { return Ok(()) };
    let mut errors = view.errors()?;
    errors.sort_by(|a, b| (a.since, &a.message).cmp(&(b.since, &b.message)));
    for ViewError { message, count, since } in errors {
        push(lines, &json!({"view": name, "count": count, "since": since, "reason": message}));
    }
    Ok(())
}

fn of_source(store: &Store, name: &str, lines: &mut Lines, out: &Out) -> Result<(), Ended> {
    let mut kept: BTreeMap<String, u64> = BTreeMap::new();
    for rejected in store.rejected(name)? {
        let rejected = rejected?;
        let table = table(&rejected.table);
        push(lines, &json!({"source": name, "table": table, "place": rejected.place, "reason": rejected.reason}));
        *kept.entry(rejected.table).or_default() += 1;
        send_when_full(lines, out)?;
    }
    for (of, count) in store.rejected_counts()?.remove(name).unwrap_or_default() {
        let more = count - kept.get(&of).copied().unwrap_or(0).min(count);
        if more > 0 {
            push(lines, &json!({"source": name, "table": table(&of), "more": more}));
        }
    }
    Ok(())
}

fn of_sink(store: &Store, sink: &str, view: &str, lines: &mut Lines, out: &Out) -> Result<(), Ended> {
    let key_layout = store.view(view).map(|view| Layout::new(&view.schema().project(view.key_columns())));
    for refused in store.refused(sink)? {
        let RefusedDocument { key, since, reason } = refused?;
        // A view that is defined anew has another key, until the sink has caught up.
        let row = key_layout.as_ref().and_then(|layout| Some((layout, row_of_key(layout, &key)?)));
        let mut shown = Vec::new();
        row.iter().for_each(|(layout, row)| json::write_row(layout, row, &mut shown));
        let key: serde_json::Value = serde_json::from_slice(&shown).unwrap_or_default();
        push(lines, &json!({"sink": sink, "view": view, "key": key, "since": since, "reason": reason}));
        send_when_full(lines, out)?;
    }
    Ok(())
}

/// `None` where it could not be known.
fn table(name: &str) -> Option<&str> {
    Some(name).filter(|name| !name.is_empty())
}

fn push(lines: &mut Lines, line: &serde_json::Value) {
    lines.extend_from_slice(line.to_string().as_bytes());
    lines.push(b'\n');
}
