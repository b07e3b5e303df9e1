//! Random views over random tables with random foreign keys. While random transactions change the tables, the engine is stopped, killed and
//! started again. Whenever it has caught up, the views are what the server's own answers make them.
//!
//! A failure prints its seed; `TIDEMILL_GRAPHS=1 TIDEMILL_GRAPH_SEED=S` takes it again, as far as what is decided goes: when a process is
//! scheduled is not in it.

use std::collections::BTreeMap;
use std::time::Duration;

use mysql_async::Conn;
use mysql_async::prelude::Queryable;
use serde_json::{Value, json};

use super::graph_views::{Answer, GraphViews, sorted};
use super::graphs::{self, Graph};
use super::long;
use super::random::Random;
use super::support::{MysqlDatabase, OwnServer, Program, Running, eventually, server_url};
use super::values::{of_line, of_object, text};

const ROUNDS: usize = 3;
const LONG: Duration = Duration::from_secs(60);
/// A process is killed at a random moment of this time after its start: while it starts, captures or follows.
const MOMENT_MS: usize = 300;

/// Where an engine is killed, and how often at most it comes by before that.
const POINTS: [(&str, usize); 12] = [
    ("store.define.after", 1),
    ("run.started", 1),
    ("source.snapshot_done", 1),
    ("ingest.loaded", 1),
    ("store.load.before_commit", 1),
    ("store.load.after", 1),
    ("source.changes", 6),
    ("source.commit", 6),
    ("ingest.commit", 6),
    ("store.commit.before_batch", 4),
    ("store.commit.before_note", 4),
    ("store.commit.after_batch", 4),
];

/// What was done at one server.
#[derive(Debug, Default)]
struct Done {
    transactions: usize,
    killed: usize,
    stopped: usize,
    compared: usize,
    /// Rows of all views that were compared.
    rows: usize,
    captured_again: usize,
}

/// The views of one graph, and the process that maintains them or does not.
struct Maintained {
    program: Program,
    running: Option<Running>,
    /// Whether what runs dies by itself, now or later.
    is_to_die: bool,
    /// What ended processes said.
    said: String,
    random: Random,
    done: Done,
}

impl Maintained {
    fn new(url: &str, views: &GraphViews, seed: u64) -> Maintained {
        let mut views = views.spec();
        views.insert("marks".into(), json!({"sql": "SELECT id FROM s.marks"}));
        let source = json!({"kind": "mysql", "options": {"url": url, "heartbeat_ms": 200}});
        let program = Program::new().deadline(LONG);
        program.write("graph.yaml", &json!({"sources": {"s": source}, "views": views}).to_string());
        // Not the numbers of the graph, which are the same whatever happens here.
        let random = Random::new(!seed);
        Maintained { program, running: None, is_to_die: false, said: String::new(), random, done: Done::default() }
    }

    fn command(&mut self) -> Vec<&'static str> {
        let workers = if self.random.percent(25) { "2" } else { "1" };
        vec!["run", "graph.yaml", "--state", "state", "--workers", workers]
    }

    fn start(&mut self) {
        let command = self.command();
        self.running = Some(self.program.start(&command));
        self.is_to_die = false;
    }

    /// Starts a process that dies somewhere on its way, if it comes there.
    fn start_to_die(&mut self, until_caught_up: bool) {
        let (point, times) = *self.random.pick(&POINTS);
        let fault = format!("{point}:{}=kill", 1 + self.random.below(times));
        let mut command = self.command();
        command.extend(until_caught_up.then_some("--until-caught-up"));
        self.running = Some(self.program.start_with(&[("TIDEMILL_FAULT", &fault)], &command));
        self.is_to_die = true;
    }

    fn kill(&mut self) {
        let Some(running) = self.running.take() else { return };
        let ended = running.kill();
        assert_eq!(ended.code, None, "it ended before it was killed: {}", ended.stderr);
        self.said.push_str(&ended.stderr);
        self.done.killed += 1;
    }

    fn stop(&mut self) {
        let Some(running) = self.running.take() else { return };
        running.signal("TERM");
        let ended = running.finish();
        // None: it was stopped before it could listen to signals, or was to die.
        assert!(matches!(ended.code, Some(0) | None), "{}", ended.stderr);
        self.said.push_str(&ended.stderr);
        self.done.stopped += 1;
    }

    /// Between two transactions.
    async fn something_happens(&mut self) {
        if self.running.is_none() {
            match self.random.below(3) {
                0 => self.start(),
                1 => self.start_to_die(false),
                _ => {}
            }
        } else if self.random.percent(35) {
            tokio::time::sleep(Duration::from_millis(self.random.below(MOMENT_MS) as u64)).await;
            if self.random.percent(60) {
                self.kill()
            } else {
                self.stop()
            }
            if self.random.percent(50) {
                self.start();
            }
        }
    }

    /// Waits until a process has all that is at the server. It still runs then.
    async fn catch_up_running(&mut self, server: &mut Conn) {
        server.query_drop("INSERT INTO marks VALUES ()").await.unwrap();
        let mark = server.last_insert_id().expect("a number").to_string();
        eventually("the last transaction", LONG, || {
            if self.running.as_mut().is_none_or(Running::has_ended) {
                self.kill();
                self.start();
            }
            let has_mark = self.program.run(&["get", "marks", &mark, "--state", "state"]).code == Some(0);
            if has_mark && self.is_to_die {
                self.kill();
            }
            (has_mark && self.running.is_some()).then_some(())
        });
    }

    /// Ends what runs, and lets another process catch up and end.
    fn catch_up_and_end(&mut self) {
        if self.random.percent(50) {
            self.kill()
        } else {
            self.stop()
        }
        if self.random.percent(30) {
            self.start_to_die(true);
            let ended = self.running.take().expect("it was started").finish();
            assert!(matches!(ended.code, Some(0) | None), "{}", ended.stderr);
            self.said.push_str(&ended.stderr);
            self.done.killed += usize::from(ended.code.is_none());
        }
        let mut command = self.command();
        command.push("--until-caught-up");
        let ended = self.program.run(&command);
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        self.said.push_str(&ended.stderr);
    }

    fn answer(&self, command: &[&str]) -> String {
        let answered = self.program.run(&[command, &["--state", "state"]].concat());
        assert_eq!(answered.code, Some(0), "{command:?}: {}", answered.stderr);
        answered.stdout
    }

    /// What the views are.
    fn held(&self, names: &[&String]) -> Answer {
        let rows = |name: &String| sorted(self.answer(&["get", name]).lines().map(of_line));
        names.iter().map(|name| (name.to_string(), rows(name))).collect()
    }

    /// What all changes of the views lead to.
    fn told(&self, names: &[&String]) -> Answer {
        let rows = |name: &String| replayed(name, &self.answer(&["tail", name, "--until-caught-up"]));
        names.iter().map(|name| (name.to_string(), rows(name))).collect()
    }

    fn errors(&self) -> u64 {
        let status: Value = serde_json::from_str(&self.answer(&["status", "--json"])).expect("a status is JSON");
        let count = |list: &str, name: &str| -> u64 { status[list].as_array().unwrap().iter().map(|of| of[name].as_u64().unwrap()).sum() };
        count("views", "errors") + count("sources", "rejected")
    }
}

/// The rows that all changes of a view lead to.
fn replayed(view: &str, changes: &str) -> Vec<String> {
    let mut held: BTreeMap<String, i64> = BTreeMap::new();
    for line in changes.lines() {
        let change: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        for (row, diff) in [(&change["before"], -1), (&change["after"], 1)] {
            let Some(row) = of_object(row) else { continue };
            let count = held.entry(text(row)).or_default();
            *count += diff;
            assert!(*count >= 0, "`{view}` loses a row that it does not have: {line}");
        }
    }
    held.into_iter().flat_map(|(row, count)| vec![row; count as usize]).collect()
}

/// One random graph at one server.
async fn graph(kind: &str, url: &str, logs_what_keys_do: bool, seed: u64) -> Done {
    let random = &mut Random::new(seed);
    let database = MysqlDatabase::create_at(kind, url).await;
    let mut server = database.connect().await;
    server.query_drop("SET sql_mode = ''").await.unwrap();
    server.query_drop("CREATE TABLE marks (id INT AUTO_INCREMENT PRIMARY KEY)").await.unwrap();
    let graph = Graph::random(random);
    graph.create(&mut server, random).await;
    let views = GraphViews::random(&graph, random);
    let mut maintained = Maintained::new(&database.url(), &views, seed);
    let mut run = Vec::new();
    for round in 0..ROUNDS {
        // A row that refers to itself is logged by MySQL 9.7 as it was before its own deletion set the reference to NULL.
        let mut may_be_captured_again = logs_what_keys_do;
        match maintained.random.below(3) {
            0 => maintained.start(),
            1 => maintained.catch_up_running(&mut server).await,
            _ => {}
        }
        for _ in 0..2 + random.below(5) {
            maintained.something_happens().await;
            may_be_captured_again |= graph.transact(&mut server, random, &mut run).await;
            maintained.done.transactions += 1;
        }
        if maintained.random.percent(50) {
            maintained.catch_up_running(&mut server).await;
        } else {
            maintained.catch_up_and_end();
        }
        run.push("-- compared".into());
        let right = views.of_server(&mut server).await;
        let names: Vec<&String> = right.keys().collect();
        let what = || {
            let spec = serde_json::to_string_pretty(&views.spec()).unwrap();
            format!("{kind}, seed {seed}, round {round}\n{}\n{spec}\n{}\n", graph.alterations.join(";\n"), run.join(";\n"))
        };
        assert_same("the store", &maintained.held(&names), &right, what);
        // Who runs answers soon.
        if maintained.running.is_some() {
            assert_same("the changelog", &maintained.told(&names), &right, what);
        }
        assert_eq!(maintained.errors(), 0, "{}", what());
        if maintained.random.percent(50) {
            maintained.kill()
        } else {
            maintained.stop()
        }
        maintained.done.compared += 1;
        maintained.done.rows += right.values().map(Vec::len).sum::<usize>();
        let is_captured_again = std::mem::take(&mut maintained.said).contains("must be captured again");
        assert!(!is_captured_again || may_be_captured_again, "{}", what());
        maintained.done.captured_again += usize::from(is_captured_again);
    }
    server.disconnect().await.unwrap();
    maintained.done
}

fn assert_same(what: &str, got: &Answer, right: &Answer, of: impl Fn() -> String) {
    for (view, right) in right {
        let got = &got[view];
        let lines = |rows: &[String], others: &[String]| -> String {
            rows.iter().filter(|row| !others.contains(row)).map(|row| format!("  {row}\n")).collect()
        };
        assert!(
            got == right,
            "{}{what} has {} rows in `{view}`, the server {}\nonly {what}:\n{}only the server:\n{}",
            of(),
            got.len(),
            right.len(),
            lines(got, right),
            lines(right, got)
        );
    }
}

async fn graphs(kind: &str, url: &str, name: &str, logs_what_keys_do: bool) {
    let seeds = graphs::seeds(2);
    let mut all = Done::default();
    for seed in seeds.clone() {
        println!("{name}: graph {seed}");
        let done = graph(kind, url, logs_what_keys_do, seed).await;
        all.transactions += done.transactions;
        all.killed += done.killed;
        all.stopped += done.stopped;
        all.compared += done.compared;
        all.rows += done.rows;
        all.captured_again += done.captured_again;
    }
    let Done { transactions, killed, stopped, compared, rows, captured_again } = all;
    long::tell(&format!(
        "views of foreign keys, {name}: graphs {seeds:?}, {transactions} transactions, killed {killed} times, stopped {stopped} times, {rows} \
         rows right at {compared} quiet moments, captured again before {captured_again} of them"
    ));
}

#[tokio::test(flavor = "multi_thread")]
async fn views_of_random_graphs_are_right_on_mariadb() {
    graphs("MARIADB", &server_url("MARIADB"), "MariaDB", false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn views_of_random_graphs_are_right_on_mysql() {
    graphs("MYSQL", &server_url("MYSQL"), "MySQL", true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn views_of_random_graphs_are_right_on_mysql_with_native_foreign_keys() {
    let server = OwnServer::start("MYSQL", "--innodb-native-foreign-keys=ON");
    graphs("MYSQL", &server.url, "MySQL with native foreign keys", false).await;
}
