//! Views of a film rental shop whose foreign keys all act: while the engine runs, after it was killed, and against SQL.

use std::collections::BTreeSet;

use mysql_async::Conn;
use mysql_async::prelude::Queryable;

use super::random::Random;
use super::support::{MysqlDatabase, OwnServer, Program};

const TABLES: [&str; 6] = [
    "CREATE TABLE city (id INT PRIMARY KEY, name VARCHAR(30))",
    "CREATE TABLE customer (id INT PRIMARY KEY, city INT, name VARCHAR(30), FOREIGN KEY (city) REFERENCES city (id) ON DELETE CASCADE ON \
     UPDATE CASCADE)",
    "CREATE TABLE film (code VARCHAR(10) PRIMARY KEY, title VARCHAR(30))",
    "CREATE TABLE stock (film VARCHAR(10), number INT, PRIMARY KEY (film, number), FOREIGN KEY (film) REFERENCES film (code) ON DELETE \
     CASCADE ON UPDATE CASCADE)",
    "CREATE TABLE rental (id INT PRIMARY KEY, customer INT, film VARCHAR(10), number INT, FOREIGN KEY (customer) REFERENCES customer (id) ON \
     DELETE CASCADE ON UPDATE CASCADE, FOREIGN KEY (film, number) REFERENCES stock (film, number) ON DELETE SET NULL ON UPDATE CASCADE)",
    "CREATE TABLE payment (id INT PRIMARY KEY, rental INT, cents INT, FOREIGN KEY (rental) REFERENCES rental (id) ON DELETE CASCADE ON UPDATE \
     CASCADE)",
];

/// `city` and `stock` are read by no view.
const VIEWS: &str = r#"
views:
  customers:
    from: shop.customer
    lookup:
      - {from: shop.rental, path: rentals, type: array, on: {id: customer}}
      - {from: shop.payment, path: rentals.payments, type: array, on: {rentals.id: rental}}
  by_film:
    sql: SELECT film, count(*) AS rentals FROM shop.rental WHERE film IS NOT NULL GROUP BY film
"#;

const CUSTOMERS: i32 = 12;

fn statement(random: &mut Random) -> String {
    let (city, customer, film) = (random.below(5), 1 + random.below(CUSTOMERS as usize), random.below(6));
    let id = 1 + random.below(60);
    match random.below(14) {
        0 => format!("INSERT IGNORE INTO city VALUES ({city}, 'c{city}')"),
        1 => format!("REPLACE INTO city VALUES ({city}, 'again')"),
        2 => format!("UPDATE city SET id = id + 1 WHERE id >= {city} ORDER BY id DESC"),
        3 => format!("INSERT INTO customer VALUES ({customer}, (SELECT min(id) FROM city), 'n') ON DUPLICATE KEY UPDATE name = 'm'"),
        4 => format!("UPDATE customer SET id = {customer} WHERE id = {}", 1 + random.below(CUSTOMERS as usize)),
        5 => format!("DELETE FROM customer WHERE id = {customer}"),
        6 => format!("INSERT INTO film VALUES ('F{film}', 't') ON DUPLICATE KEY UPDATE code = 'G{film}'"),
        7 => format!("INSERT IGNORE INTO stock SELECT code, {film} FROM film"),
        8 => format!("DELETE FROM stock WHERE number = {film}"),
        9 | 10 => format!(
            "INSERT IGNORE INTO rental SELECT {id}, {customer}, film, number FROM stock ORDER BY number = {film} DESC, film LIMIT 1"
        ),
        11 => format!("UPDATE rental SET id = id + 100 WHERE id = {id}"),
        12 => format!("INSERT IGNORE INTO payment SELECT {id}, max(id), {film} FROM rental WHERE id <= {}", id + 30),
        _ => format!("DELETE FROM city WHERE id = {city}"),
    }
}

async fn transaction(conn: &mut Conn, random: &mut Random) {
    conn.query_drop("BEGIN").await.unwrap();
    for _ in 0..1 + random.below(4) {
        // A statement that fails is undone by the server.
        let _ = conn.query_drop(statement(random)).await;
    }
    conn.query_drop("COMMIT").await.unwrap();
}

/// Every payment with what is above it, and every rental and customer without any below.
async fn at_the_server(conn: &mut Conn) -> (BTreeSet<String>, BTreeSet<String>) {
    let query = "SELECT CONCAT_WS('/', c.id, COALESCE(c.city, '-'), COALESCE(r.id, '-'), COALESCE(r.film, '-'), COALESCE(p.id, '-'), \
                 COALESCE(p.cents, '-')) FROM customer c LEFT JOIN rental r ON r.customer = c.id LEFT JOIN payment p ON p.rental = r.id";
    let customers = conn.query::<String, _>(query).await.unwrap().into_iter().collect();
    let query = "SELECT CONCAT(film, ' ', COUNT(*)) FROM rental WHERE film IS NOT NULL GROUP BY film";
    (customers, conn.query::<String, _>(query).await.unwrap().into_iter().collect())
}

fn stored(program: &Program) -> (BTreeSet<String>, BTreeSet<String>) {
    let rows = |view: &str| {
        let got = program.run(&["get", view, "--state", "shop.state"]);
        assert_eq!(got.code, Some(0), "{}", got.stderr);
        got.stdout.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()).collect::<Vec<_>>()
    };
    let text = |value: &serde_json::Value| match value {
        serde_json::Value::Null => "-".to_string(),
        serde_json::Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let mut customers = BTreeSet::new();
    for customer in rows("customers") {
        let head = format!("{}/{}", text(&customer["id"]), text(&customer["city"]));
        let rentals = customer["rentals"].as_array().unwrap();
        if rentals.is_empty() {
            customers.insert(format!("{head}/-/-/-/-"));
        }
        for rental in rentals {
            let head = format!("{head}/{}/{}", text(&rental["id"]), text(&rental["film"]));
            let payments = rental["payments"].as_array().unwrap();
            if payments.is_empty() {
                customers.insert(format!("{head}/-/-"));
            }
            customers.extend(payments.iter().map(|payment| format!("{head}/{}/{}", text(&payment["id"]), text(&payment["cents"]))));
        }
    }
    let films = rows("by_film").iter().map(|row| format!("{} {}", text(&row["film"]), text(&row["rentals"]))).collect();
    (customers, films)
}

/// The engine is killed at a commit, or left running, and ends at every quiet moment.
async fn rounds(shop: &MysqlDatabase, seed: u64) {
    let mut conn = shop.connect().await;
    for table in TABLES {
        conn.query_drop(table).await.unwrap();
    }
    let random = &mut Random::new(seed);
    for _ in 0..30 {
        transaction(&mut conn, random).await;
    }
    let program = Program::new();
    program
        .write("shop.yaml", &format!("sources:\n  shop: {{kind: mysql, options: {{url: \"{}\", heartbeat_ms: 200}}}}{VIEWS}", shop.url()));
    let explained = program.run(&["explain", "shop.yaml"]);
    let kept = format!("shop.{}.stock: no view reads it, only its columns film, number are kept", shop.name);
    assert!(explained.stdout.contains(&kept), "{}{}", explained.stdout, explained.stderr);
    for round in 0..8 {
        let fault = format!("store.commit.{}_batch:{}=kill", if round % 2 == 0 { "before" } else { "after" }, 3 + random.below(20));
        let running = program.start_with(&[("TIDEMILL_FAULT", &fault)], &["run", "shop.yaml"]);
        for _ in 0..25 {
            transaction(&mut conn, random).await;
        }
        running.kill();
        let ended = program.run(&["run", "shop.yaml", "--until-caught-up"]);
        assert_eq!(ended.code, Some(0), "seed {seed}, round {round}: {}", ended.stderr);
        assert!(!ended.stderr.contains("captured again"), "seed {seed}, round {round}: {}", ended.stderr);
        assert_eq!(stored(&program), at_the_server(&mut conn).await, "seed {seed}, round {round}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn views_follow_what_foreign_keys_do_through_kills() {
    rounds(&MysqlDatabase::create("MARIADB").await, 1).await;
    let server = OwnServer::start("MYSQL", "--innodb-native-foreign-keys=ON");
    rounds(&MysqlDatabase::create_at("MYSQL", &server.url).await, 2).await;
}
