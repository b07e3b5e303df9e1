//! Definitions that change under a run.

use std::time::Duration;

use super::kit::{at_the_server, catch_up, spec, stored};
use super::support::{MysqlDatabase, Program, eventually_async};

/// How long a run may take to follow a changed definition.
const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until the view has the rows that the server has. It must have an answer at every moment.
async fn followed(program: &Program, shop: &MysqlDatabase, what: &str) {
    let right = at_the_server(shop, "SELECT id, v FROM t").await;
    eventually_async(&format!("{right:?} after {what}"), PATIENCE, async || (stored(program) == right).then_some(())).await;
}

/// The table is captured again as it is then, by the same run, and the view is answered meanwhile.
async fn a_run_goes_on_when_the_table_changes(kind: &str) {
    let shop = MysqlDatabase::create(kind).await;
    shop.execute(&["CREATE TABLE t (id INT PRIMARY KEY, v INT)", "INSERT INTO t VALUES (1, 1)"]).await;
    let program = Program::new();
    program.write("shop.yaml", &spec(&shop, "heartbeat_ms: 200"));
    let running = program.start(&["run", "shop.yaml"]);
    running.wait_for_stderr("the first row", |line| line.starts_with("v: 1 rows"));
    let inserts: Vec<String> = (2..=50).map(|n| format!("INSERT INTO t VALUES ({n}, {n})")).collect();
    let mut added: Vec<&str> = inserts.iter().map(String::as_str).collect();
    added.extend(["ALTER TABLE t ADD COLUMN more INT", "INSERT INTO t VALUES (51, 51, 51)"]);
    for statements in [
        &added[..],
        // The view's own columns are others then.
        &["ALTER TABLE t MODIFY v BIGINT", "INSERT INTO t VALUES (52, 5000000000, 1)"],
        &["ALTER TABLE t DROP COLUMN more, ADD COLUMN first INT FIRST", "UPDATE t SET v = -1 WHERE id = 7"],
        &["TRUNCATE TABLE t", "INSERT INTO t VALUES (1, 1, 10), (2, 2, 20)"],
        &[
            "CREATE TABLE ghost LIKE t",
            "ALTER TABLE ghost ADD COLUMN more TEXT, DROP COLUMN first",
            "INSERT INTO ghost SELECT id, v, 'x' FROM t",
            "RENAME TABLE t TO old, ghost TO t",
            "INSERT INTO t VALUES (3, 3, 'y')",
        ],
        // So is its key.
        &["ALTER TABLE t DROP PRIMARY KEY, ADD PRIMARY KEY (v, id)", "INSERT INTO t VALUES (3, 4, NULL), (1, 5, NULL)"],
    ] {
        shop.execute(statements).await;
        followed(&program, &shop, &statements.join("; ")).await;
    }
    running.signal("TERM");
    let ended = running.finish();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    catch_up(&program);
    assert_eq!(stored(&program), at_the_server(&shop, "SELECT id, v FROM t").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_goes_on_when_the_table_changes_on_mariadb() {
    a_run_goes_on_when_the_table_changes("MARIADB").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_goes_on_when_the_table_changes_on_mysql() {
    a_run_goes_on_when_the_table_changes("MYSQL").await;
}

/// A view of whole rows has the fields that the table has.
#[tokio::test(flavor = "multi_thread")]
async fn a_view_of_whole_rows_gets_a_new_column() {
    let shop = MysqlDatabase::create("MARIADB").await;
    shop.execute(&["CREATE TABLE t (id INT PRIMARY KEY, v INT)", "INSERT INTO t VALUES (1, 1)"]).await;
    let program = Program::new();
    program.write("shop.yaml", &spec(&shop, "heartbeat_ms: 200").replace("    columns: [id, v]\n", ""));
    let running = program.start(&["run", "shop.yaml"]);
    running.wait_for_stderr("the first row", |line| line.starts_with("v: 1 rows"));
    let tail = program.start(&["tail", "v", "--state", "shop.state"]);
    tail.wait_for_stdout("the first row", |line| line.contains("\"id\":1"));
    shop.execute(&["ALTER TABLE t ADD COLUMN more INT DEFAULT 7", "INSERT INTO t VALUES (2, 2, 8)"]).await;
    let whole = eventually_async("two rows", PATIENCE, async || {
        let got = program.run(&["get", "v", "--state", "shop.state"]);
        assert_eq!(got.code, Some(0), "{}", got.stderr);
        let is_old = got.stdout == "{\"id\":1,\"v\":1}\n";
        assert!(is_old || got.stdout.lines().count() == 2, "{}", got.stdout);
        (!is_old).then_some(got.stdout)
    })
    .await;
    assert_eq!(whole, "{\"id\":1,\"v\":1,\"more\":7}\n{\"id\":2,\"v\":2,\"more\":8}\n");
    // A reader of the old changelog cannot go on with other fields unawares.
    let told = tail.finish();
    assert_eq!(told.stdout.lines().count(), 1, "{}", told.stdout);
    assert!(told.stderr.starts_with("error: the changelog of `v` starts after tick "), "{}", told.stderr);
    running.signal("TERM");
    assert_eq!(running.finish().code, Some(0));
}

/// What the spec says of a table must still be true: the run ends as it would have begun, and what was committed before stays.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_ends_when_a_column_that_a_view_reads_is_gone() {
    let shop = MysqlDatabase::create("MARIADB").await;
    shop.execute(&["CREATE TABLE t (id INT PRIMARY KEY, v INT)", "INSERT INTO t VALUES (1, 1)"]).await;
    let program = Program::new();
    program.write("shop.yaml", &spec(&shop, "heartbeat_ms: 200"));
    let running = program.start(&["run", "shop.yaml"]);
    running.wait_for_stderr("the first row", |line| line.starts_with("v: 1 rows"));
    shop.execute(&["INSERT INTO t VALUES (2, 2)", "ALTER TABLE t DROP COLUMN v", "INSERT INTO t VALUES (3)"]).await;
    let ended = running.finish();
    assert_eq!(ended.code, Some(2), "{}", ended.stderr);
    let (_, told) = ended.stderr.split_once("error: ").unwrap_or_else(|| panic!("no error in {}", ended.stderr));
    assert!(told.contains("`v`") && told.contains("shop.yaml:"), "{told}");
    assert_eq!(stored(&program), [(1, 1), (2, 2)].into(), "all that was committed before, and nothing after");
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
