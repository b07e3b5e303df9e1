//! A snapshot whose connections die, or whose server goes, starts over by itself.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use mysql_async::prelude::Queryable;

use super::kit::{at_the_server, catch_up, spec, stored};
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

async fn a_snapshot_that_is_cut_off_starts_over(kind: &str) {
    let shop = MysqlDatabase::create(kind).await;
    fill(&shop, "t").await;
    let program = Program::new();
    program.write("shop.yaml", &slow_spec(&shop));
    let running = program.start(&["run", "shop.yaml", "--until-caught-up", "--json"]);
    wait_for_rows(&running, "shop.t");
    let killer = Killer::of(&shop);
    running.wait_for_stderr("the first cut-off", |line| line.contains("snapshot cut off") && line.contains("wait_ms=1000"));
    // Had anything of the first attempt been kept, these would be in the view.
    shop.execute(&["DELETE FROM t WHERE id % 3 = 0", "UPDATE t SET v = -v WHERE id % 3 = 1", "INSERT INTO t VALUES (-1, -1, '')"]).await;
    let waiting = running.wait_for_stdout("what is waited for", |line| line.contains("starts over in 2.0 s"));
    drop(killer);
    let waiting: serde_json::Value = serde_json::from_str(&waiting).unwrap();
    assert_eq!((waiting["event"].as_str(), waiting["source"].as_str()), (Some("waiting"), Some("shop")));
    let reason = waiting["reason"].as_str().unwrap();
    assert_eq!(reason, "snapshot of `shop` was cut off: reading the snapshot: the connection was closed; starts over in 2.0 s");
    let ended = running.finish();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(stored(&program) == at_the_server(&shop, "SELECT id, v FROM t").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_that_is_cut_off_starts_over_on_mariadb() {
    a_snapshot_that_is_cut_off_starts_over("MARIADB").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_that_is_cut_off_starts_over_on_mysql() {
    a_snapshot_that_is_cut_off_starts_over("MYSQL").await;
}

/// The first source is through with its snapshot when that of the second is cut off: both are taken again. A stop while that is waited
/// for ends the run at once, and the next one begins from nothing.
#[tokio::test(flavor = "multi_thread")]
async fn the_snapshots_of_all_sources_start_over_together() {
    let orders = MysqlDatabase::create("MARIADB").await;
    orders.execute(&["CREATE TABLE o (id INT PRIMARY KEY, v INT)", "INSERT INTO o VALUES (1, 1), (2, 2), (3, 3)"]).await;
    let items = MysqlDatabase::create("MYSQL").await;
    fill(&items, "t").await;
    let program = Program::new();
    let both = format!(
        "sources:\n  orders: {{kind: mariadb, options: {{url: \"{}\"}}}}\n  \
         items: {{kind: mysql, options: {{url: \"{}\", snapshot_rows_per_second: 2000}}}}\n\
         views:\n  v:\n    from: orders.o\n    lookup:\n      - {{from: items.t, path: items, type: array, on: {{id: v}}, aggregates: {{n: count()}}}}\n",
        orders.url(),
        items.url()
    );
    program.write("shop.yaml", &both);
    let arguments = ["run", "shop.yaml", "--until-caught-up", "--json", "--workers", "2"];
    let running = program.start(&arguments);
    wait_for_rows(&running, "items.t");
    let killer = Killer::of(&items);
    running.wait_for_stderr("the first cut-off", |line| line.contains("snapshot cut off"));
    orders.execute(&["UPDATE o SET v = 4 WHERE id = 2", "DELETE FROM o WHERE id = 3"]).await;
    let told = "source items: no position yet, 0 transactions\n  waiting: snapshot of `items` was cut off: reading the snapshot: the connection was closed; \
                starts over in ";
    eventually("the status to say what is waited for", Duration::from_secs(60), || {
        program.run(&["status", "--state", "shop.state"]).stdout.contains(told).then_some(())
    });
    running.wait_for_stdout("what is waited for", |line| line.contains("starts over in 2.0 s"));
    drop(killer);
    let stopping = std::time::Instant::now();
    running.signal("INT");
    let stopped = running.finish();
    assert_eq!(stopped.code, Some(0), "{}", stopped.stderr);
    assert!(stopping.elapsed() < Duration::from_secs(10), "a stop does not wait for the next attempt");

    let again = program.run(&arguments);
    assert_eq!(again.code, Some(0), "{}", again.stderr);
    assert!(again.stdout.contains("\"event\":\"snapshot\""), "nothing was kept");
    assert_eq!(stored(&program), BTreeMap::from([(1, 1), (2, 4)]));
    let got = program.run(&["get", "v", "--state", "shop.state"]);
    let counts: Vec<i64> =
        got.stdout.lines().map(|l| serde_json::from_str::<serde_json::Value>(l).unwrap()["n"].as_i64().unwrap()).collect();
    let expected = at_the_server(&items, "SELECT v, COUNT(*) FROM t WHERE v IN (1, 4) GROUP BY v").await;
    assert_eq!(counts, expected.into_values().collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_in_the_middle_of_a_snapshot_keeps_nothing_of_it() {
    let shop = MysqlDatabase::create("MARIADB").await;
    fill(&shop, "t").await;
    let program = Program::new();
    program.write("shop.yaml", &slow_spec(&shop));
    let running = program.start(&["run", "shop.yaml", "--json"]);
    wait_for_rows(&running, "shop.t");
    running.signal("TERM");
    assert_eq!(running.finish().code, Some(0));
    assert_eq!(program.run(&["get", "v", "--state", "shop.state"]).code, Some(3), "no such view yet");
    shop.execute(&["DELETE FROM t WHERE id % 2 = 0"]).await;
    catch_up(&program);
    assert!(stored(&program) == at_the_server(&shop, "SELECT id, v FROM t").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_starts_over_when_the_server_is_back() {
    let server = OwnServer::start("MARIADB", "");
    let shop = MysqlDatabase::create_at("MARIADB", &server.url).await;
    fill(&shop, "t").await;
    let program = Program::new();
    program.write("shop.yaml", &slow_spec(&shop));
    let running = program.start(&["run", "shop.yaml", "--until-caught-up", "--json"]);
    wait_for_rows(&running, "shop.t");
    server.restart();
    running.wait_for_stderr("the cut-off", |line| line.contains("snapshot cut off"));
    let ended = running.finish();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(stored(&program) == at_the_server(&shop, "SELECT id, v FROM t").await);
}
