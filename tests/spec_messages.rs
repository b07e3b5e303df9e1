//! What a user reads when a spec is wrong: each message pinned whole.

mod shop_tables;

use std::path::Path;

use shop_tables::{KINDS, shop};
use tidemill::plan::Catalog;
use tidemill::spec::Draft;

/// All that is said about a spec, with the shop's tables known and one variable set.
fn messages(spec: &str) -> String {
    messages_in(Path::new("dataflows/sales.yaml"), spec)
}

fn messages_in(path: &Path, spec: &str) -> String {
    let environment = |name: &str| (name == "SHOP_PASSWORD").then(|| "hunter2".to_string());
    let draft = match Draft::parse(path, spec, KINDS, &environment) {
        Ok(draft) => draft,
        Err(problems) => return problems.to_string(),
    };
    let mut problems = draft.problems.clone();
    problems.extend(draft.spec.examine(&Catalog::from(shop())).1);
    draft.spec.problems(problems).to_string()
}

#[test]
fn dump() {
    for file in std::fs::read_dir(std::env::var("DUMP").unwrap()).unwrap() {
        let path = file.unwrap().path();
        println!("=== {}\n{}", path.display(), messages(&std::fs::read_to_string(&path).unwrap()));
    }
}
