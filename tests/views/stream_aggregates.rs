//! The aggregates that stream users know, over the reference scenario's readings.

use crate::support::case::scratch;
use crate::support::engine::{Way, prepare};
use crate::support::judge::confirm;

/// What queries over the reference scenario's readings give, one after another, with `later` readings behind those.
async fn over_readings(queries: &[&str], later: &str) -> Vec<Vec<String>> {
    let folder = scratch();
    let views: serde_json::Map<String, serde_json::Value> =
        queries.iter().enumerate().map(|(n, sql)| (format!("q{n}"), serde_json::json!({"sql": sql}))).collect();
    let spec = serde_json::json!({
        "sources": {"plant": {"kind": "file", "options": {"tables": {"readings": {
            "csv": "readings.csv", "stream": true, "columns": {"sensor": "text", "area": "text", "reading": "int32"}}}}}},
        "views": views,
    });
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write("spec.yaml", &spec.to_string());
    let readings = "sensor,area,reading\nsensor-1,wheel,45\nsensor-2,motor,41\nsensor-1,wheel,92\nsensor-2,engine,13\nsensor-2,engine,90\n\
                    sensor-4,motor,95\nsensor-3,engine,67\nsensor-3,wheel,52\nsensor-4,engine,55\nsensor-3,engine,37\n";
    write("readings.csv", &format!("{readings}{later}"));
    let prepared = prepare(&folder.path().join("spec.yaml")).await.unwrap();
    let mut ways = Vec::new();
    for workers in [1, 4] {
        let state = folder.path().join(format!("state{workers}"));
        let observed = prepared.run(&state, Way { workers, scatter: Some(7) }).await;
        confirm(&prepared, &observed).await.unwrap_or_else(|wrong| panic!("PostgreSQL says otherwise of {queries:?}\n{wrong}"));
        ways.push(observed.into_iter().map(|view| view.rows).collect::<Vec<_>>());
    }
    assert_eq!(ways[0], ways[1], "1 and 4 workers");
    ways.remove(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_averages_and_the_latest_of_a_stream_are_kept() {
    let averages = "SELECT sensor, avg(reading) AS avg FROM plant.readings GROUP BY sensor";
    let latest = "SELECT sensor, LATEST_BY_OFFSET(area) AS area, LATEST_BY_OFFSET(reading) AS last, EARLIEST_BY_OFFSET(reading) AS first \
                  FROM plant.readings GROUP BY sensor";
    let queries = [averages, latest];
    let rows = over_readings(&queries, "").await;
    let expected = |rows: [&str; 4]| rows.map(String::from).to_vec();
    assert_eq!(
        rows[0],
        expected([
            r#"{"sensor":"sensor-1","avg":68.5}"#,
            r#"{"sensor":"sensor-2","avg":48.0}"#,
            r#"{"sensor":"sensor-3","avg":52.0}"#,
            r#"{"sensor":"sensor-4","avg":75.0}"#,
        ])
    );
    assert_eq!(
        rows[1],
        expected([
            r#"{"sensor":"sensor-1","area":"wheel","last":92,"first":45}"#,
            r#"{"sensor":"sensor-2","area":"engine","last":90,"first":41}"#,
            r#"{"sensor":"sensor-3","area":"engine","last":37,"first":67}"#,
            r#"{"sensor":"sensor-4","area":"engine","last":55,"first":95}"#,
        ])
    );
    // A value that is NULL is passed over. The last line has no end, and comes as one that was appended.
    let rows = over_readings(&queries, "sensor-1,,1").await;
    assert_eq!(rows[1][0], r#"{"sensor":"sensor-1","area":"wheel","last":1,"first":45}"#);
    assert_eq!(rows[0][0], r#"{"sensor":"sensor-1","avg":46.0}"#);
}

#[tokio::test(flavor = "multi_thread")]
async fn stream_aggregates_give_what_their_users_know() {
    let call = |call: &str| format!("SELECT sensor, {call} AS x FROM plant.readings WHERE sensor = 'sensor-2' GROUP BY sensor");
    for (written, expected) in [
        ("latest_by_offset(reading)", "90"),
        ("latest_by_offset(reading, false)", "null"),
        ("latest_by_offset(reading, 2)", "[13,90]"),
        ("latest_by_offset(reading, 7)", "[41,13,90]"),
        ("latest_by_offset(reading, 2, false)", "[90,null]"),
        ("earliest_by_offset(reading, 2)", "[41,13]"),
        ("latest_by_offset(reading) FILTER (WHERE area = 'engine' AND reading < 50)", "13"),
        ("latest_by_time(area, reading)", "\"engine\""),
        ("earliest_by_time(area, -reading)", "\"engine\""),
        ("collect_list(reading)", "[41,13,90,null]"),
        ("collect_set(area)", "[\"engine\",\"motor\"]"),
        ("topk(reading, 2)", "[90,41]"),
        ("topk(reading, area, 2)", "[{\"sort_col\":90,\"col0\":\"engine\"},{\"sort_col\":41,\"col0\":\"motor\"}]"),
        ("topk(area, 3)", "[\"motor\",\"motor\",\"engine\"]"),
        ("histogram(area)", "{\"engine\":2,\"motor\":2}"),
        ("HISTOGRAM(reading) FILTER (WHERE reading > 13)", "{\"41\":1,\"90\":1}"),
        ("histogram(reading > 40)", "{\"false\":1,\"true\":2}"),
        ("histogram(area) FILTER (WHERE reading > 100)", "{}"),
        ("topkdistinct(area, 3)", "[\"motor\",\"engine\"]"),
    ] {
        let rows = over_readings(&[&call(written)], "sensor-2,motor,\n").await;
        assert_eq!(rows[0], [format!("{{\"sensor\":\"sensor-2\",\"x\":{expected}}}")], "{written}");
    }
}
