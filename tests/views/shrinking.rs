//! A case that does not hold becomes small, and stays one that a source can say.

use std::collections::HashSet;
use std::fs;
use std::sync::Mutex;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::case::{CHANGES, scratch};
use crate::support::engine::prepare;
use crate::support::generate::{Generated, generate, generate_queries, generate_windows};
use crate::support::judge::Saying;
use crate::support::query_case;
use crate::support::random::Random;
use crate::support::recording::{Recording, record};
use crate::support::shrink::{Limits, Shrunk, shrink};
use crate::support::simpler::simpler;
use crate::support::wrong::Wrong;
use crate::support::{chains, queries, recursive_queries};

const LIMITS: Limits = Limits { runs: 400, time: Duration::from_secs(100) };

fn spec(case: &Generated) -> Value {
    serde_json::from_str(&case.files.iter().find(|(name, _)| name == "spec.yaml").unwrap().1).unwrap()
}

/// The case with another query among its own.
fn with_view(mut case: Generated, sql: &str) -> Generated {
    let mut spec = spec(&case);
    spec["views"]["wrong"] = json!({"sql": sql});
    case.files.retain(|(name, _)| name != "spec.yaml");
    case.files.push(("spec.yaml".into(), spec.to_string()));
    case
}

fn rows(case: &Generated) -> usize {
    case.files.iter().filter(|(name, _)| name.ends_with(".jsonl")).map(|(_, text)| text.lines().count()).sum()
}

fn changes(case: &Generated) -> usize {
    case.changes.lines().filter(|line| line.contains("\"table\"")).count()
}

/// What the source says of a case. Panics where rows go that are not there.
async fn recorded(case: &Generated) -> Result<Recording, Wrong> {
    let folder = scratch();
    case.files.iter().for_each(|(name, text)| fs::write(folder.path().join(name), text).unwrap());
    fs::write(folder.path().join(CHANGES), &case.changes).unwrap();
    let prepared = prepare(&folder.path().join("spec.yaml")).await.map_err(Wrong::Refused)?;
    Ok(record(prepared.source(), prepared.tables.clone()).await)
}

/// With a query whose answer is compared with that to another text.
async fn shrunk_queries(sql: &str, say: Saying) -> Shrunk {
    let check = async |case: &Generated| query_case::check_against(case, &mut Random::new(1), say).await.map(drop);
    let (mut wrong, mut case, mut seed) = (Ok(()), generate_queries(0, queries::query), 0);
    while wrong.is_ok() {
        case = with_view(generate_queries(seed, queries::query), sql);
        (wrong, seed) = (check(&case).await, seed + 1);
    }
    let wrong = wrong.unwrap_err();
    assert!(wrong.is_like(&Wrong::Rows(String::new())), "{wrong}");
    let shrunk = shrink(&case, wrong, LIMITS, check).await;
    assert_eq!(check(&shrunk.case).await.unwrap_err().to_string(), shrunk.wrong.to_string());
    shrunk
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_with_a_wrong_answer_is_left_with_the_rows_that_show_it() {
    let counted =
        shrunk_queries("SELECT count(v) AS n FROM s.t0", |sql| sql.replace("count(v) AS n FROM s.t0", "count(*) AS n FROM s.t0")).await;
    let spec = spec(&counted.case);
    assert_eq!(spec["views"].as_object().unwrap().keys().collect::<Vec<_>>(), ["wrong"]);
    assert_eq!(spec["sources"]["s"]["options"]["tables"].as_object().unwrap().keys().collect::<Vec<_>>(), ["t0"]);
    assert_eq!(rows(&counted.case) + changes(&counted.case), 1, "a row in which v is NULL\n{:?}", counted.case);

    let joined = "SELECT x.id AS n FROM s.t1 x JOIN s.t2 y ON x.a = y.a";
    let joined = shrunk_queries(joined, |sql| sql.replace("s.t2 y ON x.a = y.a", "s.t2 y ON x.a = y.a AND x.id <> y.id")).await;
    assert_eq!(rows(&joined.case) + changes(&joined.case), 2, "a row of each\n{:?}", joined.case);
}

/// Whatever must be kept, and wherever it stands.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_left_can_always_happen() {
    for seed in 0..60 {
        let case = if seed % 4 == 3 { generate_windows(seed) } else { generate_queries(seed, chains::query) };
        let wanted = (seed % 4) as i64;
        let deleted = seed % 2 == 0;
        let kept = move |case: &Generated| {
            let of_table = |line: &&str| line.contains("\"t0\"") && line.contains(&format!("\"v\":{wanted}"));
            case.changes.lines().filter(of_table).any(|line| line.contains(if deleted { "\"delete\"" } else { "\"update\"" }))
        };
        if !kept(&case) {
            continue;
        }
        let check = async |case: &Generated| {
            recorded(case).await?;
            if kept(case) { Err(Wrong::Unanswered("kept".into())) } else { Ok(()) }
        };
        let shrunk = shrink(&case, Wrong::Unanswered("kept".into()), LIMITS, check).await;
        assert!(kept(&shrunk.case) && changes(&shrunk.case) <= 2 && rows(&shrunk.case) <= 1, "seed {seed}: {:?}", shrunk.case);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_case_that_is_tried_can_happen() {
    for (seed, case) in [(1, generate_queries(1, queries::query)), (2, generate_windows(2)), (3, generate(3))] {
        let random = Mutex::new(Random::new(seed));
        let check = async |case: &Generated| {
            recorded(case).await?;
            match random.lock().unwrap().percent(40) {
                true => Err(Wrong::Rows("as it falls".into())),
                false => Ok(()),
            }
        };
        let until = Limits { runs: 150, ..LIMITS };
        let shrunk = shrink(&case, Wrong::Rows("as it falls".into()), until, check).await;
        assert!(changes(&shrunk.case) < changes(&case), "{:?}", shrunk.case);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_ends_with_its_runs_and_its_time() {
    let case = generate_windows(5);
    let wrong = || Wrong::Rows("always".into());
    let none = shrink(&case, wrong(), Limits { runs: 7, ..LIMITS }, async |_: &Generated| Ok(())).await;
    assert_eq!((none.runs, rows(&none.case), changes(&none.case)), (7, rows(&case), changes(&case)));
    let no_time = shrink(&case, wrong(), Limits { time: Duration::ZERO, ..LIMITS }, async |_: &Generated| Err(wrong())).await;
    assert_eq!(no_time.runs, 0);
}

/// A step is kept only if the case fails as it did: not where it is refused, and not where the engine stops.
#[tokio::test(flavor = "multi_thread")]
async fn another_failure_is_none() {
    let case = generate_queries(5, queries::query);
    let others = Mutex::new([Wrong::Refused("-".into()), Wrong::Unanswered("-".into()), Wrong::Panic("-".into())].into_iter().cycle());
    let check = async |_: &Generated| Err(others.lock().unwrap().next().unwrap());
    let shrunk = shrink(&case, Wrong::Rows("first".into()), LIMITS, check).await;
    assert_eq!((shrunk.wrong, changes(&shrunk.case)), (Wrong::Rows("first".into()), changes(&case)));
    let panics = shrink(&case, Wrong::Panic("first".into()), LIMITS, async |_: &Generated| panic!("second")).await;
    assert_eq!((panics.wrong, changes(&panics.case)), (Wrong::Panic("second".into()), 0));
    let refused = || Wrong::Refused("first\nthere".into());
    for (other, left) in [("second\nthere", changes(&case)), ("first\nelsewhere", 0)] {
        let shrunk = shrink(&case, refused(), LIMITS, async |_: &Generated| Err(Wrong::Refused(other.into()))).await;
        assert_eq!(changes(&shrunk.case), left, "{other}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn queries_lose_what_is_not_needed() {
    let sql = "SELECT x.a AS n0, x.b + x.v AS n1 FROM s.t0 x LEFT JOIN s.t1 y ON x.a = y.a AND x.v < y.v \
               WHERE x.v > 1 AND x.a IN (SELECT i.a FROM s.t2 i WHERE true)";
    let case = with_view(generate_queries(3, queries::query), sql);
    let check = async |case: &Generated| {
        let sql = spec(case)["views"]["wrong"]["sql"].as_str().unwrap_or_default().to_string();
        let needed = ["x.v AS n1", "LEFT JOIN s.t1 y", "x.a IN (SELECT i.a FROM s.t2 i WHERE true)"];
        if needed.iter().all(|part| sql.contains(part)) { Err(Wrong::Rows("still".into())) } else { Ok(()) }
    };
    let shrunk = shrink(&case, Wrong::Rows("first".into()), LIMITS, check).await;
    let left = "SELECT x.v AS n1 FROM s.t0 x LEFT JOIN s.t1 y ON x.v < y.v \
                WHERE x.a IN (SELECT i.a FROM s.t2 i WHERE true)";
    assert_eq!(spec(&shrunk.case)["views"]["wrong"]["sql"].as_str().unwrap(), left);
}

/// Each step makes a text shorter, so there is an end.
#[test]
fn queries_become_shorter_with_each_step() {
    let mut steps = HashSet::new();
    for grammar in [queries::query, chains::query, recursive_queries::query] {
        for seed in 0..300 {
            let mut random = Random::new(seed);
            let Some(mut sql) = simpler(&grammar(&mut random), 0) else { continue };
            loop {
                let parts = (0..).map_while(|n| simpler(&sql, n)).collect::<Vec<_>>();
                assert!(parts.iter().all(|part| part.len() < sql.len()), "{sql}\n{parts:#?}");
                if parts.is_empty() {
                    break;
                }
                sql = random.pick(&parts).clone();
                steps.insert(sql.clone());
            }
        }
    }
    assert!(steps.len() > 1000, "{} steps", steps.len());
}
