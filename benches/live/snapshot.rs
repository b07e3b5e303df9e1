//! From nothing to a durable view: rows per second from MariaDB through the whole engine.

use std::time::Instant;

use tokio::sync::watch;

use crate::support::MysqlDatabase;
use crate::{bar, engine};

pub(crate) async fn measure(shop: &MysqlDatabase, orders: u64, workers: usize, repeats: u32) {
    let mut rates = Vec::new();
    for _ in 0..repeats {
        rates.push(rows_per_s(shop, orders, workers).await);
    }
    rates.sort_by(f64::total_cmp);
    let median = rates[rates.len() / 2];
    println!("snapshot, {workers} worker{}", if workers == 1 { "" } else { "s" });
    bar("rows from MariaDB to the durable view", median, "rows/s", median >= 300_000.0, ">= 300000");
}

async fn rows_per_s(shop: &MysqlDatabase, orders: u64, workers: usize) -> f64 {
    let folder = tempfile::tempdir().expect("a folder");
    let start = Instant::now();
    let engine = engine::open(shop, None, &folder.path().join("state"), workers).await;
    let (store, report) = (engine.store().clone(), engine.report().clone());
    let (_stop, stopping) = watch::channel(false);
    engine.run(stopping).await.expect("the run ends well");
    let seconds = start.elapsed().as_secs_f64();
    let documents = store.view(engine::VIEW).expect("the view is there").len().expect("the store answers");
    assert_eq!(documents, orders, "a document for each order");
    let rows: u64 = report.sources().iter().flat_map(|source| &source.snapshot).map(|table| table.rows).sum();
    rows as f64 / seconds
}
