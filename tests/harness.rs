//! The tests' own ground: the servers are set up as the connectors need them, and the helpers notice what they should.

mod support;

use std::path::Path;
use std::time::Duration;

use bson::{Decimal128, doc};
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Opts, OptsBuilder, SslOpts};
use support::{MongoDatabase, MysqlDatabase, Program, eventually_async, server_ca};

#[tokio::test]
async fn mariadb_logs_whole_rows_and_proves_its_name() {
    logs_whole_rows_and_proves_its_name("MARIADB").await;
}

#[tokio::test]
async fn mysql_logs_whole_rows_and_proves_its_name() {
    logs_whole_rows_and_proves_its_name("MYSQL").await;
}

async fn logs_whole_rows_and_proves_its_name(kind: &str) {
    let database = MysqlDatabase::create(kind).await;
    database.execute(&["CREATE TABLE a (id INT PRIMARY KEY)", "INSERT INTO a VALUES (1), (2)"]).await;
    let tls = SslOpts::default().with_root_certs(vec![Path::new(&server_ca()).to_path_buf().into()]);
    let options = OptsBuilder::from_opts(Opts::from_url(&database.url()).unwrap()).ssl_opts(tls);
    let mut user = Conn::new(options).await.unwrap();
    let settings: (u8, String, String, String) =
        user.query_first("SELECT @@log_bin, @@binlog_format, @@binlog_row_image, @@binlog_row_metadata").await.unwrap().unwrap();
    assert_eq!(settings, (1, "ROW".into(), "FULL".into(), "FULL".into()));
    let cipher: (String, String) = user.query_first("SHOW STATUS LIKE 'Ssl_cipher'").await.unwrap().unwrap();
    assert!(cipher.1.starts_with("TLS_"), "{cipher:?}");
    let rows: Vec<u32> = user.query("SELECT id FROM a ORDER BY id").await.unwrap();
    assert_eq!(rows, [1, 2]);
    let refused = user.query_drop("INSERT INTO a VALUES (3)").await.unwrap_err();
    assert!(refused.to_string().contains("denied"), "{refused}");
    user.disconnect().await.unwrap();
}

#[tokio::test]
async fn a_dropped_database_takes_its_user_along() {
    for kind in ["MARIADB", "MYSQL"] {
        let kept = MysqlDatabase::create(kind).await;
        let gone = MysqlDatabase::create(kind).await.name.clone();
        let mut server = kept.connect().await;
        let databases: Vec<String> = server.query("SHOW DATABASES").await.unwrap();
        let users: Vec<String> = server.query("SELECT user FROM mysql.user").await.unwrap();
        for (names, what) in [(databases, "database"), (users, "user")] {
            assert!(names.contains(&kept.name), "{kind}: {what} {} not in {names:?}", kept.name);
            assert!(!names.contains(&gone), "{kind}: {what} {gone} still there");
        }
    }
}

#[tokio::test]
async fn mongodb_takes_upserts_dotted_sets_and_dotted_indexes() {
    let target = MongoDatabase::create().await;
    let orders = target.collection("orders");
    let price: Decimal128 = "10.20".parse().unwrap();
    orders.replace_one(doc! {"_id": "a"}, doc! {"_id": "a", "customer": {"city": "x"}, "price": price}).upsert(true).await.unwrap();
    orders.update_one(doc! {"_id": "a"}, doc! {"$set": {"customer.city": "y"}}).await.unwrap();
    target
        .database()
        .run_command(doc! {"createIndexes": "orders", "indexes": [{"key": {"customer.city": 1}, "name": "city"}]})
        .await
        .unwrap();
    let found = eventually_async("the order by its city", Duration::from_secs(5), async || {
        orders.find_one(doc! {"customer.city": "y"}).await.unwrap()
    });
    assert_eq!(found.await, doc! {"_id": "a", "customer": {"city": "y"}, "price": price});
}

#[test]
fn a_program_is_seen_line_by_line_and_to_its_end() {
    let shell = Program::of("/bin/sh").env("WORD", "tide");
    let running = shell.start(&["-c", "echo one; echo $WORD >&2; printf two; exit 3"]);
    assert_eq!(running.wait_for_stdout("the first line", |line| line == "one"), "one");
    assert_eq!(running.wait_for_stderr("the word", |line| line.contains('d')), "tide");
    let finished = running.finish();
    assert_eq!((finished.code, finished.stdout.as_str()), (Some(3), "one\ntwo"));

    let waiting = shell.start(&["-c", "trap 'exit 5' TERM; echo ready; while :; do sleep 0.01; done"]);
    waiting.wait_for_stdout("ready", |line| line == "ready");
    waiting.signal("TERM");
    assert_eq!(waiting.finish().code, Some(5));

    let killed = shell.start(&["-c", "exec sleep 1000"]);
    assert_eq!(killed.kill().code, None);
}

#[test]
#[should_panic(expected = "still running after 200ms\n--- stdout\nbusy\n--- stderr\n---")]
fn a_program_that_hangs_is_reported_with_what_it_said() {
    Program::of("/bin/sh").deadline(Duration::from_millis(200)).run(&["-c", "echo busy; exec sleep 1000"]);
}

#[test]
#[should_panic(expected = "no line with a greeting: the output has ended")]
fn a_line_that_cannot_come_any_more_is_not_waited_for() {
    Program::of("/bin/sh").start(&["-c", "echo bye"]).wait_for_stdout("a greeting", |line| line == "hello");
}
