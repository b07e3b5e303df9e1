//! Documents and rows of every shape, and keys of many types.

use super::kit::{assert_same, catch_up, printed, spec, stored};
use super::support::{MysqlDatabase, Program};

const TABLES: [&str; 10] = [
    "CREATE TABLE customers (id INT PRIMARY KEY, name VARCHAR(40) COLLATE utf8mb4_general_ci, city VARCHAR(20) CHARACTER SET latin1, credit \
     DECIMAL(10,2), since DATETIME(3))",
    "CREATE TABLE orders (id BIGINT UNSIGNED PRIMARY KEY, customer INT, placed DATETIME(3), boss BIGINT UNSIGNED, KEY (customer))",
    "CREATE TABLE items (order_id BIGINT UNSIGNED, line INT, product VARCHAR(20) COLLATE utf8mb4_general_ci, vat DECIMAL(4,2), PRIMARY KEY \
     (order_id, line))",
    "CREATE TABLE products (code VARCHAR(20) COLLATE utf8mb4_bin PRIMARY KEY, title VARCHAR(20), weight FLOAT, sent DOUBLE)",
    "CREATE TABLE product_tags (product VARCHAR(20) COLLATE utf8mb4_unicode_ci, tag BINARY(2), PRIMARY KEY (product, tag))",
    "CREATE TABLE tags (tag BINARY(2) PRIMARY KEY, name VARCHAR(20))",
    "CREATE TABLE rates (vat DECIMAL(6,2), label VARCHAR(20))",
    "CREATE TABLE places (city VARCHAR(20) CHARACTER SET utf8mb4, note VARCHAR(20), KEY (city))",
    "CREATE TABLE days (placed DATETIME PRIMARY KEY, year YEAR, at TIME(2), day DATE, note VARCHAR(20), KEY (day, at))",
    "CREATE TABLE weights (weight FLOAT, sent DOUBLE, note VARCHAR(20))",
];

const ROWS: [&str; 10] = [
    "INSERT INTO customers VALUES (1, 'Ann', 'Zürich', 10.50, '2024-01-01 10:00:00'), (2, 'ann', 'Bern', 3, NULL), (-3, 'Bob', 'Zürich', NULL, \
     '2024-01-02 00:00:00'), (4, 'Bob ', '?', -7.25, '2024-01-01 10:00:00'), (5, NULL, 'bern', 10.50, NULL)",
    "INSERT INTO orders VALUES (1, 1, '2024-01-01 10:00:00', NULL), (2, 1, '2024-01-02 00:00:00.250', 1), (18446744073709551615, -3, \
     '2024-01-01 10:00:00', 2), (7, 99, NULL, 7), (8, NULL, '2024-01-01 10:00:00', 1)",
    "INSERT INTO items VALUES (1, 1, 'A', 7.70), (1, 2, 'a', 2.50), (1, 3, 'B ', 7.70), (2, 1, 'é', 7.70), (18446744073709551615, 1, 'A', 2.5), \
     (7, 1, 'none', NULL)",
    "INSERT INTO products VALUES ('A', 'Apple', 0.1, 0.1), ('a', 'small apple', 0.5, -0.0), ('B ', 'Bean', 3, 1e300), ('Bean', 'whole', 4, 12345.678), ('é', 'acute', 5, 0), ('e', 'plain', 0.1, 0.1)",
    "INSERT INTO product_tags VALUES ('A', 'x'), ('A', 0x0001), ('B ', 0x0001), ('é', 'x'), ('é', 'zz')",
    "INSERT INTO tags VALUES ('x', 'cross'), (0x0001, 'one'), ('X', 'upper')",
    "INSERT INTO rates VALUES (7.7, 'old'), (7.7, 'old'), (8.1, 'new'), (2.5, 'low'), (NULL, 'none')",
    "INSERT INTO places VALUES ('Zürich', 'big'), ('zürich', 'small'), ('Zurich', 'plain'), ('Bern', 'bears'), ('?', 'question'), ('漢', \
     'other')",
    "INSERT INTO days VALUES ('2024-01-01 10:00:00', 2024, '-10:00:00.5', '2024-01-01', 'first'), ('2024-01-02 00:00:00', 1901, '838:59:59', \
     '2024-02-29', 'second'), ('2024-01-03 00:00:00', 2024, '-10:00:00.5', '2024-01-01', 'third')",
    "INSERT INTO weights VALUES (0.1, 0.1, 'tenth'), (0.5, 0, 'half'), (5, 0, 'five'), (3, 1e300, 'huge')",
];

const VIEWS: &str = r#"
  orders:
    from: shop.orders
    lookup:
      - {from: shop.customers, path: customer_info, type: object, on: {customer: id}, missing: null}
      - {from: shop.places, path: customer_info.places, type: array, on: {customer_info.city: city}}
      - {from: shop.items, path: items, type: array, on: {id: order_id}, order_by: line desc, limit: 2, aggregates: {lines: count()}}
      - {from: shop.products, path: items.product_info, type: object, on: {items.product: code}}
      - {from: shop.product_tags, path: items.product_info.tags, type: array, on: {items.product_info.code: product}}
      - {from: shop.tags, path: items.product_info.tags.tag_info, type: object, on: {items.product_info.tags.tag: tag}}
      - {from: shop.rates, path: items.rates, type: array, on: {items.vat: vat}}
      - {from: shop.days, path: "", prefix: day_, on: {placed: placed}, columns: [note]}
      - {from: shop.orders, path: below, type: array, on: {id: boss}}
  lines:
    from: shop.items
    lookup: [{from: shop.products, path: products, type: array, on: {product: code}}]
  names:
    from: shop.customers
    where: credit is null or credit > 0
    columns: [name, id, {start: "lower(substr(name, 1, 1))"}]
    lookup:
      - {from: shop.customers, path: alike, type: array, on: {start: start}, compute: {start: "lower(substr(name, 1, 1))"}, exclude: start}
      - {from: shop.products, path: named, type: array, on: {start: code}}
  cities: {from: shop.places, key: note}
  weights:
    from: shop.weights
    key: note
    lookup: [{from: shop.products, path: products, type: array, on: {weight: weight, sent: sent}}]
  days:
    from: shop.days
    lookup: [{from: shop.days, path: same, type: array, on: {day: day, at: at, year: year}}]
  per_customer: {sql: "SELECT customer, count(*) AS orders, max(id) AS newest FROM shop.orders WHERE customer IS NOT NULL GROUP BY customer"}
  customers:
    from: shop.customers
    lookup:
      - {from: per_customer, path: totals, type: object, on: {id: customer}}
      - {from: shop.items, path: totals.items, type: array, on: {totals.newest: order_id}}
  newest:
    sql: SELECT customer, max(id) AS newest FROM shop.orders WHERE customer > 0 GROUP BY customer
    lookup: [{from: shop.orders, path: order, type: object, on: {newest: id}}]
  totals:
    from: per_customer
    lookup: [{from: shop.customers, path: who, type: object, on: {customer: id}}]
"#;

const KEYS: [(&str, &[&str]); 10] = [
    ("orders", &["id"]),
    ("lines", &["order_id", "line"]),
    ("names", &["id"]),
    ("cities", &["note"]),
    ("weights", &["note"]),
    ("days", &["placed"]),
    ("per_customer", &["customer"]),
    ("customers", &["id"]),
    ("newest", &["customer"]),
    ("totals", &["customer"]),
];

#[tokio::test(flavor = "multi_thread")]
async fn documents_are_those_of_a_run() {
    for kind in ["MARIADB", "MYSQL"] {
        let shop = MysqlDatabase::create(kind).await;
        shop.execute(&["SET NAMES utf8mb4"]).await;
        shop.execute(&TABLES).await;
        shop.execute(&ROWS).await;
        let program = Program::new();
        program.write("shop.yaml", &spec(&shop, "", VIEWS));
        catch_up(&program);
        for (view, key) in KEYS {
            assert_same(&program, view, key);
        }
        // Without the name of a view all are shown.
        let (all, said) = printed(&program, &["preview", "shop.yaml", "-n", "1000"]);
        let expected: Vec<String> = KEYS.iter().flat_map(|(view, _)| stored(&program, view)).collect();
        let headings: String = KEYS.iter().map(|(view, _)| format!("{view}:\n")).collect();
        assert_eq!((all, said), (expected, headings), "{kind}");
        // The first column of a key alone.
        let (lines, _) = printed(&program, &["preview", "shop.yaml", "lines", "--key", "1"]);
        assert_eq!(lines, printed(&program, &["get", "lines", "1", "--state", "shop.state"]).0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_of_several_rows_is_not_shown() {
    let shop = MysqlDatabase::create("MARIADB").await;
    let tables = ["CREATE TABLE t (id INT PRIMARY KEY, name VARCHAR(20), KEY (name))", "INSERT INTO t VALUES (1, 'a'), (2, 'b'), (3, 'a')"];
    shop.execute(&tables).await;
    let program = Program::new();
    program.write("shop.yaml", &spec(&shop, "", "  v: {from: shop.t, key: name}\n"));
    catch_up(&program);
    let (rows, said) = printed(&program, &["preview", "shop.yaml", "v", "-n", "2"]);
    assert_eq!(rows, stored(&program, "v"));
    assert!(said.contains("warning: `v`: ") && said.contains("cannot be shown"), "{said}");
}
