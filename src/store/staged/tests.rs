//! Staged rows against a model of the server, over crashes, and the way to the inputs that they become.

use std::fs::{self, File};
use std::path::Path;
use std::time::Duration;

use super::*;
use crate::store::slots::{self, SlotContent};
use crate::store::staged_state::{STAGED, StagedRecord};
use crate::store::{Commit, InputState, Redefine, RejectedRecord, Sync, TickMark, ViewDef, journal, tree};
use crate::value::{Column, Datum, Delta, Layout, Position, Row, RowBuilder, Rows, Schema, Tick, Type, key};

mod kills;
mod random;

fn schema() -> Schema {
    Schema::new(vec![Column::new("id", Type::Int64, false), Column::new("v", Type::Int64, false)])
}

fn row(id: i64, v: i64) -> Row {
    let mut builder = RowBuilder::new(&Layout::new(&schema()));
    builder.push(Datum::Int(id));
    builder.push(Datum::Int(v));
    builder.finish()
}

fn rows(pairs: impl IntoIterator<Item = (i64, i64)>) -> Rows {
    pairs.into_iter().map(|(id, v)| row(id, v)).collect()
}

fn key_of(id: i64) -> Row {
    let mut out = Vec::new();
    key::push(&Type::Int64, Datum::Int(id), &mut out);
    out.into()
}

fn input(name: &str) -> InputDef {
    InputDef { name: name.into(), schema: schema(), key: vec![0] }
}

fn tables() -> [InputDef; 2] {
    [input("shop.a"), input("shop.b")]
}

fn other() -> InputDef {
    input("other.t")
}

fn insert(table: usize, id: i64, v: i64) -> Delta {
    Delta { table, row: row(id, v), diff: 1 }
}

fn delete(table: usize, id: i64, v: i64) -> Delta {
    Delta { table, row: row(id, v), diff: -1 }
}

fn at(text: &str) -> Position {
    Position::new(text)
}

fn open(dir: &Path) -> Store {
    Store::open(dir, Sync::Os).unwrap()
}

/// A new store with an input of another source that has row 1 as of tick 1.
fn made(dir: &Path) -> Store {
    let store = open(dir);
    store.define(&[other()], &[]).unwrap();
    let mut load = store.bulk_load().unwrap();
    load.input(0, [&*row(1, 1)]).unwrap();
    load.finish(commit(1, "other", "o1")).unwrap();
    store
}

fn commit(tick: u64, source: &str, position: &str) -> Commit {
    let mark = TickMark { tick: Tick(tick), source: source.into(), position: at(position), committed_ms: None };
    Commit { up_to: Tick(tick), ticks: vec![mark], ..Commit::default() }
}

/// What a running engine commits: input 0, the one of the other source, gets a row.
fn next_commit(store: &Store) {
    let tick = store.checkpoint().map_or(1, |checkpoint| checkpoint.tick.0 + 1);
    let mut commit = commit(tick, "other", &format!("o{tick}"));
    commit.inputs = vec![(0, vec![(Tick(tick), row(tick as i64, 0), 1)])];
    store.commit(commit).unwrap();
}

fn held(store: &Store, input: usize) -> Vec<Row> {
    store.load_input(input).unwrap().map(|row| row.unwrap().0).collect()
}

fn is_of_shop(def: &InputDef) -> bool {
    def.name.starts_with("shop.")
}

/// Defines the input of the other source and then the tables, which are taken from what is staged.
fn define(store: &Store, tables: &[InputDef]) -> Result<Vec<InputState>, StoreError> {
    let inputs: Vec<InputDef> = [other()].iter().chain(tables).cloned().collect();
    Ok(store.define_again(&inputs, &[], &Redefine { staged: &is_of_shop, ..Redefine::NOTHING })?.inputs)
}

/// The commit after [`define`], as an engine makes it: all rows are read before.
fn take(store: &Store, tables: usize) {
    let mut load = store.bulk_load().unwrap();
    for input in 1..=tables {
        assert!(!store.is_input_ready(input).unwrap());
        for row in held(store, input) {
            load.staged_input(input, 1, row.len() as u64);
        }
    }
    let tick = store.checkpoint().unwrap().tick.0 + 1;
    load.finish(Commit { captured: vec!["shop".into()], ..commit(tick, "shop", "p") }).unwrap();
}

fn names_of_spaces(store: &Store) -> Vec<String> {
    let mut names: Vec<String> = store.0.db.list_keyspace_names().iter().map(|name| name.to_string()).collect();
    names.retain(|name| name != "meta" && name != "ticks");
    names.sort();
    names
}

fn progress(store: &Store) -> Vec<Option<String>> {
    store.staged()["shop"].inputs.iter().map(|input| input.progress.clone()).collect()
}

fn refusal<T: std::fmt::Debug>(done: Result<T, StoreError>) -> String {
    let error = done.unwrap_err();
    assert!(matches!(error, StoreError::Contract(_)), "{error}");
    error.to_string()
}

#[test]
fn a_key_that_a_change_has_touched_has_the_row_of_its_last_change() {
    let dir = tempfile::tempdir().unwrap();
    let store = made(dir.path());
    let mut staging = store.stage("shop", &tables()).unwrap();
    let chunk = || rows((0..8).map(|id| (id, 0)));
    staging.add(0, &chunk()).unwrap();
    staging.apply(&[delete(0, 1, 0), delete(0, 2, 0), insert(0, 2, 20), delete(0, 3, 0), insert(0, 30, 3), insert(0, 9, 9)]).unwrap();
    staging.add(0, &chunk()).unwrap();
    staging.save(&[Some("half".into()), None], &at("p1"), false).unwrap();
    // Written by now, so they are looked up.
    staging.add(0, &rows([(1, 1), (2, 2), (3, 3), (4, 40), (9, 0), (30, 0)])).unwrap();
    staging.apply(&[delete(0, 5, 0), delete(0, 9, 9), delete(0, 77, 7), insert(1, 1, 1)]).unwrap();
    drop(staging);
    drop(store);
    let store = open(dir.path());
    let mut staging = store.stage("shop", &tables()).unwrap();
    assert_eq!((staging.position(), staging.progress()), (Some(&at("p1")), vec![Some("half".into()), None]));
    // What was applied after the save is applied again.
    staging.apply(&[delete(0, 5, 0), delete(0, 9, 9), delete(0, 77, 7), insert(1, 1, 1)]).unwrap();
    staging.add(0, &rows([(1, 1), (2, 2), (3, 3), (4, 40), (5, 5), (9, 0), (30, 0), (77, 7), (6, 1), (6, 60)])).unwrap();
    staging.add(1, &rows([(1, 0), (2, 0)])).unwrap();
    staging.save(&[None, Some("all".into())], &at("p2"), true).unwrap();
    assert_eq!(staging.progress(), [Some("half".into()), Some("all".into())]);
    assert_eq!(define(&store, &tables()).unwrap(), [InputState::Same, InputState::Staged, InputState::Staged]);
    assert_eq!(held(&store, 1), [row(0, 0), row(2, 20), row(4, 40), row(6, 60), row(7, 0), row(30, 3)]);
    assert_eq!(held(&store, 2), [row(1, 1), row(2, 0)]);
}

#[test]
fn what_is_taken_is_an_input_like_any_other_and_nothing_else_is_left_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let store = made(dir.path());
    let mut staging = store.stage("shop", &tables()).unwrap();
    staging.add(0, &rows([(1, 1), (2, 2)])).unwrap();
    staging.apply(&[insert(0, 2, 20), insert(1, 1, 1)]).unwrap();
    staging.reject(RejectedRecord { table: "a".into(), place: "here".into(), reason: "why".into() });
    staging.save(&[None, None], &at("p"), true).unwrap();
    assert_eq!(store.rejected("shop").count(), 0, "not before they are taken");
    assert_eq!(store.compare(&tables(), &[], &Redefine { staged: &is_of_shop, ..Redefine::NOTHING }).inputs, [InputState::Staged; 2]);
    assert_eq!(define(&store, &tables()).unwrap(), [InputState::Same, InputState::Staged, InputState::Staged]);
    assert_eq!(store.input_row(1, &key_of(2)).unwrap(), Some(row(2, 20)));
    assert_eq!(store.divergence(1, &[(Tick(2), row(2, 20), -1)]).unwrap(), None);
    assert_eq!(refusal(store.bulk_load().unwrap().input(1, [&*row(3, 3)])), "bug: `shop.a` is loaded already");
    define(&store, &tables()).unwrap();
    take(&store, 2);
    let check = |store: &Store| {
        assert_eq!((held(store, 1), held(store, 2)), (vec![row(1, 1), row(2, 20)], vec![row(1, 1)]));
        assert_eq!((store.input_len(1).unwrap(), store.input_len(2).unwrap()), (2, 1));
        let id = store.input_space(1).unwrap().record.id;
        assert_eq!(store.counters(&store.0.db.snapshot(), id).unwrap().bytes as usize, 2 * row(1, 1).len());
        assert!(store.is_input_ready(1).unwrap() && store.staged().is_empty());
        assert_eq!(names_of_spaces(store), ["rows-1", "rows-2", "rows-3"]);
        assert_eq!((store.rejected("shop").count(), store.rejected_counts().unwrap()["shop"]["a"]), (1, 1));
        assert_eq!(store.0.meta.prefix(STAGED).count(), 0);
    };
    check(&store);
    assert!(refusal(staging.save(&[None, None], &at("q"), true)).ends_with("is taken, dropped or staged anew"));
    drop((staging, store));
    let store = open(dir.path());
    let inputs: Vec<InputDef> = [other()].into_iter().chain(tables()).collect();
    assert_eq!(store.define(&inputs, &[]).unwrap().inputs, [InputState::Same; 3]);
    check(&store);
    let mut next = commit(3, "shop", "p3");
    next.inputs = vec![(1, vec![(Tick(3), row(2, 20), -1), (Tick(3), row(5, 5), 1), (Tick(3), row(6, 6), 1)])];
    store.commit(next).unwrap();
    assert_eq!((held(&store, 1), store.input_len(1).unwrap()), (vec![row(1, 1), row(5, 5), row(6, 6)], 3));
}

#[test]
fn until_the_commit_a_crash_leaves_them_staged_and_the_old_input_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let store = made(dir.path());
    let mut staging = store.stage("shop", &tables()[..1]).unwrap();
    staging.add(0, &rows([(1, 1)])).unwrap();
    staging.save(&[None], &at("p"), true).unwrap();
    define(&store, &tables()[..1]).unwrap();
    take(&store, 1);
    drop(staging);
    // It is captured once more.
    let mut staging = store.stage("shop", &tables()[..1]).unwrap();
    staging.add(0, &rows([(2, 2), (3, 3)])).unwrap();
    staging.save(&[Some("all".into())], &at("q"), true).unwrap();
    let spaces = names_of_spaces(&store);
    assert_eq!(spaces, ["rows-1", "rows-2", "rows-3", "touched-3"]);
    for _ in 0..2 {
        assert_eq!(define(&store, &tables()[..1]).unwrap(), [InputState::Same, InputState::Staged]);
        assert_eq!(held(&store, 1), [row(2, 2), row(3, 3)]);
        assert_eq!(
            refusal(staging.apply(&[insert(0, 4, 4)]).and_then(|()| staging.save(&[None], &at("r"), true))),
            "bug: what is staged of `shop` changes before the commit that takes it"
        );
        refusal(store.drop_staged("shop"));
        refusal(store.stage("shop", &tables()[..1]));
        drop(store.bulk_load().unwrap());
    }
    drop((staging, store));
    let store = open(dir.path());
    assert_eq!(names_of_spaces(&store), spaces);
    let staged = &store.staged()["shop"];
    assert_eq!((staged.exact, &staged.position, progress(&store)), (true, &Some(at("q")), vec![Some("all".into())]));
    // Without them it is the old input.
    assert_eq!(store.define(&[other(), tables()[0].clone()], &[]).unwrap().inputs, [InputState::Same; 2]);
    assert_eq!(held(&store, 1), [row(1, 1)]);
    next_commit(&store);
    assert_eq!(names_of_spaces(&store), spaces);
    define(&store, &tables()[..1]).unwrap();
    take(&store, 1);
    assert_eq!((held(&store, 1), store.input_len(1).unwrap()), (vec![row(2, 2), row(3, 3)], 2));
    assert_eq!(names_of_spaces(&store), ["rows-1", "rows-3"]);
}

#[test]
fn only_exact_rows_of_the_same_definition_are_taken() {
    let dir = tempfile::tempdir().unwrap();
    let store = made(dir.path());
    let none = "bug: `shop.a` has no exact staged rows of this definition";
    assert_eq!(refusal(define(&store, &tables()[..1])), none);
    let mut staging = store.stage("shop", &tables()[..1]).unwrap();
    staging.save(&[None], &at("p"), false).unwrap();
    assert_eq!(refusal(define(&store, &tables()[..1])), none);
    staging.save(&[None], &at("p"), true).unwrap();
    let wider = InputDef { schema: Schema::new([schema().columns(), schema().columns()].concat()), ..input("shop.a") };
    assert_eq!(refusal(define(&store, &[wider])), none);
    // What is written afterwards may be of a later position, whether it is saved or not.
    staging.batch_keys = 1;
    staging.apply(&[insert(0, 1, 1)]).unwrap();
    assert!(!store.staged()["shop"].exact);
    assert_eq!(refusal(define(&store, &tables()[..1])), none);
    drop((staging, store));
    let store = open(dir.path());
    assert_eq!(refusal(define(&store, &tables()[..1])), none);
    let mut staging = store.stage("shop", &tables()[..1]).unwrap();
    staging.save(&[None], &at("p1"), true).unwrap();
    // An input that is added has nothing yet.
    store.stage("shop", &tables()).unwrap();
    assert_eq!(refusal(define(&store, &tables()[..1])), none);
}

#[test]
fn an_input_of_another_definition_begins_anew_and_the_others_go_on() {
    let dir = tempfile::tempdir().unwrap();
    let store = made(dir.path());
    let mut staging = store.stage("shop", &tables()).unwrap();
    for table in 0..2 {
        staging.add(table, &rows([(1, 1), (2, 2)])).unwrap();
        staging.apply(&[insert(table, 2, 20)]).unwrap();
        staging.reject(RejectedRecord { table: ["a", "b"][table].into(), place: String::new(), reason: "why".into() });
    }
    staging.save(&[Some("a1".into()), Some("b1".into())], &at("p"), true).unwrap();
    assert_eq!(names_of_spaces(&store), ["rows-1", "rows-2", "rows-3", "touched-2", "touched-3"]);
    let wider = Schema::new(vec![Column::new("id", Type::Int64, false), Column::new("v", Type::Int64, true)]);
    let changed = InputDef { schema: wider, ..input("shop.a") };
    // In another order, too.
    let mut again = store.stage("shop", &[tables()[1].clone(), changed.clone()]).unwrap();
    assert_eq!((again.position(), again.progress()), (Some(&at("p")), vec![Some("b1".into()), None]));
    assert!(!store.staged()["shop"].exact);
    refusal(staging.save(&[None, None], &at("q"), true));
    assert_eq!(names_of_spaces(&store), ["rows-1", "rows-3", "rows-4", "touched-3", "touched-4"]);
    again.add(0, &rows([(2, 0), (3, 3)])).unwrap();
    again.add(1, &rows([(2, 0)])).unwrap();
    again.save(&[None, Some("a2".into())], &at("q"), true).unwrap();
    drop((staging, again, store));
    let store = open(dir.path());
    define(&store, &[changed, tables()[1].clone()]).unwrap();
    assert_eq!((held(&store, 1), held(&store, 2)), (vec![row(2, 0)], vec![row(1, 1), row(2, 20), row(3, 3)]));
    take(&store, 2);
    assert_eq!(store.rejected_counts().unwrap()["shop"].keys().collect::<Vec<_>>(), ["b"], "those of the other definition are gone");
}

/// It may begin at another position the next time, and changes in between would be missing.
#[test]
fn what_was_never_saved_begins_anew() {
    let dir = tempfile::tempdir().unwrap();
    let store = made(dir.path());
    let mut staging = store.stage("shop", &tables()[..1]).unwrap();
    staging.batch_keys = 1;
    staging.add(0, &rows([(1, 1)])).unwrap();
    staging.apply(&[insert(0, 2, 2), insert(0, 3, 3)]).unwrap();
    drop((staging, store));
    let store = open(dir.path());
    assert_eq!(store.staged()["shop"].position, None);
    let mut staging = store.stage("shop", &tables()[..1]).unwrap();
    staging.add(0, &rows([(2, 20)])).unwrap();
    staging.save(&[None], &at("p"), true).unwrap();
    define(&store, &tables()[..1]).unwrap();
    assert_eq!(held(&store, 1), [row(2, 20)]);
    assert_eq!(names_of_spaces(&store), ["rows-1", "rows-3", "touched-3"]);
}

#[test]
fn ids_are_never_given_twice() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = made(dir.path());
    for number in 0..4u32 {
        let mut staging = store.stage("shop", &tables()).unwrap();
        staging.add(0, &rows([(i64::from(number), 0)])).unwrap();
        staging.save(&[None, None], &at("p"), true).unwrap();
        let ids = [2 + 2 * number, 3 + 2 * number];
        let named = |id: u32| [format!("rows-{id}"), format!("touched-{id}")];
        let mut expected: Vec<String> = ids.into_iter().flat_map(named).chain(["rows-1".to_string()]).collect();
        expected.sort();
        assert_eq!(names_of_spaces(&store), expected);
        define(&store, &tables()).unwrap();
        assert_eq!((held(&store, 1), held(&store, 2).len()), (vec![row(i64::from(number), 0)], 0), "none of those before");
        store.define(&[other()], &[]).unwrap();
        if number % 2 == 0 {
            drop((staging, store));
            store = open(dir.path());
        }
        store.drop_staged("shop").unwrap();
        store.drop_staged("shop").unwrap();
        assert_eq!((names_of_spaces(&store), store.staged().len()), (vec!["rows-1".to_string()], 0));
        next_commit(&store);
    }
    // Neither is one of a definition that no commit completed.
    store.define(&[other(), input("third.t")], &[]).unwrap();
    assert_eq!(names_of_spaces(&store), ["rows-1", "rows-10"]);
    store.stage("shop", &tables()[..1]).unwrap();
    drop(store.bulk_load().unwrap());
    store.define(&[other(), input("third.t")], &[]).unwrap();
    assert_eq!(names_of_spaces(&store), ["rows-1", "rows-11", "rows-12", "touched-11"]);
}

#[test]
fn a_running_engine_commits_loads_and_defines_meanwhile() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), Sync::EachCommit).unwrap();
    let view = ViewDef { name: "v".into(), schema: schema(), key: vec![0], fingerprint: "1".into() };
    // Before there is anything else.
    let mut staging = store.stage("shop", &tables()).unwrap();
    staging.batch_keys = 2;
    let mut add = |from: i64| {
        staging.add(0, &rows((from..from + 5).map(|id| (id, id)))).unwrap();
        staging.apply(&[insert(1, from, from)]).unwrap();
        staging.save(&[Some(from.to_string()), None], &at(&from.to_string()), true).unwrap();
    };
    add(0);
    store.define(&[other()], std::slice::from_ref(&view)).unwrap();
    add(5);
    let mut load = store.bulk_load().unwrap();
    load.input(0, [&*row(1, 1)]).unwrap();
    add(10);
    load.view(0, [(&*key_of(1), &*row(1, 1))]).unwrap();
    load.finish(commit(1, "other", "o1")).unwrap();
    add(15);
    next_commit(&store);
    // The rows that are compared with a view stay, also when key spaces are made and dropped.
    let mut load = store.bulk_load_beside(&[0]).unwrap();
    load.view(0, [(&*key_of(2), &*row(2, 2))]).unwrap();
    store.stage("third", &[input("third.t")]).unwrap();
    store.drop_staged("third").unwrap();
    add(20);
    let different = load.difference(0).unwrap().map(Result::unwrap).collect::<Vec<_>>();
    assert_eq!(different, [(key_of(1), None), (key_of(2), Some(row(2, 2)))]);
    drop(load);
    store.define(&[other()], std::slice::from_ref(&view)).unwrap();
    next_commit(&store);
    add(25);
    drop((staging, store));
    let store = Store::open(dir.path(), Sync::EachCommit).unwrap();
    assert_eq!((progress(&store), store.checkpoint().unwrap().tick), (vec![Some("25".into()), None], Tick(3)));
    store.define(&[other()], std::slice::from_ref(&view)).unwrap();
    assert_eq!(held(&store, 0), [row(1, 1), row(2, 0), row(3, 0)]);
    define(&store, &tables()).unwrap();
    assert_eq!((held(&store, 1).len(), held(&store, 2).len()), (30, 6));
}

#[test]
fn what_breaks_the_rules_is_refused_and_breaks_nothing() {
    fn is_send<T: Send>(_: &T) {}
    let dir = tempfile::tempdir().unwrap();
    let store = made(dir.path());
    let multiset = InputDef { key: vec![], ..input("shop.m") };
    assert_eq!(refusal(store.stage("shop", &[multiset])), "bug: `shop.m` has no key, so its rows cannot be staged");
    assert_eq!(refusal(store.stage("shop", &[input("shop.a"), input("shop.a")])), "bug: `shop.a` is defined twice");
    let mut staging = store.stage("shop", &tables()).unwrap();
    is_send(&staging);
    assert_eq!(refusal(staging.add(2, &rows([(1, 1)]))), "bug: staged input 2 does not exist");
    assert_eq!(refusal(staging.apply(&[Delta { diff: 2, ..insert(0, 1, 1) }])), "bug: `shop.a` has 2 copies of a row");
    assert_eq!(refusal(staging.save(&[None], &at("p"), true)), "bug: the progress of 1 inputs of 2");
    let text = InputDef { schema: Schema::new(vec![Column::new("k", Type::Text, false)]), ..input("text.t") };
    let mut long = RowBuilder::new(&Layout::new(&text.schema));
    long.push(Datum::Text(&"x".repeat(70_000)));
    let of_text = store.stage("text", &[text]).unwrap().add(0, &[long.finish()].iter().collect());
    assert!(matches!(of_text, Err(StoreError::KeyTooLong { .. })));
    staging.save(&[None, None], &at("p"), true).unwrap();
    let mut later = store.stage("shop", &tables()).unwrap();
    refusal(staging.save(&[None, None], &at("q"), true));
    later.save(&[None, None], &at("q"), true).unwrap();
    next_commit(&store);
    let empty = store.stage("nothing", &[]).unwrap();
    assert_eq!((empty.progress().len(), store.staged().len()), (0, 2));
    drop((staging, later, empty, store));
    // A reader sees what is staged, and changes nothing.
    let store = Store::open_existing(dir.path()).unwrap();
    assert_eq!(store.staged()["shop"].position, Some(at("q")));
    refusal(store.stage("shop", &tables()));
}

#[test]
fn many_rows_are_written_out_and_merged_while_they_are_staged() {
    let dir = tempfile::tempdir().unwrap();
    let store = made(dir.path());
    let mut staging = store.stage("shop", &tables()[..1]).unwrap();
    let count = 200_000i64;
    let mut expected: BTreeMap<i64, i64> = BTreeMap::new();
    for chunk in 0..20 {
        let ids = || (0..count / 20).map(|n| n * 20 + chunk);
        let changes: Vec<Delta> = ids().filter(|id| id % 3 == 0).map(|id| insert(0, (id * 7919) % count, -chunk)).collect();
        staging.apply(&changes).unwrap();
        expected.extend(ids().filter(|id| id % 3 == 0).map(|id| ((id * 7919) % count, -chunk)));
        staging.add(0, &rows(ids().map(|id| (id, id)))).unwrap();
        for id in ids() {
            expected.entry(id).or_insert(id);
        }
        if chunk % 5 == 0 {
            staging.save(&[Some(chunk.to_string())], &at("p"), false).unwrap();
            staging.spaces().for_each(|space| space.rotate_memtable_and_wait().unwrap());
        }
    }
    staging.save(&[None], &at("p"), true).unwrap();
    drop((staging, store));
    let store = open(dir.path());
    define(&store, &tables()[..1]).unwrap();
    let expected: Vec<Row> = expected.into_iter().map(|(id, v)| row(id, v)).collect();
    assert!(held(&store, 1) == expected);
}

#[test]
fn staged_rows_that_are_damaged_or_missing_are_refused_when_the_folder_is_opened() {
    for space_of in [0, 1] {
        for damage in ["missing", "cut off", "flipped", "no tables"] {
            let dir = tempfile::tempdir().unwrap();
            let store = made(dir.path());
            let mut staging = store.stage("shop", &tables()[..1]).unwrap();
            staging.add(0, &rows((0..100).map(|id| (id, id)))).unwrap();
            staging.apply(&[insert(0, 1, 10)]).unwrap();
            staging.save(&[None], &at("p"), true).unwrap();
            let space = staging.spaces().nth(space_of).unwrap().clone();
            space.rotate_memtable_and_wait().unwrap();
            let folder = tree::folder_of(&dir.path().join(tree::DATA), space.id());
            drop((space, staging, store));
            let table = fs::read_dir(folder.join(tree::TABLES)).unwrap().next().unwrap().unwrap().path();
            match damage {
                "missing" => fs::remove_dir_all(&folder).unwrap(),
                "no tables" => fs::remove_file(&table).unwrap(),
                "cut off" => File::options().write(true).open(&table).unwrap().set_len(20).unwrap(),
                _ => {
                    let mut bytes = fs::read(&table).unwrap();
                    bytes[10] ^= 1;
                    fs::write(&table, bytes).unwrap();
                }
            }
            let refused = Store::open(dir.path(), Sync::Os).unwrap_err();
            assert!(matches!(refused, StoreError::Damaged { .. }), "{damage}: {refused}");
            assert!(refused.to_string().contains("data/keyspaces/"), "{damage}: {refused}");
        }
    }
    // As if the record named key spaces that were never made.
    let dir = tempfile::tempdir().unwrap();
    let store = made(dir.path());
    let record = StagedRecord { input: InputRecord::of(9, &input("shop.a")), progress: None };
    let record = StagedSource { inputs: vec![record], ..StagedSource::default() };
    let mut batch = store.batch();
    record.write(&store, &mut batch, "shop");
    batch.commit().unwrap();
    drop(store);
    let refused = Store::open(dir.path(), Sync::Os).unwrap_err().to_string();
    assert!(refused.ends_with("is damaged: the key space `rows-9` is missing"), "{refused}");
}

/// Ends a store as a crash does: of what was written after the last synced write, only a part is left, chosen by `part`.
fn crash(store: Store, part: impl FnOnce(u64) -> u64) {
    let dir = store.dir().to_path_buf();
    store.writer().failed = true;
    drop(store);
    let SlotContent::Some { claims, .. } = slots::read(&dir).unwrap() else { panic!("there is no witness") };
    let last = claims.journals.last().unwrap();
    let path = journal::path_of(&dir.join(tree::DATA), last.id);
    let mut whole = journal::Journal::open(&dir.join(tree::DATA), last.id).unwrap();
    whole.advance(journal::Items::Checked, None).unwrap();
    File::options().write(true).open(path).unwrap().set_len(last.end + part(whole.end + 1 - last.end)).unwrap();
}

#[test]
fn a_crash_leaves_what_was_saved_and_some_of_what_came_after() {
    let mut found = Vec::new();
    for part in 0..=40 {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), Sync::EachCommit).unwrap();
        store.define(&[other()], &[]).unwrap();
        let mut staging = store.stage("shop", &tables()[..1]).unwrap();
        (staging.batch_keys, staging.sync_every) = (1, Duration::ZERO);
        staging.add(0, &rows([(1, 1)])).unwrap();
        staging.save(&[Some("one".into())], &at("p"), false).unwrap();
        staging.apply(&[insert(0, 2, 2), insert(0, 3, 3), delete(0, 1, 1)]).unwrap();
        drop(staging);
        crash(store, |bytes| bytes * part / 40);
        let store = Store::open(dir.path(), Sync::EachCommit).unwrap();
        assert_eq!((progress(&store), &store.staged()["shop"].position), (vec![Some("one".into())], &Some(at("p"))));
        store.stage("shop", &tables()[..1]).unwrap().save(&[None], &at("q"), true).unwrap();
        define(&store, &tables()[..1]).unwrap();
        found.push(held(&store, 1));
    }
    found.dedup();
    let prefixes = [vec![row(1, 1)], vec![row(1, 1), row(2, 2)], vec![row(1, 1), row(2, 2), row(3, 3)], vec![row(2, 2), row(3, 3)]];
    assert_eq!(found, prefixes);
}
