//! The state folder and who may open it: readers and engines side by side, folders that cannot be written to, and what an upgrade makes of it.

mod support;

use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};

use support::{Finished, Program};
use tidemill::store::{Commit, Store, Sync, ViewBatch, ViewChange, ViewDef};
use tidemill::value::{Datum, Layout, Row, RowBuilder, key};

const SPEC: &str = "\
sources: {shop: {kind: file, options: {changes: changes.jsonl, tables: {
  orders: {jsonl: orders.jsonl, key: [id], columns: {id: int64, text: text}}}}}}
views: {orders: {from: shop.orders}}
";
const ROWS: usize = 3000;
/// A pipe holds 64 KiB, what is read ahead comes to less than 2 MiB: with these rows much is left when nobody reads.
const TEXT_BYTES: usize = 2000;

/// A spec over rows of `{"id", "text"}`.
fn shop() -> Program {
    let program = Program::new();
    program.write("shop.yaml", SPEC);
    program.write("changes.jsonl", "");
    let row = |id: usize| format!("{{\"id\": {id}, \"text\": \"{}\"}}\n", "x".repeat(TEXT_BYTES));
    program.write("orders.jsonl", &(0..ROWS).map(row).collect::<String>());
    program
}

fn insert(id: usize) -> String {
    format!("{{\"table\": \"orders\", \"op\": \"insert\", \"after\": {{\"id\": {id}, \"text\": \"new\"}}}}\n")
}

fn run(program: &Program) -> Finished {
    program.run(&["run", "shop.yaml", "--state", "state", "--until-caught-up"])
}

fn done(finished: Finished) -> String {
    assert_eq!((finished.code, finished.stderr.as_str()), (Some(0), ""), "{}", finished.stdout);
    finished.stdout
}

#[test]
fn a_reader_that_nobody_reads_keeps_no_engine_from_starting_and_ends_with_what_it_began_with() {
    let program = shop();
    assert_eq!(run(&program).code, Some(0));
    for arguments in [&["get", "orders"][..], &["tail", "orders", "--until-caught-up"]] {
        let mut reader = Command::new(env!("CARGO_BIN_EXE_tidemill"))
            .args(arguments)
            .args(["--state", "state"])
            .current_dir(program.folder())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(reader.stdout.take().unwrap());
        let mut text = String::new();
        lines.read_line(&mut text).unwrap();
        let before = done(program.run(&["get", "orders", "--state", "state"])).lines().count();
        program.write("changes.jsonl", &(ROWS..ROWS + 5 + before - ROWS).map(insert).collect::<String>());
        let began = run(&program);
        assert_eq!(began.code, Some(0), "{}", began.stderr);
        assert!(!began.stderr.contains("waiting"), "{}", began.stderr);
        assert!(reader.try_wait().unwrap().is_none(), "it still has much to say");
        lines.read_to_string(&mut text).unwrap();
        assert!(reader.wait().unwrap().success());
        assert_eq!(text.lines().count(), before);
        assert_eq!(done(program.run(&["get", "orders", "--state", "state"])).lines().count(), before + 5);
    }
}

#[test]
fn engines_start_while_others_read_again_and_again() {
    let program = shop();
    assert_eq!(run(&program).code, Some(0));
    let over = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !over.load(std::sync::atomic::Ordering::Relaxed) {
                    let got = program.run(&["get", "orders", "7", "--state", "state"]);
                    // An engine that stops may break off an answer of its own.
                    let broken_off = got.stderr.starts_with("error: the engine stopped before its answer was complete");
                    assert!(got.code == Some(0) || broken_off, "{}", got.stderr);
                }
            });
        }
        for _ in 0..5 {
            let finished = run(&program);
            assert_eq!(finished.code, Some(0), "{}", finished.stderr);
        }
        over.store(true, std::sync::atomic::Ordering::Relaxed);
    });
}

#[test]
fn a_run_says_whose_folder_it_waits_for_and_begins_when_that_is_free() {
    let program = shop();
    let first = program.start(&["run", "shop.yaml", "--state", "state", "--json"]);
    first.wait_for_stdout("the view", |line| line.contains("\"event\":\"view\""));
    let refused = program.run(&["run", "shop.yaml", "--state", "state", "--wait-seconds", "0"]);
    let pid = first.pid();
    let expected = format!(
        "error: the state folder `state` is in use by process {pid}\n   = help: stop process {pid} first, or give another folder with --state\n"
    );
    assert_eq!((refused.code, refused.stderr), (Some(1), expected));
    let second = program.start(&["run", "shop.yaml", "--state", "state", "--until-caught-up"]);
    let reason = format!("the state folder `state` is in use by process {pid}; waiting up to 5");
    second.wait_for_stderr("the reason", |line| line.starts_with(&format!("waiting: {reason}")));
    let third = program.start(&["run", "shop.yaml", "--state", "state", "--until-caught-up", "--json"]);
    let event = format!("{{\"event\":\"waiting\",\"state\":\"state\",\"reason\":\"{reason}");
    third.wait_for_stdout("the reason", |line| line.starts_with(&event));
    third.signal("TERM");
    assert_eq!(third.finish().code, Some(0), "told to stop, it waits no longer");
    first.signal("TERM");
    assert_eq!(first.finish().code, Some(0));
    let second = second.finish();
    assert_eq!(second.code, Some(0), "{}", second.stderr);
}

/// Every reading command on the folder at `ro`, which is `state` mounted so that nobody can write to it.
const READ_ONLY: &str = r#"
mkdir -p ro && mount --bind state ro && mount -o remount,bind,ro ro || exit 9
touch ro/file 2> /dev/null && exit 8
"$TIDEMILL" get orders 7 --state ro | cut -c 1-20
"$TIDEMILL" tail orders --until-caught-up --state ro | wc -l
"$TIDEMILL" errors --state ro | wc -l
"$TIDEMILL" status --state ro | grep -c 'view orders: 3000 rows'
"#;

fn in_a_namespace(program: &Program) -> Finished {
    let script = Program::of("/bin/sh").env("TIDEMILL", env!("CARGO_BIN_EXE_tidemill"));
    script.write("script.sh", &format!("cd '{}'\n{READ_ONLY}", program.folder().display()));
    let namespace = "unshare -m true 2> /dev/null && exec unshare -m sh script.sh || exec unshare -rm sh script.sh";
    script.run(&["-c", namespace])
}

#[test]
fn a_folder_that_cannot_be_written_to_is_read_at_rest_after_a_crash_and_while_an_engine_runs() {
    let program = shop();
    assert_eq!(run(&program).code, Some(0));
    let expected = format!("{{\"id\":7,\"text\":\"xxxx\n{ROWS}\n0\n1\n");
    assert_eq!(done(in_a_namespace(&program)), expected);
    let engine = program.start(&["run", "shop.yaml", "--state", "state", "--json"]);
    engine.wait_for_stdout("the view", |line| line.contains("\"event\":\"view\""));
    assert_eq!(done(in_a_namespace(&program)), expected);
    engine.kill();
    assert_eq!(done(in_a_namespace(&program)), expected);
}

#[test]
fn a_damaged_state_is_refused_by_every_command_with_its_name_and_the_way_out() {
    let program = shop();
    assert_eq!(run(&program).code, Some(0));
    let journal = program.folder().join("state/data/0.jnl");
    let mut bytes = std::fs::read(&journal).unwrap();
    let used = bytes.iter().rposition(|b| *b != 0).unwrap();
    let block = used / 2 / 4096 * 4096;
    bytes[block..(block + 4096).min(used)].fill(0);
    std::fs::write(&journal, &bytes).unwrap();
    for arguments in [&["get", "orders"][..], &["tail", "orders"], &["errors"], &["status"], &["run", "shop.yaml"]] {
        let refused = program.run(&[arguments, &["--state", "state"]].concat());
        assert_eq!((refused.code, refused.stdout.as_str()), (Some(1), ""), "{arguments:?}");
        let (message, help) = refused.stderr.split_once("\n   = help: ").unwrap();
        let begins = "error: the state in `state` is damaged: the file `data/0.jnl` is not what was written: it can be read up to byte ";
        assert!(message.starts_with(begins), "{message}");
        assert!(help.starts_with("check the disk; then restore a copy that was taken while nothing was running, or remove the folder"));
    }
}

#[test]
fn a_state_of_another_meaning_is_rebuilt_by_the_difference() {
    let program = shop();
    program.write("orders.jsonl", "{\"id\": 1, \"text\": \"a\"}\n{\"id\": 2, \"text\": \"b\"}\n{\"id\": 3, \"text\": \"c\"}\n");
    assert_eq!(run(&program).code, Some(0));
    let right = done(program.run(&["get", "orders", "--state", "state"]));
    let tick = {
        // As a version left it that answered otherwise: 2 is wrong, 3 is missing, 9 is too much.
        let store = Store::open(&program.folder().join("state"), Sync::EachCommit).unwrap();
        let view = store.view("orders").unwrap();
        let (schema, columns) = (view.schema().clone(), view.key_columns().to_vec());
        let layout = Layout::new(&schema);
        let row = |id: i64, text: &str| -> Row {
            let mut builder = RowBuilder::new(&layout);
            builder.push(Datum::Int(id));
            builder.push(Datum::Text(text));
            builder.finish()
        };
        let input = tidemill::store::InputDef { name: "shop.orders".into(), schema: schema.clone(), key: vec![0] };
        let other =
            ViewDef { name: "orders".into(), schema: schema.clone(), key: columns.clone(), fingerprint: "of another meaning".into() };
        let defined = store.define(&[input], &[other]).unwrap();
        assert_eq!(defined.inputs, [tidemill::store::InputState::Same]);
        let tick = store.checkpoint().unwrap().tick.next();
        let change = |id: i64, after: Option<&str>| {
            let key = key::encode(&layout, &row(id, ""), &columns);
            ViewChange { tick, key, after: after.map(|text| row(id, text)) }
        };
        let changes = vec![change(2, Some("wrong")), change(3, None), change(9, Some("nobody's"))];
        store.commit(Commit { up_to: tick, views: vec![ViewBatch { view: 0, changes, errors: vec![] }], ..Commit::default() }).unwrap();
        tick
    };
    assert_ne!(done(program.run(&["get", "orders", "--state", "state"])), right);
    assert_eq!(run(&program).code, Some(0));
    assert_eq!(done(program.run(&["get", "orders", "--state", "state"])), right);
    let told = done(program.run(&["tail", "orders", "--until-caught-up", "--state", "state"]));
    let later: Vec<serde_json::Value> = told
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
        .filter(|change| change["tick"].as_u64().unwrap() > tick.0)
        .map(|change| serde_json::json!([change["before"]["text"], change["after"]["text"]]))
        .collect();
    let expected = [serde_json::json!(["wrong", "b"]), serde_json::json!([null, "c"]), serde_json::json!(["nobody's", null])];
    assert_eq!(later, expected, "{told}");
}

/// A state folder of every format that was ever released is in `fixtures/states`, with the spec and the files that it was made of, and what each view
/// must give. A format that is no longer read must be refused with what to do.
#[test]
fn a_state_that_an_earlier_version_made_is_read_and_continued() {
    let formats = std::fs::read_dir("fixtures/states").unwrap().map(|entry| entry.unwrap().path());
    let mut checked = 0;
    for format in formats {
        let program = Program::new();
        let mut expected = Vec::new();
        for entry in std::fs::read_dir(&format).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap().to_string();
            match name.strip_suffix(".expected") {
                Some(view) => expected.push((view.to_string(), std::fs::read_to_string(&path).unwrap())),
                None => drop(std::fs::copy(&path, program.folder().join(&name)).unwrap()),
            }
        }
        assert!(Command::new("tar").args(["xzf", "state.tgz"]).current_dir(program.folder()).status().unwrap().success());
        let answers = |state: &str| -> Vec<(String, String)> {
            let answer = |view: &String| match view.as_str() {
                "errors" => done(program.run(&["errors", "--state", state])),
                _ => done(program.run(&["get", view, "--state", state])),
            };
            expected.iter().map(|(view, _)| (view.clone(), answer(view))).collect()
        };
        assert!(expected.len() > 3, "{}", format.display());
        assert_eq!(answers("state"), expected, "before it is run: {}", format.display());

        let changes = std::fs::read_to_string(program.folder().join("changes.jsonl")).unwrap();
        let more = "{\"table\": \"orders\", \"op\": \"update\", \"before\": {\"id\": 5}, \"after\": {\"id\": 5, \"total\": 6}}\n\
                    {\"table\": \"orders\", \"op\": \"delete\", \"before\": {\"id\": 8}}\n";
        program.write("changes.jsonl", &format!("{changes}{more}"));
        for state in ["state", "anew"] {
            let run = program.run(&["run", "shop.yaml", "--state", state, "--until-caught-up"]);
            assert_eq!(run.code, Some(0), "{}: {}", format.display(), run.stderr);
        }
        let without_ticks = |answers: Vec<(String, String)>| -> Vec<(String, String)> {
            answers.into_iter().filter(|(view, _)| view != "errors").collect()
        };
        assert_eq!(without_ticks(answers("state")), without_ticks(answers("anew")), "after it was run: {}", format.display());
        assert_eq!(done(program.run(&["errors", "--state", "state"])), "", "the row that failed was corrected");
        checked += 1;
    }
    assert!(checked > 0);
}
