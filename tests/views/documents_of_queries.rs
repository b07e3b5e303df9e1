//! Documents of queries: what fails, and what a changed query makes of the documents over it.

use std::path::Path;

use serde_json::{Value, json};

use crate::support::case::scratch;
use crate::support::engine::{Observed, Prepared, Way, prepare};
use crate::support::judge::confirm_end;

/// A spec with `views` over `people (id, v)` and `marks (id, person, v)`, in a folder with its files.
async fn prepared(folder: &Path, name: &str, views: &Value) -> Prepared {
    let columns = |names: &[&str]| names.iter().map(|name| (name.to_string(), json!("int64"))).collect::<serde_json::Map<_, _>>();
    let spec = json!({
        "sources": {"s": {"kind": "file", "options": {"changes": "changes.jsonl", "tables": {
            "people": {"jsonl": "people.jsonl", "key": ["id"], "columns": columns(&["id", "v"])},
            "marks": {"jsonl": "marks.jsonl", "key": ["id"], "columns": columns(&["id", "person", "v"])},
        }}}},
        "views": views,
    });
    let path = folder.join(name);
    std::fs::write(&path, spec.to_string()).unwrap();
    prepare(&path).await.unwrap()
}

fn write_rows(folder: &Path, changes: &str) {
    std::fs::write(folder.join("people.jsonl"), "{\"id\": 1, \"v\": 2}\n{\"id\": 2, \"v\": 3}\n").unwrap();
    let marks = "{\"id\": 10, \"person\": 1, \"v\": 0}\n{\"id\": 11, \"person\": 1, \"v\": 4}\n{\"id\": 12, \"person\": 2, \"v\": 5}\n";
    std::fs::write(folder.join("marks.jsonl"), marks).unwrap();
    std::fs::write(folder.join("changes.jsonl"), changes).unwrap();
}

const CORRECTED: &str = "{\"table\": \"marks\", \"op\": \"update\", \"before\": {\"id\": 10, \"person\": 1, \"v\": 0}, \"after\": {\"id\": 10, \"person\": 1, \"v\": 1}}\n";

/// Rows and number of errors of each view, after the changes.
async fn seen(views: &Value, changes: &str, workers: usize) -> Vec<(Vec<String>, u64)> {
    observed(views, changes, workers).await.into_iter().map(|Observed { rows, errors, .. }| (rows, errors)).collect()
}

async fn observed(views: &Value, changes: &str, workers: usize) -> Vec<Observed> {
    let folder = scratch();
    write_rows(folder.path(), changes);
    let prepared = prepared(folder.path(), "spec.yaml", views).await;
    let observed = prepared.run(&folder.path().join("state"), Way { workers, scatter: Some(3) }).await;
    confirm_end(&prepared, &observed).await.unwrap_or_else(|wrong| panic!("PostgreSQL says otherwise of {views}\n{wrong}"));
    observed
}

fn texts(rows: &[&str]) -> Vec<String> {
    rows.iter().map(|row| row.to_string()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_row_of_an_embedded_query_is_an_error_of_the_query_alone() {
    let views = json!({
        "shares": {"sql": "SELECT id, person, 20 / v AS share FROM s.marks"},
        "v": {"from": "s.people", "lookup": [{"from": "shares", "path": "shares", "type": "array", "on": {"id": "person"}, "columns": ["share"]}]},
        "roots": {"from": "shares", "columns": ["id"]},
    });
    for workers in [1, 3] {
        let failing = seen(&views, "", workers).await;
        assert_eq!(failing[0], (texts(&[r#"{"id":11,"person":1,"share":5}"#, r#"{"id":12,"person":2,"share":4}"#]), 1));
        assert_eq!(failing[1], (texts(&[r#"{"id":1,"v":2,"shares":[{"share":5}]}"#, r#"{"id":2,"v":3,"shares":[{"share":4}]}"#]), 0));
        assert_eq!(failing[2], (texts(&[r#"{"id":11}"#, r#"{"id":12}"#]), 0));
        let right = seen(&views, CORRECTED, workers).await;
        assert_eq!(right[0].1, 0);
        let documents = [r#"{"id":1,"v":2,"shares":[{"share":20},{"share":5}]}"#, r#"{"id":2,"v":3,"shares":[{"share":4}]}"#];
        assert_eq!(right[1], (texts(&documents), 0));
        assert_eq!(right[2], (texts(&[r#"{"id":10}"#, r#"{"id":11}"#, r#"{"id":12}"#]), 0));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_document_makes_of_a_query_fails_in_the_document_alone() {
    let lookup =
        json!([{"from": "least", "path": "share", "type": "object", "on": {"id": "person"}, "columns": ["person", {"of": "20 / v"}]}]);
    let views = json!({
        "least": {"sql": "SELECT person, min(v) AS v FROM s.marks GROUP BY person"},
        "v": {"from": "s.people", "lookup": lookup},
        "own": {"sql": "SELECT id, 20 / v AS share FROM s.marks", "lookup": [{"from": "s.people", "path": "p", "type": "object", "on": {"id": "id"}}]},
    });
    let failing = seen(&views, "", 2).await;
    assert_eq!(failing[0].1, 0);
    assert_eq!(failing[1], (texts(&[r#"{"id":1,"v":2}"#, r#"{"id":2,"v":3,"share":{"person":2,"of":4}}"#]), 1));
    assert_eq!(failing[2], (texts(&[r#"{"id":11,"share":5}"#, r#"{"id":12,"share":4}"#]), 1));
    let reasons: Vec<Vec<String>> = observed(&views, "", 2).await.into_iter().map(|view| view.reasons).collect();
    assert_eq!(reasons[1], [r#"least {"person":1}: division by zero"#]);
    assert_eq!(reasons[2], [r#"s.marks {"id":10}: division by zero"#]);
    let right = seen(&views, CORRECTED, 2).await;
    assert_eq!(right[1].0[0], r#"{"id":1,"v":2,"share":{"person":1,"of":20}}"#);
    assert_eq!((right[0].1, right[1].1, right[2].1), (0, 0, 0));
    assert_eq!(right[2].0.len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_query_changes_the_documents_that_are_made_of_it() {
    let views = |most: &str, own: &str| {
        json!({
            "marks": {"sql": format!("SELECT person, {most}(v) AS most FROM s.marks GROUP BY person")},
            "v": {"from": "s.people", "lookup": [{"from": "marks", "path": "", "on": {"id": "person"}, "columns": ["most"]}]},
            "own": {"sql": own, "key": "id", "lookup": [{"from": "marks", "path": "m", "type": "object", "on": {"id": "person"}}]},
            "other": {"from": "s.people"},
        })
    };
    let (all, some) = ("SELECT id FROM s.people", "SELECT id FROM s.people WHERE v > 2");
    let folder = scratch();
    write_rows(folder.path(), "");
    let before = prepared(folder.path(), "before.yaml", &views("max", all)).await;
    let after = prepared(folder.path(), "after.yaml", &views("min", some)).await;
    let (state, way) = (folder.path().join("state"), Way { workers: 2, scatter: None });
    let first = before.run(&state, way).await;
    assert_eq!(first[1].rows, [r#"{"id":1,"v":2,"most":4}"#, r#"{"id":2,"v":3,"most":5}"#]);
    assert_eq!(first[2].rows.len(), 2);
    let definition = |prepared: &Prepared, view: usize| prepared.plan.definition_of(&prepared.plan.views[view]);
    assert_ne!(definition(&before, 1), definition(&after, 1));
    assert_ne!(definition(&before, 2), definition(&after, 2));
    assert_eq!(definition(&before, 3), definition(&after, 3));
    let second = after.run(&state, way).await;
    assert_eq!(second[1].rows, [r#"{"id":1,"v":2,"most":0}"#, r#"{"id":2,"v":3,"most":5}"#]);
    assert_eq!(second[2].rows, [r#"{"id":2,"m":{"person":2,"most":5}}"#]);
    assert_eq!(second[2].changes - first[2].changes, 1, "a document that went is all that changed: {second:?}");
    assert_eq!((second[3].changes, &second[3].rows), (0, &first[3].rows));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_declared_key_of_a_query_is_what_its_rows_are_stored_under() {
    let views = json!({
        "v": {"sql": "SELECT person, v FROM s.marks", "key": "person"},
        "d": {"from": "v", "lookup": [{"from": "s.people", "path": "p", "type": "object", "on": {"person": "id"}, "columns": ["id"]}]},
    });
    let twice = seen(&views, "", 2).await;
    assert_eq!(twice[0], (texts(&[r#"{"person":2,"v":5}"#]), 1));
    assert_eq!(twice[1], (texts(&[r#"{"person":2,"v":5,"p":{"id":2}}"#]), 1));
    let gone = "{\"table\": \"marks\", \"op\": \"delete\", \"before\": {\"id\": 10, \"person\": 1, \"v\": 0}}\n";
    let once = seen(&views, gone, 2).await;
    assert_eq!(once[0], (texts(&[r#"{"person":1,"v":4}"#, r#"{"person":2,"v":5}"#]), 0));
    assert_eq!(once[1].1, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_row_of_a_table_is_told_once_to_each_view() {
    let views = json!({
        "joined": {"sql": "SELECT p.id, m.q FROM s.people p JOIN (SELECT person, 20 / v AS q FROM s.marks) m ON m.person = p.id"},
        "plain": {"sql": "SELECT person, 20 / v AS q FROM s.marks"},
        "grouped": {"sql": "SELECT person, max(q) AS q FROM (SELECT person, 20 / v AS q FROM s.marks) m GROUP BY person"},
        "d": {"from": "s.people", "lookup": [{"from": "s.marks", "path": "m", "type": "array", "on": {"id": "person"}, "columns": ["person", {"q": "20 / v"}]}]},
    });
    let errors: Vec<u64> = seen(&views, "", 2).await.into_iter().map(|(_, errors)| errors).collect();
    assert_eq!(errors, [1, 1, 1, 1]);
}
