//! Random documents, queries, windows, recursions and joins, each right after every random transaction.
//!
//! What does not hold is made smaller before it is printed: the files of a folder in which the program shows it.

use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use futures::FutureExt;

use crate::all_hold;
use crate::long;
use crate::support::case::{CHANGES, Case};
use crate::support::engine::{Observed, Way};
use crate::support::generate::{
    Generated, generate, generate_aggregates, generate_documents_of_queries, generate_queries, generate_views, generate_windows,
};
use crate::support::judge::duckdb;
use crate::support::parts::Parts;
use crate::support::random::Random;
use crate::support::shrink::{Limits, shrink};
use crate::support::typed::generate_typed;
use crate::support::wrong::Wrong;
use crate::support::{chains, nested, queries, query_case, recursive_queries};

/// How many of those that do not hold are made smaller: what breaks one often breaks many.
const SHRUNK: usize = 3;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn random_views_are_right_after_every_random_transaction() {
    random_cases("documents", "TIDEMILL_VIEW", 200, generate, check_documents).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn random_documents_of_queries_are_right_after_every_random_transaction() {
    random_cases("documents of queries", "TIDEMILL_VIEW", 200, generate_documents_of_queries, check_documents).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn random_queries_are_right_after_every_random_transaction() {
    random_cases("queries", "TIDEMILL_QUERY", 150, |seed| generate_queries(seed, queries::query), check_queries).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn random_first_groups_are_right_after_every_random_transaction() {
    random_cases("first groups", "TIDEMILL_QUERY", 100, |seed| generate_queries(seed, queries::first_groups), check_queries).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn random_recursions_are_right_after_every_random_transaction() {
    random_cases("recursions", "TIDEMILL_QUERY", 150, |seed| generate_queries(seed, recursive_queries::query), check_queries).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn random_joins_of_several_inputs_are_right_after_every_random_transaction() {
    random_cases("joins", "TIDEMILL_QUERY", 150, |seed| generate_queries(seed, chains::query), check_queries).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn random_queries_over_queries_are_right_after_every_random_transaction() {
    random_cases("queries over queries", "TIDEMILL_QUERY", 150, |seed| generate_views(seed, nested::views), check_queries).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn random_windows_over_long_partitions_are_right_after_every_random_transaction() {
    random_cases("windows", "TIDEMILL_QUERY", 150, generate_windows, check_queries).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn random_aggregates_of_large_groups_are_right_after_every_random_transaction() {
    random_cases("aggregates", "TIDEMILL_QUERY", 150, generate_aggregates, check_queries).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn random_queries_of_typed_values_are_right_after_every_random_transaction() {
    random_cases("typed queries", "TIDEMILL_QUERY", 200, generate_typed, check_queries).await;
}

/// What a grammar that nests queries cannot avoid: what is refused as documented.
const REFUSED: [&str; 6] = [
    "over an UNNEST of groups are not maintained",
    "the value before IN has a subquery of its own",
    "this subquery cannot be made a join",
    // `SELECT a, cast(a AS int)` in GROUP BY.
    "have the same name. Consider aliasing",
    "Schema contains duplicate unqualified field name",
    "cannot be told apart here: give them other names",
];

/// The case without the views that are refused, and those that read them, and how many these are. Fails with a refusal that is not known.
async fn without_refused(generated: &Generated) -> Result<(Generated, usize), Wrong> {
    let mut parts = Parts::of(generated);
    let (views, mut refused) = (std::mem::take(&mut parts.views), Vec::new());
    for (name, view) in views {
        if refused.iter().any(|refused: &String| view.to_string().contains(refused)) {
            refused.push(name);
            continue;
        }
        parts.views.push((name, view));
        let Err(why) = query_case::taken(&parts.generated()).await else { continue };
        if !REFUSED.iter().any(|known| why.contains(known)) {
            return Err(Wrong::Refused(why));
        }
        refused.extend(parts.views.pop().map(|(name, _)| name));
    }
    Ok((parts.generated(), refused.len()))
}

/// How many cases of each kind are run with `TIDEMILL_LONG`, if nothing else is said.
const LONG: u64 = 2_000;

/// The cases of some seeds: so many as `{variables}_CASES` says, or that of `{variables}_SEED`; with `TIDEMILL_LONG` ones that were never
/// run before. `check` returns how many queries of a case DuckDB judged too.
async fn random_cases<C>(what: &str, variables: &str, cases: u64, generate: fn(u64) -> Generated, check: C)
where
    C: AsyncFn(&Generated, u64) -> Result<usize, Wrong> + Copy,
{
    let number = |name: &str| std::env::var(format!("{variables}_{name}")).ok().map(|text| text.parse::<u64>().expect("a number"));
    let seeds = match (number("SEED"), long::is_wanted()) {
        (Some(seed), _) => seed..seed + 1,
        (None, true) => long::new_seeds(number("CASES").unwrap_or(LONG)),
        (None, false) => 0..number("CASES").unwrap_or(cases),
    };
    let began = Instant::now();
    let [views, judged, also, refused, wrong] = [const { AtomicUsize::new(0) }; 5];
    let hold = async |seed| {
        let mut generated = generate(seed);
        views.fetch_add(generated.views(), Ordering::Relaxed);
        let checked = async |generated: &Generated| {
            let result = AssertUnwindSafe(check(generated, seed)).catch_unwind().await;
            result.unwrap_or_else(|panic| Err(Wrong::of_panic(&*panic)))
        };
        let mut result = checked(&generated).await;
        if let Err(Wrong::Refused(_)) = &result {
            result = match without_refused(&generated).await {
                Ok((taken, without)) => {
                    refused.fetch_add(without, Ordering::Relaxed);
                    generated = taken;
                    if generated.views() > 0 { checked(&generated).await } else { Ok(0) }
                }
                Err(wrong) => Err(wrong),
            };
        }
        let found = match result {
            Ok(by_duckdb) => {
                judged.fetch_add(generated.queries(), Ordering::Relaxed);
                also.fetch_add(by_duckdb, Ordering::Relaxed);
                return Ok(());
            }
            Err(found) => found,
        };
        if wrong.fetch_add(1, Ordering::Relaxed) >= SHRUNK {
            return Err(format!("{found}\n(run with this seed alone, it is made smaller)"));
        }
        let shrunk = shrink(&generated, found, Limits::default(), async |case| check(case, seed).await.map(drop)).await;
        Err(format!("{}\nThe smallest such case that {} runs found:\n{}", shrunk.wrong, shrunk.runs, text(&shrunk.case)))
    };
    let held = all_hold(seeds.clone().map(|seed| (format!("{variables}_SEED={seed}"), hold(seed)))).await;
    let [views, judged, also, refused, wrong] = [views, judged, also, refused, wrong].map(AtomicUsize::into_inner);
    let (share, seconds) = (100.0 * refused as f64 / views as f64, began.elapsed().as_secs());
    let seeds = format!("{variables}_SEED {} to {}", seeds.start, seeds.end - 1);
    let too = if duckdb::is_wanted() { format!(" ({also} by DuckDB too)") } else { String::new() };
    long::tell(&format!(
        "random {what}: {views} views, {judged} queries judged by PostgreSQL{too}, {refused} views refused ({share:.1}%), {wrong} cases wrong, \
         {seeds}, {seconds} s"
    ));
    held.unwrap_or_else(|wrong| panic!("{wrong}"));
    assert!(refused * 10 < views, "{refused} of {views} are refused");
    assert!(!duckdb::is_wanted() || also * 10 >= judged * 9, "DuckDB answers {also} of {judged} queries");
}

/// The files of the case, each below its name.
fn text(case: &Generated) -> String {
    let files = case.files.iter().map(|(name, text)| (name.as_str(), text.as_str())).chain([(CHANGES, case.changes.as_str())]);
    files.map(|(name, text)| format!("--- {name}\n{text}")).collect()
}

async fn check_queries(generated: &Generated, seed: u64) -> Result<usize, Wrong> {
    query_case::check(generated, &mut Random::new(seed ^ 0x5eed)).await
}

async fn check_documents(generated: &Generated, seed: u64) -> Result<usize, Wrong> {
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
        true => Ok(case.by_duckdb),
        false => Err(Wrong::Rows("stopping made a difference".into())),
    }
}
