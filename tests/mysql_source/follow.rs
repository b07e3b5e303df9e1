//! Following the log: whole transactions, positions, interruptions.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use mysql_async::prelude::Queryable;
use tidemill::sources::{Capture, Event, MemoryRows, SourceError, Table};
use tidemill::value::{Datum, Delta, Layout};
use tokio::sync::mpsc;

use super::support::*;

async fn a_transaction_over_several_tables_is_one_commit(family: Family) {
    let mut db = Db::create(family, "one_commit").await;
    db.run(&["CREATE TABLE a (id INT PRIMARY KEY, v INT)", "CREATE TABLE b (id INT PRIMARY KEY)", "CREATE TABLE other (id INT)"]).await;
    let source = db.source();
    let tables = discover(&*source, &["a", "b"]).await;
    let before = run(&*source, &tables, None).await.unwrap();
    db.run(&[
        "BEGIN",
        "INSERT INTO a VALUES (1, 10), (2, 20)",
        "INSERT INTO other VALUES (1)",
        "INSERT INTO b VALUES (7)",
        "SAVEPOINT s",
        "INSERT INTO b VALUES (8)",
        "ROLLBACK TO s",
        "UPDATE a SET v = 11 WHERE id = 1",
        "COMMIT",
        "BEGIN",
        "INSERT INTO a VALUES (3, 30)",
        "ROLLBACK",
        "INSERT INTO other VALUES (2)",
    ])
    .await;
    let seen = run(&*source, &tables, Some(before.position())).await.unwrap();
    assert_eq!(seen.transactions.len(), 1);
    let diffs: Vec<(usize, i64)> = seen.transactions[0].iter().map(|d| (d.table, d.diff)).collect();
    assert_eq!(diffs, [(0, 1), (0, 1), (1, 1), (0, -1), (0, 1)]);
    assert!(seen.caught_up);
    assert_ne!(seen.positions[0], seen.position(), "the position moves on with tables that nobody asked for");
    let again = run(&*source, &tables, Some(seen.position())).await.unwrap();
    assert!(again.transactions.is_empty(), "a position is the end of what was seen");
    db.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_over_several_tables_is_one_commit_on_mariadb() {
    a_transaction_over_several_tables_is_one_commit(Family::Mariadb).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_over_several_tables_is_one_commit_on_mysql() {
    a_transaction_over_several_tables_is_one_commit(Family::Mysql).await;
}

async fn compressed_transactions_are_read(family: Family, switch: &str) {
    let mut db = Db::create(family, "compressed").await;
    db.run(&["CREATE TABLE t (id INT PRIMARY KEY, v TEXT)", "CREATE TABLE other (v TEXT)", switch]).await;
    let source = db.source();
    let tables = discover(&*source, &["t"]).await;
    let before = run(&*source, &tables, None).await.unwrap();
    db.run(&[
        "BEGIN",
        "INSERT INTO t SELECT seq.n, REPEAT('long enough to be compressed ', 30) FROM (SELECT 1 n UNION SELECT 2 UNION SELECT 3) seq",
        "INSERT INTO other VALUES (REPEAT('x', 10000))",
        "UPDATE t SET v = REPEAT('another long one ', 50) WHERE id = 2",
        "DELETE FROM t WHERE id = 3",
        "COMMIT",
        "INSERT INTO t VALUES (4, REPEAT('x', 1000))",
    ])
    .await;
    let seen = run(&*source, &tables, Some(before.position())).await.unwrap();
    let snapshot = run(&*source, &tables, None).await.unwrap();
    assert_eq!(seen.transactions.len(), 2);
    assert_eq!(seen.state(State::new()), snapshot.state(State::new()));
    db.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn compressed_events_are_read_on_mariadb() {
    let mut conn = admin(Family::Mariadb, None).await;
    conn.query_drop("SET GLOBAL log_bin_compress = ON").await.unwrap();
    compressed_transactions_are_read(Family::Mariadb, "DO 1").await;
    conn.query_drop("SET GLOBAL log_bin_compress = OFF").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn compressed_transactions_are_read_on_mysql() {
    compressed_transactions_are_read(Family::Mysql, "SET binlog_transaction_compression = ON").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tagged_gtid_is_part_of_the_position() {
    let mut db = Db::create(Family::Mysql, "tagged").await;
    db.run(&["CREATE TABLE t (id INT PRIMARY KEY)"]).await;
    let source = db.source();
    let tables = discover(&*source, &["t"]).await;
    let before = run(&*source, &tables, None).await.unwrap();
    db.run(&["SET gtid_next = 'AUTOMATIC:blue'", "INSERT INTO t VALUES (1)", "SET gtid_next = 'AUTOMATIC'", "INSERT INTO t VALUES (2)"])
        .await;
    let seen = run(&*source, &tables, Some(before.position())).await.unwrap();
    assert_eq!(seen.transactions.len(), 2);
    assert!(seen.position().as_str().contains(":blue:"), "{}", seen.position());
    let again = run(&*source, &tables, Some(seen.position())).await.unwrap();
    assert!(again.transactions.is_empty());
    db.drop().await;
}

/// Kills the source's connections that read the log.
async fn kill_readers_of_the_log(conn: &mut mysql_async::Conn, database: &str) -> usize {
    let ids: Vec<u64> = conn
        .query(format!("SELECT ID FROM information_schema.PROCESSLIST WHERE DB = '{database}' AND COMMAND LIKE 'Binlog Dump%'"))
        .await
        .unwrap();
    for id in &ids {
        // It may have gone by itself.
        let _ = conn.query_drop(format!("KILL {id}")).await;
    }
    ids.len()
}

/// Writes transactions over two tables, some large, until it was enough; the last one is a single row of `b`.
async fn write_transactions(mut writer: mysql_async::Conn, enough: Arc<AtomicBool>) {
    const TRANSACTIONS: i64 = 600;
    for i in (0..).take_while(|i| *i < TRANSACTIONS || !enough.load(Ordering::Relaxed)) {
        let count = if i % 50 == 0 { 400 } else { 1 };
        let rows: Vec<String> = (0..count).map(|n| format!("({}, {i})", i * 1000 + n)).collect();
        writer.query_drop("BEGIN").await.unwrap();
        writer.query_drop(format!("INSERT INTO a VALUES {}", rows.join(","))).await.unwrap();
        writer.query_drop(format!("INSERT INTO b VALUES ({i}, {i})")).await.unwrap();
        if i % 3 == 0 {
            writer.query_drop(format!("DELETE FROM b WHERE id = {}", i / 2)).await.unwrap();
        }
        writer.query_drop("COMMIT").await.unwrap();
    }
    writer.query_drop("INSERT INTO b VALUES (-1, -1)").await.unwrap();
}

/// Runs the source again and again, as the engine does, with its connection killed now and then.
async fn nothing_is_lost_or_doubled_when_connections_die(family: Family) {
    let mut db = Db::create(family, "killed").await;
    db.run(&["CREATE TABLE a (id INT PRIMARY KEY, v INT)", "CREATE TABLE b (id INT PRIMARY KEY, v INT)"]).await;
    let source = db.source();
    let tables = discover(&*source, &["a", "b"]).await;
    let before = run(&*source, &tables, None).await.unwrap();
    let (mut state, mut from) = (State::new(), before.position());

    let enough = Arc::new(AtomicBool::new(false));
    let writing = tokio::spawn(write_transactions(db.another().await, enough.clone()));
    let (mut kills, mut breaks, mut is_last) = (0, 0, false);
    while !is_last {
        let (out, mut events) = mpsc::channel(2);
        let capture =
            Capture { tables: tables.clone(), from: Some(from.clone()), until_caught_up: false, held: Arc::new(MemoryRows::default()) };
        let collecting = async {
            let mut seen = Seen::default();
            while let Some(event) = events.recv().await {
                let is_commit = matches!(event, Event::Commit { .. });
                seen.take(event);
                is_last = is_commit && is_last_transaction(&tables, seen.transactions.last().unwrap());
                if is_last {
                    break;
                }
                if is_commit && seen.transactions.len() % 40 == 0 {
                    kills += kill_readers_of_the_log(&mut db.conn, &db.name).await;
                }
            }
            drop(events);
            seen
        };
        let (ended, seen) = tokio::join!(source.run(capture, out), collecting);
        match ended {
            Ok(()) => assert!(is_last, "a run ends by itself only with an error"),
            Err(SourceError::Transient { .. }) => breaks += 1,
            Err(other) => panic!("{other}"),
        }
        if !seen.positions.is_empty() {
            from = seen.position();
        }
        state = seen.state(state);
        enough.store(kills > 3 && breaks > 3, Ordering::Relaxed);
    }
    writing.await.unwrap();
    assert!(kills > 3 && breaks > 3, "{kills} connections were killed, {breaks} runs ended by it");
    let snapshot = run(&*source, &tables, None).await.unwrap();
    assert!(state == snapshot.state(State::new()));
    db.drop().await;
}

fn is_last_transaction(tables: &[Table], deltas: &[Delta]) -> bool {
    let layout = Layout::new(&tables[1].schema);
    deltas.iter().any(|d| d.table == 1 && layout.get(&d.row, 0) == Datum::Int(-1))
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_or_doubled_when_connections_die_on_mariadb() {
    nothing_is_lost_or_doubled_when_connections_die(Family::Mariadb).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_or_doubled_when_connections_die_on_mysql() {
    nothing_is_lost_or_doubled_when_connections_die(Family::Mysql).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_without_a_key_are_a_multiset() {
    let mut db = Db::create(Family::Mariadb, "multiset").await;
    db.run(&["CREATE TABLE t (v INT)", "INSERT INTO t VALUES (1), (1), (2)"]).await;
    let source = db.source();
    let tables = discover(&*source, &["t"]).await;
    assert!(tables[0].key.is_empty());
    let before = run(&*source, &tables, None).await.unwrap();
    db.run(&["INSERT INTO t VALUES (1)", "DELETE FROM t WHERE v = 1 LIMIT 2"]).await;
    let seen = run(&*source, &tables, Some(before.position())).await.unwrap();
    let counts: Vec<i64> = seen.state(before.state(State::new())).into_values().collect();
    assert_eq!(counts, [1, 1]);
    db.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_position_moves_while_only_others_write() {
    for family in [Family::Mariadb, Family::Mysql] {
        let mut db = Db::create(family, "progress").await;
        db.run(&["CREATE TABLE t (v INT)", "CREATE TABLE other (v INT)"]).await;
        let source = db.source();
        let tables = discover(&*source, &["t"]).await;
        let (out, mut events) = mpsc::channel(16);
        let capture = Capture { tables, from: None, until_caught_up: false, held: Arc::new(MemoryRows::default()) };
        let running = tokio::spawn(async move { source.run(capture, out).await });
        while !matches!(events.recv().await, Some(Event::CaughtUp)) {}
        db.run(&["INSERT INTO other VALUES (1)"]).await;
        let mut conn = db.another().await;
        let end: mysql_async::Row = match family {
            Family::Mariadb => conn.query_first("SHOW MASTER STATUS").await.unwrap().unwrap(),
            Family::Mysql => conn.query_first("SHOW BINARY LOG STATUS").await.unwrap().unwrap(),
        };
        let end: u64 = end.get(1).unwrap();
        loop {
            let event = events.recv().await.unwrap();
            let Event::Progress { position, .. } = event else { panic!("{event:?}") };
            let offset =
                position.as_str().split(';').find_map(|p| p.strip_prefix("file=")).unwrap().rsplit(':').next().unwrap().parse::<u64>();
            if offset.unwrap() >= end {
                break;
            }
        }
        drop(events);
        running.await.unwrap().unwrap();
        db.drop().await;
    }
}

/// The file and offset of a position.
fn place(position: &tidemill::value::Position) -> (String, u64) {
    let file = position.as_str().split(';').find_map(|part| part.strip_prefix("file=")).unwrap();
    let (file, offset) = file.rsplit_once(':').unwrap();
    (file.to_owned(), offset.parse().unwrap())
}

/// Asked for a place by GTID, a server begins with what stands at the start of the file.
#[tokio::test(flavor = "multi_thread")]
async fn a_position_does_not_go_back_in_its_file() {
    for family in [Family::Mariadb, Family::Mysql] {
        let mut db = Db::create_alone(family, "forward").await;
        db.run(&["CREATE TABLE t (id INT PRIMARY KEY, v TEXT)", "INSERT INTO t VALUES (1, REPEAT('x', 10000))"]).await;
        // A heartbeat would say where the log ends before anybody looks.
        let source = db.source_with(serde_json::json!({"heartbeat_ms": 10_000}));
        let tables = discover(&*source, &["t"]).await;
        let before = run(&*source, &tables, None).await.unwrap().position();
        assert!(before.as_str().contains("gtid=") && place(&before).1 > 10_000, "{before}");
        let (out, mut events) = mpsc::channel(16);
        let capture = Capture { tables, from: Some(before.clone()), until_caught_up: false, held: Arc::new(MemoryRows::default()) };
        let running = tokio::spawn(async move { source.run(capture, out).await });
        let (mut last, mut written, mut seen) = (before, false, 0);
        while seen < 2 {
            let position = match events.recv().await.unwrap() {
                Event::Progress { position, .. } | Event::Commit { position, .. } => position,
                _ => continue,
            };
            let (here, there) = (place(&last), place(&position));
            assert!(here.0 != there.0 || here.1 <= there.1, "{family:?} went from {last} to {position}");
            seen += u32::from(written && there.1 > here.1);
            last = position;
            if !written {
                db.run(&["INSERT INTO t VALUES (2, 'x')", "FLUSH BINARY LOGS", "INSERT INTO t VALUES (3, 'x')"]).await;
                written = true;
            }
            if place(&last).0 != here.0 {
                seen = 2;
            }
        }
        drop(events);
        running.await.unwrap().unwrap();
        db.drop().await;
    }
}
