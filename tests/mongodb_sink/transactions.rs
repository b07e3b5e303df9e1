//! Steps as transactions, against a server in this process that checks the protocol's rules.

use bson::doc;
use serde_json::{Value, json};
use tidemill::sinks::{Sink, SinkChange, SinkError, SinkPosition, open};

use crate::fake::{Collections, Fake, Injected, error};
use crate::kit::{Orders, at, order};
use crate::support::Program;

/// A sink of the view of orders, at the fake.
async fn sink_at(fake: &Fake, orders: &Orders) -> (Box<dyn Sink>, Option<SinkPosition>) {
    let mut sink = open("mongodb", &json!({"uri": fake.uri, "collection": "views.docs"})).unwrap();
    let position = sink.open(&orders.shape).await.unwrap();
    (sink, position)
}

/// The cities of the documents, and the position's tick, as readers see them.
fn seen(collections: &Collections) -> (Vec<String>, Option<i64>) {
    let docs = collections.get("docs").into_iter().flat_map(|docs| docs.values());
    let city = |document: &bson::Document| document.get_document("customer_info").unwrap().get_str("city").unwrap().to_string();
    let tick = collections.get("tidemill_positions").and_then(|positions| positions.values().next());
    (docs.map(city).collect(), tick.map(|position| position.get_i64("tick").unwrap()))
}

fn cities(orders: &Orders, before: Option<&str>, after: &str) -> Vec<SinkChange> {
    (0..100).map(|id| orders.change(id, &before.map_or(Value::Null, |city| order(id, city)), &order(id, after))).collect()
}

fn all(city: &str, tick: i64) -> (Vec<String>, Option<i64>) {
    (vec![city.to_string(); 100], Some(tick))
}

/// Writes a step until it is in, as `run` does: after a failure all begins with `open`.
async fn step(sink: &mut Box<dyn Sink>, orders: &Orders, changes: &[SinkChange], tick: u64) {
    for _ in 0..5 {
        let written = match sink.write(changes).await {
            Ok(refused) => {
                assert_eq!(refused, []);
                sink.reach(&at(tick)).await
            }
            Err(error) => Err(error),
        };
        match written {
            Ok(()) => return,
            Err(SinkError::Transient { message }) => assert!(!message.contains("secret")),
            Err(error) => panic!("{error}"),
        }
        sink.open(&orders.shape).await.unwrap();
    }
    panic!("five attempts were not enough");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_and_its_position_are_seen_at_once_whatever_fails_on_the_way() {
    let orders = Orders::new().await;
    let transient = || error(112, &["TransientTransactionError"]);
    let unknown = || error(64, &["UnknownTransactionCommitResult"]);
    for failures in [
        vec![],
        vec![("update", transient())],
        vec![("update", transient()), ("update", transient()), ("update", Injected::Lost)],
        vec![("update", Injected::Lost)],
        vec![("commitTransaction", transient())],
        vec![("commitTransaction", unknown())],
        vec![("commitTransaction", unknown()), ("commitTransaction", unknown()), ("commitTransaction", Injected::Lost)],
        vec![("commitTransaction", Injected::Lost), ("commitTransaction", Injected::Lost)],
    ] {
        let fake = Fake::start().await;
        let (mut sink, position) = sink_at(&fake, &orders).await;
        assert_eq!(position, None);
        step(&mut sink, &orders, &cities(&orders, None, "a"), 1).await;
        fake.history();
        let said = format!("{failures:?}");
        failures.into_iter().for_each(|(command, failure)| fake.inject(command, failure));
        step(&mut sink, &orders, &cities(&orders, Some("a"), "b"), 2).await;
        let history = fake.history();
        assert!(history.iter().all(|state| [all("a", 1), all("b", 2)].contains(&seen(state))), "{said}");
        assert_eq!(history.last().map(seen), Some(all("b", 2)), "{said}");
        assert_eq!(sink_at(&fake, &orders).await.1, Some(at(2)), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn documents_that_are_refused_do_not_take_their_transaction_with_them() {
    let orders = Orders::new().await;
    let fake = Fake::start().await;
    let (mut sink, _) = sink_at(&fake, &orders).await;
    step(&mut sink, &orders, &cities(&orders, None, "a"), 1).await;
    fake.history();
    let mut changes = cities(&orders, Some("a"), "b");
    let mut refused = order(7, "b");
    refused["status"] = "refused".into();
    changes[7] = orders.change(7, &order(7, "a"), &refused);
    // The whole document is sent, for the rule is about it.
    let (mut sink, _) = sink_at(&fake, &orders).await;
    let said = sink.write(&changes).await.unwrap();
    let said: Vec<_> = said.iter().map(|refused| (&refused.key, refused.reason.as_str())).collect();
    assert_eq!(said, [(&orders.key(7), "MongoDB refuses the document: error 121 (DocumentValidationFailure)")]);
    assert_eq!(fake.history(), [] as [Collections; 0], "nothing is seen before the position");
    sink.reach(&at(2)).await.unwrap();
    let history = fake.history();
    assert_eq!(history.iter().map(seen).collect::<Vec<_>>(), [(vec!["b".to_string(); 99], Some(2))]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_much_for_a_transaction_is_written_without_and_said() {
    let orders = Orders::new().await;
    for (command, code) in [("update", 257), ("update", 290), ("update", 388)] {
        let fake = Fake::start().await;
        let (mut sink, _) = sink_at(&fake, &orders).await;
        fake.inject(command, error(code, &[]));
        step(&mut sink, &orders, &cities(&orders, None, "a"), 1).await;
        assert_eq!(fake.history().last().map(seen), Some(all("a", 1)));
        let note = "a step of 100 documents was written without a transaction: it is more than the server accepts in one";
        assert_eq!(sink.note().as_deref(), Some(note));
        fake.commands();
        step(&mut sink, &orders, &cities(&orders, Some("a"), "b"), 2).await;
        assert_eq!((sink.note(), fake.commands().last().map(String::as_str)), (None, Some("commitTransaction")));
    }
    // More than 64 MB are not even begun in one.
    let fake = Fake::start().await;
    let (mut sink, _) = sink_at(&fake, &orders).await;
    let long = "x".repeat(7_000_000);
    let changes: Vec<SinkChange> = (0..10).map(|id| orders.change(id, &Value::Null, &order(id, &long))).collect();
    step(&mut sink, &orders, &changes, 1).await;
    assert!(!fake.commands().contains(&"commitTransaction".to_string()));
    assert!(sink.note().unwrap().ends_with("it has more bytes than one transaction can have"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_leaves_no_position_until_it_is_whole() {
    let orders = Orders::new().await;
    let fake = Fake::start().await;
    let (mut sink, _) = sink_at(&fake, &orders).await;
    step(&mut sink, &orders, &cities(&orders, None, "a"), 1).await;
    fake.history();
    let entries: Vec<_> = (0..50).map(|id| (orders.key(id), orders.row(&order(id, "b")))).collect();
    sink.copy(&entries).await.unwrap();
    sink.finish_copy(&at(5)).await.unwrap();
    let history = fake.history();
    let positions: Vec<Option<i64>> = history.iter().map(|state| seen(state).1).collect();
    assert!(positions[..positions.len() - 1].iter().all(Option::is_none), "{positions:?}");
    assert_eq!(history.last().map(seen), Some((vec!["b".to_string(); 50], Some(5))));
}

#[tokio::test(flavor = "multi_thread")]
async fn collections_of_a_kind_that_cannot_hold_a_view_are_refused() {
    let orders = Orders::new().await;
    for (options, expected) in [
        (doc! {"type": "view"}, "is a view"),
        (doc! {"type": "timeseries"}, "is a timeseries"),
        (doc! {"capped": true}, "is capped: it drops documents by itself"),
        (doc! {"collation": {"locale": "en", "strength": 1}}, "has a collation, which makes different texts equal as `_id`"),
    ] {
        let fake = Fake::start().await;
        drop(sink_at(&fake, &orders).await);
        fake.collections_have(options);
        let mut sink = open("mongodb", &json!({"uri": fake.uri, "collection": "views.docs"})).unwrap();
        let host = fake.uri.trim_start_matches("mongodb://").split('/').next().unwrap();
        let message = format!("views.docs at {host} {expected}; a view needs a plain collection");
        assert_eq!(sink.open(&orders.shape).await.unwrap_err().to_string(), message);
        let findings = sink.preflight(Some(&orders.shape)).await.unwrap();
        assert!(findings.iter().any(|finding| finding.message == message), "{findings:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_of_the_whole_target_is_no_fault_of_a_document() {
    let orders = Orders::new().await;
    for (code, expected) in
        [(13, "does not let this user write to"), (166, "refuses a write to"), (73, "refuses a write to"), (12501, "refuses")]
    {
        let fake = Fake::start().await;
        let (mut sink, _) = sink_at(&fake, &orders).await;
        fake.inject("update", error(code, &[]));
        let stopped = sink.write(&cities(&orders, None, "a")).await.unwrap_err();
        assert!(
            matches!(&stopped, SinkError::Stopped { message, .. } if message.contains(expected) && !message.contains("secret")),
            "{stopped}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sink_that_was_stopped_goes_on_once_its_target_takes_it() {
    let fake = Fake::start().await;
    let program = Program::new().env("TARGET", &fake.uri);
    program.write("items.csv", "id,name\n1,a\n2,b\n");
    let spec = "\
sources: {shop: {kind: file, options: {tables: {items: {csv: items.csv, key: [id]}}}}}
views: {items: {from: shop.items}}
sinks: {mongo: {kind: mongodb, view: items, options: {uri: \"${TARGET}\", collection: views.items}}}
";
    program.write("shop.yaml", spec);
    fake.inject("insert", error(13, &[]));
    let running = program.start(&["run", "shop.yaml", "--json"]);
    running.wait_for_stdout("the stop", |line| line.contains("stopped: MongoDB at ") && line.contains("tries again in 5 s"));
    running.wait_for_stdout("the end of it", |line| line.contains(r#""event":"sink""#) && line.contains(r#""tick":1"#));
    assert_eq!(fake.history().last().map(|state| state["items"].len()), Some(2));
    running.signal("TERM");
    assert_eq!(running.finish().code, Some(0));
}
