//! Rows that cannot be read, as a user sees them.

use super::kit::{catch_up, spec, stored};
use super::support::{MysqlDatabase, Program};

/// The view goes on without them, `errors` names them, and corrected they are there.
#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_cannot_be_read_is_told_with_its_key_and_comes_when_it_is_corrected() {
    let shop = MysqlDatabase::create("MARIADB").await;
    shop.execute(&[
        "CREATE TABLE t (id INT PRIMARY KEY, v INT, j JSON)",
        r#"INSERT INTO t VALUES (1, 1, '{}'), (2, 2, '{"path": "C:\\quick"}')"#,
    ])
    .await;
    let program = Program::new();
    program.write("shop.yaml", &spec(&shop, "heartbeat_ms: 200"));
    catch_up(&program);
    assert_eq!(stored(&program), [(1, 1)].into());
    shop.execute(&[r#"INSERT INTO t VALUES (3, 3, '["\\q"]'), (4, 4, '[]')"#, "UPDATE t SET v = v * 10"]).await;
    catch_up(&program);
    assert_eq!(stored(&program), [(1, 10), (4, 40)].into());
    let errors = program.run(&["errors", "shop", "--state", "shop.state"]);
    let told: Vec<serde_json::Value> = errors.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(told.len(), 2, "{}", errors.stdout);
    assert_eq!(told[0]["place"], "id = 2 in the snapshot");
    assert!(told[1]["place"].as_str().unwrap().starts_with("id = 3 in the log before "), "{}", errors.stdout);
    for told in &told {
        assert_eq!((told["source"].as_str(), told["table"].as_str()), (Some("shop"), Some("t")));
        assert_eq!(told["reason"], "the column `j` holds text that is not JSON");
    }
    shop.execute(&["UPDATE t SET j = '{}'", "DELETE FROM t WHERE id = 1"]).await;
    catch_up(&program);
    assert_eq!(stored(&program), [(2, 20), (3, 30), (4, 40)].into());
}
