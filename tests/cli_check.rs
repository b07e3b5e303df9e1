//! `tidemill check`, `explain` and `schema` as a user runs them: output and exit codes.

mod support;

use support::Program;

const SHOP: &str = "\
sources:
  shop:
    kind: file
    options:
      tables:
        orders: {csv: orders.csv, key: [id]}
        items: {csv: items.csv, key: [id], columns: {price: \"decimal(10,2)\"}}
views:
  orders:
    from: shop.orders
    lookup:
      - {from: shop.items, path: items, type: array, on: {id: order_id}, exclude: order_id, aggregates: {total: sum(price)}}
";

fn shop() -> Program {
    let program = Program::new();
    program.write("orders.csv", "id,customer,day\n1,ann,2024-01-02\n2,bob,2024-01-03\n");
    program.write("items.csv", "id,order_id,price\n1,1,2.50\n2,1,3\n");
    program.write("shop.yaml", SHOP);
    program
}

#[test]
fn check_shows_tables_with_their_types_and_says_ok() {
    let done = shop().run(&["check", "shop.yaml"]);
    let expected = "\
source shop: file
  orders (key id): id int64 not null, customer text, day date
  items (key id): id int64 not null, order_id int64, price decimal(10,2)
view orders (key id): id, customer, day, items, total
ok
";
    assert_eq!((done.stdout.as_str(), done.stderr.as_str(), done.code), (expected, "", Some(0)));
}

#[test]
fn check_says_everything_that_is_wrong_and_ends_with_2() {
    let program = shop();
    let spec =
        SHOP.replace("shop.orders", "shop.order").replace("{id: order_id}", "{id: order}").replace("kind: file", "kind: file\n    knd: x");
    program.write("shop.yaml", &spec);
    let done = program.run(&["check", "shop.yaml"]);
    let expected = "\
error: `shop` takes no `knd`
  --> shop.yaml:4:5
   |     knd: x
   |     ^^^ keys: kind, options
   = help: did you mean `kind`?

error: `shop` has no table `order`
  --> shop.yaml:11:11
   |     from: shop.order
   |           ^^^^^^^^^^ tables: orders, items
   = help: did you mean `orders`?

error: `items` has no column `order`
  --> shop.yaml:13:63
   |       - {from: shop.items, path: items, type: array, on: {id: order}, exclude: order_id, aggregates: {total: sum(price)}}
   |                                                               ^^^^^ columns: id, price, order_id
   = help: did you mean `order_id`?

";
    assert_eq!((done.stderr.as_str(), done.code), (expected, Some(2)));
}

#[test]
fn check_of_a_file_that_cannot_be_read_says_so_and_what_else_can_be_known() {
    let program = shop();
    std::fs::remove_file(program.folder().join("items.csv")).unwrap();
    program.write("shop.yaml", &SHOP.replace("from: shop.items, path: items", "from: shop.items, path: other.items"));
    let done = program.run(&["check", "shop.yaml"]);
    assert!(done.stderr.contains("items.csv"), "{}", done.stderr);
    assert!(done.stderr.contains("error: no lookup has the path `other`"), "{}", done.stderr);
    assert_eq!(done.code, Some(2));
}

#[test]
fn check_offline_opens_no_source() {
    let program = shop();
    std::fs::remove_file(program.folder().join("items.csv")).unwrap();
    let done = program.run(&["check", "--offline", "shop.yaml"]);
    assert_eq!((done.stdout.as_str(), done.code), ("ok as far as can be seen without the sources\n", Some(0)));
}

#[test]
fn explain_prints_the_plan() {
    let done = shop().run(&["explain", "shop.yaml"]);
    let expected = "\
view orders key id
  shop.orders [1]
  └─ items: array, total: sum(price) of shop.items order id on id = order_id [2]

arrangements
  [1] shop.orders rows by id: id, customer, day; for orders
  [2] shop.items rows by order_id: id, price (not shown: order_id); for orders items
pruned columns
  none
";
    assert_eq!((done.stdout.as_str(), done.code), (expected, Some(0)));
}

#[test]
fn schema_knows_the_kinds_and_their_options() {
    let done = Program::new().run(&["schema"]);
    let schema: serde_json::Value = serde_json::from_str(&done.stdout).unwrap();
    let source = &schema["properties"]["sources"]["additionalProperties"];
    let kinds = source["properties"]["kind"]["enum"].as_array().unwrap();
    assert!(kinds.contains(&"file".into()));
    let file = source["allOf"].as_array().unwrap().iter().find(|rule| rule["if"]["properties"]["kind"]["const"] == "file").unwrap();
    assert!(file["then"]["properties"]["options"]["properties"]["tables"].is_object());
    assert_eq!(done.code, Some(0));
}

#[test]
fn a_spec_that_is_not_there_or_an_unknown_command_ends_with_2() {
    let done = Program::new().run(&["check", "none.yaml"]);
    let expected = "error: the spec cannot be read: No such file or directory (os error 2)\n  --> none.yaml\n";
    assert_eq!((done.stderr.as_str(), done.code), (expected, Some(2)));
    assert_eq!(Program::new().run(&["chek"]).code, Some(2));
}
