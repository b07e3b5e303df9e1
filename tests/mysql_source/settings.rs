//! Settings of a server under which changes do not reach its log: told by `check`, and refused by a run.

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Opts, OptsBuilder};
use tidemill::sources::{self, Finding, Severity, Source, SourceError};

use super::servers::OwnServer;
use super::support::{Family, discover, run};

async fn root(server: &OwnServer) -> Conn {
    Conn::new(OptsBuilder::from_opts(Opts::from_url(&server.url).unwrap()).prefer_socket(false)).await.unwrap()
}

async fn execute(conn: &mut Conn, statements: &[&str]) {
    for statement in statements {
        conn.query_drop(*statement).await.unwrap_or_else(|e| panic!("{statement}: {e}"));
    }
}

fn start(family: Family, options: &str) -> OwnServer {
    OwnServer::start(if family == Family::Mariadb { "MARIADB" } else { "MYSQL" }, options)
}

fn source(url: &str) -> Box<dyn Source> {
    sources::open("mysql", &serde_json::json!({"url": url, "heartbeat_ms": 200})).unwrap()
}

/// What `check` says that stands against a run, and that the run says the first of it.
async fn errors(source: &dyn Source, table: &str) -> Vec<Finding> {
    let tables = discover(source, &[table]).await;
    let mut findings = source.preflight(&tables).await.unwrap();
    findings.retain(|finding| finding.severity == Severity::Error);
    match (run(source, &tables, None).await, findings.first()) {
        (Err(SourceError::Invalid { message, .. }), Some(first)) => assert_eq!(message, first.message),
        (Ok(_), None) => {}
        (ended, found) => panic!("{found:?}, but the run: {ended:?}"),
    }
    findings
}

async fn messages(source: &dyn Source, table: &str) -> Vec<String> {
    errors(source, table).await.into_iter().map(|finding| finding.message).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn databases_that_are_kept_out_of_the_log_are_told_or_that_nobody_can_say() {
    let kept_out = "the server keeps the database `shop` out of its log (binlog_do_db, binlog_ignore_db)";
    let unseen = "the user may not see whether the server keeps databases out of its log (binlog_do_db, binlog_ignore_db); their changes \
                  would be missed";
    for family in [Family::Mariadb, Family::Mysql] {
        for (options, expected) in [
            ("--binlog-ignore-db=shop", vec![kept_out]),
            ("--binlog-do-db=other --binlog-do-db=more", vec![kept_out]),
            ("--binlog-ignore-db=other", vec![]),
            ("--binlog-do-db=shop", vec![]),
        ] {
            let server = start(family, options);
            let mut conn = root(&server).await;
            execute(
                &mut conn,
                &[
                    "CREATE DATABASE shop",
                    "CREATE TABLE shop.t (id INT PRIMARY KEY)",
                    "CREATE USER 'some'@'%' IDENTIFIED BY 'p'",
                    "GRANT REPLICATION SLAVE ON *.* TO 'some'@'%'",
                    "GRANT SELECT, LOCK TABLES ON shop.* TO 'some'@'%'",
                ],
            )
            .await;
            if family == Family::Mysql {
                execute(&mut conn, &["GRANT BACKUP_ADMIN ON *.* TO some", "GRANT SELECT ON performance_schema.log_status TO some"]).await;
            }
            assert_eq!(messages(&*source(&format!("{}shop", server.url)), "t").await, expected, "{family:?} {options}");
            let at = Opts::from_url(&server.url).unwrap().tcp_port();
            let some = source(&format!("mysql://some:p@127.0.0.1:{at}/shop"));
            let found = errors(&*some, "t").await;
            assert_eq!(found[0].message, unseen, "{family:?} {options}");
            assert_eq!(found[0].fix.as_deref(), Some("GRANT REPLICATION CLIENT ON *.* TO 'some'@'%';"));
            execute(&mut conn, &[found[0].fix.as_deref().unwrap()]).await;
            assert_eq!(messages(&*some, "t").await, expected, "{family:?} {options}");
        }
    }
}

/// A replica that does not log what it replicates; the other one's address need not answer.
#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_does_not_log_what_it_replicates_is_refused() {
    for family in [Family::Mariadb, Family::Mysql] {
        let (name, change) = match family {
            Family::Mariadb => ("log_slave_updates", "CHANGE MASTER TO MASTER_HOST='127.0.0.1', MASTER_PORT=1, MASTER_USER='r'"),
            Family::Mysql => {
                ("log_replica_updates", "CHANGE REPLICATION SOURCE TO SOURCE_HOST='127.0.0.1', SOURCE_PORT=1, SOURCE_USER='r'")
            }
        };
        for logs in [false, true] {
            let server = start(family, &format!("--{name}={}", if logs { "ON" } else { "OFF" }));
            let mut conn = root(&server).await;
            execute(&mut conn, &["CREATE DATABASE shop", "CREATE TABLE shop.t (id INT PRIMARY KEY)"]).await;
            let source = source(&format!("{}shop", server.url));
            assert!(messages(&*source, "t").await.is_empty(), "{family:?}: it is nobody's replica");
            execute(&mut conn, &[change]).await;
            let expected = format!("{name} is OFF at a server that is a replica, so its log lacks what it replicates");
            assert_eq!(messages(&*source, "t").await, if logs { vec![] } else { vec![expected] }, "{family:?}");
            if family == Family::Mariadb && logs {
                execute(&mut conn, &["SET GLOBAL slave_run_triggers_for_rbr = 'YES'"]).await;
                let expected = "slave_run_triggers_for_rbr is YES at a server that is a replica, so its log lacks what triggers do";
                assert_eq!(messages(&*source, "t").await, [expected]);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn commits_in_another_order_than_the_logs_are_refused() {
    let server = start(Family::Mysql, "--binlog-order-commits=OFF");
    let mut conn = root(&server).await;
    execute(&mut conn, &["CREATE DATABASE shop", "CREATE TABLE shop.t (id INT PRIMARY KEY)"]).await;
    let expected = "binlog_order_commits is OFF, so a snapshot may lack transactions that are before it in the log";
    assert_eq!(messages(&*source(&format!("{}shop", server.url)), "t").await, [expected]);
}
