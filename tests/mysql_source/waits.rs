//! What a run waits for, and what it makes do with.

use std::sync::Arc;
use std::time::Duration;

use mysql_async::prelude::Queryable;
use tidemill::sources::{Capture, Event, MemoryRows, Severity, SourceError};
use tokio::sync::mpsc;

use super::access::with_login;
use super::servers::eventually_async;
use super::support::{Db, Family, Seen, discover, run};

const LONG: Duration = Duration::from_secs(60);
const LOCKED: &str = "another session has locked it (LOCK TABLES ... WRITE, or an ALTER TABLE that itself waits for a transaction)";

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_is_locked_is_waited_for_and_named() {
    for family in [Family::Mariadb, Family::Mysql] {
        let mut db = Db::create(family, "locked").await;
        db.run(&["CREATE TABLE t (id INT PRIMARY KEY)", "CREATE TABLE free (id INT)", "INSERT INTO t VALUES (1), (2)"]).await;
        let source = db.source();
        let tables = discover(&*source, &["t", "free"]).await;
        let mut other = db.another().await;
        other.query_drop("LOCK TABLES t WRITE").await.unwrap();
        let findings = source.preflight(&tables).await.unwrap();
        let told: Vec<_> = findings.iter().map(|f| (f.severity, f.message.clone())).collect();
        assert_eq!(told, [(Severity::Warning, format!("a snapshot would wait for the table `t`: {LOCKED}"))], "{family:?}");
        let (out, mut events) = mpsc::channel(16);
        let capture = Capture { tables: tables.clone(), from: None, until_caught_up: true, held: Arc::new(MemoryRows::default()) };
        let running = tokio::spawn(async move { source.run(capture, out).await });
        let mut seen = Seen::default();
        let reading = async {
            let mut waited = false;
            while let Some(event) = events.recv().await {
                if let Event::Waiting(what) = &event {
                    assert_eq!(*what, format!("the snapshot waits for the table `t`: {LOCKED}"));
                    if !waited {
                        other.query_drop("UNLOCK TABLES").await.unwrap();
                    }
                    waited = true;
                }
                seen.take(event);
            }
            assert!(waited, "{family:?}");
        };
        tokio::time::timeout(LONG, reading).await.expect("it goes on when the lock is gone");
        running.await.unwrap().unwrap();
        assert_eq!((seen.snapshot.len(), seen.caught_up), (2, true));
        db.drop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn with_few_connections_a_snapshot_takes_fewer() {
    for family in [Family::Mariadb, Family::Mysql] {
        let mut db = Db::create(family, "few").await;
        db.run(&["CREATE TABLE t (id INT PRIMARY KEY)", "INSERT INTO t VALUES (1), (2)", "DROP USER IF EXISTS 'tm_few'@'%'"]).await;
        db.run(&[
            "CREATE USER 'tm_few'@'%' IDENTIFIED BY 'p'",
            "GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO 'tm_few'@'%'",
            "GRANT SELECT, LOCK TABLES ON tm_few.* TO 'tm_few'@'%'",
        ])
        .await;
        for (most, read_by) in [(3, Some(1)), (4, Some(2)), (6, None)] {
            db.run(&[&format!("ALTER USER 'tm_few'@'%' WITH MAX_USER_CONNECTIONS {most}")]).await;
            let source = with_login(&db, "tm_few", "p", serde_json::json!({}));
            let tables = discover(&*source, &["t"]).await;
            let told: Vec<String> = source.preflight(&tables).await.unwrap().into_iter().map(|f| f.message).collect();
            let expected =
                read_by.map(|by| format!("the user may have {most} connections at once, so a snapshot is read by {by} instead of 4"));
            assert_eq!(told, expected.into_iter().collect::<Vec<_>>(), "{family:?}");
            // The server may not have taken back the connections of before yet; a run tries again then.
            let once = async || match run(&*source, &tables, None).await {
                Err(SourceError::Transient { message }) if message.contains("max_user_connections") => None,
                ended => Some(ended.unwrap()),
            };
            let seen = eventually_async("a snapshot", LONG, once).await;
            assert_eq!((seen.snapshot.len(), seen.caught_up), (2, true), "{family:?}, {most}");
        }
        db.run(&["DROP USER 'tm_few'@'%'"]).await;
        db.drop().await;
    }
}
