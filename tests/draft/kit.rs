//! A schema at a server, the draft of it, and what a run of the draft gives.

use std::collections::BTreeMap;
use std::path::Path;

use mysql_async::prelude::Queryable;
use serde_json::Value;

use super::support::{Finished, MysqlDatabase, Program};

pub(crate) const SERVERS: [&str; 2] = ["MARIADB", "MYSQL"];

/// A root, and what its documents must contain: paths in them, each with the SQL that gives the same by the documents' key. Of several
/// values, and in SQL of a list with commas, the order does not matter.
pub(crate) struct Facts {
    pub(crate) schema: &'static str,
    pub(crate) root: &'static str,
    pub(crate) view: &'static str,
    pub(crate) key: &'static str,
    pub(crate) facts: &'static [(&'static str, &'static str)],
}

/// A database with the tables of `tests/draft/{schema}.sql`.
pub(crate) async fn database(kind: &str, schema: &str) -> MysqlDatabase {
    let database = MysqlDatabase::create(kind).await;
    let path = folder().join(format!("{schema}.sql"));
    let text = std::fs::read_to_string(&path).unwrap();
    let statements: Vec<&str> = text.split(";\n").map(str::trim).filter(|statement| !statement.is_empty()).collect();
    database.execute(&statements).await;
    database
}

fn folder() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/draft")
}

/// Runs `tidemill draft` with the database's URL. Its password must not be in the answer.
pub(crate) fn draft(program: &Program, database: &MysqlDatabase, arguments: &[&str]) -> Finished {
    let url = database.url();
    let drafted = program.run(&[&["draft", url.as_str()], arguments].concat());
    for output in [&drafted.stdout, &drafted.stderr] {
        assert!(!output.contains(&database.password) && !output.contains("pw%20") && !output.contains("%70%77"), "a password:\n{output}");
    }
    drafted
}

/// Compares with the accepted file. What differs from run to run is replaced.
pub(crate) fn same_as_file(text: &str, database: &MysqlDatabase, file: &str) {
    let text = text.replace(&database.name.to_uppercase(), "SHOP").replace(&database.name, "shop");
    let text = text.replace(&format!("{}:{}", database.host, database.port), "HOST:PORT");
    let path = folder().join(file);
    if std::env::var_os("TIDEMILL_ACCEPT").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    let accepted = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(text == accepted, "{file} is\n{accepted}\nbut the draft is\n{text}");
}

/// A program with the password in the variable that drafts of this database name.
pub(crate) fn program(database: &MysqlDatabase) -> Program {
    let password: String = database.password.bytes().map(|byte| format!("%{byte:02X}")).collect();
    Program::new().env(&format!("{}_PASSWORD", database.name.to_uppercase()), &password)
}

/// Checks and runs the spec, and compares the documents with the server's answers.
pub(crate) async fn run_and_compare(program: &Program, database: &MysqlDatabase, spec: &str, facts: &Facts) {
    program.write("spec.yaml", spec);
    let checked = program.run(&["check", "spec.yaml"]);
    assert_eq!(checked.code, Some(0), "{}\n{spec}", checked.stderr);
    let ran = program.run(&["run", "spec.yaml", "--until-caught-up"]);
    assert_eq!(ran.code, Some(0), "{}\n{spec}", ran.stderr);
    let got = program.run(&["get", facts.view, "--state", "spec.state"]);
    assert_eq!(got.code, Some(0), "{}", got.stderr);
    let documents: Vec<Value> = got.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of_root = format!("SELECT {0}, {0} FROM {1}", quoted(facts.key), quoted(facts.root));
    let all: &[(&str, &str)] = &[(facts.key, of_root.as_str())];
    for (path, sql) in all.iter().chain(facts.facts) {
        let mut connection = database.connect().await;
        let rows: Vec<(String, Option<String>)> = connection.query(*sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
        connection.disconnect().await.unwrap();
        let expected: BTreeMap<String, Vec<String>> = rows.into_iter().map(|(key, list)| (key, split(list))).collect();
        let shown: BTreeMap<String, Vec<String>> =
            documents.iter().map(|document| (text(&document[facts.key]), values(document, path))).collect();
        assert_eq!(shown, expected, "{path} of {} at {}\n{spec}", facts.view, facts.schema);
    }
}

fn quoted(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

fn split(list: Option<String>) -> Vec<String> {
    let mut values: Vec<String> = list.unwrap_or_default().split(',').filter(|v| !v.is_empty()).map(str::to_string).collect();
    values.sort();
    values
}

/// The values at a path like `items/*/product/name`, without those that are absent or null.
fn values(document: &Value, path: &str) -> Vec<String> {
    let mut here = vec![document.clone()];
    for part in path.split('/') {
        here = match part {
            "*" => here.iter().flat_map(|value| value.as_array().cloned().unwrap_or_default()).collect(),
            field => here.iter().filter_map(|value| value.get(field).cloned()).collect(),
        };
    }
    let mut values: Vec<String> = here.iter().filter(|value| !value.is_null()).map(text).collect();
    values.sort();
    values
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_string)
}
