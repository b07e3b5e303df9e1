//! From a changes file: read at once, in several runs, and while it is written.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::Write;

use serde_json::json;

use super::law::{Balances, all_caught_up, balances_by_tick, spec, views};
use super::random::Random;
use super::support::{Program, Running};
use super::transfers::{ACCOUNTS, Bank, lines};

const TRANSACTIONS: usize = 200;
const SEED: u64 = 7;

/// The transactions as text, and the balances before the first and after each.
fn history() -> (Vec<String>, Vec<Balances>) {
    let (mut bank, mut random) = (Bank::new(0), Random::new(SEED));
    let (mut texts, mut states) = (Vec::new(), vec![Balances::new()]);
    for _ in 0..TRANSACTIONS {
        let mut before = bank.balances.clone();
        let changes = bank.transaction(&mut random);
        texts.push(lines(&changes, &mut before));
        assert_eq!(before, bank.balances);
        states.push((0..).zip(bank.balances.iter().copied()).filter(|(_, cents)| *cents != 0).collect());
    }
    (texts, states)
}

/// A folder with the spec, all accounts at zero, and no changes yet.
fn program() -> Program {
    let program = Program::new();
    let source = json!({"kind": "file", "options": {"changes": "changes.jsonl", "tables": {
        "accounts": {"jsonl": "accounts.jsonl", "key": ["id"], "columns": {"id": "int64", "balance": "decimal(12,2)"}},
        "entries": {"key": ["transfer", "side"],
                    "columns": {"transfer": "int64", "side": "text", "account": "int64", "amount": "decimal(12,2)"}}}}});
    program.write("bank.yaml", &spec(source));
    program.write("accounts.jsonl", &(0..ACCOUNTS).map(|id| format!("{{\"id\": {id}, \"balance\": 0}}\n")).collect::<String>());
    program.write("changes.jsonl", "");
    program
}

fn append(program: &Program, text: &str) {
    let mut file = OpenOptions::new().append(true).open(program.folder().join("changes.jsonl")).unwrap();
    file.write_all(text.as_bytes()).unwrap();
}

fn run(program: &Program, workers: usize) {
    let workers = workers.to_string();
    let ended = program.run(&["run", "bank.yaml", "--state", "state", "--workers", &workers, "--until-caught-up"]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
}

fn tails(program: &Program) -> BTreeMap<&'static str, String> {
    let tail = |view| {
        let tail = program.run(&["tail", view, "--state", "state", "--until-caught-up"]);
        assert_eq!(tail.code, Some(0), "{}", tail.stderr);
        (view, tail.stdout)
    };
    views().map(tail).collect()
}

/// Every step is that of one transaction, and the law holds for it. A transaction that changes nothing has no step.
fn check(tails: &BTreeMap<&str, String>, states: &[Balances]) {
    let seen = balances_by_tick(tails);
    let (first, _) = seen.first_key_value().expect("there is a snapshot");
    for (tick, right) in (*first..).zip(states) {
        let (_, balances) = seen.range(..=tick).next_back().unwrap();
        assert_eq!(balances, right, "tick {tick}");
    }
    let (last, _) = seen.last_key_value().unwrap();
    assert_eq!((last - first) as usize, states.len() - 1, "the last transaction is the last step");
}

#[test]
fn every_step_balances_with_any_number_of_workers() {
    let (texts, states) = history();
    let mut first: Option<BTreeMap<&str, String>> = None;
    for workers in [1, 2, 4] {
        let program = program();
        append(&program, &texts.concat());
        run(&program, workers);
        let tails = tails(&program);
        check(&tails, &states);
        let first = first.get_or_insert_with(|| tails.clone());
        assert!(*first == tails, "{workers} workers say what one says");
    }
}

#[test]
fn every_step_balances_through_stops() {
    let (texts, mut states) = history();
    let program = program();
    let every = TRANSACTIONS / 5;
    for (part, workers) in texts.chunks(every).zip([1, 4, 2, 1, 2]) {
        append(&program, &part.concat());
        run(&program, workers);
    }
    // A run that is resumed begins with a tick of its own, in which nothing changes.
    (1..5).rev().for_each(|stop| states.insert(stop * every, states[stop * every].clone()));
    check(&tails(&program), &states);
}

#[test]
fn every_step_balances_while_the_file_is_written_and_read() {
    let (texts, states) = history();
    for workers in ["1", "2", "4"] {
        let program = program();
        let running = program.start(&["run", "bank.yaml", "--state", "state", "--workers", workers, "--json"]);
        running.wait_for_stdout("a view", |line| line.contains("\"event\":\"view\""));
        let followers: Vec<(&str, Running)> = views().map(|view| (view, program.start(&["tail", view, "--state", "state"]))).collect();
        let text = texts.concat();
        // Pieces that end in the middle of lines and of transactions.
        for (i, piece) in text.as_bytes().chunks(text.len() / 60).enumerate() {
            append(&program, std::str::from_utf8(piece).unwrap());
            if i % 6 == 0 {
                let total = program.run(&["get", "total", "--state", "state"]);
                assert!(["{\"total\":null}\n", "{\"total\":0.00}\n"].contains(&total.stdout.as_str()), "{total:?}");
            }
        }
        let last = format!("\"tick\":{},", states.len());
        let (_, accounts) = followers.iter().find(|(view, _)| *view == "accounts").unwrap();
        accounts.wait_for_stdout("the last transaction", |line| line.contains(&last));
        all_caught_up(&program, &followers);
        running.signal("INT");
        let ended = running.finish();
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        let followed: BTreeMap<&str, String> = followers.into_iter().map(|(view, tail)| (view, tail.finish().stdout)).collect();
        check(&followed, &states);
        assert!(followed == tails(&program), "what was followed is what is stored");
    }
}
