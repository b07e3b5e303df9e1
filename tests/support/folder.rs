//! A store of several inputs and views whose content at every tick is known, and everything that can be read of it.
#![allow(dead_code, reason = "each test program uses a part of it")]

use std::collections::BTreeMap;
use std::path::Path;

use tidemill::store::{Commit, InputDef, Retention, Store, StoreError, Sync, TickMark, ViewBatch, ViewChange, ViewDef};
use tidemill::value::{Column, Datum, Diff, Layout, Position, Row, RowBuilder, Schema, Tick, Type, key};

/// Keys of each view and input.
const KEYS: i64 = 120;
pub(crate) const VIEWS: usize = 3;

/// Random numbers from a seed.
#[derive(Debug, Clone)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Random {
        Random(mix(seed ^ 0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next() % end.max(1)
    }

    pub(crate) fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

fn mix(mut n: u64) -> u64 {
    n = (n ^ (n >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    n = (n ^ (n >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    n ^ (n >> 31)
}

fn schema() -> Schema {
    Schema::new(vec![Column::new("id", Type::Int64, false), Column::new("text", Type::Binary, true)])
}

fn row(id: i64, text: &[u8]) -> Row {
    let mut builder = RowBuilder::new(&Layout::new(&schema()));
    builder.push(Datum::Int(id));
    builder.push(Datum::Binary(text));
    builder.finish()
}

fn key_of(id: i64) -> Row {
    let mut out = Vec::new();
    key::push(&Type::Int64, Datum::Int(id), &mut out);
    out.into()
}

/// How long the texts of a folder are: the more, the sooner key spaces are written out.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Size {
    pub(crate) text_bytes: usize,
}

impl Size {
    /// What view `view` has under `id` as of tick `tick`, given what it had before.
    fn text(self, view: usize, id: i64, tick: u64) -> Change {
        let chance = mix(tick * 1_000_003 + id as u64 * 31 + view as u64);
        // Each view is left alone by some ticks.
        if tick > 1 && (mix(tick * 17 + view as u64).is_multiple_of(3) || !chance.is_multiple_of(3)) {
            return Change::None;
        }
        if tick > 1 && chance.is_multiple_of(5) {
            return Change::Gone;
        }
        let mut random = Random::new(chance);
        let mut text = tick.to_be_bytes().to_vec();
        while text.len() < self.text_bytes {
            text.extend_from_slice(&random.next().to_be_bytes());
        }
        Change::Text(text)
    }
}

enum Change {
    None,
    Gone,
    Text(Vec<u8>),
}

/// What the views are at a tick, worked out anew.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Model {
    size: usize,
    pub(crate) tick: u64,
    views: Vec<BTreeMap<i64, Vec<u8>>>,
    changes: Vec<u64>,
}

impl Model {
    pub(crate) fn new(size: Size) -> Model {
        Model { size: size.text_bytes, tick: 0, views: vec![BTreeMap::new(); VIEWS], changes: vec![0; VIEWS] }
    }

    /// Goes on by one tick; the commit that does so in a store.
    pub(crate) fn next(&mut self) -> Commit {
        self.tick += 1;
        let (size, tick) = (Size { text_bytes: self.size }, Tick(self.tick));
        let mut commit = Commit { up_to: tick, ..Commit::default() };
        commit.ticks.push(TickMark { tick, source: "s".into(), position: Position::new(format!("at:{tick}")), committed_ms: Some(tick.0) });
        for view in 0..VIEWS {
            let (mut changes, mut deltas) = (Vec::new(), Vec::new());
            for id in 0..KEYS {
                let held = self.views[view].get(&id).cloned();
                let after = match size.text(view, id, tick.0) {
                    Change::None => continue,
                    Change::Gone => None,
                    Change::Text(text) => Some(text),
                };
                if after == held {
                    continue;
                }
                deltas.extend(held.iter().map(|text| (tick, row(id, text), -1)));
                deltas.extend(after.iter().map(|text| (tick, row(id, text), 1)));
                changes.push(ViewChange { tick, key: key_of(id), after: after.as_ref().map(|text| row(id, text)) });
                // The first tick is loaded, which is no change.
                self.changes[view] += u64::from(self.tick > 1);
                match after {
                    Some(text) => self.views[view].insert(id, text),
                    None => self.views[view].remove(&id),
                };
            }
            if !changes.is_empty() {
                // The first two are also what the inputs hold.
                if view < 2 {
                    commit.inputs.push((view, deltas));
                }
                commit.views.push(ViewBatch { view, changes, errors: vec![] });
            }
        }
        commit
    }
}

pub(crate) fn define(store: &Store) {
    let input = |n: usize, key: &[usize]| InputDef { name: format!("s.t{n}"), schema: schema(), key: key.to_vec() };
    let view = |n: usize| ViewDef { name: format!("v{n}"), schema: schema(), key: vec![0], fingerprint: "1".into() };
    let views: Vec<ViewDef> = (0..VIEWS).map(view).collect();
    store.define(&[input(0, &[0]), input(1, &[])], &views).unwrap();
}

/// Commits the next tick; sometimes a sink's place is noted and changelogs are cut.
pub(crate) fn step(store: &Store, model: &mut Model) {
    store.commit(model.next()).unwrap();
    if model.tick % 4 == 3 {
        store.set_reader("sink", "v0", Tick(model.tick - 1)).unwrap();
    }
    if model.tick % 6 == 5 {
        store.compact_all(&Retention { ticks: Some(3), ..Retention::default() }).unwrap();
    }
}

/// Reads all that a reader can read and compares it with the model of the store's tick; that tick. A read that fails is a refusal.
pub(crate) fn read_all(store: &Store, size: Size, models: &BTreeMap<u64, Model>) -> Result<u64, StoreError> {
    let checkpoint = store.checkpoint().unwrap_or_default();
    let tick = checkpoint.tick.0;
    let model = models.get(&tick).unwrap_or_else(|| panic!("WRONG: it is as of tick {tick}, which is none of {:?}", models.keys()));
    assert_eq!(model.size, size.text_bytes);
    let same = |what: &str, same: bool| assert!(same, "WRONG: {what} is not as of tick {tick}");
    same("the position", checkpoint.sources["s"].position.as_str() == format!("at:{tick}"));
    for (number, rows) in model.views.iter().enumerate() {
        let name = format!("v{number}");
        let view = store.view(&name).unwrap_or_else(|| panic!("WRONG: there is no {name}"));
        let expected: Vec<(Row, Row)> = rows.iter().map(|(id, text)| (key_of(*id), row(*id, text))).collect();
        let found = view.scan()?.collect::<Result<Vec<_>, _>>()?;
        same(&name, found == expected);
        for id in (0..KEYS).step_by(7) {
            same("a row", view.get(&key_of(id))? == rows.get(&id).map(|text| row(id, text)));
        }
        let info = view.info()?;
        same("the count", info.rows == rows.len() as u64 && info.changes == model.changes[number] && info.errors == 0);
        // The history, told from its start, leads to the rows.
        let mut told: BTreeMap<Row, Row> = BTreeMap::new();
        for change in view.changes_from_start()? {
            let change = change?;
            same("what was before", told.get(&change.key) == change.before.as_ref());
            match change.after {
                Some(after) => told.insert(change.key, after),
                None => told.remove(&change.key),
            };
        }
        same("the history", told.into_iter().collect::<Vec<_>>() == expected);
        let after = Tick(info.floor.0.max(tick.saturating_sub(1)));
        same("the last change", view.changes(after, usize::MAX)?.up_to == Tick(tick));
        view.errors()?;
    }
    let from = store.views()?.iter().map(|view| view.floor.0).min().unwrap_or(0);
    for tick in from.max(1)..=tick {
        let marks = store.positions_of(Tick(tick))?;
        same("a mark", marks.len() == 1 && marks[0].position.as_str() == format!("at:{tick}"));
    }
    store.readers()?;
    store.rejected_counts()?;
    Ok(tick)
}

/// What an engine loads, after [`define`].
pub(crate) fn read_inputs(store: &Store, models: &BTreeMap<u64, Model>) -> Result<(), StoreError> {
    let model = &models[&store.checkpoint().unwrap_or_default().tick.0];
    for input in 0..2 {
        let mut found = store.load_input(input)?.collect::<Result<Vec<(Row, Diff)>, _>>()?;
        found.sort();
        let mut expected: Vec<(Row, Diff)> = model.views[input].iter().map(|(id, text)| (row(*id, text), 1)).collect();
        expected.sort();
        assert!(found == expected, "WRONG: input {input}");
        assert_eq!(store.input_len(input)?, expected.len() as u64, "WRONG: the count of input {input}");
    }
    Ok(())
}

/// The models of all ticks of a range.
pub(crate) fn models(size: Size, from: u64, to: u64) -> BTreeMap<u64, Model> {
    let mut model = Model::new(size);
    let mut models = BTreeMap::new();
    while model.tick <= to {
        if model.tick >= from {
            models.insert(model.tick, model.clone());
        }
        model.next();
    }
    models
}

/// Opens a folder to write, and commits from where it is until `to`, saying each tick that is committed.
pub(crate) fn commit_until(dir: &Path, size: Size, to: u64, mut said: impl FnMut(u64)) -> Store {
    let store = Store::open(dir, Sync::EachCommit).unwrap();
    define(&store);
    let mut model = Model::new(size);
    let held = store.checkpoint().map_or(0, |at| at.tick.0);
    while model.tick < held {
        model.next();
    }
    if held == 0 {
        load(&store, &mut model);
        said(model.tick);
    }
    while model.tick < to {
        step(&store, &mut model);
        said(model.tick);
    }
    store
}

/// The first tick comes as a snapshot does, past the journal.
fn load(store: &Store, model: &mut Model) {
    let first = model.next();
    let mut load = store.bulk_load().unwrap();
    for (view, rows) in model.views.iter().enumerate() {
        for (id, text) in rows {
            if view < 2 {
                load.input(view, [&*row(*id, text)]).unwrap();
            }
            load.view(view, [(&*key_of(*id), &*row(*id, text))]).unwrap();
        }
    }
    load.finish(Commit { up_to: first.up_to, ticks: first.ticks, ..Commit::default() }).unwrap();
}
