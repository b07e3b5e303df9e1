//! Servers whose settings change what a session is answered, and what lies between that drops what a session sets.

use mysql_async::prelude::Queryable;

use super::kit::{at_the_server, catch_up, spec, stored};
use super::proxy::Proxy;
use super::support::{MysqlDatabase, OwnServer, Program};

const FOR_BOTH: &[&str] = &[
    "sql_select_limit = 2",
    "max_join_size = 1, GLOBAL sql_big_selects = 0",
    "sql_mode = 'ANSI_QUOTES,NO_BACKSLASH_ESCAPES,PAD_CHAR_TO_FULL_LENGTH,PIPES_AS_CONCAT'",
    "time_zone = '-07:00'",
    "init_connect = 'SET NAMES latin1'",
    "init_connect = 'SET sql_select_limit = 0'",
    "init_connect = 'SET autocommit = 0, completion_type = 2'",
    "init_connect = 'SET time_zone = \\'+09:00\\', sql_auto_is_null = 1, character_set_results = latin1'",
    "character_set_server = latin1, GLOBAL collation_server = latin1_german2_ci",
    "completion_type = 2",
    "autocommit = 0",
    "lock_wait_timeout = 1, GLOBAL net_read_timeout = 1, GLOBAL net_write_timeout = 1, GLOBAL wait_timeout = 1",
];
const MARIADB: &[&str] = &[
    "tx_isolation = 'READ-UNCOMMITTED'",
    "tx_isolation = 'SERIALIZABLE', GLOBAL tx_read_only = 1",
    "idle_transaction_timeout = 1, GLOBAL idle_readonly_transaction_timeout = 1",
    "init_connect = 'SET skip_replication = 1'",
];
const MYSQL: &[&str] = &[
    "transaction_isolation = 'READ-UNCOMMITTED'",
    "transaction_isolation = 'SERIALIZABLE', GLOBAL transaction_read_only = 1",
    "show_gipk_in_create_table_and_information_schema = 0",
];

/// Sets global variables, and back to what they were when the test is through with them.
async fn set_global(root: &mut mysql_async::Conn, assignments: &str) -> String {
    let mut back = Vec::new();
    for assignment in assignments.split(", GLOBAL ") {
        let (name, _) = assignment.split_once(" = ").unwrap();
        let value: mysql_async::Value = root.query_first(format!("SELECT @@global.{name}")).await.unwrap().unwrap();
        let value = value.as_sql(true);
        let is_number = value.trim_matches('\'').parse::<f64>().is_ok();
        back.push(format!("{name} = {}", if is_number { value.trim_matches('\'') } else { &value }));
    }
    root.query_drop(format!("SET GLOBAL {assignments}")).await.unwrap_or_else(|error| panic!("{assignments}: {error}"));
    back.join(", GLOBAL ")
}

/// A snapshot and the log after it are the table, whatever the server makes of a session; and `check` finds nothing wrong.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_server_makes_of_a_session_does_not_matter() {
    for kind in ["MARIADB", "MYSQL"] {
        let server = OwnServer::start(kind, "");
        let shop = MysqlDatabase::create_at(kind, &server.url).await;
        let mut root = shop.connect().await;
        let created = match kind {
            "MYSQL" => "SET SESSION sql_generate_invisible_primary_key = 1",
            _ => "DO 0",
        };
        shop.execute(&[
            created,
            "CREATE TABLE `Bücher` (id INT NOT NULL, v INT NOT NULL, `né` CHAR(9), at TIMESTAMP NULL)",
            "INSERT INTO `Bücher` VALUES (1, 1, 'ä\\\\', '2024-03-31 12:00:00'), (2, 2, '\"b\"', NULL), (3, 3, 'c', NULL), (4, 4, 'd', NULL)",
        ])
        .await;
        let spec = spec(&shop, "heartbeat_ms: 200")
            .replace("shop.t\n    columns: [id, v]", "shop.Bücher\n    columns: [id, v, né, at]\n    key: [id]\n");
        let expected_texts = {
            let program = Program::new();
            program.write("shop.yaml", &spec);
            catch_up(&program);
            program.run(&["get", "v", "--state", "shop.state"]).stdout
        };
        assert_eq!(expected_texts.lines().count(), 4, "{expected_texts}");
        let settings = FOR_BOTH.iter().chain(if kind == "MARIADB" { MARIADB } else { MYSQL });
        for setting in settings {
            let back = set_global(&mut root, setting).await;
            let program = Program::new();
            program.write("shop.yaml", &spec);
            let checked = program.run(&["check", "shop.yaml"]);
            assert_eq!((checked.stderr.as_str(), checked.code), ("", Some(0)), "{kind}: {setting}");
            let ended = program.run(&["run", "shop.yaml", "--until-caught-up"]);
            assert_eq!(ended.code, Some(0), "{kind}: {setting}: {}", ended.stderr);
            let got = program.run(&["get", "v", "--state", "shop.state"]).stdout;
            assert_eq!(got, expected_texts, "{kind}: {setting}");
            // From a session that has what root has, which the server's settings would concern too.
            root.query_drop("INSERT INTO `Bücher` VALUES (5, 5, 'é', NULL), (6, 6, 'f', NULL), (7, 7, 'g', NULL)").await.unwrap();
            let ended = program.run(&["run", "shop.yaml", "--until-caught-up"]);
            assert_eq!(ended.code, Some(0), "{kind}: {setting}: {}", ended.stderr);
            root.query_drop(format!("SET GLOBAL {back}")).await.unwrap_or_else(|error| panic!("{back}: {error}"));
            assert_eq!(stored(&program), at_the_server(&shop, "SELECT id, v FROM `Bücher`").await, "{kind}: {setting}");
            root.query_drop("DELETE FROM `Bücher` WHERE id > 4").await.unwrap();
        }
    }
}

/// Reading takes longer than that, setting up a session does not.
#[tokio::test(flavor = "multi_thread")]
async fn a_limit_of_time_for_statements_does_not_cut_a_snapshot() {
    for (kind, limit) in [("MARIADB", "max_statement_time = 0.05"), ("MYSQL", "max_execution_time = 50")] {
        let server = OwnServer::start(kind, "");
        let shop = MysqlDatabase::create_at(kind, &server.url).await;
        shop.execute(&[
            "CREATE TABLE t (id INT NOT NULL, v INT NOT NULL, pad CHAR(100) NOT NULL)",
            "INSERT INTO t WITH RECURSIVE s AS (SELECT 0 n UNION ALL SELECT n + 1 FROM s WHERE n < 599) SELECT x.n * 1000 + y.n, y.n, '' FROM s x, s y",
            &format!("SET GLOBAL {limit}"),
        ])
        .await;
        let program = Program::new();
        program.write("shop.yaml", &spec(&shop, "snapshot_connections: 1").replace("[id, v]", "[id, v]\n    key: [id]"));
        catch_up(&program);
        let rows = program.run(&["get", "v", "--state", "shop.state"]).stdout.lines().count();
        assert_eq!(rows, 360_000, "{kind}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_init_connect_that_fails_is_named() {
    for kind in ["MARIADB", "MYSQL"] {
        let server = OwnServer::start(kind, "");
        let shop = MysqlDatabase::create_at(kind, &server.url).await;
        shop.execute(&["CREATE TABLE t (id INT PRIMARY KEY, v INT)", "SET GLOBAL init_connect = 'SELECT * FROM nowhere.x'"]).await;
        let program = Program::new();
        program.write("shop.yaml", &spec(&shop, "heartbeat_ms: 200"));
        for command in [vec!["check", "shop.yaml"], vec!["run", "shop.yaml", "--until-caught-up"]] {
            let done = program.run(&command);
            let told =
                format!("error: {}:{} closes every connection of `{}`, because its init_connect fails\n", shop.host, shop.port, shop.user);
            assert!(done.stderr.starts_with(&told) && done.stderr.contains("GRANT CONNECTION_ADMIN"), "{}", done.stderr);
            assert_eq!(done.code, Some(2));
        }
    }
}

/// A proxy that answers SET SESSION itself, as pools of connections do, and passes everything else on.
#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_that_drops_what_a_session_sets_is_found() {
    for kind in ["MARIADB", "MYSQL"] {
        let shop = MysqlDatabase::create(kind).await;
        shop.execute(&["CREATE TABLE t (id INT PRIMARY KEY, v INT)", "INSERT INTO t VALUES (1, 1)"]).await;
        let proxy = Proxy::start(&format!("{}:{}", shop.host, shop.port)).await;
        let program = Program::new();
        let through = spec(&shop, "heartbeat_ms: 200").replace(&format!(":{}/", shop.port), &format!(":{}/", proxy.port));
        program.write("shop.yaml", &through);
        catch_up(&program);
        proxy.drop_statements("SET SESSION ");
        for command in [vec!["check", "shop.yaml"], vec!["run", "shop.yaml", "--until-caught-up"]] {
            let done = program.run(&command);
            assert_eq!(done.code, Some(2), "{}", done.stderr);
            let at = format!("127.0.0.1:{}", proxy.port);
            let told = format!(" at {at}, although the session set it, so what is read there cannot be trusted\n");
            assert!(done.stderr.starts_with("error: the session variable `") && done.stderr.contains(&told), "{}", done.stderr);
            assert!(
                done.stderr.contains("make what is in between (a proxy, a pool of connections) pass on SET SESSION"),
                "{}",
                done.stderr
            );
        }
    }
}
