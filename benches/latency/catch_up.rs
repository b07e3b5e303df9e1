//! A log of single-row transactions that was written while no engine ran.

use std::time::Instant;

use mysql_async::prelude::Queryable;

use crate::engine::{Engine, ROWS};
use crate::log;

const CONNECTIONS: u64 = 8;

pub(crate) async fn measure(transactions: u32) {
    let engine = Engine::new(0).await;
    tokio::task::block_in_place(|| engine.catch_up());
    let position = engine.position().await;
    let each = u64::from(transactions) / CONNECTIONS;
    let mut writers = Vec::new();
    for number in 0..CONNECTIONS {
        let mut server = engine.database.connect().await;
        writers.push(tokio::spawn(async move {
            for n in 1..=each {
                let id = (n * CONNECTIONS + number) % ROWS;
                server.exec_drop("UPDATE t SET seq = ? WHERE id = ?", (n * CONNECTIONS + number, id)).await.expect("MariaDB takes it");
            }
            server.disconnect().await.expect("MariaDB lets go");
        }));
    }
    for writer in writers {
        writer.await.expect("a writer does not panic");
    }
    let last = u64::MAX >> 2;
    engine.database.execute(&[&format!("UPDATE t SET seq = {last} WHERE id = 0")]).await;
    let begin = Instant::now();
    let rows = log::read(&engine, position, Some(last), None).await;
    let plain = begin.elapsed().as_secs_f64();
    let begin = Instant::now();
    tokio::task::block_in_place(|| engine.catch_up());
    let caught_up = begin.elapsed().as_secs_f64();
    println!("catching up {rows} transactions of one row each, three views, no sink, one worker");
    println!("  the plain reader {:>10.0} rows/s", rows as f64 / plain);
    println!("  durable here     {:>10.0} rows/s, start and end of the process among it", rows as f64 / caught_up);
}
