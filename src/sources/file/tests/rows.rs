use std::path::PathBuf;

use super::*;
use crate::value::Datum;
use tidemill_shop::{Format, Shop, TABLES};

#[tokio::test]
async fn a_csv_is_a_snapshot_and_then_the_end() {
    let folder = folder(&[("a.csv", "id,name,price\n1,\"x, \"\"y\"\"\",1.50\n2,,\n")]);
    let table =
        json!({"csv": folder.path().join("a.csv"), "key": ["id"], "columns": {"id": "int32", "name": "text", "price": "decimal(10,2)"}});
    let (sent, ended) = run(&*source(json!({"tables": {"a": table}})), None).await;
    ended.unwrap();
    assert_eq!(
        sent,
        [
            "plan [Some(2)]",
            r#"a {"id":1,"name":"x, \"y\"","price":1.50}"#,
            r#"a {"id":2,"name":null,"price":null}"#,
            "snapshot {}",
            "caught up"
        ]
    );
}

#[tokio::test]
async fn a_run_from_a_position_takes_no_snapshot() {
    let folder = folder(&[("a.csv", "id\n1\n")]);
    let source = source(json!({"tables": {"a": {"csv": folder.path().join("a.csv")}}}));
    let (sent, ended) = run(&*source, Some(FilePosition::default().position())).await;
    ended.unwrap();
    assert_eq!(sent, ["caught up"]);
}

#[tokio::test]
async fn types_that_are_not_declared_come_from_the_whole_file() {
    let csv = "\u{feff}id,zip,price,at,city,none\n1,01151,1.5,2017-10-02 10:56:33,são paulo,\n2,99999,12.25,2017-10-03 00:00:00,\\N,\n";
    let jsonl = "{\"id\": 1, \"tags\": [\"a\"]}\n\n{\"id\": 2, \"more\": 1e3, \"at\": \"2017-10-02\"}\n";
    let folder = folder(&[("a.csv", csv), ("b.jsonl", jsonl)]);
    let source = source(json!({"tables": {
        "a": {"csv": folder.path().join("a.csv"), "key": ["id"], "columns": {"id": "uint64"}},
        "b": {"jsonl": folder.path().join("b.jsonl")},
    }}));
    let tables = discovered(&*source).await.unwrap();
    assert_eq!(types(&tables[0]), ["id uint64 not null", "zip text", "price decimal(18,2)", "at datetime", "city text", "none text"]);
    assert_eq!(types(&tables[1]), ["id int64", "tags json", "more float64", "at date"]);
    let (sent, ended) = run(&*source, None).await;
    ended.unwrap();
    assert_eq!(
        sent,
        [
            "plan [Some(2), Some(3)]",
            r#"a {"id":1,"zip":"01151","price":1.50,"at":"2017-10-02T10:56:33","city":"são paulo","none":null}"#,
            r#"a {"id":2,"zip":"99999","price":12.25,"at":"2017-10-03T00:00:00","city":"\\N","none":null}"#,
            r#"b {"id":1,"tags":["a"],"more":null,"at":null}"#,
            r#"b {"id":2,"tags":null,"more":1000.0,"at":"2017-10-02"}"#,
            "snapshot {}",
            "caught up"
        ]
    );
}

#[tokio::test]
async fn null_and_delimiter_are_as_declared() {
    let folder = folder(&[("a.tsv", "id\tname\n1\t\\N\n2\t\n")]);
    let table = json!({"csv": folder.path().join("a.tsv"), "delimiter": "tab", "null": "\\N", "columns": {"id": "int8", "name": "text"}});
    let (sent, _) = run(&*source(json!({"tables": {"a": table}})), None).await;
    assert_eq!(sent[1..3], [r#"a {"id":1,"name":null}"#, r#"a {"id":2,"name":""}"#]);
}

#[tokio::test]
async fn the_shop_comes_through_whole_in_both_formats() {
    let folder = tempfile::tempdir().unwrap();
    let shop = Shop::new(1, 1_000);
    let mut snapshots = Vec::new();
    for (format, extension) in [(Format::Csv, "csv"), (Format::JsonLines, "jsonl")] {
        shop.write(folder.path(), format).unwrap();
        let mut tables = serde_json::Map::new();
        for table in &TABLES {
            let columns: serde_json::Map<_, _> = table.columns.iter().map(|c| (c.name.to_string(), c.ty.into())).collect();
            let key: Vec<&str> = table.key_columns().iter().map(|c| c.name).collect();
            let mut options = json!({"key": key, "columns": columns});
            options[extension] = folder.path().join(table.file_name(extension)).to_str().into();
            tables.insert(table.short.into(), options);
        }
        let (sent, ended) = run(&*source(json!({"tables": tables})), None).await;
        ended.unwrap();
        assert_eq!(sent.len(), shop.len() + 3);
        snapshots.push(sent);
    }
    assert_eq!(snapshots[0], snapshots[1]);
}

/// A file, its error, and the rows without the bad line.
const BAD_LINES: &[(&str, &str, &str, &[&str])] = &[
    (
        "a.csv",
        "id,price\n1,1.5\n2,1.555\n3,2\n",
        "line 3, column `price`: expected decimal(10,2), but it has more digits after the point than the type",
        &[r#"a {"id":1,"price":1.50}"#, r#"a {"id":3,"price":2.00}"#],
    ),
    (
        "a.csv",
        "id,price\n1,1.5\nsecret,1\n",
        "line 3, column `id`: expected int32, but it is not a whole number",
        &[r#"a {"id":1,"price":1.50}"#],
    ),
    ("a.csv", "id,price\n,1.5\n", "line 2, column `id`: a column of the key is NULL", &[]),
    ("a.csv", "id,price\n1,1.5,secret\n2,2\n", "line 2: 3 fields where the header has 2", &[r#"a {"id":2,"price":2.00}"#]),
    (
        "a.csv",
        "id,price\n1,1.5,\"a\nb\"\n2,2\n",
        "line 2: 3 fields where the header has 2, and it goes on to line 3",
        &[r#"a {"id":2,"price":2.00}"#],
    ),
    (
        "a.jsonl",
        "{\"id\": 1, \"price\": \"secret\"}\n{\"id\": 2}\n",
        "line 1, column `price`: expected decimal(10,2), but it is not a decimal number",
        &[r#"a {"id":2,"price":null}"#],
    ),
    (
        "a.jsonl",
        "{\"id\": 1}\n{\"id\": null}\n",
        "line 2, column `id`: expected int32, but it is NULL, which the column does not allow",
        &[r#"a {"id":1,"price":null}"#],
    ),
    ("a.jsonl", "{\"id\": 1}\n\n{\"id\": 2, \"prize\": 3}\n", "line 3: `prize` is not a column", &[r#"a {"id":1,"price":null}"#]),
    ("a.jsonl", "{\"id\": 1}\n[\"secret\"]\n", "line 2: it is not a JSON object", &[r#"a {"id":1,"price":null}"#]),
];

fn table_with_a_bad_line(path: &Path) -> serde_json::Value {
    let mut table = json!({"key": ["id"], "columns": {"id": "int32", "price": "decimal(10,2)"}});
    table[path.extension().unwrap().to_str().unwrap()] = path.to_str().into();
    table
}

#[tokio::test]
async fn a_bad_line_is_left_out_with_file_line_column_and_type_but_not_the_value() {
    for (name, text, expected, rows) in BAD_LINES {
        let folder = folder(&[(name, text)]);
        let table = table_with_a_bad_line(&folder.path().join(name));
        let (sent, ended) = run(&*source(json!({"tables": {"a": table}})), None).await;
        ended.unwrap();
        let separator = if expected.contains("column `") { ": " } else { "" };
        let (place, reason) = expected.split_at(expected.find([',', ':']).unwrap());
        let rejected = format!("rejected a: {name}, {place}{separator}{}", reason.strip_prefix(", ").unwrap_or(reason));
        assert_eq!(sent[1], rejected);
        assert_eq!(sent[2..sent.len() - 2], **rows, "{name}: {expected}");
        assert_eq!(sent[sent.len() - 2..], ["snapshot {}", "caught up"]);
    }
}

#[tokio::test]
async fn a_strict_source_stops_at_a_bad_line() {
    for (name, text, expected, _) in BAD_LINES {
        let folder = folder(&[(name, text)]);
        let path = folder.path().join(name);
        let options = json!({"tables": {"a": table_with_a_bad_line(&path)}, "bad_lines": "stop"});
        let (sent, ended) = run(&*source(options), None).await;
        let SourceError::Stopped { message, .. } = ended.unwrap_err() else { panic!("a bad line is final") };
        assert_eq!(message, format!("{}, {expected}", path.display()));
        assert!(sent.iter().all(|event| !event.starts_with("snapshot")), "a snapshot with a bad line is not whole");
    }
}

#[tokio::test]
async fn bytes_that_are_not_utf8_are_named_by_their_field() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.csv");
    std::fs::write(&path, b"id,name\n1,s\xe3o\n2,rio\n").unwrap();
    let table = json!({"csv": path, "columns": {"id": "int32", "name": "text"}});
    let (sent, ended) = run(&*source(json!({"tables": {"a": table}})), None).await;
    ended.unwrap();
    assert_eq!(sent[1..3], ["rejected a: a.csv, line 2: field 2 is not UTF-8", r#"a {"id":2,"name":"rio"}"#]);
}

#[tokio::test]
async fn types_are_inferred_from_the_lines_that_can_be_read() {
    let folder = folder(&[("a.csv", "id,price\n1,1.5\n2\n3,2\n"), ("b.jsonl", "{\"id\": 1}\nid\n{\"id\": 2}\n")]);
    let tables = json!({"a": {"csv": folder.path().join("a.csv")}, "b": {"jsonl": folder.path().join("b.jsonl")}});
    let lenient = discovered(&*source(json!({"tables": tables.clone()}))).await.unwrap();
    assert_eq!(lenient.iter().map(types).collect::<Vec<_>>(), [vec!["id int64", "price decimal(18,1)"], vec!["id int64"]]);
    let strict = discovered(&*source(json!({"tables": tables, "bad_lines": "stop"}))).await.unwrap_err();
    assert_eq!(strict.to_string(), format!("{}, line 3: 1 fields where the header has 2", folder.path().join("a.csv").display()));
}

#[tokio::test]
async fn a_file_that_is_wholly_wrong_stops_the_source() {
    let folder =
        folder(&[("a.csv", &format!("id,price\n{}", "1;2\n".repeat(1000))), ("b.csv", &format!("id,price\n1,\"{}", "2,3\n".repeat(200)))]);
    let columns = json!({"id": "int32", "price": "text"});
    let stopped = async |name: &str| {
        let path = folder.path().join(name);
        let table = json!({"csv": path, "key": ["id"], "columns": columns});
        let (sent, ended) = run(&*source(json!({"tables": {"a": table}})), None).await;
        assert!(sent.len() <= 100, "{}", sent.len());
        ended.map_err(|error| error.to_string().replace(&format!("{}/", folder.path().display()), ""))
    };
    assert_eq!(
        stopped("a.csv").await.unwrap_err(),
        "none of the first 100 rows can be read; a.csv, line 101: 1 fields where the header has 2"
    );
    std::fs::write(folder.path().join("b.csv"), format!("id,price\n1,2\n2,3,\"{}", "2,3\n".repeat(200))).unwrap();
    assert_eq!(
        stopped("b.csv").await.unwrap_err(),
        "b.csv, line 3: 3 fields where the header has 2, and it goes on to line 202: is a quote not closed?"
    );
}

#[tokio::test]
async fn what_is_not_there_is_said_before_anything_runs() {
    let folder = folder(&[("a.csv", "id,name\n1,x\n"), ("twice.csv", "id,id\n")]);
    let path = |name: &str| folder.path().join(name);
    let refused = async |table: serde_json::Value| match discovered(&*source(json!({"tables": {"a": table}}))).await.unwrap_err() {
        SourceError::Invalid { message, help, .. } => format!("{message} ({})", help.unwrap_or_default()),
        other => other.to_string(),
    };
    assert_eq!(
        refused(json!({"csv": path("a.csv"), "key": ["ID"]})).await,
        "`key` of the table `a` names the column `ID`, which does not exist (columns: id, name)"
    );
    assert_eq!(
        refused(json!({"csv": path("a.csv"), "columns": {"nmae": "text"}})).await,
        "`columns` of the table `a` names the column `nmae`, which does not exist (columns: id, name)"
    );
    let twice: PathBuf = path("twice.csv");
    assert_eq!(refused(json!({"csv": twice})).await, format!("{}, line 1: the column `id` occurs twice ()", twice.display()));
    let missing = path("missing.csv");
    assert_eq!(
        refused(json!({"csv": missing})).await,
        format!("cannot read {}: No such file or directory (os error 2)", missing.display())
    );
    let unknown = source(json!({"tables": {"a": {"csv": path("a.csv")}}})).discover(&["b".to_string()]).await;
    assert_eq!(unknown.unwrap_err().to_string(), "there is no table `b`");
}

#[test]
fn options_that_make_no_sense_are_refused() {
    for (options, expected) in [
        (json!({}), "option `tables`: there is no table"),
        (json!({"binlog": ["x"], "changes": "y"}), "option `binlog`: it cannot be combined with `tables` or `changes`"),
        (json!({"binlog": ["x"], "bad_lines": "stop"}), "option `bad_lines`: it cannot be combined with `binlog`, which has no lines"),
        (json!({"tables": {"a": {}}}), "option `tables.a`: it has neither a file nor columns"),
        (json!({"tables": {"a": {"csv": "x", "jsonl": "y"}}}), "option `tables.a`: it has both `csv` and `jsonl`"),
        (json!({"tables": {"a": {"csv": "x", "delimiter": ";;"}}}), "option `tables.a.delimiter`: it must be one ASCII character"),
        (json!({"tables": {"a": {"jsonl": "x", "null": "-"}}}), "option `tables.a`: `null` and `delimiter` are for CSV"),
        (json!({"tables": {"a": {"csv": "x", "columns": {"b": "int9"}}}}), "option `tables.a.columns.b`: there is no type `int9`"),
        (json!({"tables": {"a": {"csv": "x", "columns": {"b": "int9(3)"}}}}), "option `tables.a.columns.b`: there is no type `int9`"),
        (json!({"tables": {"a": {"csv": "x", "columns": {"b": "int32(5)"}}}}), "option `tables.a.columns.b`: write `int32` without `(5)`"),
        (
            json!({"tables": {"a": {"csv": "x", "columns": {"b": "varchar(300)"}}}}),
            "option `tables.a.columns.b`: write `varchar` without `(300)`",
        ),
    ] {
        assert_eq!(open_source(&options).err().unwrap().to_string(), expected);
    }
}

#[tokio::test]
async fn readers_end_when_nobody_listens() {
    let folder = tempfile::tempdir().unwrap();
    Shop::new(1, 20_000).write(folder.path(), Format::Csv).unwrap();
    let source = source(json!({"tables": {"orders": {"csv": folder.path().join("olist_orders_dataset.csv")}}}));
    let tables = discovered(&*source).await.unwrap();
    let (sender, mut events) = mpsc::channel(1);
    let running = tokio::spawn(async move {
        source.run(Capture { held: nothing_held(&tables, None), tables, from: None, until_caught_up: false }, sender).await
    });
    events.recv().await.unwrap();
    drop(events);
    running.await.unwrap().unwrap();
}

#[tokio::test]
async fn rows_come_in_the_order_of_their_file_with_the_bad_lines_between_them() {
    let mut files = [String::from("n\n"), String::new()];
    for n in 0..60_000 {
        let bad = n % 1_000 == 999;
        files[0] += &if bad { "secret\n".to_string() } else { format!("{n}\n") };
        files[1] += &if bad { "{\"n\": true}\n".to_string() } else { format!("{{\"n\": {n}}}\n") };
    }
    let folder = folder(&[("a.csv", &files[0]), ("b.jsonl", &files[1])]);
    let table = |format: &str, name: &str| json!({format: folder.path().join(name), "stream": true, "columns": {"n": "int32"}});
    let source = source(json!({"tables": {"a": table("csv", "a.csv"), "b": table("jsonl", "b.jsonl")}}));
    let tables = discovered(&*source).await.unwrap();
    let (sender, mut events) = mpsc::channel(1);
    let layouts: Vec<Layout> = tables.iter().map(|table| Layout::new(&table.schema)).collect();
    let running = tokio::spawn(async move {
        source.run(Capture { held: nothing_held(&tables, None), tables, from: None, until_caught_up: true }, sender).await
    });
    let (mut seen, mut rejected) = (vec![Vec::new(); 2], 0);
    while let Some(event) = events.recv().await {
        match event {
            Event::Rows { table, rows } => {
                let int = |row, column| match layouts[table].get(row, column) {
                    Datum::Int(value) => value,
                    other => panic!("a whole number, not {other:?}"),
                };
                seen[table].extend(rows.iter().map(|row| (int(row, 0), int(row, 1))));
            }
            Event::Rejected(_) => rejected += 1,
            _ => {}
        }
    }
    running.await.unwrap().unwrap();
    let good = (0..60_000).filter(|n| n % 1_000 != 999);
    // The header of the CSV is its first line.
    assert!(seen[0] == good.clone().map(|n| (n, n + 2)).collect::<Vec<_>>());
    assert!(seen[1] == good.map(|n| (n, n + 1)).collect::<Vec<_>>());
    assert_eq!(rejected, 120);
}
