//! Random documents, queries, windows, recursions and joins, each right after every random transaction.
//!
//! What does not hold is made smaller before it is printed: the files of a folder in which the program shows it.

use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures::FutureExt;

use crate::all_hold;
use crate::support::case::{CHANGES, Case};
use crate::support::engine::{Observed, Way};
use crate::support::generate::{
    Generated, generate, generate_aggregates, generate_documents_of_queries, generate_queries, generate_views, generate_windows,
};
use crate::support::random::Random;
use crate::support::shrink::{Limits, shrink};
use crate::support::wrong::Wrong;
use crate::support::{chains, nested, queries, query_case, recursive_queries};

/// How many of those that do not hold are made smaller: what breaks one often breaks many.
const SHRUNK: usize = 3;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn random_views_are_right_after_every_random_transaction() {
    random_cases("TIDEMILL_VIEW", 200, generate, check_documents).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn random_documents_of_queries_are_right_after_every_random_transaction() {
    random_cases("TIDEMILL_VIEW", 200, generate_documents_of_queries, check_documents).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn random_queries_are_right_after_every_random_transaction() {
    random_cases("TIDEMILL_QUERY", 100, |seed| generate_queries(seed, queries::query), check_queries).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn random_recursions_are_right_after_every_random_transaction() {
    random_cases("TIDEMILL_QUERY", 100, |seed| generate_queries(seed, recursive_queries::query), check_queries).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn random_joins_of_several_inputs_are_right_after_every_random_transaction() {
    random_cases("TIDEMILL_QUERY", 100, |seed| generate_queries(seed, chains::query), check_queries).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn random_queries_over_queries_are_right_after_every_random_transaction() {
    random_cases("TIDEMILL_QUERY", 100, |seed| generate_views(seed, nested::views), check_queries).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn random_windows_over_long_partitions_are_right_after_every_random_transaction() {
    random_cases("TIDEMILL_QUERY", 100, generate_windows, check_queries).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn random_aggregates_of_large_groups_are_right_after_every_random_transaction() {
    random_cases("TIDEMILL_QUERY", 100, generate_aggregates, check_queries).await;
}

/// The cases of some seeds: so many as `{variables}_CASES` says, or that of `{variables}_SEED`.
async fn random_cases<C>(variables: &str, cases: u64, generate: fn(u64) -> Generated, check: C)
where
    C: AsyncFn(&Generated, u64) -> Result<(), Wrong> + Copy,
{
    let number = |name: &str| std::env::var(format!("{variables}_{name}")).ok().map(|text| text.parse::<u64>().expect("a number"));
    let seeds = match number("SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("CASES").unwrap_or(cases),
    };
    let wrong = AtomicUsize::new(0);
    let hold = async |seed| {
        let generated = generate(seed);
        let result = AssertUnwindSafe(check(&generated, seed)).catch_unwind().await;
        let Err(found) = result.unwrap_or_else(|panic| Err(Wrong::of_panic(&*panic))) else { return Ok(()) };
        if wrong.fetch_add(1, Ordering::Relaxed) >= SHRUNK {
            return Err(format!("{found}\n(run with this seed alone, it is made smaller)"));
        }
        let shrunk = shrink(&generated, found, Limits::default(), async |case| check(case, seed).await).await;
        Err(format!("{}\nThe smallest such case that {} runs found:\n{}", shrunk.wrong, shrunk.runs, text(&shrunk.case)))
    };
    all_hold(seeds.map(|seed| (format!("{variables}_SEED={seed}"), hold(seed)))).await;
}

/// The files of the case, each below its name.
fn text(case: &Generated) -> String {
    let files = case.files.iter().map(|(name, text)| (name.as_str(), text.as_str())).chain([(CHANGES, case.changes.as_str())]);
    files.map(|(name, text)| format!("--- {name}\n{text}")).collect()
}

async fn check_queries(generated: &Generated, seed: u64) -> Result<(), Wrong> {
    query_case::check(generated, &mut Random::new(seed ^ 0x5eed)).await
}

async fn check_documents(generated: &Generated, seed: u64) -> Result<(), Wrong> {
    let case = Case::new(&generated.files, &generated.changes).await?;
    let mut random = Random::new(seed ^ 0x5eed);
    let one = Way { workers: 1, scatter: None };
    let more = Way { workers: 2 + random.below(3), scatter: Some(seed) };
    let stop = random.below(case.transactions().max(1));
    let stops = [stop, stop + random.below((case.transactions() - stop).max(1))];
    let whole = case.run(more).await.map_err(Wrong::Rows)?;
    let stopped = case.run_stopping(&stops, &[one, more]).await.map_err(Wrong::Rows)?;
    let same = |(whole, stopped): (&Observed, &Observed)| whole.rows == stopped.rows && whole.changes == stopped.changes;
    match whole.iter().zip(&stopped).all(same) {
        true => Ok(()),
        false => Err(Wrong::Rows("stopping made a difference".into())),
    }
}
