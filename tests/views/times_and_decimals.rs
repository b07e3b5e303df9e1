//! Decimals, dates, times, zones and intervals give PostgreSQL's answers: what stands here was asked of PostgreSQL 18 over the same rows. Its
//! decimals are compared at our scale, rounded half away from zero; its intervals as lengths of time.

use crate::support::case::scratch;
use crate::support::engine::{Observed, Way, prepare};

const ROWS: [&str; 5] = [
    r#"{"id": 1, "i": 1, "n": 3, "d": "1.00", "e": "0.0000000001", "f": 0.5, "dt": "2015-07-15", "ts": "2015-07-15T10:20:30.123456", "us": "2015-08-05T12:00:00", "tz": "2015-07-15T10:20:30.5Z", "s": "2015-07-15 10:20:30"}"#,
    r#"{"id": 2, "i": -7, "n": -2, "d": "-2.50", "e": "-12345678901234567890.1234567891", "f": -1.5, "dt": "2016-02-29", "ts": "2016-02-29T23:59:59.999999", "us": "2016-02-01T00:00:00", "tz": "2016-03-27T01:30:00Z", "s": "2016-02-29 23:59:59.9999995+02"}"#,
    r#"{"id": 3, "i": 0, "n": 7, "d": "0.00", "e": "99999999999999999999999999.9999999999", "f": 1e-20, "dt": "2015-10-25", "ts": "2015-10-25T02:30:00", "us": "2015-10-24T02:30:00", "tz": "2015-10-25T00:30:00Z", "s": "2015-10-25T02:30:00Z"}"#,
    r#"{"id": 6, "i": null, "n": null, "d": null, "e": null, "f": null, "dt": null, "ts": null, "us": null, "tz": null, "s": null}"#,
    r#"{"id": 7, "i": 3, "n": 2, "d": "2.00", "e": "2.0000000000", "f": 3.5, "dt": "2015-01-31", "ts": "2015-01-31T12:00:00.5", "us": "2014-12-29T11:59:59.4", "tz": "2015-03-29T01:00:00Z", "s": "2015-01-31 24:00:00"}"#,
];

/// The rows of each query, after the changes. All over one table.
pub(crate) async fn observed(queries: &[String], changes: &str) -> Vec<Observed> {
    let columns = serde_json::json!({
        "id": "int64", "i": "int32", "n": "int64", "d": "decimal(10,2)", "e": "decimal(38,10)", "f": "float64", "dt": "date",
        "ts": "datetime(6)", "us": "datetime(6)", "tz": "timestamp(6)", "s": "text",
    });
    let folder = scratch();
    let table = serde_json::json!({"jsonl": "t.jsonl", "key": ["id"], "columns": columns});
    let views = queries.iter().enumerate().map(|(i, sql)| (format!("q{i:03}"), serde_json::json!({"sql": sql})));
    let spec = serde_json::json!({
        "sources": {"s": {"kind": "file", "options": {"changes": "changes.jsonl", "tables": {"t": table}}}},
        "views": views.collect::<serde_json::Map<_, _>>(),
    });
    for (name, text) in [("spec.yaml", spec.to_string()), ("t.jsonl", ROWS.join("\n")), ("changes.jsonl", changes.to_string())] {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    let prepared = prepare(&folder.path().join("spec.yaml")).await.unwrap_or_else(|message| panic!("{message}"));
    prepared.run(&folder.path().join("state"), Way { workers: 2, scatter: None }).await
}

/// Every expression of a section of `times_and_decimals.txt` is what stands behind it.
async fn hold(section: &str) {
    let text = include_str!("times_and_decimals.txt");
    let lines = text.lines().skip_while(|line| *line != format!("[{section}]")).skip(1).take_while(|line| !line.is_empty());
    let answers: Vec<(&str, Vec<&str>)> = lines
        .map(|line| {
            let (expression, answers) = line.split_once("  ->  ").expect("an expression and its answers");
            (expression, answers.split("  |  ").collect())
        })
        .collect();
    assert!(answers.len() > 3, "`{section}` has {} expressions", answers.len());
    let queries: Vec<String> = answers.iter().map(|(expression, _)| format!("SELECT id, {expression} AS r FROM s.t")).collect();
    for ((expression, right), observed) in answers.iter().zip(observed(&queries, "").await) {
        let right = if let [same] = right[..] { vec![same; 5] } else { right.clone() };
        assert_eq!(right.len(), 5, "{expression}");
        let row = |(id, value): (i64, &&str)| (*value != "fails").then(|| format!("{{\"id\":{id},\"r\":{value}}}"));
        let rows: Vec<String> = [1, 2, 3, 6, 7].into_iter().zip(&right).filter_map(row).collect();
        let errors = right.iter().filter(|value| **value == "fails").count() as u64;
        assert_eq!((observed.rows, observed.errors), (rows, errors), "{expression}");
    }
}

/// The only column of queries before and after the row 7 went and the row 1 got other numbers.
async fn hold_through_changes(queries: &[(&str, &[&str], &[&str])]) {
    let gone = format!("{{\"table\": \"t\", \"op\": \"delete\", \"before\": {}}}\n", ROWS[4]);
    let after = ROWS[0].replace("\"d\": \"1.00\"", "\"d\": \"0.02\"").replace("2015-08-05T12", "2015-07-15T12");
    let changes = format!("{gone}{{\"table\": \"t\", \"op\": \"update\", \"before\": {}, \"after\": {after}}}\n", ROWS[0]);
    let texts: Vec<String> = queries.iter().map(|(sql, _, _)| (*sql).to_string()).collect();
    for (changes, is_after) in [("", false), (changes.as_str(), true)] {
        for ((sql, before, after), observed) in queries.iter().zip(observed(&texts, changes).await) {
            let value = |row: &String| serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(row).unwrap()["r"].to_string();
            let mut values: Vec<String> = observed.rows.iter().map(value).collect();
            values.sort();
            let right = if is_after { after } else { before };
            assert_eq!((values.iter().map(String::as_str).collect::<Vec<_>>(), observed.errors), (right.to_vec(), 0), "{sql}\n{changes}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn quotients_of_decimals_are_rounded() {
    hold("quotients_of_decimals_are_rounded").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn doubles_stay_doubles_beside_decimals() {
    hold("doubles_stay_doubles_beside_decimals").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn decimals_of_different_scales_meet_exactly() {
    hold("decimals_of_different_scales_meet_exactly").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn intervals_are_compared_by_their_length() {
    hold("intervals_are_compared_by_their_length").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn intervals_are_multiplied_and_divided() {
    hold("intervals_are_multiplied_and_divided").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dates_and_times_are_added_as_in_postgresql() {
    hold("dates_and_times_are_added_as_in_postgresql").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn at_time_zone_is_what_clocks_show() {
    hold("at_time_zone_is_what_clocks_show").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn texts_are_read_and_written_as_times() {
    hold("texts_are_read_and_written_as_times").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn parts_of_times_are_those_of_postgresql() {
    hold("parts_of_times_are_those_of_postgresql").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn times_are_truncated_and_binned() {
    hold("times_are_truncated_and_binned").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn intervals_are_read_in_the_words_of_postgresql() {
    hold("intervals_are_read_in_the_words_of_postgresql").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn averages_are_rounded_and_kept_through_changes() {
    hold_through_changes(&[
        ("SELECT avg(d) AS r FROM s.t", &["0.125000"], &["-0.826667"]),
        ("SELECT avg(DISTINCT d) AS r FROM s.t", &["0.125000"], &["-0.826667"]),
        ("SELECT avg(d) FILTER (WHERE id <> 3) AS r FROM s.t", &["0.166667"], &["-1.240000"]),
        ("SELECT avg(d) AS r FROM s.t GROUP BY id % 2", &["-2.500000", "1.000000"], &["-2.500000", "0.010000"]),
        (
            "SELECT avg(d) AS r FROM s.t GROUP BY ROLLUP (id % 2)",
            &["-2.500000", "0.125000", "1.000000"],
            &["-0.826667", "-2.500000", "0.010000"],
        ),
        (
            "SELECT avg(d) OVER (ORDER BY id) AS r FROM s.t",
            &["-0.500000", "-0.500000", "-0.750000", "0.125000", "1.000000"],
            &["-0.826667", "-0.826667", "-1.240000", "0.020000"],
        ),
        (
            "SELECT avg(d) OVER (ORDER BY id ROWS BETWEEN 1 PRECEDING AND 1 FOLLOWING) AS r FROM s.t",
            &["-0.500000", "-0.750000", "-1.250000", "1.000000", "2.000000"],
            &["-0.826667", "-1.240000", "-1.250000", "0.000000"],
        ),
        (
            "SELECT avg(d) OVER (ORDER BY id RANGE BETWEEN 2 PRECEDING AND CURRENT ROW) AS r FROM s.t",
            &["-0.500000", "-0.750000", "1.000000", "2.000000", "null"],
            &["-0.826667", "-1.240000", "0.020000", "null"],
        ),
        (
            "SELECT avg(d) FILTER (WHERE id > 1) OVER (PARTITION BY id % 2) AS r FROM s.t",
            &["-2.500000", "-2.500000", "1.000000", "1.000000", "1.000000"],
            &["-2.500000", "-2.500000", "0.000000", "0.000000"],
        ),
        (
            "SELECT (SELECT avg(x.d) FROM s.t x WHERE x.id <> y.id) AS r FROM s.t y",
            &["-0.166667", "-0.500000", "0.125000", "0.166667", "1.000000"],
            &["-0.826667", "-1.240000", "-1.250000", "0.010000"],
        ),
        ("SELECT avg(d + 0.001) AS r FROM s.t", &["0.1260000"], &["-0.8256667"]),
        ("SELECT y.id AS r FROM s.t y WHERE y.d > (SELECT avg(x.d) FROM s.t x)", &["1", "7"], &["1", "3"]),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lengths_of_time_are_kept_through_changes() {
    hold_through_changes(&[
        ("SELECT sum(us - ts) AS r FROM s.t", &[r#""-1006:20:31.223455""#], &[r#""-718:20:30.123455""#]),
        ("SELECT avg(us - ts) AS r FROM s.t", &[r#""-251:35:07.805864""#], &[r#""-239:26:50.041152""#]),
        ("SELECT max(us - ts) AS r FROM s.t", &[r#""505:39:29.876544""#], &[r#""01:39:29.876544""#]),
        ("SELECT id AS r FROM s.t WHERE us - ts > interval '7 days'", &["1"], &[]),
        ("SELECT id AS r FROM s.t ORDER BY us - ts DESC NULLS LAST LIMIT 1", &["1"], &["1"]),
        ("SELECT count(*) AS r FROM s.t GROUP BY us - ts", &["1", "1", "1", "1", "1"], &["1", "1", "1", "1"]),
        (
            "SELECT x.id AS r FROM s.t x JOIN s.t y ON x.us - x.ts > interval '1 month' * -2 AND x.id = y.id",
            &["1", "2", "3", "7"],
            &["1", "2", "3"],
        ),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn local_times_of_zones_are_kept_through_changes() {
    hold_through_changes(&[
        (
            "SELECT extract(hour FROM b) AS r FROM (SELECT tz AT TIME ZONE 'Europe/Berlin' AS b FROM s.t) z",
            &["12", "2", "3", "3", "null"],
            &["12", "2", "3", "null"],
        ),
        (
            "SELECT max(tz AT TIME ZONE 'Europe/Berlin') AS r FROM s.t",
            &[r#""2016-03-27T03:30:00.000000""#],
            &[r#""2016-03-27T03:30:00.000000""#],
        ),
        (
            "SELECT extract(hour FROM max(tz AT TIME ZONE 'Asia/Tokyo')) AS r FROM s.t GROUP BY id",
            &["10", "10", "19", "9", "null"],
            &["10", "19", "9", "null"],
        ),
        ("SELECT x.id AS r FROM s.t x JOIN s.t y ON x.tz AT TIME ZONE 'Europe/Berlin' = y.ts", &["3"], &["3"]),
        (
            "SELECT count(*) AS r FROM s.t GROUP BY date_trunc('day', tz AT TIME ZONE 'Europe/Berlin')",
            &["1", "1", "1", "1", "1"],
            &["1", "1", "1", "1"],
        ),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_of_different_types_are_equal_where_their_values_are() {
    hold_through_changes(&[
        ("SELECT x.id AS r FROM s.t x JOIN s.t y ON x.f = y.d + 0.5", &["1"], &["1"]),
        ("SELECT x.id AS r FROM s.t x JOIN s.t y ON x.dt = y.us", &[], &[]),
        ("SELECT x.id AS r FROM s.t x WHERE x.dt IN (SELECT date_trunc('day', ts) FROM s.t y)", &["1", "2", "3", "7"], &["1", "2", "3"]),
    ])
    .await;
}
