//! Rows that changed behind the log's back: found by the next logged change of them, and put right by capturing the source again.

use std::time::Duration;

use mysql_async::prelude::Queryable;

use super::kit::{at_the_server, catch_up, spec, stored};
use super::support::{MysqlDatabase, Program, eventually};

const LONG: Duration = Duration::from_secs(60);

/// A table of five rows, and a run until caught up on it.
async fn captured(kind: &str, definition: &str) -> (MysqlDatabase, Program) {
    let shop = MysqlDatabase::create(kind).await;
    shop.execute(&[definition, "INSERT INTO t VALUES (1, 10), (2, 20), (3, 30), (4, 40), (5, 50)"]).await;
    let program = Program::new();
    program.write("shop.yaml", &spec(&shop, "heartbeat_ms: 200"));
    catch_up(&program);
    (shop, program)
}

const KEYED: &str = "CREATE TABLE t (id INT PRIMARY KEY, v INT)";

/// What happens behind the log's back, what is logged afterwards, and what the message says of the row.
const CASES: &[(&str, &str, &str)] = &[
    (
        "UPDATE t SET v = 21 WHERE id = 2",
        "UPDATE t SET v = 22 WHERE id = 2",
        r#"the row {"id":2} had other values in the log before the change than in the store"#,
    ),
    (
        "UPDATE t SET v = 21 WHERE id = 2",
        "DELETE FROM t WHERE id = 2",
        r#"the row {"id":2} had other values in the log before the change than in the store"#,
    ),
    (
        "INSERT INTO t VALUES (6, 60)",
        "UPDATE t SET v = 61 WHERE id = 6",
        r#"the row {"id":6} is changed or deleted in the log, but is not in the store"#,
    ),
    (
        "INSERT INTO t VALUES (6, 60)",
        "DELETE FROM t WHERE id = 6",
        r#"the row {"id":6} is changed or deleted in the log, but is not in the store"#,
    ),
    (
        "DELETE FROM t WHERE id = 3",
        "INSERT INTO t VALUES (3, 33)",
        r#"the row {"id":3} is inserted in the log, but is in the store already"#,
    ),
    (
        "UPDATE t SET id = 9 WHERE id = 4",
        "UPDATE t SET id = 10 WHERE id = 9",
        r#"the row {"id":9} is changed or deleted in the log, but is not in the store"#,
    ),
];

async fn a_row_changed_behind_the_log_is_found(kind: &str) {
    for (hidden, logged, told) in CASES {
        let (shop, program) = captured(kind, KEYED).await;
        // Whatever else is there, hidden as well, is put right too.
        shop.execute(&["SET sql_log_bin = 0", hidden, "UPDATE t SET v = 11 WHERE id = 1", "SET sql_log_bin = 1"]).await;
        shop.execute(&["INSERT INTO t VALUES (7, 70)", logged, "INSERT INTO t VALUES (8, 80)"]).await;
        let ended = program.run(&["run", "shop.yaml", "--until-caught-up"]);
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        assert!(ended.stderr.contains("source must be captured again"), "{}", ended.stderr);
        let expected = format!("the log and the stored rows of `t` differ: {told} (transaction ");
        assert!(ended.stderr.replace("\\\"", "\"").contains(&expected), "{hidden}; {logged}: {}", ended.stderr);
        assert_eq!(stored(&program), at_the_server(&shop, "SELECT id, v FROM t").await, "{hidden}; {logged}");
        // It is over: the next run has nothing to capture.
        shop.execute(&["UPDATE t SET v = v + 1"]).await;
        let ended = program.run(&["run", "shop.yaml", "--until-caught-up", "--json"]);
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        assert!(!ended.stdout.contains("\"event\":\"snapshot\""), "{}", ended.stdout);
        assert_eq!(stored(&program), at_the_server(&shop, "SELECT id, v FROM t").await, "{hidden}; {logged}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_changed_behind_the_log_is_found_on_mariadb() {
    a_row_changed_behind_the_log_is_found("MARIADB").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_changed_behind_the_log_is_found_on_mysql() {
    a_row_changed_behind_the_log_is_found("MYSQL").await;
}

/// Rows without a key are counted: one that goes must be there.
#[tokio::test(flavor = "multi_thread")]
async fn a_row_without_a_key_that_is_not_held_is_found() {
    for kind in ["MARIADB", "MYSQL"] {
        let shop = MysqlDatabase::create(kind).await;
        shop.execute(&["CREATE TABLE t (id INT, v INT)", "INSERT INTO t VALUES (1, 10), (1, 10), (2, 20)"]).await;
        let program = Program::new();
        let counts = spec(&shop, "heartbeat_ms: 200")
            .replace("from: shop.t\n    columns: [id, v]", "sql: SELECT id, count(*) AS v FROM shop.t GROUP BY id");
        program.write("shop.yaml", &counts);
        catch_up(&program);
        shop.execute(&["SET sql_log_bin = 0", "INSERT INTO t VALUES (2, 20), (3, 30)", "SET sql_log_bin = 1"]).await;
        shop.execute(&["DELETE FROM t WHERE id = 2", "INSERT INTO t VALUES (4, 40)"]).await;
        let ended = program.run(&["run", "shop.yaml", "--until-caught-up"]);
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        let expected =
            "the log and the stored rows of `t` differ: a row is changed or deleted in the log, but is not in the store (transaction ";
        assert!(ended.stderr.contains(expected), "{}", ended.stderr);
        assert_eq!(stored(&program), at_the_server(&shop, "SELECT id, COUNT(*) FROM t GROUP BY id").await);
    }
}

/// While the source cannot be captured the old answer is served, also after a crash; then one tick brings the difference, and nothing else.
async fn the_old_answer_is_served_until_the_difference_comes(kind: &str) {
    let (shop, program) = captured(kind, KEYED).await;
    shop.execute(&["SET sql_log_bin = 0", "UPDATE t SET v = 21 WHERE id = 2", "SET sql_log_bin = 1"]).await;
    let mut locker = shop.connect().await;
    let old = stored(&program);
    let running = program.start(&["run", "shop.yaml", "--json"]);
    running.wait_for_stdout("the engine to follow", |line| line.contains("\"event\":\"view\""));
    // Both are logged before anybody can read the table: what comes after the divergence is not seen either.
    locker.query_drop("LOCK TABLES t WRITE").await.unwrap();
    locker.query_drop("UPDATE t SET v = 22 WHERE id = 2").await.unwrap();
    locker.query_drop("INSERT INTO t VALUES (6, 60)").await.unwrap();
    let waiting = running.wait_for_stdout("what is waited for", |line| line.contains("captured again"));
    assert!(waiting.contains("the views keep their old rows until then"), "{waiting}");
    assert_eq!(stored(&program), old);
    running.kill();
    assert_eq!(stored(&program), old, "also at rest");
    // The dead engine left its socket behind. Nothing is asked before the next one has the folder: a reader would hold it.
    let socket = program.folder().join("shop.state/tidemill.sock");
    std::fs::remove_file(&socket).unwrap();
    let running = program.start(&["run", "shop.yaml", "--json"]);
    eventually("the engine's socket", LONG, || socket.exists().then_some(()));
    assert_eq!(stored(&program), old);
    locker.query_drop("UNLOCK TABLES").await.unwrap();
    let expected = at_the_server(&shop, "SELECT id, v FROM t").await;
    eventually("the difference", LONG, || (stored(&program) == expected).then_some(()));
    let changed = program.run(&["tail", "v", "--state", "shop.state", "--from", "start", "--until-caught-up"]).stdout;
    running.signal("TERM");
    assert_eq!(running.finish().code, Some(0));
    let after_load: Vec<serde_json::Value> =
        changed.lines().map(|line| serde_json::from_str(line).unwrap()).filter(|line: &serde_json::Value| line["tick"] != 1).collect();
    let told: Vec<(i64, i64, i64)> = after_load
        .iter()
        .map(|c| (c["key"]["id"].as_i64().unwrap(), c["before"]["v"].as_i64().unwrap_or(-1), c["after"]["v"].as_i64().unwrap_or(-1)))
        .collect();
    assert_eq!(told, [(2, 20, 22), (6, -1, 60)], "{changed}");
    assert_eq!(after_load[0]["tick"], after_load[1]["tick"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_old_answer_is_served_until_the_difference_comes_on_mariadb() {
    the_old_answer_is_served_until_the_difference_comes("MARIADB").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_old_answer_is_served_until_the_difference_comes_on_mysql() {
    the_old_answer_is_served_until_the_difference_comes("MYSQL").await;
}

/// A table more in the spec is captured beside the others: the views of these go on meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn views_go_on_while_one_more_table_is_captured() {
    for kind in ["MARIADB", "MYSQL"] {
        let (shop, program) = captured(kind, KEYED).await;
        shop.execute(&["CREATE TABLE u (id INT PRIMARY KEY)", "INSERT INTO u VALUES (1), (2)", "UPDATE t SET v = 22 WHERE id = 2"]).await;
        let mut locker = shop.connect().await;
        locker.query_drop("LOCK TABLES u WRITE").await.unwrap();
        let both = "  w:\n    from: shop.u\n  both: {sql: \"SELECT t.id, t.v FROM shop.t JOIN shop.u ON u.id = t.id\", key: [id]}\n";
        program.write("shop.yaml", &format!("{}{both}", spec(&shop, "heartbeat_ms: 200")));
        let running = program.start(&["run", "shop.yaml", "--json"]);
        let reaches = async |what: &str| {
            let expected = at_the_server(&shop, "SELECT id, v FROM t").await;
            eventually(what, LONG, || (stored(&program) == expected).then_some(()));
        };
        reaches("what was changed before").await;
        shop.execute(&["UPDATE t SET v = 33 WHERE id = 3", "DELETE FROM t WHERE id = 1", "INSERT INTO t VALUES (1, 11)"]).await;
        reaches("what is changed during the capture").await;
        for view in ["w", "both"] {
            assert_eq!(program.run(&["get", view, "--state", "shop.state"]).code, Some(3), "{kind}: no such view yet");
        }
        locker.query_drop("UNLOCK TABLES").await.unwrap();
        let tables = "{\"id\":1,\"v\":11}\n{\"id\":2,\"v\":22}\n";
        eventually("the new views", LONG, || (program.run(&["get", "both", "--state", "shop.state"]).stdout == tables).then_some(()));
        assert_eq!(program.run(&["get", "w", "--state", "shop.state"]).stdout.lines().count(), 2);
        shop.execute(&["INSERT INTO u VALUES (3)", "DELETE FROM u WHERE id = 1"]).await;
        let tables = "{\"id\":2,\"v\":22}\n{\"id\":3,\"v\":33}\n";
        eventually("changes of both", LONG, || (program.run(&["get", "both", "--state", "shop.state"]).stdout == tables).then_some(()));
        running.signal("TERM");
        let ended = running.finish();
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        assert!(!ended.stdout.contains("\"table\":\"shop.t\""), "{kind}: the old table is not captured again: {}", ended.stdout);
    }
}

/// Rows that differ from the log concern the views of their table only: these keep their rows, the others go on.
#[tokio::test(flavor = "multi_thread")]
async fn only_the_table_that_differs_is_captured_again() {
    for kind in ["MARIADB", "MYSQL"] {
        let (shop, program) = captured(kind, KEYED).await;
        shop.execute(&["CREATE TABLE u (id INT PRIMARY KEY, v INT)", "INSERT INTO u VALUES (1, 1), (2, 2)"]).await;
        program.write("shop.yaml", &format!("{}  w:\n    from: shop.u\n", spec(&shop, "heartbeat_ms: 200")));
        catch_up(&program);
        let running = program.start(&["run", "shop.yaml", "--json"]);
        shop.execute(&["UPDATE u SET v = 10 WHERE id = 1"]).await;
        let of_u = |rows: &str| program.run(&["get", "w", "--state", "shop.state"]).stdout == rows;
        eventually("a change of u", LONG, || of_u("{\"id\":1,\"v\":10}\n{\"id\":2,\"v\":2}\n").then_some(()));
        let old = stored(&program);
        shop.execute(&["SET sql_log_bin = 0", "UPDATE t SET v = 99 WHERE id = 1", "SET sql_log_bin = 1"]).await;
        // What reads the table waits, so that its capture cannot end.
        let mut locker = shop.connect().await;
        locker.query_drop("LOCK TABLES t WRITE").await.unwrap();
        locker.query_drop("UPDATE t SET v = 100 WHERE id = 1").await.unwrap();
        running.wait_for_stdout("what is waited for", |line| line.contains("`t` of `shop` is captured again"));
        for v in 11..14 {
            shop.execute(&[&format!("UPDATE u SET v = {v} WHERE id = 1")]).await;
            let wanted = format!("{{\"id\":1,\"v\":{v}}}\n{{\"id\":2,\"v\":2}}\n");
            eventually("u to go on", LONG, || of_u(&wanted).then_some(()));
            assert_eq!(stored(&program), old, "{kind}: the old rows are served");
        }
        locker.query_drop("UNLOCK TABLES").await.unwrap();
        let expected = at_the_server(&shop, "SELECT id, v FROM t").await;
        eventually("the difference", LONG, || (stored(&program) == expected).then_some(()));
        shop.execute(&["UPDATE t SET v = 101 WHERE id = 1", "UPDATE u SET v = 20 WHERE id = 1"]).await;
        let expected = at_the_server(&shop, "SELECT id, v FROM t").await;
        eventually("later changes", LONG, || {
            (stored(&program) == expected && of_u("{\"id\":1,\"v\":20}\n{\"id\":2,\"v\":2}\n")).then_some(())
        });
        running.signal("TERM");
        assert_eq!(running.finish().code, Some(0));
    }
}

/// Of two sources only the one is captured again whose log does not fit; the other goes on where it was.
#[tokio::test(flavor = "multi_thread")]
async fn only_the_source_that_does_not_fit_is_captured_again() {
    let orders = MysqlDatabase::create("MARIADB").await;
    orders.execute(&["CREATE TABLE o (id INT PRIMARY KEY, v INT)", "INSERT INTO o VALUES (1, 1), (2, 2), (3, 3)"]).await;
    let items = MysqlDatabase::create("MYSQL").await;
    items.execute(&["CREATE TABLE i (id INT PRIMARY KEY, v INT)", "INSERT INTO i VALUES (1, 100), (2, 200)"]).await;
    let program = Program::new();
    program.write(
        "shop.yaml",
        &format!(
            "sources:\n  orders: {{kind: mariadb, options: {{url: \"{}\"}}}}\n  items: {{kind: mysql, options: {{url: \"{}\"}}}}\n\
             views:\n  v: {{sql: \"SELECT o.id, o.v + i.v AS v FROM orders.o o JOIN items.i i ON i.id = o.id\", key: [id]}}\n",
            orders.url(),
            items.url()
        ),
    );
    catch_up(&program);
    orders.execute(&["SET sql_log_bin = 0", "UPDATE o SET v = 5 WHERE id = 1", "SET sql_log_bin = 1", "DELETE FROM o WHERE id = 1"]).await;
    // Nobody else can read it: a snapshot would wait for ever.
    let mut locker = items.connect().await;
    for statement in ["LOCK TABLES i WRITE", "UPDATE i SET v = 201 WHERE id = 2", "INSERT INTO i VALUES (3, 300)"] {
        locker.query_drop(statement).await.unwrap();
    }
    orders.execute(&["INSERT INTO o VALUES (1, 7)"]).await;
    let ended = program.run(&["run", "shop.yaml", "--until-caught-up", "--workers", "2"]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(ended.stderr.contains("source must be captured again source=\"orders\""), "{}", ended.stderr);
    assert_eq!(stored(&program), [(1, 107), (2, 203), (3, 303)].into());
}

/// A transaction that would take more memory than it may is not followed: what it came to is captured, together with what came after it.
async fn a_transaction_too_large_to_follow_is_captured(kind: &str) {
    // Rows that come, change, move to another key, and go.
    let large = [
        "INSERT INTO t SELECT a.id * 1000 + b.id * 100 + c.id * 10 + d.id, a.id FROM t a, t b, t c, t d",
        "UPDATE t SET v = v + 1",
        "UPDATE t SET id = -id",
        "DELETE FROM t WHERE id NOT BETWEEN -5 AND 5",
    ];
    let (shop, program) = captured(kind, KEYED).await;
    for statement in large {
        shop.execute(&[
            "INSERT INTO t VALUES (90000, 1)",
            statement,
            "DELETE FROM t WHERE id IN (90000, -90000)",
            "INSERT INTO t VALUES (6, 1)",
        ])
        .await;
        let ended = program.run(&["run", "shop.yaml", "--until-caught-up", "--max-transaction-bytes", "500k"]);
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        let expected = "a transaction would take more than 0.5 MB of memory at once (--max-transaction-bytes)";
        assert!(ended.stderr.contains(expected), "{statement}: {}", ended.stderr);
        assert_eq!(stored(&program), at_the_server(&shop, "SELECT id, v FROM t").await, "{statement}");
        shop.execute(&["DELETE FROM t WHERE id IN (6, -6)", "UPDATE t SET v = v + 1 WHERE id BETWEEN -5 AND 5"]).await;
        let ended = program.run(&["run", "shop.yaml", "--until-caught-up", "--max-transaction-bytes", "500k"]);
        assert_eq!((ended.code, ended.stderr.contains("captured again")), (Some(0), false), "{}", ended.stderr);
        assert_eq!(stored(&program), at_the_server(&shop, "SELECT id, v FROM t").await, "{statement}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_too_large_to_follow_is_captured_from_mariadb() {
    a_transaction_too_large_to_follow_is_captured("MARIADB").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_too_large_to_follow_is_captured_from_mysql() {
    a_transaction_too_large_to_follow_is_captured("MYSQL").await;
}
