//! Commits, and when they are on `tail`, in MongoDB, and with the plain reader.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bson::{Document, doc};
use mongodb::Collection;
use mysql_async::Conn;
use mysql_async::prelude::Queryable;

use crate::engine::{Engine, ROWS, VIEWS};
use crate::log;
use crate::seen::{Seen, percentiles};
use crate::support::Running;

const CONNECTIONS: u64 = 8;

/// One commit after the other, each awaited everywhere.
pub(crate) async fn quiet(commits: u32) {
    let engine = Arc::new(Engine::new(1).await);
    let running = engine.start(1);
    let follow = Follow::start(&engine).await;
    let documents: Collection<Document> = engine.target.collection(VIEWS[0]);
    let mut server = engine.database.connect().await;
    let (mut answered, mut logged, mut told, mut written) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for seq in 1..=u64::from(commits) {
        let begin = commit(&mut server, seq).await;
        answered.push(begin.elapsed());
        written.push(in_mongodb(&documents, seq).await - begin);
        logged.push(follow.log.wait_for(seq) - begin);
        told.push(follow.tail.wait_for(seq) - begin);
    }
    server.disconnect().await.expect("MariaDB lets go");
    println!("quiet, {commits} commits one after the other, from sending each");
    println!("  MariaDB has answered            {}", percentiles(answered));
    end(follow, running, [logged, told, written]);
}

/// So many commits per second by several connections, with three sinks; of MongoDB, one after the other is awaited.
pub(crate) async fn steady(rate: u32, seconds: u32) {
    let engine = Arc::new(Engine::new(VIEWS.len()).await);
    let running = engine.start(VIEWS.len());
    let follow = Follow::start(&engine).await;
    let documents: Collection<Document> = engine.target.collection(VIEWS[0]);
    let next = Arc::new(AtomicU64::new(1));
    let began = Instant::now();
    let until = began + Duration::from_secs(seconds.into());
    let mut writers = Vec::new();
    for number in 0..CONNECTIONS {
        let (mut server, next) = (engine.database.connect().await, next.clone());
        writers.push(tokio::spawn(async move {
            let mut pace = tokio::time::interval(Duration::from_secs_f64(CONNECTIONS as f64 / f64::from(rate)));
            let mut sent = Vec::new();
            while Instant::now() < until {
                pace.tick().await;
                let seq = next.fetch_add(1, Ordering::Relaxed) * CONNECTIONS + number;
                sent.push((seq, commit(&mut server, seq).await));
            }
            server.disconnect().await.expect("MariaDB lets go");
            sent
        }));
    }
    let mut watcher = engine.database.connect().await;
    let mut written = Vec::new();
    let mut seq = u64::MAX >> 2;
    while Instant::now() < until {
        // A row that nobody else changes.
        seq += 1;
        let begin = commit_at(&mut watcher, ROWS - 1, seq).await;
        written.push(in_mongodb_at(&documents, ROWS - 1, seq).await - begin);
    }
    watcher.disconnect().await.expect("MariaDB lets go");
    let mut sent = Vec::new();
    for writer in writers {
        sent.extend(writer.await.expect("a writer does not panic"));
    }
    let reached = sent.len() as f64 / began.elapsed().as_secs_f64();
    let logged = sent.iter().map(|(seq, begin)| follow.log.wait_for(*seq) - *begin).collect();
    let told = sent.iter().map(|(seq, begin)| follow.tail.wait_for(*seq) - *begin).collect();
    println!("{reached:.0} transactions/s for {seconds} s, {} sinks, from sending each", VIEWS.len());
    end(follow, running, [logged, told, written]);
}

/// Tells how long it took until the plain reader, `tail` and MongoDB had each change, and ends all three.
fn end(follow: Follow, running: Running, [logged, told, written]: [Vec<Duration>; 3]) {
    println!("  the plain reader has decoded it {}", percentiles(logged));
    println!("  it is on `tail`                 {}", percentiles(told));
    println!("  it is in MongoDB                {}", percentiles(written));
    follow.end();
    running.signal("TERM");
    running.finish();
}

/// A `tail` of the first view and a plain reader of the log.
struct Follow {
    tail: Seen,
    log: Seen,
    process: Child,
    reader: tokio::task::JoinHandle<u64>,
}

impl Follow {
    async fn start(engine: &Arc<Engine>) -> Follow {
        let (tail, log) = (Seen::default(), Seen::default());
        let mut process = Command::new(env!("CARGO_BIN_EXE_tidemill"))
            .args(["tail", VIEWS[0], "--from", "start", "--state", "state"])
            .current_dir(engine.program.folder())
            .stdout(Stdio::piped())
            .spawn()
            .expect("`tail` starts");
        let lines = BufReader::new(process.stdout.take().expect("its output")).lines();
        let told = tail.clone();
        std::thread::spawn(move || lines.map_while(Result::ok).filter_map(|line| seq_of(&line)).for_each(|seq| told.note(seq)));
        let (of, position, decoded) = (engine.clone(), engine.position().await, log.clone());
        let reader = tokio::spawn(async move { log::read(&of, position, None, Some(decoded)).await });
        // The rows that are there: from here on `tail` follows.
        tail.wait_for(0);
        Follow { tail, log, process, reader }
    }

    fn end(mut self) {
        self.reader.abort();
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The number in the row after the change.
fn seq_of(line: &str) -> Option<u64> {
    let (_, after) = line.split_once("\"after\":")?;
    let (_, seq) = after.split_once("\"seq\":")?;
    seq.split(',').next()?.parse().ok()
}

/// When it was sent.
async fn commit(server: &mut Conn, seq: u64) -> Instant {
    commit_at(server, seq % (ROWS - 1), seq).await
}

async fn commit_at(server: &mut Conn, id: u64, seq: u64) -> Instant {
    let begin = Instant::now();
    server.exec_drop("UPDATE t SET seq = ? WHERE id = ?", (seq, id)).await.expect("MariaDB takes it");
    begin
}

async fn in_mongodb(documents: &Collection<Document>, seq: u64) -> Instant {
    in_mongodb_at(documents, seq % (ROWS - 1), seq).await
}

async fn in_mongodb_at(documents: &Collection<Document>, id: u64, seq: u64) -> Instant {
    let looked = async {
        loop {
            let found = documents.find_one(doc! {"_id": id as i32}).await.expect("MongoDB answers");
            if found.is_some_and(|found| found.get_i64("seq").ok() == Some(seq as i64)) {
                return Instant::now();
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(120), looked).await.expect("the change comes to MongoDB")
}
