//! A log that does not lead on from the stored position: its source is captured again.

use super::kit::{at_the_server, catch_up, spec, stored};
use super::support::{MysqlDatabase, OwnServer, Program};

/// Reset while nothing runs, and then as many transactions as before, fewer, and more.
#[tokio::test(flavor = "multi_thread")]
async fn after_a_reset_of_the_log_the_source_is_captured_again() {
    for (kind, reset) in [("MARIADB", "RESET MASTER"), ("MYSQL", "RESET BINARY LOGS AND GTIDS")] {
        for statements in [
            vec!["INSERT INTO t VALUES (3, 3)"],
            vec!["INSERT INTO t VALUES (3, 3)", "INSERT INTO t VALUES (4, 4)"],
            vec![
                "INSERT INTO t VALUES (3, 3)",
                "UPDATE t SET v = 10 WHERE id = 1",
                "DELETE FROM t WHERE id = 2",
                "INSERT INTO t VALUES (5, 5)",
            ],
        ] {
            let server = OwnServer::start(kind, "");
            let shop = MysqlDatabase::create_at(kind, &server.url).await;
            shop.execute(&["CREATE TABLE t (id INT PRIMARY KEY, v INT)", reset]).await;
            let program = Program::new();
            program.write("shop.yaml", &spec(&shop, "heartbeat_ms: 200"));
            catch_up(&program);
            shop.execute(&["INSERT INTO t VALUES (1, 1)", "INSERT INTO t VALUES (2, 2)"]).await;
            catch_up(&program);
            shop.execute(&["DELETE FROM t", reset]).await;
            shop.execute(&["INSERT INTO t VALUES (1, 1)"]).await;
            shop.execute(&statements).await;
            let ended = program.run(&["run", "shop.yaml", "--until-caught-up"]);
            assert_eq!(ended.code, Some(0), "{kind}: {}", ended.stderr);
            assert!(ended.stderr.contains("the position `"), "{kind}: {}", ended.stderr);
            assert_eq!(stored(&program), at_the_server(&shop, "SELECT id, v FROM t").await, "{kind}: {statements:?}");
        }
    }
}
