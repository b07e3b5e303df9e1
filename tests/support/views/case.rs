//! A case: a spec and its files, run in every way that must not make a difference.
//!
//! The files are copied to a temp folder, the changes file only as far as it shall be seen. A case with `refused.txt` is a spec that is
//! not taken, with the whole message.

use std::fs;
use std::path::{Path, PathBuf};

use tidemill::plan::WrittenView;

use super::check::Recomputed;
use super::engine::{Observed, Prepared, Way, prepare};
use super::judge::{Answer, answers, duckdb};
use super::query_case::compare;
use super::recording::record;
use super::wrong::Wrong;

pub(crate) const CHANGES: &str = "changes.jsonl";

/// A spec in a temp folder with its files.
pub(crate) struct Case {
    folder: tempfile::TempDir,
    /// The changes file, a piece for each transaction.
    transactions: Vec<String>,
    prepared: Prepared,
    views: Vec<Right>,
    /// How many queries DuckDB judged too.
    pub(crate) by_duckdb: usize,
}

/// What a view must be.
enum Right {
    Documents(Recomputed),
    /// The rows of a query in each state, and the state after so many transactions.
    Rows(Vec<Answer>, Vec<usize>),
}

impl Right {
    fn check(&self, observed: &Observed, transactions: usize) -> Result<(), String> {
        match self {
            Right::Documents(recomputed) => recomputed.check(observed, transactions),
            Right::Rows(states, after) => compare(&states[..=after[transactions]].iter().collect::<Vec<_>>(), observed),
        }
    }
}

impl Case {
    /// `files` by name; `changes` is kept apart.
    pub(crate) async fn new(files: &[(String, String)], changes: &str) -> Result<Case, Wrong> {
        let folder = scratch();
        for (name, text) in files {
            fs::write(folder.path().join(name), text).unwrap();
        }
        fs::write(folder.path().join(CHANGES), changes).unwrap();
        let prepared = prepare(&folder.path().join("spec.yaml")).await.map_err(Wrong::Refused)?;
        let recording = record(prepared.source(), prepared.tables.clone()).await;
        let states: Vec<_> = recording.states.iter().map(|(_, contents)| contents).collect();
        let answered = answers(&prepared, &states)?;
        let right = |(place, view): (usize, &WrittenView)| match view.query() {
            None => Right::Documents(Recomputed::new(view, &recording, &answered)),
            Some(_) => {
                let rows = answered.iter().map(|views| views[place].as_ref().expect("a query has an answer").clone());
                Right::Rows(rows.collect(), recording.state_after.clone())
            }
        };
        let views = prepared.spec.views.iter().enumerate().map(right).collect();
        let by_duckdb = duckdb::answered(&answered);
        Ok(Case { folder, transactions: transactions(changes), prepared, views, by_duckdb })
    }

    /// The views of documents, each with its place among the views.
    fn documents(&self) -> Vec<(usize, &Recomputed)> {
        let mut documents = Vec::new();
        for (place, view) in self.views.iter().enumerate() {
            if let Right::Documents(recomputed) = view {
                documents.push((place, recomputed));
            }
        }
        documents
    }

    pub(crate) fn transactions(&self) -> usize {
        self.transactions.len()
    }

    /// From nothing to the end, in one run.
    pub(crate) async fn run(&self, way: Way) -> Result<Vec<Observed>, String> {
        self.run_stopping(&[], &[way]).await
    }

    /// Stopped after each of `stops` transactions, and resumed on the same state; the ways take turns.
    pub(crate) async fn run_stopping(&self, stops: &[usize], ways: &[Way]) -> Result<Vec<Observed>, String> {
        let state = scratch();
        let mut last = Vec::new();
        let path = self.folder.path().join(CHANGES);
        fs::write(&path, "").unwrap();
        let mut written = 0;
        for (i, stop) in stops.iter().copied().chain([self.transactions.len()]).enumerate() {
            let mut file = fs::OpenOptions::new().append(true).open(&path).unwrap();
            let more = self.transactions[written..stop].concat();
            std::io::Write::write_all(&mut file, more.as_bytes()).unwrap();
            written = stop;
            let way = ways[i % ways.len()];
            last = self.prepared.run(&state.path().join("state"), way).await;
            for ((right, observed), view) in self.views.iter().zip(&last).zip(&self.prepared.plan.views) {
                let wrong = |wrong| format!("`{}`, stopped after {stops:?}, now after {stop}, {way:?}: {wrong}", view.name);
                right.check(observed, stop).map_err(wrong)?;
            }
        }
        Ok(last)
    }
}

/// A temp folder, in memory where the system has such a place: hundreds of stores are opened, and each waits for the disk.
pub(crate) fn scratch() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.expect("a temp folder")
}

/// The lines of a changes file, those of a transaction together.
pub(crate) fn transactions(changes: &str) -> Vec<String> {
    let mut out = Vec::new();
    let mut open = String::new();
    let mut inside = false;
    for line in changes.lines().filter(|line| !line.trim().is_empty()) {
        open.push_str(line);
        open.push('\n');
        inside = (inside || line.contains("\"begin\"")) && !line.contains("\"commit\"");
        if !inside {
            out.push(std::mem::take(&mut open));
        }
    }
    assert!(open.is_empty(), "a transaction without its commit");
    out
}

/// Runs the case in a folder in every way, against its files and against recomputation.
pub(crate) async fn check_folder(folder: &Path) -> Result<(), String> {
    if folder.join("refused.txt").exists() {
        return check_refused(folder).await;
    }
    let read = |name: &str| fs::read_to_string(folder.join(name)).map_err(|e| format!("{name}: {e}"));
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let name = entry.unwrap().file_name().to_string_lossy().into_owned();
        if !["expected.jsonl", "changelog.jsonl", CHANGES].contains(&name.as_str()) {
            files.push((name.clone(), read(&name)?));
        }
    }
    let case = Case::new(&files, &read(CHANGES)?).await.map_err(|wrong| wrong.to_string())?;
    let every: Vec<usize> = (0..case.transactions()).collect();
    let one = Way { workers: 1, scatter: None };
    let four = |seed| Way { workers: 4, scatter: Some(seed) };
    let first = case.run(one).await?;
    let [(place, recomputed)] = case.documents()[..] else { return Err("a case has one view of documents".into()) };
    let view = &first[place];
    same(folder, "expected.jsonl", &lines(&view.rows), &lines(&recomputed.rows()))?;
    let changelog = changelog(view);
    let right = recomputed.changes().into_iter().enumerate().skip(1);
    let right: Vec<String> = right.flat_map(|(n, changes)| changes.into_iter().map(move |(k, after)| change_line(n, &k, after))).collect();
    same(folder, "changelog.jsonl", &sorted(&changelog), &sorted(&right))?;
    let mut others = vec![case.run(four(1)).await?, case.run(four(2)).await?];
    others.push(case.run_stopping(&every, &[one]).await?);
    others.push(case.run_stopping(&every, &[four(3), one]).await?);
    for other in others {
        let other = &other[place];
        if (&other.rows, other.changes, self::changelog(other)) != (&view.rows, view.changes, changelog.clone()) {
            return Err("rows, changelog or the number of changes are not the same in every way of running".into());
        }
    }
    Ok(())
}

async fn check_refused(folder: &Path) -> Result<(), String> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let relative = folder.join("spec.yaml");
    let Err(message) = prepare(relative.strip_prefix(&root).unwrap_or(&relative)).await else { return Err("the spec is taken".into()) };
    same(folder, "refused.txt", &format!("{}\n", message.trim_end()), &format!("{}\n", message.trim_end()))
}

/// What is seen must be what is in the file, which must be what was recomputed. With `TIDEMILL_ACCEPT` set the file is written.
fn same(folder: &Path, name: &str, seen: &str, recomputed: &str) -> Result<(), String> {
    if seen != recomputed {
        return Err(format!("{name}: seen\n{seen}recomputed\n{recomputed}"));
    }
    if std::env::var_os("TIDEMILL_ACCEPT").is_some() {
        fs::write(folder.join(name), recomputed).unwrap();
    }
    let expected = fs::read_to_string(folder.join(name)).map_err(|e| format!("{name}: {e}"))?;
    match expected == seen {
        true => Ok(()),
        false => Err(format!("{name}: expected\n{expected}seen\n{seen}")),
    }
}

fn changelog(view: &Observed) -> Vec<String> {
    let with_position = view.steps.iter().skip(1).filter(|s| s.position.is_some()).enumerate();
    let changes = with_position.flat_map(|(i, step)| step.changes.iter().map(move |c| change_line(i + 1, &c.key, c.after.clone())));
    changes.collect()
}

fn change_line(transaction: usize, key: &str, after: Option<String>) -> String {
    format!("{{\"transaction\":{transaction},\"key\":{key},\"after\":{}}}", after.unwrap_or("null".into()))
}

fn lines(lines: &[String]) -> String {
    lines.iter().map(|line| format!("{line}\n")).collect()
}

/// The order of keys within a transaction is told by `expected.jsonl`.
fn sorted(changes: &[String]) -> String {
    let mut changes = changes.to_vec();
    changes.sort_by_key(|line| line.split_once(',').map(|(n, rest)| (n.len(), n.to_string(), rest.to_string())));
    lines(&changes)
}
