//! `get`, `tail` and `status` as another process asks for them: at rest and of a running engine, with the same answers.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tidemill::serve::local::{Access, LocalServer, serve};
use tidemill::serve::question::{Get, Tail, TailFrom};
use tidemill::serve::{AccessError, AccessErrorKind};
use tidemill::store::{Commit, InputDef, Reached, Store, Sync, TickMark, ViewBatch, ViewChange, ViewDef};
use tidemill::value::{Column, Datum, Layout, Position, Row, RowBuilder, Schema, Tick, Type, key};
use tokio::sync::mpsc;

fn schema() -> Schema {
    let columns = [("shop", Type::Int32), ("id", Type::Int64), ("total", Type::Decimal { precision: 10, scale: 2 })];
    Schema::new(columns.map(|(name, ty)| Column::new(name, ty, false)).to_vec())
}

fn row(shop: i64, id: i64, cents: i128) -> Row {
    let mut builder = RowBuilder::new(&Layout::new(&schema()));
    builder.push(Datum::Int(shop));
    builder.push(Datum::Int(id));
    builder.push(Datum::Decimal(cents));
    builder.finish()
}

fn engine_at(dir: &Path) -> Store {
    let store = Store::open(dir, Sync::Os).unwrap();
    let input = InputDef { name: "shop.orders".into(), schema: schema(), key: vec![0, 1] };
    let view = ViewDef { name: "orders".into(), schema: schema(), key: vec![0, 1], fingerprint: "1".into() };
    store.define(&[input], &[view]).unwrap();
    store
}

fn commit(store: &Store, tick: u64, shop: i64, id: i64, cents: Option<i128>) {
    let after = cents.map(|cents| row(shop, id, cents));
    let key = key::encode(&Layout::new(&schema()), &row(shop, id, 0), &[0, 1]);
    let mark =
        TickMark { tick: Tick(tick), source: "shop".into(), position: Position::new(format!("0-1-{tick}")), committed_ms: Some(tick) };
    let changes = vec![ViewChange { tick: Tick(tick), key, after }];
    let views = vec![ViewBatch { view: 0, changes, errors: vec![] }];
    store.commit(Commit { up_to: Tick(tick), ticks: vec![mark], views, ..Commit::default() }).unwrap();
}

fn fill(store: &Store) {
    commit(store, 1, 1, 7, Some(1250));
    commit(store, 2, 1, 9, Some(5));
    commit(store, 3, 2, 7, Some(100));
    commit(store, 4, 1, 7, Some(1350));
    commit(store, 5, 1, 9, None);
}

fn start(store: &Store) -> LocalServer {
    let amend = |status: &mut tidemill::serve::Status| status.sources[0].lag_ms = Some(3);
    serve(store.clone(), Arc::new(amend), mpsc::channel(1).0).unwrap()
}

async fn text(mut lines: mpsc::Receiver<Vec<u8>>) -> String {
    let mut all = Vec::new();
    while let Some(chunk) = lines.recv().await {
        all.extend(chunk);
    }
    String::from_utf8(all).unwrap()
}

async fn get(dir: &Path, view: &str, key: &[&str]) -> Result<(Tick, String), AccessError> {
    let access = Access::open(dir).await?;
    let (out, lines) = mpsc::channel(1);
    let get = Get { view: view.into(), key: key.iter().map(|k| k.to_string()).collect() };
    let (tick, text) = tokio::join!(access.get(get, out), text(lines));
    Ok((tick?, text))
}

async fn tail(dir: &Path, from: TailFrom) -> Result<(Tick, String), AccessError> {
    let access = Access::open(dir).await?;
    let (out, lines) = mpsc::channel(1);
    let tail = Tail { view: "orders".into(), from, until_caught_up: true };
    let (tick, text) = tokio::join!(access.tail(dir, tail, out), text(lines));
    Ok((tick?, text))
}

const HISTORY: &str = r#"{"tick":1,"position":"0-1-1","key":{"shop":1,"id":7},"before":null,"after":{"shop":1,"id":7,"total":12.50}}
{"tick":2,"position":"0-1-2","key":{"shop":1,"id":9},"before":null,"after":{"shop":1,"id":9,"total":0.05}}
{"tick":3,"position":"0-1-3","key":{"shop":2,"id":7},"before":null,"after":{"shop":2,"id":7,"total":1.00}}
{"tick":4,"position":"0-1-4","key":{"shop":1,"id":7},"before":{"shop":1,"id":7,"total":12.50},"after":{"shop":1,"id":7,"total":13.50}}
{"tick":5,"position":"0-1-5","key":{"shop":1,"id":9},"before":{"shop":1,"id":9,"total":0.05},"after":null}
"#;

async fn check_answers(dir: &Path) {
    let all = "{\"shop\":1,\"id\":7,\"total\":13.50}\n{\"shop\":2,\"id\":7,\"total\":1.00}\n";
    assert_eq!(get(dir, "orders", &[]).await.unwrap(), (Tick(5), all.to_string()));
    assert_eq!(get(dir, "orders", &["2"]).await.unwrap().1, "{\"shop\":2,\"id\":7,\"total\":1.00}\n");
    assert_eq!(get(dir, "orders", &["1", "7"]).await.unwrap().1, "{\"shop\":1,\"id\":7,\"total\":13.50}\n");
    assert_eq!(get(dir, "orders", &["3"]).await.unwrap().1, "");
    assert_eq!(tail(dir, TailFrom::Start).await.unwrap(), (Tick(5), HISTORY.to_string()));
    let last_two: String = HISTORY.split_inclusive('\n').skip(3).collect();
    assert_eq!(tail(dir, TailFrom::Position("0-1-3".into())).await.unwrap().1, last_two);
    assert_eq!(tail(dir, TailFrom::After(Tick(3))).await.unwrap().1, last_two);
    assert_eq!(tail(dir, TailFrom::Now).await.unwrap(), (Tick(5), String::new()));

    let told = |e: AccessError| (e.kind, e.message, e.help.unwrap_or_default());
    let no_view = told(get(dir, "order", &[]).await.unwrap_err());
    assert_eq!(no_view, (AccessErrorKind::NotFound, "there is no view `order`".into(), "there is `orders`".into()));
    let no_key = told(get(dir, "orders", &["1", "9"]).await.unwrap_err());
    assert_eq!(no_key, (AccessErrorKind::NotFound, "`orders` has no row with this key".into(), String::new()));
    let long = told(get(dir, "orders", &["1", "2", "3"]).await.unwrap_err());
    assert_eq!(
        long,
        (AccessErrorKind::Invalid, "the key of `orders` has only the columns `shop`, `id`, but 3 values were given".into(), String::new())
    );
    let unlike = get(dir, "orders", &["x"]).await.unwrap_err();
    assert_eq!(unlike.kind, AccessErrorKind::Invalid);
    assert!(unlike.message.starts_with("`shop` of `orders`: "), "{}", unlike.message);
    let unknown = tail(dir, TailFrom::Position("0-1-99".into())).await.unwrap_err();
    assert_eq!((unknown.kind, unknown.message.as_str()), (AccessErrorKind::NotFound, "no tick is known for position `0-1-99`"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_and_a_folder_at_rest_give_the_same_answers() {
    let dir = tempfile::tempdir().unwrap();
    let store = engine_at(dir.path());
    fill(&store);
    store.set_reader("mongo", "orders", Tick(4)).unwrap();
    let server = start(&store);
    check_answers(dir.path()).await;
    let mut running = Access::open(dir.path()).await.unwrap().status().await.unwrap();
    assert_eq!((running.pid, running.sources[0].lag_ms), (Some(std::process::id()), Some(3)));
    server.stop().await;
    drop(store);
    check_answers(dir.path()).await;
    let at_rest = Access::open(dir.path()).await.unwrap().status().await.unwrap();
    running.pid = None;
    running.sources[0].lag_ms = None;
    assert!(running.sinks[0].lag_ms <= at_rest.sinks[0].lag_ms, "it grows while nothing is written");
    running.sinks[0].lag_ms = at_rest.sinks[0].lag_ms;
    (running.disk_bytes, running.views[0].disk_bytes) = (at_rest.disk_bytes, at_rest.views[0].disk_bytes);
    assert_eq!(running, at_rest);
    assert_eq!((at_rest.tick, at_rest.views[0].rows, at_rest.views[0].changes), (Tick(5), 2, 5));
    assert_eq!((at_rest.sources[0].position.as_str(), at_rest.sinks[0].position.as_deref()), ("0-1-5", Some("0-1-4")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tick_keeps_its_position_when_its_source_moves_on() {
    let dir = tempfile::tempdir().unwrap();
    let store = engine_at(dir.path());
    fill(&store);
    for at in ["0-1-6", "0-1-7"] {
        let reached = Reached { source: "shop".into(), position: Position::new(at), committed_ms: None };
        store.commit(Commit { up_to: Tick(5), reached: vec![reached], ..Commit::default() }).unwrap();
    }
    let last: String = HISTORY.split_inclusive('\n').skip(4).collect();
    drop(store);
    assert_eq!(tail(dir.path(), TailFrom::Start).await.unwrap(), (Tick(5), HISTORY.to_string()));
    assert_eq!(tail(dir.path(), TailFrom::Position("0-1-4".into())).await.unwrap().1, last);
    for known in ["0-1-5", "0-1-7"] {
        assert_eq!(tail(dir.path(), TailFrom::Position(known.into())).await.unwrap(), (Tick(5), String::new()));
    }
    let status = Access::open(dir.path()).await.unwrap().status().await.unwrap();
    assert_eq!((status.sources[0].position.as_str(), status.sources[0].tick), ("0-1-7", Tick(5)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_gets_each_commit_and_is_told_when_the_engine_goes() {
    let dir = tempfile::tempdir().unwrap();
    let store = engine_at(dir.path());
    commit(&store, 1, 1, 7, Some(1250));
    let server = start(&store);
    let (out, mut lines) = mpsc::channel(1);
    let path: PathBuf = dir.path().into();
    let follower = tokio::spawn(async move {
        let tail = Tail { view: "orders".into(), from: TailFrom::Start, until_caught_up: false };
        Access::open(&path).await?.tail(&path, tail, out).await
    });
    for (tick, expected) in HISTORY.split_inclusive('\n').take(2).enumerate() {
        assert_eq!(String::from_utf8(lines.recv().await.unwrap()).unwrap(), expected);
        commit(&store, tick as u64 + 2, 1, 9, Some(5));
    }
    // Without waiting for the follower: a follower that is up to date, or one that is not.
    drop((server, store));
    assert_eq!(follower.await.unwrap().unwrap_err().kind, AccessErrorKind::CutOff);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_at_rest_lets_go_of_the_folder_and_goes_on_with_the_next_engine() {
    let dir = tempfile::tempdir().unwrap();
    let store = engine_at(dir.path());
    commit(&store, 1, 1, 7, Some(1250));
    drop(store);
    let (out, mut lines) = mpsc::channel(1);
    let path: PathBuf = dir.path().into();
    let follower = tokio::spawn(async move {
        let tail = Tail { view: "orders".into(), from: TailFrom::Start, until_caught_up: false };
        Access::open(&path).await?.tail(&path, tail, out).await
    });
    let mut expected = HISTORY.split_inclusive('\n');
    assert_eq!(String::from_utf8(lines.recv().await.unwrap()).unwrap(), expected.next().unwrap());
    let path: PathBuf = dir.path().into();
    let store = tokio::task::spawn_blocking(move || {
        // The follower has the folder until its first answer is out.
        loop {
            match Store::open(&path, Sync::Os).map(drop) {
                Ok(()) => return engine_at(&path),
                Err(tidemill::store::StoreError::InUse { .. }) => std::thread::yield_now(),
                Err(e) => panic!("{e}"),
            }
        }
    })
    .await
    .unwrap();
    let _server = start(&store);
    commit(&store, 2, 1, 9, Some(5));
    assert_eq!(String::from_utf8(lines.recv().await.unwrap()).unwrap(), expected.next().unwrap());
    drop(lines);
    assert!(follower.await.unwrap().is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_with_a_long_path_has_its_socket_elsewhere() {
    let dir = tempfile::tempdir().unwrap();
    let long = dir.path().join("a-folder-with-a-long-name".repeat(5));
    let store = engine_at(&long);
    fill(&store);
    let server = start(&store);
    let socket = PathBuf::from(std::fs::read_to_string(long.join("tidemill.sock.path")).unwrap());
    assert!(socket.exists());
    check_answers(&long).await;
    server.stop().await;
    assert!(!socket.parent().unwrap().exists());
    drop(store);
    check_answers(&long).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_at_rest_take_turns_and_a_folder_without_state_is_named() {
    let dir = tempfile::tempdir().unwrap();
    fill(&engine_at(dir.path()));
    let answers = futures::future::join_all((0..8).map(|_| get(dir.path(), "orders", &["2"]))).await;
    assert!(answers.iter().all(|answer| answer.as_ref().is_ok_and(|(tick, _)| *tick == Tick(5))));
    let empty = tempfile::tempdir().unwrap();
    let refused = Access::open(empty.path()).await.unwrap_err();
    assert_eq!(refused.kind, AccessErrorKind::NotFound);
    assert_eq!(refused.message, format!("there is no state in `{}`", empty.path().display()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_view_larger_than_every_buffer_arrives_whole() {
    let dir = tempfile::tempdir().unwrap();
    let store = engine_at(dir.path());
    let mut load = store.bulk_load().unwrap();
    let layout = Layout::new(&schema());
    for id in 0..50_000 {
        let row = row(1, id, id as i128);
        load.view(0, [(&*key::encode(&layout, &row, &[0, 1]), &*row)]).unwrap();
    }
    load.finish(Commit { up_to: Tick(1), ..Commit::default() }).unwrap();
    let _server = start(&store);
    let (tick, text) = get(dir.path(), "orders", &[]).await.unwrap();
    assert_eq!((tick, text.lines().count()), (Tick(1), 50_000));
    assert_eq!(text.lines().last().unwrap(), r#"{"shop":1,"id":49999,"total":499.99}"#);
}
