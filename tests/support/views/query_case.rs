//! Views of queries, run in several ways, against the answers of the judges on the tables as they are after every transaction.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use super::case::{CHANGES, scratch, transactions};
use super::engine::{Observed, Way, prepare};
use super::generate::Generated;
use super::judge::{Answer, Rows, Saying, answers_to, duckdb};
use super::random::Random;
use super::recording::record;
use super::wrong::Wrong;

/// A run takes well under a second; not so on a machine that has much else to do.
const LONGEST_RUN: Duration = Duration::from_secs(60);

/// Whether the spec is taken; else why not.
pub(crate) async fn taken(generated: &Generated) -> Result<(), String> {
    let folder = scratch();
    for (name, text) in &generated.files {
        fs::write(folder.path().join(name), text).unwrap();
    }
    prepare(&folder.path().join("spec.yaml")).await.map(drop)
}

/// Runs it with one worker, and with several, scattered and stopped twice. Returns how many of its queries DuckDB judged too.
pub(crate) async fn check(generated: &Generated, random: &mut Random) -> Result<usize, Wrong> {
    check_against(generated, random, str::to_string).await
}

/// The same against the answers to other texts than the queries' own.
pub(crate) async fn check_against(generated: &Generated, random: &mut Random, say: Saying) -> Result<usize, Wrong> {
    let folder = scratch();
    for (name, text) in &generated.files {
        fs::write(folder.path().join(name), text).unwrap();
    }
    fs::write(folder.path().join(CHANGES), &generated.changes).unwrap();
    let prepared = prepare(&folder.path().join("spec.yaml")).await.map_err(Wrong::Refused)?;
    let recording = record(prepared.source(), prepared.tables.clone()).await;
    let states: Vec<_> = recording.states.iter().map(|(_, contents)| contents).collect();
    let right = answers_to(&prepared, &states, say)?;
    let pieces = transactions(&generated.changes);
    let one = Way { workers: 1, scatter: None };
    let several = Way { workers: 2 + random.below(3), scatter: Some(random.next()) };
    let stop = random.below(pieces.len().max(1));
    let stops = [stop, stop + random.below((pieces.len() - stop).max(1)), pieces.len()];
    for (stops, ways) in [(&stops[2..], [one, one]), (&stops[..], [several, one])] {
        let state = scratch();
        for (i, stop) in stops.iter().enumerate() {
            fs::write(folder.path().join(CHANGES), pieces[..*stop].concat()).unwrap();
            let path = state.path().join("state");
            let observed = tokio::time::timeout(LONGEST_RUN, prepared.run(&path, ways[i % 2])).await;
            let observed = observed.map_err(|_| Wrong::Stuck(format!("{:?}, up to {stop} of {stops:?}: it does not end", ways[i % 2])))?;
            let until = recording.state_after[*stop];
            for (view, observed) in observed.iter().enumerate() {
                let states: Vec<&Answer> = right[..=until].iter().map(|views| views[view].as_ref().expect("a view of a query")).collect();
                let name = &prepared.plan.views[view].name;
                let place = |wrong| Wrong::Rows(format!("`{name}`, {:?}, up to {stop} of {stops:?}: {wrong}", ways[i % 2]));
                compare(&states, observed).map_err(place)?;
            }
        }
    }
    Ok(duckdb::answered(&right))
}

/// What was seen must have gone through these states, and no others.
pub(crate) fn compare(states: &[&Answer], observed: &Observed) -> Result<(), String> {
    let mut now: BTreeMap<String, i64> = BTreeMap::new();
    let mut done = 0;
    for step in &observed.steps {
        for change in &step.changes {
            if change.before == change.after {
                return Err(format!("tick {}: {} was written unchanged", step.tick, change.key));
            }
            for (row, diff) in [(&change.before, -1), (&change.after, 1)] {
                if let Some(row) = row {
                    *now.entry(row.clone()).or_default() += diff;
                }
            }
        }
        done += usize::from(step.position.is_some());
        let right = states.get(done).ok_or_else(|| format!("tick {}: more ticks than transactions", step.tick))?;
        let rows: Rows = now.iter().flat_map(|(row, count)| vec![row.clone(); (*count).max(0) as usize]).collect();
        if now.values().any(|count| *count < 0) || !right.is(&rows) {
            return Err(format!("tick {}, after transaction {done}:\n is    {rows:?}\n right {right}", step.tick));
        }
    }
    let mut rows = observed.rows.clone();
    rows.sort();
    match done + 1 == states.len() && states.last().expect("there is the snapshot").is(&rows) && observed.errors == 0 {
        true => Ok(()),
        false => Err(format!("{done} transactions, {} errors, rows {rows:?}", observed.errors)),
    }
}
