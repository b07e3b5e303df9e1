//! Types, changes, interruptions, full copies, indexes, connections that fail.

use bson::{Binary, Bson, doc, spec::BinarySubtype};
use serde_json::{Value, json};
use tidemill::sinks::{SinkChange, SinkPosition, ViewShape, open};
use tidemill::value::{Column, Layout, Row, Schema, Tick, Type, key};

use crate::kit::{Orders, apply, at, order, order_document, row, sink_of};
use crate::support::{MongoDatabase, server_url};

#[tokio::test(flavor = "multi_thread")]
async fn every_type_arrives_as_its_bson_type() {
    let column = |name: &str, ty: &str| Column::new(name, ty.parse().unwrap(), true);
    let scalars = [
        ("flag", "bool"),
        ("small", "int8"),
        ("long", "int64"),
        ("huge", "uint64"),
        ("double", "float64"),
        ("money", "decimal(10,2)"),
        ("bytes", "binary"),
        ("json", "json"),
        ("day", "date"),
        ("local", "datetime"),
        ("instant", "timestamp(3)"),
        ("time", "time"),
        ("nothing", "text"),
    ];
    let mut columns: Vec<Column> = scalars.iter().map(|(name, ty)| column(name, ty)).collect();
    columns.insert(0, Column::new("a", Type::Text, false));
    columns.insert(1, Column::new("b", Type::Int64, false));
    columns.push(Column { absent_when_null: true, ..column("absent", "text") });
    let shape = ViewShape { name: "types".into(), schema: Schema::new(columns), key: vec![1, 0], indexes: vec![] };
    let value = json!({
        "a": "x", "b": 7, "flag": true, "small": -3, "long": 1, "huge": u64::MAX, "double": 0.5, "money": 12.5,
        "bytes": "AAEC", "json": {"k": [1, null]}, "day": "2017-10-02", "local": "2017-10-02T10:56:33",
        "instant": "2017-10-02T10:56:33.125Z", "time": "-10:00:00",
    });
    let database = MongoDatabase::create().await;
    let mut sink = sink_of(&database, "types");
    sink.open(&shape).await.unwrap();
    let row = row(&shape, &value);
    let key = key::encode(&Layout::new(&shape.schema), &row, &shape.key);
    apply(&mut sink, &[SinkChange { key, before: None, after: Some(row) }], 1).await;

    let found = database.collection("types").find_one(doc! {}).await.unwrap().unwrap();
    let time = |text: &str| Bson::DateTime(bson::DateTime::parse_rfc3339_str(text).unwrap());
    let number = |text: &str| Bson::Decimal128(text.parse().unwrap());
    let expected = doc! {
        "_id": {"b": 7i64, "a": "x"}, "a": "x", "b": 7i64, "flag": true, "small": -3, "long": 1i64, "huge": number("18446744073709551615"),
        "double": 0.5, "money": number("12.50"), "bytes": Binary { subtype: BinarySubtype::Generic, bytes: vec![0, 1, 2] },
        "json": {"k": [1, null]}, "day": time("2017-10-02T00:00:00Z"), "local": time("2017-10-02T10:56:33Z"),
        "instant": time("2017-10-02T10:56:33.125Z"), "time": "-10:00:00", "nothing": null,
    };
    assert_eq!(found, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_come_with_their_position_and_only_what_changed_is_written() {
    let orders = Orders::new().await;
    let (mut sink, position) = orders.opened().await;
    assert_eq!(position, None);
    let inserts: Vec<SinkChange> = (1..=3).map(|id| orders.change(id, &Value::Null, &order(id, "a"))).collect();
    apply(&mut sink, &inserts, 1).await;
    assert_eq!(orders.document(2).await, Some(order_document(2, "a")));
    assert_eq!(orders.opened().await.1, Some(at(1)));

    for id in 1..=3 {
        orders.mark(id).await;
    }
    let changes = [
        orders.change(1, &order(1, "a"), &order(1, "b")),
        orders.change(2, &order(2, "a"), &json!({"order_id": 2})),
        orders.change(3, &order(3, "a"), &Value::Null),
        orders.change(4, &Value::Null, &order(4, "a")),
    ];
    apply(&mut sink, &changes, 2).await;
    assert_eq!(orders.ids().await, [1, 2, 4]);
    let mut patched = order_document(1, "b");
    patched.insert("mark", 1);
    assert_eq!(orders.document(1).await, Some(patched), "a small change is made by its path");
    assert_eq!(orders.document(2).await, Some(doc! {"_id": 2, "order_id": 2, "status": null, "order_items": null}), "a large one is not");
    assert_eq!(orders.opened().await.1, Some(at(2)));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_have_been_written_before_is_written_whole_again() {
    let orders = Orders::new().await;
    let (mut sink, _) = orders.opened().await;
    apply(&mut sink, &[1, 2, 3, 4, 5].map(|id| orders.change(id, &Value::Null, &order(id, "a"))), 1).await;
    // The answer to this one is lost, and with it the process; then more happens, and some of it goes back to what it was.
    let lost = [
        orders.change(1, &order(1, "a"), &order(1, "b")),
        orders.change(2, &order(2, "a"), &order(2, "b")),
        orders.change(3, &order(3, "a"), &Value::Null),
        orders.change(4, &order(4, "a"), &Value::Null),
        orders.change(6, &Value::Null, &order(6, "a")),
    ];
    apply(&mut sink, &lost, 2).await;
    for id in [1, 2] {
        orders.mark(id).await;
    }
    let (mut sink, _) = orders.opened().await;
    let again = [
        orders.change(1, &order(1, "a"), &order(1, "c")),
        orders.change(2, &order(2, "a"), &order(2, "a")),
        orders.change(3, &order(3, "a"), &Value::Null),
        orders.change(4, &order(4, "a"), &order(4, "a")),
        orders.change(6, &Value::Null, &Value::Null),
    ];
    for _ in 0..2 {
        apply(&mut sink, &again, 3).await;
        assert_eq!(orders.ids().await, [1, 2, 4, 5]);
        for (id, city) in [(1, "c"), (2, "a"), (4, "a"), (5, "a")] {
            assert_eq!(orders.document(id).await, Some(order_document(id, city)));
        }
        assert_eq!(orders.opened().await.1, Some(at(3)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_document_that_somebody_deleted_comes_back_whole_with_its_next_change() {
    let orders = Orders::new().await;
    let (mut sink, _) = orders.opened().await;
    apply(&mut sink, &[1, 2].map(|id| orders.change(id, &Value::Null, &order(id, "a"))), 1).await;
    orders.database.collection("docs").delete_one(doc! {"_id": 1}).await.unwrap();
    apply(&mut sink, &[1, 2].map(|id| orders.change(id, &order(id, "a"), &order(id, "b"))), 2).await;
    for id in [1, 2] {
        assert_eq!(orders.document(id).await, Some(order_document(id, "b")));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_copy_writes_what_differs_and_removes_what_is_not_in_the_view() {
    let orders = Orders::new().await;
    let entry = |id: i32, city: &str| (orders.key(id), orders.row(&order(id, city)));
    let (mut sink, _) = orders.opened().await;
    sink.copy(&[entry(1, "a"), entry(2, "a")]).await.unwrap();
    // Until it is finished the target is at no position.
    assert_eq!(orders.opened().await.1, None);
    sink.copy(&[entry(3, "a")]).await.unwrap();
    sink.finish_copy(&at(5)).await.unwrap();
    assert_eq!(orders.ids().await, [1, 2, 3]);

    // Another store's copy over it: 2 is changed, 3 is not there any more, 4 is new, 9 is somebody's own.
    let docs = orders.database.collection("docs");
    docs.insert_one(doc! {"_id": 9}).await.unwrap();
    docs.insert_one(doc! {"_id": "not even of the key's type"}).await.unwrap();
    orders.mark(2).await;
    let (mut sink, position) = orders.opened().await;
    assert_eq!(position, Some(at(5)));
    sink.copy(&[entry(1, "a"), entry(2, "b"), entry(4, "a")]).await.unwrap();
    assert_eq!(orders.opened().await.1, None);
    let position = SinkPosition { store_id: "another".into(), life: "life".into(), tick: Tick(2) };
    sink.finish_copy(&position).await.unwrap();
    assert_eq!(orders.ids().await, [1, 2, 4]);
    assert_eq!(orders.document(2).await, Some(order_document(2, "b")));
    assert_eq!(orders.opened().await.1, Some(position));

    // A copy follows on from its position, and one of nothing leaves nothing.
    apply(&mut sink, &[orders.change(1, &order(1, "a"), &order(1, "z"))], 6).await;
    assert_eq!(orders.document(1).await, Some(order_document(1, "z")));
    let (mut sink, _) = orders.opened().await;
    sink.finish_copy(&at(7)).await.unwrap();
    assert_eq!(orders.ids().await, [0i32; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn more_than_one_command_holds_is_sent_in_several() {
    let orders = Orders::new().await;
    let options = json!({"uri": orders.database.uri, "collection": format!("{}.docs", orders.database.name), "batch_documents": 7});
    let mut sink = open("mongodb", &options).unwrap();
    sink.open(&orders.shape).await.unwrap();
    let long = "x".repeat(3_000_000);
    let rows: Vec<(Row, Row)> = (1..=20).map(|id| (orders.key(id), orders.row(&order(id, &long)))).collect();
    sink.copy(&rows).await.unwrap();
    sink.finish_copy(&at(1)).await.unwrap();
    assert_eq!(orders.ids().await.len(), 20);
    let changes: Vec<SinkChange> = (1..=20).map(|id| orders.change(id, &order(id, &long), &order(id, "short"))).collect();
    apply(&mut sink, &changes, 2).await;
    assert_eq!(orders.document(20).await, Some(order_document(20, "short")));
    let gone: Vec<SinkChange> = (1..=20).map(|id| orders.change(id, &order(id, "short"), &Value::Null)).collect();
    apply(&mut sink, &gone, 3).await;
    assert_eq!(orders.ids().await, [0i32; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn relation_fields_have_an_index_that_is_used() {
    let orders = Orders::new().await;
    let (mut sink, _) = orders.opened().await;
    let changes: Vec<SinkChange> = (1..=200).map(|id| orders.change(id, &Value::Null, &order(id, "a"))).collect();
    apply(&mut sink, &changes, 1).await;
    // Opening again finds them there.
    orders.opened().await;
    let names = orders.database.collection("docs").list_index_names().await.unwrap();
    assert_eq!(names, ["_id_", "customer_info.customer_id_1", "order_items.product_id_1_order_items.price_1"]);
    let find = doc! {"find": "docs", "filter": {"customer_info.customer_id": "c7"}};
    let explained = orders.database.database().run_command(doc! {"explain": find, "verbosity": "queryPlanner"}).await.unwrap();
    // MongoDB's words, and those of PostgreSQL below FerretDB.
    let plan = explained.to_string();
    assert!(plan.contains("IXSCAN") || plan.contains("Index Scan"), "{plan}");
    assert!(plan.contains("customer_info.customer_id_1") && !plan.contains("COLLSCAN") && !plan.contains("Seq Scan"), "{plan}");
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_say_where_and_why_and_never_the_password() {
    let orders = Orders::new().await;
    let server = server_url("MONGODB");
    let host = server.trim_start_matches("mongodb://").trim_end_matches('/');
    for (uri, expected) in [
        (format!("mongodb://u:secret@{host}/"), format!("MongoDB at {host} refuses the user or the password")),
        ("mongodb://u:secret@127.0.0.1:1/".into(), "no MongoDB server answers at 127.0.0.1:1: Connection refused".into()),
        (
            format!("mongodb://{host}/?replicaSet=none"),
            format!("no MongoDB server answers at {host}: none of them is the primary of the replica set"),
        ),
        ("mongodb://u:sec/ret@h/".into(), "option `uri`: it is not a connection string of MongoDB".into()),
        ("postgres://u:secret@h/".into(), "option `uri`: it is not a connection string of MongoDB".into()),
    ] {
        let separator = if uri.contains('?') { "&" } else { "?" };
        let uri = format!("{uri}{separator}serverSelectionTimeoutMS=2000");
        let mut sink = open("mongodb", &json!({"uri": uri, "collection": "a.b"})).unwrap();
        let error = sink.open(&orders.shape).await.unwrap_err();
        assert_eq!(error.to_string(), expected);
        assert!(!format!("{error:?}").contains("secret"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_comes_back_is_written_to_without_a_new_sink() {
    let orders = Orders::new().await;
    let (mut sink, _) = orders.opened().await;
    apply(&mut sink, &[orders.change(1, &Value::Null, &order(1, "a"))], 1).await;
    // `open` may be repeated, as after a failure.
    assert_eq!(sink.open(&orders.shape).await.unwrap(), Some(at(1)));
    orders.mark(1).await;
    apply(&mut sink, &[orders.change(1, &order(1, "a"), &order(1, "b"))], 2).await;
    assert!(!orders.is_marked(1).await, "the first change after `open` is written whole");
    orders.mark(1).await;
    apply(&mut sink, &[orders.change(1, &order(1, "b"), &order(1, "c"))], 3).await;
    assert!(orders.is_marked(1).await, "the next one is not");
}
