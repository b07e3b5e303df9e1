//! A `server_id` that is somebody else's.

use mysql_async::prelude::Queryable;

use super::kit::spec;
use super::support::{MysqlDatabase, Program};

/// `check` while a run with the id that the spec gives reads the log, and with the id of the server itself.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_id_that_somebody_has_is_told() {
    for kind in ["MARIADB", "MYSQL"] {
        let shop = MysqlDatabase::create(kind).await;
        shop.execute(&["CREATE TABLE t (id INT PRIMARY KEY, v INT)", "INSERT INTO t VALUES (1, 1)"]).await;
        if kind == "MARIADB" {
            shop.execute(&[&format!("GRANT REPLICATION MASTER ADMIN ON *.* TO '{}'@'%'", shop.user)]).await;
        }
        let program = Program::new();
        let id = 1_000_000 + std::process::id();
        program.write("shop.yaml", &spec(&shop, &format!("server_id: {id}")));
        assert_eq!(program.run(&["check", "shop.yaml"]).stderr, "");
        let running = program.start(&["run", "shop.yaml"]);
        running.wait_for_stderr("the first row", |line| line.starts_with("v: 1 rows"));
        shop.execute(&["INSERT INTO t VALUES (2, 2)"]).await;
        running.wait_for_stderr("the second row, out of the log", |line| line.starts_with("v: 2 rows"));
        let checked = program.run(&["check", "shop.yaml"]);
        let told = format!(
            "warning: source `shop`: a reader of the log with the `server_id` {id} is connected, and the server throws one of two out\n   \
             = fix:\n     unless it is a run of this spec: leave `server_id` out of the spec, or give one that nobody else has\n\n"
        );
        assert_eq!((checked.stderr, checked.code), (told, Some(0)));
        running.signal("TERM");
        assert_eq!(running.finish().code, Some(0));

        let own: u32 = shop.connect().await.query_first("SELECT @@global.server_id").await.unwrap().unwrap();
        program.write("shop.yaml", &spec(&shop, &format!("server_id: {own}")));
        let told = format!(
            "warning: source `shop`: `server_id` {own} is the server's own\n   \
             = fix:\n     leave `server_id` out of the spec, or give one that nobody else has\n\n"
        );
        assert_eq!(program.run(&["check", "shop.yaml"]).stderr, told);
    }
}
