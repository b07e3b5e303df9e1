//! Which column a name means: merged ones of USING and NATURAL, `*`, names that are also those of what is selected, and columns of one name in
//! subqueries. PostgreSQL says what is right, after every transaction.

use serde_json::{Map, Value, json};

use crate::support::generate::Generated;
use crate::support::query_case::{check, taken};
use crate::support::random::Random;

const ROWS: [(&str, [&str; 3], &[&str]); 3] = [
    ("t", ["tid", "x", "a"], &["[1, 2, 7]", "[2, 5, 8]", "[3, null, 9]"]),
    ("d", ["did", "x", "b"], &["[1, 5, 70]", "[2, 3, 71]", "[3, null, 72]"]),
    ("e", ["eid", "x", "a"], &["[1, 3, 1]", "[2, 2, 2]", "[3, 5, 8]"]),
];
/// Rows find others, lose them, come and go.
const CHANGES: [(&str, &str, &str); 6] = [
    ("d", "[2, 3, 71]", "[2, 2, 71]"),
    ("t", "null", "[4, 3, 1]"),
    ("e", "[2, 2, 2]", "null"),
    ("t", "[2, 5, 8]", "[2, null, 8]"),
    ("d", "[3, null, 72]", "[3, 5, 80]"),
    ("e", "[3, 5, 8]", "[3, 2, 9]"),
];

fn case(queries: &[&str]) -> Generated {
    let row = |table: &str, values: &str| -> Value {
        let (_, columns, _) = ROWS.iter().find(|(name, ..)| *name == table).unwrap();
        let values: Vec<Value> = serde_json::from_str(values).unwrap();
        columns.iter().map(|name| name.to_string()).zip(values).collect::<Map<_, _>>().into()
    };
    let mut files = Vec::new();
    let mut tables = Map::new();
    for (table, columns, rows) in ROWS {
        let types: Map<String, Value> = columns.iter().map(|name| (name.to_string(), "int32".into())).collect();
        tables.insert(table.into(), json!({"jsonl": format!("{table}.jsonl"), "key": [columns[0]], "columns": types}));
        files.push((format!("{table}.jsonl"), rows.iter().map(|values| format!("{}\n", row(table, values))).collect()));
    }
    let views: Map<String, Value> = queries.iter().enumerate().map(|(n, sql)| (format!("q{n}"), json!({"sql": sql}))).collect();
    let spec = json!({"sources": {"s": {"kind": "file", "options": {"tables": tables, "changes": "changes.jsonl"}}}, "views": views});
    files.push(("spec.yaml".into(), spec.to_string()));
    let changes = CHANGES.iter().map(|(table, before, after)| {
        let change = match (*before, *after) {
            ("null", after) => json!({"table": table, "op": "insert", "after": row(table, after)}),
            (before, "null") => json!({"table": table, "op": "delete", "before": row(table, before)}),
            (before, after) => json!({"table": table, "op": "update", "before": row(table, before), "after": row(table, after)}),
        };
        format!("{change}\n")
    });
    Generated { files, changes: changes.collect() }
}

async fn hold(queries: &[&str]) {
    check(&case(queries), &mut Random::new(7)).await.unwrap_or_else(|wrong| panic!("{wrong}"));
}

/// The message with which a query is refused.
async fn refused(sql: &str) -> String {
    taken(&case(&[sql])).await.expect_err(sql)
}

#[tokio::test(flavor = "multi_thread")]
async fn all_columns_of_a_join_that_merges_some() {
    hold(&[
        "SELECT * FROM s.t LEFT JOIN s.d USING (x)",
        "SELECT * FROM s.d LEFT JOIN s.t USING (x)",
        "SELECT * FROM s.t RIGHT JOIN s.d USING (x)",
        "SELECT * FROM s.t FULL JOIN s.d USING (x)",
        "SELECT * FROM s.t JOIN s.e USING (x, a)",
        "SELECT * FROM s.t NATURAL JOIN s.e",
        "SELECT * FROM s.t NATURAL FULL JOIN s.e",
        "SELECT * FROM s.t FULL JOIN s.d USING (x) LEFT JOIN (SELECT eid, x FROM s.e) e USING (x)",
        "SELECT * FROM (s.t FULL JOIN s.d USING (x)) AS j JOIN (SELECT eid, x AS ex FROM s.e) e ON j.x = e.ex",
        "SELECT * FROM s.t NATURAL JOIN (SELECT eid, b AS nothing FROM s.e CROSS JOIN (SELECT max(b) AS b FROM s.d) m) e",
        "SELECT * FROM s.t NATURAL FULL JOIN (SELECT 1 AS one) e",
        "SELECT * FROM s.t FULL JOIN s.d USING (x) ORDER BY x, tid, did LIMIT 2",
        "SELECT t.*, d.b FROM s.t LEFT JOIN s.d USING (x)",
        "SELECT d.*, x AS y FROM s.t FULL JOIN s.d USING (x) WHERE tid IS NULL",
        "WITH k AS (SELECT x AS y, b FROM s.d), j(y, z) AS (SELECT x, a FROM s.t) SELECT * FROM k FULL JOIN j USING (y)",
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_merged_column_is_that_of_the_side_that_is_there() {
    hold(&[
        "SELECT x FROM s.t FULL JOIN s.d USING (x)",
        "SELECT x, t.x AS tx, d.x AS dx FROM s.t FULL JOIN s.d USING (x)",
        "SELECT x FROM s.t RIGHT JOIN s.d USING (x)",
        "SELECT x FROM s.t NATURAL FULL JOIN s.d",
        "SELECT x, count(*) AS n FROM s.t FULL JOIN s.d USING (x) GROUP BY x",
        "SELECT x, count(*) AS n FROM s.t FULL JOIN s.d USING (x) GROUP BY ROLLUP (x)",
        "SELECT tid, did FROM s.t FULL JOIN s.d USING (x) WHERE x = 3",
        "SELECT x + 1 AS y, sum(x) AS s FROM s.t FULL JOIN s.d USING (x) GROUP BY x HAVING x > 2",
        "SELECT x, row_number() OVER (PARTITION BY x IS NULL ORDER BY x, tid, did) AS n FROM s.t FULL JOIN s.d USING (x)",
        "SELECT x, tid FROM s.t FULL JOIN s.d USING (x) ORDER BY x DESC NULLS LAST, tid LIMIT 2",
        "SELECT tid FROM s.t FULL JOIN s.d USING (x) ORDER BY x NULLS LAST, tid, did LIMIT 1",
        "SELECT DISTINCT ON (x) x, tid, did FROM s.t FULL JOIN s.d USING (x) ORDER BY x, tid, did",
        "SELECT DISTINCT x FROM s.t FULL JOIN s.d USING (x)",
        "SELECT x, tid, did, eid FROM s.t FULL JOIN s.d USING (x) FULL JOIN s.e USING (x)",
        "SELECT x, tid, did, eid FROM s.t RIGHT JOIN s.d USING (x) RIGHT JOIN s.e USING (x)",
        "SELECT x, tid, eid FROM s.t FULL JOIN (s.d FULL JOIN (SELECT x, eid FROM s.e) e USING (x)) USING (x)",
        "WITH j AS (SELECT * FROM s.t FULL JOIN s.d USING (x)) SELECT x, b FROM j WHERE a IS NULL",
        "SELECT x FROM s.t NATURAL LEFT JOIN s.d UNION ALL SELECT x FROM s.t NATURAL RIGHT JOIN s.d",
        "SELECT x, eid FROM s.t FULL JOIN s.d USING (x) JOIN (SELECT eid, x AS ex FROM s.e) e ON ex = x",
        "SELECT CASE WHEN x > 3 THEN 'big' ELSE 'small' END AS c, coalesce(x, 0) AS z FROM s.t FULL JOIN s.d USING (x)",
        "SELECT sum(x) FILTER (WHERE x > 2) AS s, count(DISTINCT x) AS n FROM s.t FULL JOIN s.d USING (x)",
        "WITH RECURSIVE r AS (SELECT x, 1 AS n FROM s.t UNION SELECT x, n + 1 AS n FROM r JOIN s.d USING (x) WHERE n < 3) SELECT x, n FROM r",
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_merged_column_is_named_in_subqueries_too() {
    hold(&[
        "SELECT tid, did FROM s.t FULL JOIN s.d USING (x) WHERE x IN (SELECT x FROM s.e WHERE e.x > 2)",
        "SELECT tid, did FROM s.t FULL JOIN s.d USING (x) WHERE EXISTS (SELECT 1 FROM (SELECT x AS y FROM s.e) i WHERE i.y = x)",
        "SELECT tid, did FROM s.t FULL JOIN s.d USING (x) WHERE EXISTS (SELECT 1 FROM s.e WHERE e.x = x AND x = 3)",
        "SELECT x, (SELECT max(eid) FROM s.e i WHERE i.x = j.x) AS m FROM (SELECT * FROM s.t FULL JOIN s.d USING (x)) j",
        "SELECT o.tid FROM s.t o WHERE EXISTS (SELECT 1 FROM s.d FULL JOIN s.e USING (x) WHERE x = o.x AND did IS NULL)",
        "SELECT o.tid, (SELECT count(*) FROM s.d FULL JOIN s.e USING (x) WHERE x >= o.x) AS n FROM s.t o",
        "SELECT x, n FROM s.t FULL JOIN s.d USING (x) CROSS JOIN LATERAL (SELECT count(*) AS n FROM s.e i WHERE i.x = x) l",
        "SELECT tid, n FROM s.t FULL JOIN s.d USING (x) CROSS JOIN LATERAL (SELECT count(*) AS n FROM (SELECT x AS y FROM s.e) i WHERE i.y = x) l",
    ])
    .await;
    let message =
        refused("SELECT tid FROM s.t FULL JOIN s.d USING (x) WHERE EXISTS (SELECT 1 FROM (SELECT eid AS tid FROM s.e) t WHERE t.tid = x)")
            .await;
    assert!(message.contains("`x` is a column of relations whose names mean other relations in this subquery"), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_merged_is_refused() {
    for (query, why) in [
        ("SELECT tid FROM s.t JOIN s.e ON tid = eid JOIN s.d USING (x)", "`x` is more than one column of the left side of this join"),
        ("SELECT tid FROM s.t JOIN s.d USING (a)", "`a` is not a column of the right side of this join"),
        ("SELECT tid FROM s.t JOIN s.d USING (x, x)", "`x` is given twice in USING"),
        ("SELECT tid FROM s.t JOIN s.d USING (t.x)", "`t.x` is not a plain column name"),
        ("SELECT tid FROM s.t CROSS JOIN s.e NATURAL JOIN s.d", "`x` is more than one column of the left side of this join"),
    ] {
        let message = refused(query).await;
        assert!(message.contains(why) && message.contains("spec.yaml:"), "{query}: {message}");
    }
}

/// A name in HAVING, or in what ORDER BY computes, is that of a column of FROM.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_selected_hides_no_column() {
    hold(&[
        "SELECT -x AS x, count(*) AS n FROM s.t GROUP BY x HAVING x > 2",
        "SELECT -x AS x, count(*) AS n FROM s.t GROUP BY x HAVING x > 2 OR max(a) > 8",
        "SELECT max(a) AS x, count(*) AS n FROM s.t GROUP BY x HAVING x > 2",
        "SELECT tid, -x AS x FROM s.t ORDER BY x, tid LIMIT 1",
        "SELECT x + 1 AS x, count(*) AS a FROM s.t GROUP BY x",
        "SELECT x AS a, a AS x FROM s.t ORDER BY a, tid LIMIT 1",
        "SELECT x, max(a) AS a FROM s.t GROUP BY x HAVING max(a) > 7",
        "SELECT a AS b, -tid AS tid FROM s.t ORDER BY tid LIMIT 2",
        "SELECT -a AS a, count(*) AS n FROM s.t GROUP BY a HAVING a > (SELECT count(*) FROM s.d WHERE d.did < a)",
        "SELECT -a AS a, count(*) AS n FROM s.t GROUP BY a HAVING EXISTS (SELECT 1 FROM s.d WHERE d.b = a * 10)",
    ])
    .await;
    // As long as it is not clear what it would be, it is refused.
    let message = refused("SELECT tid, -x AS x FROM s.t ORDER BY x + 0 LIMIT 1").await;
    assert!(message.contains("ambiguous"), "{message}");
}

/// Of several relations, in a subquery that depends on the row around.
#[tokio::test(flavor = "multi_thread")]
async fn columns_of_one_name_are_kept_apart_in_subqueries() {
    hold(&[
        "SELECT o.tid FROM s.t o WHERE EXISTS (SELECT 1 FROM s.d JOIN s.e ON did = eid WHERE d.x = o.x AND e.x = o.x - 2)",
        "SELECT o.tid FROM s.t o WHERE NOT EXISTS (SELECT 1 FROM s.d JOIN s.e ON did = eid WHERE d.x = o.x AND e.x = o.x - 2)",
        "SELECT o.tid FROM s.t o WHERE EXISTS (SELECT 1 FROM s.d JOIN s.e ON did = eid WHERE d.x + e.x = o.x)",
        "SELECT o.tid FROM s.t o WHERE EXISTS (SELECT 1 FROM s.d FULL JOIN s.e ON d.x = e.x WHERE coalesce(d.x, e.x) = o.x)",
        "SELECT o.tid FROM s.t o WHERE EXISTS (SELECT 1 FROM s.e p JOIN s.e q ON p.eid = q.eid + 1 WHERE p.x - q.x = o.x - 5)",
        "SELECT o.tid FROM s.t o WHERE o.x IN (SELECT d.x FROM s.d JOIN s.e ON did = eid WHERE e.x = o.x - 2)",
        "SELECT o.tid FROM s.t o WHERE o.x NOT IN (SELECT d.x FROM s.d JOIN s.e ON did = eid WHERE e.x = o.x - 2)",
        "SELECT o.tid FROM s.t o WHERE o.x = ANY (SELECT d.x FROM s.d JOIN s.e ON did = eid WHERE e.x = o.x - 2)",
        "SELECT o.tid, (SELECT count(*) FROM s.d JOIN s.e ON did = eid WHERE d.x - e.x = o.x - 3) AS n FROM s.t o",
        "SELECT o.tid, (SELECT max(b) FROM s.d WHERE d.x + 2 = o.x) AS n FROM s.t o",
        "SELECT o.tid, (SELECT max(b) FROM s.d JOIN s.e ON did = eid WHERE d.x = o.x AND e.x = o.x - 2) AS n FROM s.t o",
        "SELECT o.tid, (SELECT sum(d.x * e.x) FROM s.d, s.e WHERE d.x = o.x AND e.x = o.x) AS m FROM s.t o",
        "SELECT o.tid, l.x FROM s.t o CROSS JOIN LATERAL (SELECT d.x FROM s.d JOIN s.e ON did = eid WHERE e.x = o.x - 2) l",
        "SELECT o.tid, b FROM s.t o CROSS JOIN LATERAL (SELECT d.b FROM s.d JOIN s.e ON did = eid WHERE d.x - e.x = o.x - 3) l",
        "SELECT o.tid, n FROM s.t o CROSS JOIN LATERAL (SELECT count(*) AS n FROM s.d JOIN s.e ON did = eid WHERE d.x - e.x = o.x - 3) l",
    ])
    .await;
    // In queries in FROM too.
    hold(&[
        "SELECT o.tid FROM s.t o WHERE EXISTS (SELECT 1 FROM (SELECT d.b FROM s.d JOIN s.e ON did = eid WHERE e.x = o.x - 2) i)",
        "SELECT o.tid FROM s.t o WHERE EXISTS (SELECT 1 FROM (SELECT x FROM s.d WHERE d.x = o.x) i JOIN (SELECT x FROM s.e WHERE e.x = o.x) k ON true)",
        "SELECT o.tid FROM s.t o WHERE EXISTS (SELECT 1 FROM (SELECT x FROM s.d WHERE d.x = o.x) i JOIN (SELECT x FROM s.e WHERE e.x = o.x - 2) k ON true)",
        "SELECT o.tid FROM s.t o WHERE EXISTS (SELECT 1 FROM (SELECT 1 AS one FROM s.d WHERE d.x = o.x) i, (SELECT 2 AS two FROM s.e WHERE e.x = o.x - 2) k)",
        "SELECT o.tid FROM s.t o WHERE o.x IN (SELECT i.x FROM (SELECT j.x FROM (SELECT d.x, e.x AS y FROM s.d JOIN s.e ON did = eid WHERE e.x = o.x - 2) j) i)",
        "SELECT o.tid FROM s.t o WHERE EXISTS (SELECT 1 FROM (SELECT b FROM s.d WHERE d.x = o.x) i WHERE i.b > 1)",
        "SELECT o.tid, (SELECT max(i.x) FROM (SELECT d.x FROM s.d JOIN s.e ON did = eid WHERE e.x = o.x - 2 AND b > 70 - o.x) i) AS m FROM s.t o",
    ])
    .await;
    let message = refused(
        "SELECT o.tid FROM s.t o WHERE EXISTS (SELECT 1 FROM (SELECT DISTINCT d.x FROM s.d JOIN s.e ON did = eid WHERE e.x = o.x) i)",
    )
    .await;
    assert!(message.contains("give them other names") && message.contains("spec.yaml:"), "{message}");
    // And from the names that are given to other things.
    hold(&[
        "SELECT o.tid FROM s.t o WHERE EXISTS (SELECT a AS x FROM s.e WHERE e.x = o.x)",
        "SELECT o.tid FROM s.t o WHERE o.a IN (SELECT a AS x FROM s.e WHERE e.x = o.x)",
        "SELECT o.tid FROM s.t o WHERE o.a NOT IN (SELECT a AS x FROM s.e WHERE e.x = o.x)",
        "SELECT o.tid, (SELECT max(a) AS x FROM s.e WHERE e.x = o.x) AS m FROM s.t o",
        "SELECT o.tid, (SELECT m + 1 AS x FROM (SELECT max(a) AS m FROM s.e WHERE e.x = o.x) i) AS m FROM s.t o",
        "SELECT o.tid, l.x FROM s.t o CROSS JOIN LATERAL (SELECT a AS x FROM s.e WHERE e.x = o.x) l",
        "SELECT o.tid, l.x, l.n FROM s.t o LEFT JOIN LATERAL (SELECT a AS x, count(*) AS n FROM s.e WHERE e.x = o.x GROUP BY a) l ON true",
        "SELECT o.tid FROM s.t o WHERE EXISTS (SELECT x AS a, count(*) AS n FROM s.e WHERE e.a = o.a GROUP BY x)",
    ])
    .await;
}
