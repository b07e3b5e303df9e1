//! The rules of the dialect: every example of `docs/sql.md` is what it says there, and what PostgreSQL says, unless the document says otherwise.

use serde_json::{Map, Value, json};

use crate::support::case::scratch;
use crate::support::engine::{Way, prepare};
use crate::support::judge::confirm;

const RULES: &str = include_str!("../../docs/sql.md");

/// A name, the columns with their types, and the rows as JSON.
type Table = (&'static str, [(&'static str, &'static str); 3], &'static [&'static str]);

const TABLES: [Table; 3] = [
    ("t", [("id", "int32"), ("n", "int32"), ("c", "text")], &["[1, 3, \"b\"]", "[2, 1, \"B\"]", "[3, null, \"é\"]"]),
    ("p", [("id", "int32"), ("x", "int32"), ("a", "int32")], &["[1, 2, 7]", "[2, 5, 8]", "[3, null, 9]"]),
    ("q", [("id2", "int32"), ("x", "int32"), ("b", "int32")], &["[1, 5, 70]", "[2, 3, 71]"]),
];

struct Example {
    query: String,
    gives: Vec<Value>,
    /// What PostgreSQL gives is said beside it.
    differs: bool,
}

/// The lines of tables that begin with an example.
fn examples() -> Vec<Example> {
    let mut examples = Vec::new();
    for line in RULES.lines().filter(|line| line.starts_with("| `")) {
        let escaped = line.replace("\\|", "\u{0}");
        let cells: Vec<String> = escaped.trim_matches('|').split('|').map(|cell| cell.replace('\u{0}', "|").trim().to_string()).collect();
        let text = cells[0].trim_matches('`');
        let query = if text.starts_with("SELECT ") { text.to_string() } else { format!("SELECT {text} AS r FROM s.t WHERE id = 1") };
        let values = if cells[1] == "none" { Vec::new() } else { cells[1].split("`, `").collect() };
        let value = |text: &str| serde_json::from_str(text.trim_matches('`')).unwrap_or_else(|wrong| panic!("{line}: {wrong}"));
        let gives = values.into_iter().map(value).collect();
        examples.push(Example { query, gives, differs: cells.len() > 2 && !cells[2].is_empty() });
    }
    examples
}

/// What the rows of the queries' views are, each its value, or the list of its values.
async fn answers(examples: &[&Example], confirmed: bool) -> Vec<Vec<Value>> {
    let folder = scratch();
    let mut tables = Map::new();
    for (table, columns, rows) in TABLES {
        let types: Map<String, Value> = columns.iter().map(|(name, ty)| (name.to_string(), (*ty).into())).collect();
        tables.insert(table.into(), json!({"jsonl": format!("{table}.jsonl"), "key": [columns[0].0], "columns": types}));
        let row = |values: &&str| {
            let values: Vec<Value> = serde_json::from_str(values).unwrap();
            let row: Map<String, Value> = columns.iter().map(|(name, _)| name.to_string()).zip(values).collect();
            format!("{}\n", Value::Object(row))
        };
        std::fs::write(folder.path().join(format!("{table}.jsonl")), rows.iter().map(row).collect::<String>()).unwrap();
    }
    let views: Map<String, Value> =
        examples.iter().enumerate().map(|(n, example)| (format!("q{n:03}"), json!({"sql": example.query}))).collect();
    let spec = json!({"sources": {"s": {"kind": "file", "options": {"tables": tables}}}, "views": views});
    std::fs::write(folder.path().join("spec.yaml"), format!("{spec:#}")).unwrap();
    let prepared = prepare(&folder.path().join("spec.yaml")).await.unwrap_or_else(|wrong| panic!("{wrong}"));
    let observed = prepared.run(&folder.path().join("state"), Way { workers: 1, scatter: None }).await;
    if confirmed {
        confirm(&prepared, &observed).await.unwrap_or_else(|wrong| panic!("PostgreSQL says otherwise: {wrong}"));
    }
    let value = |row: &String| {
        let row: Map<String, Value> = serde_json::from_str(row).unwrap();
        let mut values: Vec<Value> = row.into_iter().map(|(_, value)| value).collect();
        if values.len() == 1 { values.remove(0) } else { values.into() }
    };
    observed.iter().map(|view| view.rows.iter().map(value).collect()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_example_of_the_dialect_gives_what_the_document_says() {
    let examples = examples();
    assert!(examples.len() > 50, "{} examples are found in docs/sql.md", examples.len());
    for differs in [false, true] {
        let some: Vec<&Example> = examples.iter().filter(|example| example.differs == differs).collect();
        let sorted = |values: &[Value]| {
            let mut texts: Vec<String> = values.iter().map(Value::to_string).collect();
            texts.sort();
            texts
        };
        for (example, answer) in some.iter().zip(answers(&some, !differs).await) {
            assert_eq!(sorted(&answer), sorted(&example.gives), "{}", example.query);
        }
    }
}
