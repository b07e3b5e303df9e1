//! What a source says, written down: the tables' contents after the snapshot and after each transaction, as JSON.
//!
//! Shares the source and the JSON mapping with the engine, and nothing behind them.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value};
use tidemill::sources::{Capture, Event, MemoryRows, Source, Table};
use tidemill::value::{Diff, Layout, json};
use tokio::sync::mpsc;

pub(crate) type Object = Map<String, Value>;

/// For each table its rows as JSON text, with how often each is there.
pub(crate) type Contents = Vec<BTreeMap<String, Diff>>;

#[derive(Debug)]
pub(crate) struct Recording {
    pub(crate) tables: Vec<Table>,
    /// First the snapshot, then one for each transaction that changed something: its position and the contents then.
    pub(crate) states: Vec<(String, Contents)>,
    /// For each number of transactions of the changes file, how many of them changed a captured table: the state they lead to.
    pub(crate) state_after: Vec<usize>,
}

pub(crate) async fn record(source: Arc<dyn Source>, tables: Vec<Table>) -> Recording {
    let (sender, mut events) = mpsc::channel(64);
    let held = Arc::new(MemoryRows::new(&tables, None));
    let capture = Capture { tables: tables.clone(), from: None, until_caught_up: true, held: held.clone() };
    let running = tokio::spawn(async move { source.run(capture, sender).await });
    let layouts: Vec<Layout> = tables.iter().map(|t| Layout::new(&t.schema)).collect();
    let mut now: Contents = tables.iter().map(|_| BTreeMap::new()).collect();
    let (mut states, mut state_after): (Vec<(String, Contents)>, _) = (Vec::new(), vec![0]);
    while let Some(event) = events.recv().await {
        held.take(&event);
        match event {
            Event::Rows { table, rows } => rows.iter().for_each(|row| add(&mut now, &layouts, table, row, 1)),
            Event::SnapshotDone { position } => states.push((position.to_string(), now.clone())),
            Event::Changes(deltas) => deltas.iter().for_each(|d| add(&mut now, &layouts, d.table, &d.row, d.diff)),
            Event::Commit { position, .. } => {
                assert!(now.iter().all(|t| t.values().all(|count| *count > 0)), "the changes delete what is not there");
                states.push((position.to_string(), now.clone()));
                state_after.push(states.len() - 1);
            }
            Event::Progress { .. } => state_after.push(states.len() - 1),
            Event::SnapshotPlan { .. } | Event::CaughtUp => {}
            Event::Rejected(rejected) => panic!("the case has a line that cannot be read: {rejected:?}"),
            Event::Waiting(reason) => panic!("the changes are not whole: waiting {reason}"),
        }
    }
    running.await.expect("a source does not panic").unwrap();
    Recording { tables, states, state_after }
}

fn add(now: &mut Contents, layouts: &[Layout], table: usize, row: &[u8], diff: Diff) {
    let count = now[table].entry(text(&layouts[table], row)).or_default();
    *count += diff;
    now[table].retain(|_, count| *count != 0);
}

pub(crate) fn text(layout: &Layout, row: &[u8]) -> String {
    let mut out = Vec::new();
    json::write_row(layout, row, &mut out);
    String::from_utf8(out).expect("JSON is UTF-8")
}
