//! Previews beside what a run shows.

use super::support::{MysqlDatabase, Program};

/// A spec of one server; `views` is the text of its `views`.
pub(crate) fn spec(database: &MysqlDatabase, options: &str, views: &str) -> String {
    format!("sources:\n  shop: {{kind: mysql, options: {{url: \"{}\"{options}}}}}\nviews:\n{views}", database.url())
}

/// What a command prints, which must go well.
pub(crate) fn printed(program: &Program, arguments: &[&str]) -> (Vec<String>, String) {
    let ended = program.run(arguments);
    assert_eq!(ended.code, Some(0), "{arguments:?}: {}", ended.stderr);
    (ended.stdout.lines().map(str::to_owned).collect(), ended.stderr)
}

/// Runs the spec until caught up.
pub(crate) fn catch_up(program: &Program) {
    printed(program, &["run", "shop.yaml", "--until-caught-up"]);
}

/// The rows of a view, as the run has them.
pub(crate) fn stored(program: &Program, view: &str) -> Vec<String> {
    printed(program, &["get", view, "--state", "shop.state"]).0
}

/// Previews of a view equal what the run shows: all of it, the first two, and each by its key.
pub(crate) fn assert_same(program: &Program, view: &str, key: &[&str]) {
    let expected = stored(program, view);
    assert!(!expected.is_empty(), "{view}");
    let (all, said) = printed(program, &["preview", "shop.yaml", view, "-n", "1000"]);
    assert_eq!((all, said.as_str()), (expected.clone(), ""), "{view}");
    let (two, said) = printed(program, &["preview", "shop.yaml", view, "-n", "2"]);
    assert_eq!((two.len(), said.as_str()), (expected.len().min(2), ""), "{view}");
    assert!(two.iter().all(|row| expected.contains(row)), "{view}: {two:?}");
    for row in expected.iter().take(4) {
        let object: serde_json::Value = serde_json::from_str(row).unwrap();
        let values = key.iter().map(|name| match &object[name] {
            serde_json::Value::String(text) => text.clone(),
            other => other.to_string(),
        });
        let values: Vec<String> = values.collect();
        let mut arguments = vec!["preview", "shop.yaml", view];
        values.iter().for_each(|value| arguments.extend(["--key", value]));
        assert_eq!(printed(program, &arguments), (vec![row.clone()], String::new()), "{view} {values:?}");
    }
}
