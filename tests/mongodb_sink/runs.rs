//! Whole runs into MongoDB: targets that are not what the state knows, documents and targets that refuse, sinks that left the spec.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use bson::{Document, doc};
use futures::TryStreamExt;
use serde_json::{Value, json};

use crate::support::{Finished, MongoDatabase, Program, Running, eventually_async};

const LONG: Duration = Duration::from_secs(60);

/// Items of a file, followed through a file of changes, and the view of them in a collection `items`.
struct Shop {
    program: Program,
    target: MongoDatabase,
}

impl Shop {
    async fn new() -> Shop {
        let target = MongoDatabase::create().await;
        let program = Program::new().env("TARGET", &target.uri);
        program.write("items.csv", "id,name\n1,a\n2,a\n3,a\n4,a\n5,a\n");
        program.write("changes.jsonl", "");
        let shop = Shop { program, target };
        shop.write_spec(&["mongo"]);
        shop
    }

    /// Each sink writes to a collection of its name; that of `mongo` is `items`.
    fn write_spec(&self, sinks: &[&str]) {
        let mut spec = "\
sources:
  shop: {kind: file, options: {tables: {items: {csv: items.csv, key: [id], columns: {id: int64, name: text}}}, changes: changes.jsonl}}
views: {items: {from: shop.items}}
sinks:
"
        .to_string();
        for sink in sinks {
            let collection = if *sink == "mongo" { "items" } else { sink };
            let name = &self.target.name;
            spec +=
                &format!("  {sink}: {{kind: mongodb, view: items, options: {{uri: \"${{TARGET}}\", collection: {name}.{collection}}}}}\n");
        }
        self.program.write("shop.yaml", &spec);
    }

    fn change(&self, before: Value, after: Value) {
        let mut file = fs::OpenOptions::new().append(true).open(self.program.folder().join("changes.jsonl")).unwrap();
        let op = if before.is_null() {
            "insert"
        } else if after.is_null() {
            "delete"
        } else {
            "update"
        };
        let mut line = json!({"table": "items", "op": op});
        for (name, row) in [("before", before), ("after", after)] {
            if !row.is_null() {
                line[name] = row;
            }
        }
        writeln!(file, "{line}").unwrap();
    }

    fn rename(&self, id: i64, before: &str, after: &str) {
        self.change(json!({"id": id, "name": before}), json!({"id": id, "name": after}));
    }

    fn run(&self) -> Finished {
        self.program.run(&["run", "shop.yaml", "--state", "state", "--until-caught-up"])
    }

    fn run_well(&self) {
        let done = self.run();
        assert_eq!(done.code, Some(0), "{}", done.stderr);
    }

    fn start(&self) -> Running {
        self.program.start(&["run", "shop.yaml", "--state", "state", "--json"])
    }

    fn tell(&self, arguments: &[&str]) -> Finished {
        self.program.run(&[arguments, &["--state", "state"]].concat())
    }

    fn sink(&self, name: &str) -> Value {
        let done = self.tell(&["status", "--json"]);
        let status: Value = serde_json::from_str(&done.stdout).unwrap_or_else(|_| panic!("{}", done.stderr));
        status["sinks"].as_array().unwrap().iter().find(|sink| sink["name"] == name).cloned().unwrap_or_default()
    }

    /// The names of the documents of a collection, by their ids. The length stands for a long one.
    async fn names_in(&self, collection: &str) -> BTreeMap<i64, String> {
        let found = self.target.collection(collection).find(doc! {}).await.unwrap();
        let documents: Vec<Document> = found.try_collect().await.unwrap();
        let name = |document: &Document| {
            let name = document.get_str("name").unwrap();
            if name.len() > 100 { name.len().to_string() } else { name.to_string() }
        };
        documents.iter().map(|document| (document.get_i64("_id").unwrap(), name(document))).collect()
    }

    async fn wait_for(&self, collection: &str, expected: &BTreeMap<i64, String>) {
        eventually_async(&format!("{expected:?} in {collection}"), LONG, async || {
            (self.names_in(collection).await == *expected).then_some(())
        })
        .await;
    }
}

fn names<const N: usize>(names: [(i64, &str); N]) -> BTreeMap<i64, String> {
    names.into_iter().map(|(id, name)| (id, name.to_string())).collect()
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        match entry.file_type().unwrap().is_dir() {
            true => copy(&entry.path(), &to.join(entry.file_name())),
            false => drop(fs::copy(entry.path(), to.join(entry.file_name())).unwrap()),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_is_ahead_of_a_restored_state_is_brought_back_to_it() {
    let shop = Shop::new().await;
    shop.run_well();
    let (state, kept) = (shop.program.folder().join("state"), shop.program.folder().join("kept"));
    // The target is ahead by one tick, then by three; the restored state goes on to as many ticks, to fewer, and to more.
    for (ahead, again) in [(1, 1), (3, 1), (1, 3), (2, 0)] {
        fs::write(shop.program.folder().join("changes.jsonl"), "").unwrap();
        let _ = fs::remove_dir_all(&state);
        shop.run_well();
        let _ = fs::remove_dir_all(&kept);
        copy(&state, &kept);
        for id in 1..=ahead {
            shop.rename(id, "a", "ahead");
        }
        shop.run_well();
        fs::remove_dir_all(&state).unwrap();
        fs::rename(&kept, &state).unwrap();
        fs::write(shop.program.folder().join("changes.jsonl"), "").unwrap();
        for id in 0..again {
            shop.rename(5 - id, "a", "again");
        }
        shop.run_well();
        let expected = (1..=5).map(|id| (id, if id > 5 - again { "again" } else { "a" }.to_string())).collect();
        assert_eq!(shop.names_in("items").await, expected, "{ahead} {again}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collection_that_was_dropped_is_copied_again() {
    let shop = Shop::new().await;
    shop.run_well();
    let items = shop.target.collection("items");
    items.drop().await.unwrap();
    shop.run_well();
    let all = names([(1, "a"), (2, "a"), (3, "a"), (4, "a"), (5, "a")]);
    assert_eq!(shop.names_in("items").await, all, "dropped while nothing ran");
    let running = shop.start();
    shop.rename(1, "a", "b");
    shop.wait_for("items", &names([(1, "b"), (2, "a"), (3, "a"), (4, "a"), (5, "a")])).await;
    items.drop().await.unwrap();
    shop.rename(1, "b", "c");
    shop.wait_for("items", &names([(1, "c"), (2, "a"), (3, "a"), (4, "a"), (5, "a")])).await;
    // Where nothing changes, it is noticed by looking.
    items.drop().await.unwrap();
    shop.wait_for("items", &names([(1, "c"), (2, "a"), (3, "a"), (4, "a"), (5, "a")])).await;
    running.signal("TERM");
    assert_eq!(running.finish().code, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_document_that_is_refused_stops_nothing_and_comes_when_it_is_corrected() {
    let shop = Shop::new().await;
    shop.write_spec(&["mongo", "other"]);
    shop.run_well();
    let large = "x".repeat(17 << 20);
    shop.rename(2, "a", &large);
    shop.rename(3, "a", "b");
    let done = shop.run();
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    let warning = "warning: mongo: the target refuses 1 of the documents (`tidemill errors mongo`)";
    assert!(done.stderr.lines().any(|line| line == warning), "{}", done.stderr);
    let without = names([(1, "a"), (3, "b"), (4, "a"), (5, "a")]);
    assert_eq!(shop.names_in("items").await, without, "the old version is gone, and what came behind it is there");
    assert_eq!(shop.names_in("other").await, without);

    assert_eq!((shop.sink("mongo")["refused"].as_u64(), shop.sink("other")["refused"].as_u64()), (Some(1), Some(1)));
    let listed = shop.tell(&["errors", "mongo"]);
    let lines: Vec<Value> = listed.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let reason = "the document has 17825852 bytes; MongoDB accepts at most 16777216: embed fewer children (`limit`, `where`) or fewer of their \
                  columns";
    let [line] = &lines[..] else { panic!("{}", listed.stdout) };
    assert_eq!((&line["sink"], &line["view"], &line["key"]), (&json!("mongo"), &json!("items"), &json!({"id": 2})));
    assert_eq!(line["reason"].as_str().unwrap().replace(char::is_numeric, ""), reason.replace(char::is_numeric, ""));
    // A restart knows it still, and so does a full copy.
    shop.run_well();
    assert_eq!(shop.sink("mongo")["refused"], 1);
    assert_eq!(shop.tell(&["sink", "resync", "mongo"]).code, Some(0));
    shop.run_well();
    assert_eq!(shop.sink("mongo")["refused"], 1);

    shop.rename(2, &large, "c");
    shop.run_well();
    let all = names([(1, "a"), (2, "c"), (3, "b"), (4, "a"), (5, "a")]);
    assert_eq!(shop.names_in("items").await, all);
    assert_eq!(shop.names_in("other").await, all);
    assert_eq!(shop.sink("mongo")["refused"], 0);
    assert_eq!(shop.tell(&["errors"]).stdout, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_document_that_another_was_in_the_way_of_comes_without_a_change_of_its_own() {
    let shop = Shop::new().await;
    let unique = doc! {"createIndexes": "items", "indexes": [{
        "key": {"name": 1}, "name": "name", "unique": true, "partialFilterExpression": {"name": {"$gt": "b"}},
    }]};
    shop.target.database().run_command(unique).await.unwrap();
    shop.rename(1, "a", "c");
    shop.rename(2, "a", "c");
    shop.run_well();
    assert_eq!(shop.sink("mongo")["refused"], 1);
    let there = shop.names_in("items").await;
    let (&first, _) = there.iter().find(|(_, name)| *name == "c").unwrap();
    shop.rename(first, "c", "a");
    shop.run_well();
    // The next start tries it again.
    shop.run_well();
    let expected = (1..=5).map(|id| (id, if id == 3 - first { "c" } else { "a" }.to_string())).collect();
    shop.wait_for("items", &expected).await;
    assert_eq!(shop.sink("mongo")["refused"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_refuses_everything_stops_its_sink_alone() {
    let shop = Shop::new().await;
    // No collection can have such a name.
    let deep = "x".repeat(300);
    shop.write_spec(&["mongo", &deep]);
    let running = shop.start();
    let all = names([(1, "a"), (2, "a"), (3, "a"), (4, "a"), (5, "a")]);
    shop.wait_for("items", &all).await;
    shop.rename(1, "a", "b");
    shop.wait_for("items", &names([(1, "b"), (2, "a"), (3, "a"), (4, "a"), (5, "a")])).await;
    let said = running.wait_for_stdout("the stop", |line| line.contains("stopped: MongoDB at "));
    assert!(said.contains("tries again in 5 s"), "{said}");
    running.signal("TERM");
    assert_eq!(running.finish().code, Some(0));
    // Whoever waits for all of it is told.
    let done = shop.run();
    assert_eq!(done.code, Some(1));
    assert!(done.stderr.contains(&format!("error: sink `{deep}`: MongoDB at ")), "{}", done.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sink_that_left_the_spec_lets_go_of_the_changelog_and_can_be_forgotten() {
    let shop = Shop::new().await;
    shop.write_spec(&["mongo", "other"]);
    shop.run_well();
    assert_eq!((shop.sink("other")["left"].clone(), shop.sink("other")["tick"].clone()), (json!(false), json!(1)));
    shop.write_spec(&["mongo"]);
    let done = shop.run();
    let warning = "warning: sink other is not in the spec: its changelog is not kept (`tidemill sink forget other`)";
    assert!(done.stderr.lines().any(|line| line == warning), "{}", done.stderr);
    assert_eq!(shop.sink("other")["left"], true);
    let listed = shop.tell(&["sink", "list"]).stdout;
    assert!(listed.contains("sink other: view items at tick 1") && listed.contains("`tidemill sink forget other`"), "{listed}");

    // One that comes back goes on from where its target is.
    shop.rename(1, "a", "b");
    shop.run_well();
    shop.write_spec(&["mongo", "other"]);
    shop.run_well();
    assert_eq!((shop.names_in("other").await, shop.sink("other")["left"].clone()), (shop.names_in("items").await, json!(false)));

    let running = shop.start();
    shop.rename(2, "a", "b");
    shop.wait_for("other", &names([(1, "b"), (2, "b"), (3, "a"), (4, "a"), (5, "a")])).await;
    let refused = shop.tell(&["sink", "forget", "other"]);
    let expected = "\
error: the running engine writes to the sink `other`
   = help: remove it from the spec and run the spec first; `tidemill sink resync` compares its target with the view
";
    assert_eq!((refused.code, refused.stderr.as_str()), (Some(2), expected));
    // A document that somebody edited is as the view has it after a comparison.
    shop.target.collection("other").update_one(doc! {"_id": 3i64}, doc! {"$set": {"name": "edited"}}).await.unwrap();
    shop.target.collection("other").delete_one(doc! {"_id": 4i64}).await.unwrap();
    shop.target.collection("other").insert_one(doc! {"_id": 9i64, "name": "foreign"}).await.unwrap();
    let asked = shop.tell(&["sink", "resync", "other"]);
    assert_eq!((asked.code, asked.stderr.as_str()), (Some(0), ""));
    shop.wait_for("other", &names([(1, "b"), (2, "b"), (3, "a"), (4, "a"), (5, "a")])).await;
    running.signal("TERM");
    assert_eq!(running.finish().code, Some(0));

    shop.write_spec(&["mongo"]);
    shop.run_well();
    assert_eq!(shop.tell(&["sink", "forget", "other"]).code, Some(0));
    assert_eq!(shop.sink("other"), Value::Null);
    let unknown = shop.tell(&["sink", "forget", "other"]);
    assert_eq!((unknown.code, unknown.stderr.as_str()), (Some(3), "error: there is no sink `other`\n   = help: there is `mongo`\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sink_tells_how_far_it_is_behind() {
    let shop = Shop::new().await;
    shop.run_well();
    assert_eq!(shop.sink("mongo")["lag_ms"], 0);
    let running = shop.start();
    shop.rename(1, "a", "b");
    shop.wait_for("items", &names([(1, "b"), (2, "a"), (3, "a"), (4, "a"), (5, "a")])).await;
    running.wait_for_stdout("a lag", |line| line.contains(r#""event":"sink""#) && line.contains(r#""lag_ms":0"#));
    running.signal("TERM");
    running.finish();
}

#[tokio::test(flavor = "multi_thread")]
async fn verify_tells_what_somebody_edited_and_repairs_it() {
    let shop = Shop::new().await;
    shop.run_well();
    let verify = |more: &[&str]| shop.program.run(&[&["verify", "shop.yaml", "--sink", "mongo", "--state", "state"], more].concat());
    let same = "sink mongo: view at tick 1: 5 rows, 0 different or missing, 0 not in the view\n";
    let done = verify(&[]);
    assert_eq!((done.stdout.as_str(), done.code), (same, Some(0)), "{}", done.stderr);
    let items = shop.target.collection("items");
    items.update_one(doc! {"_id": 2i64}, doc! {"$set": {"name": "edited"}}).await.unwrap();
    items.update_one(doc! {"_id": 4i64}, doc! {"$set": {"more": 1}}).await.unwrap();
    items.delete_one(doc! {"_id": 5i64}).await.unwrap();
    items.insert_one(doc! {"_id": 9i64, "name": "foreign"}).await.unwrap();
    let told = "\
sink mongo: view at tick 1: 5 rows, 3 different or missing, 1 not in the view
different: {\"id\":2}
different: {\"id\":4}
different: {\"id\":5}
";
    for _ in 0..2 {
        let done = verify(&[]);
        assert_eq!((done.stdout.as_str(), done.code), (told, Some(1)), "it writes nothing");
    }
    let done = verify(&["--repair"]);
    assert_eq!((done.stdout, done.code), (format!("{told}repaired\n"), Some(0)), "{}", done.stderr);
    assert_eq!(verify(&[]).stdout, same);
    assert_eq!(items.find_one(doc! {"_id": 4i64}).await.unwrap(), Some(doc! {"_id": 4i64, "id": 4i64, "name": "a"}));
    // A run goes on from there.
    shop.rename(2, "a", "b");
    shop.run_well();
    assert_eq!(shop.names_in("items").await, names([(1, "a"), (2, "b"), (3, "a"), (4, "a"), (5, "a")]));
    let wrong = shop.program.run(&["verify", "shop.yaml", "--sink", "none", "--state", "state"]);
    assert_eq!((wrong.code, wrong.stderr.as_str()), (Some(2), "error: there is no sink `none`\n   = help: there is `mongo`\n"));
}
