//! Named points at which tests kill, stop or fail an otherwise unmodified process.
//!
//! In: the environment variable `TIDEMILL_FAULT`, a list such as `store.commit.before_batch:3=kill,sink.open=error`. An entry is a point, a
//! number N (1 if not given) and an action, which happens once, the N-th time the point is reached:
//! - `kill`: the process ends at once, as with SIGKILL: nothing is cleaned up or flushed;
//! - `error`: the operation fails as if its disk or its connection had failed; only at points that are listed as able to fail;
//! - `pause:PATH`: the file PATH is created, and the thread waits until the file is removed.
//!
//! An invalid list ends the process with exit code 2, so that no test passes because of a typing error. Builds in the release profile
//! contain none of this: `build.rs` gives them empty functions and an empty list.

/// A place in the code that tests can name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Point {
    pub name: &'static str,
    /// What is done at this point, and what is not yet.
    pub meaning: &'static str,
    /// Whether the place is [`fallible`], so that the action `error` is allowed.
    pub fails: bool,
}

/// Executes the action that a test has set for this point.
#[cfg(not(fault_points))]
#[inline(always)]
pub fn point(_name: &str) {}

/// Same as [`point`], for places that can also fail.
#[cfg(not(fault_points))]
#[inline(always)]
pub fn fallible(_name: &str) -> std::io::Result<()> {
    Ok(())
}

#[cfg(not(fault_points))]
pub const POINTS: &[Point] = &[];

#[cfg(fault_points)]
pub use self::armed::{POINTS, fallible, point};

#[cfg(fault_points)]
mod armed {
    use std::io;
    use std::path::{Path, PathBuf};
    use std::sync::LazyLock;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::time::Duration;

    use super::Point;

    /// Every point, in the order in which a run reaches them.
    pub const POINTS: &[Point] = &[
        at("store.open.before", "start-up: the state folder is not taken yet"),
        at("store.open.before_orphans", "start-up: the catalog is read, key spaces that it does not name are still there"),
        can_fail("store.define.before_catalog", "the new catalog is not written yet"),
        at("store.define.before_orphans", "the new catalog is written, key spaces that it dropped are still there"),
        at("store.space_dropped", "one of the key spaces that the catalog does not name is dropped"),
        at("store.define.after", "the store holds what the spec names"),
        at("run.started", "start-up: every part is started"),
        can_fail("mysql.snapshot.locked", "the connections share one consistent read, no row is read"),
        can_fail("mysql.stage.chunk", "a chunk of a table is not read yet"),
        can_fail("source.staged_rows", "a batch of a chunk's rows is not staged yet"),
        can_fail("source.rows", "a batch of a snapshot's rows is not handed on yet"),
        can_fail("source.staged", "chunks and a part of the log are handed on, how far they are is not"),
        can_fail("source.snapshot_done", "all rows of a snapshot are handed on, its position is not"),
        at("ingest.rows", "a batch of a snapshot's rows is not loaded yet"),
        at("ingest.loaded", "all rows of the first tick are with the workers, the committer does not know"),
        at(
            "store.stage.before_spaces",
            "the ids of staged inputs are taken, what is not staged any more is forgotten, their key spaces are not made",
        ),
        at("store.stage.before_record", "the key spaces of staged inputs are made and those that go are dropped, nothing names them"),
        can_fail("store.stage.before_batch", "some staged rows are not written yet"),
        can_fail("store.stage.before_save", "how far staged inputs are is not noted yet"),
        at("store.stage.before_note", "how far staged inputs are is on disk, the note of what must be there is not"),
        at("store.stage.after_save", "how far staged inputs are is on disk and noted, nobody knows"),
        can_fail("store.load.chunk", "a chunk of a bulk load goes to its writer"),
        can_fail("store.load.run", "a sorted run of a bulk load is not whole yet"),
        can_fail("store.load.before_finish", "the last chunks of a bulk load are not written yet"),
        can_fail("store.load.before_commit", "all of a bulk load is on disk, the commit that makes it count is not"),
        at("store.load.after", "a bulk load counts, nobody knows"),
        at("source.changes", "a part of a transaction is not handed on yet"),
        at("source.commit", "all parts of a transaction are handed on, its position is not"),
        can_fail("source.progress", "a position without changes is not handed on yet"),
        at("ingest.changes", "a part of a transaction is not with the workers yet"),
        at("ingest.commit", "a transaction is with the workers, the committer does not know"),
        can_fail("store.commit.before_batch", "a commit is put together, nothing of it is written"),
        at("store.commit.before_note", "a commit is on disk, the note of what must be there is not"),
        at("store.commit.after_batch", "a commit is on disk and noted, nobody knows"),
        can_fail("store.reader.before", "how far a sink is is not noted yet"),
        at("store.reader.after", "how far a sink is is noted"),
        can_fail("store.compact.before_batch", "the entries of a changelog that are forgotten are still known"),
        at("store.compact.after_batch", "the entries of a changelog are forgotten, their tables are still there"),
        can_fail("store.compact.before_ticks", "the changelogs are compacted, the marks of their ticks are still there"),
        can_fail("sink.open", "the target has not been asked how far it is"),
        can_fail("sink.copy.rows", "some rows of a full copy are not written yet"),
        can_fail("sink.copy.before_end", "all rows of a full copy are written, what the target has beyond them is still there"),
        can_fail("sink.copy.before_position", "a full copy is whole, its position is not written"),
        can_fail("sink.copy.after", "the position of a full copy is written, the engine does not know"),
        can_fail("sink.step.before_write", "some ticks are not written to the target yet"),
        can_fail("sink.step.before_position", "some ticks are written to the target, their position is not"),
        can_fail("sink.step.after", "the position of some ticks is written, the engine does not know"),
    ];

    const VARIABLE: &str = "TIDEMILL_FAULT";
    /// How often a paused thread checks whether it may continue.
    const LOOK_EVERY: Duration = Duration::from_millis(2);

    static ARMED: LazyLock<Vec<Armed>> = LazyLock::new(|| {
        let text = std::env::var(VARIABLE).unwrap_or_default();
        read(&text).unwrap_or_else(|why| refuse(&why))
    });

    const fn at(name: &'static str, meaning: &'static str) -> Point {
        Point { name, meaning, fails: false }
    }

    const fn can_fail(name: &'static str, meaning: &'static str) -> Point {
        Point { name, meaning, fails: true }
    }

    #[derive(Debug)]
    struct Armed {
        point: &'static Point,
        /// The action happens when the point is reached for this time, counted from 1.
        time: u64,
        reached: AtomicU64,
        action: Action,
    }

    #[derive(Debug, Clone, PartialEq, Eq)]
    enum Action {
        Kill,
        Error,
        Pause(PathBuf),
    }

    /// Executes the action that a test has set for this point.
    pub fn point(name: &str) {
        let _cannot_fail = fallible(name);
    }

    /// Same as [`point`], for places that can also fail.
    pub fn fallible(name: &str) -> io::Result<()> {
        for armed in ARMED.iter().filter(|armed| armed.point.name == name) {
            if armed.reached.fetch_add(1, Ordering::Relaxed) + 1 == armed.time {
                act(name, &armed.action)?;
            }
        }
        Ok(())
    }

    fn act(name: &str, action: &Action) -> io::Result<()> {
        match action {
            Action::Kill => std::process::abort(),
            Action::Error => Err(io::Error::other(format!("the fault point `{name}` was to fail"))),
            Action::Pause(path) => {
                wait_at(path);
                Ok(())
            }
        }
    }

    fn wait_at(path: &Path) {
        if let Err(why) = std::fs::write(path, "") {
            refuse(&format!("{} cannot be made: {why}", path.display()));
        }
        while path.exists() {
            std::thread::sleep(LOOK_EVERY);
        }
    }

    fn refuse(why: &str) -> ! {
        eprintln!("error: {VARIABLE}: {why}");
        std::process::exit(2)
    }

    fn read(text: &str) -> Result<Vec<Armed>, String> {
        text.split(',').filter(|entry| !entry.is_empty()).map(read_entry).collect()
    }

    fn read_entry(entry: &str) -> Result<Armed, String> {
        let (place, action) = entry.split_once('=').ok_or_else(|| format!("`{entry}` is not NAME[:N]=ACTION"))?;
        let (name, time) = match place.split_once(':') {
            Some((name, time)) => (name, time.parse().ok().filter(|n| *n > 0).ok_or_else(|| format!("`{time}` is no number from 1 on"))?),
            None => (place, 1),
        };
        let point = POINTS.iter().find(|point| point.name == name).ok_or_else(|| format!("there is no point `{name}`"))?;
        let action = match action.split_once(':') {
            None if action == "kill" => Action::Kill,
            None if action == "error" && point.fails => Action::Error,
            None if action == "error" => return Err(format!("`{name}` cannot fail")),
            Some(("pause", path)) => Action::Pause(path.into()),
            _ => return Err(format!("`{action}` is none of kill, error, pause:PATH")),
        };
        Ok(Armed { point, time, reached: AtomicU64::new(0), action })
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn a_list_is_read_and_what_is_wrong_is_said() {
            let armed = read("store.open.before=kill,store.commit.before_batch:3=error,source.rows:2=pause:/tmp/here").unwrap();
            let told: Vec<_> = armed.iter().map(|a| (a.point.name, a.time, a.action.clone())).collect();
            let pause = Action::Pause("/tmp/here".into());
            assert_eq!(
                told,
                [("store.open.before", 1, Action::Kill), ("store.commit.before_batch", 3, Action::Error), ("source.rows", 2, pause)]
            );
            for (wrong, why) in [
                ("store.open.before", "`store.open.before` is not NAME[:N]=ACTION"),
                ("store.open.befor=kill", "there is no point `store.open.befor`"),
                ("store.open.before:0=kill", "`0` is no number from 1 on"),
                ("store.open.before=error", "`store.open.before` cannot fail"),
                ("store.open.before=stop", "`stop` is none of kill, error, pause:PATH"),
            ] {
                assert_eq!(read(wrong).unwrap_err(), why);
            }
        }
    }
}
