//! Rows that cannot be read: they are left out, counted, listed with place and reason, and the views go on.

mod support;

use std::io::Write;

use support::{Finished, Program};

const SPEC: &str = "\
sources:
  shop:
    kind: file
    options:
      tables:
        orders: {csv: orders.csv, key: [id], columns: {id: int64, total: \"decimal(10,2)\"}}
      changes: changes.jsonl
views:
  orders: {from: shop.orders}
";

const ORDERS: &str = "id,total\n1,10\n2,secret\n3,30,extra\n4,40\n";
const CHANGES: &str = r#"{"begin": true}
{"table": "orders", "op": "insert", "after": {"id": 5, "total": 50}}
{"table": "orders", "op": "insert", "after": {"id": 6, "total": "secret"}}
nothing
{"commit": true}
"#;

fn shop() -> Program {
    let program = Program::new();
    program.write("shop.yaml", SPEC);
    program.write("orders.csv", ORDERS);
    program.write("changes.jsonl", CHANGES);
    program
}

fn run(program: &Program, more: &[&str]) -> Finished {
    program.run(&[&["run", "shop.yaml", "--state", "state", "--until-caught-up"], more].concat())
}

fn stdout(program: &Program, arguments: &[&str]) -> String {
    let done = program.run(&[arguments, &["--state", "state"]].concat());
    assert_eq!((done.code, done.stderr.as_str()), (Some(0), ""), "{arguments:?}");
    // The files' paths, without where the test is.
    done.stdout
        .replace(&format!("{}/", std::fs::canonicalize(program.folder()).unwrap().display()), "")
        .replace(&format!("{}/", program.folder().display()), "")
}

fn append(program: &Program, lines: &str) {
    let mut file = std::fs::OpenOptions::new().append(true).open(program.folder().join("changes.jsonl")).unwrap();
    file.write_all(lines.as_bytes()).unwrap();
}

fn rejected(program: &Program) -> u64 {
    let status: serde_json::Value = serde_json::from_str(&stdout(program, &["status", "--json"])).unwrap();
    status["sources"][0]["rejected"].as_u64().unwrap()
}

const LISTED: &str = r#"{"source":"shop","table":null,"place":"changes.jsonl, line 4","reason":"it is not a JSON object"}
{"source":"shop","table":"orders","place":"orders.csv, line 3","reason":"column `total`: expected decimal(10,2), but it is not a decimal number"}
{"source":"shop","table":"orders","place":"orders.csv, line 4","reason":"3 fields where the header has 2"}
{"source":"shop","table":"orders","place":"changes.jsonl, line 3","reason":"column `total`: expected decimal(10,2), but it is not a decimal number"}
"#;

#[test]
fn bad_rows_are_left_out_counted_and_listed_and_the_view_goes_on() {
    let program = shop();
    let done = run(&program, &[]);
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    assert!(done.stderr.contains("warning: shop: 4 records left out (`tidemill errors`): "), "{}", done.stderr);
    assert!(done.stderr.contains("orders.csv, line 4: 3 fields where the header has 2"), "{}", done.stderr);
    assert!(done.stderr.trim_end().ends_with(" s, 4 records left out"), "{}", done.stderr);
    assert!(!done.stderr.contains("secret"), "{}", done.stderr);
    let rows = "{\"id\":1,\"total\":10.00}\n{\"id\":4,\"total\":40.00}\n{\"id\":5,\"total\":50.00}\n";
    assert_eq!(stdout(&program, &["get", "orders"]), rows);
    assert_eq!(stdout(&program, &["errors"]), LISTED);
    assert_eq!((stdout(&program, &["errors", "shop"]).as_str(), stdout(&program, &["errors", "orders"]).as_str()), (LISTED, ""));
    assert!(stdout(&program, &["status"]).contains(", 4 records left out\n"));
}

#[test]
fn what_was_left_out_is_counted_once_however_often_the_engine_starts() {
    let program = shop();
    for _ in 0..2 {
        assert_eq!(run(&program, &[]).code, Some(0));
        assert_eq!(rejected(&program), 4);
    }
    let more =
        "{\"table\": \"orders\", \"op\": \"delete\", \"before\": {\"id\": 1, \"total\": 10}}\n{\"table\": \"order\", \"op\": \"insert\"}\n";
    append(&program, more);
    let done = run(&program, &["--json"]);
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    let end: serde_json::Value = serde_json::from_str(done.stdout.lines().last().unwrap()).unwrap();
    assert_eq!((&end["event"], &end["rejected"]), (&"end".into(), &5.into()));
    let last = r#"{"source":"shop","table":null,"place":"changes.jsonl, line 7","reason":"there is no table `order`"}"#;
    assert_eq!(stdout(&program, &["errors"]).lines().nth(1).unwrap(), last);
    assert_eq!(stdout(&program, &["get", "orders"]).lines().count(), 2);
}

#[test]
fn a_new_capture_counts_anew() {
    let program = shop();
    assert_eq!(run(&program, &[]).code, Some(0));
    program.write("shop.yaml", &SPEC.replace("decimal(10,2)", "text"));
    assert_eq!(run(&program, &[]).code, Some(0));
    let listed = stdout(&program, &["errors"]);
    assert_eq!(rejected(&program), listed.lines().count() as u64);
    assert_eq!(listed.lines().count(), 3, "{listed}");
}

#[test]
fn of_many_the_first_thousand_are_kept_and_all_are_counted() {
    let program = shop();
    program.write("orders.csv", &format!("id,total\n1,10\n{}", "2\n".repeat(1500)));
    assert_eq!(run(&program, &[]).code, Some(0));
    assert_eq!(rejected(&program), 1502);
    append(&program, &format!("{}\n", r#"{"table": "orders", "op": "insert", "after": {"id": 1.5}}"#));
    assert_eq!(run(&program, &[]).code, Some(0));
    assert_eq!(rejected(&program), 1503);
    let listed = stdout(&program, &["errors"]);
    assert_eq!(listed.lines().count(), 1 + 1000 + 1);
    assert_eq!(listed.lines().last().unwrap(), r#"{"source":"shop","table":"orders","more":502}"#);
}

#[test]
fn a_running_engine_lists_them_too() {
    let program = shop();
    let running = program.start(&["run", "shop.yaml", "--state", "state"]);
    running.wait_for_stderr("the warning", |line| line.starts_with("warning: shop: 4 records left out"));
    assert_eq!(stdout(&program, &["errors"]), LISTED);
    append(&program, "[]\n");
    running.wait_for_stderr("the next warning", |line| line.starts_with("warning: shop: 5 records left out"));
    assert_eq!(rejected(&program), 5);
    running.signal("TERM");
    assert_eq!(running.finish().code, Some(0));
}

#[test]
fn the_errors_of_views_are_listed_before_what_sources_left_out() {
    let program = shop();
    let items = "id,order\n1,4\n2,4\n3\n";
    program.write("items.csv", items);
    let table = "        items: {csv: items.csv, key: [id]}\n      changes";
    let lookup = "{from: shop.orders, lookup: [{from: shop.items, path: item, type: object, on: {id: order}, on_many: error}]}";
    program.write("shop.yaml", &SPEC.replace("      changes", table).replace("{from: shop.orders}", lookup));
    assert_eq!(run(&program, &[]).code, Some(0));
    let view = r#"{"view":"orders","count":1,"since":1,"reason":"{\"id\":4}: `item` has 2 rows where one is expected"}"#;
    let item = r#"{"source":"shop","table":"items","place":"items.csv, line 4","reason":"1 fields where the header has 2"}"#;
    let listed = stdout(&program, &["errors"]);
    let lines: Vec<&str> = listed.lines().collect();
    assert_eq!((lines[0], lines[2], lines.len()), (view, item, 6), "{listed}");
    assert_eq!(stdout(&program, &["errors", "orders"]), format!("{view}\n"));
}

#[test]
fn a_strict_source_stops_with_the_place_and_the_reason() {
    let program = shop();
    program.write("shop.yaml", &SPEC.replace("      changes", "      bad_lines: stop\n      changes"));
    let done = run(&program, &[]);
    let path = program.folder().join("orders.csv");
    let expected =
        format!("error: source `shop`: {}, line 3, column `total`: expected decimal(10,2), but it is not a decimal number", path.display());
    assert!(done.stderr.lines().any(|line| line == expected), "{}", done.stderr);
    assert_eq!(done.code, Some(1));
}

#[test]
fn errors_of_what_is_not_there_say_what_is() {
    let program = shop();
    assert_eq!(run(&program, &[]).code, Some(0));
    let done = program.run(&["errors", "order", "--state", "state"]);
    let expected = "error: there is no view, source or sink `order`\n   = help: there is `orders`, `shop`\n";
    assert_eq!((done.stderr.as_str(), done.code), (expected, Some(3)));
}
