//! The store as its users see it: commits, changelogs, compaction, bulk loads, and what is left after a crash.

use std::collections::BTreeMap;
use std::path::Path;

use proptest::prelude::*;
use tidemill::store::{
    BulkLoad, Commit, ErrorChange, InputDef, InputState, LoggedChange, RefusedDocument, Retention, Store, StoreError, Sync, TickMark,
    ViewBatch, ViewChange, ViewDef, ViewState,
};
use tidemill::value::{Column, Datum, Diff, Layout, Position, Row, RowBuilder, Schema, Tick, Type, key};

fn schema() -> Schema {
    Schema::new(vec![Column::new("id", Type::Int64, false), Column::new("name", Type::Text, true)])
}

fn row(id: i64, name: &str) -> Row {
    let mut builder = RowBuilder::new(&Layout::new(&schema()));
    builder.push(Datum::Int(id));
    builder.push(Datum::Text(name));
    builder.finish()
}

fn key_of(id: i64) -> Row {
    let mut out = Vec::new();
    key::push(&Type::Int64, Datum::Int(id), &mut out);
    out.into()
}

fn keyed() -> InputDef {
    InputDef { name: "shop.orders".into(), schema: schema(), key: vec![0] }
}

fn multiset() -> InputDef {
    InputDef { name: "shop.clicks".into(), schema: schema(), key: vec![] }
}

fn view_def() -> ViewDef {
    ViewDef { name: "orders".into(), schema: schema(), key: vec![0], fingerprint: "1".into() }
}

fn open(dir: &Path) -> Store {
    let store = Store::open(dir, Sync::Os).unwrap();
    store.define(&[keyed(), multiset()], &[view_def()]).unwrap();
    store
}

fn mark(tick: u64) -> TickMark {
    TickMark { tick: Tick(tick), source: "shop".into(), position: Position::new(format!("log:{tick}")), committed_ms: Some(1000 + tick) }
}

fn change(tick: u64, id: i64, after: Option<&str>) -> ViewChange {
    ViewChange { tick: Tick(tick), key: key_of(id), after: after.map(|name| row(id, name)) }
}

fn commit(up_to: u64, changes: Vec<ViewChange>) -> Commit {
    Commit {
        up_to: Tick(up_to),
        ticks: vec![mark(up_to)],
        views: vec![ViewBatch { view: 0, changes, errors: vec![] }],
        ..Commit::default()
    }
}

fn inputs(up_to: u64, input: usize, deltas: Vec<(Row, Diff)>) -> Commit {
    let deltas = deltas.into_iter().map(|(row, diff)| (Tick(up_to), row, diff)).collect();
    Commit { up_to: Tick(up_to), inputs: vec![(input, deltas)], ..Commit::default() }
}

fn held(store: &Store, input: usize) -> Vec<(Row, Diff)> {
    let mut rows: Vec<_> = store.load_input(input).unwrap().map(Result::unwrap).collect();
    rows.sort();
    rows
}

fn rows(store: &Store) -> Vec<(Row, Row)> {
    store.view("orders").unwrap().scan().unwrap().map(Result::unwrap).collect()
}

#[test]
fn what_was_committed_is_there_after_reopening() {
    let dir = tempfile::tempdir().unwrap();
    let id = {
        let store = open(dir.path());
        assert_eq!(store.checkpoint(), None);
        let mut first = commit(2, vec![change(1, 7, Some("a")), change(2, 3, Some("b"))]);
        first.inputs = vec![(0, vec![(Tick(1), row(7, "a"), 1)]), (1, vec![(Tick(1), row(1, "x"), 2)])];
        first.ticks = vec![mark(1), mark(2)];
        store.commit(first).unwrap();
        store.id().to_string()
    };
    let store = Store::open(dir.path(), Sync::Os).unwrap();
    assert_eq!(store.id(), id);
    let checkpoint = store.checkpoint().unwrap();
    assert_eq!((checkpoint.tick, checkpoint.sources["shop"].position.as_str()), (Tick(2), "log:2"));
    assert_eq!(*store.committed().borrow(), Tick(2));
    let view = store.view("orders").unwrap();
    assert_eq!((view.schema(), view.key_columns()), (&schema(), &[0][..]));
    assert_eq!(rows(&store), [(key_of(3), row(3, "b")), (key_of(7), row(7, "a"))]);
    assert_eq!(view.get(&key_of(7)).unwrap(), Some(row(7, "a")));
    assert_eq!(view.get(&key_of(8)).unwrap(), None);
    let definition = store.define(&[keyed(), multiset()], &[view_def()]).unwrap();
    assert_eq!((definition.inputs, definition.views), (vec![InputState::Same; 2], vec![ViewState::Same]));
    assert_eq!(held(&store, 0), [(row(7, "a"), 1)]);
    assert_eq!(held(&store, 1), [(row(1, "x"), 2)]);
    assert_eq!(store.tick_of(Some("shop"), "log:1").unwrap(), Some(Tick(1)));
    assert_eq!(store.tick_of(Some("other"), "log:1").unwrap(), None);
    let of_two = store.positions_of(Tick(2)).unwrap();
    assert_eq!((of_two.len(), of_two[0].position.as_str(), of_two[0].committed_ms), (1, "log:2", Some(1002)));
}

#[test]
fn a_row_that_stays_as_it_was_is_neither_written_nor_logged() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    store.commit(commit(1, vec![change(1, 1, Some("a")), change(1, 2, Some("b"))])).unwrap();
    let same = vec![change(2, 1, Some("a")), change(2, 2, Some("c")), change(3, 2, Some("c")), change(2, 9, None)];
    let done = store.commit(commit(3, same)).unwrap();
    assert_eq!((done.views[0].rows, done.views[0].changes), (1, 1));
    let view = store.view("orders").unwrap();
    let since = view.changes(Tick(1), 100).unwrap();
    assert_eq!(since.up_to, Tick(3));
    let expected = LoggedChange { tick: Tick(2), ordinal: 0, key: key_of(2), before: Some(row(2, "b")), after: Some(row(2, "c")) };
    assert_eq!(since.entries, [expected]);
    let info = view.info().unwrap();
    assert_eq!((info.rows, info.changes), (2, 3));
    assert_eq!(info.bytes as usize, 2 * (key_of(1).len() + row(1, "a").len()));
}

#[test]
fn a_key_changed_in_several_ticks_of_one_commit_has_an_entry_for_each() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let changes = vec![change(3, 1, None), change(1, 1, Some("a")), change(2, 1, Some("b")), change(2, 0, Some("z"))];
    let done = store.commit(commit(3, changes)).unwrap();
    assert_eq!((done.views[0].rows, done.views[0].changes), (2, 4));
    let view = store.view("orders").unwrap();
    let entries = view.changes(Tick(0), 100).unwrap().entries;
    let seen: Vec<_> = entries.iter().map(|e| (e.tick.0, e.ordinal, e.key.clone(), e.before.clone(), e.after.clone())).collect();
    let expected = [
        (1, 0, key_of(1), None, Some(row(1, "a"))),
        (2, 0, key_of(0), None, Some(row(0, "z"))),
        (2, 1, key_of(1), Some(row(1, "a")), Some(row(1, "b"))),
        (3, 0, key_of(1), Some(row(1, "b")), None),
    ];
    assert_eq!(seen, expected);
    assert_eq!(rows(&store), [(key_of(0), row(0, "z"))]);
    let one_tick = view.changes(Tick(1), 1).unwrap();
    assert_eq!((one_tick.entries.len(), one_tick.up_to), (2, Tick(2)));
}

#[test]
fn a_delete_and_an_insert_of_one_key_come_to_an_update() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    store.commit(inputs(1, 0, vec![(row(1, "a"), 1), (row(2, "b"), 1)])).unwrap();
    store.commit(inputs(2, 0, vec![(row(1, "c"), 1), (row(1, "a"), -1), (row(2, "b"), -1)])).unwrap();
    assert_eq!(held(&store, 0), [(row(1, "c"), 1)]);
    assert_eq!(store.input_len(0).unwrap(), 1);
    let refused = store.commit(inputs(3, 0, vec![(row(5, "a"), 1), (row(5, "b"), 1)])).unwrap_err();
    assert_eq!(refused.to_string(), "bug: `shop.orders` has more than one row with the same key");
    assert!(matches!(store.commit(inputs(3, 0, vec![])), Err(StoreError::Failed { .. })));
    drop(store);
    assert_eq!(held(&open(dir.path()), 0), [(row(1, "c"), 1)]);
}

#[test]
fn rows_without_a_key_are_counted() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    store.commit(inputs(1, 1, vec![(row(1, "a"), 1), (row(1, "a"), 2), (row(2, "b"), 1)])).unwrap();
    store.commit(inputs(2, 1, vec![(row(1, "a"), -1), (row(2, "b"), -1)])).unwrap();
    assert_eq!(held(&store, 1), [(row(1, "a"), 2)]);
    assert_eq!(store.input_len(1).unwrap(), 2);
}

#[test]
fn errors_of_a_view_are_counted_and_go_when_retracted() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let error = |tick, diff| ErrorChange { tick: Tick(tick), message: "a bad row".into(), diff };
    let with =
        |up_to, errors| Commit { up_to: Tick(up_to), views: vec![ViewBatch { view: 0, changes: vec![], errors }], ..Commit::default() };
    store.commit(with(1, vec![error(1, 1)])).unwrap();
    store.commit(with(2, vec![error(2, 1)])).unwrap();
    let view = store.view("orders").unwrap();
    let errors = view.errors().unwrap();
    assert_eq!((errors.len(), errors[0].count, errors[0].since, errors[0].message.as_str()), (1, 2, Tick(1), "a bad row"));
    assert_eq!(view.info().unwrap().errors, 2);
    store.commit(with(3, vec![error(3, -2)])).unwrap();
    assert!(view.errors().unwrap().is_empty());
    assert_eq!(view.info().unwrap().errors, 0);
}

#[test]
fn a_commit_must_go_forward() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    store.commit(commit(5, vec![])).unwrap();
    let again = store.commit(commit(6, vec![change(5, 1, Some("a"))])).unwrap_err();
    assert_eq!(again.to_string(), "bug: a change at tick 5 in a commit after 5 up to 6");
    drop(store);
    let store = open(dir.path());
    assert_eq!(store.checkpoint().unwrap().tick, Tick(5));
    // Positions alone may move on.
    store.commit(Commit { up_to: Tick(5), ticks: vec![mark(5)], ..Commit::default() }).unwrap();
}

#[test]
fn a_changed_definition_drops_what_no_longer_fits_and_keeps_the_rest() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let mut first = commit(1, vec![change(1, 1, Some("a"))]);
    first.inputs = vec![(0, vec![(Tick(1), row(1, "a"), 1)])];
    store.commit(first).unwrap();
    let redefined = ViewDef { fingerprint: "2".into(), ..view_def() };
    let definition = store.define(&[keyed()], std::slice::from_ref(&redefined)).unwrap();
    assert_eq!(definition.views, [ViewState::Redefined]);
    assert_eq!(definition.dropped, ["shop.clicks"]);
    for (wanted, different) in [
        (vec![(2, "b"), (1, "A")], vec![(key_of(1), Some(row(1, "A"))), (key_of(2), Some(row(2, "b")))]),
        (vec![(2, "b")], vec![(key_of(1), None), (key_of(2), Some(row(2, "b")))]),
        (vec![(1, "a")], vec![]),
    ] {
        let mut load = store.bulk_load_beside(&[0]).unwrap();
        for (id, name) in wanted {
            load.view(0, [(&*key_of(id), &*row(id, name))]).unwrap();
        }
        assert_eq!(load.difference(0).unwrap().map(Result::unwrap).collect::<Vec<_>>(), different);
        assert_eq!(rows(&store), [(key_of(1), row(1, "a"))], "the view is as it was");
        drop(load);
        store.define(&[keyed()], std::slice::from_ref(&redefined)).unwrap();
    }
    drop(store);
    // Not committed, so not there.
    let store = Store::open(dir.path(), Sync::Os).unwrap();
    assert_eq!(store.define(&[keyed()], std::slice::from_ref(&redefined)).unwrap().views, [ViewState::Redefined]);
    store.commit(commit(2, vec![change(2, 1, Some("A"))])).unwrap();
    drop(store);
    let store = Store::open(dir.path(), Sync::Os).unwrap();
    assert_eq!(store.define(&[keyed()], std::slice::from_ref(&redefined)).unwrap().views, [ViewState::Same]);
    let wider = Schema::new([schema().columns(), &[Column::new("more", Type::Bool, true)]].concat());
    let other_input = InputDef { schema: wider.clone(), ..keyed() };
    let definition = store.define(&[other_input], &[ViewDef { schema: wider, ..redefined }]).unwrap();
    assert_eq!((definition.inputs, definition.views), (vec![InputState::Changed], vec![ViewState::Changed]));
    assert!(held(&store, 0).is_empty());
    // Who reads has the old rows until the new ones are whole.
    let old = store.view("orders").unwrap();
    assert_eq!((old.schema(), store.defined_view("orders").is_none()), (&schema(), true));
    let floor = old.info().unwrap().floor;
    store.compact_all(&Retention { ticks: Some(0), ..Retention::default() }).unwrap();
    assert_eq!(old.info().unwrap().floor, floor, "it goes with the commit, and until then nothing is taken from it");
    store.commit(commit(3, vec![change(3, 9, Some("z"))])).unwrap();
    // Whoever was at tick 2 of the old one must take the new one as a whole.
    let view = store.view("orders").unwrap();
    let refused = view.changes(Tick(2), 10).unwrap_err();
    assert_eq!(refused.to_string(), "the changelog of `orders` starts after tick 3, but tick 2 was requested");
    assert_eq!(view.changes_from_start().unwrap().map(Result::unwrap).count(), 1);
    // So must who still has the old one.
    let refused = old.changes(Tick(2), 10).unwrap_err();
    assert_eq!(refused.to_string(), "the changelog of `orders` starts after tick 3, but tick 2 was requested");
    assert!(matches!(old.changes_from_start(), Err(StoreError::Compacted { .. })));
}

#[test]
fn a_reader_that_is_released_holds_nothing_back_until_it_comes_again() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    for tick in 1..=10 {
        store.commit(commit(tick, vec![change(tick, 1, Some(&tick.to_string()))])).unwrap();
    }
    let floor = || store.view("orders").unwrap().info().unwrap().floor;
    store.set_reader("here", "orders", Tick(6)).unwrap();
    store.set_reader("gone", "orders", Tick(2)).unwrap();
    store.compact_all(&Retention::default()).unwrap();
    assert_eq!(floor(), Tick(2));
    let released = store.release_readers_but(&["here"]).unwrap();
    assert_eq!(released.iter().map(|reader| (reader.name.as_str(), reader.tick)).collect::<Vec<_>>(), [("gone", Tick(2))]);
    store.compact_all(&Retention::default()).unwrap();
    assert_eq!(floor(), Tick(6));
    store.set_reader("gone", "orders", Tick(7)).unwrap();
    store.set_reader("here", "orders", Tick(10)).unwrap();
    store.compact_all(&Retention::default()).unwrap();
    assert_eq!(floor(), Tick(7));
    assert!(store.ask_resync("gone", true).unwrap() && !store.ask_resync("never", true).unwrap());
    store.set_reader("gone", "orders", Tick(8)).unwrap();
    assert!(store.reader("gone").unwrap().unwrap().resync, "it is asked until it is done");
}

#[test]
fn refused_documents_are_kept_of_each_sink_until_they_are_taken() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let refused = |key: &[u8], reason: &str| RefusedDocument { key: Row::from_bytes(key), since: Tick(3), reason: reason.into() };
    let (a, b) = (refused(b"a\0", "large"), refused(b"b", "a name"));
    store.set_reader("mongo", "orders", Tick(3)).unwrap();
    store.note_refused("mongo", [], [b.clone(), a.clone()]).unwrap();
    store.note_refused("mongo2", [], [a.clone()]).unwrap();
    drop(store);
    let store = open(dir.path());
    let listed = |sink: &str| store.refused(sink).map(Result::unwrap).collect::<Vec<_>>();
    assert_eq!((listed("mongo"), listed("mongo2")), (vec![a.clone(), b.clone()], vec![a.clone()]));
    store.note_refused("mongo", [&a.key], [refused(b"b", "another")]).unwrap();
    assert_eq!((listed("mongo"), store.refused_count("mongo").unwrap()), (vec![refused(b"b", "another")], 1));
    assert!(store.remove_reader("mongo").unwrap() && !store.remove_reader("mongo").unwrap());
    assert_eq!((listed("mongo"), listed("mongo2")), (vec![], vec![a]));
}

#[test]
fn a_reader_holds_compaction_back() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    for tick in 1..=10 {
        store.commit(commit(tick, vec![change(tick, 1, Some(&tick.to_string()))])).unwrap();
    }
    store.set_reader("mongo", "orders", Tick(4)).unwrap();
    assert_eq!(store.readers().unwrap()[0].tick, Tick(4));
    let done = store.compact("orders", Tick(8)).unwrap().unwrap();
    assert_eq!((done.floor, done.entries), (Tick(4), 4));
    let view = store.view("orders").unwrap();
    assert_eq!(view.changes(Tick(4), 100).unwrap().entries.len(), 6);
    assert!(matches!(view.changes(Tick(3), 1), Err(StoreError::Compacted { floor: Tick(4), .. })));
    assert_eq!(store.tick_of(None, "log:3").unwrap(), None);
    assert_eq!(store.tick_of(None, "log:4").unwrap(), Some(Tick(4)));
    store.remove_reader("mongo").unwrap();
    store.compact_all(&Retention { ticks: Some(3), ..Retention::default() }).unwrap();
    assert_eq!(view.info().unwrap().floor, Tick(7));
    store.compact_all(&Retention { ticks: Some(0), age_ms: Some(3_600_000), bytes: None }).unwrap();
    assert_eq!(view.info().unwrap().floor, Tick(7), "all of it is younger than an hour");
    store.compact_all(&Retention::default()).unwrap();
    let start: Vec<_> = view.changes_from_start().unwrap().map(Result::unwrap).collect();
    assert_eq!((start.len(), start[0].tick, start[0].after.clone()), (1, Tick(10), Some(row(1, "10"))));
    assert!(store.compact("no such view", Tick(1)).unwrap().is_none());
}

#[test]
fn a_compaction_of_many_entries_is_exact_whatever_it_is_cut_into() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let ids = 0..3000;
    for tick in 1..=3 {
        let name = tick.to_string();
        store.commit(commit(tick, ids.clone().map(|id| change(tick, id, Some(&name))).collect())).unwrap();
    }
    let done = store.compact("orders", Tick(2)).unwrap().unwrap();
    assert_eq!((done.floor, done.entries), (Tick(2), 6000));
    let told: Vec<_> = store.view("orders").unwrap().changes_from_start().unwrap().map(Result::unwrap).collect();
    assert_eq!(told.len(), 6000);
    for (id, (base, entry)) in ids.zip(told.iter().zip(&told[3000..])) {
        assert_eq!((base.tick, &base.before, &base.after), (Tick(2), &None, &Some(row(id, "2"))));
        assert_eq!((entry.tick, &entry.before, &entry.after), (Tick(3), &Some(row(id, "2")), &Some(row(id, "3"))));
    }
}

#[test]
fn a_second_opener_is_told_who_has_the_folder() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let refused = Store::open_existing(dir.path()).unwrap_err();
    assert!(matches!(refused, StoreError::InUse { pid: Some(pid), .. } if pid == std::process::id()));
    drop(store);
    Store::open_existing(dir.path()).unwrap();
    let empty = tempfile::tempdir().unwrap();
    assert!(matches!(Store::open_existing(empty.path()), Err(StoreError::NoState { .. })));
}

fn load_some(store: &Store, ids: &[i64]) -> BulkLoad {
    let mut load = store.bulk_load().unwrap();
    for &id in ids {
        load.input(0, [&*row(id, "in")]).unwrap();
        load.input(1, [&*row(id % 2, "copy")]).unwrap();
        load.view(0, [(&*key_of(id), &*row(id, "out"))]).unwrap();
    }
    load
}

#[test]
fn a_bulk_load_is_the_base_that_changes_go_on_from() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let load = load_some(&store, &[3, 1, 2]);
    assert!(matches!(store.commit(commit(1, vec![])), Err(StoreError::Contract(_))));
    assert!(store.view("orders").is_none());
    drop(store);
    load.finish(Commit { up_to: Tick(4), ticks: vec![mark(4)], ..Commit::default() }).unwrap();
    let store = open(dir.path());
    assert_eq!(held(&store, 0), [1, 2, 3].map(|id| (row(id, "in"), 1)));
    assert_eq!(held(&store, 1), [(row(0, "copy"), 1), (row(1, "copy"), 2)]);
    assert_eq!((store.input_len(0).unwrap(), store.input_len(1).unwrap()), (3, 3));
    let mut next = commit(5, vec![change(5, 2, Some("new")), change(5, 3, None)]);
    next.inputs = vec![(1, vec![(Tick(5), row(1, "copy"), -1)])];
    store.commit(next).unwrap();
    assert_eq!(held(&store, 1), [(row(0, "copy"), 1), (row(1, "copy"), 1)]);
    let view = store.view("orders").unwrap();
    assert_eq!((view.len().unwrap(), view.info().unwrap().changes), (2, 2));
    let start: Vec<_> = view.changes_from_start().unwrap().map(Result::unwrap).collect();
    let told: Vec<_> = start.iter().map(|e| (e.tick.0, e.before.clone(), e.after.clone())).collect();
    let expected = [
        (4, None, Some(row(1, "out"))),
        (4, None, Some(row(2, "out"))),
        (4, None, Some(row(3, "out"))),
        (5, Some(row(2, "out")), Some(row(2, "new"))),
        (5, Some(row(3, "out")), None),
    ];
    assert_eq!(told, expected);
}

#[test]
fn the_commit_that_ends_a_load_may_bring_errors_of_the_view_and_no_rows() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let errors = vec![ErrorChange { tick: Tick(1), message: "a bad row".into(), diff: 1 }];
    let views = vec![ViewBatch { view: 0, changes: vec![], errors }];
    load_some(&store, &[1, 2]).finish(Commit { up_to: Tick(1), views, ..Commit::default() }).unwrap();
    let info = store.view("orders").unwrap().info().unwrap();
    assert_eq!((info.rows, info.errors), (2, 1));
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let refused = load_some(&store, &[1, 2]).finish(commit(1, vec![change(1, 1, None)])).unwrap_err();
    assert_eq!(refused.to_string(), "bug: `orders` is loaded and changed in one commit");
}

#[test]
fn a_load_in_any_order_and_of_many_runs_is_exact() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let mut load = store.bulk_load().unwrap();
    let count = 300_000i64;
    let long = "x".repeat(100);
    for i in 0..count {
        let id = i * 7919 % count;
        load.input(0, [&*row(id, &long)]).unwrap();
        load.input(1, [&*row(id % 1000, &long)]).unwrap();
    }
    // A key that comes again replaces, also from another run.
    load.input(0, [&*row(5, "last")]).unwrap();
    load.finish(Commit { up_to: Tick(1), ..Commit::default() }).unwrap();
    drop(store);
    let store = open(dir.path());
    let mut expected = 0;
    for read in store.load_input(0).unwrap() {
        let name = if expected == 5 { "last" } else { &long };
        assert_eq!(read.unwrap(), (row(expected, name), 1));
        expected += 1;
    }
    assert_eq!(expected, count);
    let copies = held(&store, 1);
    assert_eq!(copies.len(), 1000);
    assert!(copies.iter().all(|(_, diff)| *diff == count / 1000));
}

#[test]
fn a_load_that_was_not_finished_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    drop(load_some(&store, &[1, 2, 3]));
    assert!(matches!(store.commit(commit(1, vec![])), Err(StoreError::Contract(_))));
    drop(store);
    let store = Store::open(dir.path(), Sync::Os).unwrap();
    let definition = store.define(&[keyed(), multiset()], &[view_def()]).unwrap();
    assert_eq!((definition.inputs, definition.views), (vec![InputState::New; 2], vec![ViewState::New]));
    assert!(held(&store, 0).is_empty() && held(&store, 1).is_empty());
    drop(load_some(&store, &[1, 2, 3]));
    store.define(&[keyed(), multiset()], &[view_def()]).unwrap();
    load_some(&store, &[8]).finish(Commit { up_to: Tick(1), ..Commit::default() }).unwrap();
    assert_eq!(rows(&store), [(key_of(8), row(8, "out"))]);
    assert_eq!(held(&store, 0), [(row(8, "in"), 1)]);
}

/// What the store should hold, kept plainly.
#[derive(Default)]
struct Model {
    tick: u64,
    rows: BTreeMap<i64, String>,
    base: BTreeMap<i64, String>,
    floor: u64,
    log: Vec<(u64, i64, Option<String>, Option<String>)>,
}

impl Model {
    fn change(&mut self, tick: u64, id: i64, after: Option<String>) {
        let before = self.rows.get(&id).cloned();
        if before == after {
            return;
        }
        match &after {
            Some(name) => self.rows.insert(id, name.clone()),
            None => self.rows.remove(&id),
        };
        self.log.push((tick, id, before, after));
    }

    fn compact(&mut self, up_to: u64) {
        let up_to = up_to.min(self.tick);
        for (tick, id, _, after) in &self.log {
            if *tick <= up_to {
                match after {
                    Some(name) => self.base.insert(*id, name.clone()),
                    None => self.base.remove(id),
                };
            }
        }
        self.floor = self.floor.max(up_to);
        self.log.retain(|(tick, ..)| *tick > up_to);
    }

    fn since_start(&self) -> Vec<(u64, i64, Option<String>, Option<String>)> {
        let base = self.base.iter().map(|(id, name)| (self.floor, *id, None, Some(name.clone())));
        base.chain(self.log.iter().cloned()).collect()
    }
}

#[derive(Debug, Clone)]
enum Step {
    /// For each tick, what some keys come to.
    Commit(Vec<BTreeMap<i64, Option<u8>>>),
    /// That many ticks back from the last.
    Compact(u64),
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    let tick = prop::collection::btree_map(0i64..12, prop::option::of(0u8..3), 0..6);
    prop_oneof![
        6 => prop::collection::vec(tick, 1..4).prop_map(Step::Commit),
        2 => (0u64..6).prop_map(Step::Compact),
        1 => Just(Step::Reopen),
    ]
}

fn name_of(row: &Row) -> String {
    match Layout::new(&schema()).get(row, 1) {
        Datum::Text(name) => name.to_string(),
        other => panic!("a name is text, not {other:?}"),
    }
}

fn id_of(row: &Row) -> i64 {
    match Layout::new(&schema()).get(row, 0) {
        Datum::Int(id) => id,
        other => panic!("an id is an integer, not {other:?}"),
    }
}

fn check_against(store: &Store, model: &Model) {
    let Some(view) = store.view("orders") else {
        assert_eq!(model.tick, 0);
        return;
    };
    let scanned: BTreeMap<i64, String> = rows(store).iter().map(|(_, row)| (id_of(row), name_of(row))).collect();
    assert_eq!(scanned, model.rows);
    assert_eq!(view.len().unwrap() as usize, model.rows.len());
    let told: Vec<_> = view
        .changes_from_start()
        .unwrap()
        .map(Result::unwrap)
        .map(|e| {
            let id = id_of(e.before.as_ref().or(e.after.as_ref()).unwrap());
            assert_eq!(e.key, key_of(id));
            (e.tick.0, id, e.before.as_ref().map(name_of), e.after.as_ref().map(name_of))
        })
        .collect();
    assert_eq!(told, model.since_start());
    let after = view.changes(Tick(model.floor), 3).unwrap();
    let expected = model.log.iter().filter(|(tick, ..)| *tick <= after.up_to.0).count();
    assert_eq!(after.entries.len(), expected);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_order_of_commits_compactions_and_reopenings_tells_one_story(steps in prop::collection::vec(step(), 1..25), bulk in any::<bool>()) {
        let dir = tempfile::tempdir().unwrap();
        let mut model = Model::default();
        let mut store = open(dir.path());
        if bulk {
            load_some(&store, &[4, 2, 9]).finish(Commit { up_to: Tick(1), ..Commit::default() }).unwrap();
            model = Model { tick: 1, floor: 1, ..Model::default() };
            model.base = [2, 4, 9].map(|id| (id, "out".to_string())).into();
            model.rows = model.base.clone();
        }
        for step in steps {
            match step {
                Step::Commit(ticks) => {
                    let mut changes = Vec::new();
                    for keys in ticks {
                        model.tick += 1;
                        for (id, name) in keys {
                            let name = name.map(|n| n.to_string());
                            changes.push(change(model.tick, id, name.as_deref()));
                            model.change(model.tick, id, name);
                        }
                    }
                    changes.reverse();
                    store.commit(commit(model.tick, changes)).unwrap();
                }
                Step::Compact(back) => {
                    let up_to = model.tick.saturating_sub(back);
                    if store.compact("orders", Tick(up_to)).unwrap().is_some() {
                        model.compact(up_to);
                    }
                }
                Step::Reopen => {
                    drop(store);
                    store = open(dir.path());
                }
            }
            check_against(&store, &model);
        }
    }
}
