//! Compared with a map of the stored rows, change by change.

use proptest::prelude::*;

use super::*;
use crate::store::{Commit, InputDef, Sync};
use crate::value::{Column, Datum, Layout, RowBuilder, Schema, Type, key};

fn schema() -> Schema {
    Schema::new(vec![Column::new("id", Type::Int64, false), Column::new("v", Type::Int64, false)])
}

fn row(id: i64, v: i64) -> Row {
    let mut builder = RowBuilder::new(&Layout::new(&schema()));
    builder.push(Datum::Int(id));
    builder.push(Datum::Int(v));
    builder.finish()
}

fn key_of(id: i64) -> Row {
    let mut out = Vec::new();
    key::push(&Type::Int64, Datum::Int(id), &mut out);
    out.into()
}

/// A store with a keyed input and a multiset, both with these rows as of tick 1.
fn holding(rows: &[Row]) -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), Sync::Os).unwrap();
    let keyed = InputDef { name: "s.t".into(), schema: schema(), key: vec![0] };
    let multiset = InputDef { name: "s.m".into(), schema: schema(), key: vec![] };
    store.define(&[keyed, multiset], &[]).unwrap();
    let mut load = store.bulk_load().unwrap();
    load.input(0, rows.iter().map(|r| &**r)).unwrap();
    load.input(1, rows.iter().map(|r| &**r)).unwrap();
    load.finish(Commit { up_to: Tick(1), ..Commit::default() }).unwrap();
    (dir, store)
}

fn found(store: &Store, input: usize, deltas: &[(u64, Row, Diff)]) -> Option<(u64, Option<Row>, Mismatch)> {
    let deltas: Vec<_> = deltas.iter().map(|(tick, row, diff)| (Tick(*tick), row.clone(), *diff)).collect();
    store.divergence(input, &deltas).unwrap().map(|d| (d.tick.0, d.key, d.mismatch))
}

#[test]
fn each_way_not_to_fit_is_told_with_its_key() {
    let (_dir, store) = holding(&[row(1, 10), row(2, 20)]);
    let told = |deltas: &[(u64, Row, Diff)]| found(&store, 0, deltas);
    assert_eq!(told(&[(2, row(1, 10), -1), (2, row(1, 11), 1), (3, row(1, 11), -1)]), None);
    assert_eq!(told(&[(2, row(1, 10), -1), (2, row(3, 10), 1), (3, row(3, 10), -1)]), None, "another key");
    assert_eq!(told(&[(2, row(1, 11), -1)]), Some((2, Some(key_of(1)), Mismatch::Differs)));
    assert_eq!(told(&[(2, row(3, 1), -1), (2, row(3, 2), 1)]), Some((2, Some(key_of(3)), Mismatch::NotHeld)));
    assert_eq!(told(&[(2, row(2, 20), 1)]), Some((2, Some(key_of(2)), Mismatch::AlreadyHeld)), "also the same row");
    assert_eq!(told(&[(2, row(3, 1), 1), (2, row(3, 2), 1)]), Some((2, Some(key_of(3)), Mismatch::Several)));
    assert_eq!(told(&[(2, row(1, 10), -1), (3, row(1, 10), -1)]), Some((3, Some(key_of(1)), Mismatch::NotHeld)), "gone by then");
    let two = [(4, row(1, 11), -1), (3, row(2, 21), -1), (2, row(5, 1), 1)];
    assert_eq!(told(&two), Some((3, Some(key_of(2)), Mismatch::Differs)), "the earliest");
}

#[test]
fn of_rows_without_a_key_as_many_may_go_as_are_held() {
    let (_dir, store) = holding(&[row(1, 10), row(1, 10), row(2, 20)]);
    let told = |deltas: &[(u64, Row, Diff)]| found(&store, 1, deltas);
    assert_eq!(told(&[(2, row(1, 10), -2), (3, row(1, 10), 1), (4, row(1, 10), -1)]), None);
    assert_eq!(told(&[(2, row(1, 10), -2), (3, row(1, 10), -1), (4, row(1, 10), 1)]), Some((3, None, Mismatch::NotHeld)));
    assert_eq!(told(&[(2, row(2, 21), -1)]), Some((2, None, Mismatch::NotHeld)));
    assert_eq!(told(&[(2, row(2, 21), -1), (2, row(2, 21), 1)]), None, "within a tick");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Finds the first tick whose changes do not fit a map of the rows.
    #[test]
    fn what_a_map_cannot_follow_is_found(
        held in prop::collection::btree_map(0..4i64, 0..3i64, 0..4),
        changes in prop::collection::vec((1..4u64, 0..4i64, 0..3i64, prop::option::of(0..3i64), any::<bool>()), 0..12),
    ) {
        let rows: Vec<Row> = held.iter().map(|(id, v)| row(*id, *v)).collect();
        let (_dir, store) = holding(&rows);
        let (mut now, mut deltas, mut tick, mut expected) = (held, Vec::new(), 1, None);
        for (step, id, v, after, right) in changes {
            tick += step;
            // Mostly a change that a log could have; sometimes any change.
            let before = if right { now.get(&id).copied() } else { Some(v).filter(|v| *v > 0) };
            if before == after {
                continue;
            }
            if before != now.get(&id).copied() && expected.is_none() {
                expected = Some((tick, Some(key_of(id))));
            }
            deltas.extend(before.map(|v| (tick, row(id, v), -1)));
            deltas.extend(after.map(|v| (tick, row(id, v), 1)));
            match after {
                Some(v) => now.insert(id, v),
                None => now.remove(&id),
            };
        }
        prop_assert_eq!(found(&store, 0, &deltas).map(|(tick, key, _)| (tick, key)), expected);
    }
}
