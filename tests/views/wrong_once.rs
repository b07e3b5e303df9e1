//! Queries that once gave another answer than PostgreSQL 18 does over the same rows, or were taken though they fail on every row. The answers are PostgreSQL's.

use crate::{observed_after, refusal, rows_after};

const ROWS: &str = "{\"id\": 1, \"v\": 2}\n{\"id\": 2, \"v\": null}\n{\"id\": 3, \"v\": 9}\n";
/// The row with the 9 gets another number, and the first row goes.
const CHANGES: &str = "{\"table\": \"t\", \"op\": \"update\", \"before\": {\"id\": 3, \"v\": 9}, \"after\": {\"id\": 3, \"v\": 2}}\n\
                       {\"table\": \"t\", \"op\": \"delete\", \"before\": {\"id\": 1, \"v\": 2}}\n";

/// The only column of the rows before and after [`CHANGES`].
async fn holds(sql: &str, before: &[&str], after: &[&str]) {
    for (changes, right) in [("", before), (CHANGES, after)] {
        let (rows, errors) = rows_after(sql, ROWS, changes).await;
        let mut values: Vec<String> = rows
            .iter()
            .map(|row| serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(row).unwrap()["r"].to_string())
            .collect();
        values.sort();
        assert_eq!((values.iter().map(String::as_str).collect::<Vec<_>>(), errors), (right.to_vec(), 0), "{sql}\n{changes}");
    }
}

async fn refused(sql: &str) -> String {
    refusal(serde_json::json!({"id": "int64", "v": "int64", "at": "datetime(6)"}), sql).await
}

/// An aggregate of all rows has one row, be it of no rows.
#[tokio::test(flavor = "multi_thread")]
async fn a_subquery_of_one_row_has_it_for_every_row_around() {
    // Of `i` as the rows whose `v` is the id of the row around: none has 1 or 3, the first has 2.
    let of = |what: &str| format!("(SELECT {what} FROM s.t i WHERE i.v = o.id)");
    let filtered = |condition: String| format!("SELECT o.id AS r FROM s.t o WHERE {condition}");
    holds(&filtered(format!("EXISTS {}", of("count(*)"))), &["1", "2", "3"], &["2", "3"]).await;
    holds(&filtered(format!("NOT EXISTS {}", of("max(i.id)"))), &[], &[]).await;
    holds(&filtered(format!("0 IN {}", of("count(*)"))), &["1", "3"], &["3"]).await;
    holds(&filtered(format!("1 NOT IN {}", of("count(*)"))), &["1", "3"], &["3"]).await;
    // NULL is not known to be among nothing but NULL.
    holds(&filtered(format!("o.id NOT IN {}", of("max(i.id)"))), &["2"], &["2"]).await;
    holds(&filtered(format!("o.id NOT IN {} OR o.id = 3", of("min(i.id)"))), &["2", "3"], &["2", "3"]).await;
    let ordered = "EXISTS (SELECT DISTINCT count(*) FROM s.t i WHERE i.v = o.id ORDER BY 1 LIMIT 3)";
    holds(&filtered(ordered.into()), &["1", "2", "3"], &["2", "3"]).await;
    holds(&filtered(format!("0 = ANY {}", of("count(*)"))), &["1", "3"], &["3"]).await;
    holds(&filtered(format!("o.id <> ANY {}", of("max(i.id)"))), &["2"], &["2"]).await;
    holds(&filtered(format!("1 > ALL {}", of("count(*)"))), &["1", "3"], &["3"]).await;
    holds(&filtered(format!("o.id < ALL {}", of("max(i.v)"))), &[], &[]).await;
    let all = "1 < ALL (SELECT count(*) FROM s.t i WHERE i.v = o.id HAVING count(*) > 0)";
    holds(&filtered(all.into()), &["1", "3"], &["3"]).await;
    let having = |not: &str, condition: &str| filtered(format!("{not} EXISTS (SELECT 1 FROM s.t i WHERE i.v = o.id HAVING {condition})"));
    holds(&having("", "count(*) = 0"), &["1", "3"], &["3"]).await;
    holds(&having("NOT", "count(*) = 0"), &["2"], &["2"]).await;
    holds(&having("", "max(i.id) > 0"), &["2"], &["2"]).await;
    holds(&having("NOT", "max(i.id) > 0"), &["1", "3"], &["3"]).await;
    let in_having = "SELECT o.id AS r FROM s.t o WHERE 0 IN (SELECT count(*) FROM s.t i WHERE i.v = o.id HAVING count(*) < 1)";
    holds(in_having, &["1", "3"], &["3"]).await;
    // What is selected, and by more than equal columns.
    holds(&format!("SELECT EXISTS {} AS r FROM s.t o WHERE o.id <> 2", of("sum(i.v)")), &["true", "true"], &["true"]).await;
    holds("SELECT o.id AS r FROM s.t o WHERE EXISTS (SELECT count(*) FROM s.t i WHERE i.v > o.id)", &["1", "2", "3"], &["2", "3"]).await;
    let none = refused("SELECT o.id FROM s.t o WHERE EXISTS (SELECT count(*) FROM s.t i WHERE i.v = o.id LIMIT 0)").await;
    assert!(none.contains("LIMIT 0 or OFFSET over the only row of an aggregate"), "{none}");
}

/// The rows of an outer join that stand alone were lost where its condition names the row around.
#[tokio::test(flavor = "multi_thread")]
async fn an_outer_join_that_depends_on_the_row_around_is_refused_where_rows_would_be_lost() {
    for subquery in [
        "EXISTS (SELECT 1 FROM s.t i LEFT JOIN s.t e ON e.v = o.id)",
        "NOT EXISTS (SELECT 1 FROM s.t i LEFT JOIN s.t e ON e.id = i.v AND e.v < o.id)",
        "1 IN (SELECT i.id FROM s.t e RIGHT JOIN s.t i ON e.v = o.id)",
        "2 < (SELECT count(*) FROM s.t i FULL JOIN s.t e ON e.id = i.id AND e.v = o.id)",
        "EXISTS (SELECT 1 FROM s.t i LEFT JOIN (SELECT id FROM s.t e WHERE e.v = o.id) e ON true)",
        "EXISTS (SELECT 1 FROM (SELECT id FROM s.t e WHERE e.v = o.id) e RIGHT JOIN s.t i ON e.id = i.id)",
        "EXISTS (SELECT 1 FROM (SELECT id FROM s.t e WHERE e.v = o.id) e FULL JOIN s.t i ON e.id = i.id)",
    ] {
        let message = refused(&format!("SELECT o.id FROM s.t o WHERE {subquery}")).await;
        assert!(message.contains("an outer join in a subquery is not maintained"), "{subquery}: {message}");
    }
    // What depends on it above the join, or on the side that is always there, is right.
    let above =
        "SELECT o.id AS r FROM s.t o WHERE EXISTS (SELECT 1 FROM s.t i LEFT JOIN s.t e ON e.id = i.v WHERE i.v = o.id AND e.v IS NULL)";
    holds(above, &["2"], &["2"]).await;
    let always =
        "SELECT o.id AS r FROM s.t o WHERE EXISTS (SELECT 1 FROM (SELECT v FROM s.t i WHERE i.v = o.id) i LEFT JOIN s.t e ON e.id = i.v)";
    holds(always, &["2"], &["2"]).await;
}

/// Digits that a cast has no place for are rounded, and what is compared is what was cast.
#[tokio::test(flavor = "multi_thread")]
async fn casts_round() {
    let value = async |expression: &str, right: &str| {
        let sql = format!("SELECT {expression} AS r FROM s.t WHERE id = 3");
        let observed = observed_after(&sql, ROWS, "").await;
        assert_eq!((observed.rows, observed.errors), (vec![format!("{{\"r\":{right}}}")], 0), "{expression}");
    };
    for (quarters, rounded) in [(1, 0), (2, 0), (3, 1), (6, 2), (10, 2), (11, 3), (14, 4)] {
        // A double; `v` keeps it from being folded.
        let double = format!("(cast(v AS double) - 9 + {quarters} / 4e0)");
        value(&format!("cast({double} AS int)"), &rounded.to_string()).await;
        value(&format!("cast(-{double} AS bigint)"), &(-rounded).to_string()).await;
        value(&format!("cast({double} AS smallint) = {rounded}"), "true").await;
    }
    for (decimal, int, tenth) in
        [("2.75", "3", "2.8"), ("2.5", "3", "2.5"), ("2.49", "2", "2.5"), ("0.05", "0", "0.1"), ("-2.5", "-3", "-2.5")]
    {
        let decimal = format!("(cast(v AS decimal(10, 4)) - 9 + {decimal})");
        value(&format!("cast({decimal} AS int)"), int).await;
        value(&format!("cast({decimal} AS decimal(10, 1))"), tenth).await;
        value(&format!("cast({decimal} AS decimal(10, 1)) = {tenth}"), "true").await;
        value(&format!("{decimal}::decimal(10, 1) <> {tenth}"), "false").await;
        value(&format!("cast({decimal} AS decimal(10, 1)) BETWEEN {tenth} AND {tenth}"), "true").await;
    }
    // Constants too.
    value("cast(2.75 AS int)", "3").await;
    value("cast(2.5e0 AS int)", "3").await;
    value("cast(cast(2.5 AS double) AS int)", "2").await;
    holds("SELECT sum(cast(v / 4e0 AS int)) AS r FROM s.t", &["3"], &["1"]).await;
    holds(
        "SELECT cast(cast(v AS double) / 4 AS int) AS r FROM s.t GROUP BY cast(cast(v AS double) / 4 AS int)",
        &["0", "2", "null"],
        &["0", "null"],
    )
    .await;
    // Wherever a cast is named by what it casts.
    let half = "cast(cast(v AS double) / 4 AS int)";
    holds(&format!("SELECT {half} AS r FROM s.t GROUP BY ROLLUP ({half})"), &["0", "2", "null", "null"], &["0", "null", "null"]).await;
    let total = format!("SELECT grouping({half}) AS r FROM s.t GROUP BY CUBE ({half})");
    holds(&total, &["0", "0", "0", "1"], &["0", "0", "1"]).await;
    let before = format!("SELECT sum({half}) OVER (PARTITION BY {half} IS NULL ORDER BY {half}, id) AS r FROM s.t");
    holds(&before, &["0", "2", "null"], &["0", "null"]).await;
    holds(&format!("SELECT DISTINCT ON ({half}) {half} AS r FROM s.t ORDER BY {half}, id"), &["0", "2", "null"], &["0", "null"]).await;
    holds(&format!("SELECT x.id AS r FROM s.t x JOIN s.t y ON {} = y.v", half.replace("(v", "(x.v")), &["3"], &[]).await;
    let message = refused("SELECT cast(at AS timestamp(0)) AS at FROM s.t").await;
    assert!(message.contains("a cast to a time with fewer digits of a second is not maintained"), "{message}");
}

/// What can only fail, row after row, is refused with the query.
#[tokio::test(flavor = "multi_thread")]
async fn arguments_that_no_row_could_have_an_answer_for_are_refused() {
    for (call, why) in [
        ("string_agg(cast(v AS text), cast(id AS text))", "the separator of `string_agg` must be a constant text"),
        ("max(extract(foo FROM at))", "has no field `foo` here"),
        ("max(date_part('julian', at))", "has no field `julian` here"),
        ("max(date_part(cast(v AS text), at))", "constant"),
        ("max(date_trunc('foo', at))", "`date_trunc` has no field `foo` here"),
        ("max(date_trunc(cast(v AS text), at))", "constant"),
        ("max(to_char(at, 'YYYY-MM-DD'))", "the pattern of `to_char` must be a constant text with the patterns of strftime"),
        ("max(to_char(at, cast(v AS text)))", "the pattern of `to_char` must be a constant text"),
        ("max(to_char(at, '%i'))", "the pattern of `to_char` must be a constant text"),
        ("max(date_format(at, '%M %h %s'))", "there is no function `date_format`"),
        ("max(regexp_replace(cast(v AS text), '(', 'x'))", "the pattern of `regexp_replace` is invalid"),
        ("max(regexp_match(cast(v AS text), '[')[1])", "the pattern of `regexp_match` is invalid"),
    ] {
        let message = refused(&format!("SELECT {call} AS r FROM s.t")).await;
        assert!(message.contains(why) && message.contains("spec.yaml:"), "{call}: {message}");
        let message = refused(&format!("SELECT id FROM s.t o WHERE EXISTS (SELECT 1 FROM s.t HAVING {call} IS NULL)")).await;
        assert!(message.contains(why), "{call}: {message}");
    }
    holds("SELECT max(to_char(timestamp '2015-07-15 10:20:30', '%Y')) AS r FROM s.t", &["\"2015\""], &["\"2015\""]).await;
    holds("SELECT max(regexp_replace(cast(v AS text), '^9', 'x')) AS r FROM s.t", &["\"x\""], &["\"2\""]).await;
    holds("SELECT max(date_part('year', date '2015-07-15')) AS r FROM s.t", &["2015.0"], &["2015.0"]).await;
}

/// A double has two zeros, which are equal.
#[tokio::test(flavor = "multi_thread")]
async fn zero_has_no_sign_where_it_is_compared() {
    let zero = "(cast(v AS double) * -0.0)";
    let of = |condition: String| format!("SELECT id AS r FROM s.t WHERE {condition}");
    let zero = zero.replace("-0.0", "cast(-1 AS double) * cast(0 AS double)");
    for condition in [
        format!("{zero} = 0"),
        format!("{zero} >= 0.0"),
        format!("NOT {zero} < cast(0 AS double)"),
        format!("{zero} IN (1, 0)"),
        format!("{zero} BETWEEN 0 AND 1"),
        format!("{zero} IS NOT DISTINCT FROM cast(0 AS double)"),
        format!("v IS NOT NULL AND nullif({zero}, 0) IS NULL"),
        format!("CASE {zero} WHEN 0 THEN true END"),
        format!("{zero} IN (SELECT cast(0 AS double))"),
        format!("{zero} = (SELECT cast(0 AS double))"),
    ] {
        holds(&of(condition), &["1", "3"], &["3"]).await;
    }
    holds(
        &format!(
            "SELECT x.id AS r FROM s.t x JOIN s.t y ON x.v * cast(0 AS double) = {zero} AND x.id = y.id",
            zero = zero.replace("(cast(v", "(cast(y.v")
        ),
        &["1", "3"],
        &["3"],
    )
    .await;
}

/// Rows of a view without a key that differ in the sign of a zero only are rows of their own.
#[tokio::test(flavor = "multi_thread")]
async fn both_zeros_are_rows_of_a_view_without_a_key() {
    let rows = "SELECT cast(0 AS double) * CASE WHEN id = 2 THEN 1 ELSE -1 END AS r FROM s.t";
    holds(rows, &["-0.0", "-0.0", "0.0"], &["-0.0", "0.0"]).await;
    holds(
        &format!("{rows} UNION ALL SELECT cast(0 AS double) AS r FROM s.t WHERE v = 9"),
        &["-0.0", "-0.0", "0.0", "0.0"],
        &["-0.0", "0.0"],
    )
    .await;
    holds(&format!("SELECT make_array(r) AS r FROM ({rows}) z"), &["[-0.0]", "[-0.0]", "[0.0]"], &["[-0.0]", "[0.0]"]).await;
}

/// Constants are computed before the query runs, and may not overflow, whatever they are wrapped in.
#[tokio::test(flavor = "multi_thread")]
async fn constants_in_functions_are_checked() {
    holds("SELECT v + (coalesce(1, 2) + 1) AS r FROM s.t WHERE id = 3", &["11"], &["4"]).await;
    holds("SELECT v + (coalesce(NULL, 2) - 1) AS r FROM s.t WHERE id = 3", &["10"], &["3"]).await;
    holds(
        "SELECT (coalesce(date '2024-02-29', date '2015-07-15') - interval '1 year') < timestamp '2024-01-01' AS r FROM s.t WHERE id = 3",
        &["true"],
        &["true"],
    )
    .await;
    let message = refused("SELECT id, coalesce(9223372036854775807, 1) + 1 AS n FROM s.t").await;
    assert!(message.contains("became too large"), "{message}");
}

/// Beyond half of the largest decimal.
#[tokio::test(flavor = "multi_thread")]
async fn a_median_of_large_decimals_is_exact() {
    let median = |value: &str| format!("SELECT median({value}) AS r FROM s.t WHERE v IS NOT NULL");
    let decimal = |sign: &str| format!("cast('{sign}{}' || lpad(cast(v * 2 AS text), 2, '0') AS decimal(38, 0))", "9".repeat(36));
    let (middle, first) = (format!("{}11", "9".repeat(36)), format!("{}04", "9".repeat(36)));
    holds(&median(&decimal("")), &[&middle], &[&first]).await;
    holds(&median(&decimal("-")), &[&format!("-{middle}")], &[&format!("-{first}")]).await;
}
