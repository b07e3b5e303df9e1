//! The named fault points: the list is what the code has, a test can break each, and a release build has none.

#[path = "support/long.rs"]
mod long;
mod support;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use support::{Program, eventually};
use tidemill::fault::POINTS;

const SPEC: &str = "\
sources:
  shop: {kind: file, options: {tables: {orders: {csv: orders.csv, key: [id], columns: {id: int64, total: int64}}}}}
views:
  orders: {from: shop.orders}
";
const RUN: [&str; 5] = ["run", "shop.yaml", "--state", "state", "--until-caught-up"];

fn shop(fault: &str) -> Program {
    let program = Program::new().env("TIDEMILL_FAULT", fault);
    program.write("shop.yaml", SPEC);
    program.write("orders.csv", "id,total\n1,10\n2,20\n");
    program
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn source_text(folder: &Path, out: &mut String) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            source_text(&path, out);
        } else if path.extension().is_some_and(|ext| ext == "rs") && !path.ends_with("src/fault.rs") {
            out.push_str(&std::fs::read_to_string(&path).unwrap());
        }
    }
}

#[test]
fn the_list_is_what_the_code_has_each_point_once() {
    let mut text = String::new();
    source_text(&root().join("src"), &mut text);
    let mut found: BTreeMap<String, bool> = BTreeMap::new();
    for (call, fails) in [("fault::point(\"", false), ("fault::fallible(\"", true), ("sinks::break_at(\"", true)] {
        for rest in text.split(call).skip(1) {
            let name = rest.split('"').next().unwrap().to_string();
            assert_eq!(found.insert(name.clone(), fails), None, "`{name}` stands in two places");
        }
    }
    let listed: BTreeMap<String, bool> = POINTS.iter().map(|point| (point.name.to_string(), point.fails)).collect();
    assert_eq!(listed.len(), POINTS.len(), "a name stands in the list once");
    assert_eq!(found, listed);
}

#[test]
fn a_point_kills_where_it_is_told_to() {
    let program = shop("store.load.before_commit=kill");
    assert_eq!(program.run(&RUN).code, None, "as by a signal");
    assert_eq!(program.run(&["get", "orders", "--state", "state"]).code, Some(3), "nothing was committed");
    let program = shop("store.load.after=kill");
    assert_eq!(program.run(&RUN).code, None);
    assert_eq!(program.run(&["get", "orders", "--state", "state"]).stdout.lines().count(), 2, "everything was");
}

#[test]
fn a_point_fails_where_it_is_told_to_and_only_then() {
    let program = shop("store.load.before_commit:1=error");
    let ended = program.run(&RUN);
    assert_eq!(ended.code, Some(1));
    assert!(ended.stderr.contains("the fault point `store.load.before_commit` was to fail"), "{}", ended.stderr);
    let program = shop("store.load.before_commit:2=error");
    assert_eq!(program.run(&RUN).code, Some(0), "it is not reached twice");
}

#[test]
fn a_point_waits_until_its_file_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("here");
    let program = shop(&format!("store.load.before_commit=pause:{}", file.display()));
    let running = program.start(&RUN);
    eventually("the point", Duration::from_secs(60), || file.exists().then_some(()));
    let status = program.run(&["get", "orders", "--state", "state"]);
    assert_eq!(status.code, Some(3), "nothing is committed yet: {}", status.stderr);
    std::fs::remove_file(&file).unwrap();
    assert_eq!(running.finish().code, Some(0));
}

#[test]
fn a_typing_error_is_no_test_that_passes() {
    let ended = shop("store.load.befor_commit=kill").run(&RUN);
    assert_eq!(ended.code, Some(2));
    assert_eq!(ended.stderr, "error: TIDEMILL_FAULT: there is no point `store.load.befor_commit`\n");
}

/// Runs a program to its end, which must be a good one; what it wrote.
fn done(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}\n{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn rustc() -> Command {
    Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()))
}

#[test]
fn profiles_that_inherit_from_release_have_no_points() {
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("build");
    done(rustc().arg("--edition=2024").arg("-o").arg(&script).arg(root().join("build.rs")));
    let told = |profile: &str| done(Command::new(&script).env("PROFILE", profile)).contains("rustc-cfg=fault_points");
    assert_eq!([told("debug"), told("release")], [true, false]);
}

/// What is left of the points in a compiled program: the variable, and names of points.
fn traces(program: &Path) -> Vec<String> {
    let bytes = std::fs::read(program).unwrap();
    let names = POINTS.iter().map(|point| point.name).chain(["TIDEMILL_FAULT"]);
    names.filter(|name| memchr::memmem::find(&bytes, name.as_bytes()).is_some()).map(String::from).collect()
}

#[test]
fn without_points_nothing_of_them_is_compiled() {
    let folder = tempfile::tempdir().unwrap();
    let calls = folder.path().join("calls.rs");
    let module = root().join("src/fault.rs");
    let text = format!(
        "#[path = {module:?}] mod fault;\nfn main() {{ fault::point({:?}); fault::fallible({:?}).unwrap(); std::process::exit(fault::POINTS.len() as i32) }}",
        POINTS[0].name, POINTS[2].name
    );
    std::fs::write(&calls, text).unwrap();
    let compiled = |name: &str, more: &[&str]| -> PathBuf {
        let out = folder.path().join(name);
        done(rustc().args(["--edition=2024", "-O", "-A", "warnings"]).args(more).arg("-o").arg(&out).arg(&calls));
        out
    };
    let with = compiled("with", &["--cfg", "fault_points"]);
    assert_eq!(traces(&with).len(), POINTS.len() + 1, "with them all are there");
    let without = compiled("without", &[]);
    assert_eq!(traces(&without), Vec::<String>::new());
    done(&mut Command::new(without));
}

/// The program itself, which takes long to build.
#[test]
fn the_released_program_has_no_trace_of_the_points() {
    assert_ne!(traces(Path::new(env!("CARGO_BIN_EXE_tidemill"))), Vec::<String>::new(), "this one has them");
    if !long::is_wanted() {
        return;
    }
    let built = done(Command::new(env!("CARGO")).args(["build", "--release", "--locked", "--message-format=json"]).current_dir(root()));
    let artifacts = built.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let programs: Vec<String> = artifacts.filter_map(|artifact| artifact["executable"].as_str().map(String::from)).collect();
    let [program] = &programs[..] else { panic!("one program: {programs:?}") };
    assert_eq!(traces(Path::new(program)), Vec::<String>::new());
    long::tell("the released program has no trace of the fault points");
}
