//! A real server, a database of its own for each test, and a run of the source whose events are collected.

use std::collections::BTreeMap;
use std::sync::Arc;

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Opts, OptsBuilder};
use tidemill::sources::{self, Capture, Event, MemoryRows, Rejected, Source, SourceError, Table};
use tidemill::value::{Datum, Delta, Layout, Position, Row};
use tokio::sync::mpsc;

/// The two families of servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Family {
    Mariadb,
    Mysql,
}

impl Family {
    /// The URL of a user who may do everything.
    pub(crate) fn url(self) -> String {
        let variable = match self {
            Family::Mariadb => "TIDEMILL_TEST_MARIADB",
            Family::Mysql => "TIDEMILL_TEST_MYSQL",
        };
        std::env::var(variable).unwrap_or_else(|_| {
            panic!(
                "{variable} is not set: run `./test`, which starts the servers, or set it to a mysql:// URL of a user who may do everything"
            )
        })
    }
}

/// A database for one test, made anew.
pub(crate) struct Db {
    pub(crate) family: Family,
    pub(crate) name: String,
    pub(crate) conn: Conn,
    /// The URL of a user who may do everything.
    server: String,
    _turn: Turn,
}

/// Tests share a server and its log, except those that write there what stops everybody.
#[allow(dead_code, reason = "held, not read")]
enum Turn {
    Together(tokio::sync::RwLockReadGuard<'static, ()>),
    Alone(tokio::sync::RwLockWriteGuard<'static, ()>),
}

static TURNS: tokio::sync::RwLock<()> = tokio::sync::RwLock::const_new(());

impl Db {
    pub(crate) async fn create(family: Family, name: &str) -> Db {
        Db::make(family, name, Turn::Together(TURNS.read().await)).await
    }

    /// Nobody else reads a log while this one is there.
    pub(crate) async fn create_alone(family: Family, name: &str) -> Db {
        Db::make(family, name, Turn::Alone(TURNS.write().await)).await
    }

    /// At another server than the shared one.
    pub(crate) async fn create_at(family: Family, server: &str, name: &str) -> Db {
        Db::make_at(family, server.to_string(), name, Turn::Together(TURNS.read().await)).await
    }

    async fn make(family: Family, name: &str, turn: Turn) -> Db {
        Db::make_at(family, family.url(), name, turn).await
    }

    async fn make_at(family: Family, server: String, name: &str, turn: Turn) -> Db {
        let name = format!("tm_{name}");
        let mut conn = admin_at(&server, None).await;
        conn.query_drop(format!("DROP DATABASE IF EXISTS {name}")).await.unwrap();
        conn.query_drop(format!("CREATE DATABASE {name} CHARACTER SET utf8mb4")).await.unwrap();
        conn.query_drop(format!("USE {name}")).await.unwrap();
        conn.query_drop("SET time_zone = '+00:00', sql_mode = ''").await.unwrap();
        Db { family, name, conn, server, _turn: turn }
    }

    pub(crate) async fn run(&mut self, statements: &[&str]) {
        for statement in statements {
            self.conn.query_drop(*statement).await.unwrap_or_else(|e| panic!("{statement}: {e}"));
        }
    }

    /// Another connection to this database.
    pub(crate) async fn another(&self) -> Conn {
        admin_at(&self.server, Some(&self.name)).await
    }

    pub(crate) fn source(&self) -> Box<dyn Source> {
        self.source_with(serde_json::json!({}))
    }

    pub(crate) fn source_with(&self, more: serde_json::Value) -> Box<dyn Source> {
        let mut options = serde_json::json!({"url": self.url(), "heartbeat_ms": 200});
        for (name, value) in more.as_object().unwrap() {
            options[name] = value.clone();
        }
        sources::open("mysql", &options).unwrap()
    }

    pub(crate) fn url(&self) -> String {
        let base = &self.server;
        let (scheme, rest) = base.split_once("://").unwrap();
        let server = rest.split('/').next().unwrap();
        format!("{scheme}://{server}/{}", self.name)
    }

    pub(crate) async fn drop(mut self) {
        self.conn.query_drop(format!("DROP DATABASE {}", self.name)).await.unwrap();
        self.conn.disconnect().await.unwrap();
    }
}

pub(crate) async fn admin(family: Family, database: Option<&str>) -> Conn {
    admin_at(&family.url(), database).await
}

async fn admin_at(server: &str, database: Option<&str>) -> Conn {
    let opts = OptsBuilder::from_opts(Opts::from_url(server).unwrap()).prefer_socket(false).db_name(database);
    Conn::new(opts).await.unwrap()
}

/// What a run sent.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) planned: Option<Vec<Option<u64>>>,
    pub(crate) snapshot: Vec<(usize, Row)>,
    pub(crate) snapshot_position: Option<Position>,
    pub(crate) transactions: Vec<Vec<Delta>>,
    pub(crate) positions: Vec<Position>,
    pub(crate) rejected: Vec<Rejected>,
    pub(crate) caught_up: bool,
    open: Vec<Delta>,
}

impl Seen {
    pub(crate) fn take(&mut self, event: Event) {
        match event {
            Event::SnapshotPlan { rows } => self.planned = Some(rows),
            Event::Rows { table, rows } => self.snapshot.extend(rows.iter().map(|row| (table, Row::from_bytes(row)))),
            Event::SnapshotDone { position } => self.snapshot_position = Some(position),
            Event::Changes(deltas) => self.open.extend(deltas),
            Event::Commit { position, .. } => {
                self.transactions.push(std::mem::take(&mut self.open));
                self.positions.push(position);
            }
            Event::Progress { position, .. } => {
                assert!(self.open.is_empty(), "no progress inside a transaction");
                self.positions.push(position);
            }
            Event::CaughtUp => self.caught_up = true,
            Event::Rejected(rejected) => self.rejected.push(rejected),
            Event::Waiting(_) => {}
        }
    }

    /// Where to go on from.
    pub(crate) fn position(&self) -> Position {
        self.positions.last().or(self.snapshot_position.as_ref()).unwrap().clone()
    }

    /// The rows of the tables after everything seen, on top of `before`.
    pub(crate) fn state(&self, mut state: State) -> State {
        for (table, row) in &self.snapshot {
            *state.entry((*table, row.clone())).or_default() += 1;
        }
        for delta in self.transactions.iter().flatten() {
            *state.entry((delta.table, delta.row.clone())).or_default() += delta.diff;
        }
        state.retain(|_, count| *count != 0);
        state
    }
}

/// How often each row of each table is there.
pub(crate) type State = BTreeMap<(usize, Row), i64>;

/// Runs until everything that is there now has been seen.
pub(crate) async fn run(source: &dyn Source, tables: &[Table], from: Option<Position>) -> Result<Seen, SourceError> {
    let (out, mut events) = mpsc::channel(16);
    let capture = Capture { tables: tables.to_vec(), from, until_caught_up: true, held: Arc::new(MemoryRows::default()) };
    let collecting = async {
        let mut seen = Seen::default();
        while let Some(event) = events.recv().await {
            seen.take(event);
        }
        seen
    };
    let (ended, seen) = tokio::join!(source.run(capture, out), collecting);
    ended.map(|()| seen)
}

/// Follows tables over many runs, as the engine does: with notes, and with the rows that were sent.
pub(crate) struct Following {
    tables: Vec<Table>,
    held: Arc<MemoryRows>,
    position: Option<Position>,
    pub(crate) state: State,
}

impl Following {
    pub(crate) fn new(tables: &[Table]) -> Following {
        let tables: Vec<Table> = tables.iter().cloned().chain([sources::notes_table()]).collect();
        let held = Arc::new(MemoryRows::new(&tables, None));
        Following { tables, held, position: None, state: State::new() }
    }

    /// Runs until everything that is there now has been sent. Returns the transactions, without notes.
    pub(crate) async fn catch_up(&mut self, source: &dyn Source) -> Result<Vec<Vec<Delta>>, SourceError> {
        self.follow(source, usize::MAX).await
    }

    /// Like [`catch_up`](Following::catch_up), but the run ends after this many events, and what it did not complete is lost.
    pub(crate) async fn cut_off_after(&mut self, source: &dyn Source, events: usize) -> Result<(), SourceError> {
        self.follow(source, events).await.map(|_| ())
    }

    async fn follow(&mut self, source: &dyn Source, events_until_end: usize) -> Result<Vec<Vec<Delta>>, SourceError> {
        let (out, mut events) = mpsc::channel(16);
        let (from, held) = (self.position.clone(), self.held.clone());
        let capture = Capture { tables: self.tables.clone(), from, until_caught_up: true, held: self.held.clone() };
        let collecting = async {
            let (mut seen, mut open) = (Seen::default(), Vec::new());
            for _ in 0..events_until_end {
                let Some(event) = events.recv().await else { break };
                let completes =
                    matches!(event, Event::SnapshotDone { .. } | Event::Commit { .. } | Event::Progress { .. } | Event::CaughtUp);
                open.push(event);
                for event in open.drain(..if completes { open.len() } else { 0 }) {
                    held.take(&event);
                    seen.take(event);
                }
            }
            seen
        };
        let running = source.run(capture, out);
        tokio::pin!(running, collecting);
        let seen = tokio::select! {
            ended = &mut running => {
                ended?;
                collecting.await
            }
            // After the last event of a run that is cut off, the run is dropped in the middle of what it does.
            seen = &mut collecting => {
                if events_until_end == usize::MAX {
                    running.await?;
                }
                seen
            }
        };
        self.position = seen.positions.last().or(seen.snapshot_position.as_ref()).cloned().or(self.position.take());
        for (table, row) in &seen.snapshot {
            *self.state.entry((*table, row.clone())).or_default() += 1;
        }
        for transaction in &seen.transactions {
            for delta in transaction {
                *self.state.entry((delta.table, delta.row.clone())).or_default() += delta.diff;
            }
            self.state.retain(|_, count| *count != 0);
            // As the engine: a log that contradicts the rows makes them be captured again.
            if self.state.values().any(|count| *count < 0) {
                return Err(SourceError::Resync { message: "the log contradicts the rows".into(), table: None });
            }
        }
        let notes = self.tables.len() - 1;
        let rows = |deltas: Vec<Delta>| deltas.into_iter().filter(|delta| delta.table != notes).collect();
        Ok(seen.transactions.into_iter().map(rows).collect())
    }

    /// The rows of the tables, without notes.
    pub(crate) fn rows(&self) -> State {
        let notes = self.tables.len() - 1;
        self.state.iter().filter(|((table, _), _)| *table != notes).map(|(row, count)| (row.clone(), *count)).collect()
    }

    pub(crate) fn notes(&self) -> usize {
        let notes = self.tables.len() - 1;
        self.state.keys().filter(|(table, _)| *table == notes).count()
    }
}

pub(crate) async fn discover(source: &dyn Source, names: &[&str]) -> Vec<Table> {
    source.discover(&names.iter().map(|n| n.to_string()).collect::<Vec<_>>()).await.unwrap()
}

/// A row's values by column name, for comparing and for messages of tests.
pub(crate) fn values(table: &Table, row: &Row) -> Vec<(String, String)> {
    let layout = Layout::new(&table.schema);
    let shown = |datum: Datum| match datum {
        Datum::Text(v) => format!("text {v}"),
        Datum::Json(v) => format!("json {v}"),
        Datum::Float32(v) => format!("f32 {:08x} {v}", v.to_bits()),
        Datum::Float64(v) => format!("f64 {:016x} {v}", v.to_bits()),
        other => format!("{other:?}"),
    };
    table.schema.columns().iter().enumerate().map(|(i, c)| (c.name.clone(), shown(layout.get(row, i)))).collect()
}
