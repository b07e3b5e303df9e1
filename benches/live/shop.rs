//! The shop on MariaDB, in a database of its own.

use std::time::Instant;

use mysql_async::prelude::Queryable;
use tidemill_shop::{Format, Shop};

use crate::support::MysqlDatabase;

pub(crate) async fn load(orders: u64) -> MysqlDatabase {
    let start = Instant::now();
    let database = MysqlDatabase::create("MARIADB").await;
    let folder = tempfile::tempdir().expect("a folder");
    let files = Shop::new(1, orders).write(folder.path(), Format::Sql).expect("the disk takes the shop");
    let mut server = database.connect().await;
    for file in files {
        let sql = std::fs::read_to_string(&file).expect("it was written");
        let statements = sql.split(";\n").map(str::trim).filter(|s| !s.is_empty());
        // The database is the one that is chosen, not the one that the file makes.
        for statement in statements.filter(|s| !s.starts_with("CREATE DATABASE") && !s.starts_with("USE ")) {
            server.query_drop(statement).await.expect("MariaDB takes the shop");
        }
    }
    server.disconnect().await.expect("MariaDB lets go");
    println!("a shop of {orders} orders in MariaDB, loaded in {:.1} s", start.elapsed().as_secs_f64());
    database
}

/// Adds the foreign keys of the shop, with the actions that some frameworks give every key.
pub(crate) async fn add_foreign_keys(database: &MysqlDatabase) {
    let mut server = database.connect().await;
    for (child, column, parent) in [
        ("orders", "customer_id", "customers"),
        ("order_items", "order_id", "orders"),
        ("order_items", "product_id", "products"),
        ("order_items", "seller_id", "sellers"),
        ("order_payments", "order_id", "orders"),
    ] {
        let statement = format!(
            "ALTER TABLE ecom_{child} ADD FOREIGN KEY ({column}) REFERENCES ecom_{parent} ({column}) ON DELETE CASCADE ON UPDATE CASCADE"
        );
        server.query_drop(statement).await.expect("every value of the shop is in its parent");
    }
    server.disconnect().await.expect("MariaDB lets go");
}
