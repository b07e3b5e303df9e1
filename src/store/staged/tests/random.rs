//! A source that reads chunks and follows the log in any order, and crashes, ends with the rows of the server.
//!
//! `TIDEMILL_STAGED_SEED=S` runs the cases of one seed.

use super::*;

const CASES: u64 = 25;
const KEYS: i64 = 12;
const TABLES: usize = 2;

struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut n = self.0;
        n = (n ^ (n >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        n = (n ^ (n >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((n ^ (n >> 31)) % end.max(1) as u64) as usize
    }

    fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }
}

type Tables = [BTreeMap<i64, i64>; TABLES];

/// The rows after each transaction, and the transactions: `log[n]` leads from `states[n]` to `states[n + 1]`.
struct Server {
    states: Vec<Tables>,
    log: Vec<Vec<Delta>>,
    next_value: i64,
}

impl Server {
    fn new(random: &mut Random) -> Server {
        let mut server = Server { states: vec![Tables::default()], log: Vec::new(), next_value: 0 };
        (0..random.below(12)).for_each(|_| server.commit(random));
        server
    }

    fn end(&self) -> usize {
        self.log.len()
    }

    fn commit(&mut self, random: &mut Random) {
        let mut state = self.states[self.end()].clone();
        let mut deltas = Vec::new();
        for _ in 0..1 + random.below(4) {
            let (table, id) = (random.below(TABLES), random.below(KEYS as usize) as i64);
            deltas.extend(state[table].remove(&id).map(|v| delete(table, id, v)));
            if !random.one_in(3) {
                self.next_value += 1;
                state[table].insert(id, self.next_value);
                deltas.push(insert(table, id, self.next_value));
            }
        }
        self.states.push(state);
        self.log.push(deltas);
    }
}

/// Rows that were read and are not added yet.
struct Chunk {
    table: usize,
    rows: Rows,
    next: i64,
    read_at: usize,
}

/// The source: where it is in the log, and of each table the next key and the latest time of a reading.
struct Source {
    staging: Staging,
    applied: usize,
    tables: [(i64, usize); TABLES],
    chunks: Vec<Chunk>,
    /// The end of the log when it began or began again.
    began_at: usize,
}

impl Source {
    fn begin(store: &Store, server: &Server, random: &mut Random, syncs_all: bool) -> Source {
        let mut staging = store.stage("shop", &tables()).unwrap();
        if syncs_all {
            staging.sync_every = Duration::ZERO;
        }
        staging.batch_keys = 1 + random.below(6);
        let end = server.end();
        let applied = staging.position().map_or(end, |position| position.as_str().parse().unwrap());
        let mut tables = [(0, 0); TABLES];
        for (table, noted) in tables.iter_mut().zip(staging.progress()) {
            if let Some((next, read_at)) = noted.as_deref().and_then(|noted| noted.split_once(' ')) {
                *table = (next.parse().unwrap(), read_at.parse().unwrap());
            }
        }
        if staging.position().is_none() {
            staging.save(&[None, None], &at(&applied.to_string()), false).unwrap();
        }
        Source { staging, applied, tables, chunks: Vec::new(), began_at: end }
    }

    fn read(&mut self, server: &Server, random: &mut Random) {
        let table = random.below(TABLES);
        let read_up_to = self.chunks.iter().filter(|chunk| chunk.table == table).map(|chunk| chunk.next).max();
        let from = read_up_to.unwrap_or(self.tables[table].0);
        // Sometimes what was read before, once more.
        let from = if random.one_in(4) { random.below(from as usize + 1) as i64 } else { from };
        let to = (from + 1 + random.below(5) as i64).min(KEYS);
        let rows = rows(server.states[server.end()][table].range(from..to.max(from)).map(|(id, v)| (*id, *v)));
        let next = to.max(read_up_to.unwrap_or(0));
        self.chunks.push(Chunk { table, rows, next, read_at: server.end() });
    }

    fn add(&mut self) {
        if self.chunks.is_empty() {
            return;
        }
        let Chunk { table, rows, next, read_at } = self.chunks.remove(0);
        self.staging.add(table, &rows).unwrap();
        let (held, at) = self.tables[table];
        self.tables[table] = (held.max(next), at.max(read_at));
    }

    fn apply(&mut self, server: &Server, random: &mut Random) {
        let to = self.applied + random.below(server.end() - self.applied + 1);
        for transaction in &server.log[self.applied..to] {
            let (first, second) = transaction.split_at(random.below(transaction.len() + 1));
            self.staging.apply(first).unwrap();
            self.staging.apply(second).unwrap();
        }
        self.applied = to;
    }

    fn is_exact(&self) -> bool {
        self.applied >= self.began_at && self.tables.iter().all(|(next, read_at)| *next == KEYS && *read_at <= self.applied)
    }

    fn save(&mut self, random: &mut Random) {
        let noted = self.tables.map(|(next, read_at)| if random.one_in(5) { None } else { Some(format!("{next} {read_at}")) });
        // Notes that are not told stay as they were, which is less.
        let noted: Vec<Option<String>> = match self.is_exact() {
            true => self.tables.iter().map(|(next, read_at)| Some(format!("{next} {read_at}"))).collect(),
            false => noted.to_vec(),
        };
        self.staging.save(&noted, &at(&self.applied.to_string()), self.is_exact()).unwrap();
    }
}

fn case(seed: u64) {
    let mut random = Random(seed);
    let sync = if random.one_in(3) { Sync::EachCommit } else { Sync::Os };
    let dir = tempfile::tempdir().unwrap();
    let mut server = Server::new(&mut random);
    drop(made(dir.path()));
    let mut store = Store::open(dir.path(), sync).unwrap();
    store.define(&[other()], &[]).unwrap();
    // Else only what is exact survives a power cut for sure.
    let syncs_all = sync == Sync::EachCommit && random.one_in(2);
    let mut source = Source::begin(&store, &server, &mut random, syncs_all);
    let mut exact = 0;
    while exact < 2 {
        match random.below(20) {
            0..4 => server.commit(&mut random),
            4..8 => source.read(&server, &mut random),
            8..12 => source.add(),
            12..15 => source.apply(&server, &mut random),
            15..18 => {
                source.save(&mut random);
                exact += check(&store, &server);
            }
            18 => next_commit(&store),
            _ => {
                let saved = source.staging.position().cloned();
                let is_durable = syncs_all || sync == Sync::EachCommit && store.staged()["shop"].exact;
                drop(source);
                match random.one_in(3) {
                    true => drop(store),
                    false => crash(store, |bytes| random.below(bytes as usize) as u64),
                }
                store = Store::open(dir.path(), sync).unwrap();
                store.define(&[other()], &[]).unwrap();
                if is_durable {
                    assert_eq!(store.staged()["shop"].position, saved, "what was saved is there");
                }
                check(&store, &server);
                source = Source::begin(&store, &server, &mut random, syncs_all);
            }
        }
    }
    while !source.is_exact() {
        source.read(&server, &mut random);
        source.add();
        source.apply(&server, &mut random);
    }
    source.save(&mut random);
    let expected = &server.states[source.applied];
    drop(source);
    define(&store, &tables()).unwrap();
    take(&store, TABLES);
    for (input, rows) in expected.iter().enumerate() {
        assert_eq!(held(&store, 1 + input), rows.iter().map(|(id, v)| row(*id, *v)).collect::<Vec<_>>());
        assert_eq!(store.input_len(1 + input).unwrap() as usize, rows.len());
    }
}

/// If the staged rows are exact, they are those of the tables at their position, and stay staged. 1 if they are exact.
fn check(store: &Store, server: &Server) -> usize {
    // A crash may have taken it all.
    let Some(staged) = store.staged().remove("shop") else { return 0 };
    let Some(position) = staged.position.filter(|_| staged.exact) else { return 0 };
    let expected = &server.states[position.as_str().parse::<usize>().unwrap()];
    define(store, &tables()).unwrap();
    for (input, rows) in expected.iter().enumerate() {
        assert_eq!(held(store, 1 + input), rows.iter().map(|(id, v)| row(*id, *v)).collect::<Vec<_>>());
    }
    store.define(&[other()], &[]).unwrap();
    1
}

#[test]
fn chunks_and_changes_in_any_order_end_with_the_rows_of_the_server_over_any_crashes() {
    let first = match std::env::var("TIDEMILL_STAGED_SEED") {
        Ok(seed) => seed.parse().unwrap(),
        Err(_) => std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_nanos() as u64 % 1_000_000_000,
    };
    for seed in first..first + CASES {
        println!("TIDEMILL_STAGED_SEED={seed}");
        case(seed);
    }
}
