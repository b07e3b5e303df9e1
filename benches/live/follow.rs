//! From a commit at MariaDB to the new value in the store and in MongoDB.

use std::time::{Duration, Instant};

use bson::{Document, doc};
use mongodb::Collection;
use mysql_async::Conn;
use mysql_async::prelude::Queryable;
use tidemill::store::{Store, ViewReader};
use tidemill::value::{Datum, Layout, Type, key};
use tokio::sync::watch;

use crate::support::{MongoDatabase, MysqlDatabase};
use crate::{bar, engine};

/// How long the first copy into MongoDB and each update may take.
const PATIENCE: Duration = Duration::from_secs(300);

/// Updates cities to names that begin with `city`. Returns the median of the time until an update is visible in the store, in ms.
pub(crate) async fn measure(shop: &MysqlDatabase, orders: u64, updates: u32, city: &str) -> f64 {
    let folder = tempfile::tempdir().expect("a folder");
    let target = MongoDatabase::create().await;
    let start = Instant::now();
    let engine = engine::open(shop, Some(&target), &folder.path().join("state"), 1).await;
    let store = engine.store().clone();
    let (stop, stopping) = watch::channel(false);
    let running = tokio::spawn(engine.run(stopping));
    let documents = target.collection(engine::COLLECTION);
    first_copy(&documents, orders).await;
    println!("MongoDB has all documents {:.1} s after the start", start.elapsed().as_secs_f64());

    let mut server = shop.connect().await;
    let query = format!("SELECT customer_id, order_id FROM ecom_orders ORDER BY customer_id LIMIT {updates}");
    let pairs: Vec<(String, String)> = server.query(query).await.expect("MariaDB answers");
    let (mut in_store, mut in_mongodb, mut committed) = (Vec::new(), Vec::new(), Vec::new());
    for (n, (customer, order)) in pairs.iter().enumerate() {
        let city = format!("{city}_{n}");
        let begin = commit(&mut server, customer, &city).await;
        committed.push(begin.elapsed());
        let (stored, written) = tokio::join!(visible_in_store(&store, order, &city), visible_in_mongodb(&documents, order, &city));
        in_store.push(stored - begin);
        in_mongodb.push(written - begin);
    }
    server.disconnect().await.expect("MariaDB lets go");
    stop.send_replace(true);
    running.await.expect("the engine does not panic").expect("the run ends well");

    println!("single updates of a customer: {} commits, from sending COMMIT", pairs.len());
    let [server_p50, server_p99] = percentiles(committed);
    println!("  MariaDB itself has answered: p50 {server_p50:.1} ms, p99 {server_p99:.1} ms");
    let [p50, p99] = percentiles(in_store);
    bar("visible in the store, p50", p50, "ms", p50 < 5.0, "< 5");
    println!("  visible in the store, p99 {p99:.1} ms");
    let [mongodb_p50, mongodb_p99] = percentiles(in_mongodb);
    bar("visible in MongoDB, p50", mongodb_p50, "ms", mongodb_p50 < 20.0, "< 20");
    bar("visible in MongoDB, p99", mongodb_p99, "ms", mongodb_p99 < 100.0, "< 100");
    p50
}

async fn first_copy(documents: &Collection<Document>, orders: u64) {
    let all = async {
        while documents.count_documents(doc! {}).await.expect("MongoDB answers") < orders {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    tokio::time::timeout(PATIENCE, all).await.expect("all documents come");
}

/// When the COMMIT was sent.
async fn commit(server: &mut Conn, customer: &str, city: &str) -> Instant {
    server.query_drop("START TRANSACTION").await.expect("MariaDB answers");
    let update = "UPDATE ecom_customers SET customer_city = ? WHERE customer_id = ?";
    server.exec_drop(update, (city, customer)).await.expect("MariaDB takes it");
    let begin = Instant::now();
    server.query_drop("COMMIT").await.expect("MariaDB commits");
    begin
}

async fn visible_in_store(store: &Store, order: &str, city: &str) -> Instant {
    let mut committed = store.committed();
    let view = store.view(engine::VIEW).expect("the view is there");
    let mut id = Vec::new();
    key::push(&Type::Text, Datum::Text(order), &mut id);
    let looked = async {
        loop {
            committed.mark_unchanged();
            if city_of(&view, &id).as_deref() == Some(city) {
                return Instant::now();
            }
            committed.changed().await.expect("the store stays");
        }
    };
    tokio::time::timeout(PATIENCE, looked).await.expect("the update comes to the store")
}

fn city_of(view: &ViewReader, id: &[u8]) -> Option<String> {
    let row = view.get(id).expect("the store answers")?;
    let document = Layout::new(view.schema());
    let customer = document.schema().index_of("customer_info")?;
    let Datum::Struct(info) = document.get(&row, customer) else { return None };
    let info_layout = document.nested(customer)?;
    match info_layout.get(info, info_layout.schema().index_of("customer_city")?) {
        Datum::Text(city) => Some(city.to_string()),
        _ => None,
    }
}

async fn visible_in_mongodb(documents: &Collection<Document>, order: &str, city: &str) -> Instant {
    let fields = doc! {"customer_info.customer_city": 1};
    let looked = async {
        loop {
            let found = documents.find_one(doc! {"_id": order}).projection(fields.clone()).await.expect("MongoDB answers");
            let found = found.expect("the document is there");
            let info = found.get_document("customer_info").expect("its customer is there");
            if info.get_str("customer_city").ok() == Some(city) {
                return Instant::now();
            }
        }
    };
    tokio::time::timeout(PATIENCE, looked).await.expect("the update comes to MongoDB")
}

/// p50 and p99 in ms.
fn percentiles(mut took: Vec<Duration>) -> [f64; 2] {
    took.sort();
    [took.len() / 2, took.len() * 99 / 100].map(|at| took[at].as_secs_f64() * 1e3)
}
