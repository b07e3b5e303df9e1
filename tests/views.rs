//! Views are exact: documents case by case (`tests/views/<fact>/`), documents, queries, windows and recursions at random, run in every way
//! that must not make a difference, against recomputation after every transaction, in which PostgreSQL answers the queries.
//!
//! `TIDEMILL_VIEWS=part_of_a_name` runs only those cases; `TIDEMILL_ACCEPT=1` writes their expected files from the recomputation.
//! `TIDEMILL_VIEW_CASES=N` sets how many random cases are run, `TIDEMILL_VIEW_SEED=S` runs the one of a seed;
//! `TIDEMILL_QUERY_CASES` and `TIDEMILL_QUERY_SEED` do so for queries, windows, recursions, joins and aggregates. A random case that does not
//! hold is made smaller before it is printed. With `TIDEMILL_LONG=1` many more cases are run, of seeds that are drawn anew, and DuckDB judges
//! queries too; with `TIDEMILL_DUCKDB=1` it does so of any cases.

#[path = "views/dialect_rules.rs"]
mod dialect_rules;
#[path = "views/differences.rs"]
mod differences;
#[path = "views/documents_of_queries.rs"]
mod documents_of_queries;
#[path = "views/duckdb.rs"]
mod duckdb;
#[path = "support/long.rs"]
mod long;
#[path = "views/names.rs"]
mod names;
#[path = "views/random.rs"]
mod random;
#[path = "views/recursions.rs"]
mod recursions;
#[path = "views/shrinking.rs"]
mod shrinking;
#[path = "views/stream_aggregates.rs"]
mod stream_aggregates;
#[path = "views/subqueries.rs"]
mod subqueries;
#[path = "support/views/mod.rs"]
mod support;
#[path = "views/times_and_decimals.rs"]
mod times_and_decimals;
#[path = "views/values_that_rows_lack.rs"]
mod values_that_rows_lack;
#[path = "views/wrong_once.rs"]
mod wrong_once;

use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::process::Command;

use futures::{FutureExt, StreamExt};
use support::case::{check_folder, scratch};
use support::engine::{Observed, Prepared, Way, prepare};
use support::generate::Generated;
use support::judge::{confirm, confirm_end};
use support::query_case::taken;
use support::wrong::Wrong;

/// How many cases run at a time: they mostly wait for each other's threads.
const AT_A_TIME: usize = 4;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_case_holds_in_every_way_of_running() {
    let wanted = std::env::var("TIDEMILL_VIEWS").unwrap_or_default();
    let mut cases: Vec<PathBuf> = std::fs::read_dir(cases()).unwrap().map(|entry| entry.unwrap().path()).collect();
    cases.retain(|case| case.is_dir() && case.to_string_lossy().contains(&wanted));
    cases.sort();
    assert!(!cases.is_empty(), "no case has `{wanted}` in its name");
    all_hold(cases.iter().map(|case| {
        let name = case.file_name().unwrap().to_string_lossy().into_owned();
        (name, check_folder(case))
    }))
    .await
    .unwrap_or_else(|wrong| panic!("{wrong}"));
}

/// The rows of a query over `t (id, v)` after its changes, and how many errors there are. PostgreSQL must say the same after every transaction.
async fn rows_after(sql: &str, rows: &str, changes: &str) -> (Vec<String>, u64) {
    let observed = observed_after(sql, rows, changes).await;
    (observed.rows, observed.errors)
}

/// The same where there are errors on the way, of which PostgreSQL knows nothing.
async fn rows_at_end(sql: &str, rows: &str, changes: &str) -> (Vec<String>, u64) {
    let (_folder, prepared, observed) = run(sql, rows, changes).await;
    confirm_end(&prepared, &observed).await.unwrap_or_else(|wrong| panic!("PostgreSQL says otherwise of {sql}\n{wrong}"));
    (observed[0].rows.clone(), observed[0].errors)
}

async fn observed_after(sql: &str, rows: &str, changes: &str) -> Observed {
    let (_folder, prepared, mut observed) = run(sql, rows, changes).await;
    confirm(&prepared, &observed).await.unwrap_or_else(|wrong| panic!("PostgreSQL says otherwise of {sql}\n{wrong}"));
    observed.remove(0)
}

async fn run(sql: &str, rows: &str, changes: &str) -> (tempfile::TempDir, Prepared, Vec<Observed>) {
    let folder = scratch();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    let spec = serde_json::json!({
        "sources": {"s": {"kind": "file", "options": {"changes": "changes.jsonl", "tables": {
            "t": {"jsonl": "t.jsonl", "key": ["id"], "columns": {"id": "int64", "v": "int64"}}}}}},
        "views": {"q": {"sql": sql}, "rows": {"sql": "SELECT * FROM s.t"}},
    });
    write("spec.yaml", &spec.to_string());
    write("t.jsonl", rows);
    write("changes.jsonl", changes);
    let prepared = prepare(&folder.path().join("spec.yaml")).await.unwrap();
    let observed = prepared.run(&folder.path().join("state"), Way { workers: 2, scatter: None }).await;
    (folder, prepared, observed)
}

/// The message with which a query over `t` of these columns is refused.
async fn refusal(columns: serde_json::Value, sql: &str) -> String {
    let spec = serde_json::json!({
        "sources": {"s": {"kind": "file", "options": {"tables": {"t": {"jsonl": "t.jsonl", "columns": columns}}}}},
        "views": {"q": {"sql": sql}},
    });
    let files = vec![("spec.yaml".into(), spec.to_string()), ("t.jsonl".into(), String::new())];
    taken(&Generated { files, changes: String::new() }).await.expect_err(sql)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_a_query_fails_on_is_an_error_until_it_is_corrected() {
    let rows = "{\"id\": 1, \"v\": 0}\n{\"id\": 2, \"v\": 4}\n";
    let update = |before: i64, after: i64| {
        format!(
            "{{\"table\": \"t\", \"op\": \"update\", \"before\": {{\"id\": 1, \"v\": {before}}}, \"after\": {{\"id\": 1, \"v\": {after}}}}}\n"
        )
    };
    let quotient = "SELECT id, 8 / v AS q FROM s.t";
    assert_eq!(rows_after(quotient, rows, "").await, (vec![r#"{"id":2,"q":2}"#.into()], 1));
    assert_eq!(rows_after(quotient, rows, &update(0, 2)).await, (vec![r#"{"id":1,"q":4}"#.into(), r#"{"id":2,"q":2}"#.into()], 0));
    let most = i64::MAX;
    let sum = "SELECT sum(v) AS total, count(*) AS n FROM s.t";
    assert_eq!(rows_after(sum, rows, &update(0, most)).await, (vec![], 1));
    let corrected = update(0, most) + &update(most, 5);
    assert_eq!(rows_after(sum, rows, &corrected).await, (vec![r#"{"total":9,"n":2}"#.into()], 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_in_a_query_is_told_with_its_key() {
    let rows: String = [0, 7, 7].iter().enumerate().map(|(id, v)| format!("{{\"id\": {id}, \"v\": {v}}}\n")).collect();
    let most = i64::MAX;
    for (sql, reason) in [
        ("SELECT 1 / v AS q FROM s.t".into(), r#"s.t {"id":0}: division by zero"#),
        ("SELECT v, 1 / v AS q, count(*) AS n FROM s.t GROUP BY v".into(), r#"a row of the query {"v":0}: division by zero"#),
        (
            "SELECT x.id, 1 / (x.v + y.v) AS q FROM s.t x JOIN s.t y ON x.v = y.id".into(),
            r#"a row of the query {"id":0}: division by zero"#,
        ),
        (
            "SELECT x.id FROM s.t x JOIN s.t y ON x.v = y.v AND 1 / (x.id + 2 * y.id - 5) > 5".into(),
            r#"a pair of rows {"id":1} {"id":2}: division by zero"#,
        ),
        (format!("SELECT v, sum(v + {}) AS s FROM s.t GROUP BY v", most - 7), r#"the group {"v":7}: `sum("#),
        (format!("SELECT sum(v + {}) AS s FROM s.t", most - 7), "the group of all rows: `sum("),
        (format!("SELECT id, sum(v + {}) OVER (PARTITION BY v) AS s FROM s.t", most - 7), r#"the partition {"v":7}: `sum("#),
    ] {
        let Observed { reasons, .. } = observed_after(&sql, &rows, "").await;
        assert!(reasons.len() == 1 && reasons[0].starts_with(reason), "{sql}: {reasons:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_rows_of_groups_are_so_many() {
    let rows: String = (0..60).map(|id| format!("{{\"id\": {id}, \"v\": {}}}\n", id % 11)).collect();
    let first = "SELECT v, count(*) AS n FROM s.t GROUP BY v ORDER BY n DESC, v LIMIT 3";
    let right = [(0, 6), (1, 6), (2, 6)].map(|(v, n)| format!("{{\"v\":{v},\"n\":{n}}}"));
    assert_eq!(rows_after(first, &rows, "").await, (right.to_vec(), 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn clauses_that_the_planner_reads_over_mean_what_they_say() {
    let rows: String = [5, 7, 7].iter().enumerate().map(|(id, v)| format!("{{\"id\": {id}, \"v\": {v}}}\n")).collect();
    let rolled_up = ["{\"v\":null,\"n\":3}", "{\"v\":5,\"n\":1}", "{\"v\":7,\"n\":2}"].map(String::from);
    assert_eq!(rows_after("SELECT v, count(*) AS n FROM s.t GROUP BY v WITH ROLLUP", &rows, "").await, (rolled_up.to_vec(), 0));
    let first = "SELECT id FROM s.t ORDER BY v DESC, id DESC FETCH FIRST 1 ROW ONLY";
    assert_eq!(rows_after(first, &rows, "").await, (vec!["{\"id\":2}".into()], 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn is_not_distinct_from_joins_nulls_and_equality_beside_it_does_not() {
    let rows: String = [(1, "3"), (2, "null"), (3, "null")].iter().map(|(id, v)| format!("{{\"id\": {id}, \"v\": {v}}}\n")).collect();
    let pairs = "FROM s.t x JOIN s.t y ON (x.v IS NOT DISTINCT FROM y.v)";
    let of = |ids: &[(i64, i64)]| (ids.iter().map(|(a, b)| format!("{{\"a\":{a},\"b\":{b}}}")).collect::<Vec<_>>(), 0);
    let all = of(&[(1, 1), (2, 2), (2, 3), (3, 2), (3, 3)]);
    assert_eq!(rows_after(&format!("SELECT x.id AS a, y.id AS b {pairs}"), &rows, "").await, all);
    assert_eq!(rows_after(&format!("SELECT x.id AS a, y.id AS b {pairs} JOIN s.t z ON y.id = z.id"), &rows, "").await, all);
    assert_eq!(rows_after(&format!("SELECT x.id AS a, y.id AS b {pairs} WHERE x.v = y.v"), &rows, "").await, of(&[(1, 1)]));
    let mixed = "SELECT x.id AS a, y.id AS b FROM s.t x JOIN s.t y ON x.id = y.id AND (x.v IS NOT DISTINCT FROM y.v)";
    assert_eq!(rows_after(mixed, &rows, "").await, of(&[(1, 1), (2, 2), (3, 3)]));
}

#[tokio::test(flavor = "multi_thread")]
async fn except_all_and_intersect_all_count_equal_rows() {
    let rows: String = [1, 1, 1, 2, 2, 3].iter().enumerate().map(|(id, v)| format!("{{\"id\": {id}, \"v\": {v}}}\n")).collect();
    let of = |operator: &str| format!("SELECT v FROM s.t {operator} ALL SELECT v - 1 AS v FROM s.t WHERE v > 1");
    let values = |values: &[i64]| (values.iter().map(|v| format!("{{\"v\":{v}}}")).collect::<Vec<_>>(), 0);
    assert_eq!(rows_after(&of("EXCEPT"), &rows, "").await, values(&[1, 2, 3]));
    assert_eq!(rows_after(&of("INTERSECT"), &rows, "").await, values(&[1, 1, 2]));
    let inserted = "{\"table\": \"t\", \"op\": \"insert\", \"after\": {\"id\": 6, \"v\": 2}}\n";
    assert_eq!(rows_after(&of("EXCEPT"), &rows, inserted).await, values(&[2, 2, 3]));
    assert_eq!(rows_after(&of("INTERSECT"), &rows, inserted).await, values(&[1, 1, 1, 2]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_too_long_to_be_kept_is_an_error_of_the_view() {
    let words = "SELECT repeat('x', v) AS word, count(*) AS n FROM s.t GROUP BY repeat('x', v)";
    let rows = "{\"id\": 1, \"v\": 70000}\n{\"id\": 2, \"v\": 2}\n";
    let update = |before: i64, after: i64| {
        format!(
            "{{\"table\": \"t\", \"op\": \"update\", \"before\": {{\"id\": 1, \"v\": {before}}}, \"after\": {{\"id\": 1, \"v\": {after}}}}}\n"
        )
    };
    let (short, long) = (update(70_000, 1), update(1, 70_000));
    let xx = r#"{"word":"xx","n":1}"#.to_string();
    let x = r#"{"word":"x","n":1}"#.to_string();
    for query in [words, &words.replace(", count(*) AS n", ", 1 AS n").replace(" GROUP BY repeat('x', v)", "")] {
        assert_eq!(rows_at_end(query, rows, "").await, (vec![xx.clone()], 1), "{query}");
        assert_eq!(rows_at_end(query, rows, &short).await, (vec![x.clone(), xx.clone()], 0), "{query}");
        assert_eq!(rows_at_end(query, rows, &format!("{short}{long}")).await, (vec![xx.clone()], 1), "{query}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sums_of_38_digits_are_exact_and_an_error_where_they_have_more() {
    let square = "CAST(v AS DECIMAL(19, 0)) * CAST(v AS DECIMAL(19, 0))";
    let query = format!("SELECT sum({square}) AS total, avg(CAST(v AS DECIMAL(32, 2))) AS mean FROM s.t");
    let row = |id: i64, v: i64| format!("{{\"id\": {id}, \"v\": {v}}}");
    let change = |op: &str, image: &str, row: String| format!("{{\"table\": \"t\", \"op\": \"{op}\", \"{image}\": {row}}}\n");
    let rows = format!("{}\n{}\n", row(1, i64::MAX), row(2, -3));
    let right = r#"{"total":85070591730234615847396907784232501258,"mean":4611686018427387902.000000}"#;
    assert_eq!(rows_after(&query, &rows, "").await, (vec![right.into()], 0));
    let too_large = change("insert", "after", row(3, i64::MAX));
    assert_eq!(rows_after(&query, &rows, &too_large).await, (vec![], 1));
    let corrected = too_large + &change("delete", "before", row(3, i64::MAX));
    assert_eq!(rows_after(&query, &rows, &corrected).await, (vec![right.into()], 0));
}

/// Large numbers come and go, in parts of several workers, and leave nothing of their roundings.
#[tokio::test(flavor = "multi_thread")]
async fn sums_of_doubles_are_exact_and_rounded_once() {
    let query = "SELECT sum(x) AS total, avg(x) AS mean, var_pop(x) AS spread, corr(x, v) AS with_v \
                 FROM (SELECT CAST(v AS DOUBLE) / 10 AS x, v FROM s.t)";
    let row = |id: i64, v: i64| format!("{{\"id\": {id}, \"v\": {v}}}");
    let change = |op: &str, image: &str, row: String| format!("{{\"table\": \"t\", \"op\": \"{op}\", \"{image}\": {row}}}\n");
    // Ten times the double 0.1 is a little more than 1, and its nearest double is 1; added one by one it is 0.9999999999999999.
    let rows: String = (0..10).map(|id| row(id, 1) + "\n").collect();
    let right = r#"{"total":1.0,"mean":0.1,"spread":0.0,"with_v":null}"#;
    assert_eq!(rows_after(query, &rows, "").await, (vec![right.into()], 0));
    let large: String = (10..20).map(|id| change("insert", "after", row(id, i64::MAX >> (id % 7)))).collect();
    let gone: String = (10..20).rev().map(|id| change("delete", "before", row(id, i64::MAX >> (id % 7)))).collect();
    assert_eq!(rows_after(query, &rows, &(large.clone() + &gone)).await, (vec![right.into()], 0));
    let linear = change("insert", "after", row(10, 3));
    let right = r#"{"total":1.3,"mean":0.11818181818181818,"spread":0.0033057851239669416,"with_v":1.0}"#;
    assert_eq!(rows_after(query, &rows, &(large + &gone + &linear)).await, (vec![right.into()], 0));
}

/// Two queries that share a join, and call its sides by each other's names.
#[tokio::test(flavor = "multi_thread")]
async fn a_name_means_what_its_own_query_says() {
    let rows = "{\"id\": 1, \"v\": 10}\n{\"id\": 2, \"v\": 3}\n";
    let difference = |x: &str, y: &str| {
        format!("(SELECT {x}.id AS i, x.v - y.v AS d FROM s.t {x} JOIN (SELECT id - 1 AS id, v FROM s.t) {y} ON {x}.id = {y}.id)")
    };
    let sum =
        |x: &str, y: &str| format!("(SELECT sum(x.v) AS d FROM s.t {x} JOIN (SELECT id - 1 AS id, v FROM s.t) {y} ON {x}.id = {y}.id)");
    let both = format!("SELECT a.d AS one, b.d AS other FROM {} a JOIN {} b ON a.i = b.i", difference("x", "y"), difference("y", "x"));
    assert_eq!(rows_after(&both, rows, "").await.0, [r#"{"one":7,"other":-7}"#]);
    let both = format!("SELECT a.d AS one, b.d AS other FROM {} a CROSS JOIN {} b", sum("x", "y"), sum("y", "x"));
    assert_eq!(rows_after(&both, rows, "").await.0, [r#"{"one":10,"other":3}"#]);
}

#[tokio::test(flavor = "multi_thread")]
async fn constants_of_a_query_do_not_wrap() {
    let wrong = rows_after("SELECT id, 9223372036854775807 + 1 AS n FROM s.t", "{\"id\": 1, \"v\": 10}\n", "");
    let refused = AssertUnwindSafe(wrong).catch_unwind().await.unwrap_err();
    let message = refused.downcast_ref::<String>().unwrap();
    assert!(message.contains("became too large"), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partition_that_a_window_function_fails_on_is_an_error_until_it_is_corrected() {
    let rows = "{\"id\": 1, \"v\": 1}\n{\"id\": 2, \"v\": 4}\n{\"id\": 12, \"v\": 5}\n";
    let update = |before: i64, after: i64| {
        let row = |v: i64| format!("{{\"id\": 1, \"v\": {v}}}");
        format!("{{\"table\": \"t\", \"op\": \"update\", \"before\": {}, \"after\": {}}}\n", row(before), row(after))
    };
    let other = r#"{"id":12,"total":5}"#;
    for frame in ["", " ROWS BETWEEN 1 PRECEDING AND CURRENT ROW", " ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING"] {
        for distinct in ["", "DISTINCT "] {
            let running = format!("SELECT id, sum({distinct}v) OVER (PARTITION BY id > 10 ORDER BY id{frame}) AS total FROM s.t");
            let most = update(1, i64::MAX);
            assert_eq!(rows_after(&running, rows, &most).await, (vec![other.into()], 1), "{running}");
            let corrected = most + &update(i64::MAX, 2);
            let right = if frame.ends_with("FOLLOWING") { ["6", "4"] } else { ["2", "6"] };
            let right = [format!(r#"{{"id":1,"total":{}}}"#, right[0]), format!(r#"{{"id":2,"total":{}}}"#, right[1]), other.into()];
            assert_eq!(rows_after(&running, rows, &corrected).await, (right.to_vec(), 0), "{running}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_an_order_leaves_equal_have_numbers_of_their_own() {
    let rows = "{\"id\": 1, \"v\": 4}\n{\"id\": 2, \"v\": 4}\n{\"id\": 3, \"v\": null}\n";
    let query = "SELECT v, row_number() OVER (ORDER BY v NULLS FIRST) AS n FROM (SELECT v FROM s.t)";
    let right = [r#"{"v":null,"n":1}"#, r#"{"v":4,"n":2}"#, r#"{"v":4,"n":3}"#].map(String::from);
    assert_eq!(rows_after(query, rows, "").await, (right.to_vec(), 0));
    let gone = "{\"table\": \"t\", \"op\": \"delete\", \"before\": {\"id\": 1, \"v\": 4}}\n";
    assert_eq!(rows_after(query, rows, gone).await, (right[..2].to_vec(), 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn distinct_on_shows_columns_of_one_row() {
    // Where one column is NULL another is not: `first_value` of each would choose from several rows.
    let rows: String = (1..=8).map(|id| format!("{{\"id\": {id}, \"v\": {}}}\n", if id % 2 == 0 { "null" } else { "4" })).collect();
    for order in ["ORDER BY id % 4, v IS NULL", "ORDER BY id % 4"] {
        let query = format!("SELECT DISTINCT ON (id % 4) id AS i, 0 - id AS minus, 8 - id AS other, v FROM s.t {order}");
        let gone = "{\"table\": \"t\", \"op\": \"delete\", \"before\": {\"id\": 2, \"v\": null}}\n";
        for changes in ["", gone] {
            // Which row it is, another engine chooses otherwise.
            let (_, _, observed) = run(&query, &rows, changes).await;
            assert_eq!((observed[0].rows.len(), observed[0].errors), (4, 0));
            for row in &observed[0].rows {
                let row: serde_json::Value = serde_json::from_str(row).unwrap();
                let id = row["i"].as_i64().unwrap();
                assert_eq!((row["minus"].as_i64(), row["other"].as_i64()), (Some(-id), Some(8 - id)), "{row}");
                assert_eq!(row["v"].as_i64(), (id % 2 == 1).then_some(4), "{row}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_may_give_rows_of_its_own() {
    let rows = "{\"id\": 1, \"v\": 4}\n{\"id\": 2, \"v\": 7}\n";
    let gone = "{\"table\": \"t\", \"op\": \"delete\", \"before\": {\"id\": 1, \"v\": 4}}\n";
    for (query, before, after) in [
        ("SELECT 1 + 1 AS a, upper('x') AS b", vec![r#"{"a":2,"b":"X"}"#], vec![r#"{"a":2,"b":"X"}"#]),
        ("SELECT 1 AS a WHERE 1 > 2", vec![], vec![]),
        ("SELECT count(*) AS n FROM (VALUES (1), (1), (NULL)) c(x)", vec![r#"{"n":3}"#], vec![r#"{"n":3}"#]),
        ("SELECT x + 1 AS y FROM (VALUES (1), (1), (NULL)) c(x) WHERE x > 0", vec![r#"{"y":2}"#; 2], vec![r#"{"y":2}"#; 2]),
        ("SELECT id, w FROM s.t JOIN (VALUES (4, 'four'), (5, 'five')) c(v, w) USING (v)", vec![r#"{"id":1,"w":"four"}"#], vec![]),
        (
            "SELECT w, id FROM (VALUES (4, 'four')) c(v, w) LEFT JOIN s.t USING (v)",
            vec![r#"{"w":"four","id":1}"#],
            vec![r#"{"w":"four","id":null}"#],
        ),
        ("SELECT v FROM s.t UNION ALL VALUES (7)", vec![r#"{"v":4}"#, r#"{"v":7}"#, r#"{"v":7}"#], vec![r#"{"v":7}"#; 2]),
    ] {
        for (changes, right) in [("", before), (gone, after)] {
            let right: Vec<String> = right.into_iter().map(String::from).collect();
            assert_eq!(rows_after(query, rows, changes).await, (right, 0), "{query}");
        }
    }
}

/// Its plan reads no table, though the query names one.
#[tokio::test(flavor = "multi_thread")]
async fn a_spec_whose_only_view_is_always_empty_runs_to_the_end() {
    let folder = scratch();
    let table = serde_json::json!({"jsonl": "t.jsonl", "columns": {"v": "int64"}});
    let options = serde_json::json!({"changes": "changes.jsonl", "tables": {"t": table}});
    let spec = serde_json::json!({
        "sources": {"s": {"kind": "file", "options": options}}, "views": {"q": {"sql": "SELECT v FROM s.t WHERE 1 = 2"}},
    });
    let change = "{\"table\": \"t\", \"op\": \"insert\", \"after\": {\"v\": 1}}\n";
    for (name, text) in [("spec.yaml", spec.to_string().as_str()), ("t.jsonl", "{\"v\": 1}\n"), ("changes.jsonl", change)] {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    let prepared = prepare(&folder.path().join("spec.yaml")).await.unwrap();
    for workers in [1, 2] {
        let state = folder.path().join(format!("state{workers}"));
        let running = prepared.run(&state, Way { workers, scatter: None });
        let observed = tokio::time::timeout(std::time::Duration::from_secs(60), running).await.expect("it ends");
        assert_eq!((observed[0].rows.len(), observed[0].errors), (0, 0));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_set_that_is_rolled_up_is_another_group_than_null() {
    let rows = "{\"id\": 1, \"v\": null}\n{\"id\": 2, \"v\": 7}\n";
    let gone = "{\"table\": \"t\", \"op\": \"delete\", \"before\": {\"id\": 1, \"v\": null}}\n";
    let all = format!("{gone}{{\"table\": \"t\", \"op\": \"delete\", \"before\": {{\"id\": 2, \"v\": 7}}}}\n");
    let row = |v: &str, g: i64, n: i64| format!(r#"{{"v":{v},"g":{g},"n":{n}}}"#);
    let query = "SELECT v, grouping(v) AS g, count(*) AS n FROM s.t GROUP BY ROLLUP (v)";
    for (changes, right) in [
        ("", vec![row("null", 0, 1), row("null", 1, 2), row("7", 0, 1)]),
        (gone, vec![row("null", 1, 1), row("7", 0, 1)]),
        // The total is there also of no rows.
        (&all, vec![row("null", 1, 0)]),
    ] {
        assert_eq!(rows_after(query, rows, changes).await, (right, 0));
    }
    let twice = "SELECT v, count(*) AS n FROM s.t GROUP BY GROUPING SETS ((v), (v))";
    assert_eq!(rows_after(twice, rows, gone).await, (vec![r#"{"v":7,"n":1}"#.to_string(); 2], 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_becomes_rows_of_its_elements() {
    let rows = "{\"id\": 1, \"v\": 4}\n{\"id\": 2, \"v\": null}\n{\"id\": 3, \"v\": 4}\n";
    let gone = "{\"table\": \"t\", \"op\": \"delete\", \"before\": {\"id\": 1, \"v\": 4}}\n";
    for (query, before, after) in [
        (
            "SELECT id, unnest(CASE WHEN v > 0 THEN make_array(v, id) END) AS e FROM s.t",
            vec![r#"{"id":1,"e":1}"#, r#"{"id":1,"e":4}"#, r#"{"id":3,"e":3}"#, r#"{"id":3,"e":4}"#],
            vec![r#"{"id":3,"e":3}"#, r#"{"id":3,"e":4}"#],
        ),
        (
            "SELECT unnest(make_array(v)) AS a, unnest(string_to_array('x,y', ',')) AS b FROM s.t WHERE id < 3",
            vec![r#"{"a":null,"b":"x"}"#, r#"{"a":null,"b":"y"}"#, r#"{"a":null,"b":"y"}"#, r#"{"a":4,"b":"x"}"#],
            vec![r#"{"a":null,"b":"x"}"#, r#"{"a":null,"b":"y"}"#],
        ),
        (
            "SELECT v, unnest(ids) AS id FROM (SELECT v, array_agg(id ORDER BY id) AS ids FROM s.t GROUP BY v) g",
            vec![r#"{"v":null,"id":2}"#, r#"{"v":4,"id":1}"#, r#"{"v":4,"id":3}"#],
            vec![r#"{"v":null,"id":2}"#, r#"{"v":4,"id":3}"#],
        ),
        (
            "SELECT e, count(*) AS n FROM (SELECT unnest(make_array(v, v)) AS e FROM s.t) GROUP BY e",
            vec![r#"{"e":null,"n":2}"#, r#"{"e":4,"n":4}"#],
            vec![r#"{"e":null,"n":2}"#, r#"{"e":4,"n":2}"#],
        ),
    ] {
        for (changes, right) in [("", before), (gone, after)] {
            let right: Vec<String> = right.into_iter().map(String::from).collect();
            assert_eq!(rows_after(query, rows, changes).await, (right, 0), "{query}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_ranks_have_all_rows_that_are_equal() {
    let rows: String = [(1, 4), (2, 4), (3, 6), (4, 7), (5, 7)].map(|(id, v)| format!("{{\"id\": {id}, \"v\": {v}}}\n")).concat();
    let gone = "{\"table\": \"t\", \"op\": \"delete\", \"before\": {\"id\": 1, \"v\": 4}}\n";
    for (number, before, after) in [
        ("rank", vec![(1, 1), (2, 1), (3, 3)], vec![(2, 1), (3, 2), (4, 3), (5, 3)]),
        ("dense_rank", vec![(1, 1), (2, 1), (3, 2), (4, 3), (5, 3)], vec![(2, 1), (3, 2), (4, 3), (5, 3)]),
        ("row_number", vec![(1, 1), (2, 2), (3, 3)], vec![(2, 1), (3, 2), (4, 3)]),
    ] {
        let order = if number == "row_number" { "v, id" } else { "v" };
        let query = format!("SELECT id, {number}() OVER (ORDER BY {order}) AS n FROM s.t QUALIFY n <= 3");
        let texts = |rows: Vec<(i64, i64)>| -> Vec<String> { rows.iter().map(|(id, n)| format!(r#"{{"id":{id},"n":{n}}}"#)).collect() };
        assert_eq!(rows_after(&query, &rows, "").await, (texts(before), 0), "{query}");
        assert_eq!(rows_after(&query, &rows, gone).await, (texts(after), 0), "{query}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn lead_looks_over_nulls() {
    let rows: String =
        [(1, "4"), (2, "null"), (3, "7"), (4, "null"), (5, "9")].map(|(id, v)| format!("{{\"id\": {id}, \"v\": {v}}}\n")).concat();
    let query =
        "SELECT id, lead(v, 1, 0) IGNORE NULLS OVER (ORDER BY id) AS one, lead(v, 2) IGNORE NULLS OVER (ORDER BY id) AS two FROM s.t";
    let right = |one: [&str; 5], two: [&str; 5]| -> Vec<String> {
        (0..5).map(|i| format!(r#"{{"id":{},"one":{},"two":{}}}"#, i + 1, one[i], two[i])).collect()
    };
    assert_eq!(rows_after(query, &rows, "").await, (right(["7", "7", "9", "9", "0"], ["9", "9", "null", "null", "null"]), 0));
    let update = "{\"table\": \"t\", \"op\": \"update\", \"before\": {\"id\": 4, \"v\": null}, \"after\": {\"id\": 4, \"v\": 8}}\n";
    assert_eq!(rows_after(query, &rows, update).await, (right(["7", "7", "8", "9", "0"], ["8", "8", "9", "null", "null"]), 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_over_first_rows_need_not_show_what_they_are_ordered_by() {
    let rows: String = (1..=6).map(|id| format!("{{\"id\": {id}, \"v\": {}}}\n", id % 3)).collect();
    let gone = "{\"table\": \"t\", \"op\": \"delete\", \"before\": {\"id\": 6, \"v\": 0}}\n";
    // 3, 6 | 1, 4, 2, 5
    let query = "SELECT f.id FROM (SELECT id, v FROM s.t ORDER BY v, id LIMIT 3 OFFSET 2) f WHERE f.id > 1";
    assert_eq!(rows_after(query, &rows, "").await, ([r#"{"id":2}"#, r#"{"id":4}"#].map(String::from).to_vec(), 0));
    assert_eq!(rows_after(query, &rows, gone).await, ([r#"{"id":2}"#, r#"{"id":4}"#, r#"{"id":5}"#].map(String::from).to_vec(), 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn equal_rows_of_a_query_without_a_key_are_rows_of_their_own() {
    let rows = "{\"id\": 1, \"v\": 4}\n{\"id\": 2, \"v\": 4}\n{\"id\": 3, \"v\": null}\n";
    let gone = "{\"table\": \"t\", \"op\": \"delete\", \"before\": {\"id\": 1, \"v\": 4}}\n";
    let (four, null) = (r#"{"v":4}"#.to_string(), r#"{"v":null}"#.to_string());
    assert_eq!(rows_after("SELECT v FROM s.t", rows, "").await.0, [null.clone(), four.clone(), four.clone()]);
    assert_eq!(rows_after("SELECT v FROM s.t", rows, gone).await.0, [null, four]);
}

#[test]
fn the_program_prints_what_the_case_expects() {
    let case = cases().join("no_state_is_half_joined");
    let state = scratch();
    let tidemill = |arguments: &[&str]| {
        let state = state.path().join("state");
        let output = Command::new(env!("CARGO_BIN_EXE_tidemill")).args(arguments).arg("--state").arg(state).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let expected = std::fs::read_to_string(case.join("expected.jsonl")).unwrap();
    let spec = case.join("spec.yaml");
    for _ in 0..2 {
        tidemill(&["run", spec.to_str().unwrap(), "--workers", "2", "--until-caught-up"]);
        assert_eq!(tidemill(&["get", "v"]), expected);
    }
    let changelog = std::fs::read_to_string(case.join("changelog.jsonl")).unwrap();
    let snapshot = 3;
    assert_eq!(tidemill(&["tail", "v", "--until-caught-up"]).lines().count(), snapshot + changelog.lines().count());
}

fn cases() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/views")
}

/// Runs them a few at a time; fails with every one that does not hold.
async fn all_hold<F: Future<Output = Result<(), String>>>(cases: impl Iterator<Item = (String, F)>) -> Result<(), String> {
    let run = |(name, case): (String, F)| async move {
        let result = AssertUnwindSafe(case).catch_unwind().await;
        let wrong = match result {
            Ok(Ok(())) => return None,
            Ok(Err(wrong)) => wrong,
            Err(panic) => Wrong::of_panic(&*panic).to_string(),
        };
        Some(format!("== {name}\n{wrong}"))
    };
    let wrong: Vec<String> =
        futures::stream::iter(cases.map(run)).buffer_unordered(AT_A_TIME).filter_map(std::future::ready).collect().await;
    if wrong.is_empty() { Ok(()) } else { Err(format!("{} do not hold\n{}", wrong.len(), wrong.join("\n"))) }
}
