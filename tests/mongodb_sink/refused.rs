//! Documents that the server refuses: each alone, with its reason, and gone from the target.

use bson::doc;
use serde_json::{Value, json};
use tidemill::sinks::{SinkChange, TargetRefusal, ViewShape};
use tidemill::value::{Column, Layout, Row, Schema, Type, key};

use crate::kit::{Orders, apply, at, order, order_document, row, sink_of, step};
use crate::support::MongoDatabase;

#[tokio::test(flavor = "multi_thread")]
async fn a_document_that_is_too_large_is_refused_alone_and_its_old_version_goes() {
    let orders = Orders::new().await;
    let (mut sink, _) = orders.opened().await;
    apply(&mut sink, &[1, 2].map(|id| orders.change(id, &Value::Null, &order(id, "a"))), 1).await;
    let secret = "secret".repeat(3_000_000);
    let large = order(1, &secret);
    let changes = [orders.change(1, &order(1, "a"), &large), orders.change(2, &order(2, "a"), &order(2, "b"))];
    let bytes = bson::serialize_to_vec(&order_document(1, &secret)).unwrap().len();
    let reason = format!(
        "the document has {bytes} bytes; MongoDB accepts at most 16777216: embed fewer children (`limit`, `where`) or fewer of their columns"
    );
    assert_eq!(step(&mut sink, &changes, 2).await, [TargetRefusal { key: orders.key(1), reason }]);
    assert_eq!(orders.ids().await, [2]);
    assert_eq!(orders.document(2).await, Some(order_document(2, "b")));
    apply(&mut sink, &[orders.change(1, &large, &order(1, "c"))], 3).await;
    assert_eq!(orders.document(1).await, Some(order_document(1, "c")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_document_that_the_server_refuses_is_refused_alone() {
    let database = MongoDatabase::create().await;
    let columns = vec![Column::new("k", Type::Text, false), Column::new("v", Type::Int32, true)];
    let shape = ViewShape { name: "texts".into(), schema: Schema::new(columns), key: vec![0], indexes: vec![] };
    let layout = Layout::new(&shape.schema);
    // Longer than an index of the test server takes, whatever it compresses.
    let mut state = 7u64;
    let long: String = (0..30_000)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            char::from(b'!' + (state >> 33) as u8 % 90)
        })
        .collect();
    let change = |k: &str, v: i32| {
        let row = row(&shape, &json!({"k": k, "v": v}));
        SinkChange { key: key::encode(&layout, &row, &[0]), before: None, after: Some(row) }
    };
    let mut sink = sink_of(&database, "texts");
    sink.open(&shape).await.unwrap();
    let texts: Vec<SinkChange> = (0..300).map(|i| change(&if i == 123 { long.clone() } else { format!("k{i}") }, i)).collect();
    let refused = step(&mut sink, &texts, 1).await;
    let keys: Vec<&Row> = refused.iter().map(|refused| &refused.key).collect();
    assert_eq!(keys, [&texts[123].key]);
    assert!(refused[0].reason.starts_with("MongoDB refuses the document: error "), "{}", refused[0].reason);
    assert_eq!(database.collection("texts").count_documents(doc! {}).await.unwrap(), 299);

    // The same in a full copy.
    let mut sink = sink_of(&database, "copied");
    sink.open(&shape).await.unwrap();
    let rows: Vec<(Row, Row)> = texts.iter().map(|c| (c.key.clone(), c.after.clone().unwrap())).collect();
    let refused = sink.copy(&rows).await.unwrap();
    sink.finish_copy(&at(1)).await.unwrap();
    assert_eq!(refused.iter().map(|refused| &refused.key).collect::<Vec<_>>(), [&texts[123].key]);
    assert_eq!(database.collection("copied").count_documents(doc! {}).await.unwrap(), 299);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_replacements_may_not_have_is_refused_with_its_document() {
    let database = MongoDatabase::create().await;
    let columns = vec![Column::new("k", Type::Int32, false), Column::new("$set", Type::Int32, true)];
    let shape = ViewShape { name: "names".into(), schema: Schema::new(columns), key: vec![0], indexes: vec![] };
    let layout = Layout::new(&shape.schema);
    let row = row(&shape, &json!({"k": 1, "$set": 2}));
    let change = SinkChange { key: key::encode(&layout, &row, &[0]), before: None, after: Some(row) };
    let mut sink = sink_of(&database, "names");
    sink.open(&shape).await.unwrap();
    let refused = step(&mut sink, &[change], 1).await;
    assert_eq!(refused[0].reason, "MongoDB refuses the document: error 52");
}

#[tokio::test(flavor = "multi_thread")]
async fn values_of_a_unique_index_may_change_places_in_one_step() {
    let orders = Orders::new().await;
    let (mut sink, _) = orders.opened().await;
    let unique = doc! {"createIndexes": "docs", "indexes": [{"key": {"customer_info.city": 1}, "name": "city", "unique": true}]};
    orders.database.database().run_command(unique).await.unwrap();
    apply(&mut sink, &[(1, "a"), (2, "b")].map(|(id, city)| orders.change(id, &Value::Null, &order(id, city))), 1).await;
    let swap = [orders.change(1, &order(1, "a"), &order(1, "b")), orders.change(2, &order(2, "b"), &order(2, "a"))];
    apply(&mut sink, &swap, 2).await;
    assert_eq!(orders.document(1).await, Some(order_document(1, "b")));
    assert_eq!(orders.document(2).await, Some(order_document(2, "a")));
    // One that keeps its value from another is refused, until the other goes.
    let reason = "a unique index of the collection has its value in another document: error 11000".to_string();
    let third = orders.change(3, &Value::Null, &order(3, "a"));
    assert_eq!(step(&mut sink, std::slice::from_ref(&third), 3).await, [TargetRefusal { key: orders.key(3), reason }]);
    apply(&mut sink, &[orders.change(2, &order(2, "a"), &Value::Null), third], 4).await;
    assert_eq!(orders.ids().await, [1, 3]);
}
