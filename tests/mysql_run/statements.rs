//! Statements in the log, as a user meets them: nothing is to be removed by hand, and the view is the table.

use super::kit::{at_the_server, catch_up, spec, stored};
use super::support::{MysqlDatabase, Program};

const CREATE: &str = "CREATE TABLE t (id INT PRIMARY KEY, v INT)";

/// The log does not tell what these did to the rows of `t`.
const CAPTURED_AGAIN: &[&[&str]] = &[
    &["TRUNCATE t", "INSERT INTO t VALUES (4, 40)"],
    &["CREATE TABLE twin LIKE t", "INSERT INTO twin VALUES (8, 80)", "RENAME TABLE t TO gone, twin TO t"],
    &["DROP TABLE t", CREATE, "INSERT INTO t VALUES (5, 50)"],
    &["SET binlog_format = 'STATEMENT'", "UPDATE t SET v = v + 1"],
    &["SET binlog_row_image = 'MINIMAL'", "UPDATE t SET v = v + 1 WHERE id = 2"],
];

/// Nothing happened to them.
const FOLLOWED: &[&[&str]] = &[
    &["ALTER TABLE t ALTER v SET DEFAULT 7, COMMENT 'TRUNCATE t', ADD CHECK (v > 0)", "INSERT INTO t (id) VALUES (9)"],
    &["SET binlog_format = 'STATEMENT'", "INSERT INTO beat VALUES (1, 1) ON DUPLICATE KEY UPDATE v = v + 1"],
    &["XA START 'x'", "UPDATE t SET v = 21 WHERE id = 2", "XA END 'x'", "XA PREPARE 'x'", "XA COMMIT 'x'"],
];

async fn statements(kind: &str) {
    for (cases, is_captured_again) in [(CAPTURED_AGAIN, true), (FOLLOWED, false)] {
        for statements in cases {
            let shop = MysqlDatabase::create(kind).await;
            shop.execute(&[CREATE, "CREATE TABLE beat (id INT PRIMARY KEY, v INT)", "INSERT INTO t VALUES (1, 10), (2, 20)"]).await;
            let program = Program::new();
            program.write("shop.yaml", &spec(&shop, "heartbeat_ms: 200"));
            catch_up(&program);
            shop.execute(statements).await;
            shop.execute(&["INSERT INTO t VALUES (77, 77)"]).await;
            let ended = program.run(&["run", "shop.yaml", "--until-caught-up"]);
            assert_eq!(ended.code, Some(0), "{statements:?}: {}", ended.stderr);
            assert_eq!(ended.stderr.contains("source must be captured again"), is_captured_again, "{statements:?}: {}", ended.stderr);
            assert_eq!(stored(&program), at_the_server(&shop, "SELECT id, v FROM t").await, "{statements:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn after_any_statement_the_view_is_the_table_on_mariadb() {
    statements("MARIADB").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_any_statement_the_view_is_the_table_on_mysql() {
    statements("MYSQL").await;
}
