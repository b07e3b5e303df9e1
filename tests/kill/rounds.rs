//! The rounds of one server: kill, start again, and at quiet moments compare.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mysql_async::Conn;
use mysql_async::prelude::Queryable;
use serde_json::Value;
use tidemill::fault::POINTS;

use super::answers::{assert_same, of_changelogs, of_mongodb, of_server, of_store};
use super::engine::Engine;
use super::long;
use super::random::Random;
use super::reader::Reader;
use super::shop::{self, ORDERS};
use super::support::{MongoDatabase, Running, eventually};
use super::writers::Writers;

const MINUTES: u64 = 3;
const LONG_KILLS: usize = 200;
/// How long anything may take that must come.
const PATIENCE: Duration = Duration::from_secs(120);
/// A random moment is within this of the start.
const MOMENT_MS: usize = 400;

/// What a run came to.
#[derive(Default)]
struct Done {
    at_points: BTreeMap<&'static str, usize>,
    at_random: usize,
    fresh_states: usize,
    compared: usize,
}

struct Rounds {
    kind: &'static str,
    engine: Arc<Engine>,
    target: MongoDatabase,
    writers: Writers,
    server: Conn,
    random: Random,
    /// The last row of `marks`.
    mark: u64,
    done: Done,
}

pub(crate) async fn run(kind: &'static str) {
    let began = Instant::now();
    let seed = seed();
    println!("TIDEMILL_KILL_SEED={seed} of {kind}");
    let shop = shop::create(kind).await;
    let target = MongoDatabase::create().await;
    let engine = Arc::new(Engine::new(&shop::spec(&shop, &target)));
    let writers = Writers::start(&shop, seed).await;
    let mut reader = Reader::start(engine.clone(), target.collection(ORDERS));
    let mut random = Random::new(seed);
    let mut points = points_of(kind, seed);
    random.shuffle(&mut points);
    let mut rounds = Rounds { kind, engine, target, writers, server: shop.connect().await, random, mark: 0, done: Done::default() };
    let mut running = rounds.start_again();
    rounds.compare().await;
    while !points.is_empty() || !rounds.is_enough(began) {
        running = match points.pop() {
            Some(point) => rounds.kill_at(point, running).await,
            None => rounds.kill_at_random(running).await,
        };
        if rounds.random.percent(60) {
            rounds.compare().await;
        }
        reader = reader.must_be_well();
    }
    rounds.compare().await;
    running.signal("TERM");
    let ended = tokio::task::block_in_place(|| running.finish());
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    rounds.tell(seed, began, reader).await;
}

fn seed() -> u64 {
    match std::env::var("TIDEMILL_KILL_SEED") {
        Ok(seed) => seed.parse().expect("TIDEMILL_KILL_SEED is a number"),
        Err(_) => long::new_seeds(1).start,
    }
}

/// The points at which this server's engine is killed for sure: both have all in the long mode, else half each, by the seed.
fn points_of(kind: &str, seed: u64) -> Vec<&'static str> {
    let half = (seed + u64::from(kind == "MYSQL")) % 2;
    let all = POINTS.iter().map(|point| point.name).enumerate();
    all.filter(|(i, _)| long::is_wanted() || *i as u64 % 2 == half).map(|(_, name)| name).collect()
}

/// Points that are only come by while there is no state yet.
fn needs_fresh_state(point: &str) -> bool {
    let of = [
        "mysql.snapshot.",
        "mysql.stage.",
        "source.rows",
        "source.snapshot_done",
        "source.staged",
        "source.staged_rows",
        "ingest.rows",
        "ingest.loaded",
        "store.stage.",
        "store.load.",
        "sink.copy.",
    ];
    of.iter().any(|start| point.starts_with(start))
}

/// So often at least a run comes by the point.
fn times(point: &str) -> usize {
    match point {
        "source.rows" | "ingest.rows" | "store.load.run" => 6,
        "mysql.stage.chunk"
        | "source.staged"
        | "source.staged_rows"
        | "store.stage.before_save"
        | "store.stage.before_note"
        | "store.stage.after_save" => 4,
        "source.changes" | "source.commit" | "ingest.changes" | "ingest.commit" => 40,
        "store.commit.before_batch" | "store.commit.after_batch" => 20,
        "sink.step.before_write" | "sink.step.before_position" | "sink.step.after" => 8,
        "store.reader.before" | "store.reader.after" => 8,
        "store.space_dropped" => 20,
        _ => 1,
    }
}

impl Rounds {
    fn is_enough(&self, began: Instant) -> bool {
        match long::is_wanted() {
            true => self.done.kills() >= LONG_KILLS,
            false => began.elapsed() >= Duration::from_secs(60 * MINUTES),
        }
    }

    fn start_again(&self) -> Running {
        tokio::task::block_in_place(|| self.engine.start(&[], None))
    }

    async fn kill_at_random(&mut self, running: Running) -> Running {
        self.kill_now(running).await;
        // Sometimes while it starts.
        if self.random.percent(30) {
            let running = self.start_again();
            self.kill_now(running).await;
        }
        self.start_again()
    }

    async fn kill_now(&mut self, running: Running) {
        tokio::time::sleep(Duration::from_millis(self.random.below(MOMENT_MS) as u64)).await;
        let ended = tokio::task::block_in_place(|| running.kill());
        assert_eq!(ended.code, None, "it ended before it was killed: {}", ended.stderr);
        self.done.at_random += 1;
        println!("{}: killed at a random moment", self.kind);
    }

    async fn kill_at(&mut self, point: &'static str, running: Running) -> Running {
        self.kill_now(running).await;
        if point == "store.space_dropped" {
            // What was loaded and never committed is dropped at the next start.
            self.engine.forget_state();
            let running = tokio::task::block_in_place(|| self.engine.start(&[], Some("store.load.before_commit=kill")));
            await_end(running, point);
        }
        if needs_fresh_state(point) {
            self.engine.forget_state();
            self.done.fresh_states += 1;
        }
        let fault = format!("{point}:{}=kill", 1 + self.random.below(times(point)));
        println!("{}: to be killed at {fault}", self.kind);
        // Without a retention there is something to compact.
        let options: &[&str] = if point.starts_with("store.compact.") { &["--retain-hours", "0"] } else { &[] };
        let running = tokio::task::block_in_place(|| self.engine.start(options, Some(&fault)));
        if point == "source.progress" {
            // A position alone is told once no captured table has changed for a while.
            let _paused = self.writers.pause().await;
            self.server.query_drop("INSERT INTO noise (text) VALUES ('alone')").await.expect("the server answers");
            await_end(running, &fault);
        } else {
            await_end(running, &fault);
        }
        *self.done.at_points.entry(point).or_default() += 1;
        println!("{}: killed", self.kind);
        self.start_again()
    }

    /// A quiet moment: nobody writes, everything has arrived, and all answers are the same.
    async fn compare(&mut self) {
        let paused = self.writers.pause().await;
        self.mark += 1;
        let mark = self.mark.to_string();
        self.server.query_drop(format!("INSERT INTO marks VALUES ({mark})")).await.expect("the server answers");
        let engine = &self.engine;
        let server = of_server(&mut self.server).await;
        tokio::task::block_in_place(|| {
            for marks in ["marks", "keyed_marks"] {
                eventually("the last transaction", PATIENCE, || (engine.ask(&["get", marks, &mark]).code == Some(0)).then_some(()));
            }
            assert_same("the store", &of_store(engine), &server);
            assert_same("the changelog", &of_changelogs(engine), &server);
            eventually("the sinks", PATIENCE, || sinks_are_there(&engine.answer(&["status", "--json"])).then_some(()));
        });
        assert_same("MongoDB", &of_mongodb(&self.target).await, &server);
        drop(paused);
        self.done.compared += 1;
        println!("{}: quiet moment {mark} is right, after {} transactions", self.kind, self.writers.done().0);
    }

    async fn tell(self, seed: u64, began: Instant, reader: Reader) {
        let Done { at_points, at_random, fresh_states, compared } = &self.done;
        let (committed, rolled_back) = self.writers.done();
        let seen = tokio::task::block_in_place(|| reader.end());
        long::tell(&format!(
            "kills, {}, seed {seed}: {} at {} fault points and {at_random} at random moments in {} s, {fresh_states} of them without a state; \
             {committed} transactions committed, {rolled_back} rolled back; all four answers equal at {compared} quiet moments; \
             {} answers of the store and {} documents of MongoDB looked at meanwhile, {} times nobody answered",
            self.kind,
            at_points.values().sum::<usize>(),
            at_points.len(),
            began.elapsed().as_secs(),
            seen.answers,
            seen.documents,
            seen.unanswered
        ));
        self.writers.end().await;
        self.server.disconnect().await.expect("the server lets go");
    }
}

impl Done {
    fn kills(&self) -> usize {
        self.at_random + self.at_points.values().sum::<usize>()
    }
}

fn await_end(running: Running, fault: &str) {
    let ended = tokio::task::block_in_place(|| running.finish());
    assert_eq!(ended.code, None, "{fault}: {}", ended.stderr);
}

/// Whether every sink is where the store is.
fn sinks_are_there(status: &str) -> bool {
    let status: Value = serde_json::from_str(status).expect("a status is JSON");
    let tick = status["tick"].as_u64().expect("a tick");
    let sinks = status["sinks"].as_array().expect("a list");
    sinks.len() == shop::SINKS.len() && sinks.iter().all(|sink| sink["tick"].as_u64().is_some_and(|at| at >= tick))
}
