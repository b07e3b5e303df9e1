//! What a user reads when a spec is wrong: `tests/spec_messages/*.yaml`, each with the whole answer beside it.
//!
//! To accept new answers: `TIDEMILL_ACCEPT=1 cargo test --test spec_messages`, and read the difference.

mod shop_tables;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use shop_tables::{KINDS, shop};
use tidemill::options::OptionError;
use tidemill::plan::Catalog;
use tidemill::spec::{Draft, Spec};

/// The password in the environment, and the one in the specs: nobody may ever read one of them.
const PASSWORDS: [&str; 2] = ["swordfish", "hunter2"];

fn environment(name: &str) -> Option<String> {
    (name == "SHOP_PASSWORD").then(|| PASSWORDS[0].to_string())
}

/// All that is said about a spec, with the shop's tables known.
fn messages(path: &Path, spec: &str) -> String {
    let draft = match Draft::parse(path, spec, KINDS, &environment) {
        Ok(draft) => draft,
        Err(problems) => return problems.to_string(),
    };
    let unknown: BTreeSet<String> = draft.broken_sources.clone();
    let (_, found) = draft.spec.examine(&Catalog { unknown, ..Catalog::from(shop()) });
    let problems = draft.problems.iter().cloned().chain(found).collect();
    draft.spec.problems(problems).to_string()
}

#[test]
fn messages_are_as_accepted() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/spec_messages");
    let entries = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
    let mut specs: Vec<PathBuf> = entries.filter(|path| path.extension().is_some_and(|e| e == "yaml")).collect();
    specs.sort();
    assert!(!specs.is_empty());
    let mut different = Vec::new();
    for path in specs {
        let spec = std::fs::read_to_string(&path).unwrap();
        let said = messages(Path::new(path.file_name().unwrap()), &spec);
        assert!(said.starts_with("error: "), "nothing is said about {}", path.display());
        for password in PASSWORDS {
            assert!(!said.contains(password), "a password is shown for {}:\n{said}", path.display());
        }
        let accepted = path.with_extension("txt");
        if std::env::var_os("TIDEMILL_ACCEPT").is_some() {
            std::fs::write(&accepted, &said).unwrap();
        }
        if said != std::fs::read_to_string(&accepted).unwrap_or_default() {
            different.push(format!("=== {}\n{said}", path.display()));
        }
    }
    assert!(different.is_empty(), "not as accepted:\n{}", different.join("\n"));
}

fn spec(text: &str) -> Spec {
    let draft = Draft::parse(Path::new("/srv/flows/shop.yaml"), text, KINDS, &environment).unwrap_or_else(|p| panic!("{p}"));
    draft.finish().unwrap_or_else(|p| panic!("{p}"))
}

const SHOP: &str = "\
sources:
  shop: {kind: mysql, options: {url: \"mysql://u:${SHOP_PASSWORD}@${HOST:-localhost}/$${d}\", tls: {verify: true}, server_id: 7}}
  files: {kind: file, options: {changes: data/changes.jsonl, tables: {a: {csv: ../a.csv}, b: {csv: /b.csv}}, names: [1, x]}}
views:
  orders: {from: shop.ecom_orders, lookup: [{from: files.a, path: a, type: array, on: {order_id: id}}]}
  again: {from: files.a}
sinks:
  mongo: {kind: mongodb, view: orders, options: {uri: \"mongodb://h\", collection: c.d}}
";

#[test]
fn options_reach_the_kind_with_variables_set_and_paths_absolute() {
    let spec = spec(SHOP);
    let shop = serde_json::json!({"url": "mysql://u:swordfish@localhost/${d}", "tls": {"verify": true}, "server_id": 7});
    assert_eq!(spec.sources[0].options, shop);
    let tables = serde_json::json!({"a": {"csv": "/srv/flows/../a.csv"}, "b": {"csv": "/b.csv"}});
    let files = serde_json::json!({"changes": "/srv/flows/data/changes.jsonl", "tables": tables, "names": ["1", "x"]});
    assert_eq!(spec.sources[1].options, files);
    assert_eq!((spec.sinks[0].kind.as_str(), spec.sinks[0].view.as_str()), ("mongodb", "orders"));
    assert!(!format!("{spec:?}").contains(PASSWORDS[0]), "a password is shown");
}

#[test]
fn tables_are_named_once_each_by_source() {
    let tables = vec![("shop".to_string(), vec!["ecom_orders".to_string()]), ("files".to_string(), vec!["a".to_string()])];
    assert_eq!(spec(SHOP).tables(), tables);
}

#[test]
fn a_secret_may_stand_in_a_file_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("url"), "mysql://u:p@h/d\n").unwrap();
    let text = "sources: {shop: {kind: mysql, options: {url: {file: url}}}}\nviews: {orders: {from: shop.ecom_orders}}\n";
    let draft = Draft::parse(&folder.path().join("shop.yaml"), text, KINDS, &environment).unwrap();
    assert_eq!(draft.finish().unwrap().sources[0].options, serde_json::json!({"url": "mysql://u:p@h/d"}));
}

#[test]
fn what_a_kind_says_later_finds_its_line() {
    let spec = spec(SHOP);
    let error = |path: &[&str]| OptionError { path: path.iter().map(|p| p.to_string()).collect(), message: "no".into(), help: None };
    let said = spec.problems(vec![
        spec.source_option("files", &error(&["tables", "b", "csv"])),
        spec.source_option("files", &error(&["tables", "c"])),
        spec.source_option("shop", &error(&[])),
        spec.sink_option("mongo", &error(&["uri"])),
        spec.table_problem("files", Some("a"), "gone", None),
        spec.table_problem("shop", None, "stopped", None),
    ]);
    let expected = "\
error: stopped
  --> /srv/flows/shop.yaml:2:3
   |   shop: {kind: mysql, options: {url: \"mysql://u:${SHOP_PASSWORD}@${HOST:-localhost}/$${d}\", tls: {verify: true}, server_id: 7}}
   |   ^^^^

error: no
  --> /srv/flows/shop.yaml:2:16
   |   shop: {kind: mysql, options: {url: \"mysql://u:${SHOP_PASSWORD}@${HOST:-localhost}/$${d}\", tls: {verify: true}, server_id: 7}}
   |                ^^^^^

error: option `tables.c`: no
  --> /srv/flows/shop.yaml:3:62
   |   files: {kind: file, options: {changes: data/changes.jsonl, tables: {a: {csv: ../a.csv}, b: {csv: /b.csv}}, names: [1, x]}}
   |                                                              ^^^^^^

error: option `tables.b.csv`: no
  --> /srv/flows/shop.yaml:3:100
   |   files: {kind: file, options: {changes: data/changes.jsonl, tables: {a: {csv: ../a.csv}, b: {csv: /b.csv}}, names: [1, x]}}
   |                                                                                                    ^^^^^^

error: gone
  --> /srv/flows/shop.yaml:5:52
   |   orders: {from: shop.ecom_orders, lookup: [{from: files.a, path: a, type: array, on: {order_id: id}}]}
   |                                                    ^^^^^^^

error: option `uri`: no
  --> /srv/flows/shop.yaml:8:55
   |   mongo: {kind: mongodb, view: orders, options: {uri: \"mongodb://h\", collection: c.d}}
   |                                                       ^^^^^^^^^^^^^
";
    assert_eq!(said.to_string(), expected);
}
