//! Rows of which a value cannot be carried are left out and told of, and everything else goes on.

use serde_json::json;

use super::support::*;

/// The rows that are held, by id.
fn ids(table: &tidemill::sources::Table, state: &State) -> Vec<String> {
    state.keys().map(|(_, row)| values(table, row)[0].1.clone()).collect()
}

/// A kind of value that cannot be carried: how `v` is declared, one that cannot be read, one that can, why.
struct Bad {
    family: Family,
    declared: &'static str,
    bad: &'static str,
    good: &'static str,
    reason: &'static str,
}

const BAD: &[Bad] = &[
    Bad {
        family: Family::Mariadb,
        declared: "JSON",
        bad: r#"'{"path": "C:\\quick"}'"#,
        good: r#"'{"path": "C:/quick"}'"#,
        reason: "the column `v` holds text that is not JSON",
    },
    Bad {
        family: Family::Mariadb,
        declared: "JSON",
        bad: r#"'["\\x41"]'"#,
        good: "'[]'",
        reason: "the column `v` holds text that is not JSON",
    },
    Bad {
        family: Family::Mariadb,
        declared: "DATE",
        bad: "'0000-00-00'",
        good: "'2024-02-29'",
        reason: "the column `v` holds a date that no calendar has",
    },
    Bad {
        family: Family::Mysql,
        declared: "DATETIME(3)",
        bad: "'2024-02-00 10:00:00'",
        good: "NULL",
        reason: "the column `v` holds a date that no calendar has",
    },
    Bad {
        family: Family::Mysql,
        declared: "TIMESTAMP NULL",
        bad: "'0000-00-00 00:00:00'",
        good: "'2024-02-29 10:00:00'",
        reason: "the column `v` holds a date that no calendar has",
    },
];

#[tokio::test(flavor = "multi_thread")]
async fn they_are_left_out_of_the_snapshot_and_of_the_log_until_they_are_corrected() {
    for Bad { family, declared, bad, good, reason } in BAD {
        let mut db = Db::create(*family, "unreadable").await;
        db.run(&[
            &format!("CREATE TABLE t (id INT PRIMARY KEY, v {declared}, n INT)"),
            &format!("INSERT INTO t VALUES (1, {good}, 1), (2, {bad}, 2), (3, {good}, 3)"),
        ])
        .await;
        let source = db.source_with(json!({"zero_dates": "error"}));
        let tables = discover(&*source, &["t"]).await;
        let first = run(&*source, &tables, None).await.unwrap();
        let told: Vec<_> = first.rejected.iter().map(|r| (r.table.as_deref(), r.place.as_str(), r.reason.as_str())).collect();
        assert_eq!(told, [(Some("t"), "id = 2 in the snapshot", *reason)]);
        let mut state = first.state(State::new());
        assert_eq!(ids(&tables[0], &state), ["Int(1)", "Int(3)"]);
        let mut position = first.position();
        for (statement, rows, rejected) in [
            // Comes unreadable, beside one that is not.
            (format!("INSERT INTO t VALUES (4, {bad}, 4), (5, {good}, 5)"), &[1, 3, 5][..], 1),
            // Stays unreadable: only what can be read counts.
            ("UPDATE t SET n = n + 1".into(), &[1, 3, 5], 0),
            // Becomes unreadable: what was held goes.
            (format!("UPDATE t SET v = {bad} WHERE id = 5"), &[1, 3], 1),
            // Is corrected: it comes.
            (format!("UPDATE t SET v = {good} WHERE id = 2"), &[1, 2, 3], 0),
            // Goes unreadable: nothing was held.
            ("DELETE FROM t WHERE id = 4".into(), &[1, 2, 3], 0),
            (format!("UPDATE t SET id = 50, v = {good} WHERE id = 5"), &[1, 2, 3, 50], 0),
            (format!("REPLACE INTO t VALUES (3, {bad}, 0)"), &[1, 2, 50], 1),
            ("DELETE FROM t".into(), &[], 0),
        ] {
            db.run(&[&statement]).await;
            let seen = run(&*source, &tables, Some(position)).await.unwrap_or_else(|e| panic!("{family:?} {statement}: {e}"));
            state = seen.state(state);
            let expected: Vec<String> = rows.iter().map(|id| format!("Int({id})")).collect();
            assert_eq!(ids(&tables[0], &state), expected, "{family:?} {statement}");
            assert!(state.values().all(|count| *count == 1), "{statement}");
            if rejected > 0 {
                assert_eq!(seen.rejected.len(), rejected, "{statement}: {:?}", seen.rejected);
                let Some(r) = seen.rejected.first() else { unreachable!() };
                assert!(r.place.starts_with("id = ") && r.place.contains(" in the log before ") && r.reason == *reason, "{r:?}");
            }
            position = seen.position();
        }
        db.drop().await;
    }
}

/// A key that cannot be read tells nothing; the place does.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_cannot_be_read_is_not_told() {
    let mut db = Db::create(Family::Mariadb, "unreadable_key").await;
    db.run(&[
        "CREATE TABLE t (d DATE, n INT, PRIMARY KEY (d, n))",
        "CREATE TABLE keyless (d DATE, n INT)",
        "INSERT INTO t VALUES ('0000-00-00', 1), ('2024-01-01', 1)",
        "INSERT INTO keyless VALUES ('0000-00-00', 1), ('2024-01-01', 1), ('2024-01-01', 1)",
    ])
    .await;
    let source = db.source_with(json!({"zero_dates": "error"}));
    let tables = discover(&*source, &["t", "keyless"]).await;
    let first = run(&*source, &tables, None).await.unwrap();
    let mut told: Vec<_> = first.rejected.iter().map(|r| (r.table.clone().unwrap(), r.place.clone())).collect();
    told.sort();
    let place = || "a row in the snapshot".to_string();
    assert_eq!(told, [("keyless".into(), place()), ("t".into(), place())]);
    assert_eq!(first.snapshot.len(), 3);
    db.run(&["DELETE FROM t", "DELETE FROM keyless"]).await;
    let seen = run(&*source, &tables, Some(first.position())).await.unwrap();
    assert_eq!(seen.state(first.state(State::new())), State::new());
    db.drop().await;
}
