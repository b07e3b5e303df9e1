//! What a row would not hold as it is, or DataFusion would do otherwise than PostgreSQL, is refused with its place in the text.

use crate::refusal;
use crate::times_and_decimals::observed;

async fn refused(sql: &str) -> String {
    let columns = serde_json::json!({
        "id": "int64", "d": "decimal(10,2)", "f": "float64", "dt": "date", "ts": "datetime(6)", "us": "datetime(6)", "tz": "timestamp(6)",
        "s": "text", "len": "time(6)",
    });
    refusal(columns, sql).await
}

/// Each of them is refused for this reason, at a place in the text.
async fn all_refused(why: &str, expressions: &[&str]) {
    for expression in expressions {
        let message = refused(&format!("SELECT id, {expression} AS r FROM s.t")).await;
        assert!(message.contains(why) && message.contains("spec.yaml:1:"), "{expression}: {message}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn intervals_are_neither_held_nor_ordered() {
    all_refused("which rows do not support", &["interval '1 day' * id", "-interval '1 month'", "interval '1 day' + (us - ts)"]).await;
    all_refused(
        "an interval is not allowed here",
        &[
            "max(interval '1 day' * id) OVER ()",
            "greatest(interval '1 month', interval '1 day' * id) = interval '1 day'",
            "nullif(interval '1 day' * id, interval '24 hours') IS NULL",
            "make_array(interval '1 day' * id)[1] IS NULL",
            "interval '1 day' * id IN (SELECT us - ts FROM s.t)",
        ],
    )
    .await;
    for query in [
        "SELECT count(*) FROM s.t GROUP BY interval '1 day' * id",
        "SELECT id FROM s.t ORDER BY interval '1 day' * id LIMIT 2",
        "SELECT array_agg(id ORDER BY interval '1 day' * id) FROM s.t",
        "SELECT count(DISTINCT interval '1 day' * id) FROM s.t",
        "SELECT min(interval '1 day' * id) FROM s.t",
    ] {
        let message = refused(query).await;
        assert!(message.contains("an interval is not allowed here") && message.contains("spec.yaml:1:"), "{query}: {message}");
    }
    all_refused("six digits of a second", &["time '10:20:30.1234567'", "ts + interval '1 nanosecond'", "time '10:20:30.0000001' IS NULL"])
        .await;
    all_refused("cannot be told apart", &["extract(hour FROM len)", "date_part('day', len)", "extract(day FROM (us - ts) * 2)"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_time_zone_but_utc_is_in_a_type() {
    all_refused(
        "a time zone of its own",
        &[
            "arrow_cast(tz, 'Timestamp(Microsecond, Some(\"Europe/Berlin\"))')",
            "extract(hour FROM arrow_cast(ts, 'Timestamp(Microsecond, Some(\"+02:00\"))'))",
            "make_array(arrow_cast(tz, 'Timestamp(Second, Some(\"Asia/Tokyo\"))'))",
        ],
    )
    .await;
    all_refused("there is no time zone", &["tz AT TIME ZONE 'Europe/Nowhere'", "tz AT TIME ZONE 'CET'", "ts AT TIME ZONE 'europe/berlin'"])
        .await;
    all_refused("is not a time zone", &["tz AT TIME ZONE '+02'", "ts AT TIME ZONE '-05:00'", "tz AT TIME ZONE '+02:00:00'"]).await;
    let constant = "the zone of AT TIME ZONE must be a constant text";
    all_refused(constant, &["tz AT TIME ZONE s", "ts AT TIME ZONE upper(s)", "tz AT TIME ZONE interval '2 hours'"]).await;
    all_refused("AT TIME ZONE takes a timestamp", &["s AT TIME ZONE 'UTC'", "id AT TIME ZONE 'UTC'", "len AT TIME ZONE 'UTC'"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn parts_that_a_value_lacks_are_refused() {
    all_refused("a date has no part", &["extract(hour FROM dt)", "extract(second FROM dt)", "date_part('microseconds', dt)"]).await;
    all_refused("a time of day has no part", &["extract(day FROM cast(ts AS time))", "extract(dow FROM cast(tz AS time))"]).await;
    all_refused("a length of time has no part", &["extract(month FROM us - ts)", "extract(year FROM len)", "extract(dow FROM us - ts)"])
        .await;
    all_refused("an interval has no part", &["extract(dow FROM interval '1 day' * id)", "extract(isoyear FROM interval '1 month')"]).await;
    all_refused("and this is text", &["extract(year FROM s)", "date_part('hour', s)"]).await;
    all_refused(
        "`date_trunc` takes a timestamp",
        &["date_trunc('hour', us - ts)", "date_trunc('day', interval '30 hours')", "date_trunc('day', s)"],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_texts_and_times_are_not_each_other() {
    all_refused("a number cannot be cast to a date", &["cast(id AS timestamp)", "cast(id AS date)", "cast(f AS interval)"]).await;
    all_refused("cannot be cast to a number", &["cast(ts AS bigint)", "cast(dt AS int)", "cast(us - ts AS bigint)"]).await;
    all_refused("an interval as text", &["cast(us - ts AS text)", "cast(interval '1 day' * id AS text)", "cast(len AS text)"]).await;
    all_refused("a date and a number cannot be compared", &["dt = id", "dt IN (1, 2)", "dt BETWEEN id AND 5"]).await;
    all_refused("cannot be compared: cast the text", &["ts > s", "dt = s", "tz IN (s, '2015-07-15')"]).await;
    all_refused("a text and a decimal cannot be compared", &["d = s", "d BETWEEN s AND '2.0'", "d IS DISTINCT FROM s"]).await;
    all_refused("cannot be read as a", &["dt = '2015-02-29'", "timestamp '2015-07-15 25:00:00'", "ts IN ('2015-07-15', 'soon')"]).await;
    all_refused(
        "fewer digits of a second",
        &["cast(ts AS timestamp(0))", "timestamp(3) '2015-07-15 10:20:30.1234'", "cast(s AS timestamp(0))"],
    )
    .await;
    all_refused("cast the subquery's column", &["f IN (SELECT d FROM s.t)", "ts IN (SELECT dt FROM s.t)", "tz = ANY (SELECT ts FROM s.t)"])
        .await;
    for query in [
        "SELECT f AS r FROM s.t UNION ALL SELECT d FROM s.t",
        "SELECT dt AS r FROM s.t UNION SELECT ts FROM s.t",
        "SELECT s AS r FROM s.t UNION ALL SELECT tz FROM s.t",
    ] {
        let message = refused(query).await;
        assert!(message.contains("are combined here") && message.contains("spec.yaml:1:"), "{query}: {message}");
    }
    let message = refused("SELECT to_timestamp(s) AS at FROM s.t").await;
    assert!(message.contains("to_timestamp takes seconds"), "{message}");
}

/// A value that its type has no place for is an error of the row, never another value.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_out_of_range_is_an_error_of_the_row() {
    let fails = [
        ("e * e * 1000000000", "row 2 has more than 38 digits", 2),
        ("e / 0.0000000001", "rows 2 and 3 have more than 38 digits", 2),
        ("d / (d - d)", "a divisor of 0", 4),
        ("f / (f - f)", "a divisor of 0", 4),
        ("dt + 3000000000", "a day beyond all dates", 4),
        ("ts + interval '1 year' * 300000", "a year beyond all times", 4),
        ("(timestamp '2100-01-01 12:00:00' + (us - us)) AT TIME ZONE 'Europe/Berlin'", "clocks after the tables end", 4),
        ("to_timestamp_nanos(id)", "nanoseconds", 5),
    ];
    let queries: Vec<String> = fails.iter().map(|(expression, _, _)| format!("SELECT id, {expression} AS r FROM s.t")).collect();
    for ((expression, why, errors), observed) in fails.iter().zip(observed(&queries, "").await) {
        assert_eq!(observed.errors, *errors, "{expression}: {why} {:?} {:?}", observed.rows, observed.reasons);
    }
}
