//! Whether what was seen of a view is right: every state that its history went through is the recomputed one of a transaction, in order.

use std::collections::BTreeMap;

use tidemill::plan::WrittenView;

use super::engine::{Change, Observed};
use super::judge::Answer;
use super::oracle::{self, Known, State};
use super::recording::Recording;

/// What a view must be, by recomputation: after the snapshot and after each transaction.
#[derive(Debug)]
pub(crate) struct Recomputed {
    states: Vec<(String, State)>,
    state_after: Vec<usize>,
}

impl Recomputed {
    /// `answers`: of the views' queries, for each state of the recording.
    pub(crate) fn new(view: &WrittenView, recording: &Recording, answers: &[Vec<Option<Answer>>]) -> Recomputed {
        let state = |((at, contents), answers): (&(String, _), &Vec<Option<Answer>>)| {
            let known = Known { tables: &recording.tables, contents, queries: answers.iter().flatten().collect() };
            (at.clone(), oracle::state(view, &known))
        };
        let states = recording.states.iter().zip(answers).map(state).collect();
        Recomputed { states, state_after: recording.state_after.clone() }
    }

    /// The documents at the end, in key order.
    pub(crate) fn rows(&self) -> Vec<String> {
        let (_, last) = self.states.last().expect("there is the snapshot");
        let mut documents: Vec<_> = last.iter().filter_map(|(key, document)| Some((key, document.as_ref()?))).collect();
        documents.sort_by(|(a, _), (b, _)| oracle::compare_keys(a, b));
        documents.into_iter().map(|(_, document)| document.clone()).collect()
    }

    /// What each transaction must change: for each key that is different after it, the document then.
    pub(crate) fn changes(&self) -> Vec<BTreeMap<String, Option<String>>> {
        let mut before = BTreeMap::new();
        let mut out = Vec::new();
        for (_, state) in &self.states {
            let after = shown(state);
            let keys = before.keys().chain(after.keys()).filter(|key| before.get(*key) != after.get(*key));
            out.push(keys.map(|key| (key.clone(), after.get(key).cloned())).collect());
            before = after;
        }
        out
    }

    /// Says what is wrong with what was seen after the first `transactions`.
    pub(crate) fn check(&self, observed: &Observed, transactions: usize) -> Result<(), String> {
        // Those that change no table of the views have no tick.
        let transactions = self.state_after[transactions];
        let states = &self.states[..=transactions];
        let mut now: BTreeMap<String, String> = BTreeMap::new();
        let mut done = 0;
        for step in &observed.steps {
            let at = format!("tick {}", step.tick);
            for change in &step.changes {
                apply(&mut now, change).map_err(|wrong| format!("{at}: {wrong}"))?;
            }
            let mut keys: Vec<_> = step.changes.iter().map(|c| &c.key).collect();
            keys.sort();
            if keys.windows(2).any(|two| two[0] == two[1]) {
                return Err(format!("{at}: a document was written twice"));
            }
            if let Some(position) = &step.position {
                done += 1;
                let (own, _) = states.get(done).ok_or(format!("{at}: more ticks than transactions"))?;
                if own != position {
                    return Err(format!("{at}: {position} is not {own}, the position of transaction {done}"));
                }
            }
            let right = shown(&states[done].1);
            if now != right {
                return Err(format!("{at}, after transaction {done}:\n{}", difference(&now, &right)));
            }
        }
        let last = &states[transactions].1;
        if done != transactions {
            return Err(format!("{done} of {transactions} transactions have a tick"));
        }
        let mut rows = observed.rows.clone();
        rows.sort();
        let mut right: Vec<String> = shown(last).into_values().collect();
        right.sort();
        if rows != right {
            return Err(format!("the rows are not what the history says: {rows:#?}"));
        }
        let errors = last.values().filter(|document| document.is_none()).count() as u64;
        if observed.errors != errors {
            return Err(format!("{} errors are counted where {errors} documents are withheld", observed.errors));
        }
        Ok(())
    }
}

fn shown(state: &State) -> BTreeMap<String, String> {
    state.iter().filter_map(|(key, document)| Some((key.clone(), document.clone()?))).collect()
}

fn apply(now: &mut BTreeMap<String, String>, change: &Change) -> Result<(), String> {
    if change.before == change.after {
        return Err(format!("{} was written unchanged", change.key));
    }
    let before = match &change.after {
        Some(after) => now.insert(change.key.clone(), after.clone()),
        None => now.remove(&change.key),
    };
    match before == change.before {
        true => Ok(()),
        false => Err(format!("{} was {before:?} before, not {:?}", change.key, change.before)),
    }
}

fn difference(now: &BTreeMap<String, String>, right: &BTreeMap<String, String>) -> String {
    let keys: std::collections::BTreeSet<_> = now.keys().chain(right.keys()).collect();
    let different = keys.into_iter().filter(|key| now.get(*key) != right.get(*key));
    let line = |key: &String| format!("  {key}\n    is    {:?}\n    right {:?}\n", now.get(key), right.get(key));
    different.map(line).collect()
}
