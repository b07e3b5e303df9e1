//! What is wrong: why rows of views are missing, what sources left out, and the documents that targets refuse.

use std::collections::BTreeMap;

use super::AccessError;
use super::question::Errors;
use crate::store::{RefusedDocument, StoreError, StoreSnapshot, ViewError};
use crate::value::{Diff, Layout, Row, Tick, row_of_key};

/// One thing that is wrong.
pub(super) enum ErrorEntry {
    /// Rows of a view are missing, for one reason.
    View { view: String, count: Diff, since: Tick, reason: String },
    /// A source left a record out. `table` is `None` where it could not be known.
    Rejected { source: String, table: Option<String>, place: String, reason: String },
    /// A source left out so many more than are kept.
    MoreRejected { source: String, table: Option<String>, more: u64 },
    /// A target refuses a document. `key`: `None` where the view has another key now.
    Refused { sink: String, view: String, key: Option<(Layout, Row)>, since: Tick, reason: String },
}

/// Gives all of it, first the views', then the sources', then the sinks'.
pub(super) fn each_error<E: From<AccessError> + From<StoreError>>(
    snapshot: &StoreSnapshot,
    asked: &Errors,
    mut give: impl FnMut(ErrorEntry) -> Result<(), E>,
) -> Result<(), E> {
    let views: Vec<String> = snapshot.views().map(|view| view.name().to_string()).collect();
    let sources: Vec<String> = snapshot.checkpoint()?.unwrap_or_default().sources.into_keys().collect();
    let sinks = snapshot.readers()?;
    let sink_names: Vec<String> = sinks.iter().map(|sink| sink.name.clone()).collect();
    let known = || views.iter().chain(&sources).chain(&sink_names);
    if let Some(unknown) = asked.of.iter().find(|name| !known().any(|known| known == *name)) {
        let known: Vec<String> = known().map(|name| format!("`{name}`")).collect();
        let help = if known.is_empty() { "nothing is committed yet".to_string() } else { format!("there is {}", known.join(", ")) };
        return Err(AccessError::not_found(format!("there is no view, source or sink `{unknown}`"), Some(help)).into());
    }
    let wanted = |name: &str| asked.of.is_empty() || asked.of.iter().any(|asked| asked == name);
    for view in snapshot.views().filter(|view| wanted(view.name())) {
        let mut errors = view.errors()?;
        errors.sort_by(|a, b| (a.since, &a.message).cmp(&(b.since, &b.message)));
        for ViewError { message, count, since } in errors {
            give(ErrorEntry::View { view: view.name().into(), count, since, reason: message })?;
        }
    }
    let mut counts = snapshot.rejected_counts()?;
    for source in sources.iter().filter(|name| wanted(name)) {
        of_source(snapshot, source, counts.remove(source).unwrap_or_default(), &mut give)?;
    }
    for sink in sinks.iter().filter(|sink| wanted(&sink.name)) {
        of_sink(snapshot, &sink.name, &sink.view, &mut give)?;
    }
    Ok(())
}

fn of_source<E: From<StoreError>>(
    snapshot: &StoreSnapshot,
    source: &str,
    counts: BTreeMap<String, u64>,
    give: &mut impl FnMut(ErrorEntry) -> Result<(), E>,
) -> Result<(), E> {
    let mut kept: BTreeMap<String, u64> = BTreeMap::new();
    for rejected in snapshot.rejected(source) {
        let rejected = rejected?;
        *kept.entry(rejected.table.clone()).or_default() += 1;
        let (place, reason) = (rejected.place, rejected.reason);
        give(ErrorEntry::Rejected { source: source.into(), table: known(rejected.table), place, reason })?;
    }
    for (table, count) in counts {
        let more = count - kept.get(&table).copied().unwrap_or(0).min(count);
        if more > 0 {
            give(ErrorEntry::MoreRejected { source: source.into(), table: known(table), more })?;
        }
    }
    Ok(())
}

fn of_sink<E: From<StoreError>>(
    snapshot: &StoreSnapshot,
    sink: &str,
    view: &str,
    give: &mut impl FnMut(ErrorEntry) -> Result<(), E>,
) -> Result<(), E> {
    let key_layout = snapshot.view(view).map(|view| Layout::new(&view.schema().project(view.key_columns())));
    for refused in snapshot.refused(sink) {
        let RefusedDocument { key, since, reason } = refused?;
        // A view that is defined anew has another key, until the sink has caught up.
        let key = key_layout.as_ref().and_then(|layout| Some((layout.clone(), row_of_key(layout, &key)?)));
        give(ErrorEntry::Refused { sink: sink.into(), view: view.into(), key, since, reason })?;
    }
    Ok(())
}

/// `None` where the table could not be known.
fn known(table: String) -> Option<String> {
    Some(table).filter(|name| !name.is_empty())
}
