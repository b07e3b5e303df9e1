//! A definition that changes under a run.

use super::kit::{at_the_server, catch_up, spec, stored};
use super::support::{MysqlDatabase, Program};

/// The run ends with a message; what was committed before the statement is in the store; the next run captures the table as it is then.
async fn alter_table_ends_a_run_and_loses_nothing(kind: &str) {
    let shop = MysqlDatabase::create(kind).await;
    shop.execute(&["CREATE TABLE t (id INT PRIMARY KEY, v INT)", "INSERT INTO t VALUES (1, 1)"]).await;
    let program = Program::new();
    program.write("shop.yaml", &spec(&shop, "heartbeat_ms: 200"));
    let running = program.start(&["run", "shop.yaml"]);
    running.wait_for_stderr("the first row", |line| line.starts_with("v: 1 rows"));
    let inserts: Vec<String> = (2..=50).map(|n| format!("INSERT INTO t VALUES ({n}, {n})")).collect();
    let mut statements: Vec<&str> = inserts.iter().map(String::as_str).collect();
    statements.extend(["ALTER TABLE t ADD COLUMN more INT", "INSERT INTO t VALUES (51, 51, 51)"]);
    shop.execute(&statements).await;
    let ended = running.finish();
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    let (_, told) = ended.stderr.split_once("error: source `shop`: ").unwrap_or_else(|| panic!("no error in {}", ended.stderr));
    assert!(told.contains("the table `t`"), "{told}");
    assert_eq!(stored(&program), (1..=50).map(|n| (n, n)).collect(), "all that was committed before, and nothing after");
    catch_up(&program);
    assert_eq!(stored(&program), at_the_server(&shop, "SELECT id, v FROM t").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn alter_table_ends_a_run_and_loses_nothing_on_mariadb() {
    alter_table_ends_a_run_and_loses_nothing("MARIADB").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn alter_table_ends_a_run_and_loses_nothing_on_mysql() {
    alter_table_ends_a_run_and_loses_nothing("MYSQL").await;
}

/// What is dropped from the state folder takes nothing along that is made later.
#[tokio::test(flavor = "multi_thread")]
async fn a_view_that_comes_back_into_the_spec_has_its_rows() {
    let shop = MysqlDatabase::create("MARIADB").await;
    shop.execute(&["CREATE TABLE t (id INT PRIMARY KEY, v INT)", "INSERT INTO t VALUES (1, 1), (2, 2)"]).await;
    let program = Program::new();
    let without = spec(&shop, "heartbeat_ms: 200");
    let with = format!("{without}  w:\n    from: shop.t\n");
    for text in [&with, &without, &with] {
        program.write("shop.yaml", text);
        catch_up(&program);
    }
    for _ in 0..2 {
        let got = program.run(&["get", "w", "--state", "shop.state"]);
        assert_eq!(got.stdout.lines().count(), 2, "{got:?}");
        assert_eq!(stored(&program), [(1, 1), (2, 2)].into());
    }
}
