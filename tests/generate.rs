//! The generated shop on real servers: made whole, and changed as the model says.

mod support;

use std::collections::BTreeSet;

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Opts, OptsBuilder, Row, Value};
use support::{MysqlDatabase, server_url};
use tidemill_shop::{Cell, ChangingShop, ServerError, Shop, ShopRow, ShopServer, TABLES};

#[tokio::test(flavor = "multi_thread")]
async fn a_mariadb_has_what_the_model_has() {
    has_what_the_model_has("MARIADB").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mysql_has_what_the_model_has() {
    has_what_the_model_has("MYSQL").await;
}

async fn has_what_the_model_has(kind: &str) {
    let database = MysqlDatabase::create(kind).await;
    let url = format!("{}/{}", server_url(kind).trim_end_matches('/'), database.name);
    let shop = Shop::new(3, 300);
    let mut server = ShopServer::connect(&url).await.unwrap();
    assert_eq!(server.database, database.name);
    server.load(&shop, false).await.unwrap();
    let made: BTreeSet<String> = TABLES.iter().flat_map(|table| shop.rows(table.name)).map(|row| shown(&row)).collect();
    assert_eq!(rows_on(&url).await, made);

    let refused = server.load(&shop, false).await.unwrap_err();
    assert!(matches!(&refused, ServerError::Exists { tables, .. } if tables.split(", ").count() == 6), "{refused}");
    server.load(&shop, true).await.unwrap();

    let mut changing = ChangingShop::new(shop);
    server.keep_changing(&mut changing, f64::INFINITY, Some(500)).await.unwrap();
    server.disconnect().await.unwrap();
    let changed: BTreeSet<String> = changing.rows().map(|row| shown(&row)).collect();
    assert_ne!(changed, made);
    assert_eq!(rows_on(&url).await, changed);
}

fn shown(row: &ShopRow) -> String {
    let mut cells = Vec::new();
    row.cells(&mut cells);
    let text = |cell: &Cell| match cell {
        Cell::Null => "NULL".into(),
        Cell::Id(id) => format!("{id:032x}"),
        Cell::Zip(zip) => format!("{zip:05}"),
        Cell::Int(v) | Cell::Money(v) | Cell::Time(v) => v.to_string(),
        Cell::Text(text) => text.to_string(),
    };
    let texts: Vec<String> = cells.iter().map(text).collect();
    format!("{} {}", row.table().shape().short, texts.join(" | "))
}

async fn rows_on(url: &str) -> BTreeSet<String> {
    let options = OptsBuilder::from_opts(Opts::from_url(url).unwrap()).init(vec!["SET NAMES utf8mb4"]);
    let mut server = Conn::new(options).await.unwrap();
    let mut rows = BTreeSet::new();
    for table in &TABLES {
        let columns = table.columns.iter().map(|column| match column.ty {
            "datetime" => format!("TIMESTAMPDIFF(SECOND, '1970-01-01', {})", column.name),
            "decimal(10,2)" => format!("CAST({} * 100 AS SIGNED)", column.name),
            _ => column.name.to_string(),
        });
        let columns: Vec<String> = columns.collect();
        let found: Vec<Row> = server.query(format!("SELECT {} FROM {}", columns.join(", "), table.sql_name())).await.unwrap();
        for row in found {
            let texts: Vec<String> = row.unwrap().into_iter().map(text_of).collect();
            assert!(rows.insert(format!("{} {}", table.short, texts.join(" | "))));
        }
    }
    server.disconnect().await.unwrap();
    rows
}

fn text_of(value: Value) -> String {
    match value {
        Value::NULL => "NULL".into(),
        Value::Bytes(bytes) => String::from_utf8(bytes).unwrap(),
        other => panic!("the text protocol gives text, not {other:?}"),
    }
}
