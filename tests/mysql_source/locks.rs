//! How a snapshot finds its place in the log of MySQL, by what the user may do; exact under writers in each way.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use mysql_async::prelude::Queryable;
use tidemill::sources::{Severity, SourceError};

use super::access::with_login;
use super::support::*;

/// A user of these grants besides those that reading takes.
async fn user(db: &mut Db, name: &str, grants: &[&str]) {
    db.run(&[
        &format!("DROP USER IF EXISTS '{name}'@'%'"),
        &format!("CREATE USER '{name}'@'%' IDENTIFIED BY 'p'"),
        &format!("GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO '{name}'@'%'"),
        &format!("GRANT SELECT ON {}.* TO '{name}'@'%'", db.name),
    ])
    .await;
    for grant in grants {
        db.run(&[&format!("GRANT {grant} TO '{name}'@'%'")]).await;
    }
}

/// How many statements of this kind the user has run.
async fn statements(db: &mut Db, user: &str, kind: &str) -> u64 {
    let query = format!(
        "SELECT COALESCE(CAST(SUM(COUNT_STAR) AS UNSIGNED), 0) FROM performance_schema.events_statements_summary_by_user_by_event_name \
         WHERE USER = '{user}' AND EVENT_NAME = 'statement/sql/{kind}'"
    );
    db.conn.query_first(query).await.unwrap().unwrap()
}

/// How often the user has run LOCK TABLES and FLUSH TABLES WITH READ LOCK, in this life of the server.
async fn locks(db: &mut Db, user: &str) -> (u64, u64) {
    (statements(db, user, "lock_tables").await, statements(db, user, "flush").await)
}

/// Takes a snapshot while two tables are written to together; whether it and the log after it make the tables.
async fn is_exact(db: &mut Db, user: &str) -> Result<(), SourceError> {
    db.run(&["CREATE TABLE IF NOT EXISTS a (id INT PRIMARY KEY AUTO_INCREMENT, v INT)", "CREATE TABLE IF NOT EXISTS b LIKE a"]).await;
    let source = with_login(db, user, "p", serde_json::json!({}));
    let tables = discover(&*source, &["a", "b"]).await;
    let stop = Arc::new(AtomicBool::new(false));
    let mut writers = Vec::new();
    for _ in 0..3 {
        let (mut conn, stop) = (db.another().await, stop.clone());
        writers.push(tokio::spawn(async move {
            while !stop.load(Ordering::Relaxed) {
                for statement in ["BEGIN", "INSERT INTO a (v) VALUES (1)", "INSERT INTO b (v) VALUES (1)", "COMMIT"] {
                    conn.query_drop(statement).await.unwrap();
                }
            }
        }));
    }
    let taken = run(&*source, &tables, None).await;
    stop.store(true, Ordering::Relaxed);
    for writer in writers {
        writer.await.unwrap();
    }
    let taken = taken?;
    let rows = |table| taken.snapshot.iter().filter(|(t, _)| *t == table).count();
    assert_eq!(rows(0), rows(1), "half a transaction");
    let rest = run(&*source, &tables, Some(taken.position())).await?;
    let all = run(&*db.source(), &tables, None).await?;
    assert!(rest.state(taken.state(State::new())) == all.state(State::new()), "something is lost or doubled");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn without_reload_the_tables_are_locked() {
    let mut db = Db::create(Family::Mysql, "lock_tables").await;
    let name = "tm_lock_tables";
    user(&mut db, name, &["LOCK TABLES ON tm_lock_tables.*"]).await;
    let before = locks(&mut db, name).await;
    is_exact(&mut db, name).await.unwrap();
    let after = locks(&mut db, name).await;
    assert_eq!((after.0 - before.0, after.1 - before.1), (1, 0));
    db.run(&["DROP USER tm_lock_tables"]).await;
    db.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_lock_tables_everything_is_locked() {
    let mut db = Db::create(Family::Mysql, "lock_all").await;
    let name = "tm_lock_all";
    user(&mut db, name, &["RELOAD ON *.*"]).await;
    let before = locks(&mut db, name).await;
    is_exact(&mut db, name).await.unwrap();
    assert_eq!(locks(&mut db, name).await.1 - before.1, 1);
    db.run(&["DROP USER tm_lock_all"]).await;
    db.drop().await;
}

/// That the other lock is not allowed does not end a run: the one that is may be had later.
#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_holds_a_lock_up_is_waited_for() {
    let mut db = Db::create(Family::Mysql, "held_up").await;
    user(&mut db, "tm_held_up", &["LOCK TABLES ON tm_held_up.*"]).await;
    db.run(&["CREATE TABLE a (id INT PRIMARY KEY)"]).await;
    let source = with_login(&db, "tm_held_up", "p", serde_json::json!({}));
    let tables = discover(&*source, &["a"]).await;
    db.run(&["BEGIN", "INSERT INTO a VALUES (1)"]).await;
    let error = run(&*source, &tables, None).await.unwrap_err();
    assert!(matches!(error, SourceError::Transient { .. }), "{error}");
    let expected = "locking the tables for a moment: Lock wait timeout exceeded; try restarting transaction (error 1205)";
    assert_eq!(error.to_string(), expected);
    db.run(&["COMMIT"]).await;
    assert_eq!(run(&*source, &tables, None).await.unwrap().snapshot.len(), 1);
    db.run(&["DROP USER tm_held_up"]).await;
    db.drop().await;
}

/// Where nobody writes meanwhile, what the log says before and after is enough.
#[tokio::test(flavor = "multi_thread")]
async fn without_any_lock_the_log_is_looked_at() {
    let mut db = Db::create_alone(Family::Mysql, "no_lock").await;
    let name = "tm_no_lock";
    user(&mut db, name, &["BACKUP_ADMIN ON *.*", "SELECT ON performance_schema.log_status"]).await;
    db.run(&["CREATE TABLE a (id INT PRIMARY KEY)", "CREATE TABLE b (id INT PRIMARY KEY)", "INSERT INTO a VALUES (1), (2)"]).await;
    let source = with_login(&db, name, "p", serde_json::json!({}));
    let tables = discover(&*source, &["a", "b"]).await;
    let taken = run(&*source, &tables, None).await.unwrap();
    db.run(&["INSERT INTO b VALUES (1)"]).await;
    let rest = run(&*source, &tables, Some(taken.position())).await.unwrap();
    assert_eq!((taken.snapshot.len(), rest.transactions.len()), (2, 1));
    assert_eq!(locks(&mut db, name).await, (0, 0), "the user has never tried to lock anything");
    db.run(&["DROP USER tm_no_lock"]).await;
    db.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_any_way_the_grants_are_named() {
    let mut db = Db::create(Family::Mysql, "no_way").await;
    user(&mut db, "tm_no_way", &[]).await;
    db.run(&["CREATE TABLE a (id INT PRIMARY KEY)"]).await;
    let source = with_login(&db, "tm_no_way", "p", serde_json::json!({}));
    let tables = discover(&*source, &["a"]).await;
    let findings = source.preflight(&tables).await.unwrap();
    assert_eq!(findings.len(), 1, "{findings:?}");
    assert_eq!(findings[0].severity, Severity::Error);
    assert_eq!(findings[0].message, "the user may not read the log position that a snapshot needs");
    let fix = findings[0].fix.clone().unwrap();
    let expected = "GRANT BACKUP_ADMIN ON *.* TO 'tm_no_way'@'%'; \
                    GRANT SELECT ON performance_schema.log_status TO 'tm_no_way'@'%';";
    assert_eq!(fix, expected);
    let error = run(&*source, &tables, None).await.unwrap_err();
    let SourceError::Invalid { message, help, .. } = error else { panic!("{error}") };
    assert_eq!(message, "locking the tables for a moment: Access denied for user 'tm_no_way'@'%' to database 'tm_no_way'");
    let expected = "GRANT BACKUP_ADMIN ON *.* and SELECT ON performance_schema.log_status, or LOCK TABLES, or RELOAD to the user";
    assert_eq!(help.as_deref(), Some(expected));
    let statements: Vec<&str> = fix.split(';').map(str::trim).filter(|s| !s.is_empty()).collect();
    db.run(&statements).await;
    assert_eq!(source.preflight(&tables).await.unwrap(), []);
    assert!(run(&*source, &tables, None).await.is_ok(), "that is enough");
    db.run(&["DROP USER tm_no_way"]).await;
    db.drop().await;
}

/// MariaDB says itself where a snapshot is: nothing more than reading the log takes is needed.
#[tokio::test(flavor = "multi_thread")]
async fn mariadb_needs_no_lock() {
    let mut db = Db::create(Family::Mariadb, "no_lock").await;
    user(&mut db, "tm_no_lock", &[]).await;
    is_exact(&mut db, "tm_no_lock").await.unwrap();
    db.run(&["DROP USER tm_no_lock"]).await;
    db.drop().await;
}
