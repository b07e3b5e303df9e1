//! The first thing a user gets, at full size and on real servers: the joined order document is in MongoDB and stays right to the
//! transaction.

mod support;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bson::{Document, doc};
use futures::TryStreamExt;
use mongodb::Collection;
use mysql_async::Conn;
use mysql_async::prelude::Queryable;
use support::{MongoDatabase, MysqlDatabase, Program, eventually_async};
use tidemill_shop::{Format, Shop};

const LONG: Duration = Duration::from_secs(240);

/// The reference view's spec, which users start from, pointed at the test's servers.
fn spec(shop: &MysqlDatabase, target: &MongoDatabase) -> String {
    let reference = include_str!("../dataflows/order_single_view.yaml");
    let spec = reference
        .replace("mysql://tidemill:${SHOP_PASSWORD}@127.0.0.1:3306/ECommerceData", &shop.url())
        .replace("mongodb://127.0.0.1:27017", &target.uri)
        .replace("collection: views.", &format!("collection: {}.", target.name));
    assert!(spec.contains(&shop.url()) && spec.contains(&target.name), "the reference spec is as this test knows it");
    spec
}

/// The shop in a database of its own, as its own SQL makes it.
async fn load_shop(kind: &str, orders: u64) -> MysqlDatabase {
    let database = MysqlDatabase::create(kind).await;
    let folder = tempfile::tempdir().unwrap();
    let files = Shop::new(1, orders).write(folder.path(), Format::Sql).unwrap();
    let mut connection = database.connect().await;
    for file in files {
        let sql = std::fs::read_to_string(&file).unwrap();
        for statement in sql.split(";\n").map(str::trim) {
            if !statement.is_empty() && !statement.starts_with("CREATE DATABASE") && !statement.starts_with("USE ") {
                connection.query_drop(statement).await.unwrap();
            }
        }
    }
    connection.disconnect().await.unwrap();
    database
}

#[tokio::test(flavor = "multi_thread")]
async fn the_order_document_stays_right_from_mariadb_to_mongodb() {
    the_order_document_stays_right("MARIADB").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_order_document_stays_right_from_mysql_to_mongodb() {
    the_order_document_stays_right("MYSQL").await;
}

async fn the_order_document_stays_right(kind: &str) {
    let shop = load_shop(kind, 99_441).await;
    let target = MongoDatabase::create().await;
    let program = Program::new().deadline(LONG);
    program.write("shop.yaml", &spec(&shop, &target));
    let first = program.run(&["run", "shop.yaml", "--until-caught-up"]);
    assert_eq!(first.code, Some(0), "{}", first.stderr);
    let documents = target.collection("orderSingleView");
    assert_eq!(documents.count_documents(doc! {}).await.unwrap(), 99_441);

    let running = program.start(&["run", "shop.yaml", "--json"]);
    let mut server = shop.connect().await;
    server.query_drop(NEW_ORDERS).await.unwrap();
    server.query_drop("CALL new_orders()").await.unwrap();
    wait_for_count(&documents, 99_451).await;
    let unknown = documents.find_one(doc! {"order_id": "new-order-3"}).await.unwrap().unwrap();
    assert_eq!(unknown.get("customer_info"), None, "an unknown customer is absent");
    assert_eq!(unknown.get_array("order_items").unwrap().len(), 0);

    let customers: Vec<String> = server.query("SELECT customer_id FROM ecom_customers ORDER BY customer_id LIMIT 10").await.unwrap();
    let before = cities(&documents).await;
    let listed = customers.iter().map(|c| format!("'{c}'")).collect::<Vec<_>>().join(",");
    server.query_drop("START TRANSACTION").await.unwrap();
    let update = format!("UPDATE ecom_customers SET customer_city = CONCAT('CITY_', customer_city) WHERE customer_id IN ({listed})");
    server.query_drop(update).await.unwrap();
    server.query_drop("COMMIT").await.unwrap();
    let mut expected = before.clone();
    let mut touched = 0;
    for (customer, city) in expected.values_mut() {
        if customers.contains(customer) {
            *city = format!("CITY_{city}");
            touched += 1;
        }
    }
    assert!(touched >= 10, "each of the ten has an order");
    eventually_async("the ten cities", LONG, async || {
        let changed = documents.count_documents(doc! {"customer_info.customer_city": {"$regex": "^CITY_"}}).await.unwrap();
        (changed == touched).then_some(())
    })
    .await;
    assert_eq!(cities(&documents).await, expected, "exactly those documents changed");
    assert_changed_in_one_step(&program, touched);
    assert_index_is_used(&target, &customers[0]).await;

    running.signal("TERM");
    let ended = running.finish();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let again = program.run(&["run", "shop.yaml", "--until-caught-up", "--json"]);
    assert_eq!(again.code, Some(0), "{}", again.stderr);
    assert!(!again.stdout.contains("\"event\":\"snapshot\""), "a restart takes no second snapshot");
    assert!(again.stdout.contains("\"written\":0"), "a restart writes nothing that did not change");
}

/// Ten orders of customers that are not there, in ten commits.
const NEW_ORDERS: &str = "CREATE PROCEDURE new_orders() BEGIN
  DECLARE n INT DEFAULT 0;
  WHILE n < 10 DO
    INSERT INTO ecom_orders (order_id, customer_id, order_status, order_purchase_timestamp, order_estimated_delivery_date)
      VALUES (CONCAT('new-order-', n), CONCAT('nobody-', n), 'created', '2018-09-01 10:00:00', '2018-09-20 00:00:00');
    COMMIT;
    SET n = n + 1;
  END WHILE;
END";

async fn wait_for_count(documents: &Collection<Document>, count: u64) {
    eventually_async("the number of documents", LONG, async || (documents.count_documents(doc! {}).await.unwrap() == count).then_some(()))
        .await;
}

/// Of each order its customer and that one's city.
async fn cities(documents: &Collection<Document>) -> BTreeMap<String, (String, String)> {
    let fields = doc! {"order_id": 1, "customer_id": 1, "customer_info.customer_city": 1};
    let mut found = documents.find(doc! {}).projection(fields).batch_size(10_000).await.unwrap();
    let mut cities = BTreeMap::new();
    while let Some(document) = found.try_next().await.unwrap() {
        let text = |name: &str| document.get_str(name).unwrap().to_string();
        let city = document.get_document("customer_info").map_or("", |c| c.get_str("customer_city").unwrap()).to_string();
        cities.insert(text("order_id"), (text("customer_id"), city));
    }
    cities
}

/// The ten orders came in ten ticks, the cities all in one.
fn assert_changed_in_one_step(program: &Program, touched: u64) {
    let log = program.run(&["tail", "order_single_view", "--state", "shop.state", "--until-caught-up"]);
    assert_eq!(log.code, Some(0), "{}", log.stderr);
    let mut ticks: BTreeMap<u64, u64> = BTreeMap::new();
    for line in log.stdout.lines() {
        let entry: serde_json::Value = serde_json::from_str(line).unwrap();
        *ticks.entry(entry["tick"].as_u64().unwrap()).or_default() += 1;
    }
    let last: Vec<u64> = ticks.values().rev().take(11).copied().collect();
    assert_eq!(last[0], touched);
    assert!(last[1..].iter().all(|n| *n == 1), "{last:?}");
}

async fn assert_index_is_used(target: &MongoDatabase, customer: &str) {
    let find = doc! {"find": "orderSingleView", "filter": {"customer_info.customer_id": customer}};
    let plan = target.database().run_command(doc! {"explain": find, "verbosity": "queryPlanner"}).await.unwrap();
    let text = plan.to_string();
    // MongoDB's words, and those of PostgreSQL below FerretDB.
    assert!(text.contains("IXSCAN") || text.contains("Index Scan"), "{text}");
    assert!(text.contains("customer_info.customer_id_1") && !text.contains("COLLSCAN") && !text.contains("Seq Scan"), "{text}");
}

/// A reader of the target reads all the time while 1,000 transactions of every sort run: each document that it ever sees is whole,
/// and what is there at the end is what the tables say.
#[tokio::test(flavor = "multi_thread")]
async fn a_reader_of_the_target_never_sees_half_a_document() {
    let shop = load_shop("MARIADB", 1_000).await;
    let target = MongoDatabase::create().await;
    let program = Program::new().deadline(LONG);
    program.write("shop.yaml", &spec(&shop, &target));
    let running = program.start(&["run", "shop.yaml", "--json"]);
    let documents = target.collection("orderSingleView");
    wait_for_count(&documents, 1_000).await;

    // The transactions keep this: an order's status says how many items it has. Half a transaction would show one without the other.
    let mut server = shop.connect().await;
    server
        .query_drop(
            "UPDATE ecom_orders SET order_status = (SELECT COUNT(*) FROM ecom_order_items i WHERE i.order_id = ecom_orders.order_id)",
        )
        .await
        .unwrap();
    eventually_async("every status to be a count", LONG, async || {
        let wrong = documents.count_documents(doc! {"$expr": {"$ne": ["$order_status", {"$toString": {"$size": "$order_items"}}]}}).await;
        (wrong.ok()? == 0).then_some(())
    })
    .await;
    let stop = Arc::new(AtomicBool::new(false));
    let reader = tokio::spawn(read_all_the_time(target.collection("orderSingleView"), stop.clone()));
    for n in 0..1_000 {
        mixed_transaction(&mut server, n).await;
    }
    server.query_drop("INSERT INTO ecom_orders (order_id, customer_id, order_status, order_purchase_timestamp, order_estimated_delivery_date) VALUES ('the-last', 'x', '0', NOW(), NOW())").await.unwrap();
    eventually_async("the last order", LONG, async || documents.find_one(doc! {"order_id": "the-last"}).await.unwrap()).await;
    stop.store(true, Ordering::Release);
    let read = reader.await.unwrap();
    assert!(read > 1_000, "only {read} documents were read");

    let expected: BTreeMap<String, u64> = server
        .query("SELECT o.order_id, (SELECT COUNT(*) FROM ecom_order_items i WHERE i.order_id = o.order_id) FROM ecom_orders o")
        .await
        .unwrap()
        .into_iter()
        .collect();
    // The last order may be there before the deletes of the ticks that went out together with it.
    eventually_async("the collection to be what the tables say", LONG, async || {
        let mut found = BTreeMap::new();
        let mut all = documents.find(doc! {}).await.ok()?;
        while let Some(document) = all.try_next().await.ok()? {
            found.insert(document.get_str("order_id").unwrap().to_string(), document.get_array("order_items").unwrap().len() as u64);
        }
        (found == expected).then_some(())
    })
    .await;
    running.signal("INT");
    assert_eq!(running.finish().code, Some(0));
}

/// Adds or takes an item of an order, moves one to another order, or deletes an order with its items and puts a new one in its place.
async fn mixed_transaction(server: &mut Conn, n: u32) {
    let pick = format!("(SELECT order_id FROM (SELECT order_id FROM ecom_orders ORDER BY order_id LIMIT {}, 1) x)", (n * 37) % 900);
    let recount = |order: &str| {
        format!(
            "UPDATE ecom_orders SET order_status = (SELECT COUNT(*) FROM ecom_order_items i WHERE i.order_id = {order}) WHERE order_id = {order}"
        )
    };
    let statements = match n % 4 {
        0 => vec![
            format!("SET @o = {pick}"),
            format!(
                "INSERT INTO ecom_order_items SELECT @o, 1000 + {n}, product_id, seller_id, shipping_limit_date, price, freight_value FROM ecom_order_items LIMIT 1"
            ),
            recount("@o"),
        ],
        1 => vec![
            format!("SET @o = {pick}"),
            "DELETE FROM ecom_order_items WHERE order_id = @o ORDER BY order_item_id DESC LIMIT 1".to_string(),
            recount("@o"),
        ],
        2 => vec![
            "SET @o = (SELECT order_id FROM ecom_order_items ORDER BY order_id LIMIT 1)".to_string(),
            format!("SET @p = {pick}"),
            format!(
                "UPDATE ecom_order_items SET order_id = @p, order_item_id = 5000 + {n} WHERE order_id = @o ORDER BY order_item_id LIMIT 1"
            ),
            recount("@o"),
            recount("@p"),
        ],
        _ => vec![
            format!("SET @o = {pick}"),
            "DELETE FROM ecom_order_items WHERE order_id = @o".to_string(),
            "DELETE FROM ecom_orders WHERE order_id = @o".to_string(),
            format!(
                "INSERT INTO ecom_orders (order_id, customer_id, order_status, order_purchase_timestamp, order_estimated_delivery_date) VALUES ('again-{n}', 'c', '0', NOW(), NOW())"
            ),
        ],
    };
    server.query_drop("START TRANSACTION").await.unwrap();
    for statement in statements {
        server.query_drop(&statement).await.unwrap_or_else(|error| panic!("{statement}: {error}"));
    }
    server.query_drop("COMMIT").await.unwrap();
}

/// Reads the whole collection again and again; how many documents it met, every one of them whole.
async fn read_all_the_time(documents: Collection<Document>, stop: Arc<AtomicBool>) -> u64 {
    let mut read = 0;
    while !stop.load(Ordering::Acquire) {
        let mut all = documents.find(doc! {}).await.unwrap();
        while let Some(document) = all.try_next().await.unwrap() {
            let items = document.get_array("order_items").unwrap();
            let status: usize = document.get_str("order_status").unwrap().parse().unwrap();
            assert_eq!(items.len(), status, "half a transaction is in {}", document.get_str("order_id").unwrap());
            for item in items {
                let item = item.as_document().unwrap();
                let seller = item.get_document("seller").unwrap();
                assert_eq!(seller.get("seller_id"), item.get("seller_id"), "an item without its seller");
            }
            read += 1;
        }
    }
    read
}
