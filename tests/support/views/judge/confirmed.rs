//! Whether what tests assert of queries is also what the judges say.

use super::super::engine::{Observed, Prepared};
use super::super::query_case::compare;
use super::super::recording::record;
use super::{Answer, Judged, judged};

/// Says what is wrong with what was seen of views, whose source said all of what it has.
///
/// A query that PostgreSQL fails on has no answer there, since it gives a query's rows or none: where the views have errors, their rows are
/// some of PostgreSQL's.
pub(crate) async fn confirm(prepared: &Prepared, observed: &[Observed]) -> Result<(), String> {
    confirm_last(prepared, observed, usize::MAX).await
}

/// Looks only at how the views are at the end: a query may not end on what there was before.
pub(crate) async fn confirm_end(prepared: &Prepared, observed: &[Observed]) -> Result<(), String> {
    confirm_last(prepared, observed, 1).await
}

async fn confirm_last(prepared: &Prepared, observed: &[Observed], most: usize) -> Result<(), String> {
    let recording = record(prepared.source(), prepared.tables.clone()).await;
    let all = recording.states.len();
    let states: Vec<_> = recording.states.iter().map(|(_, contents)| contents).skip(all.saturating_sub(most)).collect();
    let whole = states.len() == all;
    let judged = judged(prepared, &states, str::to_string).map_err(|wrong| wrong.to_string())?;
    for (view, observed) in observed.iter().enumerate() {
        let of_view: Vec<&Judged> = judged.iter().map(|views| &views[view]).collect();
        confirm_view(&of_view, whole, observed).map_err(|wrong| format!("`{}`: {wrong}", prepared.plan.views[view].name))?;
    }
    Ok(())
}

/// `whole`: the states are all that there were.
fn confirm_view(states: &[&Judged], whole: bool, observed: &Observed) -> Result<(), String> {
    let Some(Some(last)) = states.last() else { return Ok(()) };
    match last {
        Err(_) if observed.errors > 0 => Ok(()),
        Err(reason) => Err(reason.clone()),
        Ok(answer) if observed.errors > 0 => {
            let foreign: Vec<&String> = observed.rows.iter().filter(|row| !answer.has(row)).collect();
            if foreign.is_empty() { Ok(()) } else { Err(format!("{foreign:?} are none of {:?}", answer.rows)) }
        }
        Ok(answer) => match states.iter().map(|state| state.as_ref()?.as_ref().ok()).collect::<Option<Vec<&Answer>>>() {
            // Of documents PostgreSQL has only what they are made of.
            _ if answer.of_document => Ok(()),
            Some(answers) if whole => compare(&answers, observed),
            _ => {
                let mut rows = observed.rows.clone();
                rows.sort();
                if answer.is(&rows) { Ok(()) } else { Err(format!("is {rows:?}, right {answer}")) }
            }
        },
    }
}
