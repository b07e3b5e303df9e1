//! What the store costs: first load, commits, lookups, bytes on disk, beside plain fjall write batches of the same rows; and what a change
//! of one child of a document with 50,000 writes and takes.
//!
//! `cargo bench --bench store`. The rows are like those of the 451,464-row shop: 450,000 input rows of 100 to 150 B in six tables, in
//! the order of a hash, and 100,000 documents of about 1.2 KB.

use std::path::Path;
use std::time::{Duration, Instant};

use tidemill::store::{Commit, InputDef, Store, Sync, TickMark, ViewBatch, ViewChange, ViewDef};
use tidemill::value::{Column, Datum, Layout, Position, Row, RowBuilder, Schema, Tick, Type, key, pack_list};

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
    one_child_of_many();
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
            rows.iter().for_each(|row| batch.insert(space, &*key::encode(&layout, row, &[0]), &**row));
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
    let on_disk = || store.view("documents").and_then(|view| view.info().ok()).expect("is there").disk_bytes;
    let (written, held) = (written_bytes(), on_disk());
    latencies("commit of one row, no sync", (0..50_000).map(|_| timed(|| one(store))));
    let each = |bytes: u64| bytes as f64 / 50_000.0 / 1e3;
    println!("  each               {:.2} kB written, the view grew by {:.2} kB", each(written_bytes() - written), each(on_disk() - held));
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

const CHILDREN: usize = 50_000;
const CHILD_CHANGES: usize = 200;

/// One document, of which one child after the other gets another name.
fn one_child_of_many() {
    let child = Schema::new(vec![Column::new("n", Type::Int32, false), Column::new("name", Type::Text, false)]);
    let children = Type::List(Box::new(Type::Struct(child.clone())));
    let schema = Schema::new(vec![Column::new("id", Type::Text, false), Column::new("children", children, false)]);
    let (layout, of_child) = (Layout::new(&schema), Layout::new(&child));
    let (mut builder, mut child_builder) = (RowBuilder::new(&layout), RowBuilder::new(&of_child));
    let mut child = |i: usize, name: &str| {
        child_builder.push(Datum::Int(i as i64));
        child_builder.push(Datum::Text(name));
        child_builder.finish()
    };
    let mut items: Vec<Row> = (0..CHILDREN).map(|i| child(i, &format!("child number {i}"))).collect();
    let mut document = |items: &[Row]| {
        let mut list = Vec::new();
        pack_list(items.iter().map(|item| &**item), &mut list);
        builder.push(Datum::Text("a"));
        builder.push(Datum::List(&list));
        builder.finish()
    };
    let dir = tempfile::tempdir().expect("a folder");
    let store = Store::open(dir.path(), Sync::Os).expect("opens");
    let view = ViewDef { name: "documents".into(), schema: schema.clone(), key: vec![0], fingerprint: String::new() };
    store.define(&[], &[view]).expect("defines");
    let first = document(&items);
    let key = key::encode(&layout, &first, &[0]);
    let mut load = store.bulk_load().expect("begins");
    load.view(0, [(&*key, &*first)]).expect("loads");
    load.finish(Commit { up_to: Tick(1), ..Commit::default() }).expect("commits");
    let versions: Vec<Row> = (0..CHILD_CHANGES)
        .map(|i| {
            items[i * 7919 % CHILDREN] = child(i, &format!("child with another name, the {i}th"));
            document(&items)
        })
        .collect();
    let (written, cpu) = (written_bytes(), cpu_seconds());
    latencies(
        "one child of 50,000",
        versions.into_iter().enumerate().map(|(i, after)| {
            let tick = Tick(i as u64 + 2);
            let change = ViewChange { tick, key: key.clone(), after: Some(after) };
            let views = vec![ViewBatch { view: 0, changes: vec![change], errors: vec![] }];
            timed(|| drop(store.commit(Commit { up_to: tick, views, ..Commit::default() }).expect("commits")))
        }),
    );
    let per_change = |sum: f64| sum / CHILD_CHANGES as f64;
    let kb = per_change((written_bytes() - written) as f64) / 1e3;
    let cpu_ms = per_change(cpu_seconds() - cpu) * 1e3;
    println!(
        "  each               {kb:.1} kB written to disk, {cpu_ms:.1} ms of CPU with the merging behind it, of {} kB",
        first.len() / 1000
    );
    let start = Instant::now();
    let view = store.view("documents").expect("is there");
    let read = view.changes_after(Tick(1)).expect("reads").inspect(|entry| assert!(entry.is_ok(), "an entry")).count();
    println!("  changelog read     {:.2} ms each of {read}", start.elapsed().as_secs_f64() * 1e3 / read as f64);
    latencies("  get", (0..200).map(|_| timed(|| assert!(view.get(&key).expect("reads").is_some()))));
}

/// What this process has handed to the file system.
fn written_bytes() -> u64 {
    let io = std::fs::read_to_string("/proc/self/io").expect("Linux");
    let line = io.lines().find(|line| line.starts_with("wchar:")).expect("is there");
    line.split_whitespace().nth(1).and_then(|bytes| bytes.parse().ok()).expect("a number")
}

/// Of all threads.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("Linux");
    let fields: Vec<&str> = stat.rsplit(')').next().expect("a name in brackets").split_whitespace().collect();
    let ticks = |field: usize| fields[field].parse::<f64>().expect("a number");
    (ticks(11) + ticks(12)) / 100.0
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
                (key::encode(&layout, &document, &[0]), document)
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
