//! Random changes files (parts of rows, missing columns, lines that come twice or in another order, contradictions, bad lines): after every
//! transaction the views are what the model says, whether the file is read at once, in several runs, or by engines that are killed.
//!
//! `TIDEMILL_CHANGES_SEED=S` runs the case of a seed.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use super::model::{Line, Row, Tables, some_row};
use super::random::Random;
use super::support::Program;
use super::{append, long, program, run, stdout};

const CASES: u64 = 4;
const LINES: usize = 150;

/// The parts that are appended one after the other, each of whole transactions, and after each line that ends one, what the tables hold and how
/// many lines were left out.
struct History {
    rows: String,
    parts: Vec<String>,
    states: BTreeMap<u64, (Tables, u64)>,
}

fn history(random: &mut Random) -> History {
    let mut tables = Tables::default();
    let mut rows = String::new();
    for id in 0..8i64 {
        let row = some_row(id, random);
        rows += &format!("{}\n", object(&row));
        tables.keyed.insert(id, row);
    }
    let (mut rejected, mut number, mut parts) = (0, 0, vec![String::new()]);
    let mut states = BTreeMap::from([(0, (tables.clone(), 0))]);
    let mut lines: Vec<Line> = Vec::new();
    while lines.len() < LINES {
        let line = match random.below(12) {
            // Once more, or something of before, which has mostly gone by.
            0 if !lines.is_empty() => lines.last().cloned(),
            1 if !lines.is_empty() => Some(lines[random.below(lines.len())].clone()),
            _ => None,
        };
        lines.push(line.unwrap_or_else(|| tables.line(random)));
        // The model must have seen it, so that the next one fits.
        tables.apply(&lines[lines.len() - 1]);
    }
    // Some lines change places, and then nothing fits that was made for the order before.
    for at in 1..lines.len() {
        if random.percent(5) {
            lines.swap(at - 1, at);
        }
    }
    let (mut tables, _) = states[&0].clone();
    let mut lines = lines.iter().peekable();
    while lines.peek().is_some() {
        let size = if random.percent(25) { 1 + random.below(12) } else { 0 };
        let mut text = String::new();
        if size > 0 {
            text += "{\"begin\": true}\n";
            number += 1;
        }
        for line in lines.by_ref().take(size.max(1)) {
            text += &line.text(random);
            number += 1;
            rejected += u64::from(tables.apply(line));
        }
        if size > 0 {
            text += "{\"commit\": true}\n";
            number += 1;
        }
        states.insert(number, (tables.clone(), rejected));
        parts.last_mut().unwrap().push_str(&text);
        if random.percent(8) {
            parts.push(String::new());
        }
    }
    History { rows, parts, states }
}

fn object((id, v, s): &Row) -> Value {
    json!({"id": id, "v": v, "s": s})
}

fn folder(history: &History) -> Program {
    let columns = json!({"id": "int64", "v": "int64", "s": "text"});
    let spec = json!({
        "sources": {"f": {"kind": "file", "options": {"changes": "changes.jsonl", "tables": {
            "k": {"jsonl": "k.jsonl", "key": ["id"], "columns": columns},
            "u": {"columns": columns},
        }}}},
        "views": {
            "keyed": {"sql": "SELECT id, v, s FROM f.k"},
            "sums": {"sql": "SELECT count(*) AS n, sum(v) AS v FROM f.k"},
            "copies": {"sql": "SELECT id, v, s, count(*) AS n FROM f.u GROUP BY id, v, s"},
        },
    });
    program(&spec.to_string(), &[("k.jsonl", &history.rows)])
}

/// What the views must be.
fn right(tables: &Tables) -> [Vec<String>; 3] {
    let keyed = tables.keyed.values().map(|row| object(row).to_string()).collect();
    let values: Vec<i64> = tables.keyed.values().filter_map(|row| row.1).collect();
    let sum = (!values.is_empty()).then(|| values.iter().sum::<i64>());
    let sums = vec![json!({"n": tables.keyed.len(), "v": sum}).to_string()];
    let copies = tables.unkeyed.iter().map(|(row, n)| {
        let mut object = object(row);
        object["n"] = json!(n);
        object.to_string()
    });
    let mut all = [keyed, sums, copies.collect()];
    all.iter_mut().for_each(|rows: &mut Vec<String>| rows.sort());
    all
}

fn rows_of(program: &Program) -> [Vec<String>; 3] {
    ["keyed", "sums", "copies"].map(|view| {
        let mut rows: Vec<String> = stdout(program, &["get", view]).lines().map(String::from).collect();
        rows.sort();
        rows
    })
}

fn left_out(program: &Program) -> u64 {
    let status: Value = serde_json::from_str(&stdout(program, &["status", "--json"])).unwrap();
    status["sources"][0]["rejected"].as_u64().unwrap()
}

/// Every step that the view of the table with a key went through, by the line behind it.
fn steps(program: &Program) -> BTreeMap<u64, Vec<String>> {
    let tail = program.run(&["tail", "keyed", "--state", "state", "--from", "start", "--until-caught-up"]);
    assert_eq!(tail.code, Some(0), "{}", tail.stderr);
    let (mut rows, mut steps) = (BTreeMap::new(), BTreeMap::new());
    for change in tail.stdout.lines() {
        let change: Value = serde_json::from_str(change).unwrap();
        let key = change["key"].to_string();
        match &change["after"] {
            Value::Null => drop(rows.remove(&key)),
            row => drop(rows.insert(key, row.to_string())),
        }
        let mut now: Vec<String> = rows.values().cloned().collect();
        now.sort();
        steps.insert(line_of(&change["position"]), now);
    }
    steps
}

fn line_of(position: &Value) -> u64 {
    let text = position.as_str().map_or_else(|| position.to_string(), String::from);
    serde_json::from_str::<Value>(&text).unwrap()["line"].as_u64().unwrap_or(0)
}

fn check(program: &Program, history: &History, seed: u64) {
    let (tables, rejected) = &history.states[history.states.last_key_value().unwrap().0];
    assert_eq!(rows_of(program), right(tables), "seed {seed}");
    assert_eq!(left_out(program), *rejected, "seed {seed}");
    for (line, rows) in steps(program) {
        assert_eq!(rows, right(&history.states[&line].0)[0], "seed {seed}, behind line {line}");
    }
}

fn seeds() -> Vec<u64> {
    match std::env::var("TIDEMILL_CHANGES_SEED") {
        Ok(seed) => vec![seed.parse().expect("a seed is a number")],
        Err(_) if long::is_wanted() => long::new_seeds(100).collect(),
        Err(_) => (0..CASES).collect(),
    }
}

#[test]
fn a_random_file_means_what_the_model_says_read_at_once_and_in_several_runs() {
    for seed in seeds() {
        println!("seed {seed}");
        let history = history(&mut Random::new(seed));
        let at_once = folder(&history);
        append(&at_once, &history.parts.concat());
        run(&at_once);
        check(&at_once, &history, seed);
        let in_parts = folder(&history);
        let mut lines = 0;
        for part in &history.parts {
            append(&in_parts, part);
            lines += part.lines().count() as u64;
            run(&in_parts);
            let (_, (tables, rejected)) = history.states.range(..=lines).next_back().unwrap();
            assert_eq!((rows_of(&in_parts), left_out(&in_parts)), (right(tables), *rejected), "seed {seed}, behind line {lines}");
        }
        check(&in_parts, &history, seed);
    }
}

#[test]
fn a_random_file_means_what_the_model_says_whenever_the_engine_is_killed() {
    for seed in seeds() {
        println!("seed {seed}");
        let mut random = Random::new(seed);
        let history = history(&mut random);
        let killed = folder(&history);
        for part in &history.parts {
            let running = killed.start(&["run", "spec.yaml", "--state", "state"]);
            append(&killed, part);
            // Any moment will do: before the state is there, in the middle, or behind everything.
            std::thread::sleep(Duration::from_millis(random.below(250) as u64));
            running.kill();
        }
        run(&killed);
        check(&killed, &history, seed);
    }
}
