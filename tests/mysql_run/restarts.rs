//! Servers with other settings than usual: without GTIDs, restarted, in another time zone.

use mysql_async::prelude::Queryable;

use super::kit::{at_the_server, catch_up, spec, stored};
use super::support::{MysqlDatabase, OwnServer, Program, eventually_async};

const LONG: std::time::Duration = std::time::Duration::from_secs(60);

async fn filled(kind: &str, server: &OwnServer) -> MysqlDatabase {
    let shop = MysqlDatabase::create_at(kind, &server.url).await;
    shop.execute(&["CREATE TABLE t (id INT PRIMARY KEY, v INT)", "INSERT INTO t VALUES (1, 1), (2, 2)"]).await;
    shop
}

fn status(program: &Program) -> serde_json::Value {
    let status = program.run(&["status", "--state", "shop.state", "--json"]);
    assert_eq!(status.code, Some(0), "{}", status.stderr);
    serde_json::from_str(&status.stdout).unwrap()
}

fn position(program: &Program) -> String {
    status(program)["sources"][0]["position"].as_str().unwrap().to_owned()
}

/// Waits until the server answers again.
async fn answers(server: &OwnServer) {
    let ask = async || mysql_async::Conn::from_url(&server.url).await.ok();
    eventually_async("the server's answer", LONG, ask).await.disconnect().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn without_gtids_a_run_resumes_by_file_and_offset() {
    let server = OwnServer::start("MYSQL", "--gtid-mode=OFF --enforce-gtid-consistency=OFF");
    let shop = filled("MYSQL", &server).await;
    let program = Program::new();
    program.write("shop.yaml", &spec(&shop, "heartbeat_ms: 200"));
    catch_up(&program);
    assert!(position(&program).starts_with("mysql:file=ybin.0"), "{}", position(&program));
    shop.execute(&["UPDATE t SET v = 20 WHERE id = 2", "INSERT INTO t VALUES (3, 3)", "FLUSH BINARY LOGS", "DELETE FROM t WHERE id = 1"])
        .await;
    catch_up(&program);
    assert_eq!(stored(&program), [(2, 20), (3, 3)].into());
    shop.execute(&["INSERT INTO t VALUES (4, 4)"]).await;
    server.restart();
    answers(&server).await;
    shop.execute(&["UPDATE t SET v = 30 WHERE id = 3"]).await;
    let ended = program.run(&["run", "shop.yaml", "--until-caught-up", "--json"]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(!ended.stdout.contains("\"event\":\"snapshot\""), "it resumes");
    assert_eq!(stored(&program), [(2, 20), (3, 30), (4, 4)].into());
}

/// A set of GTIDs says where we are only as long as every transaction has one.
#[tokio::test(flavor = "multi_thread")]
async fn gtids_may_be_switched_off_and_on_again() {
    let server = OwnServer::start("MYSQL", "");
    let shop = filled("MYSQL", &server).await;
    let program = Program::new();
    program.write("shop.yaml", &spec(&shop, "heartbeat_ms: 200"));
    catch_up(&program);
    assert!(position(&program).starts_with("mysql:gtid="), "{}", position(&program));
    let mut root = shop.connect().await;
    for mode in ["ON_PERMISSIVE", "OFF_PERMISSIVE", "OFF"] {
        root.query_drop(format!("SET GLOBAL gtid_mode = {mode}")).await.unwrap();
    }
    shop.execute(&["INSERT INTO t VALUES (3, 3)", "UPDATE t SET v = 10 WHERE id = 1"]).await;
    catch_up(&program);
    assert_eq!(stored(&program), at_the_server(&shop, "SELECT id, v FROM t").await);
    assert!(position(&program).starts_with("mysql:file=ybin.0"), "{}", position(&program));
    shop.execute(&["INSERT INTO t VALUES (4, 4)"]).await;
    for mode in ["OFF_PERMISSIVE", "ON_PERMISSIVE", "ON"] {
        root.query_drop(format!("SET GLOBAL gtid_mode = {mode}")).await.unwrap();
    }
    // Too early: the server gives nobody a transaction without a GTID any more.
    let early = program.run(&["run", "shop.yaml", "--until-caught-up"]);
    assert_eq!(early.code, Some(1), "{}", early.stderr);
    let told = "Cannot replicate anonymous transaction when @@GLOBAL.GTID_MODE = ON";
    let help = "   = help: SET GLOBAL gtid_mode = ON_PERMISSIVE; and ON again once a run has caught up\n";
    assert!(early.stderr.contains(told) && early.stderr.ends_with(help), "{}", early.stderr);
    root.query_drop("SET GLOBAL gtid_mode = ON_PERMISSIVE").await.unwrap();
    catch_up(&program);
    root.query_drop("SET GLOBAL gtid_mode = ON").await.unwrap();
    shop.execute(&["INSERT INTO t VALUES (5, 5)", "DELETE FROM t WHERE id = 3"]).await;
    for _ in 0..2 {
        catch_up(&program);
        assert_eq!(stored(&program), at_the_server(&shop, "SELECT id, v FROM t").await);
        shop.execute(&["UPDATE t SET v = v + 1 WHERE id = 5"]).await;
    }
    catch_up(&program);
    assert_eq!(stored(&program), at_the_server(&shop, "SELECT id, v FROM t").await);
    assert_eq!(status(&program)["tick"], 1 + 7 + 5, "the snapshot, each of seven transactions once, and the beginnings of five runs");
}

/// TIMESTAMP is an instant, whatever zone the server and its sessions are in, and there is nothing to warn of.
#[tokio::test(flavor = "multi_thread")]
async fn the_time_zone_of_the_server_does_not_matter() {
    for kind in ["MARIADB", "MYSQL"] {
        let server = OwnServer::start(kind, "--default-time-zone=+05:30");
        let shop = MysqlDatabase::create_at(kind, &server.url).await;
        shop.execute(&["CREATE TABLE t (id INT PRIMARY KEY, v TIMESTAMP NULL)", "INSERT INTO t VALUES (1, '2024-03-31 12:00:00')"]).await;
        let program = Program::new();
        program.write("shop.yaml", &spec(&shop, "heartbeat_ms: 200"));
        let checked = program.run(&["check", "shop.yaml"]);
        assert_eq!((checked.stderr.as_str(), checked.code), ("", Some(0)));
        catch_up(&program);
        shop.execute(&["SET time_zone = '-08:00'", "INSERT INTO t VALUES (2, '2024-03-30 22:30:00')"]).await;
        catch_up(&program);
        let got = program.run(&["get", "v", "--state", "shop.state"]).stdout;
        let rows: Vec<serde_json::Value> = got.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(rows[0]["v"], rows[1]["v"]);
        assert!(rows[0]["v"].as_str().unwrap().contains("06:30:00"), "{got}");
    }
}
