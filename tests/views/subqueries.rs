//! Subqueries, and lists in FROM: what they mean beside the rows around them, and that it is kept.

use crate::rows_after;

#[tokio::test(flavor = "multi_thread")]
async fn a_subquery_compares_a_column_that_union_made_wider() {
    let rows = (1..4).map(|id| format!("{{\"id\": {id}, \"v\": {}}}\n", id + 1)).collect::<String>();
    let wide = "(SELECT CAST(v AS INT) AS w FROM s.t UNION ALL SELECT 5000000000 AS w)";
    let narrow = "(SELECT CAST(id AS INT) AS id FROM s.t) i";
    let absent = format!("SELECT u.w FROM {wide} u WHERE NOT EXISTS (SELECT 1 FROM {narrow} WHERE i.id = u.w)");
    assert_eq!(rows_after(&absent, &rows, "").await, (vec![r#"{"w":4}"#.into(), r#"{"w":5000000000}"#.into()], 0));
    let after = format!("SELECT u.w, (SELECT max(i.id + i.id) FROM {narrow} WHERE i.id = u.w) AS n FROM {wide} u WHERE u.w > 2");
    let right = vec![r#"{"w":3,"n":6}"#.into(), r#"{"w":4,"n":null}"#.into(), r#"{"w":5000000000,"n":null}"#.into()];
    assert_eq!(rows_after(&after, &rows, "").await, (right, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subquery_that_stands_for_one_value_gives_that_of_its_only_row() {
    let rows = (1..4).map(|id| format!("{{\"id\": {id}, \"v\": {}}}\n", id + 1)).collect::<String>();
    let looked_up = "SELECT o.id, (SELECT i.v FROM s.t i WHERE i.id = o.v) AS n FROM s.t o";
    let right = ["{\"id\":1,\"n\":3}", "{\"id\":2,\"n\":4}", "{\"id\":3,\"n\":null}"].map(String::from);
    assert_eq!(rows_after(looked_up, &rows, "").await, (right.to_vec(), 0));
    let second = "{\"table\": \"t\", \"op\": \"insert\", \"after\": {\"id\": 4, \"v\": 2}}\n";
    let deleted = "{\"table\": \"t\", \"op\": \"delete\", \"before\": {\"id\": 1, \"v\": 2}}\n";
    let of_all = "SELECT id FROM s.t WHERE id = (SELECT i.id FROM s.t i WHERE i.v = 2)";
    assert_eq!(rows_after(of_all, &rows, "").await, (vec!["{\"id\":1}".into()], 0));
    assert_eq!(rows_after(of_all, &rows, second).await, (vec![], 1));
    assert_eq!(rows_after(of_all, &rows, &format!("{second}{deleted}")).await, (vec!["{\"id\":4}".into()], 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subquery_may_look_for_the_first_row_in_an_order() {
    let rows: String = (1..7).map(|id| format!("{{\"id\": {id}, \"v\": {}}}\n", id % 3)).collect();
    let last = "SELECT o.id, (SELECT i.id FROM s.t i WHERE i.v = o.id ORDER BY i.id DESC LIMIT 1) AS last FROM s.t o WHERE o.id < 4";
    let right = ["{\"id\":1,\"last\":4}", "{\"id\":2,\"last\":5}", "{\"id\":3,\"last\":null}"].map(String::from);
    assert_eq!(rows_after(last, &rows, "").await, (right.to_vec(), 0));
    let deleted = "{\"table\": \"t\", \"op\": \"delete\", \"before\": {\"id\": 4, \"v\": 1}}\n";
    let right = ["{\"id\":1,\"last\":1}", "{\"id\":2,\"last\":5}", "{\"id\":3,\"last\":null}"].map(String::from);
    assert_eq!(rows_after(last, &rows, deleted).await, (right.to_vec(), 0));
    // A column that is selected, not the one of that name of the query around.
    let named = "SELECT o.id, (SELECT y.v AS v FROM s.t x CROSS JOIN s.t y WHERE x.id = o.id ORDER BY v DESC LIMIT 1) AS last FROM s.t o \
                 WHERE o.id < 3";
    let right = ["{\"id\":1,\"last\":2}", "{\"id\":2,\"last\":2}"].map(String::from);
    assert_eq!(rows_after(named, &rows, "").await, (right.to_vec(), 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn subqueries_may_be_related_by_any_condition_and_stand_anywhere_in_what_is_selected() {
    let rows: String =
        [(1, "3"), (2, "1"), (3, "null"), (4, "1")].iter().map(|(id, v)| format!("{{\"id\": {id}, \"v\": {v}}}\n")).collect();
    let deleted = "{\"table\": \"t\", \"op\": \"delete\", \"before\": {\"id\": 2, \"v\": 1}}\n";
    for (value, before, after) in [
        ("(SELECT count(*) FROM s.t i WHERE i.id < o.v)", ["2", "0", "0", "0"], ["1", "-", "0", "0"]),
        (
            "(SELECT i.id FROM s.t i WHERE i.v = o.v AND i.id <= o.id ORDER BY i.id LIMIT 1)",
            ["1", "2", "null", "2"],
            ["1", "-", "null", "4"],
        ),
        (
            "EXISTS (SELECT 1 FROM s.t i WHERE i.v = o.v AND i.id <> o.id)",
            ["false", "true", "false", "true"],
            ["false", "-", "false", "false"],
        ),
        ("NOT EXISTS (SELECT 1 FROM s.t i WHERE i.v = o.id)", ["false", "true", "false", "true"], ["false", "-", "false", "true"]),
        ("o.id IN (SELECT i.v FROM s.t i WHERE i.id >= o.id)", ["true", "null", "null", "false"], ["true", "-", "null", "false"]),
    ] {
        let query = format!("SELECT o.id, {value} AS n FROM s.t o");
        for (changes, values) in [("", before), (deleted, after)] {
            let right = values.iter().zip(1..).filter(|(n, _)| **n != "-").map(|(n, id)| format!("{{\"id\":{id},\"n\":{n}}}"));
            assert_eq!(rows_after(&query, &rows, changes).await, (right.collect(), 0), "{query}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn not_in_takes_null_for_what_may_be_equal() {
    let rows = "{\"id\": 1, \"v\": 2}\n{\"id\": 2, \"v\": 2}\n{\"id\": 3, \"v\": null}\n";
    let null_goes = "{\"table\": \"t\", \"op\": \"update\", \"before\": {\"id\": 3, \"v\": null}, \"after\": {\"id\": 3, \"v\": 3}}\n";
    let null_comes = "{\"table\": \"t\", \"op\": \"insert\", \"after\": {\"id\": 4, \"v\": null}}\n";
    let seven = "{\"table\": \"t\", \"op\": \"insert\", \"after\": {\"id\": 7, \"v\": 1}}\n";
    let ids = |ids: &[u64]| ids.iter().map(|id| format!("{{\"id\":{id}}}")).collect::<Vec<_>>();
    let of_right = "SELECT a.id FROM s.t a WHERE a.id NOT IN (SELECT b.v FROM s.t b)";
    assert_eq!(rows_after(of_right, rows, "").await.0, ids(&[]), "2, 2 or anything");
    assert_eq!(rows_after(of_right, rows, null_goes).await.0, ids(&[1]));
    assert_eq!(rows_after(of_right, rows, &[null_goes, null_comes].concat()).await.0, ids(&[]));
    let of_left = "SELECT a.id FROM s.t a WHERE a.v NOT IN (SELECT b.id FROM s.t b WHERE b.id > 5)";
    assert_eq!(rows_after(of_left, rows, "").await.0, ids(&[1, 2, 3]), "there is nothing to be equal to");
    assert_eq!(rows_after(of_left, rows, seven).await.0, ids(&[1, 2, 7]));
    let unknown = "SELECT a.id FROM s.t a WHERE (a.id IN (SELECT b.v FROM s.t b)) IS NULL";
    assert_eq!(rows_after(unknown, rows, "").await.0, ids(&[1, 3]), "2 is in, of the others nothing is known");
    let of_group = "SELECT a.id FROM s.t a WHERE a.id NOT IN (SELECT b.v FROM s.t b WHERE b.id = a.id + 1)";
    assert_eq!(rows_after(of_group, rows, "").await.0, ids(&[1, 3]), "NULL stands in the row behind 2 only");
    let of_keys = "SELECT a.id FROM s.t a WHERE a.id NOT IN (SELECT b.id FROM s.t b WHERE b.v >= a.id)";
    assert_eq!(rows_after(of_keys, rows, "").await.0, ids(&[3]), "nothing is NULL that is compared");
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_in_from_may_be_of_what_stands_beside_them() {
    let rows = "{\"id\": 1, \"v\": 5}\n{\"id\": 2, \"v\": null}\n";
    let list = "CASE WHEN x.v > 0 THEN make_array(x.v, x.id) END";
    let of = |rows: &[(i64, &str)]| (rows.iter().map(|(id, v)| format!("{{\"id\":{id},\"v\":{v}}}")).collect::<Vec<_>>(), 0);
    let crossed = format!("SELECT x.id, u.v FROM s.t x CROSS JOIN UNNEST({list}) AS u(v)");
    assert_eq!(rows_after(&crossed, rows, "").await, of(&[(1, "1"), (1, "5")]));
    let left = format!("SELECT x.id, u.v FROM s.t x LEFT JOIN UNNEST({list}) AS u(v) ON true");
    assert_eq!(rows_after(&left, rows, "").await, of(&[(1, "1"), (1, "5"), (2, "null")]));
    let twice = format!("SELECT x.id, w.v FROM s.t x, UNNEST({list}) AS u(v), UNNEST(make_array(u.v, x.v + 1)) AS w(v) WHERE u.v > 1");
    assert_eq!(rows_after(&twice, rows, "").await, of(&[(1, "5"), (1, "6")]));
    let computed = "SELECT x.id, y.v FROM s.t x, LATERAL (SELECT coalesce(x.v, 0) * 2 AS v) y";
    assert_eq!(rows_after(computed, rows, "").await, of(&[(1, "10"), (2, "0")]));
}
