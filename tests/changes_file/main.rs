//! Changes files: what each shape of a line does to a table, whole lines that contradict what is held, and random files against a model, read
//! at once, in several runs, and by engines that are killed.

#[allow(dead_code)]
#[path = "../support/long.rs"]
mod long;
mod model;
#[allow(dead_code)]
#[path = "../support/views/random.rs"]
mod random;
mod random_files;
mod shapes;
#[path = "../support/mod.rs"]
mod support;

use std::fs::OpenOptions;
use std::io::Write;

use support::Program;

/// A folder with the spec and the rows, and no changes yet.
fn program(spec: &str, rows: &[(&str, &str)]) -> Program {
    let program = Program::new();
    program.write("spec.yaml", spec);
    rows.iter().for_each(|(name, text)| drop(program.write(name, text)));
    program.write("changes.jsonl", "");
    program
}

fn append(program: &Program, text: &str) {
    let mut file = OpenOptions::new().append(true).open(program.folder().join("changes.jsonl")).unwrap();
    file.write_all(text.as_bytes()).unwrap();
}

/// Runs up to the files' end.
fn run(program: &Program) {
    let done = program.run(&["run", "spec.yaml", "--state", "state", "--until-caught-up"]);
    assert_eq!(done.code, Some(0), "{}", done.stderr);
}

fn stdout(program: &Program, arguments: &[&str]) -> String {
    let done = program.run(&[arguments, &["--state", "state"]].concat());
    assert_eq!((done.code, done.stderr.as_str()), (Some(0), ""), "{arguments:?}");
    done.stdout
}

/// What `errors` lists: file and line, and the reason.
fn errors(program: &Program) -> Vec<String> {
    let listed = stdout(program, &["errors"]);
    let shown = |line: &str| {
        let error: serde_json::Value = serde_json::from_str(line).unwrap();
        let (place, reason) = (error["place"].as_str().unwrap(), error["reason"].as_str().unwrap());
        format!("{} of {}: {reason}", place.rsplit('/').next().unwrap(), error["table"].as_str().unwrap_or("?"))
    };
    listed.lines().map(shown).collect()
}

/// A new capture would come by the same transaction: it is followed, whatever memory that takes.
#[test]
fn a_transaction_larger_than_others_may_be_is_followed() {
    let options = "{changes: changes.jsonl, tables: {t: {jsonl: t.jsonl, key: [id], columns: {id: int64, v: int64}}}}";
    let program =
        program(&format!("sources: {{s: {{kind: file, options: {options}}}}}\nviews: {{v: {{from: s.t}}}}\n"), &[("t.jsonl", "")]);
    let inserts: String =
        (0..2000).map(|n| format!("{{\"table\":\"t\",\"op\":\"insert\",\"after\":{{\"id\":{n},\"v\":{n}}}}}\n")).collect();
    append(&program, &format!("{{\"begin\":true}}\n{inserts}{{\"commit\":true}}\n"));
    let done = program.run(&["run", "spec.yaml", "--state", "state", "--until-caught-up", "--max-transaction-bytes", "100k"]);
    assert_eq!((done.code, done.stderr.contains("captured again")), (Some(0), false), "{}", done.stderr);
    assert_eq!(stdout(&program, &["get", "v"]).lines().count(), 2000);
}
