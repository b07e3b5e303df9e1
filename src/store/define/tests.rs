//! Inputs that are captured again.

use std::path::Path;

use super::*;
use crate::store::{Commit, RejectedRecord, Rejections, Resync, SourcePosition, Sync, TickMark, ViewBatch, ViewChange};
use crate::value::{Column, Datum, Layout, Position, Row, RowBuilder, Schema, Tick, Type, key};

fn schema() -> Schema {
    Schema::new(vec![Column::new("id", Type::Int64, false)])
}

fn row(id: i64) -> Row {
    let mut builder = RowBuilder::new(&Layout::new(&schema()));
    builder.push(Datum::Int(id));
    builder.finish()
}

fn inputs() -> [InputDef; 2] {
    ["a.t", "b.t"].map(|name| InputDef { name: name.into(), schema: schema(), key: vec![0] })
}

fn view(fingerprint: &str) -> ViewDef {
    ViewDef { name: "v".into(), schema: schema(), key: vec![0], fingerprint: fingerprint.into() }
}

fn mark(tick: u64, source: &str, position: &str) -> TickMark {
    TickMark { tick: Tick(tick), source: source.into(), position: Position::new(position), committed_ms: None }
}

fn held(store: &Store, input: usize) -> Vec<Row> {
    store.load_input(input).unwrap().map(|row| row.unwrap().0).collect()
}

/// Both inputs and the view have row 1, as of tick 1; one record of each source was rejected.
fn made(dir: &Path) -> Store {
    let store = Store::open(dir, Sync::Os).unwrap();
    store.define(&inputs(), &[view("1")]).unwrap();
    let mut load = store.bulk_load().unwrap();
    load.input(0, [&*row(1)]).unwrap();
    load.input(1, [&*row(1)]).unwrap();
    let mut out = Vec::new();
    key::push(&Type::Int64, Datum::Int(1), &mut out);
    load.view(0, [(&*out, &*row(1))]).unwrap();
    let rejected = ["a", "b"].map(|source| {
        let mut rejections = Rejections::default();
        rejections.add(RejectedRecord { table: "t".into(), place: format!("{source}:1"), reason: "why".into() });
        (source.to_string(), rejections)
    });
    let ticks = vec![mark(1, "a", "a1"), mark(1, "b", "b1")];
    load.finish(Commit { up_to: Tick(1), ticks, rejected: rejected.into(), ..Commit::default() }).unwrap();
    store
}

fn again(store: &Store) -> Definition {
    store.define_again(&inputs(), &[view("1")], &Redefine { again: &|input| input.name == "a.t", ..Redefine::NOTHING }).unwrap()
}

#[test]
fn an_input_captured_again_is_held_as_it_was_until_the_commit() {
    let dir = tempfile::tempdir().unwrap();
    let store = made(dir.path());
    store.note_resync("a", None, "because").unwrap();
    // Defined more than once: the store has what commits have completed, not what was defined meanwhile.
    for _ in 0..2 {
        let definition = again(&store);
        assert_eq!(definition.inputs, [InputState::Changed, InputState::Same]);
        assert_eq!((definition.views, definition.dropped.len()), (vec![ViewState::Same], 0));
        assert_eq!((held(&store, 0), held(&store, 1)), (vec![], vec![row(1)]));
        assert_eq!(store.view("v").unwrap().scan().unwrap().count(), 1, "the old answer");
        drop(store.bulk_load().unwrap());
    }
    drop(store);
    // As after a crash: only the note was written.
    let store = Store::open(dir.path(), Sync::Os).unwrap();
    let mut held_again = store.inputs();
    held_again.sort_by(|a, b| a.name.cmp(&b.name));
    assert_eq!(held_again, inputs());
    assert_eq!(store.resyncs().unwrap(), [Resync { source: "a".into(), table: None, reason: "because".into() }]);
    assert_eq!(store.rejected("a").count(), 1);
    assert_eq!(store.define(&inputs(), &[view("1")]).unwrap().inputs, [InputState::Same; 2]);
    assert_eq!((held(&store, 0), held(&store, 1)), (vec![row(1)], vec![row(1)]));

    again(&store);
    let mut load = store.bulk_load().unwrap();
    load.input(0, [&*row(2), &*row(3)]).unwrap();
    let captured = vec!["a".to_string()];
    load.finish(Commit { up_to: Tick(2), ticks: vec![mark(2, "a", "a2")], captured, ..Commit::default() }).unwrap();
    made_again(&store);
    drop(store);
    made_again(&Store::open(dir.path(), Sync::Os).unwrap());
}

fn made_again(store: &Store) {
    assert_eq!(store.define(&inputs(), &[view("1")]).unwrap().inputs, [InputState::Same; 2]);
    assert_eq!((held(store, 0), held(store, 1)), (vec![row(2), row(3)], vec![row(1)]));
    assert_eq!((store.input_len(0).unwrap(), store.input_len(1).unwrap()), (2, 1));
    assert!(store.resyncs().unwrap().is_empty());
    assert_eq!((store.rejected("a").count(), store.rejected("b").count()), (0, 1));
    let SourcePosition { position, .. } = &store.checkpoint().unwrap().sources["b"];
    assert_eq!(position.as_str(), "b1");
}

/// The fingerprint of a definition that was not committed must not be taken as that of the stored rows.
#[test]
fn a_view_that_was_redefined_and_not_committed_is_redefined_the_next_time_too() {
    let dir = tempfile::tempdir().unwrap();
    let store = made(dir.path());
    for _ in 0..2 {
        assert_eq!(store.define(&inputs(), &[view("2")]).unwrap().views, [ViewState::Redefined]);
    }
    let changes = vec![ViewChange { tick: Tick(2), key: row(9), after: Some(row(9)) }];
    store.commit(Commit { up_to: Tick(2), views: vec![ViewBatch { view: 0, changes, errors: vec![] }], ..Commit::default() }).unwrap();
    assert_eq!(store.define(&inputs(), &[view("2")]).unwrap().views, [ViewState::Same]);
}

fn wider() -> ViewDef {
    let schema = Schema::new(vec![Column::new("id", Type::Int64, false), Column::new("more", Type::Int64, false)]);
    ViewDef { schema, ..view("1") }
}

fn names_of_spaces(store: &Store) -> Vec<String> {
    let mut names: Vec<String> = store.0.db.list_keyspace_names().iter().map(|name| name.to_string()).collect();
    names.sort();
    names
}

/// The rows of the view as both ways of reading have them, and the number of its columns.
fn shown(store: &Store) -> (Vec<Row>, usize) {
    let view = store.view("v").unwrap();
    let rows: Vec<Row> = view.scan().unwrap().map(|row| row.unwrap().1).collect();
    let snapshot = store.snapshot();
    let names: Vec<String> = snapshot.views().map(|view| view.name().to_string()).collect();
    assert_eq!(names, ["v"], "one view of a name");
    assert_eq!(snapshot.view("v").unwrap().info().unwrap().rows as usize, rows.len());
    (rows, view.schema().columns().len())
}

#[test]
fn a_view_of_other_columns_is_read_as_it_was_until_the_commit() {
    let dir = tempfile::tempdir().unwrap();
    let store = made(dir.path());
    let before = names_of_spaces(&store);
    let old = (vec![row(1)], 1);
    for _ in 0..2 {
        assert_eq!(store.define(&inputs(), &[wider()]).unwrap().views, [ViewState::Changed]);
        assert_eq!(shown(&store), old);
        drop(store.bulk_load().unwrap());
    }
    // Back to what it was before a commit: nothing has happened.
    assert_eq!(store.define(&inputs(), &[view("1")]).unwrap().views, [ViewState::Same]);
    assert_eq!((shown(&store), names_of_spaces(&store)), (old.clone(), before));
    store.define(&inputs(), &[wider()]).unwrap();
    drop(store);
    // As after a crash: an own reader has the old rows too.
    let store = Store::open(dir.path(), Sync::Os).unwrap();
    assert_eq!(shown(&store), old);
    assert_eq!(store.define(&inputs(), &[wider()]).unwrap().views, [ViewState::Changed]);
    assert_eq!(shown(&store), old);

    let mut builder = RowBuilder::new(&Layout::new(&wider().schema));
    builder.push(Datum::Int(1));
    builder.push(Datum::Int(2));
    let new = builder.finish();
    let mut out = Vec::new();
    key::push(&Type::Int64, Datum::Int(1), &mut out);
    let before = store.snapshot();
    let mut load = store.bulk_load().unwrap();
    load.view(0, [(&*out, &*new)]).unwrap();
    load.finish(Commit { up_to: Tick(2), ticks: vec![mark(2, "a", "a2")], ..Commit::default() }).unwrap();
    assert_eq!(before.view("v").unwrap().scan_prefix(&[]).unwrap().count(), 1, "an answer that has begun");
    drop(before);
    assert_eq!(shown(&store), (vec![new.clone()], 2));
    assert_eq!(names_of_spaces(&store).len(), names_of_spaces(&made(tempfile::tempdir().unwrap().path())).len(), "the old rows are gone");
    drop(store);
    let store = Store::open(dir.path(), Sync::Os).unwrap();
    assert_eq!(shown(&store), (vec![new], 2));
    assert_eq!(store.define(&inputs(), &[wider()]).unwrap().views, [ViewState::Same]);
}

#[test]
fn what_a_source_without_an_input_left_out_is_forgotten() {
    let dir = tempfile::tempdir().unwrap();
    let store = made(dir.path());
    store.define(&inputs()[..1], &[view("1")]).unwrap();
    assert_eq!((store.rejected("a").count(), store.rejected("b").count()), (1, 0));
}
