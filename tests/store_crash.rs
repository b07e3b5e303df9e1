//! What a state folder holds after its process was killed or a write failed: always some whole commit, and all that was answered.
//!
//! The processes that die are this test binary again, started on one of the ignored tests below.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use tidemill::store::{Commit, InputDef, InputState, Store, StoreError, Sync, ViewBatch, ViewChange, ViewDef};
use tidemill::value::{Column, Datum, Layout, Row, RowBuilder, Schema, Tick, Type, key};

const FOLDER: &str = "TIDEMILL_TEST_FOLDER";
const KEYS: i64 = 20;

fn schema() -> Schema {
    Schema::new(vec![Column::new("id", Type::Int64, false), Column::new("text", Type::Binary, true)])
}

fn row(id: i64, bytes: &[u8]) -> Row {
    let mut builder = RowBuilder::new(&Layout::new(&schema()));
    builder.push(Datum::Int(id));
    builder.push(Datum::Binary(bytes));
    builder.finish()
}

fn key_of(id: i64) -> Row {
    let mut out = Vec::new();
    key::push(&Type::Int64, Datum::Int(id), &mut out);
    out.into()
}

fn open(dir: &Path) -> Store {
    let store = Store::open(dir, Sync::Os).unwrap();
    define(&store);
    store
}

fn define(store: &Store) -> Vec<InputState> {
    let input = InputDef { name: "shop.orders".into(), schema: schema(), key: vec![0] };
    let view = ViewDef { name: "orders".into(), schema: schema(), key: vec![0], fingerprint: "1".into() };
    store.define(&[input], &[view]).unwrap().inputs
}

/// Tick `t` makes every key's row say `t`, in the input and in the view alike.
fn commit(tick: u64) -> Commit {
    let text = |tick: u64| tick.to_be_bytes().repeat(40);
    let mut deltas = Vec::new();
    let mut changes = Vec::new();
    for id in 0..KEYS {
        if tick > 1 {
            deltas.push((Tick(tick), row(id, &text(tick - 1)), -1));
        }
        deltas.push((Tick(tick), row(id, &text(tick)), 1));
        changes.push(ViewChange { tick: Tick(tick), key: key_of(id), after: Some(row(id, &text(tick))) });
    }
    Commit {
        up_to: Tick(tick),
        inputs: vec![(0, deltas)],
        views: vec![ViewBatch { view: 0, changes, errors: vec![] }],
        ..Commit::default()
    }
}

fn check_is_whole(store: &Store, tick: u64) {
    let text = tick.to_be_bytes().repeat(40);
    let expected: Vec<_> = (0..KEYS).map(|id| (key_of(id), row(id, &text))).collect();
    let view = store.view("orders").unwrap();
    assert_eq!(view.scan().unwrap().map(Result::unwrap).collect::<Vec<_>>(), expected);
    let inputs: Vec<_> = store.load_input(0).unwrap().map(|read| read.unwrap().0).collect();
    assert_eq!(inputs, expected.into_iter().map(|(_, row)| row).collect::<Vec<_>>());
    let log = view.changes(Tick(0), usize::MAX).unwrap();
    assert_eq!((log.entries.len() as u64, log.up_to), (tick * KEYS as u64, Tick(tick)));
    assert_eq!(view.info().unwrap().changes, tick * KEYS as u64);
}

/// Starts one of the ignored tests in a process of its own; `before` is shell that runs first.
fn start(test: &str, dir: &Path, before: &str) -> Child {
    let exe = std::env::current_exe().unwrap();
    let run = format!("{before} exec \"$0\" --exact {test} --ignored --nocapture");
    Command::new("sh").args(["-c", &run]).arg(exe).env(FOLDER, dir).stdout(Stdio::piped()).spawn().unwrap()
}

/// Reads what the process says until a line starts with `what` and, where a number comes after it, that is at least `number`.
fn wait_for(child: &mut BufReader<&mut std::process::ChildStdout>, what: &str, number: u64) -> u64 {
    let mut line = String::new();
    loop {
        line.clear();
        assert_ne!(child.read_line(&mut line).unwrap(), 0, "the process ended before it said `{what}`");
        if let Some(found) = line.trim().strip_prefix(what).and_then(|rest| rest.trim().parse().ok())
            && found >= number
        {
            return found;
        }
    }
}

fn folder() -> std::path::PathBuf {
    std::env::var_os(FOLDER).expect("started by a test of this file").into()
}

#[test]
#[ignore = "a process that another test kills"]
fn commits_until_killed() {
    let store = open(&folder());
    let last = store.checkpoint().map_or(0, |c| c.tick.0);
    for tick in last + 1.. {
        store.commit(commit(tick)).unwrap();
        println!("committed {tick}");
    }
}

#[test]
#[ignore = "a process that another test kills"]
fn loads_until_killed() {
    let store = open(&folder());
    let mut load = store.bulk_load().unwrap();
    for id in 0.. {
        load.input(0, [&*row(id * 7919 % 1_000_003, &[7; 300])]).unwrap();
        if id % 10_000 == 0 {
            println!("loaded {id}");
        }
    }
}

#[test]
#[ignore = "a process whose files cannot grow"]
fn commits_more_than_a_file_may_hold() {
    let store = open(&folder());
    store.commit(commit(1)).unwrap();
    let mut too_much = commit(2);
    let deltas = (0..30_000).map(|id| (Tick(2), row(100 + id, &[id as u8; 4000]), 1));
    too_much.inputs[0].1.extend(deltas);
    let refused = store.commit(too_much).unwrap_err();
    assert!(matches!(refused, StoreError::Io { .. }), "{refused}");
    assert!(matches!(store.commit(commit(2)), Err(StoreError::Failed { .. })));
    // What can be read is the last whole commit, also now.
    check_is_whole(&store, 1);
}

#[test]
fn killed_in_the_midst_of_committing_it_holds_a_whole_commit_and_all_that_was_answered() {
    let dir = tempfile::tempdir().unwrap();
    let mut at_least = 0;
    for round in 1..=6 {
        let mut child = start("commits_until_killed", dir.path(), "");
        let mut out = child.stdout.take().unwrap();
        let answered = wait_for(&mut BufReader::with_capacity(1, &mut out), "committed", at_least + 37 * round);
        child.kill().unwrap();
        child.wait().unwrap();
        let store = open(dir.path());
        let tick = store.checkpoint().unwrap().tick.0;
        assert!(tick >= answered, "tick {answered} was answered, {tick} is there");
        check_is_whole(&store, tick);
        at_least = tick;
    }
}

#[test]
fn killed_in_the_midst_of_a_bulk_load_it_holds_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut child = start("loads_until_killed", dir.path(), "");
    let mut out = child.stdout.take().unwrap();
    // Enough for several runs.
    wait_for(&mut BufReader::with_capacity(1, &mut out), "loaded", 300_000);
    child.kill().unwrap();
    child.wait().unwrap();
    let store = Store::open(dir.path(), Sync::Os).unwrap();
    assert_eq!(define(&store), [InputState::New]);
    assert_eq!(store.load_input(0).unwrap().count(), 0);
    assert!(store.disk_bytes().unwrap() < 70 << 20, "an empty journal has 64 MiB set aside");
    store.commit(commit(1)).unwrap();
    check_is_whole(&store, 1);
}

#[test]
fn a_failed_write_leaves_the_last_commit_and_takes_no_more() {
    let dir = tempfile::tempdir().unwrap();
    // 80 MiB, in blocks of 512 bytes: the journal starts at 64 MiB.
    let mut child = start("commits_more_than_a_file_may_hold", dir.path(), "trap '' XFSZ; ulimit -f 163840;");
    assert!(child.wait().unwrap().success());
    let store = open(dir.path());
    assert_eq!(store.checkpoint().unwrap().tick, Tick(1));
    check_is_whole(&store, 1);
    store.commit(commit(2)).unwrap();
    check_is_whole(&store, 2);
}
