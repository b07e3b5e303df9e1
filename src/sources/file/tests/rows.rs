use std::path::PathBuf;

use super::*;
use crate::shop::{Format, Shop, TABLES};

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
            let mut options = json!({"key": [table.columns[0].name], "columns": columns});
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

#[tokio::test]
async fn a_bad_line_stops_with_file_line_column_and_type_but_not_the_value() {
    for (name, text, expected) in [
        (
            "a.csv",
            "id,price\n1,1.5\n2,1.555\n",
            "line 3, column `price`: expected decimal(10,2), but it has more digits behind the point than the type",
        ),
        ("a.csv", "id,price\n1,1.5\nsecret,1\n", "line 3, column `id`: expected int32, but it is not a whole number"),
        ("a.csv", "id,price\n,1.5\n", "line 2, column `id`: a column of the key is NULL"),
        ("a.csv", "id,price,note\n1,1.5,\"two\nlines\"\nx,3,\n", "line 4, column `id`: expected int32, but it is not a whole number"),
        ("a.csv", "id,price\n1,1.5,secret\n", "line 2: 3 fields where the header has 2"),
        (
            "a.jsonl",
            "{\"id\": 1, \"price\": \"secret\"}\n",
            "line 1, column `price`: expected decimal(10,2), but it is not a decimal number",
        ),
        (
            "a.jsonl",
            "{\"id\": 1}\n{\"id\": null}\n",
            "line 2, column `id`: expected int32, but it is NULL, which the column does not allow",
        ),
        ("a.jsonl", "{\"id\": 1}\n\n{\"id\": 2, \"prize\": 3}\n", "line 3: `prize` is not a column"),
        ("a.jsonl", "{\"id\": 1}\n[\"secret\"]\n", "line 2: it is not a JSON object"),
    ] {
        let folder = folder(&[(name, text)]);
        let path = folder.path().join(name);
        let mut table = json!({"key": ["id"], "columns": {"id": "int32", "price": "decimal(10,2)"}});
        table[path.extension().unwrap().to_str().unwrap()] = path.to_str().into();
        let (sent, ended) = run(&*source(json!({"tables": {"a": table}})), None).await;
        let SourceError::Stopped { message, .. } = ended.unwrap_err() else { panic!("a bad line is final") };
        assert_eq!(message, format!("{}, {expected}", path.display()));
        assert!(sent.iter().all(|event| !event.starts_with("snapshot")), "a snapshot with a bad line is not whole");
    }
}

#[tokio::test]
async fn bytes_that_are_not_utf8_are_named_by_their_field() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.csv");
    std::fs::write(&path, b"id,name\n1,s\xe3o\n").unwrap();
    let table = json!({"csv": path, "columns": {"id": "int32", "name": "text"}});
    let (_, ended) = run(&*source(json!({"tables": {"a": table}})), None).await;
    assert_eq!(ended.unwrap_err().to_string(), format!("{}, line 2: field 2 is not UTF-8", path.display()));
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
        "`key` of the table `a` names the column `ID`, which is not there (columns: id, name)"
    );
    assert_eq!(
        refused(json!({"csv": path("a.csv"), "columns": {"nmae": "text"}})).await,
        "`columns` of the table `a` names the column `nmae`, which is not there (columns: id, name)"
    );
    let twice: PathBuf = path("twice.csv");
    assert_eq!(refused(json!({"csv": twice})).await, format!("{}, line 1: the column `id` is there twice ()", twice.display()));
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
        (json!({"binlog": ["x"], "changes": "y"}), "option `binlog`: it stands beside `tables` or `changes`"),
        (json!({"tables": {"a": {}}}), "option `tables.a`: it has neither a file nor columns"),
        (json!({"tables": {"a": {"csv": "x", "jsonl": "y"}}}), "option `tables.a`: it has both `csv` and `jsonl`"),
        (json!({"tables": {"a": {"csv": "x", "delimiter": ";;"}}}), "option `tables.a.delimiter`: it must be one ASCII character"),
        (json!({"tables": {"a": {"jsonl": "x", "null": "-"}}}), "option `tables.a`: `null` and `delimiter` are for CSV"),
        (json!({"tables": {"a": {"csv": "x", "columns": {"b": "int9"}}}}), "option `tables.a.columns.b`: there is no type `int9`"),
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
    let running = tokio::spawn(async move { source.run(Capture { tables, from: None, until_caught_up: false }, sender).await });
    events.recv().await.unwrap();
    drop(events);
    running.await.unwrap().unwrap();
}
