//! What is held in memory: `explain` estimates it, `status` tells it of a running engine, and a snapshot takes little more than its views.

mod support;

use std::time::Duration;

use support::{MysqlDatabase, Program};

const SPEC: &str = "\
sources:
  shop:
    kind: file
    options:
      tables:
        orders: {csv: orders.csv, key: [id], columns: {id: int64, customer: int64, total: int64}}
        customers: {csv: customers.csv, key: [id], columns: {id: int64, city: text}}
views:
  cities: {sql: \"SELECT o.id, c.city FROM shop.orders o JOIN shop.customers c ON o.customer = c.id\"}
  totals: {sql: \"SELECT o.id, o.total FROM shop.orders o LEFT JOIN shop.customers c ON o.customer = c.id\"}
  large:
    sql: \"SELECT c.city, g.n FROM shop.customers c JOIN (SELECT customer, count(*) AS n FROM shop.orders GROUP BY customer) g ON g.customer = c.id\"
    key: [city]
";

#[test]
fn what_is_held_is_estimated_and_then_told() {
    let program = Program::new();
    program.write("shop.yaml", SPEC);
    let orders: String = (0..10_000).map(|n| format!("{n},{},{n}\n", n % 100)).collect();
    let customers: String = (0..100).map(|n| format!("{n},city {n}\n")).collect();
    program.write("orders.csv", &format!("id,customer,total\n{orders}"));
    program.write("customers.csv", &format!("id,city\n{customers}"));

    let explained = program.run(&["explain", "shop.yaml"]);
    let (_, held) = explained.stdout.split_once("arrangements\n").unwrap();
    let expected = "  [1] shop.orders rows by customer: id, customer, total; shared by cities, totals; about 36 bytes a row, about 361 kB in all\n  \
                    [2] shop.customers rows by id: id, city; shared by cities, totals, large; about 46 bytes a row, about 4590 bytes in all\n";
    assert!(held.starts_with(expected), "{held}");

    let running = program.start(&["run", "shop.yaml", "--state", "state", "--json", "--workers", "2"]);
    running.wait_for_stdout("all orders", |line| line.contains("\"view\":\"cities\"") && line.contains("\"rows\":10000,"));
    let status = program.run(&["status", "--state", "state", "--json"]);
    let status: serde_json::Value = serde_json::from_str(&status.stdout).unwrap();
    let memory = status["memory"].as_array().unwrap();
    let told: Vec<_> = memory.iter().filter_map(|held| Some((held["name"].as_str().unwrap(), held["rows"].as_u64()?))).collect();
    assert_eq!(
        told,
        [("[1] shop.orders by customer", 10_000), ("[2] shop.customers by id", 100), ("large: a join's side by customer", 100)]
    );
    let bytes_of = |name: &str| memory.iter().find(|held| held["name"] == name).expect(name)["bytes"].as_u64().unwrap();
    let bytes = bytes_of("[1] shop.orders by customer");
    assert!((10_000 * 30..10_000 * 120).contains(&bytes), "{bytes} bytes for 10,000 small rows");
    let shown = program.run(&["status", "--state", "state"]).stdout;
    assert!(shown.contains("\n  [2] shop.customers by id: 100 rows, "), "{shown}");
    running.signal("TERM");
    let ended = running.finish();
    assert_eq!(ended.code, Some(0));
    let last = ended.stdout.lines().find(|line| line.contains("\"event\":\"memory\"")).expect("what was held is told in the end");
    let last: serde_json::Value = serde_json::from_str(last).unwrap();
    // What is between the engine and the disk goes by itself.
    let of_workers = |held: &[serde_json::Value]| -> Vec<serde_json::Value> {
        let outside = ["store: ", "rows on their way"];
        let is_outside = |held: &serde_json::Value| outside.iter().any(|name| held["name"].as_str().unwrap().starts_with(name));
        held.iter().filter(|held| !is_outside(held)).cloned().collect()
    };
    assert_eq!(of_workers(last["held"].as_array().unwrap()), of_workers(memory));
    assert!(!program.run(&["status", "--state", "state"]).stdout.contains("in memory"), "nothing is held at rest");
}

const OPERATORS: &str = "\
sources:
  s:
    kind: file
    options:
      tables:
        t: {csv: t.csv, key: [id], columns: {id: int64, g: int64, name: text}}
      changes: changes.jsonl
views:
  names: {sql: \"SELECT g, string_agg(name, ',' ORDER BY name) AS names FROM s.t GROUP BY g\", key: [g]}
  first: {sql: \"SELECT g, id, name FROM (SELECT g, id, name, row_number() OVER (PARTITION BY g ORDER BY id) AS n FROM s.t) q WHERE n <= 3\"}
  running: {sql: \"SELECT id, name, sum(id) OVER (PARTITION BY g ORDER BY id) AS total FROM s.t\"}
  copies: {sql: \"SELECT name FROM s.t\"}
  below: {sql: \"WITH RECURSIVE r AS (SELECT id, name FROM s.t WHERE id < 1000 UNION SELECT t.id, t.name FROM r JOIN s.t t ON t.g = r.id) SELECT id, name FROM r\"}
";

/// Of each of these, the bytes for 20,000 rows, and for those that are left.
#[test]
fn what_operators_hold_grows_and_goes_with_their_rows() {
    let row = |n: u64| format!("{n},{},{:-<40}", n % 100, format!("name {n}"));
    let change = |n: u64| {
        let before = serde_json::json!({"id": n, "g": n % 100, "name": format!("{:-<40}", format!("name {n}"))});
        format!("{}\n", serde_json::json!({"table": "t", "op": "delete", "before": before}))
    };
    let held = |changes: &str| -> std::collections::BTreeMap<String, u64> {
        let program = Program::new();
        program.write("spec.yaml", OPERATORS);
        program.write("t.csv", &format!("id,g,name\n{}\n", (0..20_000).map(row).collect::<Vec<_>>().join("\n")));
        program.write("changes.jsonl", changes);
        let run = program.run(&["run", "spec.yaml", "--state", "state", "--json", "--until-caught-up"]);
        assert_eq!(run.code, Some(0), "{}", run.stderr);
        let memory = run.stdout.lines().find(|line| line.contains("\"event\":\"memory\"")).expect("what was held is told in the end");
        let memory: serde_json::Value = serde_json::from_str(memory).unwrap();
        let held = memory["held"].as_array().unwrap().iter().filter(|held| held.get("rows").is_none());
        held.map(|held| (held["name"].as_str().unwrap().to_string(), held["bytes"].as_u64().unwrap())).collect()
    };
    let all = held("");
    let rest: String = (200..20_000).map(change).collect();
    let few = held(&format!("{{\"begin\": true}}\n{rest}{{\"commit\": true}}\n"));
    for view in ["names: group by", "first: first 3", "running: window over", "copies: rows by key", "below: recursion"] {
        let of = |held: &std::collections::BTreeMap<String, u64>| {
            held.iter().filter(|(name, _)| name.starts_with(view)).map(|(_, bytes)| bytes).sum::<u64>()
        };
        let (all, few) = (of(&all), of(&few));
        // A row is some 64 bytes, and is in a tree or a table.
        assert!((20_000 * 64..20_000 * 500).contains(&all), "{view}: {all} bytes of 20,000 rows");
        // What tables of a hundred times the rows had room for stays.
        assert!(few < all / 2, "{view}: {all} bytes, and {few} of a hundredth of the rows");
    }
}

const ORDERS: usize = 30_000;
/// Some 136,000 rows, 16 MB as they are packed, and their documents come to 105 MB on either server.
const PEAK_MB: u64 = 160;

/// The most memory that a process had, in MB.
fn peak_mb(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("the process runs");
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("Linux tells it");
    peak.trim().strip_suffix(" kB").and_then(|kb| kb.parse::<u64>().ok()).expect("a number of kB") / 1024
}

async fn a_snapshot_takes_bounded_memory(kind: &str) {
    let shop = MysqlDatabase::create(kind).await;
    let program = Program::new();
    let made = program.run(&["generate", "--orders", &ORDERS.to_string(), "--into", &shop.root_url()]);
    assert_eq!(made.code, Some(0), "{}", made.stderr);
    let reference = include_str!("../dataflows/order_single_view.yaml");
    let (views, _) = reference.split_once("\nsinks:").expect("the reference spec has sinks");
    program.write("shop.yaml", &views.replace("mysql://tidemill:${SHOP_PASSWORD}@127.0.0.1:3306/ECommerceData", &shop.url()));
    let running = program.start(&["run", "shop.yaml", "--state", "state", "--json"]);
    let whole = format!("\"rows\":{ORDERS},");
    running.wait_for_stdout("all orders", |line| line.contains("\"event\":\"view\"") && line.contains(&whole));
    let peak = peak_mb(running.pid());
    assert!(peak < PEAK_MB, "{peak} MB at the most on {kind}");
    running.signal("TERM");
    assert_eq!(running.finish().code, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_takes_bounded_memory_from_mariadb() {
    a_snapshot_takes_bounded_memory("MARIADB").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_takes_bounded_memory_from_mysql() {
    a_snapshot_takes_bounded_memory("MYSQL").await;
}

/// The limits that `ulimit` sets: on data, and on the address space, of which a program takes more than it uses.
#[test]
fn a_run_that_gets_no_more_memory_says_so_and_loses_nothing() {
    let program = Program::of("sh").deadline(Duration::from_secs(240));
    program.write("shop.yaml", SPEC);
    program.write("customers.csv", "id,city\n1,one\n");
    let orders = |count: usize| -> String { (0..count).map(|n| format!("{n},{n},{n}\n")).collect() };
    for (letter, kb) in [('d', 250_000), ('v', 1_000_000)] {
        program.write("orders.csv", &format!("id,customer,total\n{}", orders(1000)));
        let run = format!("exec {} run shop.yaml --state state-{letter} --until-caught-up", env!("CARGO_BIN_EXE_tidemill"));
        let limited = format!("ulimit -{letter} {kb}; {run}");
        let ended = program.run(&["-c", &limited]);
        assert_eq!(ended.code, Some(0), "a small one fits: {}", ended.stderr);

        std::fs::remove_dir_all(program.folder().join(format!("state-{letter}"))).unwrap();
        program.write("orders.csv", &format!("id,customer,total\n{}", orders(2_500_000)));
        let ended = program.run(&["-c", &limited]);
        assert_eq!(ended.code, Some(1), "{}", ended.stderr);
        let error = ended.stderr.split_once("error: ").expect("an error").1;
        assert!(
            error.starts_with("no memory for ") && error.contains(" bytes more\n   = help: raise the limit (`ulimit -v`"),
            "{}",
            ended.stderr
        );
        assert!(!ended.stderr.contains("backtrace"), "{}", ended.stderr);
        // With more it goes on.
        let ended = program.run(&["-c", &run]);
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    }
}
