//! A damaged state folder is refused or gives exactly the right answer, whatever was done to it.
//!
//! Bytes are flipped, blocks zeroed, files cut off, deleted or put back as they once were, in a folder that was closed and in one whose
//! process was killed; then everything is read, as `get` does and as an engine does. A folder that was copied while open is refused.
//! `TIDEMILL_DAMAGE_SEED=S` runs the damage of one seed. With `TIDEMILL_LONG=1` it is 500 of new seeds, else what 20 seconds allow.

#[path = "support/folder.rs"]
mod folder;
#[path = "support/long.rs"]
mod long;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

use folder::{Model, Random, Size, commit_until, define, models, read_all, read_inputs};
use tidemill::store::{Store, StoreError, Sync};

const FOLDER: &str = "TIDEMILL_TEST_FOLDER";
const TICKS: &str = "TIDEMILL_TEST_TICKS";
const SIZE: Size = Size { text_bytes: 3000 };

/// Files by their paths below a folder.
type Files = BTreeMap<PathBuf, Vec<u8>>;

/// A folder that can be damaged and put back as it was, with the file that its record was written to.
struct Patient {
    /// The folder is `state` in it.
    scratch: tempfile::TempDir,
    files: Files,
    /// What has not changed since it was put back.
    untouched: BTreeMap<PathBuf, (SystemTime, u64)>,
    /// As it was at earlier times.
    earlier: Vec<Files>,
    /// What may be the answer.
    answers: BTreeMap<u64, Model>,
}

fn files_of(dir: &Path) -> Files {
    let mut files = Files::new();
    let mut folders = vec![dir.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if let Ok(bytes) = fs::read(&path) {
                files.insert(path.strip_prefix(dir).unwrap().to_path_buf(), bytes);
            }
        }
    }
    files
}

/// Writes a file in place, so that it stays the same file, without blocks for zeros.
fn write_in_place(path: &Path, bytes: &[u8]) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let mut file = File::options().write(true).create(true).truncate(true).open(path).unwrap();
    for (number, block) in bytes.chunks(64 << 10).enumerate() {
        if block.iter().any(|b| *b != 0) {
            file.seek(SeekFrom::Start(number as u64 * (64 << 10))).unwrap();
            file.write_all(block).unwrap();
        }
    }
    file.set_len(bytes.len() as u64).unwrap();
}

impl Patient {
    fn of(scratch: tempfile::TempDir, earlier: Vec<Files>, answers: BTreeMap<u64, Model>) -> Patient {
        let files = files_of(&scratch.path().join("state"));
        Patient { scratch, files, untouched: BTreeMap::new(), earlier, answers }
    }

    fn dir(&self) -> PathBuf {
        self.scratch.path().join("state")
    }

    /// Where the witness is while it is deleted: it must come back as the same file.
    fn kept_witness(&self) -> PathBuf {
        self.scratch.path().join("witness")
    }

    fn put_back(&mut self) {
        let kept = self.kept_witness();
        if !self.dir().join("witness").exists() && kept.exists() {
            fs::rename(&kept, self.dir().join("witness")).unwrap();
        }
        for path in files_of_names(&self.dir()) {
            if !self.files.contains_key(&path) {
                fs::remove_file(self.dir().join(path)).unwrap();
            }
        }
        // The record last: nothing is newer than it then.
        let witness = PathBuf::from("witness");
        let others = self.files.iter().filter(|(path, _)| **path != witness);
        for (path, bytes) in others.chain(self.files.get_key_value(&witness)) {
            let at = self.dir().join(path);
            let now = fs::metadata(&at).ok().map(|known| (known.modified().unwrap(), known.len()));
            if *path == witness || now.is_none() || self.untouched.get(path) != now.as_ref() {
                write_in_place(&at, bytes);
            }
            let known = fs::metadata(&at).unwrap();
            self.untouched.insert(path.clone(), (known.modified().unwrap(), known.len()));
        }
    }

    /// Does one damage; what it was.
    fn damage(&self, random: &mut Random) -> String {
        loop {
            let paths: Vec<&PathBuf> = self.files.keys().filter(|path| !path.ends_with("lock")).collect();
            let path = paths[random.below(paths.len() as u64) as usize];
            let (at, bytes) = (self.dir().join(path), &self.files[path]);
            let used = bytes.iter().rposition(|b| *b != 0).map_or(0, |last| last as u64 + 1);
            let name = path.display();
            match random.below(6) {
                0 | 1 if used > 0 => {
                    let file = File::options().write(true).open(&at).unwrap();
                    let (from, count) = (random.below(used), 1 + random.below(4));
                    for place in (from..used).take(count as usize) {
                        let flipped = bytes[place as usize] ^ (1 << random.below(8));
                        file.write_all_at(&[flipped], place).unwrap();
                    }
                    return format!("{count} bytes of {name} flipped from {from} on");
                }
                2 if used > 0 => {
                    let block = random.below(used) / 4096 * 4096;
                    let length = 4096.min(bytes.len() as u64 - block);
                    if bytes[block as usize..][..length as usize].iter().all(|b| *b == 0) {
                        continue;
                    }
                    File::options().write(true).open(&at).unwrap().write_all_at(&vec![0; length as usize], block).unwrap();
                    return format!("{length} bytes of {name} zeroed from {block} on");
                }
                3 if used > 0 => {
                    let length = random.below(used);
                    File::options().write(true).open(&at).unwrap().set_len(length).unwrap();
                    return format!("{name} cut off at {length}");
                }
                4 => {
                    match path.ends_with("witness") {
                        true => fs::rename(&at, self.kept_witness()).unwrap(),
                        false => fs::remove_file(&at).unwrap(),
                    }
                    return format!("{name} deleted");
                }
                5 => {
                    let then: Vec<&Files> = self.earlier.iter().filter(|files| files.get(path).is_some_and(|b| b != bytes)).collect();
                    if then.is_empty() {
                        continue;
                    }
                    write_in_place(&at, &then[random.below(then.len() as u64) as usize][path]);
                    return format!("{name} as it once was");
                }
                _ => {}
            }
        }
    }

    /// Reads everything in every way there is. `Err`: refused, and why.
    fn read(&self) -> Result<u64, StoreError> {
        let as_reader = Store::open_existing(&self.dir()).and_then(|store| read_all(&store, SIZE, &self.answers));
        let as_engine = Store::open(&self.dir(), Sync::EachCommit).and_then(|store| {
            assert!(store.checkpoint().is_some(), "WRONG: the state is gone");
            let tick = read_all(&store, SIZE, &self.answers)?;
            define(&store);
            read_inputs(&store, &self.answers)?;
            Ok(tick)
        });
        as_reader.and(as_engine)
    }
}

fn files_of_names(dir: &Path) -> Vec<PathBuf> {
    let mut names = Vec::new();
    let mut folders = vec![dir.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => folders.push(path),
                false => names.push(path.strip_prefix(dir).unwrap().to_path_buf()),
            }
        }
    }
    names
}

/// Closed in between and at the end.
fn closed(ticks: u64) -> Patient {
    let scratch = tempfile::tempdir().unwrap();
    let dir = scratch.path().join("state");
    let mut earlier = Vec::new();
    for until in [ticks / 3, ticks * 2 / 3, ticks] {
        let store = commit_until(&dir, SIZE, until, |_| {});
        earlier.push(files_of(&dir));
        drop(store);
        earlier.push(files_of(&dir));
    }
    Patient::of(scratch, earlier, models(SIZE, ticks, ticks))
}

/// Killed in the midst of it.
fn killed(ticks: u64) -> Patient {
    let scratch = tempfile::tempdir().unwrap();
    let dir = scratch.path().join("state");
    let mut earlier = Vec::new();
    let mut committed = 0;
    for until in [ticks / 2, ticks] {
        let exe = std::env::current_exe().unwrap();
        let mut command = Command::new(exe);
        command.args(["--exact", "commits_until_killed", "--ignored", "--nocapture"]).env(FOLDER, &dir).env(TICKS, "100000");
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut said = BufReader::with_capacity(1, child.stdout.take().unwrap());
        let mut line = String::new();
        while committed < until {
            line.clear();
            assert_ne!(said.read_line(&mut line).unwrap(), 0, "the process ended");
            committed = line.trim().strip_prefix("committed ").map_or(committed, |tick| tick.parse().unwrap());
        }
        child.kill().unwrap();
        child.wait().unwrap();
        let mut rest = String::new();
        said.read_to_string(&mut rest).unwrap();
        for line in rest.lines() {
            committed = line.trim().strip_prefix("committed ").and_then(|tick| tick.parse().ok()).unwrap_or(committed);
        }
        earlier.push(files_of(&dir));
    }
    Patient::of(scratch, earlier, models(SIZE, committed, committed + 1))
}

#[test]
#[ignore = "a process that another test kills"]
fn commits_until_killed() {
    let dir = PathBuf::from(std::env::var_os(FOLDER).expect("started by a test of this file"));
    let ticks: u64 = std::env::var(TICKS).unwrap().parse().unwrap();
    commit_until(&dir, SIZE, ticks, |tick| println!("\ncommitted {tick}"));
}

#[test]
fn a_damaged_folder_gives_the_right_answer_or_none() {
    let began = Instant::now();
    let one: Option<u64> = std::env::var("TIDEMILL_DAMAGE_SEED").ok().map(|seed| seed.parse().unwrap());
    let seeds: Vec<u64> = match one {
        Some(seed) => vec![seed],
        None if long::is_wanted() => long::new_seeds(500).collect(),
        None => long::new_seeds(300).collect(),
    };
    // The last of the long mode is past the first journal.
    let mut patients = [closed(12), killed(14), closed(30), killed(if long::is_wanted() { 90 } else { 34 })];
    for patient in &mut patients {
        patient.put_back();
        let read = patient.read();
        assert!(read.is_ok(), "undamaged it is refused: {}", read.unwrap_err());
    }
    let (mut refused, mut right, mut unnamed) = (0, 0, Vec::new());
    for seed in seeds {
        // On a busy machine too there are enough to meet both: damage that is found, and damage of what is no longer read.
        if one.is_none() && !long::is_wanted() && refused + right >= 30 && began.elapsed() > Duration::from_secs(20) {
            break;
        }
        let mut random = Random::new(seed);
        let patient = &mut patients[(seed % 4) as usize];
        patient.put_back();
        let damage = patient.damage(&mut random);
        match std::panic::catch_unwind(AssertUnwindSafe(|| patient.read())) {
            Err(panicked) => {
                let why = panicked.downcast_ref::<String>().map_or("a panic", |text| text);
                panic!("TIDEMILL_DAMAGE_SEED={seed}: {damage}: {why}");
            }
            Ok(Ok(_)) => right += 1,
            Ok(Err(error)) => {
                refused += 1;
                assert!(error.help().is_some(), "seed {seed}: {damage}: {error}");
                let names = ["the file `", "the key space `", "has format"];
                if !names.iter().any(|name| error.to_string().contains(name)) {
                    unnamed.push(format!("seed {seed}: {damage}: {error}"));
                }
            }
        }
    }
    // What was refused was refused for its damage.
    for patient in &mut patients {
        patient.put_back();
        let read = patient.read();
        assert!(read.is_ok(), "put back it is refused: {}", read.unwrap_err());
    }
    long::tell(&format!("{} damages of a state folder: {refused} refused, {right} harmless, 0 wrong", refused + right));
    assert!(unnamed.is_empty(), "refused without a name for the damage:\n{}", unnamed.join("\n"));
    assert!(one.is_some() || refused > 0 && right > 0);
}

#[test]
fn a_folder_that_was_copied_while_open_is_refused_and_one_that_was_copied_at_rest_opens() {
    let dir = tempfile::tempdir().unwrap();
    let copy = |files: &Files| {
        let copy = tempfile::tempdir().unwrap();
        files.iter().for_each(|(path, bytes)| write_in_place(&copy.path().join(path), bytes));
        copy
    };
    let store = commit_until(dir.path(), SIZE, 5, |_| {});
    let while_open = copy(&files_of(dir.path()));
    drop(store);
    let at_rest = copy(&files_of(dir.path()));
    for refused in [Store::open_existing(while_open.path()), Store::open(while_open.path(), Sync::EachCommit)] {
        let refused = refused.unwrap_err();
        let message =
            format!("the state in `{}` was copied while a process had it open, or after such a process died", while_open.path().display());
        assert_eq!(refused.to_string(), message);
        assert!(refused.help().unwrap().starts_with("stop the engine and copy it again"));
    }
    let answers = models(SIZE, 5, 5);
    assert_eq!(read_all(&Store::open_existing(at_rest.path()).unwrap(), SIZE, &answers).unwrap(), 5);
    drop(commit_until(at_rest.path(), SIZE, 7, |_| {}));
    // Begun at rest, ended while open, and the other way round: some files of each.
    let before = files_of(dir.path());
    let store = commit_until(dir.path(), SIZE, 9, |_| {});
    let after = files_of(dir.path());
    let answers = models(SIZE, 5, 9);
    for (first, then) in [(&before, &after), (&after, &before)] {
        for later in 0..before.len() {
            let mut mixed = first.clone();
            mixed.extend(then.iter().skip(later).map(|(path, bytes)| (path.clone(), bytes.clone())));
            let mixed = copy(&mixed);
            if let Ok(store) = Store::open_existing(mixed.path()) {
                let read = read_all(&store, SIZE, &answers);
                assert!(read.as_ref().is_ok_and(|tick| *tick == 5) || read.is_err(), "{read:?}");
            }
        }
    }
    drop(store);
}
