//! Servers and logins that cannot be captured, as `check` and `run` say it.

use super::kit::spec;
use super::support::{Finished, MysqlDatabase, OwnServer, Program};

fn check_and_run(program: &Program) -> [Finished; 2] {
    [program.run(&["check", "shop.yaml"]), program.run(&["run", "shop.yaml"])]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_a_log_is_refused() {
    for kind in ["MARIADB", "MYSQL"] {
        let server = OwnServer::start(kind, "--skip-log-bin");
        let shop = MysqlDatabase::create_at(kind, &server.url).await;
        shop.execute(&["CREATE TABLE t (id INT PRIMARY KEY, v INT)"]).await;
        let program = Program::new();
        program.write("shop.yaml", &spec(&shop, "heartbeat_ms: 200"));
        let [checked, ran] = check_and_run(&program);
        let message = format!("source `shop`: the server 127.0.0.1:{} writes no binary log", shop.port);
        let fix = "start it with `log_bin = binlog` and a `server_id` in the [mysqld] section of its configuration";
        assert_eq!(checked.stderr, format!("error: {message}\n   = fix:\n     {fix}\n\n"));
        assert_eq!(checked.code, Some(1));
        assert_eq!(
            ran.stderr,
            format!("ended at tick 0 after SECONDS\nerror: {message}\n   = help: {fix}\n").replace("SECONDS", &seconds(&ran))
        );
        assert_eq!(ran.code, Some(1));
    }
}

/// How long the run said that it took.
fn seconds(ran: &Finished) -> String {
    let after = ran.stderr.split_once(" after ").unwrap_or_else(|| panic!("{}", ran.stderr)).1;
    after.lines().next().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_is_refused() {
    for kind in ["MARIADB", "MYSQL"] {
        let shop = MysqlDatabase::create(kind).await;
        shop.execute(&["CREATE TABLE t (id INT PRIMARY KEY, v INT)"]).await;
        let program = Program::new();
        let (user, port) = (&shop.user, shop.port);
        program.write(
            "shop.yaml",
            &spec(&shop, "heartbeat_ms: 200").replace(&shop.url(), &format!("mysql://{user}:sesame@127.0.0.1:{port}/{}", shop.name)),
        );
        let [checked, ran] = check_and_run(&program);
        let message = format!(
            "error: 127.0.0.1:{port} refuses the user `{user}` or its password\n  --> shop.yaml:2:3\n   |   shop:\n   |   ^^^^\n   \
             = help: check user and password of `url`; where encryption is required (REQUIRE SSL, require_secure_transport) the source needs `tls`\n"
        );
        assert_eq!((checked.stderr, checked.code), (format!("{message}\n"), Some(2)));
        assert_eq!((ran.stderr, ran.code), (message, Some(2)));
    }
}
