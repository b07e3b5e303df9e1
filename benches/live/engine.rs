//! The reference view's spec, pointed at the servers, as an engine.

use std::path::Path;
use std::sync::Arc;

use tidemill::run::{Engine, NamedSink, NamedSource, Setup, plan_table};
use tidemill::sinks;
use tidemill::sources::{self, Source};
use tidemill::spec::{Draft, Kinds};
use tidemill::store::{Retention, Sync};

use crate::support::{MongoDatabase, MysqlDatabase};

pub(crate) const VIEW: &str = "order_single_view";
pub(crate) const COLLECTION: &str = "orderSingleView";

/// Up to the opened store; without a target there are no sinks.
pub(crate) async fn open(shop: &MysqlDatabase, target: Option<&MongoDatabase>, state: &Path, workers: usize) -> Engine {
    let setup = setup(shop, target, state, workers).await;
    Engine::open(setup).expect("the folder is ours")
}

async fn setup(shop: &MysqlDatabase, target: Option<&MongoDatabase>, state: &Path, workers: usize) -> Setup {
    let text = spec(shop, target);
    let kinds = Kinds { sources: sources::KINDS, sinks: sinks::KINDS };
    let draft = Draft::parse(Path::new("live.yaml"), &text, kinds, &|_| None).expect("the spec is YAML");
    let spec = draft.finish().expect("the spec is right");
    let [source] = &spec.sources[..] else { panic!("one source") };
    let opened: Arc<dyn Source> = sources::open(&source.kind, &source.options).expect("the options are right").into();
    let [(name, needed)] = &spec.tables()[..] else { panic!("one source") };
    let tables = opened.discover(needed).await.expect("the tables are there");
    let plan = spec.lower(&tables.iter().map(|table| plan_table(name, table)).collect::<Vec<_>>()).expect("the view is right");
    let open_sink = |kind: &str, options| sinks::open(kind, options).expect("the options are right");
    let sinks = spec.sinks.iter().map(|s| NamedSink { name: s.name.clone(), view: 0, sink: open_sink(&s.kind, &s.options) });
    Setup {
        plan,
        sinks: sinks.collect(),
        sources: vec![NamedSource { name: name.clone(), source: opened, tables }],
        state: state.into(),
        sync: Sync::EachCommit,
        retention: Retention::default(),
        workers,
        max_transaction_bytes: 1 << 30,
        until_caught_up: target.is_none(),
    }
}

/// What users start from, with other addresses.
fn spec(shop: &MysqlDatabase, target: Option<&MongoDatabase>) -> String {
    let reference = include_str!("../../dataflows/order_single_view.yaml");
    let text = reference.replace("mysql://tidemill:${SHOP_PASSWORD}@127.0.0.1:3306/ECommerceData", &shop.url());
    assert!(text.contains(&shop.url()), "the reference spec is as this program knows it");
    let (views, _) = text.split_once("\nsinks:").expect("the reference spec has sinks");
    match target {
        None => views.to_string(),
        Some(target) => {
            text.replace("mongodb://127.0.0.1:27017", &target.uri).replace("collection: views.", &format!("collection: {}.", target.name))
        }
    }
}
