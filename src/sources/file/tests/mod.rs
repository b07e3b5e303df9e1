mod changes;
#[cfg(feature = "mysql")]
mod recorded;
mod rows;
mod streams;
mod streams_random;
mod streams_stopped;

use std::sync::Arc;

use serde_json::json;
use tokio::sync::mpsc;

use super::*;
use crate::sources::{HeldRows, MemoryRows, Rejected};
use crate::value::{Layout, Position, json as value_json};

/// A folder with one file for each of these names and contents.
fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    folder
}

fn source(options: serde_json::Value) -> Box<dyn Source> {
    open_source(&options).unwrap()
}

async fn discovered(source: &dyn Source) -> Result<Vec<Table>, SourceError> {
    source.discover(&source.table_names().await.unwrap()).await
}

/// The events of a run to the ends of the files, with rows as sorted `table {json}`, and its result.
async fn run(source: &dyn Source, from: Option<Position>) -> (Vec<String>, Result<(), SourceError>) {
    let (sent, _, ended) = run_on(source, from).await;
    (sent, ended)
}

/// The same, with the last position.
async fn run_on(source: &dyn Source, from: Option<Position>) -> (Vec<String>, Option<Position>, Result<(), SourceError>) {
    let tables = discovered(source).await.unwrap();
    let held = MemoryRows::new(&tables, from.clone());
    run_held(source, tables, from, Arc::new(held)).await
}

/// The same, with the stored rows as of `from`, to which the sent ones are added.
async fn run_held(
    source: &dyn Source,
    tables: Vec<Table>,
    from: Option<Position>,
    held: Arc<MemoryRows>,
) -> (Vec<String>, Option<Position>, Result<(), SourceError>) {
    let (sender, mut events) = mpsc::channel(1);
    let capture = Capture { tables: tables.clone(), from, until_caught_up: true, held: held.clone() };
    let collect = async {
        let (mut rows, mut sent, mut last) = (Vec::new(), Vec::new(), None);
        while let Some(event) = events.recv().await {
            held.take(&event);
            if let Event::SnapshotDone { position } | Event::Commit { position, .. } | Event::Progress { position, .. } = &event {
                last = Some(position.clone());
            }
            match event {
                Event::SnapshotPlan { rows } => sent.push(format!("plan {rows:?}")),
                Event::Rows { table, rows: batch } => rows.extend(batch.iter().map(|row| shown(&tables[table], row))),
                Event::SnapshotDone { position } => {
                    rows.sort();
                    sent.append(&mut rows);
                    sent.push(format!("snapshot {position}"));
                }
                Event::Changes(deltas) => {
                    sent.extend(deltas.iter().map(|delta| format!("{:+} {}", delta.diff, shown(&tables[delta.table], &delta.row))));
                }
                Event::Commit { position, committed_ms } => sent.push(format!("commit {} {committed_ms:?}", lines_of(&position))),
                Event::Progress { position, .. } => sent.push(format!("progress {}", lines_of(&position))),
                Event::Rejected(Rejected { table, place, reason }) => {
                    sent.push(format!("rejected {}: {}: {reason}", table.as_deref().unwrap_or("?"), place.rsplit('/').next().unwrap()));
                }
                Event::CaughtUp => sent.push("caught up".into()),
                Event::Waiting(reason) => sent.push(format!("waiting: {reason}")),
            }
        }
        (sent, last)
    };
    let (ended, (sent, last)) = tokio::join!(source.run(capture, sender), collect);
    (sent, last, ended)
}

/// A state without rows, at this position.
fn nothing_held(tables: &[Table], from: Option<Position>) -> Arc<dyn HeldRows> {
    Arc::new(MemoryRows::new(tables, from))
}

fn shown(table: &Table, row: &[u8]) -> String {
    let mut text = Vec::new();
    value_json::write_row(&Layout::new(&table.schema), row, &mut text);
    format!("{} {}", table.name, String::from_utf8(text).unwrap())
}

fn lines_of(position: &Position) -> u64 {
    FilePosition::read(position).unwrap().line
}

fn types(table: &Table) -> Vec<String> {
    table.schema.columns().iter().map(|c| format!("{} {}{}", c.name, c.ty, if c.nullable { "" } else { " not null" })).collect()
}
