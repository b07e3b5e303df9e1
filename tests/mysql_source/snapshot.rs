//! The snapshot is exactly the tables' state at its position, whatever is written meanwhile.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use mysql_async::prelude::Queryable;

use super::support::*;

/// Writers move money between accounts of two tables and count their moves in a third, all in one transaction.
async fn snapshot_and_log_are_exact_under_writers(family: Family) {
    let mut db = Db::create(family, "exact").await;
    db.run(&[
        "CREATE TABLE a (id INT PRIMARY KEY, v BIGINT, pad VARCHAR(50))",
        "CREATE TABLE b (id INT PRIMARY KEY, v BIGINT)",
        "CREATE TABLE moves (id BIGINT PRIMARY KEY AUTO_INCREMENT, a INT, b INT)",
        "INSERT INTO a WITH RECURSIVE s AS (SELECT 0 n UNION ALL SELECT n + 1 FROM s WHERE n < 899) SELECT n, 1000, REPEAT('x', 50) FROM s",
        "INSERT INTO b SELECT id, 1000 FROM a",
    ])
    .await;
    let source = db.source();
    let tables = discover(&*source, &["a", "b", "moves"]).await;
    let stop = Arc::new(AtomicBool::new(false));
    let mut writers = Vec::new();
    for w in 0..3u64 {
        let (mut conn, stop) = (db.another().await, stop.clone());
        writers.push(tokio::spawn(async move {
            let mut i = w;
            while !stop.load(Ordering::Relaxed) {
                i = i.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                let (from, to) = ((i >> 33) % 300 + w * 300, (i >> 43) % 300 + w * 300);
                conn.query_drop("BEGIN").await.unwrap();
                conn.query_drop(format!("UPDATE a SET v = v - 1 WHERE id = {from}")).await.unwrap();
                conn.query_drop(format!("UPDATE b SET v = v + 1 WHERE id = {to}")).await.unwrap();
                conn.query_drop(format!("INSERT INTO moves (a, b) VALUES ({from}, {to})")).await.unwrap();
                conn.query_drop("COMMIT").await.unwrap();
            }
        }));
    }
    let mut seen = Vec::new();
    for _ in 0..4 {
        let snapshot = run(&*source, &tables, None).await.unwrap();
        assert!(sum(&tables, &snapshot) == 1_800_000, "a snapshot never shows half a transaction");
        seen.push(snapshot);
    }
    stop.store(true, Ordering::Relaxed);
    for writer in writers {
        writer.await.unwrap();
    }
    let last = run(&*source, &tables, None).await.unwrap().state(State::new());
    for earlier in seen {
        let rest = run(&*source, &tables, Some(earlier.position())).await.unwrap();
        assert!(rest.state(earlier.state(State::new())) == last, "what came between is neither lost nor doubled");
    }
    db.drop().await;
}

/// The money in both tables of a snapshot.
fn sum(tables: &[tidemill::sources::Table], seen: &Seen) -> i64 {
    let layouts: Vec<_> = tables.iter().map(|t| tidemill::value::Layout::new(&t.schema)).collect();
    let money = |(table, row): &(usize, tidemill::value::Row)| match layouts[*table].get(row, 1) {
        tidemill::value::Datum::Int(v) if *table < 2 => v,
        _ => 0,
    };
    seen.snapshot.iter().map(money).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn snapshot_and_log_are_exact_under_writers_on_mariadb() {
    snapshot_and_log_are_exact_under_writers(Family::Mariadb).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn snapshot_and_log_are_exact_under_writers_on_mysql() {
    snapshot_and_log_are_exact_under_writers(Family::Mysql).await;
}

/// Every row of a table that is cut into ranges is read once, whatever its key.
async fn ranges_cover_a_table(family: Family) {
    let mut db = Db::create(family, "ranges").await;
    let numbers = "WITH RECURSIVE s AS (SELECT 0 n UNION ALL SELECT n + 1 FROM s WHERE n < 999)";
    let all = format!("{numbers} SELECT x.n * 1000 + y.n AS n FROM s x, s y WHERE x.n < 260");
    db.run(&[
        "CREATE TABLE ints (id BIGINT PRIMARY KEY)",
        &format!("INSERT INTO ints SELECT n * 3 - 90000 FROM ({all}) q"),
        "CREATE TABLE texts (id VARCHAR(40) CHARACTER SET latin1 PRIMARY KEY, v INT)",
        "INSERT INTO texts SELECT CONCAT(LEFT(SHA2(id, 256), 32), IF(id % 7 = 0, 'é', '')), id FROM ints",
        "CREATE TABLE pairs (g SMALLINT UNSIGNED, n INT, PRIMARY KEY (g, n))",
        "INSERT INTO pairs SELECT id % 3, id FROM ints WHERE id > 0",
        "CREATE TABLE bins (id VARBINARY(20) PRIMARY KEY)",
        "INSERT INTO bins SELECT UNHEX(LEFT(SHA2(id, 256), 40)) FROM ints",
        "ANALYZE TABLE ints, texts, pairs, bins",
    ])
    .await;
    let source = db.source();
    let tables = discover(&*source, &["ints", "texts", "pairs", "bins"]).await;
    let seen = run(&*source, &tables, None).await.unwrap();
    for (i, table) in tables.iter().enumerate() {
        let expected: u64 = db.conn.query_first(format!("SELECT COUNT(*) FROM {}", table.name)).await.unwrap().unwrap();
        let mut rows: Vec<_> = seen.snapshot.iter().filter(|(t, _)| *t == i).map(|(_, row)| row).collect();
        assert_eq!(rows.len() as u64, expected, "{}", table.name);
        rows.sort();
        rows.dedup();
        assert_eq!(rows.len() as u64, expected, "{} has no row twice", table.name);
    }
    assert!(seen.planned.unwrap().iter().all(|rows| rows.is_some_and(|rows| rows > 100_000)));
    db.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ranges_cover_a_table_on_mariadb() {
    ranges_cover_a_table(Family::Mariadb).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ranges_cover_a_table_on_mysql() {
    ranges_cover_a_table(Family::Mysql).await;
}

/// The limit is over all connections and tables, however small. Only that it is not faster is of interest here.
async fn a_snapshot_is_not_read_faster_than_its_limit(family: Family) {
    let mut db = Db::create(family, "limit").await;
    let numbers = "WITH RECURSIVE s AS (SELECT 0 n UNION ALL SELECT n + 1 FROM s WHERE n < 999)";
    db.run(&[
        "CREATE TABLE a (id INT PRIMARY KEY, v INT)",
        "CREATE TABLE b (id INT PRIMARY KEY, v INT)",
        &format!("INSERT INTO a {numbers} SELECT x.n * 1000 + y.n, x.n FROM s x, s y WHERE x.n < 5"),
        "INSERT INTO b SELECT * FROM a WHERE id < 1000",
    ])
    .await;
    let tables = discover(&*db.source(), &["a", "b"]).await;
    let limited = db.source_with(serde_json::json!({"snapshot_rows_per_second": 3_000}));
    let start = std::time::Instant::now();
    let seen = run(&*limited, &tables, None).await.unwrap();
    assert!(start.elapsed().as_secs_f64() >= 2.0, "6,000 rows at 3,000 rows/s after {:?}", start.elapsed());
    assert_eq!(seen.snapshot.len(), 6_000);
    assert!(seen.state(State::new()) == run(&*db.source(), &tables, None).await.unwrap().state(State::new()));
    db.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_is_not_read_faster_than_its_limit_on_mariadb() {
    a_snapshot_is_not_read_faster_than_its_limit(Family::Mariadb).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_is_not_read_faster_than_its_limit_on_mysql() {
    a_snapshot_is_not_read_faster_than_its_limit(Family::Mysql).await;
}

/// Not a test of speed but a measure: `cargo test --release --test mysql_source throughput -- --ignored --nocapture`.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measure, not a test"]
async fn throughput() {
    for family in [Family::Mariadb, Family::Mysql] {
        let mut db = Db::create(family, "throughput").await;
        let numbers = "WITH RECURSIVE s AS (SELECT 0 n UNION ALL SELECT n + 1 FROM s WHERE n < 999)";
        db.run(&[
            "CREATE TABLE t (id INT PRIMARY KEY, a BIGINT, b DECIMAL(10,2), c VARCHAR(40), d DATETIME, e DOUBLE, f INT, g VARCHAR(20))",
        ])
        .await;
        let source = db.source();
        let tables = discover(&*source, &["t"]).await;
        let empty = run(&*source, &tables, None).await.unwrap();
        let fill = format!(
            "INSERT INTO t {numbers} SELECT x.n * 1000 + y.n, y.n * 1e9, x.n / 7, REPEAT('x', 20 + y.n % 20), '2024-01-02 03:04:05', y.n / 3, x.n, 'abc' FROM s x, s y"
        );
        db.run(&[&fill, "ANALYZE TABLE t"]).await;
        for connections in [1, 2, 4] {
            let source = db.source_with(serde_json::json!({"snapshot_connections": connections}));
            let start = std::time::Instant::now();
            let rows = count(&*source, &tables, None).await;
            println!("{family:?} snapshot, {connections} connections: {:.2} M rows/s", rows as f64 / start.elapsed().as_secs_f64() / 1e6);
        }
        let start = std::time::Instant::now();
        let rows = count(&*source, &tables, Some(empty.position())).await;
        println!("{family:?} log: {:.2} M rows/s", rows as f64 / start.elapsed().as_secs_f64() / 1e6);
        db.drop().await;
    }
}

async fn count(
    source: &dyn tidemill::sources::Source,
    tables: &[tidemill::sources::Table],
    from: Option<tidemill::value::Position>,
) -> usize {
    use tidemill::sources::{Capture, Event, MemoryRows};
    let (out, mut events) = tokio::sync::mpsc::channel(16);
    let capture = Capture { tables: tables.to_vec(), from, until_caught_up: true, held: Arc::new(MemoryRows::default()) };
    let counting = async {
        let mut count = 0;
        while let Some(event) = events.recv().await {
            count += match event {
                Event::Rows { rows, .. } => rows.len(),
                Event::Changes(deltas) => deltas.len(),
                _ => 0,
            };
        }
        count
    };
    let (ended, count) = tokio::join!(source.run(capture, out), counting);
    ended.unwrap();
    count
}
