//! A view of orders and its collection, and steps of a sink.

use bson::{Bson, Document, doc};
use futures::TryStreamExt;
use serde_json::{Value, json};
use tidemill::sinks::{Sink, SinkChange, SinkPosition, TargetRefusal, ViewShape, open};
use tidemill::value::{Column, Layout, Row, RowBuilder, Schema, Tick, Type, json as value_json, key};

use crate::support::MongoDatabase;

/// A view of orders with a customer and items, and its collection `docs` in a database of the test's own.
pub(crate) struct Orders {
    pub(crate) database: MongoDatabase,
    pub(crate) shape: ViewShape,
}

impl Orders {
    pub(crate) async fn new() -> Orders {
        let text = |name: &str| Column::new(name, Type::Text, true);
        let customer = Type::Struct(Schema::new(vec![text("customer_id"), text("city")]));
        let price = Column::new("price", Type::Decimal { precision: 10, scale: 2 }, true);
        let item = Type::Struct(Schema::new(vec![text("product_id"), price]));
        let schema = Schema::new(vec![
            Column::new("order_id", Type::Int32, false),
            text("status"),
            Column { absent_when_null: true, ..Column::new("customer_info", customer, true) },
            Column::new("order_items", Type::List(Box::new(item)), true),
        ]);
        let indexes = vec![vec!["customer_info.customer_id".into()], vec!["order_items.product_id".into(), "order_items.price".into()]];
        let shape = ViewShape { name: "orders".into(), schema, key: vec![0], indexes };
        Orders { database: MongoDatabase::create().await, shape }
    }

    pub(crate) fn sink(&self) -> Box<dyn Sink> {
        sink_of(&self.database, "docs")
    }

    pub(crate) async fn opened(&self) -> (Box<dyn Sink>, Option<SinkPosition>) {
        let mut sink = self.sink();
        let position = sink.open(&self.shape).await.unwrap();
        (sink, position)
    }

    pub(crate) fn row(&self, value: &Value) -> Row {
        row(&self.shape, value)
    }

    /// The change of an order from one state to another, `null` for none.
    pub(crate) fn change(&self, id: i32, before: &Value, after: &Value) -> SinkChange {
        let row = |value: &Value| (!value.is_null()).then(|| self.row(value));
        SinkChange { key: self.key(id), before: row(before), after: row(after) }
    }

    pub(crate) fn key(&self, id: i32) -> Row {
        key::encode(&Layout::new(&self.shape.schema), &self.row(&json!({"order_id": id})), &[0])
    }

    pub(crate) async fn document(&self, id: i32) -> Option<Document> {
        self.database.collection("docs").find_one(doc! {"_id": id}).await.unwrap()
    }

    pub(crate) async fn ids(&self) -> Vec<i32> {
        let found = self.database.collection("docs").find(doc! {}).sort(doc! {"_id": 1}).await.unwrap();
        let documents: Vec<Document> = found.try_collect().await.unwrap();
        documents.iter().map(|document| document.get_i32("_id").unwrap()).collect()
    }

    /// Adds a field that is not the view's: it stays where a document is changed by paths, and goes where it is written whole.
    pub(crate) async fn mark(&self, id: i32) {
        self.database.collection("docs").update_one(doc! {"_id": id}, doc! {"$set": {"mark": 1}}).await.unwrap();
    }

    pub(crate) async fn is_marked(&self, id: i32) -> bool {
        self.document(id).await.unwrap().contains_key("mark")
    }
}

pub(crate) fn sink_of(database: &MongoDatabase, collection: &str) -> Box<dyn Sink> {
    let options = json!({"uri": database.uri, "collection": format!("{}.{collection}", database.name)});
    open("mongodb", &options).unwrap()
}

pub(crate) fn row(shape: &ViewShape, value: &Value) -> Row {
    let mut builder = RowBuilder::new(&Layout::new(&shape.schema));
    value_json::push_object(&mut builder, value.as_object().unwrap()).unwrap();
    builder.finish()
}

pub(crate) fn at(tick: u64) -> SinkPosition {
    SinkPosition { store_id: "store".into(), life: "life".into(), tick: Tick(tick) }
}

/// One step; what the target refuses.
pub(crate) async fn step(sink: &mut Box<dyn Sink>, changes: &[SinkChange], tick: u64) -> Vec<TargetRefusal> {
    let refused = sink.write(changes).await.unwrap();
    sink.reach(&at(tick)).await.unwrap();
    refused
}

/// One step of which the target takes everything.
pub(crate) async fn apply(sink: &mut Box<dyn Sink>, changes: &[SinkChange], tick: u64) {
    assert_eq!(step(sink, changes, tick).await, []);
}

/// An order that is long enough for a change of its city to be a small part of it.
pub(crate) fn order(id: i32, city: &str) -> Value {
    let items: Vec<Value> = (0..5).map(|i| json!({"product_id": format!("product {i} of {id}"), "price": 1.5})).collect();
    json!({"order_id": id, "status": "shipped", "customer_info": {"customer_id": format!("c{id}"), "city": city}, "order_items": items})
}

pub(crate) fn order_document(id: i32, city: &str) -> Document {
    let price = Bson::Decimal128("1.50".parse().unwrap());
    let items: Vec<Document> = (0..5).map(|i| doc! {"product_id": format!("product {i} of {id}"), "price": price.clone()}).collect();
    let customer = doc! {"customer_id": format!("c{id}"), "city": city};
    doc! {"_id": id, "order_id": id, "status": "shipped", "customer_info": customer, "order_items": items}
}
