//! Every example spec runs. `order_single_view` needs servers and is what `tests/acceptance.rs` runs.

mod support;

use std::collections::BTreeMap;

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

#[test]
fn the_recorded_shop_adds_up_to_its_revenue() {
    let program = Program::new();
    let spec = format!("{}/dataflows/shop_revenue.yaml", env!("CARGO_MANIFEST_DIR"));
    let run = program.run(&["run", &spec, "--state", "state", "--until-caught-up", "--workers", "2"]);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let rows = |view: &str| -> Vec<serde_json::Value> {
        let got = program.run(&["get", view, "--state", "state"]);
        got.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let cents = |row: &serde_json::Value, column: &str| (row[column].as_f64().unwrap() * 100.0).round() as i64;
    let mut of_state = BTreeMap::new();
    for row in rows("revenue") {
        let (revenue, best): &mut (i64, i64) = of_state.entry(row["state"].to_string()).or_default();
        *revenue += cents(&row, "revenue");
        *best = cents(&row, "revenue").max(*best);
    }
    let by_state = rows("revenue_by_state");
    assert!(by_state.len() > 5, "{} states", by_state.len());
    let told = by_state.iter().map(|row| (row["state"].to_string(), (cents(row, "revenue"), cents(row, "best"))));
    assert_eq!(told.collect::<BTreeMap<_, _>>(), of_state);
    // The same items, as the order documents have them.
    let items: i64 = rows("revenue").iter().map(|row| row["items"].as_i64().unwrap()).sum();
    let documents = run_example("shop_fixture", "1").1;
    let documents = documents.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let known = documents.filter(|d| d["customer_info"].is_object());
    assert_eq!(items, known.map(|d| d["order_items"].as_array().unwrap().len() as i64).sum::<i64>());
}

#[test]
fn sellers_and_persons_have_what_was_sold_and_bought() {
    let program = Program::new();
    let spec = format!("{}/dataflows/shop_sellers.yaml", env!("CARGO_MANIFEST_DIR"));
    let run = program.run(&["run", &spec, "--state", "state", "--until-caught-up", "--workers", "2"]);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let rows = |view: &str| -> Vec<serde_json::Value> {
        let got = program.run(&["get", view, "--state", "state"]);
        got.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let cents = |value: &serde_json::Value| (value.as_f64().unwrap_or(0.0) * 100.0).round() as i64;
    let documents = run_example("shop_fixture", "1").1;
    let documents = documents.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let (mut of_seller, mut of_person) = (BTreeMap::new(), BTreeMap::new());
    for order in documents {
        for item in order["order_items"].as_array().unwrap() {
            *of_seller.entry(item["seller_id"].to_string()).or_insert(0) += cents(&item["price"]);
            *of_person.entry(order["customer_info"]["customer_unique_id"].to_string()).or_insert(0) += cents(&item["price"]);
        }
    }
    let sellers = rows("seller_single_view");
    assert!(sellers.len() > 5, "{} sellers", sellers.len());
    for seller in &sellers {
        let best: Vec<i64> = seller["best"].as_array().unwrap().iter().map(|sold| cents(&sold["revenue"])).collect();
        assert!(best.len() <= 3 && best.is_sorted_by(|a, b| a >= b), "{seller}");
        assert!(seller["best"].as_array().unwrap().iter().all(|sold| sold["product"].is_object()), "{seller}");
        assert_eq!(cents(&seller["revenue"]), of_seller.get(&seller["seller_id"].to_string()).copied().unwrap_or(0), "{seller}");
    }
    let persons = rows("person_single_view");
    assert!(persons.len() > 500, "{} persons", persons.len());
    for person in &persons {
        let categories: i64 = person["bought"].as_array().unwrap().iter().map(|bought| cents(&bought["spent"])).sum();
        assert_eq!(categories, cents(&person["spent"]), "{person}");
        assert_eq!(categories, of_person.get(&person["person"].to_string()).copied().unwrap_or(0), "{person}");
        assert!(!person["cities"].as_array().unwrap().is_empty(), "{person}");
    }
}

#[test]
fn a_bicycle_needs_what_its_wheels_need() {
    let program = Program::new();
    let spec = format!("{}/dataflows/bill_of_materials.yaml", env!("CARGO_MANIFEST_DIR"));
    let run = program.run(&["run", &spec, "--state", "state", "--until-caught-up", "--workers", "2"]);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let rows = |view: &str| program.run(&["get", view, "--state", "state"]).stdout;
    let needed = rows("needed");
    // Two wheels with 32 spokes; two hubs with two bearings and two in the crank; bolts: four in the crank, two in each axle, three in the frame.
    for (part, quantity) in [(5, 64), (8, 6), (10, 11)] {
        assert!(needed.contains(&format!("{{\"product\":1,\"part\":{part},\"quantity\":{quantity}}}")), "{needed}");
        assert!(needed.contains(&format!("{{\"product\":11,\"part\":{part},\"quantity\":{}}}", 2 * quantity)), "{needed}");
    }
    // The frame, two rims, spokes, two axles, bearings and bolts.
    let cost = 31_000 + 2 * 2_450 + 64 * 35 + 2 * 420 + 6 * 110 + 11 * 8;
    let bicycle = format!("{{\"product\":1,\"pieces\":86,\"cost\":{}.{:02}}}", cost / 100, cost % 100);
    assert!(rows("to_buy").lines().any(|line| line == bicycle), "{bicycle} is not in\n{}", rows("to_buy"));
    let used: Vec<String> = rows("used_in").lines().filter(|line| line.starts_with("{\"part\":7,")).map(str::to_string).collect();
    assert_eq!(used.len(), 4, "an axle is in hubs, wheels, bicycles and tandems: {used:?}");
}
