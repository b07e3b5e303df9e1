//! What the store costs: first load, commits, lookups, bytes on disk, beside plain fjall write batches of the same rows.
//!
//! `cargo bench --bench store`. The rows are like those of the 451,464-row shop: 450,000 input rows of 100 to 150 B in six tables, in
//! the order of a hash, and 100,000 documents of about 1.2 KB.

use std::path::Path;
use std::time::{Duration, Instant};

use tidemill::store::{Commit, InputDef, Store, Sync, TickMark, ViewBatch, ViewChange, ViewDef};
use tidemill::value::{Column, Datum, Layout, Position, Row, RowBuilder, Schema, Tick, Type, key};

const TABLES: usize = 6;
const ROWS_PER_TABLE: usize = 75_000;
const DOCUMENTS: usize = 100_000;
const LOOKUPS: usize = 100_000;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

struct Data {
    inputs: Vec<Vec<Row>>,
    /// In key order.
    documents: Vec<(Row, Row)>,
}

fn main() {
    let data = Data::new();
    println!("{} input rows and {} documents, {} MB", TABLES * ROWS_PER_TABLE, DOCUMENTS, data.bytes() >> 20);
    // Where the benchmark's folders go decides what an fsync costs: `TMPDIR` chooses.
    let ours = tempfile::tempdir().expect("a folder");
    let plain = tempfile::tempdir().expect("a folder");
    let store = bulk_load(ours.path(), &data);
    let database = plain_load(plain.path(), &data);
    lookups(&store, &database, &data);
    commits(&store, &database, &data);
    drop(store);
    let start = Instant::now();
    let store = Store::open(ours.path(), Sync::Os).expect("opens");
    let opened = start.elapsed();
    let start = Instant::now();
    let rows: usize = (0..TABLES).map(|i| store.load_input(i).expect("reads").inspect(|row| assert!(row.is_ok(), "a row")).count()).sum();
    println!("reopen {opened:.0?}; hold {rows} input rows again {}", rate(rows, start.elapsed()));
}

fn bulk_load(dir: &Path, data: &Data) -> Store {
    let store = Store::open(dir, Sync::Os).expect("opens");
    let input = |i| InputDef { name: format!("shop.t{i}"), schema: row_schema(), key: vec![0] };
    let inputs: Vec<_> = (0..TABLES).map(input).collect();
    let view = ViewDef { name: "documents".into(), schema: row_schema(), key: vec![0], fingerprint: String::new() };
    store.define(&inputs, &[view]).expect("defines");
    let before = peak_from_here();
    let start = Instant::now();
    let mut load = store.bulk_load().expect("begins");
    for (i, rows) in data.inputs.iter().enumerate() {
        load.input(i, rows.iter().map(|row| &**row)).expect("loads");
    }
    let inputs_in = start.elapsed();
    load.view(0, data.documents.iter().map(|(key, row)| (&**key, &**row))).expect("loads");
    load.finish(Commit { up_to: Tick(1), ..Commit::default() }).expect("commits");
    let took = start.elapsed();
    let extra = peak_kb().saturating_sub(before) >> 10;
    let rows = TABLES * ROWS_PER_TABLE + DOCUMENTS;
    println!("bulk load            {} ({inputs_in:.0?} of it inputs), {extra} MB of memory at most", rate(rows, took));
    println!("  on disk            {} MB", disk_mb(dir));
    store
}

/// The same rows with nothing but fjall: batches of 10,000, default options.
fn plain_load(dir: &Path, data: &Data) -> (fjall::Database, fjall::Keyspace) {
    let database = fjall::Database::builder(dir).open().expect("opens");
    let spaces: Vec<_> =
        (0..=TABLES).map(|i| database.keyspace(&format!("t{i}"), fjall::KeyspaceCreateOptions::default).expect("opens")).collect();
    let layout = Layout::new(&row_schema());
    let before = peak_from_here();
    let start = Instant::now();
    for (space, rows) in spaces.iter().zip(&data.inputs) {
        for rows in rows.chunks(10_000) {
            let mut batch = database.batch();
            rows.iter().for_each(|row| batch.insert(space, &*key::of(&layout, row, &[0]), &**row));
            batch.commit().expect("commits");
        }
    }
    for documents in data.documents.chunks(10_000) {
        let mut batch = database.batch();
        documents.iter().for_each(|(key, row)| batch.insert(&spaces[TABLES], &**key, &**row));
        batch.commit().expect("commits");
    }
    database.persist(fjall::PersistMode::SyncAll).expect("persists");
    let took = start.elapsed();
    let extra = peak_kb().saturating_sub(before) >> 10;
    let rows = TABLES * ROWS_PER_TABLE + DOCUMENTS;
    println!("plain fjall batches  {}, {extra} MB of memory at most", rate(rows, took));
    println!("  on disk            {} MB", disk_mb(dir));
    (database, spaces[TABLES].clone())
}

fn lookups(store: &Store, (_, plain): &(fjall::Database, fjall::Keyspace), data: &Data) {
    let view = store.view("documents").expect("is there");
    let keys = || (0..LOOKUPS).map(|i| &data.documents[i * 7919 % DOCUMENTS].0);
    latencies("get", keys().map(|key| timed(|| assert!(view.get(key).expect("reads").is_some()))));
    latencies("get, plain fjall", keys().map(|key| timed(|| assert!(plain.get(&**key).expect("reads").is_some()))));
}

fn commits(store: &Store, (database, plain): &(fjall::Database, fjall::Keyspace), data: &Data) {
    let dir = store.dir().to_path_buf();
    let mut tick = 1;
    let mut one = |store: &Store| {
        tick += 1;
        let (key, document) = &data.documents[tick as usize * 7919 % DOCUMENTS];
        let mut after = document.to_vec();
        let last = after.len() - 1;
        after[last] = b'a' + (tick % 26) as u8;
        let input = &data.inputs[0][tick as usize % ROWS_PER_TABLE];
        let change = ViewChange { tick: Tick(tick), key: key.clone(), after: Some(after.into()) };
        let position = Position::new(format!("0-1-{tick}"));
        store
            .commit(Commit {
                up_to: Tick(tick),
                ticks: vec![TickMark { tick: Tick(tick), source: "shop".into(), position, committed_ms: Some(tick) }],
                inputs: vec![(0, vec![(Tick(tick), input.clone(), 1), (Tick(tick), input.clone(), -1)])],
                views: vec![ViewBatch { view: 0, changes: vec![change], errors: vec![] }],
                ..Commit::default()
            })
            .expect("commits");
    };
    latencies("commit of one row, no sync", (0..50_000).map(|_| timed(|| one(store))));
    let plain_one = |i: usize, mode| {
        let (key, document) = &data.documents[i * 7919 % DOCUMENTS];
        let mut batch = database.batch().durability(Some(mode));
        batch.insert(plain, &**key, &**document);
        batch.commit().expect("commits");
    };
    latencies("  plain fjall", (0..50_000).map(|i| timed(|| plain_one(i, fjall::PersistMode::Buffer))));
    println!("  on disk            {} MB of the store after that", disk_mb(&dir));
    let synced = tempfile::tempdir().expect("a folder");
    let durable = Store::open(synced.path(), Sync::EachCommit).expect("opens");
    let input = InputDef { name: "shop.t0".into(), schema: row_schema(), key: vec![0] };
    let view = ViewDef { name: "documents".into(), schema: row_schema(), key: vec![0], fingerprint: String::new() };
    durable.define(&[input], &[view]).expect("defines");
    latencies("commit of one row, synced", (0..1_000).map(|_| timed(|| one(&durable))));
    latencies("  plain fjall", (0..1_000).map(|i| timed(|| plain_one(i, fjall::PersistMode::SyncData))));
}

impl Data {
    fn new() -> Data {
        let mut random = 1;
        let layout = Layout::new(&row_schema());
        let mut builder = RowBuilder::new(&layout);
        let mut row = |random: &mut u64, bytes: usize| {
            let id = format!("{:016x}{:016x}", next(random), next(random));
            let text: String = (0..bytes / 16).map(|_| format!("{:016x}", next(random))).collect();
            builder.push(Datum::Text(&id));
            builder.push(Datum::Int(next(random) as i64));
            builder.push(Datum::Text(&text));
            builder.finish()
        };
        let inputs = (0..TABLES).map(|_| (0..ROWS_PER_TABLE).map(|i| row(&mut random, 48 + i % 4 * 16)).collect()).collect();
        let mut documents: Vec<(Row, Row)> = (0..DOCUMENTS)
            .map(|_| {
                let document = row(&mut random, 1136);
                (key::of(&layout, &document, &[0]), document)
            })
            .collect();
        documents.sort();
        Data { inputs, documents }
    }

    fn bytes(&self) -> usize {
        self.inputs.iter().flatten().map(|row| row.len()).sum::<usize>() + self.documents.iter().map(|(_, row)| row.len()).sum::<usize>()
    }
}

fn row_schema() -> Schema {
    Schema::new(vec![Column::new("id", Type::Text, false), Column::new("n", Type::Int64, false), Column::new("text", Type::Text, true)])
}

/// xorshift64*: the same rows in every run.
fn next(state: &mut u64) -> u64 {
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    state.wrapping_mul(0x2545_f491_4f6c_dd1d)
}

fn timed(work: impl FnOnce()) -> Duration {
    let start = Instant::now();
    work();
    start.elapsed()
}

fn latencies(what: &str, times: impl Iterator<Item = Duration>) {
    let start = Instant::now();
    let mut times: Vec<_> = times.collect();
    let took = start.elapsed();
    times.sort();
    let at = |share: f64| times[(times.len() as f64 * share) as usize].as_secs_f64() * 1e6;
    let per_second = times.len() as f64 / took.as_secs_f64();
    println!("{what:<27} {per_second:>9.0}/s, p50 {:.1} us, p99 {:.1} us, most {:.0} us", at(0.5), at(0.99), at(1.0 - 1e-9));
}

fn rate(rows: usize, took: Duration) -> String {
    format!("{:.2} s, {:.0} rows/s", took.as_secs_f64(), rows as f64 / took.as_secs_f64())
}

fn disk_mb(dir: &Path) -> u64 {
    fn of(dir: &Path) -> u64 {
        use std::os::unix::fs::MetadataExt;
        let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
        entries.map(|e| e.metadata().map_or(0, |m| if m.is_dir() { of(&e.path()) } else { m.blocks() * 512 })).sum()
    }
    of(dir) >> 20
}

/// Resident memory now; the peak counts from here.
fn peak_from_here() -> u64 {
    std::fs::write("/proc/self/clear_refs", "5").expect("Linux lets a process reset its peak");
    status_kb("VmRSS:")
}

fn peak_kb() -> u64 {
    status_kb("VmHWM:")
}

fn status_kb(field: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find(|line| line.starts_with(field)).expect("is there");
    line.split_whitespace().nth(1).and_then(|kb| kb.parse().ok()).expect("a number")
}
