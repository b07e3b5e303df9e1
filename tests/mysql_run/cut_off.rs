//! A capture whose connections die, whose server goes, or whose engine is killed goes on with what is missing.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use mysql_async::prelude::Queryable;

use super::kit::{at_the_server, catch_up, spec, stored};
use super::proxy::Proxy;
use super::random::Random;
use super::support::{MysqlDatabase, OwnServer, Program, Running, eventually};

/// Rows that are too large to wait in the buffers of a connection: one that dies takes some of them along.
async fn fill(database: &MysqlDatabase, table: &str) {
    database
        .execute(&[
            &format!("CREATE TABLE {table} (id INT PRIMARY KEY, v INT, pad TEXT)"),
            &format!(
                "INSERT INTO {table} WITH RECURSIVE s AS (SELECT 0 n UNION ALL SELECT n + 1 FROM s WHERE n < 999) \
                 SELECT x.n * 1000 + y.n, y.n, REPEAT('x', 4000) FROM s x, s y WHERE x.n < 6"
            ),
        ])
        .await;
}

fn slow_spec(database: &MysqlDatabase) -> String {
    spec(database, "snapshot_rows_per_second: 2000")
}

/// Kills the connections of the capture's user again and again, until this is dropped.
struct Killer(Arc<AtomicBool>);

impl Killer {
    fn of(database: &MysqlDatabase) -> Killer {
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, root, user) = (stop.clone(), database.root_url(), database.user.clone());
        tokio::spawn(async move {
            let mut server = mysql_async::Conn::from_url(root).await.unwrap();
            while !stopped.load(Ordering::Acquire) {
                let query = format!("SELECT ID FROM information_schema.PROCESSLIST WHERE USER = '{user}'");
                for id in server.query::<u64, _>(query).await.unwrap() {
                    let _ = server.query_drop(format!("KILL {id}")).await;
                }
                // Long enough for some rows, too short for all.
                tokio::time::sleep(Duration::from_millis(1_200)).await;
            }
        });
        Killer(stop)
    }
}

impl Drop for Killer {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

fn wait_for_rows(running: &Running, table: &str) {
    let of_table = format!("\"table\":\"{table}\"");
    running.wait_for_stdout("rows of the snapshot", |line| {
        line.contains("\"event\":\"snapshot\"") && line.contains(&of_table) && !line.contains("\"rows\":0,")
    });
}

/// The numbers of rows of a table that were shown, in order.
fn shown_rows(stdout: &str, table: &str) -> Vec<u64> {
    let shown = stdout.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    shown.filter(|line| line["event"] == "snapshot" && line["table"] == table).map(|line| line["rows"].as_u64().unwrap()).collect()
}

/// A capture that is cut off goes on with what is missing, and has the changes that came meanwhile.
async fn a_capture_that_is_cut_off_goes_on(kind: &str) {
    let shop = MysqlDatabase::create(kind).await;
    fill(&shop, "t").await;
    let program = Program::new();
    program.write("shop.yaml", &slow_spec(&shop));
    let running = program.start(&["run", "shop.yaml", "--until-caught-up", "--json"]);
    wait_for_rows(&running, "shop.t");
    let killer = Killer::of(&shop);
    running.wait_for_stderr("the first cut-off", |line| line.contains("capture interrupted"));
    shop.execute(&["DELETE FROM t WHERE id % 3 = 0", "UPDATE t SET v = -v WHERE id % 3 = 1", "INSERT INTO t VALUES (-1, -1, '')"]).await;
    let is_further = |line: &str| shown_rows(line, "shop.t").first().is_some_and(|rows| *rows >= 3000);
    running.wait_for_stdout("more rows in spite of the cut-offs", is_further);
    drop(killer);
    let ended = running.finish();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let rows = shown_rows(&ended.stdout, "shop.t");
    let lost: u64 = rows.windows(2).map(|pair| pair[0].saturating_sub(pair[1])).sum();
    assert!(lost <= 2000, "no more than the chunks that were being read are read again: {rows:?}");
    assert!(stored(&program) == at_the_server(&shop, "SELECT id, v FROM t").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_capture_that_is_cut_off_goes_on_on_mariadb() {
    a_capture_that_is_cut_off_goes_on("MARIADB").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_capture_that_is_cut_off_goes_on_on_mysql() {
    a_capture_that_is_cut_off_goes_on("MYSQL").await;
}

/// The engine is killed again and again while it captures. Each time it goes on with the chunks that are missing, and what is there at the
/// end is exactly what the server has, although rows were changed, deleted, inserted and given other keys all the time.
async fn a_capture_goes_on_after_kills(kind: &str) {
    const KILLS: u64 = 12;
    let shop = MysqlDatabase::create(kind).await;
    fill(&shop, "t").await;
    let program = Program::new();
    program.write("shop.yaml", &spec(&shop, "snapshot_rows_per_second: 4000"));
    let seed = std::env::var("TIDEMILL_KILL_SEED").map_or_else(|_| std::process::id().into(), |seed| seed.parse().unwrap());
    println!("TIDEMILL_KILL_SEED={seed}");
    let random = &mut Random::new(seed);
    let writer = Writer::of(&shop, seed + 1).await;
    let mut last = 0;
    let mut read_again = 0;
    for _ in 0..KILLS {
        let running = program.start(&["run", "shop.yaml", "--json"]);
        let more = last + 100 + random.below(300) as u64;
        let is_more = |line: &str| shown_rows(line, "shop.t").first().is_some_and(|rows| *rows >= more);
        running.wait_for_stdout("more rows", |line| is_more(line) || line.contains("\"event\":\"view\""));
        let rows = shown_rows(&running.kill().stdout, "shop.t");
        // The last run may have been killed after its last line.
        let Some(first) = rows.first() else { break };
        read_again += last.saturating_sub(*first);
        last = rows.into_iter().max().unwrap();
    }
    writer.stop().await;
    catch_up(&program);
    assert!(read_again <= KILLS * 2000, "{read_again} rows were read again");
    let (stored, expected) = (stored(&program), at_the_server(&shop, "SELECT id, v FROM t").await);
    assert!(stored == expected, "seed {seed}: {} rows, {} expected", stored.len(), expected.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_capture_goes_on_after_kills_on_mariadb() {
    a_capture_goes_on_after_kills("MARIADB").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_capture_goes_on_after_kills_on_mysql() {
    a_capture_goes_on_after_kills("MYSQL").await;
}

/// Changes random rows of the table `t`, until it is stopped.
struct Writer(Arc<AtomicBool>, tokio::task::JoinHandle<()>);

impl Writer {
    async fn of(database: &MysqlDatabase, seed: u64) -> Writer {
        let stop = Arc::new(AtomicBool::new(false));
        let mut conn = database.connect().await;
        let stopped = stop.clone();
        let writing = tokio::spawn(async move {
            let random = &mut Random::new(seed);
            while !stopped.load(Ordering::Acquire) {
                let (a, b) = (random.below(6000), random.below(6000));
                let statement = match random.below(5) {
                    0 => format!("DELETE FROM t WHERE id = {a}"),
                    1 => format!("REPLACE INTO t VALUES ({a}, {b}, '')"),
                    2 => format!("UPDATE t SET v = v + 1 WHERE id BETWEEN {a} AND {a} + 20"),
                    3 => format!("UPDATE IGNORE t SET id = {b} WHERE id = {a}"),
                    _ => format!("INSERT IGNORE INTO t VALUES ({a}, {b}, 'new')"),
                };
                conn.query_drop(statement).await.unwrap();
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        });
        Writer(stop, writing)
    }

    async fn stop(self) {
        self.0.store(true, Ordering::Release);
        self.1.await.unwrap();
    }
}

/// While a source is captured, the other one is followed, and the views of its tables advance.
#[tokio::test(flavor = "multi_thread")]
async fn other_sources_go_on_during_a_capture() {
    let orders = MysqlDatabase::create("MARIADB").await;
    orders.execute(&["CREATE TABLE o (id INT PRIMARY KEY, v INT)", "INSERT INTO o VALUES (1, 1), (2, 2), (3, 3)"]).await;
    let items = MysqlDatabase::create("MYSQL").await;
    fill(&items, "t").await;
    let program = Program::new();
    let both = format!(
        "sources:\n  orders: {{kind: mariadb, options: {{url: \"{}\"}}}}\n  \
         items: {{kind: mysql, options: {{url: \"{}\", snapshot_rows_per_second: 2000}}}}\n\
         views:\n  o: {{from: orders.o}}\n  v:\n    from: orders.o\n    \
         lookup:\n      - {{from: items.t, path: items, type: array, on: {{id: v}}, aggregates: {{n: count()}}}}\n",
        orders.url(),
        items.url()
    );
    program.write("shop.yaml", &both);
    let arguments = ["run", "shop.yaml", "--until-caught-up", "--json", "--workers", "2"];
    let running = program.start(&arguments);
    wait_for_rows(&running, "items.t");
    let killer = Killer::of(&items);
    running.wait_for_stderr("the first cut-off", |line| line.contains("capture interrupted"));
    orders.execute(&["UPDATE o SET v = 4 WHERE id = 2", "DELETE FROM o WHERE id = 3"]).await;
    eventually("the view of the other source", Duration::from_secs(60), || {
        let got = program.run(&["get", "o", "--state", "shop.state"]);
        (got.stdout == "{\"id\":1,\"v\":1}\n{\"id\":2,\"v\":4}\n").then_some(())
    });
    assert_eq!(program.run(&["get", "v", "--state", "shop.state"]).code, Some(3), "no such view yet");
    let told = "source items: no position yet, 0 transactions\n  waiting: ";
    eventually("the status to say what is waited for", Duration::from_secs(60), || {
        program.run(&["status", "--state", "shop.state"]).stdout.contains(told).then_some(())
    });
    drop(killer);
    let stopping = std::time::Instant::now();
    running.signal("INT");
    let stopped = running.finish();
    assert_eq!(stopped.code, Some(0), "{}", stopped.stderr);
    assert!(stopping.elapsed() < Duration::from_secs(10), "a stop does not wait for the next try");

    let again = program.run(&arguments);
    assert_eq!(again.code, Some(0), "{}", again.stderr);
    assert_eq!(stored(&program), BTreeMap::from([(1, 1), (2, 4)]));
    let got = program.run(&["get", "v", "--state", "shop.state"]);
    let counts: Vec<i64> =
        got.stdout.lines().map(|l| serde_json::from_str::<serde_json::Value>(l).unwrap()["n"].as_i64().unwrap()).collect();
    let expected = at_the_server(&items, "SELECT v, COUNT(*) FROM t WHERE v IN (1, 4) GROUP BY v").await;
    assert_eq!(counts, expected.into_values().collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_in_the_middle_of_a_capture_keeps_what_was_read() {
    let shop = MysqlDatabase::create("MARIADB").await;
    fill(&shop, "t").await;
    let program = Program::new();
    program.write("shop.yaml", &slow_spec(&shop));
    let running = program.start(&["run", "shop.yaml", "--json"]);
    running.wait_for_stdout("some rows", |line| shown_rows(line, "shop.t").first().is_some_and(|rows| *rows >= 2500));
    running.signal("TERM");
    assert_eq!(running.finish().code, Some(0));
    assert_eq!(program.run(&["get", "v", "--state", "shop.state"]).code, Some(3), "no such view yet");
    shop.execute(&["DELETE FROM t WHERE id % 2 = 0"]).await;
    let ended = program.run(&["run", "shop.yaml", "--until-caught-up", "--json"]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let rows = shown_rows(&ended.stdout, "shop.t");
    assert!(rows.iter().all(|rows| *rows >= 1000), "it goes on where it was: {rows:?}");
    assert!(stored(&program) == at_the_server(&shop, "SELECT id, v FROM t").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_capture_goes_on_when_the_server_is_back() {
    let server = OwnServer::start("MARIADB", "");
    let shop = MysqlDatabase::create_at("MARIADB", &server.url).await;
    fill(&shop, "t").await;
    let program = Program::new();
    program.write("shop.yaml", &slow_spec(&shop));
    let running = program.start(&["run", "shop.yaml", "--until-caught-up", "--json"]);
    wait_for_rows(&running, "shop.t");
    server.restart();
    running.wait_for_stderr("the cut-off", |line| line.contains("capture interrupted"));
    let ended = running.finish();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(stored(&program) == at_the_server(&shop, "SELECT id, v FROM t").await);
}

/// One connection for the log, one to look its beginning up, one for the rows.
#[tokio::test(flavor = "multi_thread")]
async fn a_user_with_few_connections_captures_too() {
    for kind in ["MARIADB", "MYSQL"] {
        let shop = MysqlDatabase::create(kind).await;
        fill(&shop, "t").await;
        shop.execute(&[&format!("ALTER USER '{}'@'%' WITH MAX_USER_CONNECTIONS 3", shop.user)]).await;
        let program = Program::new();
        program.write("shop.yaml", &spec(&shop, "heartbeat_ms: 200"));
        catch_up(&program);
        assert!(stored(&program) == at_the_server(&shop, "SELECT id, v FROM t").await, "{kind}");
    }
}

/// What was staged belongs to the old log, and places in the new one mean nothing to it.
#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_is_reset_during_a_capture_starts_it_over() {
    for (kind, reset) in [("MARIADB", "RESET MASTER"), ("MYSQL", "RESET BINARY LOGS AND GTIDS")] {
        let server = OwnServer::start(kind, "");
        let shop = MysqlDatabase::create_at(kind, &server.url).await;
        fill(&shop, "t").await;
        shop.execute(&["FLUSH BINARY LOGS", "FLUSH BINARY LOGS", "FLUSH BINARY LOGS"]).await;
        let program = Program::new();
        program.write("shop.yaml", &slow_spec(&shop));
        let running = program.start(&["run", "shop.yaml", "--until-caught-up", "--json"]);
        wait_for_rows(&running, "shop.t");
        shop.execute(&[reset, "UPDATE t SET v = -v WHERE id % 3 = 0", "DELETE FROM t WHERE id % 3 = 1"]).await;
        running.wait_for_stderr("the reset to be noticed", |line| line.contains("capture starts over"));
        let ended = running.finish();
        assert_eq!(ended.code, Some(0), "{kind}: {}", ended.stderr);
        assert!(stored(&program) == at_the_server(&shop, "SELECT id, v FROM t").await, "{kind}");
    }
}

/// Rows of one server and the log of another do not fit together.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_read_from_two_servers_at_once() {
    let other = OwnServer::start("MYSQL", "");
    let address = |url: &str| url.rsplit('@').next().unwrap().trim_end_matches('/').to_owned();
    let shop = MysqlDatabase::create("MYSQL").await;
    let make =
        [&format!("CREATE DATABASE IF NOT EXISTS {0}", shop.name), &format!("CREATE TABLE {0}.t (id INT PRIMARY KEY, v INT)", shop.name)];
    let mut second = mysql_async::Conn::from_url(&other.url).await.unwrap();
    for statement in make {
        second.query_drop(statement).await.unwrap();
    }
    shop.execute(&["CREATE TABLE t (id INT PRIMARY KEY, v INT)", "INSERT INTO t VALUES (1, 1)"]).await;
    let proxy = Proxy::between(&[&format!("{}:{}", shop.host, shop.port), &address(&other.url)]).await;
    let program = Program::new();
    let url = format!("mysql://root:tidemill@127.0.0.1:{}/{}", proxy.port, shop.name);
    program.write("shop.yaml", &spec(&shop, "heartbeat_ms: 200").replace(&shop.url(), &url));
    let running = program.start(&["run", "shop.yaml", "--json"]);
    running.wait_for_stdout("what is wrong", |line| line.contains("the connections lead to different servers"));
    assert_eq!(program.run(&["get", "v", "--state", "shop.state"]).code, Some(3), "there is no view");
    running.kill();
}

/// Whoever changes a table's definition, or locks the table for a moment, waits for one chunk and not for the capture.
#[tokio::test(flavor = "multi_thread")]
async fn a_definition_can_be_changed_during_a_capture() {
    for kind in ["MARIADB", "MYSQL"] {
        let shop = MysqlDatabase::create(kind).await;
        fill(&shop, "t").await;
        let program = Program::new();
        program.write("shop.yaml", &slow_spec(&shop).replace("    columns: [id, v]\n", ""));
        let running = program.start(&["run", "shop.yaml", "--until-caught-up", "--json"]);
        wait_for_rows(&running, "shop.t");
        let mut conn = shop.connect().await;
        conn.query_drop("SET lock_wait_timeout = 1").await.unwrap();
        for statement in ["ALTER TABLE t ADD INDEX (v)", "ALTER TABLE t ADD COLUMN more INT DEFAULT 7"] {
            conn.query_drop(statement).await.unwrap_or_else(|e| panic!("{kind}, {statement}: {e}"));
        }
        let ended = running.finish();
        assert_eq!(ended.code, Some(0), "{kind}: {}", ended.stderr);
        let got = program.run(&["get", "v", "17", "--state", "shop.state"]).stdout;
        let got: serde_json::Value = serde_json::from_str(&got).unwrap();
        assert_eq!((got["v"].as_i64(), got["more"].as_i64()), (Some(17), Some(7)), "{kind}");
    }
}

/// Keys of every kind along which a table is walked, or cannot be: all rows come, once.
#[tokio::test(flavor = "multi_thread")]
async fn tables_are_walked_along_every_key() {
    let keys = [
        ("i BIGINT UNSIGNED", "n * 3074457345618"),
        ("i INT", "CASE n % 2 WHEN 0 THEN -n ELSE n END"),
        ("i DECIMAL(30, 10)", "n / 7"),
        ("i VARCHAR(20) CHARACTER SET latin1 COLLATE latin1_german2_ci", "CONCAT(CHAR(65 + n % 50 USING latin1), n)"),
        ("i VARCHAR(20) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin", "CONCAT(CHAR(65 + n % 50), n, '\\'')"),
        ("i CHAR(12) CHARACTER SET utf8mb3", "CONCAT(n % 50, '-', n)"),
        ("i BINARY(16)", "UNHEX(LPAD(HEX(n * 7919 % 65521), 32, '0'))"),
        ("i VARBINARY(20)", "UNHEX(CONCAT(LPAD(HEX(n), 4, '0'), REPEAT('37', n % 9)))"),
        ("i DATETIME(3)", "'2020-01-01' + INTERVAL n HOUR"),
        ("i TIMESTAMP", "'2020-01-01' + INTERVAL n HOUR"),
        ("i DATE", "'2020-01-01' + INTERVAL n DAY"),
        ("i DOUBLE", "n / 3"),
        ("j INT, i INT", "n % 3, n"),
        ("j VARCHAR(5), k INT, i INT", "'all', n % 2, n"),
        ("i INT, j ENUM('b', 'a', 'c')", "n, 1 + n % 3"),
    ];
    for kind in ["MARIADB", "MYSQL"] {
        let shop = MysqlDatabase::create(kind).await;
        let mut spec = format!("sources: {{shop: {{kind: mysql, options: {{url: \"{}\"}}}}}}\nviews:\n", shop.url());
        for (number, (columns, values)) in keys.iter().enumerate() {
            let names: Vec<&str> =
                columns.split(", ").filter_map(|column| column.split(' ').next()).filter(|name| name.len() == 1).collect();
            let key = names.join(", ");
            // Wide rows make chunks small.
            shop.execute(&[
                &format!("CREATE TABLE t{number} ({columns}, pad TEXT, PRIMARY KEY ({key}))"),
                &format!(
                    "INSERT INTO t{number} WITH RECURSIVE s AS (SELECT 1 n UNION ALL SELECT n + 1 FROM s WHERE n < 400) \
                     SELECT {values}, REPEAT('x', 20000) FROM s"
                ),
                &format!("ANALYZE TABLE t{number}"),
            ])
            .await;
            spec += &format!("  v{number}: {{sql: \"SELECT COUNT(*) AS n, COUNT(DISTINCT i) AS different FROM shop.t{number}\"}}\n");
        }
        let program = Program::new();
        program.write("shop.yaml", &spec);
        catch_up(&program);
        for (number, (columns, _)) in keys.iter().enumerate() {
            let got = program.run(&["get", &format!("v{number}"), "--state", "shop.state"]).stdout;
            assert_eq!(got.trim(), "{\"n\":400,\"different\":400}", "{kind}, {columns}");
        }
    }
}
