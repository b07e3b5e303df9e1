//! One table at MariaDB, views of it, and the program that maintains them.

use mysql_async::prelude::Queryable;
use serde_json::{Map, Value, json};

use crate::support::{MongoDatabase, MysqlDatabase, Program, Running};

/// Rows of the table, which the commits change in turn.
pub(crate) const ROWS: u64 = 1000;

pub(crate) struct Engine {
    pub(crate) database: MysqlDatabase,
    pub(crate) target: MongoDatabase,
    pub(crate) program: Program,
}

/// The views, of which the first is looked at.
pub(crate) const VIEWS: [&str; 3] = ["a", "b", "c"];

impl Engine {
    /// With so many sinks, one of each view.
    pub(crate) async fn new(sinks: usize) -> Engine {
        let database = MysqlDatabase::create("MARIADB").await;
        let target = MongoDatabase::create().await;
        database
            .execute(&[
                "CREATE TABLE t (id INT PRIMARY KEY, seq BIGINT NOT NULL, pad VARCHAR(100) NOT NULL)",
                &format!("INSERT INTO t SELECT seq, 0, REPEAT('x', 100) FROM seq_0_to_{}", ROWS - 1),
            ])
            .await;
        let program = Program::new().deadline(std::time::Duration::from_secs(600));
        let views: Map<String, Value> = VIEWS.iter().map(|view| (view.to_string(), json!({"from": "s.t"}))).collect();
        let sink = |view: &&str| {
            let options = json!({"uri": target.uri, "collection": format!("{}.{view}", target.name)});
            (view.to_string(), json!({"kind": "mongodb", "view": view, "options": options}))
        };
        let sinks: Map<String, Value> = VIEWS.iter().take(sinks).map(sink).collect();
        let source = json!({"kind": "mariadb", "options": {"url": database.url()}});
        program.write("spec.yaml", &json!({"sources": {"s": source}, "views": views, "sinks": sinks}).to_string());
        Engine { database, target, program }
    }

    /// Up to the first copy.
    pub(crate) fn start(&self, sinks: usize) -> Running {
        let running = self.program.start(&["run", "spec.yaml", "--state", "state", "--json"]);
        for view in VIEWS.iter().take(sinks) {
            let of_sink = format!("\"sink\":\"{view}\"");
            running.wait_for_stdout("the first copy", |line| line.contains("\"event\":\"sink\"") && line.contains(&of_sink));
        }
        running.wait_for_stdout("the views", |line| line.contains("\"event\":\"view\""));
        running
    }

    pub(crate) fn catch_up(&self) {
        let ended = self.program.run(&["run", "spec.yaml", "--state", "state", "--until-caught-up"]);
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    }

    pub(crate) async fn position(&self) -> (String, u64) {
        let mut server = self.database.connect().await;
        let row: mysql_async::Row = server.query_first("SHOW MASTER STATUS").await.expect("MariaDB answers").expect("it has a log");
        let position = (row.get(0).expect("a file"), row.get(1).expect("an offset"));
        server.disconnect().await.expect("MariaDB lets go");
        position
    }
}
