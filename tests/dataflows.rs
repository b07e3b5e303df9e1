//! Every example spec runs. `order_single_view` needs servers and is what `tests/acceptance.rs` runs.

mod support;

use support::Program;

/// Runs an example with the program, on a state of its own.
fn run_example(name: &str, workers: &str) -> (Program, String) {
    let program = Program::new();
    let spec = format!("{}/dataflows/{name}.yaml", env!("CARGO_MANIFEST_DIR"));
    let run = program.run(&["run", &spec, "--state", "state", "--until-caught-up", "--workers", workers]);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let rows = program.run(&["get", "order_single_view", "--state", "state"]);
    assert_eq!(rows.code, Some(0), "{}", rows.stderr);
    (program, rows.stdout)
}

#[test]
fn the_recorded_shop_fills_the_order_view() {
    let (program, rows) = run_example("shop_fixture", "1");
    let documents: Vec<serde_json::Value> = rows.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert!(documents.len() > 900, "{} documents", documents.len());
    let items = documents.iter().flat_map(|d| d["order_items"].as_array().unwrap());
    assert!(items.clone().count() > 900);
    assert!(items.clone().all(|item| item["seller"]["seller_id"] == item["seller_id"]), "every item has its seller");
    let one = documents[7]["order_id"].as_str().unwrap();
    let got = program.run(&["get", "order_single_view", one, "--state", "state"]);
    assert_eq!(got.stdout.lines().collect::<Vec<_>>(), [rows.lines().nth(7).unwrap()]);
    let missing = program.run(&["get", "order_single_view", "no-such-order", "--state", "state"]);
    assert_eq!((missing.code, missing.stdout.as_str()), (Some(3), ""));
    let unknown = program.run(&["get", "no_such_view", "--state", "state"]);
    assert_eq!(unknown.code, Some(3));
}

#[test]
fn four_workers_give_the_same_bytes() {
    assert_eq!(run_example("shop_fixture", "1").1, run_example("shop_fixture", "4").1);
}
