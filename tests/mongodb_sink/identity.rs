//! What `_id`s, collections and positions are told apart by.

use bson::doc;
use serde_json::{Value, json};
use tidemill::sinks::{SinkChange, ViewShape};
use tidemill::value::{Column, Layout, Row, Schema, Type, key};

use crate::kit::{Orders, apply, at, order, order_document, row, sink_of};
use crate::support::MongoDatabase;

#[tokio::test(flavor = "multi_thread")]
async fn the_position_of_another_view_in_the_collection_is_not_taken() {
    let orders = Orders::new().await;
    let (mut sink, _) = orders.opened().await;
    apply(&mut sink, &[orders.change(1, &Value::Null, &order(1, "a"))], 1).await;
    let other = ViewShape { name: "other".into(), ..orders.shape.clone() };
    assert_eq!(orders.sink().open(&other).await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_that_differ_in_microseconds_are_documents_of_their_own() {
    let database = MongoDatabase::create().await;
    for (collection, ty, first, second) in [
        ("datetimes", "datetime(6)", json!("2017-10-02T10:56:33.000001"), json!("2017-10-02T10:56:33.000002")),
        ("timestamps", "timestamp(6)", json!("2017-10-02T10:56:33.000001Z"), json!("2017-10-02T10:56:33.000002Z")),
        ("jsons", "json", json!(1), json!(1.0)),
        ("decimals", "decimal(65,2)", json!("123456789012345678901234567890123456.70"), json!("123456789012345678901234567890123456.71")),
        ("numbers", "uint64", json!(u64::MAX), json!(u64::MAX - 1)),
        ("doubles", "float64", json!(9_007_199_254_740_992.0), json!(9_007_199_254_740_994.0)),
        ("texts", "text", json!(""), json!("\u{0}")),
    ] {
        let columns = vec![Column::new("at", ty.parse().unwrap(), false), Column::new("v", Type::Int32, true)];
        for key_columns in [vec![0], vec![0, 1]] {
            let collection = format!("{collection}{}", key_columns.len());
            let shape = ViewShape { name: "v".into(), schema: Schema::new(columns.clone()), key: key_columns, indexes: vec![] };
            let layout = Layout::new(&shape.schema);
            let row = |at: &Value| row(&shape, &json!({"at": at, "v": 1}));
            let keyed = |row: &Row| key::encode(&layout, row, &shape.key);
            let (first, second) = (row(&first), row(&second));
            let insert = |row: &Row| SinkChange { key: keyed(row), before: None, after: Some(row.clone()) };
            let mut sink = sink_of(&database, &collection);
            sink.open(&shape).await.unwrap();
            apply(&mut sink, &[insert(&first), insert(&second)], 1).await;
            let documents = database.collection(&collection);
            assert_eq!(documents.count_documents(doc! {}).await.unwrap(), 2, "{collection}");
            apply(&mut sink, &[SinkChange { key: keyed(&first), before: Some(first), after: None }], 2).await;
            assert_eq!(documents.count_documents(doc! {}).await.unwrap(), 1, "{collection}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_document_of_another_type_under_the_same_id_is_taken_over_by_a_copy() {
    let orders = Orders::new().await;
    let docs = orders.database.collection("docs");
    docs.insert_one(doc! {"_id": 1.0, "mine": true}).await.unwrap();
    docs.insert_one(doc! {"_id": 2i64, "mine": true}).await.unwrap();
    let (mut sink, _) = orders.opened().await;
    let entries = [1, 2, 3].map(|id| (orders.key(id), orders.row(&order(id, "a"))));
    assert_eq!(sink.copy(&entries).await.unwrap(), []);
    sink.finish_copy(&at(1)).await.unwrap();
    assert_eq!(orders.ids().await, [1, 2, 3]);
    for id in [1, 2, 3] {
        assert_eq!(orders.document(id).await, Some(order_document(id, "a")));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collection_that_is_not_the_one_that_was_written_is_at_no_position() {
    let orders = Orders::new().await;
    let (mut sink, _) = orders.opened().await;
    let both = [1, 2].map(|id| orders.change(id, &Value::Null, &order(id, "a")));
    let database = orders.database.database();
    let admin = orders.database.client.database("admin");
    let name = |collection: &str| format!("{}.{collection}", orders.database.name);
    for what in ["dropped", "dropped and made anew", "renamed", "position dropped"] {
        apply(&mut sink, &both, 1).await;
        sink.look().await.unwrap();
        match what {
            "dropped" => orders.database.collection("docs").drop().await.unwrap(),
            "renamed" => {
                let command = doc! {"renameCollection": name("docs"), "to": name(&format!("kept{}", orders.ids().await.len()))};
                admin.run_command(command).await.map(drop).unwrap();
            }
            "position dropped" => orders.database.collection("tidemill_positions").drop().await.unwrap(),
            _ => {
                orders.database.collection("docs").drop().await.unwrap();
                database.create_collection("docs").await.unwrap();
            }
        }
        assert!(sink.look().await.is_err(), "{what}");
        assert_eq!(orders.opened().await.1, None, "{what}");
        sink.open(&orders.shape).await.unwrap();
    }
    // While it is written to, the next step finds out.
    apply(&mut sink, &both, 1).await;
    orders.database.collection("docs").drop().await.unwrap();
    sink.write(&[orders.change(1, &order(1, "a"), &order(1, "b"))]).await.unwrap();
    let error = sink.reach(&at(2)).await.unwrap_err();
    assert_eq!(error.to_string(), format!("{} was dropped or created again by somebody: it is copied again", name("docs")));
    assert_eq!(orders.opened().await.1, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn documents_of_another_form_are_at_no_position() {
    let orders = Orders::new().await;
    let (mut sink, _) = orders.opened().await;
    apply(&mut sink, &[orders.change(1, &Value::Null, &order(1, "a"))], 1).await;
    let mut columns = orders.shape.schema.columns().to_vec();
    columns[1].name = "state".into();
    let renamed = ViewShape { schema: Schema::new(columns), ..orders.shape.clone() };
    assert_eq!(orders.sink().open(&renamed).await.unwrap(), None);
    // A position as an earlier version wrote it.
    let positions = orders.database.collection("tidemill_positions");
    positions.update_one(doc! {"_id": "docs"}, doc! {"$unset": {"shape": true, "life": true}}).await.unwrap();
    assert_eq!(orders.opened().await.1, None);
}
