//! Changelogs against a plain model: rows of every length, nested, changed a little or wholly; compacted at any tick, reopened, and read
//! from every tick.

use std::collections::BTreeMap;
use std::path::Path;

use proptest::prelude::*;
use tidemill::store::{Commit, LoggedChange, Retention, Store, StoreError, Sync, ViewBatch, ViewChange, ViewDef, ViewReader};
use tidemill::value::{Column, Datum, Layout, Row, RowBuilder, Schema, Tick, Type, key, pack_list};

fn schema() -> Schema {
    let texts = Type::List(Box::new(Type::Text));
    let child = Schema::new(vec![
        Column::new("n", Type::Int32, false),
        Column::new("name", Type::Text, true),
        Column::new("notes", texts.clone(), true),
    ]);
    Schema::new(vec![
        Column::new("id", Type::Int64, false),
        Column::new("title", Type::Text, true),
        Column::new("children", Type::List(Box::new(Type::Struct(child.clone()))), true),
        Column::new("first", Type::Struct(child), true),
        Column::new("tags", texts, false),
    ])
}

/// xorshift64*
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() >> 16) as usize % bound
    }

    fn text(&mut self, at_most: usize) -> String {
        (0..self.below(at_most + 1)).map(|_| (b'a' + self.below(26) as u8) as char).collect()
    }
}

#[derive(Clone)]
struct Child {
    n: i32,
    name: Option<String>,
    notes: Vec<String>,
}

#[derive(Clone)]
struct Document {
    title: Option<String>,
    children: Vec<Child>,
    tags: Vec<String>,
}

impl Child {
    fn any(random: &mut Random) -> Child {
        let name = (random.below(5) > 0).then(|| random.text(30));
        let notes = (0..random.below(3)).map(|_| random.text(20)).collect();
        Child { n: random.next() as i32, name, notes }
    }
}

impl Document {
    fn any(random: &mut Random) -> Document {
        let children = match random.below(4) {
            0 => 0,
            1 => random.below(10),
            2 => random.below(300),
            _ => random.below(2500),
        };
        let title = match random.below(6) {
            0 => None,
            1 => Some(random.text(30_000)),
            _ => Some(random.text(40)),
        };
        Document {
            title,
            children: (0..children).map(|_| Child::any(random)).collect(),
            tags: (0..random.below(4)).map(|_| random.text(10)).collect(),
        }
    }

    /// A document of somebody who works on it.
    fn edit(&mut self, random: &mut Random) {
        let count = self.children.len();
        match random.below(8) {
            0 => self.title = (random.below(3) > 0).then(|| random.text(60)),
            1 => self.children.insert(random.below(count + 1), Child::any(random)),
            2 if count > 0 => drop(self.children.remove(random.below(count))),
            3 if count > 1 => self.children.swap(0, count - 1),
            4 if count > 20 => drop(self.children.drain(5..count / 2)),
            5 => self.tags.push(random.text(300)),
            // As it was.
            6 => {}
            _ if count > 0 => {
                for _ in 0..1 + random.below(3) {
                    let child = random.below(count);
                    self.children[child] = Child { n: random.next() as i32, ..self.children[child].clone() };
                    self.children[child].notes.push(random.text(5));
                }
            }
            _ => self.tags.clear(),
        }
    }

    fn row(&self, id: i64) -> Row {
        let layout = Layout::new(&schema());
        let mut of_child = RowBuilder::new(layout.nested(2).unwrap());
        let text_layout = Layout::of_items(&Type::Text);
        let texts = |texts: &[String]| {
            let mut of_text = RowBuilder::new(&text_layout);
            list(texts.iter().map(|text| {
                of_text.push(Datum::Text(text));
                of_text.finish()
            }))
        };
        let children: Vec<Row> = self
            .children
            .iter()
            .map(|child| {
                of_child.push(Datum::Int(child.n as i64));
                of_child.push(child.name.as_deref().map_or(Datum::Null, Datum::Text));
                of_child.push(Datum::List(&texts(&child.notes)));
                of_child.finish()
            })
            .collect();
        let mut builder = RowBuilder::new(&layout);
        builder.push(Datum::Int(id));
        builder.push(self.title.as_deref().map_or(Datum::Null, Datum::Text));
        builder.push(Datum::List(&list(children.iter().cloned())));
        builder.push(children.first().map_or(Datum::Null, |child| Datum::Struct(child)));
        builder.push(Datum::List(&texts(&self.tags)));
        builder.finish()
    }
}

fn list(items: impl Iterator<Item = Row>) -> Vec<u8> {
    let items: Vec<Row> = items.collect();
    let mut out = Vec::new();
    pack_list(items.iter().map(|item| &**item), &mut out);
    out
}

fn key_of(id: i64) -> Row {
    let mut out = Vec::new();
    key::push(&Type::Int64, Datum::Int(id), &mut out);
    out.into()
}

fn open(dir: &Path) -> Store {
    let store = Store::open(dir, Sync::Os).unwrap();
    let views = ["docs", "others"].map(|name| ViewDef { name: name.into(), schema: schema(), key: vec![0], fingerprint: "1".into() });
    store.define(&[], &views).unwrap();
    store
}

fn commit(store: &Store, up_to: u64, changes: Vec<(u64, i64, Option<Row>)>) {
    let changes = changes.into_iter().map(|(tick, id, after)| ViewChange { tick: Tick(tick), key: key_of(id), after }).collect();
    let views = vec![ViewBatch { view: 0, changes, errors: vec![] }];
    store.commit(Commit { up_to: Tick(up_to), views, ..Commit::default() }).unwrap();
}

/// What the store should hold, kept plainly.
#[derive(Default)]
struct Model {
    tick: u64,
    documents: BTreeMap<i64, Document>,
    rows: BTreeMap<i64, Row>,
    floor: u64,
    /// As of the floor.
    base: BTreeMap<i64, Row>,
    /// Tick, key, before, after; in order.
    log: Vec<(u64, i64, Option<Row>, Option<Row>)>,
}

impl Model {
    fn change(&mut self, id: i64, document: Option<Document>) -> Option<Row> {
        let after = document.as_ref().map(|document| document.row(id));
        let before = match &after {
            Some(row) => self.rows.insert(id, row.clone()),
            None => self.rows.remove(&id),
        };
        match document {
            Some(document) => self.documents.insert(id, document),
            None => self.documents.remove(&id),
        };
        if before != after {
            self.log.push((self.tick, id, before, after.clone()));
        }
        after
    }

    fn forget(&mut self, up_to: u64) {
        let up_to = up_to.min(self.tick);
        for (_, id, _, after) in self.log.iter().filter(|(tick, ..)| *tick <= up_to) {
            match after {
                Some(row) => self.base.insert(*id, row.clone()),
                None => self.base.remove(id),
            };
        }
        self.log.retain(|(tick, ..)| *tick > up_to);
        self.floor = self.floor.max(up_to);
    }

    fn after(&self, tick: u64) -> Vec<(u64, i64, Option<Row>, Option<Row>)> {
        self.log.iter().filter(|(of, ..)| *of > tick).cloned().collect()
    }
}

fn plain(entries: impl IntoIterator<Item = LoggedChange>) -> Vec<(u64, i64, Option<Row>, Option<Row>)> {
    let layout = Layout::new(&schema());
    let id = |row: &Row| match layout.get(row, 0) {
        Datum::Int(id) => id,
        other => panic!("an id is an integer, not {other:?}"),
    };
    let entries = entries.into_iter().map(|entry| {
        let id = id(entry.before.as_ref().or(entry.after.as_ref()).unwrap());
        assert_eq!(entry.key, key_of(id));
        (entry.tick.0, id, entry.before, entry.after)
    });
    entries.collect()
}

/// All after a tick, in pages of a few.
fn follow(view: &ViewReader, after: u64, limit: usize) -> Vec<LoggedChange> {
    let (mut after, mut all) = (Tick(after), Vec::new());
    loop {
        let changes = view.changes(after, limit).unwrap();
        let end = changes.entries.is_empty();
        all.extend(changes.entries);
        if end {
            return all;
        }
        after = changes.up_to;
    }
}

fn check(store: &Store, model: &Model) {
    let Some(view) = store.view("docs") else {
        assert_eq!(model.tick, 0);
        return;
    };
    let scanned: Vec<(Row, Row)> = view.scan().unwrap().map(Result::unwrap).collect();
    let expected: Vec<(Row, Row)> = model.rows.iter().map(|(id, row)| (key_of(*id), row.clone())).collect();
    assert!(scanned == expected);
    for (id, row) in &model.rows {
        assert!(view.get(&key_of(*id)).unwrap().as_ref() == Some(row));
    }
    let info = view.info().unwrap();
    let bytes: usize = model.rows.iter().map(|(id, row)| key_of(*id).len() + row.len()).sum();
    assert_eq!((info.rows as usize, info.bytes as usize, info.floor), (model.rows.len(), bytes, Tick(model.floor)));
    assert_eq!(info.changelog_bytes == 0, model.log.is_empty());
    for tick in model.floor..=model.tick {
        assert!(plain(follow(&view, tick, 1 + tick as usize % 7)) == model.after(tick), "after tick {tick}");
        let at_once = view.changes_after(Tick(tick)).unwrap().map(Result::unwrap);
        assert!(plain(at_once) == model.after(tick), "after tick {tick} at once");
    }
    if model.floor > 0 {
        assert!(matches!(view.changes(Tick(model.floor - 1), 1), Err(StoreError::Compacted { floor, .. }) if floor.0 == model.floor));
    }
    let base = model.base.iter().map(|(id, row)| (model.floor, *id, None, Some(row.clone())));
    let from_start: Vec<_> = base.chain(model.log.iter().cloned()).collect();
    assert!(plain(view.changes_from_start().unwrap().map(Result::unwrap)) == from_start);
}

/// What one step does to store and model; whether the store is to be opened again.
fn step(random: &mut Random, store: &Store, model: &mut Model) -> bool {
    match random.below(10) {
        0 => {
            let up_to = model.floor + random.below((model.tick - model.floor) as usize + 2) as u64;
            store.compact("docs", Tick(up_to)).unwrap();
            if store.view("docs").is_some() {
                model.forget(up_to);
            }
        }
        1 => {
            let bytes = random.below(200_000) as u64;
            store.compact_all(&Retention { ticks: Some(u64::MAX), age_ms: None, bytes: Some(bytes) }).unwrap();
            if let Some(view) = store.view("docs") {
                let info = view.info().unwrap();
                assert!(info.changelog_bytes <= bytes);
                model.forget(info.floor.0);
            }
        }
        2 => return true,
        _ => {
            let mut changes = Vec::new();
            for _ in 0..1 + random.below(3) {
                model.tick += 1;
                for id in 0..5i64 {
                    let held = model.documents.get(&id).cloned();
                    let document = match (random.below(8), held) {
                        (0..=3, _) => continue,
                        (4, _) => None,
                        (5..=7, Some(mut document)) => {
                            document.edit(random);
                            Some(document)
                        }
                        (_, None) => Some(Document::any(random)),
                        _ => unreachable!("below 8"),
                    };
                    changes.push((model.tick, id, model.change(id, document)));
                }
            }
            commit(store, model.tick, changes);
        }
    }
    false
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, max_shrink_iters: 60, ..ProptestConfig::default() })]

    #[test]
    fn rows_of_any_length_tell_one_story_whatever_is_forgotten(seed in 1u64.., steps in 1usize..22, loaded: bool) {
        let dir = tempfile::tempdir().unwrap();
        let (mut random, mut model) = (Random(seed), Model::default());
        let mut store = open(dir.path());
        if loaded {
            let mut load = store.bulk_load().unwrap();
            for id in 0..4 {
                let document = Document::any(&mut random);
                load.view(0, [(&*key_of(id), &*document.row(id))]).unwrap();
                model.change(id, Some(document));
            }
            load.finish(Commit { up_to: Tick(1), ..Commit::default() }).unwrap();
            model = Model { tick: 1, floor: 1, base: model.rows.clone(), log: Vec::new(), ..model };
        }
        for _ in 0..steps {
            if step(&mut random, &store, &mut model) {
                drop(store);
                store = open(dir.path());
            }
            check(&store, &model);
        }
    }
}

fn large(children: usize) -> Document {
    let mut random = Random(7);
    Document { title: None, children: (0..children).map(|_| Child::any(&mut random)).collect(), tags: vec![] }
}

#[test]
fn a_change_of_one_child_of_many_writes_a_few_kilobytes_however_it_came_in() {
    for loaded in [true, false] {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path());
        let mut document = large(50_000);
        let row = document.row(1);
        assert!(row.len() > 1_500_000);
        match loaded {
            true => {
                let mut load = store.bulk_load().unwrap();
                load.view(0, [(&*key_of(1), &*row)]).unwrap();
                load.finish(Commit { up_to: Tick(1), ..Commit::default() }).unwrap();
            }
            false => commit(&store, 1, vec![(1, 1, Some(row.clone()))]),
        }
        let view = store.view("docs").unwrap();
        let at_first = view.info().unwrap().changelog_bytes;
        for tick in 2..=41 {
            let child = &mut document.children[tick as usize * 1013];
            // Another length, so every later child is elsewhere.
            child.name = Some(format!("renamed at tick {tick}"));
            commit(&store, tick, vec![(tick, 1, Some(document.row(1)))]);
        }
        let written = view.info().unwrap().changelog_bytes - at_first;
        assert!(written < 40 * 20_000, "{written} bytes for 40 changes");
        assert!(view.get(&key_of(1)).unwrap() == Some(document.row(1)));
        let first = view.changes_after(Tick(1)).unwrap().next().unwrap().unwrap();
        assert!(first.before == Some(row));
    }
}

#[test]
fn the_bound_on_bytes_holds_whoever_is_behind_and_gives_the_disk_back() {
    const BOUND: u64 = 8 << 20;
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let mut random = Random(99);
    let retention = Retention { ticks: Some(u64::MAX), age_ms: None, bytes: Some(BOUND) };
    commit(&store, 1, vec![(1, 1, Some(Document { title: Some("first".into()), children: vec![], tags: vec![] }.row(1)))]);
    store.set_reader("slow", "docs", Tick(1)).unwrap();
    let view = store.view("docs").unwrap();
    // A reader in the middle of it keeps what it has open.
    let mut opened = None;
    for tick in 2..=2400u64 {
        let changes = (0..10).map(|i| {
            let title = Some((0..400).map(|_| format!("{:016x}", random.next())).collect());
            (tick, i, Some(Document { title, children: vec![], tags: vec![] }.row(i)))
        });
        commit(&store, tick, changes.collect());
        match tick {
            40 => opened = Some(view.changes_after(Tick(1)).unwrap()),
            500 => assert_eq!(opened.take().unwrap().map(Result::unwrap).count(), 39 * 10),
            _ => {}
        }
        if tick % 20 == 0 {
            store.compact_all(&retention).unwrap();
            let info = view.info().unwrap();
            assert!(info.changelog_bytes <= BOUND, "{} bytes at tick {tick}", info.changelog_bytes);
        }
    }
    let info = view.info().unwrap();
    assert!(info.changelog_bytes > BOUND / 2);
    assert!(info.disk_bytes < 5 * BOUND, "{} bytes on disk for {} of changelog", info.disk_bytes, info.changelog_bytes);
    assert!(matches!(view.changes(Tick(1), 1), Err(StoreError::Compacted { floor, .. }) if floor == info.floor));
    let left = follow(&view, info.floor.0, 100);
    assert_eq!(left.len() as u64, 10 * (2400 - info.floor.0));
    drop((view, store));
    let on_disk = table_bytes(dir.path());
    assert!(on_disk < 5 * BOUND, "{on_disk} bytes of tables");
    let store = open(dir.path());
    assert!(follow(&store.view("docs").unwrap(), info.floor.0, 100) == left);
}

/// Of all files but the journals, which have a size of their own.
fn table_bytes(dir: &Path) -> u64 {
    let entries = std::fs::read_dir(dir).unwrap().map(Result::unwrap);
    entries
        .filter(|entry| entry.path().extension().is_none_or(|ext| ext != "jnl"))
        .map(|entry| if entry.path().is_dir() { table_bytes(&entry.path()) } else { entry.metadata().unwrap().len() })
        .sum()
}

#[test]
fn a_slow_reader_keeps_what_it_needs_while_that_is_within_the_bound() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let mut document = large(1000);
    for tick in 1..=20 {
        document.children[0].n = tick as i32;
        commit(&store, tick, vec![(tick, 1, Some(document.row(1)))]);
    }
    store.set_reader("mongo", "docs", Tick(5)).unwrap();
    store.compact_all(&Retention { bytes: Some(10 << 20), ..Retention::default() }).unwrap();
    let view = store.view("docs").unwrap();
    assert_eq!(view.info().unwrap().floor, Tick(5));
    store.compact_all(&Retention { bytes: Some(0), ..Retention::default() }).unwrap();
    let info = view.info().unwrap();
    assert_eq!((info.floor, info.changelog_bytes), (Tick(20), 0));
    assert!(view.get(&key_of(1)).unwrap() == Some(document.row(1)));
}
