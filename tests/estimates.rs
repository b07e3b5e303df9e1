//! What `tidemill check` says that a first run takes, beside what the run takes: rows, memory and disk within a factor of two.

mod support;

use std::fmt::Write;
use std::time::Duration;

use mysql_async::prelude::Queryable;
use serde_json::Value;
use support::{MysqlDatabase, Program, eventually};
use tidemill_shop::TABLES;

const ORDERS: u64 = 10_000;

const VIEWS: &str = "\
views:
  orders:
    from: shop.ecom_orders
    lookup:
      - {from: shop.ecom_customers, path: customer, type: object, on: {customer_id: customer_id}}
      - {from: shop.ecom_order_payments, path: payments, type: array, on: {order_id: order_id}}
      - {from: shop.ecom_order_items, path: items, type: array, on: {order_id: order_id}}
      - {from: shop.ecom_products, path: items.product, type: object, on: {items.product_id: product_id}}
  revenue:
    sql: |
      SELECT c.customer_state AS state, sum(i.price) AS revenue
      FROM shop.ecom_order_items i
      JOIN shop.ecom_orders o ON i.order_id = o.order_id JOIN shop.ecom_customers c ON o.customer_id = c.customer_id
      GROUP BY c.customer_state
";

/// A `file` source over the files of the generated shop.
fn files() -> String {
    let mut text = String::from("sources:\n  shop:\n    kind: file\n    options:\n      tables:\n");
    for table in TABLES.iter().filter(|table| table.short != "sellers") {
        let columns: Vec<String> = table.columns.iter().map(|c| format!("{}: \"{}\"", c.name, c.ty)).collect();
        let key: Vec<&str> = table.key_columns().iter().map(|c| c.name).collect();
        let (name, file, key, columns) = (table.sql_name(), table.file_name("csv"), key.join(", "), columns.join(", "));
        writeln!(text, "        {name}: {{csv: {file}, key: [{key}], columns: {{{columns}}}}}").unwrap();
    }
    text
}

/// The figures of the block, in its order: rows, bytes read, memory, the most of it, disk, the most of it.
fn estimated(check: &str) -> [f64; 6] {
    let line = |name: &str| check.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_else(|| panic!("no `{name}` in\n{check}"));
    let (rows, read) = line("first capture: about ").split_once(" of ").unwrap();
    let (memory, most) = line("memory: about ").split_once("(the most during the capture: ").unwrap();
    let (disk, most_disk) = line("on disk: about ").split_once("(the most during the capture: ").unwrap();
    [rows, read, memory, most, disk, most_disk].map(number)
}

fn number(text: &str) -> f64 {
    let mut words = text.split([' ', ';', ')']);
    let number: f64 = words.next().unwrap().replace(',', "").parse().unwrap_or_else(|_| panic!("no number: {text}"));
    number
        * [("kB", 1e3), ("MB", 1e6), ("GB", 1e9)]
            .iter()
            .find(|unit| text.split([' ', ';', ')']).nth(1) == Some(unit.0))
            .map_or(1.0, |u| u.1)
}

fn assert_near(what: &str, estimated: f64, actual: f64) {
    assert!(estimated <= 2.0 * actual && actual <= 2.0 * estimated, "{what}: estimated {estimated}, but it is {actual}");
}

/// Runs the spec and compares. `rows`: of all tables that are read.
fn takes_what_is_estimated(program: &Program, rows: u64) {
    let check = program.run(&["check", "shop.yaml"]);
    assert_eq!((check.stderr.as_str(), check.code), ("", Some(0)), "{}", check.stdout);
    let [of_rows, _, memory, most, disk, most_disk] = estimated(&check.stdout);
    assert_near("rows", of_rows, rows as f64);
    assert!(most >= memory && most_disk >= disk, "{}", check.stdout);
    let running = program.start(&["run", "shop.yaml", "--json"]);
    let all = format!("\"rows\":{ORDERS},");
    running.wait_for_stdout("all orders", |line| line.contains("\"view\":\"orders\"") && line.contains(&all));
    let status = || -> Value { serde_json::from_str(&program.run(&["status", "--state", "shop.state", "--json"]).stdout).unwrap() };
    // What the load has freed is returned a moment later.
    let process = || status()["process_bytes"].as_f64().unwrap();
    eventually("memory of at most twice the estimate", Duration::from_secs(60), || (process() <= 2.0 * memory).then_some(()));
    assert_near("memory", memory, process());
    running.signal("TERM");
    assert_eq!(running.finish().code, Some(0));
    assert_near("disk", disk, status()["disk_bytes"].as_f64().unwrap());
    let again = program.run(&["check", "shop.yaml"]).stdout;
    assert!(again.contains("`shop.state` exists: a run goes on from it"), "{again}");
}

fn rows_of_shop() -> u64 {
    TABLES.iter().filter(|table| table.short != "sellers").map(|table| table.rows(ORDERS)).sum()
}

#[test]
fn the_shop_in_files_takes_what_is_estimated() {
    let program = Program::new();
    assert_eq!(program.run(&["generate", "--out", ".", "--orders", &ORDERS.to_string()]).code, Some(0));
    program.write("shop.yaml", &format!("{}{VIEWS}", files()));
    takes_what_is_estimated(&program, rows_of_shop());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_shop_on_servers_takes_what_is_estimated() {
    for kind in ["MARIADB", "MYSQL"] {
        let (program, database) = (Program::new(), MysqlDatabase::create(kind).await);
        let made = program.run(&["generate", "--into", &database.root_url(), "--orders", &ORDERS.to_string()]);
        assert_eq!(made.code, Some(0), "{}", made.stderr);
        program.write("shop.yaml", &format!("sources: {{shop: {{kind: mysql, options: {{url: \"{}\"}}}}}}\n{VIEWS}", database.url()));
        // The server has not looked at the rows that remain.
        let mut server = database.connect().await;
        let before = server.query_first::<u64, _>("SELECT COUNT(*) FROM ecom_order_payments").await.unwrap().unwrap();
        server.query_drop("DELETE FROM ecom_order_payments").await.unwrap();
        takes_what_is_estimated(&program, rows_of_shop() - before);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn long_values_that_are_rare_are_not_overlooked() {
    for kind in ["MARIADB", "MYSQL"] {
        let (program, database) = (Program::new(), MysqlDatabase::create(kind).await);
        let mut server = database.connect().await;
        server.query_drop("CREATE TABLE t (id INT PRIMARY KEY, v LONGBLOB)").await.unwrap();
        for some in (0..12_000).collect::<Vec<u32>>().chunks(4_000) {
            let rows: Vec<String> = some.iter().map(|id| format!("({id}, 'short')")).collect();
            server.query_drop(format!("INSERT INTO t VALUES {}", rows.join(", "))).await.unwrap();
        }
        server.query_drop("UPDATE t SET v = REPEAT('x', 2000000) WHERE id BETWEEN 6000 AND 6009").await.unwrap();
        server.query_drop("ANALYZE TABLE t").await.unwrap();
        let url = database.url();
        program.write(
            "shop.yaml",
            &format!("sources: {{shop: {{kind: mysql, options: {{url: \"{url}\"}}}}}}\nviews: {{t: {{from: shop.t}}}}\n"),
        );
        let check = program.run(&["check", "shop.yaml"]);
        let [rows, read, ..] = estimated(&check.stdout);
        assert_eq!(rows, 12_000.0, "{kind}");
        assert_near(kind, read, 20e6);
    }
}

#[test]
fn long_lines_and_tables_without_rows_are_counted() {
    let program = Program::new();
    let mut lines = String::from("id,text\n");
    for id in 0..100_000 {
        let text = if id == 50_000 { "x".repeat(6_000_000) } else { format!("text {id}") };
        writeln!(lines, "{id},{text}").unwrap();
    }
    program.write("a.csv", &lines);
    program.write("b.csv", "id\n");
    let tables = "a: {csv: a.csv, key: [id], columns: {id: int64, text: text}}, b: {csv: b.csv, key: [id], columns: {id: int64}}";
    let spec = "views:\n  a: {from: s.a, lookup: [{from: s.b, path: b, type: array, on: {id: id}}]}\n  b: {from: s.b}\n";
    program.write("s.yaml", &format!("sources: {{s: {{kind: file, options: {{tables: {{{tables}}}}}}}}}\n{spec}"));
    let check = program.run(&["check", "s.yaml"]);
    assert_eq!((check.stderr.as_str(), check.code), ("", Some(0)));
    let [rows, read, ..] = estimated(&check.stdout);
    assert_near("rows", rows, 100_000.0);
    assert_near("bytes", read, lines.len() as f64);
    assert!(check.stdout.contains("view b"), "{}", check.stdout);
}

#[test]
fn a_source_that_cannot_be_counted_is_named() {
    let log = std::path::absolute("fixtures/shop.binlog").unwrap();
    let program = Program::new();
    program.write(
        "shop.yaml",
        &format!("sources: {{shop: {{kind: file, options: {{binlog: [{}]}}}}}}\nviews: {{v: {{from: shop.ecom_orders}}}}\n", log.display()),
    );
    let check = program.run(&["check", "shop.yaml"]);
    let expected = "first capture, memory and disk: not known\n  \
                    shop.ecom_orders belongs to a kind of source that does not count its rows\nok\n";
    assert!(check.stdout.ends_with(expected), "{}", check.stdout);
    assert_eq!(check.code, Some(0));
}

#[test]
fn a_disk_that_is_too_small_is_a_warning() {
    let program = Program::of("/bin/sh").env("TIDEMILL", env!("CARGO_BIN_EXE_tidemill"));
    program.write("a.csv", "id\n1\n");
    program.write("s.yaml", "sources: {s: {kind: file, options: {tables: {a: {csv: a.csv, key: [id]}}}}}\nviews: {a: {from: s.a}}\n");
    let script = "mkdir small && mount -t tmpfs -o size=24M tmpfs small || exit 9\n\"$TIDEMILL\" check s.yaml --state small/state > out";
    program.write("script.sh", script);
    let namespace = "unshare -m true 2> /dev/null && exec unshare -m sh script.sh || exec unshare -rm sh script.sh";
    let done = program.run(&["-c", namespace]);
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    let small = program.folder().join("small");
    let expected = format!(
        "warning: disk: with its journal, the state folder takes about 130 MB, and the file system of `{}` has 25 MB left\n   = fix:\n",
        small.display()
    );
    assert!(done.stderr.starts_with(&expected), "{}", done.stderr);
}
