//! The tables at the server, and the spec of what is made of them.
//!
//! What every transaction keeps: the balances of all accounts add up to 0, and an order's `total` is the sum of its items' amounts.

use serde_json::{Map, Value, json};

use super::support::{MongoDatabase, MysqlDatabase};

pub(crate) const ACCOUNTS: usize = 8;
pub(crate) const CUSTOMERS: usize = 25;
pub(crate) const PRODUCTS: usize = 10;
/// More than a chunk of a bulk load (6 MiB), and more than an event of a snapshot (1 MiB) several times. The 16 rows that a chunk has at
/// least, whatever the server says of the table's size, are more than a batch of staged rows (1 MiB).
const BALLAST: &str = "INSERT INTO ballast WITH RECURSIVE s AS (SELECT 0 n UNION ALL SELECT n + 1 FROM s WHERE n < 119) \
                       SELECT n, REPEAT(CHAR(97 + n % 26), 80000) FROM s";

const TABLES: [&str; 9] = [
    "CREATE TABLE accounts (id INT PRIMARY KEY, balance DECIMAL(12,2) NOT NULL)",
    "CREATE TABLE customers (id INT PRIMARY KEY, city VARCHAR(20) NOT NULL, region INT NOT NULL)",
    "CREATE TABLE products (id INT PRIMARY KEY, name VARCHAR(20), price DECIMAL(10,2) NOT NULL)",
    "CREATE TABLE orders (id INT PRIMARY KEY, customer INT NOT NULL, status VARCHAR(10), total DECIMAL(12,2) NOT NULL)",
    "CREATE TABLE items (order_id INT, n INT, product INT NOT NULL, qty INT NOT NULL, amount DECIMAL(10,2) NOT NULL, PRIMARY KEY (order_id, n))",
    // Without a key: equal rows are there more than once.
    "CREATE TABLE payments (order_id INT NOT NULL, amount DECIMAL(10,2), note VARCHAR(20))",
    "CREATE TABLE marks (id INT PRIMARY KEY)",
    "CREATE TABLE ballast (id INT PRIMARY KEY, pad MEDIUMTEXT NOT NULL)",
    // Nobody captures this one.
    "CREATE TABLE noise (id INT AUTO_INCREMENT PRIMARY KEY, text VARCHAR(50))",
];

/// A view of a query: its name, the query, and the server's own where that says it in other words.
pub(crate) struct Query {
    pub(crate) name: &'static str,
    ours: &'static str,
    server: Option<&'static str>,
}

impl Query {
    /// What the server is asked.
    pub(crate) fn at_the_server(&self) -> String {
        self.server.map_or_else(|| self.ours.replace("shop.", "").replace("keyed.", ""), String::from)
    }
}

const fn query(name: &'static str, ours: &'static str) -> Query {
    Query { name, ours, server: None }
}

const fn two(name: &'static str, ours: &'static str, server: &'static str) -> Query {
    Query { name, ours, server: Some(server) }
}

pub(crate) const QUERIES: [Query; 13] = [
    query("zero", "SELECT sum(balance) AS total, count(*) AS n FROM shop.accounts"),
    query(
        "torn",
        "SELECT o.id FROM shop.orders o LEFT JOIN (SELECT order_id, sum(amount) AS s FROM shop.items GROUP BY order_id) g \
         ON g.order_id = o.id WHERE o.total <> coalesce(g.s, 0)",
    ),
    query("balances", "SELECT id, balance FROM shop.accounts"),
    query("payments", "SELECT order_id, amount, note FROM shop.payments"),
    query("notes", "SELECT note, amount, count(*) AS n FROM shop.payments GROUP BY note, amount"),
    query("idle", "SELECT c.id, c.city FROM shop.customers c WHERE NOT EXISTS (SELECT 1 FROM shop.orders o WHERE o.customer = c.id)"),
    query("top", "SELECT id, total FROM shop.orders ORDER BY total DESC, id LIMIT 7"),
    query("ballast", "SELECT id % 7 AS k, count(*) AS n, max(pad) AS most FROM shop.ballast GROUP BY id % 7"),
    query("keyed_ballast", "SELECT id % 7 AS k, count(*) AS n, max(pad) AS most FROM keyed.ballast GROUP BY id % 7"),
    query("marks", "SELECT id FROM shop.marks"),
    query("keyed_marks", "SELECT id FROM keyed.marks"),
    two(
        "cities",
        "SELECT c.city, count(*) AS n, sum(i.qty) AS pieces, avg(i.qty) AS average, min(i.amount) AS least, max(i.amount) AS most \
         FROM shop.orders o JOIN shop.customers c ON c.id = o.customer JOIN shop.items i ON i.order_id = o.id GROUP BY c.city",
        "SELECT c.city, COUNT(*) AS n, SUM(i.qty) AS pieces, SUM(i.qty) * 1e0 / COUNT(*) AS average, MIN(i.amount) AS least, MAX(i.amount) AS most \
         FROM orders o JOIN customers c ON c.id = o.customer JOIN items i ON i.order_id = o.id GROUP BY c.city",
    ),
    two(
        "newest",
        "SELECT customer, latest_by_time(total, id) AS total, latest_by_time(status, id) AS status FROM keyed.orders GROUP BY customer",
        "SELECT o.customer, o.total, o.status FROM orders o JOIN (SELECT MAX(id) AS id FROM orders GROUP BY customer) newest ON newest.id = o.id",
    ),
];

/// The view of documents.
pub(crate) const ORDERS: &str = "orders";

/// What goes to MongoDB: into collections named like the views.
pub(crate) const SINKS: [&str; 3] = [ORDERS, "cities", "balances"];

pub(crate) async fn create(kind: &str) -> MysqlDatabase {
    let database = MysqlDatabase::create(kind).await;
    database.execute(&TABLES).await;
    let rows = |count: usize, row: &dyn Fn(usize) -> String| (0..count).map(row).collect::<Vec<_>>().join(", ");
    database
        .execute(&[
            &format!("INSERT INTO accounts VALUES {}", rows(ACCOUNTS, &|id| format!("({id}, 0)"))),
            &format!("INSERT INTO customers VALUES {}", rows(CUSTOMERS, &|id| format!("({id}, 'city {}', 0)", id % 6))),
            &format!("INSERT INTO products VALUES {}", rows(PRODUCTS, &|id| format!("({id}, 'product {id}', {id}.50)"))),
            BALLAST,
            // Its chunks are of the same size every time.
            "ANALYZE TABLE ballast",
        ])
        .await;
    database
}

pub(crate) fn spec(shop: &MysqlDatabase, target: &MongoDatabase) -> String {
    let mut views: Map<String, Value> = QUERIES.iter().map(|query| (query.name.into(), json!({"sql": query.ours}))).collect();
    let documents = json!({"from": "shop.orders", "lookup": [
        {"from": "shop.customers", "path": "customer_info", "type": "object", "on": {"customer": "id"}},
        {"from": "shop.items", "path": "items", "type": "array", "on": {"id": "order_id"},
         "aggregates": {"items_total": "sum(amount)", "items_count": "count(*)"}},
        {"from": "shop.products", "path": "items.product_info", "type": "object", "on": {"items.product": "id"}},
        {"from": "shop.payments", "path": "payments", "type": "array", "on": {"id": "order_id"}},
    ]});
    views.insert(ORDERS.into(), documents);
    let sink = |view: &&str| {
        let options = json!({"uri": target.uri, "collection": format!("{}.{view}", target.name)});
        (view.to_string(), json!({"kind": "mongodb", "view": view, "options": options}))
    };
    let sinks: Map<String, Value> = SINKS.iter().map(sink).collect();
    let source = json!({"kind": "mysql", "options": {"url": shop.url(), "heartbeat_ms": 200}});
    json!({
        // One is captured in one consistent read, because a table has no key, the other in chunks.
        "sources": {"shop": source, "keyed": source},
        "views": views,
        "sinks": sinks,
    })
    .to_string()
}
