use std::io::Write;
use std::path::Path;

use super::*;

pub(super) const HEADER: &str = "sensor,reading\n";

pub(super) fn append(folder: &Path, name: &str, text: &str) {
    let mut file = std::fs::OpenOptions::new().create(true).append(true).open(folder.join(name)).unwrap();
    file.write_all(text.as_bytes()).unwrap();
}

/// A stream of a CSV file and one of JSON lines.
pub(super) fn streams(folder: &Path, more: serde_json::Value) -> Box<dyn Source> {
    let table =
        |format: &str, name: &str| json!({format: folder.join(name), "stream": true, "columns": {"sensor": "text", "reading": "int32"}});
    let mut options = json!({"tables": {"a": table("csv", "a.csv"), "b": table("jsonl", "b.jsonl")}});
    options.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    source(options)
}

pub(super) fn json_line(sensor: &str, reading: i32) -> String {
    format!("{{\"sensor\": \"{sensor}\", \"reading\": {reading}}}\n")
}

pub(super) fn row(table: &str, sensor: &str, reading: i32, offset: u64) -> String {
    format!("{table} {{\"sensor\":\"{sensor}\",\"reading\":{reading},\"ROWOFFSET\":{offset}}}")
}

pub(super) fn come(rows: &[String]) -> Vec<String> {
    rows.iter().map(|row| format!("+1 {row}")).collect()
}

/// What is sent between two positions, and the second position.
pub(super) async fn on(source: &dyn Source, from: Position) -> (Vec<String>, Position) {
    let (sent, last, ended) = run_on(source, Some(from.clone())).await;
    ended.unwrap();
    (sent, last.unwrap_or(from))
}

/// The snapshot is over.
pub(super) async fn built(source: &dyn Source) -> Position {
    let (_, last, ended) = run_on(source, None).await;
    ended.unwrap();
    last.unwrap()
}

/// Without the name of the folder.
pub(super) fn said(text: &str, folder: &Path) -> String {
    text.replace(&format!("{}/", folder.display()), "")
}

pub(super) async fn refused(source: &dyn Source, from: &Position, folder: &Path) -> (Vec<String>, String, String) {
    let (sent, _, ended) = run_on(source, Some(from.clone())).await;
    match ended.unwrap_err() {
        SourceError::Stopped { message, help } => (sent, said(&message, folder), help.unwrap_or_default()),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn rows_that_are_appended_come_behind_those_of_the_snapshot_once() {
    let folder = folder(&[("a.csv", &format!("{HEADER}s1,1\n")), ("b.jsonl", &json_line("t1", 1))]);
    let source = streams(folder.path(), json!({}));
    let (sent, position, ended) = run_on(&*source, None).await;
    ended.unwrap();
    assert_eq!(sent[1..3], [row("a", "s1", 1, 2), row("b", "t1", 1, 1)]);
    assert_eq!((sent.len(), sent[4].as_str()), (5, "caught up"));

    append(folder.path(), "a.csv", "s2,2\n\n\"s\n3\",3\n");
    append(folder.path(), "b.jsonl", &format!("\n{}{}", json_line("t2", 2), json_line("t3", 3)));
    let (sent, position) = on(&*source, position.unwrap()).await;
    let csv = come(&[row("a", "s2", 2, 3), row("a", "s\\n3", 3, 5)]);
    let jsonl = come(&[row("b", "t2", 2, 3), row("b", "t3", 3, 4)]);
    assert_eq!(sent, [csv, vec!["commit 0 None".into()], jsonl, vec!["commit 0 None".into(), "caught up".into()]].concat());

    append(folder.path(), "a.csv", "s4,4\n");
    let (sent, position) = on(&*source, position).await;
    assert_eq!(sent, [format!("+1 {}", row("a", "s4", 4, 7)), "commit 0 None".into(), "caught up".into()]);
    assert_eq!(on(&*source, position).await.0, ["caught up"]);
}

#[tokio::test]
async fn a_csv_row_without_a_line_end_counts_where_the_run_ends_at_the_files_end() {
    let folder = folder(&[("a.csv", &format!("{HEADER}s1,1\ns2,2")), ("b.jsonl", "")]);
    let source = streams(folder.path(), json!({}));
    let (sent, position, _) = run_on(&*source, None).await;
    assert_eq!(sent[1], row("a", "s1", 1, 2));
    assert_eq!(sent[3..], [format!("+1 {}", row("a", "s2", 2, 3)), "commit 0 None".into(), "caught up".into()]);
    let position = position.unwrap();
    assert_eq!(on(&*source, position.clone()).await.0, ["caught up"]);
    for end in ["\n", "\r\n", "\r"] {
        std::fs::write(folder.path().join("a.csv"), format!("{HEADER}s1,1\ns2,2{end}s3,3\n")).unwrap();
        let line = 3 + u64::from(end.ends_with('\n'));
        let (sent, _) = on(&*source, position.clone()).await;
        assert_eq!(sent, [format!("+1 {}", row("a", "s3", 3, line)), "commit 0 None".into(), "caught up".into()], "{end:?}");
    }
    std::fs::write(folder.path().join("a.csv"), format!("{HEADER}s1,1\ns2,22\ns3,3\n")).unwrap();
    let (sent, message, help) = refused(&*source, &position, folder.path()).await;
    assert_eq!(message, "a.csv, line 3: the line was read as a complete row at the end of the file, but was continued later");
    assert_eq!(help, "start with an empty state folder, and make the writer of the file end each line with a line end");
    assert!(sent.is_empty(), "{sent:?}");
}

#[tokio::test]
async fn a_record_of_which_a_part_is_there_is_waited_for() {
    let folder = folder(&[("a.csv", &format!("{HEADER}s1,1\n")), ("b.jsonl", "")]);
    let source = streams(folder.path(), json!({}));
    let mut position = built(&*source).await;
    let waits = |line: u64| format!("waiting: for the end of line {line} of {}", folder.path().join("a.csv").display());
    // Too few fields, an open quote, an incomplete value.
    for part in ["s2", ",\"2", "\"\ns3,-"] {
        append(folder.path(), "a.csv", part);
        let (sent, now) = on(&*source, position).await;
        let arrived = if part.contains('\n') { vec![format!("+1 {}", row("a", "s2", 2, 3)), "commit 0 None".into()] } else { vec![] };
        let line = if part.contains('\n') { 4 } else { 3 };
        assert_eq!(sent, [arrived, vec![waits(line), "caught up".into()]].concat());
        position = now;
    }
    append(folder.path(), "a.csv", "3\n");
    append(folder.path(), "b.jsonl", "{\"sensor\": \"t1\", ");
    let (sent, now) = on(&*source, position).await;
    let rest = format!("waiting: for the end of line 1 of {}", folder.path().join("b.jsonl").display());
    assert_eq!(sent, [format!("+1 {}", row("a", "s3", -3, 4)), "commit 0 None".into(), rest, "caught up".into()]);

    // An object is whole when it is closed.
    append(folder.path(), "b.jsonl", "\"reading\": 1}");
    let (sent, now) = on(&*source, now).await;
    assert_eq!(sent, [format!("+1 {}", row("b", "t1", 1, 1)), "commit 0 None".into(), "caught up".into()]);
    append(folder.path(), "b.jsonl", "  ");
    let (sent, now) = on(&*source, now).await;
    assert_eq!(sent, ["caught up"]);
    append(folder.path(), "b.jsonl", &format!(" \r\n{}", json_line("t2", 2)));
    let (sent, now) = on(&*source, now).await;
    assert_eq!(sent, [format!("+1 {}", row("b", "t2", 2, 2)), "commit 0 None".into(), "caught up".into()]);
    append(folder.path(), "b.jsonl", json_line("t3", 3).trim_end());
    let (_, now) = on(&*source, now).await;
    append(folder.path(), "b.jsonl", &json_line("t4", 4));
    let (sent, message, _) = refused(&*source, &now, folder.path()).await;
    assert_eq!(message, "b.jsonl, line 3: the line was read as a complete row at the end of the file, but was continued later");
    assert!(sent.is_empty(), "{sent:?}");
}

#[tokio::test]
async fn a_file_is_followed_row_by_row_and_a_line_only_when_it_has_ended() {
    let folder = folder(&[("a.csv", &format!("{HEADER}s1,1\ns2")), ("b.jsonl", "")]);
    let source = streams(folder.path(), json!({}));
    let tables = discovered(&*source).await.unwrap();
    let (sender, mut events) = mpsc::channel(1);
    let running = tokio::spawn(async move {
        source.run(Capture { held: nothing_held(&tables, None), tables, from: None, until_caught_up: false }, sender).await
    });
    let rows = |event| match event {
        Some(Event::Rows { rows, .. }) => rows.len(),
        _ => 0,
    };
    let mut snapshot = 0;
    loop {
        let event = events.recv().await;
        if matches!(event, Some(Event::CaughtUp)) {
            break;
        }
        snapshot += rows(event);
    }
    assert_eq!(snapshot, 1);
    append(folder.path(), "a.csv", ",2");
    // An event of the other file shows that the first file was read.
    for reading in 1..=2 {
        append(folder.path(), "b.jsonl", &json_line("t", reading));
        let next = async |events: &mut mpsc::Receiver<Event>| loop {
            match events.recv().await.unwrap() {
                Event::Changes(deltas) => return deltas,
                Event::Commit { .. } | Event::Waiting(_) => {}
                other => panic!("{other:?}"),
            }
        };
        let deltas = next(&mut events).await;
        assert_eq!((deltas.len(), deltas[0].table), (1, 1));
    }
    append(folder.path(), "a.csv", "\n");
    loop {
        match events.recv().await.unwrap() {
            Event::Changes(deltas) => break assert_eq!((deltas.len(), deltas[0].table), (1, 0)),
            Event::Commit { .. } | Event::Waiting(_) => {}
            other => panic!("{other:?}"),
        }
    }
    drop(events);
    running.await.unwrap().unwrap();
}

#[tokio::test]
async fn many_rows_come_in_several_transactions_each_with_its_position() {
    let rows: u64 = 50_000;
    let folder = folder(&[("a.csv", HEADER), ("b.jsonl", "")]);
    let source = streams(folder.path(), json!({}));
    let first = built(&*source).await;
    append(folder.path(), "a.csv", &(0..rows).map(|n| format!("sensor-{},{n}\n", n % 7)).collect::<String>());
    let tables = discovered(&*source).await.unwrap();
    let layout = Layout::new(&tables[0].schema);
    let (sender, mut events) = mpsc::channel(1);
    let capture = Capture { held: nothing_held(&tables, None), tables, from: Some(first), until_caught_up: true };
    let (mut offsets, mut commits) = (Vec::new(), Vec::new());
    let collect = async {
        while let Some(event) = events.recv().await {
            match event {
                Event::Changes(deltas) => {
                    assert!(deltas.len() <= transaction::BATCH);
                    offsets.extend(
                        deltas.iter().map(|delta| layout.get(&delta.row, 2) as crate::value::Datum<'_>).map(|datum| format!("{datum:?}")),
                    );
                }
                Event::Commit { position, .. } => {
                    commits.push((FilePosition::read(&position).unwrap().streams["a"].line, offsets.len() as u64))
                }
                Event::CaughtUp => {}
                other => panic!("{other:?}"),
            }
        }
    };
    let (ended, ()) = tokio::join!(source.run(capture, sender), collect);
    ended.unwrap();
    assert!(commits.len() > 1 && commits.iter().all(|(line, rows)| *line == rows + 1), "{commits:?}");
    assert!(offsets == (2..rows + 2).map(|line| format!("{:?}", crate::value::Datum::Int(line as i64))).collect::<Vec<_>>());
}

#[tokio::test]
async fn changes_and_rows_of_streams_have_one_position() {
    let folder = folder(&[("a.csv", HEADER), ("b.jsonl", ""), ("changes.jsonl", "")]);
    let item = |id: i32| format!("{{\"table\": \"items\", \"op\": \"insert\", \"after\": {{\"id\": {id}}}}}\n");
    let table = |format: &str, name: &str| json!({format: folder.path().join(name), "stream": true, "columns": {"sensor": "text", "reading": "int32"}});
    let tables = json!({"a": table("csv", "a.csv"), "items": {"columns": {"id": "int32"}, "key": ["id"]}, "none": {"columns": {"id": "int32"}, "stream": true}});
    let source = source(json!({"tables": tables, "changes": folder.path().join("changes.jsonl")}));
    let position = built(&*source).await;
    append(folder.path(), "changes.jsonl", &format!("{}{{\"begin\": true}}\n{}", item(1), item(2)));
    append(folder.path(), "a.csv", "s1,1\n");
    let (sent, position) = on(&*source, position).await;
    let (one, two) = ("+1 items {\"id\":1}", "+1 items {\"id\":2}");
    let waits =
        format!("waiting: for the `commit` of the transaction that begins in line 2 of {}", folder.path().join("changes.jsonl").display());
    assert_eq!(sent, [one, "commit 1 None", &format!("+1 {}", row("a", "s1", 1, 2)), "commit 1 None", &waits, "caught up"]);
    // The open transaction is read again from its beginning.
    append(folder.path(), "changes.jsonl", "{\"commit\": true}\n");
    let (sent, position) = on(&*source, position).await;
    assert_eq!(sent, [two, "commit 4 None", "caught up"]);

    append(folder.path(), "changes.jsonl", &item(3).replace("items", "none"));
    append(folder.path(), "changes.jsonl", "{\"table\": \"a\", \"op\": \"insert\", \"after\": {\"sensor\": \"s\", \"reading\": 1}}\n");
    let (sent, position) = on(&*source, position).await;
    let behind = (1_u64 << 40) + 5;
    let refused = "rejected ?: changes.jsonl, line 6: `a` is a stream with a file of its own: append the row to that file";
    let none = format!("+1 none {{\"id\":3,\"ROWOFFSET\":{behind}}}");
    assert_eq!(sent, [&none, "commit 5 None", &refused.replace('?', "a"), "progress 6", "caught up"]);
    assert_eq!(on(&*source, position).await.0, ["caught up"]);
}

#[tokio::test]
async fn a_header_must_have_ended_and_a_byte_order_mark_may_come_late() {
    let folder = folder(&[("a.csv", "sensor,read"), ("b.jsonl", "")]);
    let source = streams(folder.path(), json!({}));
    let message = discovered(&*source).await.unwrap_err().to_string();
    assert_eq!(said(&message, folder.path()), "a.csv, line 1: there must be a line with the names of the columns");
    std::fs::write(folder.path().join("a.csv"), HEADER).unwrap();
    let position = built(&*source).await;
    append(folder.path(), "b.jsonl", &format!("\u{feff}{}", json_line("t1", 1)));
    let (sent, position) = on(&*source, position).await;
    assert_eq!(sent[0], format!("+1 {}", row("b", "t1", 1, 1)));
    append(folder.path(), "b.jsonl", &json_line("t2", 2));
    let (sent, position) = on(&*source, position).await;
    assert_eq!(sent[0], format!("+1 {}", row("b", "t2", 2, 2)));
    append(folder.path(), "b.jsonl", &format!("\u{feff}{}", json_line("t3", 3).trim_end()));
    assert_eq!(on(&*source, position).await.0[0], format!("+1 {}", row("b", "t3", 3, 3)));
}
