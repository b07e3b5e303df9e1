//! Writes that stand in the log as statements in the place of rows.

use futures::StreamExt;
use mysql_async::prelude::Queryable;
use tidemill::sources::SourceError;

use super::support::*;

const CREATE: &[&str] = &[
    "CREATE TABLE t (id INT PRIMARY KEY, v INT)",
    "INSERT INTO t VALUES (1, 1), (2, 2)",
    "CREATE TABLE other (id INT PRIMARY KEY AUTO_INCREMENT, v INT)",
    "CREATE TABLE noisy (id INT PRIMARY KEY, v INT)",
    "CREATE TRIGGER noise AFTER INSERT ON noisy FOR EACH ROW UPDATE t SET v = v + 1",
    "CREATE VIEW shown AS SELECT * FROM t",
    "CREATE FUNCTION f(a INT) RETURNS INT DETERMINISTIC MODIFIES SQL DATA BEGIN UPDATE t SET v = a; RETURN a; END",
];

/// Of no concern to who captures `t`.
const IGNORED: &[&[&str]] = &[
    &["INSERT INTO other (v) VALUES (1)"],
    &[
        "INSERT INTO other (v) SELECT MAX(v) FROM t",
        "UPDATE other SET v = 7 WHERE id = 1",
        "DELETE FROM other",
        "REPLACE INTO other VALUES (1, 1)",
    ],
    &["INSERT INTO tm_heartbeat.beat (id, at) VALUES (1, UNIX_TIMESTAMP()) ON DUPLICATE KEY UPDATE at = UNIX_TIMESTAMP()"],
    &["UPDATE tm_heartbeat.beat, tm_heartbeat.second SET beat.at = 1"],
    &["LOAD DATA LOCAL INFILE 'rows' INTO TABLE other"],
];

/// Those of which it cannot be told, or that are of `t`.
const CONCERNING: &[(&[&str], &str)] = &[
    (&["INSERT INTO t VALUES (3, 3)"], "changed the table `t` by a statement"),
    (&["UPDATE t SET v = 7"], "changed the table `t` by a statement"),
    (&["DELETE FROM t WHERE id = 1"], "changed the table `t` by a statement"),
    (&["LOAD DATA LOCAL INFILE 'rows' INTO TABLE t"], "changed the table `t` by a statement"),
    (&["UPDATE other JOIN t ON t.v < 100 SET t.v = 7"], "it cannot be determined in which tables"),
    (&["DELETE t FROM t LEFT JOIN other ON other.id = t.id WHERE other.id IS NULL"], "it cannot be determined in which tables"),
    (&["INSERT INTO noisy VALUES (1, 1)"], "and it has a trigger"),
    (&["UPDATE shown SET v = 7 WHERE id = 1"], "and it is a view"),
    (&["INSERT INTO other (v) VALUES (f(7))"], "it cannot be determined in which tables"),
    // Over the bounds of a database.
    (&["INSERT INTO tm_heartbeat.noisy VALUES (1)"], "and it has a trigger"),
    (&["UPDATE tm_heartbeat.shown SET v = 7 WHERE id = 1"], "and it is a view"),
    (&["INSERT INTO tm_heartbeat.beat VALUES (9, tm_without_rows.f(7))"], "it cannot be determined in which tables"),
    (&["UPDATE tm_heartbeat.beat, t SET t.v = 8"], "it cannot be determined in which tables"),
    (&["DO f(8)"], "it cannot be determined in which tables"),
];

async fn prepared(family: Family) -> Db {
    let mut db = Db::create_alone(family, "without_rows").await;
    if family == Family::Mysql {
        db.run(&["SET GLOBAL log_bin_trust_function_creators = 1"]).await;
    }
    db.run(&["SET GLOBAL local_infile = 1", "DROP DATABASE IF EXISTS tm_heartbeat", "CREATE DATABASE tm_heartbeat"]).await;
    db.run(&["CREATE TABLE tm_heartbeat.beat (id INT PRIMARY KEY, at INT)", "CREATE TABLE tm_heartbeat.second (id INT PRIMARY KEY)"]).await;
    db.run(CREATE).await;
    db.run(&[
        "CREATE TABLE tm_heartbeat.noisy (id INT)",
        "CREATE TRIGGER tm_heartbeat.noise AFTER INSERT ON tm_heartbeat.noisy FOR EACH ROW UPDATE tm_without_rows.t SET v = v + 1",
        "CREATE VIEW tm_heartbeat.shown AS SELECT * FROM tm_without_rows.t",
        "INSERT INTO tm_heartbeat.beat VALUES (1, 1)",
    ])
    .await;
    db.run(&["INSERT INTO other VALUES (5, 5)"]).await;
    db
}

/// In the statement format.
async fn write(db: &mut Db, statements: &[&str]) {
    db.run(&["SET binlog_format = 'STATEMENT'"]).await;
    for statement in statements {
        db.conn.set_infile_handler(async { Ok(futures::stream::iter([Ok::<_, std::io::Error>(b"77\t77\n".to_vec().into())]).boxed()) });
        db.conn.query_drop(*statement).await.unwrap_or_else(|e| panic!("{:?} {statement}: {e}", db.family));
    }
    db.run(&["SET binlog_format = 'ROW'"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn those_of_tables_that_nobody_captures_are_passed_over() {
    for family in [Family::Mariadb, Family::Mysql] {
        let mut db = prepared(family).await;
        let source = db.source();
        let tables = discover(&*source, &["t"]).await;
        for statements in IGNORED {
            if family == Family::Mariadb && statements[0].starts_with("UPDATE tm_heartbeat.beat,") {
                continue; // Only MySQL's log says in which databases was written.
            }
            let before = run(&*source, &tables, None).await.unwrap();
            write(&mut db, statements).await;
            db.run(&["UPDATE t SET v = v + 1"]).await;
            let seen = run(&*source, &tables, Some(before.position())).await;
            let seen = seen.unwrap_or_else(|e| panic!("{family:?} {statements:?}: {e}"));
            let now = run(&*source, &tables, None).await.unwrap().state(State::new());
            assert_eq!(seen.state(before.state(State::new())), now, "{family:?} {statements:?}");
        }
        db.run(&["DROP DATABASE tm_heartbeat"]).await;
        db.drop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn those_that_may_concern_a_captured_table_ask_for_a_new_capture() {
    for family in [Family::Mariadb, Family::Mysql] {
        let mut db = prepared(family).await;
        let source = db.source();
        let tables = discover(&*source, &["t"]).await;
        for (statements, expected) in CONCERNING {
            let before = run(&*source, &tables, None).await.unwrap();
            write(&mut db, statements).await;
            let error = run(&*source, &tables, Some(before.position())).await.unwrap_err();
            let SourceError::Resync { message, .. } = error else { panic!("{family:?} {statements:?}: {error}") };
            assert!(message.starts_with("a session changed ") && message.contains(expected), "{family:?} {statements:?}: {message}");
        }
        db.run(&["DROP DATABASE tm_heartbeat"]).await;
        db.drop().await;
    }
}

/// A trigger that comes later is seen when it comes.
#[tokio::test(flavor = "multi_thread")]
async fn a_trigger_that_comes_later_counts_from_then_on() {
    for family in [Family::Mariadb, Family::Mysql] {
        let mut db = prepared(family).await;
        let source = db.source();
        let tables = discover(&*source, &["t"]).await;
        let before = run(&*source, &tables, None).await.unwrap();
        write(&mut db, &["INSERT INTO other (v) VALUES (1)"]).await;
        let seen = run(&*source, &tables, Some(before.position())).await.unwrap();
        db.run(&["CREATE TRIGGER late AFTER INSERT ON other FOR EACH ROW DELETE FROM t"]).await;
        write(&mut db, &["INSERT INTO other (v) VALUES (2)"]).await;
        let error = run(&*source, &tables, Some(seen.position())).await.unwrap_err();
        assert!(matches!(&error, SourceError::Resync { message, .. } if message.contains("it has a trigger")), "{family:?}: {error}");
        db.run(&["DROP DATABASE tm_heartbeat"]).await;
        db.drop().await;
    }
}

/// A server that logs what foreign keys did as rows does not do so where the cause is logged as a statement.
#[tokio::test(flavor = "multi_thread")]
async fn what_foreign_keys_carried_on_asks_for_a_new_capture() {
    let mut db = prepared(Family::Mysql).await;
    db.run(&[
        "CREATE TABLE tm_heartbeat.parent (id INT PRIMARY KEY)",
        "CREATE TABLE child (id INT PRIMARY KEY, p INT, FOREIGN KEY (p) REFERENCES tm_heartbeat.parent (id) ON DELETE CASCADE)",
        "INSERT INTO tm_heartbeat.parent VALUES (1), (2)",
        "INSERT INTO child VALUES (1, 1), (2, 2)",
    ])
    .await;
    let source = db.source();
    let tables = discover(&*source, &["child"]).await;
    let before = run(&*source, &tables, None).await.unwrap();
    write(&mut db, &["DELETE FROM tm_heartbeat.parent WHERE id = 1"]).await;
    let error = run(&*source, &tables, Some(before.position())).await.unwrap_err();
    assert!(
        matches!(&error, SourceError::Resync { message, .. } if message.contains("foreign keys may have changed other tables")),
        "{error}"
    );
    db.run(&["DROP TABLE child", "DROP DATABASE tm_heartbeat"]).await;
    db.drop().await;
}

/// Rows and statements in one transaction.
#[tokio::test(flavor = "multi_thread")]
async fn the_rows_beside_them_in_a_transaction_count() {
    let mut db = prepared(Family::Mariadb).await;
    let source = db.source();
    let tables = discover(&*source, &["t"]).await;
    let before = run(&*source, &tables, None).await.unwrap();
    // Unsafe to repeat, so in MIXED it is logged as rows; the one beside it as a statement.
    db.run(&[
        "SET binlog_format = 'MIXED'",
        "BEGIN",
        "INSERT INTO t VALUES (3, UUID_SHORT() % 100)",
        "INSERT INTO other (v) VALUES (1)",
        "UPDATE t SET v = UUID_SHORT() % 100",
        "COMMIT",
        "SET binlog_format = 'ROW'",
    ])
    .await;
    let seen = run(&*source, &tables, Some(before.position())).await.unwrap();
    assert_eq!(seen.transactions.len(), 1);
    let now = run(&*source, &tables, None).await.unwrap().state(State::new());
    assert_eq!(seen.state(before.state(State::new())), now);
    db.run(&["DROP DATABASE tm_heartbeat"]).await;
    db.drop().await;
}
