//! Previews of files.

use std::fmt::Write;

use super::kit::{catch_up, printed, stored};
use super::support::Program;

const VIEWS: &str = r#"
views:
  orders:
    from: shop.orders
    lookup: [{from: shop.items, path: items, type: array, on: {id: order_id}}]
  sums: {sql: "SELECT order_id, sum(price) AS total FROM shop.items GROUP BY order_id"}
"#;

fn sources(changes: &str) -> String {
    format!(
        "sources:\n  shop:\n    kind: file\n    options:\n      tables:\n        orders: {{csv: orders.csv, key: [id], columns: {{id: int64, name: \
         text}}}}\n        items: {{csv: items.csv, key: [order_id, line], columns: {{order_id: int64, line: int64, price: int64}}}}\n{changes}{VIEWS}"
    )
}

#[test]
fn small_files_are_shown_with_their_changes() {
    let program = Program::new();
    program.write("orders.csv", "id,name\n1,one\n2,two\n3,three\nx,bad\n");
    program.write("items.csv", "order_id,line,price\n1,1,10\n1,2,20\n3,1,30\n");
    program.write(
        "changes.jsonl",
        "{\"table\": \"items\", \"op\": \"update\", \"before\": {\"order_id\": 1, \"line\": 2}, \"after\": {\"order_id\": 2}}\n",
    );
    program.write("shop.yaml", &sources("      changes: changes.jsonl\n"));
    catch_up(&program);
    for view in ["orders", "sums"] {
        let (rows, said) = printed(&program, &["preview", "shop.yaml", view]);
        assert_eq!(rows, stored(&program, view));
        assert_eq!(said.lines().count(), 1, "{said}");
        assert!(said.starts_with(&format!("warning: `{view}`: 1 record left out: shop.orders: ")), "{said}");
    }
    assert_eq!(printed(&program, &["preview", "shop.yaml", "orders", "--key", "2"]).0, stored(&program, "orders")[1..2]);
}

#[test]
fn large_files_are_read_until_there_is_enough() {
    let program = Program::new();
    let (mut orders, mut items) = (String::from("id,name\n"), String::from("order_id,line,price\n"));
    for id in 0..100_000 {
        writeln!(orders, "{id},{}", "a long name ".repeat(15)).unwrap();
        writeln!(items, "{id},1,{id}\n{id},2,7").unwrap();
    }
    program.write("orders.csv", &orders);
    program.write("items.csv", &items);
    program.write("shop.yaml", &sources(""));
    let (rows, said) = printed(&program, &["preview", "shop.yaml", "orders", "-n", "2"]);
    assert_eq!((rows.len(), said.as_str()), (2, ""));
    assert!(rows[1].ends_with(r#""items":[{"order_id":1,"line":1,"price":1},{"order_id":1,"line":2,"price":7}]}"#), "{rows:?}");
    let (rows, said) = printed(&program, &["preview", "shop.yaml", "sums", "-n", "1"]);
    assert_eq!(rows, [r#"{"order_id":0,"total":7}"#]);
    assert!(said.contains("computed of the first 10000 rows of shop.items"), "{said}");
}
