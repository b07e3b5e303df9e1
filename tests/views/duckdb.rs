//! DuckDB, the second judge: what it contradicts is told, what it refuses is counted, and where it does not answer the test ends.

use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::generate::Generated;
use crate::support::judge::Saying;
use crate::support::judge::duckdb::is_wanted;
use crate::support::judge::duckdb::process::Process;
use crate::support::query_case::check_against;
use crate::support::random::Random;
use crate::support::wrong::Wrong;

/// How many of two queries DuckDB judged, one of which has another text for both judges.
async fn judged(say: Saying) -> Result<usize, Wrong> {
    let table = json!({"jsonl": "t.jsonl", "key": ["id"], "columns": {"id": "int64"}});
    let spec = json!({
        "sources": {"s": {"kind": "file", "options": {"tables": {"t": table}, "changes": "changes.jsonl"}}},
        "views": {"plain": {"sql": "SELECT id FROM s.t"}, "other": {"sql": "SELECT id AS n FROM s.t"}},
    });
    let files = vec![("spec.yaml".into(), spec.to_string()), ("t.jsonl".into(), "{\"id\": 1}\n".into())];
    let changes = "{\"table\": \"t\", \"op\": \"insert\", \"after\": {\"id\": 2}}\n".into();
    check_against(&Generated { files, changes }, &mut Random::new(1), say).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_duckdb_contradicts_is_told_and_what_it_refuses_is_counted() {
    if !is_wanted() {
        assert_eq!(judged(str::to_string).await, Ok(0), "PostgreSQL judges alone");
        return;
    }
    assert_eq!(judged(str::to_string).await, Ok(2));
    assert_eq!(judged(|sql| sql.replace("id AS n", "id * num_nonnulls(id) AS n")).await, Ok(1), "DuckDB does not have num_nonnulls");
    let by_version = |sql: &str| sql.replace("id AS n", "id * CASE WHEN version() LIKE 'PostgreSQL%' THEN 1 ELSE 2 END AS n");
    let wrong = judged(by_version).await.unwrap_err();
    let told = "`other`, in state 0: the judges differ\n DuckDB     [\"{\\\"n\\\":2}\"]\n PostgreSQL [\"{\\\"n\\\":1}\"]\n";
    assert!(wrong.is_like(&Wrong::Judges(String::new())) && wrong.to_string().starts_with(told), "{wrong}");
}

/// What is told of a process that runs a script of the shell in place of DuckDB.
fn told_of(script: &str, longest: Duration) -> String {
    let mut process = Process::start(Command::new("sh").args(["-c", script]));
    process.ask::<Value>(&json!({"views": []}), longest).expect_err(script)
}

#[test]
fn a_process_that_gives_no_answer_is_not_one_that_refuses() {
    let long = Duration::from_secs(60);
    for (script, told) in [
        ("exit 3", "it ended without an answer (exit status: 3)"),
        ("read request; exit 3", "it ended without an answer (exit status: 3)"),
        ("kill -9 $$", "it ended without an answer (signal: 9"),
        ("read request; echo nonsense; exec sleep 60", "it says what is no answer"),
        ("read request; echo '{\"views\": '; exec sleep 60", "it says what is no answer"),
        ("read request; echo; exec sleep 60", "it says what is no answer"),
    ] {
        let is = told_of(script, long);
        assert!(is.starts_with(told), "{script}: {is}");
    }
    assert_eq!(told_of("read request; exec sleep 60", Duration::from_millis(50)), "it says nothing for 50ms");
}
