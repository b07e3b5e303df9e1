use std::collections::BTreeMap;
use std::path::Path;

use super::*;
use tidemill_shop::{ChangingShop, Format, Shop, TABLES};

/// The final rows of a source's tables as `table {json}` with their number of copies, and the positions of its commits.
async fn state_of(source: &dyn Source, from: Option<Position>) -> (BTreeMap<String, i64>, Vec<Position>) {
    let tables = discovered(source).await.unwrap();
    let (sender, mut events) = mpsc::channel(1);
    let held = Arc::new(MemoryRows::new(&tables, from.clone()));
    let capture = Capture { tables: tables.clone(), from, until_caught_up: true, held: held.clone() };
    let collect = async {
        let (mut state, mut positions) = (BTreeMap::new(), Vec::new());
        let mut add = |table: usize, row: &[u8], diff: i64| {
            let shown = shown(&tables[table], row);
            *state.entry(shown.trim_start_matches("ecom_").to_string()).or_insert(0) += diff;
        };
        while let Some(event) = events.recv().await {
            held.take(&event);
            match event {
                Event::Rows { table, rows } => rows.iter().for_each(|row| add(table, row, 1)),
                Event::Changes(deltas) => deltas.iter().for_each(|delta| add(delta.table, &delta.row, delta.diff)),
                Event::Commit { position, .. } => positions.push(position),
                _ => {}
            }
        }
        state.retain(|_, count| *count != 0);
        (state, positions)
    };
    let (ended, collected) = tokio::join!(source.run(capture, sender), collect);
    ended.unwrap();
    collected
}

fn fixture(name: &str) -> Box<dyn Source> {
    source(json!({"binlog": [Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(name)]}))
}

/// The shop that `fixtures/record` played, as JSON lines.
async fn played() -> (BTreeMap<String, i64>, Vec<Position>) {
    let folder = tempfile::tempdir().unwrap();
    let shop = Shop::new(1, 1_000);
    shop.write(folder.path(), Format::JsonLines).unwrap();
    let changes = ChangingShop::new(shop).write(400, folder.path(), Format::JsonLines).unwrap();
    let mut tables = serde_json::Map::new();
    for table in &TABLES {
        let columns: serde_json::Map<_, _> = table.columns.iter().map(|c| (c.name.to_string(), c.ty.into())).collect();
        let key: Vec<&str> = table.key_columns().iter().map(|c| c.name).collect();
        let path = folder.path().join(table.file_name("jsonl"));
        tables.insert(table.short.into(), json!({"jsonl": path, "key": key, "columns": columns}));
    }
    state_of(&*source(json!({"tables": tables, "changes": changes})), None).await
}

#[tokio::test]
async fn the_fixtures_come_to_the_shop_that_was_played() {
    let (played, transactions) = played().await;
    assert_eq!(transactions.len(), 400);
    for name in ["shop.binlog", "shop-mysql.binlog"] {
        let (state, commits) = state_of(&*fixture(name), None).await;
        assert!(state == played, "{name} comes to other rows");
        // Nine statements, each its own transaction, inserted up to 1,000 rows each; see `fixtures/README.md`.
        let inserts: u64 = TABLES.iter().map(|table| table.rows(1_000).div_ceil(1_000)).sum();
        assert_eq!(commits.len() as u64, 400 + inserts, "{name}");
    }
}

#[tokio::test]
async fn the_tables_of_a_fixture_have_the_keys_and_types_of_the_server() {
    for name in ["shop.binlog", "shop-mysql.binlog"] {
        let source = fixture(name);
        let mut names = source.table_names().await.unwrap();
        names.sort();
        let mut expected: Vec<String> = TABLES.iter().map(|table| table.sql_name()).collect();
        expected.sort();
        assert_eq!(names, expected);
        for shape in &TABLES {
            let table = source.discover(&[shape.sql_name()]).await.unwrap().remove(0);
            assert_eq!(table.key, (0..shape.key).collect::<Vec<_>>());
            let types: Vec<(String, String)> = table.schema.columns().iter().map(|c| (c.name.clone(), c.ty.to_string())).collect();
            let declared: Vec<(String, String)> = shape.columns.iter().map(|c| (c.name.into(), c.ty.into())).collect();
            assert_eq!(types, declared);
        }
        let missing = source.discover(&["orders".into()]).await.unwrap_err();
        assert_eq!(missing.to_string(), "there is no table `orders` in the recorded log");
    }
}

#[tokio::test]
async fn a_recorded_log_is_read_on_from_any_commit() {
    let source = fixture("shop.binlog");
    let (_, commits) = state_of(&*source, None).await;
    for at in [0, 5, 200, commits.len() - 1] {
        let (_, rest) = state_of(&*source, Some(commits[at].clone())).await;
        assert_eq!(rest, commits[at + 1..]);
    }
}

#[tokio::test]
async fn a_log_that_cannot_be_read_says_why() {
    let folder = folder(&[("not.binlog", "id,name\n1,x\n")]);
    let of = |path: PathBuf| source(json!({"binlog": [path]}));
    let not = folder.path().join("not.binlog");
    let message = of(not.clone()).table_names().await.unwrap_err().to_string();
    assert!(message.contains(&not.display().to_string()), "{message}");
    let missing = of(folder.path().join("missing")).table_names().await.unwrap_err().to_string();
    assert!(missing.contains("No such file"), "{missing}");
}
