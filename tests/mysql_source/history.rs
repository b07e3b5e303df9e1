//! A position is followed in the log that it was read from, and in no other.

use std::sync::Arc;
use std::time::Duration;

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Opts, OptsBuilder};
use tidemill::sources::{self, Capture, Event, MemoryRows, Source, SourceError, Table};
use tidemill::value::Position;
use tokio::sync::mpsc;

use super::servers::{OwnServer, eventually_async};
use super::support::{Family, Seen, discover, run};

const LONG: Duration = Duration::from_secs(60);

/// A server of a test's own with a table `t` in the database `shop`.
struct Server {
    family: Family,
    own: OwnServer,
    conn: Conn,
}

impl Server {
    async fn start(family: Family, options: &str) -> Server {
        let kind = if family == Family::Mariadb { "MARIADB" } else { "MYSQL" };
        let own = OwnServer::start(kind, options);
        let mut conn = Conn::new(OptsBuilder::from_opts(Opts::from_url(&own.url).unwrap()).prefer_socket(false)).await.unwrap();
        for statement in ["CREATE DATABASE shop", "USE shop", "CREATE TABLE t (id INT PRIMARY KEY AUTO_INCREMENT, v INT)"] {
            conn.query_drop(statement).await.unwrap();
        }
        Server { family, own, conn }
    }

    async fn run(&mut self, statements: &[&str]) {
        for statement in statements {
            self.conn.query_drop(*statement).await.unwrap_or_else(|e| panic!("{statement}: {e}"));
        }
    }

    async fn insert(&mut self, count: usize) {
        for _ in 0..count {
            self.run(&["INSERT INTO t (v) VALUES (1)"]).await;
        }
    }

    /// Removes the files of the log before this one, which takes until nobody reads them any more.
    async fn purge(&mut self, number: u64) {
        let first = format!("{}.{number:06}", if self.family == Family::Mariadb { "mbin" } else { "ybin" });
        let purged = async || {
            self.conn.query_drop(format!("PURGE BINARY LOGS TO '{first}'")).await.unwrap();
            let logs: Vec<mysql_async::Row> = self.conn.query("SHOW BINARY LOGS").await.unwrap();
            (logs[0].get::<String, usize>(0).unwrap() == first).then_some(())
        };
        eventually_async("the end of the old files", LONG, purged).await;
    }

    async fn reset(&mut self) {
        self.run(&[if self.family == Family::Mariadb { "RESET MASTER" } else { "RESET BINARY LOGS AND GTIDS" }]).await;
    }

    fn source(&self) -> Box<dyn Source> {
        self.source_of("shop", 200)
    }

    fn source_of(&self, database: &str, heartbeat_ms: u64) -> Box<dyn Source> {
        let options = serde_json::json!({"url": format!("{}{database}", self.own.url), "heartbeat_ms": heartbeat_ms});
        sources::open("mysql", &options).unwrap()
    }

    /// The position after a snapshot and some transactions behind it.
    async fn read(&mut self, count: usize) -> (Vec<Table>, Position) {
        let source = self.source();
        let tables = discover(&*source, &["t"]).await;
        let snapshot = run(&*source, &tables, None).await.unwrap();
        self.insert(count).await;
        let rest = run(&*source, &tables, Some(snapshot.position())).await.unwrap();
        assert_eq!(rest.transactions.len(), count);
        (tables, rest.position())
    }

    async fn go_on(&self, tables: &[Table], from: &Position) -> Result<Seen, SourceError> {
        run(&*self.source(), tables, Some(from.clone())).await
    }
}

fn is_refused(result: Result<Seen, SourceError>, why: &str, case: &str) {
    match result {
        Err(SourceError::Resync { message, .. }) if message.contains(why) => {}
        Err(other) => panic!("{case}: {other:?}"),
        Ok(seen) => panic!("{case}: it went on with {} transactions, to {}", seen.transactions.len(), seen.position()),
    }
}

/// As many transactions as before have the same numbers, and here even the same text.
#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_was_reset_is_not_gone_on_with() {
    for family in [Family::Mariadb, Family::Mysql] {
        for after in [0, 1, 3, 4, 9] {
            let mut server = Server::start(family, "").await;
            server.reset().await;
            let (tables, position) = server.read(3).await;
            assert!(server.go_on(&tables, &position).await.unwrap().caught_up, "not reset, it goes on");
            server.run(&["TRUNCATE t"]).await;
            server.reset().await;
            server.insert(after).await;
            is_refused(server.go_on(&tables, &position).await, "the position `", &format!("{family:?}, then {after}"));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_is_reset_while_it_is_followed_is_noticed() {
    for family in [Family::Mariadb, Family::Mysql] {
        // Fewer transactions than before, as many, more; and a file that follows the new first one.
        for (after, flush) in [(0, false), (1, false), (4, false), (8, false), (2, true), (8, true)] {
            let mut server = Server::start(family, "").await;
            server.reset().await;
            let (tables, position) = server.read(3).await;
            let (out, mut events) = mpsc::channel(16);
            let source = server.source_of("shop", if flush { 1_000 } else { 200 });
            let capture = Capture {
                tables: tables.clone(),
                from: Some(position.clone()),
                until_caught_up: false,
                held: Arc::new(MemoryRows::default()),
            };
            let running = tokio::spawn(async move { source.run(capture, out).await });
            // It may say that it is caught up before the server has begun to send.
            server.insert(1).await;
            let position = loop {
                if let Some(Event::Commit { position, .. }) = events.recv().await {
                    break position;
                }
            };
            server.reset().await;
            server.insert(after).await;
            if flush {
                server.run(&["FLUSH BINARY LOGS"]).await;
                server.insert(1).await;
            }
            if after == 4 {
                // As long as the numbers are the same there is nothing to notice but the offset, which is another after one more.
                server.insert(1).await;
            }
            let mut changes = 0;
            let ended = tokio::time::timeout(LONG, async {
                while let Some(event) = events.recv().await {
                    changes += usize::from(matches!(event, Event::Changes(_)));
                }
                running.await.unwrap()
            });
            let case = format!("{family:?}, then {after}, flush {flush}");
            match ended.await.unwrap_or_else(|_| panic!("{case}: it went on silently")) {
                Err(SourceError::Resync { .. }) => {}
                // The server ended the stream, and `run` tries again.
                Err(SourceError::Transient { .. }) => is_refused(server.go_on(&tables, &position).await, "the position `", &case),
                other => panic!("{case}: {other:?}"),
            }
            assert_eq!(changes, 0, "{case}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_server_is_not_gone_on_with() {
    for family in [Family::Mariadb, Family::Mysql] {
        let mut first = Server::start(family, "").await;
        let (tables, position) = first.read(3).await;
        let other_domain = if family == Family::Mariadb { "--gtid-domain-id=7" } else { "--server-id=7" };
        for (options, after) in [("", 3), ("", 30), (other_domain, 30), ("--server-id=9", 30)] {
            let mut second = Server::start(family, options).await;
            second.insert(after).await;
            is_refused(second.go_on(&tables, &position).await, "the position `", &format!("{family:?} {options} {after}"));
        }
        assert!(first.go_on(&tables, &position).await.is_ok());
    }
}

/// The server reads its log from the beginning of the file, and sends heartbeats meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_searches_its_log_for_the_position_is_waited_for() {
    for family in [Family::Mariadb, Family::Mysql] {
        let mut server = Server::start(family, "").await;
        server.run(&["CREATE TABLE large (v LONGBLOB)"]).await;
        for _ in 0..32 {
            server.run(&["INSERT INTO large VALUES (REPEAT('x', 8000000))"]).await;
        }
        let (tables, position) = server.read(3).await;
        server.insert(3).await;
        let followed = run(&*server.source_of("shop", 10), &tables, Some(position)).await;
        assert_eq!(followed.unwrap_or_else(|e| panic!("{family:?}: {e}")).transactions.len(), 3, "{family:?}");
    }
}

/// Makes a server follow another one from its first transaction on.
async fn replicate(from: &mut Server, to: &mut Server) {
    let port = Opts::from_url(&from.own.url).unwrap().tcp_port();
    match from.family {
        Family::Mariadb => {
            let change = format!(
                "CHANGE MASTER TO MASTER_HOST='127.0.0.1', MASTER_PORT={port}, MASTER_USER='root', MASTER_PASSWORD='tidemill', \
                 MASTER_USE_GTID=slave_pos"
            );
            to.run(&["DROP DATABASE shop", "RESET MASTER", "SET GLOBAL gtid_slave_pos=''", &change, "START SLAVE"]).await;
        }
        Family::Mysql => {
            let change = format!(
                "CHANGE REPLICATION SOURCE TO SOURCE_HOST='127.0.0.1', SOURCE_PORT={port}, SOURCE_USER='root', SOURCE_PASSWORD='tidemill', \
                 SOURCE_AUTO_POSITION=1, GET_SOURCE_PUBLIC_KEY=1"
            );
            to.run(&["DROP DATABASE shop", "RESET BINARY LOGS AND GTIDS", &change, "START REPLICA"]).await;
        }
    }
}

async fn rows(server: &mut Server) -> u64 {
    let count: Result<Option<u64>, _> = server.conn.query_first("SELECT COUNT(*) FROM shop.t").await;
    count.ok().flatten().unwrap_or(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_of_the_same_history_is_gone_on_with_and_another_one_is_not() {
    for family in [Family::Mariadb, Family::Mysql] {
        let logs = if family == Family::Mariadb { "--log-slave-updates --server-id=2" } else { "--server-id=3" };
        // From its very beginning on, so that a replica without anything can follow.
        let mut first = Server::start(family, "").await;
        first.run(&["DROP DATABASE shop"]).await;
        first.reset().await;
        first.run(&["CREATE DATABASE shop", "USE shop", "CREATE TABLE t (id INT PRIMARY KEY AUTO_INCREMENT, v INT)"]).await;
        let mut replica = Server::start(family, logs).await;
        replicate(&mut first, &mut replica).await;
        let (tables, position) = first.read(3).await;
        eventually_async("the replica's rows", LONG, async || (rows(&mut replica).await == 3).then_some(())).await;
        // Promoted, it writes itself.
        replica.run(&[if family == Family::Mariadb { "STOP SLAVE" } else { "STOP REPLICA" }, "USE shop"]).await;
        replica.insert(2).await;
        let seen = replica.go_on(&tables, &position).await.unwrap();
        assert_eq!(seen.transactions.len(), 2, "{family:?}");
        let position = seen.position();
        replica.insert(1).await;
        assert_eq!(replica.go_on(&tables, &position).await.unwrap().transactions.len(), 1, "{family:?}");

        // The replica of another server, which has transactions of the same numbers.
        let mut stranger = Server::start(family, "").await;
        stranger.run(&["DROP DATABASE shop"]).await;
        stranger.reset().await;
        stranger.run(&["CREATE DATABASE shop", "USE shop", "CREATE TABLE t (id INT PRIMARY KEY AUTO_INCREMENT, v INT)"]).await;
        stranger.insert(9).await;
        let mut replica = Server::start(family, logs).await;
        replicate(&mut stranger, &mut replica).await;
        eventually_async("the replica's rows", LONG, async || (rows(&mut replica).await == 9).then_some(())).await;
        let (tables, position) = first.read(1).await;
        is_refused(replica.go_on(&tables, &position).await, "the position `", &format!("{family:?}, a stranger's replica"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_was_purged_before_it_was_read_is_told() {
    for family in [Family::Mariadb, Family::Mysql] {
        let mut server = Server::start(family, "").await;
        let (tables, position) = server.read(3).await;
        let prefix = if family == Family::Mariadb { "mbin" } else { "ybin" };
        // Everything was read of what is purged.
        let last: u64 = position.as_str().split_once(&format!("file={prefix}.")).unwrap().1.split(':').next().unwrap().parse().unwrap();
        server.run(&["FLUSH BINARY LOGS", "FLUSH BINARY LOGS"]).await;
        server.purge(last + 2).await;
        server.insert(1).await;
        assert_eq!(server.go_on(&tables, &position).await.unwrap().transactions.len(), 1, "{family:?}: nothing is missing");
        server.run(&["FLUSH BINARY LOGS"]).await;
        server.purge(last + 3).await;
        is_refused(server.go_on(&tables, &position).await, "the server cannot give its log from `", &format!("{family:?}"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_gtids_the_file_must_be_the_one_that_was_read() {
    let off = "--gtid-mode=OFF --enforce-gtid-consistency=OFF";
    for after in [0, 1, 3, 9] {
        let mut server = Server::start(Family::Mysql, off).await;
        server.reset().await;
        let (tables, position) = server.read(3).await;
        assert!(position.as_str().starts_with("mysql:file="), "{position}");
        assert!(server.go_on(&tables, &position).await.is_ok());
        server.run(&["TRUNCATE t"]).await;
        server.reset().await;
        server.insert(after).await;
        is_refused(server.go_on(&tables, &position).await, "`mysql:file=ybin.0", &format!("then {after}"));
    }
    let mut server = Server::start(Family::Mysql, off).await;
    let (tables, position) = server.read(3).await;
    server.run(&["FLUSH BINARY LOGS"]).await;
    assert!(server.go_on(&tables, &position).await.is_ok());
    let second = Server::start(Family::Mysql, off).await;
    is_refused(second.go_on(&tables, &position).await, "is a file of another server", "another server");
    let last: u64 = position.as_str().split_once("file=ybin.").unwrap().1.split(':').next().unwrap().parse().unwrap();
    server.purge(last + 1).await;
    is_refused(server.go_on(&tables, &position).await, "the server cannot give its log from `", "purged");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_database_of_the_server_is_not_gone_on_with() {
    for family in [Family::Mariadb, Family::Mysql] {
        let mut server = Server::start(family, "").await;
        server.run(&["CREATE DATABASE store", "CREATE TABLE store.t LIKE shop.t"]).await;
        let (tables, position) = server.read(1).await;
        let elsewhere = run(&*server.source_of("store", 200), &tables, Some(position.clone())).await;
        is_refused(elsewhere, "is of the database `shop`, but the tables are now in `store`", &format!("{family:?}"));
        // Where the database is said with the table, that of the URL is of no consequence.
        let source = server.source();
        let tables = discover(&*source, &["shop.t"]).await;
        let position = run(&*source, &tables, None).await.unwrap().position();
        assert!(run(&*server.source_of("store", 200), &tables, Some(position)).await.is_ok());
    }
}

/// Positions of before have no more than the first parts.
#[tokio::test(flavor = "multi_thread")]
async fn a_position_without_what_tells_logs_apart_is_gone_on_with() {
    for family in [Family::Mariadb, Family::Mysql] {
        let mut server = Server::start(family, "").await;
        let (tables, position) = server.read(2).await;
        let (old, _) = position.as_str().split_once(";event=").unwrap();
        assert!(position.as_str().contains(";last=") && position.as_str().ends_with(";db=shop"), "{position}");
        server.insert(1).await;
        let seen = server.go_on(&tables, &Position::new(old)).await.unwrap();
        assert_eq!(seen.transactions.len(), 1);
        assert!(seen.position().as_str().contains(";event="), "and is whole from then on");
    }
}

/// A restart of the server, also by force, begins another file of the same log.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_was_restarted_is_gone_on_with() {
    for family in [Family::Mariadb, Family::Mysql] {
        let mut server = Server::start(family, "").await;
        let (tables, position) = server.read(3).await;
        server.insert(1).await;
        server.own.restart();
        let url = format!("{}shop", server.own.url);
        server.conn = eventually_async("the server's answer", LONG, async || Conn::from_url(&url).await.ok()).await;
        server.insert(1).await;
        assert_eq!(server.go_on(&tables, &position).await.unwrap().transactions.len(), 2, "{family:?}");
    }
}
