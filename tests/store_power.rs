//! After a power cut a state folder opens and has every commit that was answered.
//!
//! A process that commits is run under `strace`, which records its calls that change files, with their bytes and in their order. They are
//! carried out again on a simulated disk ([`power::Disk`]), which tells what is written from what is synced; at a random call the power goes,
//! and what of the unsynced is there is drawn from the seed. With `TIDEMILL_LONG=1` it is 1,000 seeds, drawn anew, else what 20 seconds
//! allow. `TIDEMILL_POWER_SEED=S` runs one; with another recording, the calls of other threads may have come in another order.

#[path = "support/folder.rs"]
mod folder;
#[path = "support/long.rs"]
mod long;
#[path = "support/power.rs"]
mod power;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use folder::{Random, Size, commit_until, define, models, read_all, read_inputs};
use power::{Disk, Recording};
use tidemill::store::{Store, Sync};

const FOLDER: &str = "TIDEMILL_TEST_FOLDER";
const TICKS: &str = "TIDEMILL_TEST_TICKS";
const SIZE: Size = Size { text_bytes: 3000 };

#[test]
#[ignore = "a process that another test records"]
fn commits_and_says_so() {
    let dir = PathBuf::from(std::env::var_os(FOLDER).expect("started by a test of this file"));
    let ticks: u64 = std::env::var(TICKS).unwrap().parse().unwrap();
    // Closed and opened in between, and closed in the end.
    drop(commit_until(&dir, SIZE, ticks / 2, |tick| println!("\ncommitted {tick}")));
    drop(commit_until(&dir, SIZE, ticks, |tick| println!("\ncommitted {tick}")));
}

fn record(ticks: u64) -> (tempfile::TempDir, Recording) {
    let scratch = tempfile::tempdir().unwrap();
    let (dir, log) = (scratch.path().join("state"), scratch.path().join("calls"));
    let calls = "trace=openat,open,creat,close,dup,fcntl,lseek,write,pwrite64,ftruncate,fsync,fdatasync,rename,renameat,renameat2,unlink,\
                 unlinkat,mkdir,mkdirat,rmdir";
    let recorded = Command::new("strace")
        .args(["-f", "-qq", "-xx", "-s", "100000000", "-e", "signal=none", "-e", calls, "-o"])
        .arg(&log)
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "commits_and_says_so", "--ignored", "--nocapture"])
        .env(FOLDER, &dir)
        .env(TICKS, ticks.to_string())
        .stdout(Stdio::null())
        .status()
        .expect("strace is installed: this test records a process with it");
    assert!(recorded.success());
    std::fs::remove_dir_all(&dir).unwrap();
    let recording = Recording::of(log, dir);
    (scratch, recording)
}

#[test]
fn after_a_power_cut_every_answered_commit_is_there() {
    let began = Instant::now();
    let one: Option<u64> = std::env::var("TIDEMILL_POWER_SEED").ok().map(|seed| seed.parse().unwrap());
    let ticks = if long::is_wanted() { 90 } else { 16 };
    let (_scratch, recording) = record(ticks);
    let answers = models(SIZE, 1, ticks + 1);
    let count = recording.count();
    let rounds: Vec<Vec<u64>> = match one {
        Some(seed) => vec![vec![seed]],
        None if long::is_wanted() => vec![long::new_seeds(1000).collect()],
        None => long::new_seeds(400).collect::<Vec<_>>().chunks(20).map(<[u64]>::to_vec).collect(),
    };
    let mut cuts = 0;
    for seeds in rounds {
        if one.is_none() && !long::is_wanted() && cuts > 0 && began.elapsed() > Duration::from_secs(20) {
            break;
        }
        let mut points: Vec<(u64, u64)> = seeds.iter().map(|seed| (Random::new(*seed).below(count), *seed)).collect();
        points.sort_unstable();
        recording.replay(&points, |disk, said, seed| {
            check(disk, said, seed, &answers);
            cuts += 1;
        });
    }
    long::tell(&format!("{cuts} power cuts in {count} calls of {ticks} commits: 0 commits lost"));
}

fn check(disk: &Disk, said: u64, seed: u64, answers: &std::collections::BTreeMap<u64, folder::Model>) {
    let mut random = Random::new(seed);
    random.next();
    let left = tempfile::tempdir().unwrap();
    let dir: &Path = left.path();
    disk.after_a_cut(dir, &mut random);
    let what = format!("TIDEMILL_POWER_SEED={seed}, tick {said} was answered");
    let store = Store::open(dir, Sync::EachCommit).unwrap_or_else(|e| panic!("{what}: it does not open: {e}"));
    let Some(checkpoint) = store.checkpoint() else {
        assert_eq!(said, 0, "{what}: nothing is there");
        return;
    };
    let tick = checkpoint.tick.0;
    assert!(tick == said || tick == said + 1, "{what}: it is as of {tick}");
    read_all(&store, SIZE, answers).unwrap_or_else(|e| panic!("{what}: {e}"));
    define(&store);
    read_inputs(&store, answers).unwrap_or_else(|e| panic!("{what}: {e}"));
    if seed.is_multiple_of(4) && answers.contains_key(&(tick + 1)) {
        drop(store);
        drop(commit_until(dir, SIZE, tick + 1, |_| {}));
        let store = Store::open_existing(dir).unwrap_or_else(|e| panic!("{what}, and went on: {e}"));
        assert_eq!(read_all(&store, SIZE, answers).unwrap_or_else(|e| panic!("{what}, and went on: {e}")), tick + 1);
    }
}
