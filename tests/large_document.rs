//! One document with 50,000 children, of which one changes at a time: the changelog tells every version whole and takes a few kilobytes
//! for each.

mod support;

use std::fmt::Write as _;
use std::io::Write;

use serde_json::Value;
use support::Program;

const CHILDREN: usize = 50_000;
const CHANGES: usize = 12;

const SPEC: &str = "\
sources:
  shop:
    kind: file
    options:
      tables:
        orders: {csv: orders.csv, key: [id], columns: {id: int64, city: text}}
        items: {csv: items.csv, key: [id], columns: {id: int64, order_id: int64, name: text}}
      changes: changes.jsonl
views:
  documents:
    from: shop.orders
    lookup:
      - {from: shop.items, path: items, type: array, on: {id: order_id}}
";

fn name(child: usize) -> String {
    format!("item number {child}")
}

fn shop() -> Program {
    let program = Program::new();
    program.write("shop.yaml", SPEC);
    program.write("orders.csv", "id,city\n1,Ulm\n2,Bonn\n");
    let mut items = "id,order_id,name\n".to_string();
    (0..CHILDREN).for_each(|child| writeln!(items, "{child},1,{}", name(child)).unwrap());
    program.write("items.csv", &items);
    program.write("changes.jsonl", "");
    program
}

fn run(program: &Program, more: &[&str]) {
    let done = program.run(&[&["run", "shop.yaml", "--state", "state", "--until-caught-up"], more].concat());
    assert_eq!(done.code, Some(0), "{}", done.stderr);
}

fn json_lines(program: &Program, arguments: &[&str]) -> Vec<Value> {
    let done = program.run(&[arguments, &["--state", "state"]].concat());
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    done.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn changelog_bytes(program: &Program) -> u64 {
    json_lines(program, &["status", "--json"])[0]["views"][0]["changelog_bytes"].as_u64().unwrap()
}

/// The child of each change, never the same twice.
fn changed(change: usize) -> usize {
    change * 7919 % CHILDREN
}

#[test]
fn a_change_of_one_child_of_many_is_told_whole_and_kept_small() {
    let program = shop();
    run(&program, &[]);
    assert_eq!(changelog_bytes(&program), 0, "a first load has no changes");
    let mut lines = String::new();
    for change in 0..CHANGES {
        let (id, old) = (changed(change), name(changed(change)));
        let image = |name: &str| format!("{{\"id\": {id}, \"order_id\": 1, \"name\": \"{name}\"}}");
        let (before, after) = (image(&old), image(&format!("renamed by {change}")));
        writeln!(lines, "{{\"table\": \"items\", \"op\": \"update\", \"before\": {before}, \"after\": {after}}}").unwrap();
    }
    std::fs::OpenOptions::new().append(true).open(program.folder().join("changes.jsonl")).unwrap().write_all(lines.as_bytes()).unwrap();
    run(&program, &[]);
    let bytes = changelog_bytes(&program);
    assert!(bytes > 0 && bytes < CHANGES as u64 * 20_000, "{bytes} bytes for {CHANGES} changes");

    let told = json_lines(&program, &["tail", "documents", "--from", "start", "--until-caught-up"]);
    assert_eq!(told.len(), 2 + CHANGES);
    let mut expected: Vec<String> = (0..CHILDREN).map(name).collect();
    let names = |document: &Value| -> Vec<String> {
        document["items"].as_array().unwrap().iter().map(|item| item["name"].as_str().unwrap().to_string()).collect()
    };
    assert!(names(&told[0]["after"]) == expected);
    for (change, entry) in told[2..].iter().enumerate() {
        assert!(names(&entry["before"]) == expected, "before change {change}");
        expected[changed(change)] = format!("renamed by {change}");
        assert!(names(&entry["after"]) == expected, "after change {change}");
    }
    assert!(json_lines(&program, &["get", "documents", "1"])[0] == told[1 + CHANGES]["after"]);

    // A bound that is too small for any history leaves the rows and the last tick.
    run(&program, &["--retain-bytes", "1kB"]);
    assert_eq!(changelog_bytes(&program), 0);
    let told = json_lines(&program, &["tail", "documents", "--from", "start", "--until-caught-up"]);
    assert_eq!(told.len(), 2);
    assert!(names(&told[0]["after"]) == expected && told[0]["before"] == Value::Null);
}
