//! The plans of specs as text: `tests/planner/*.yaml`, each with the whole answer of `explain` beside it.
//!
//! To accept new answers: `TIDEMILL_ACCEPT=1 cargo test --test planner`, and read the difference.

mod shop_tables;

use std::path::{Path, PathBuf};

use shop_tables::{KINDS, shop};
use tidemill::plan::Plan;
use tidemill::spec::Draft;

fn plan(path: &Path) -> Plan {
    let text = std::fs::read_to_string(path).unwrap();
    let draft = Draft::parse(path, &text, KINDS, &|_| Some("x".into())).unwrap_or_else(|p| panic!("{p}"));
    let spec = draft.finish().unwrap_or_else(|p| panic!("{p}"));
    spec.lower(&shop()).unwrap_or_else(|p| panic!("{p}"))
}

fn same_as_file(answer: &str, file: &Path) {
    if std::env::var_os("TIDEMILL_ACCEPT").is_some() {
        std::fs::write(file, answer).unwrap();
    }
    let expected = std::fs::read_to_string(file).unwrap_or_default();
    assert!(answer == expected, "{} says\n{expected}\nbut the plan is\n{answer}", file.display());
}

#[test]
fn plans_are_as_accepted() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/planner");
    let entries = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
    let specs: Vec<PathBuf> = entries.filter(|path| path.extension().is_some_and(|e| e == "yaml")).collect();
    assert!(!specs.is_empty());
    for spec in specs {
        same_as_file(&plan(&spec).explain().to_string(), &spec.with_extension("txt"));
    }
}

#[test]
fn the_reference_view_plans() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let plan = plan(&root.join("dataflows/order_single_view.yaml"));
    same_as_file(&plan.explain().to_string(), &root.join("tests/planner/order_single_view.txt"));
    assert_eq!(plan.arrangements().list.len(), 9);
}
