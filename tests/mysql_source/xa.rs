//! XA transactions: their rows count when the second phase says so.

use tidemill::sources::SourceError;

use super::support::*;

const CREATE: &[&str] = &["CREATE TABLE t (id INT PRIMARY KEY, v INT)", "CREATE TABLE other (id INT)", "INSERT INTO t VALUES (1, 1)"];

/// Statements after a capture, and how many transactions with changes come of them.
const FOLLOWED: &[(&[&str], usize)] = &[
    (&["XA START 'a'", "INSERT INTO t VALUES (2, 2)", "XA END 'a'", "XA COMMIT 'a' ONE PHASE"], 1),
    (&["XA START 'a'", "INSERT INTO t VALUES (2, 2)", "UPDATE t SET v = 9", "XA END 'a'", "XA PREPARE 'a'", "XA COMMIT 'a'"], 1),
    (&["XA START 'a'", "DELETE FROM t", "XA END 'a'", "XA PREPARE 'a'", "XA ROLLBACK 'a'", "INSERT INTO t VALUES (3, 3)"], 1),
    (&["XA START 'a'", "INSERT INTO other VALUES (1)", "XA END 'a'", "XA PREPARE 'a'", "XA COMMIT 'a'"], 0),
    // Ids that only differ in where their parts end, or in their format.
    (
        &[
            "XA START 'ab','c',1",
            "INSERT INTO t VALUES (2, 2)",
            "XA END 'ab','c',1",
            "XA PREPARE 'ab','c',1",
            "XA COMMIT 'ab','c',1",
            "XA START 'a','bc',1",
            "INSERT INTO t VALUES (3, 3)",
            "XA END 'a','bc',1",
            "XA PREPARE 'a','bc',1",
            "XA ROLLBACK 'a','bc',1",
            "XA START 'a','bc',7",
            "INSERT INTO t VALUES (4, 4)",
            "XA END 'a','bc',7",
            "XA PREPARE 'a','bc',7",
            "XA COMMIT 'a','bc',7",
        ],
        2,
    ),
];

#[tokio::test(flavor = "multi_thread")]
async fn both_phases_together_are_one_transaction() {
    for family in [Family::Mariadb, Family::Mysql] {
        for (statements, transactions) in FOLLOWED {
            let mut db = Db::create(family, "xa").await;
            db.run(CREATE).await;
            let source = db.source();
            let tables = discover(&*source, &["t"]).await;
            let before = run(&*source, &tables, None).await.unwrap();
            db.run(statements).await;
            let seen = run(&*source, &tables, Some(before.position())).await.unwrap();
            assert_eq!(seen.transactions.len(), *transactions, "{family:?} {statements:?}");
            let now = run(&*source, &tables, None).await.unwrap().state(State::new());
            assert_eq!(seen.state(before.state(State::new())), now, "{family:?} {statements:?}");
            db.drop().await;
        }
    }
}

/// While one is prepared, others go on, and nothing of it is seen.
#[tokio::test(flavor = "multi_thread")]
async fn prepared_rows_are_held_until_the_second_phase() {
    for family in [Family::Mariadb, Family::Mysql] {
        let mut db = Db::create(family, "xa_held").await;
        db.run(CREATE).await;
        let source = db.source();
        let tables = discover(&*source, &["t"]).await;
        let before = run(&*source, &tables, None).await.unwrap();
        let mut preparing = db.another().await;
        for statement in ["XA START 'held'", "INSERT INTO t VALUES (2, 2)", "XA END 'held'", "XA PREPARE 'held'"] {
            mysql_async::prelude::Queryable::query_drop(&mut preparing, statement).await.unwrap();
        }
        preparing.disconnect().await.unwrap();
        db.run(&["INSERT INTO t VALUES (3, 3)"]).await;
        let first = run(&*source, &tables, Some(before.position())).await.unwrap();
        assert_eq!(first.transactions.len(), 1, "{family:?}: only the one that is committed");
        db.run(&["XA COMMIT 'held'", "INSERT INTO t VALUES (4, 4)"]).await;
        // Read in one go, both halves are there.
        let whole = run(&*source, &tables, Some(before.position())).await.unwrap();
        assert_eq!(whole.transactions.iter().map(Vec::len).collect::<Vec<_>>(), [1, 1, 1], "{family:?}");
        let now = run(&*source, &tables, None).await.unwrap().state(State::new());
        assert_eq!(whole.state(before.state(State::new())), now, "{family:?}");
        // Begun between them, what was prepared is not known.
        let error = run(&*source, &tables, Some(first.position())).await.unwrap_err();
        let expected = "an XA transaction is committed that was prepared before this run began, and what it changed is not known (before ";
        assert!(matches!(&error, SourceError::Resync { message, .. } if message.starts_with(expected)), "{family:?}: {error}");
        db.drop().await;
    }
}
