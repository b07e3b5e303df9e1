use std::io::Write;
use std::path::Path;

use super::*;

const ITEM: &str = r#"{"table": "items", "op": "insert", "after": {"id": 7, "order": 1}}"#;

/// Two tables that start empty, and a changes file.
fn with_changes(folder: &Path) -> Box<dyn Source> {
    with_changes_and(folder, json!({}))
}

fn with_changes_and(folder: &Path, more: serde_json::Value) -> Box<dyn Source> {
    let mut options = json!({
        "tables": {
            "items": {"columns": {"id": "int32", "order": "int32"}, "key": ["id"]},
            "orders": {"columns": {"id": "int32", "city": "text"}, "key": ["id"]},
        },
        "changes": folder.join("changes.jsonl"),
    });
    options.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    source(options)
}

fn append(folder: &Path, text: &str) {
    let mut file = std::fs::OpenOptions::new().create(true).append(true).open(folder.join("changes.jsonl")).unwrap();
    file.write_all(text.as_bytes()).unwrap();
}

/// The position of the last commit or progress of a whole run.
async fn last_position(source: &dyn Source, from: Option<Position>) -> Position {
    run_on(source, from).await.1.unwrap()
}

#[tokio::test]
async fn a_transaction_is_what_stands_between_its_marks() {
    let folder = folder(&[(
        "changes.jsonl",
        r#"{"table": "orders", "op": "insert", "after": {"id": 1, "city": "são paulo"}, "committed_ms": 5}
{"begin": true}
{"table": "orders", "op": "update", "before": {"id": 1, "city": "são paulo"}, "after": {"id": 1, "city": null}}

{"table": "items", "op": "insert", "after": {"id": 7, "order": 1}}
{"commit": true, "committed_ms": 6}
{"table": "items", "op": "delete", "before": {"id": 7, "order": 1}}
{"begin": true}
{"commit": true}
"#,
    )]);
    let (sent, ended) = run(&*with_changes(folder.path()), None).await;
    ended.unwrap();
    assert_eq!(
        sent,
        [
            "plan [Some(0), Some(0)]",
            "snapshot {}",
            r#"+1 orders {"id":1,"city":"são paulo"}"#,
            "commit 1 Some(5)",
            r#"-1 orders {"id":1,"city":"são paulo"}"#,
            r#"+1 orders {"id":1,"city":null}"#,
            r#"+1 items {"id":7,"order":1}"#,
            "commit 6 Some(6)",
            r#"-1 items {"id":7,"order":1}"#,
            "commit 7 None",
            "progress 9",
            "caught up"
        ]
    );
}

#[tokio::test]
async fn a_run_goes_on_behind_its_position_wherever_the_file_was_cut() {
    let folder = folder(&[("changes.jsonl", "")]);
    let source = with_changes(folder.path());
    append(folder.path(), &format!("{ITEM}\n"));
    let mut from = last_position(&*source, None).await;
    // The next line follows directly, after the missing newline, or after empty lines.
    for more in [ITEM.to_string(), format!("\n{ITEM}\n"), format!("\n\n{ITEM}"), format!("\n  \n{ITEM}\n")] {
        append(folder.path(), &more);
        let (sent, ended) = run(&*source, Some(from.clone())).await;
        ended.unwrap();
        assert_eq!(sent.len(), 3, "{sent:?}");
        assert_eq!(sent[0], r#"+1 items {"id":7,"order":1}"#);
        from = last_position(&*source, Some(from)).await;
        let (sent, ended) = run(&*source, Some(from.clone())).await;
        ended.unwrap();
        assert_eq!(sent, ["caught up"]);
    }
    assert_eq!(lines_of(&from), 8);
}

#[tokio::test]
async fn what_is_not_whole_yet_is_waited_for() {
    let folder = folder(&[("changes.jsonl", "")]);
    let path = folder.path().join("changes.jsonl");
    let source = with_changes(folder.path());
    append(folder.path(), &format!("{ITEM}\n{{\"begin\": true}}\n{}\n", ITEM.replace('7', "8")));
    let (sent, _) = run(&*source, None).await;
    let open = format!("waiting: for the `commit` of the transaction that begins in line 2 of {}", path.display());
    assert_eq!(sent[3..], ["commit 1 None".to_string(), open, "caught up".into()]);

    append(folder.path(), "{\"commit\": tr");
    let (sent, _) = run(&*source, None).await;
    assert_eq!(sent[4], format!("waiting: for the rest of line 4 of {}", path.display()));

    append(folder.path(), "ue}");
    let (sent, _) = run(&*source, None).await;
    assert_eq!(sent[3..], ["commit 1 None", r#"+1 items {"id":8,"order":1}"#, "commit 4 None", "caught up"]);
}

#[tokio::test]
async fn a_file_that_grows_is_followed() {
    let folder = folder(&[("changes.jsonl", "")]);
    let source = with_changes(folder.path());
    let tables = discovered(&*source).await.unwrap();
    let (sender, mut events) = mpsc::channel(1);
    let from = Some(FilePosition::default().position());
    let running = tokio::spawn(async move {
        source.run(Capture { held: nothing_held(&tables, from.clone()), tables, from, until_caught_up: false }, sender).await
    });
    assert!(matches!(events.recv().await, Some(Event::CaughtUp)));
    for line in 1..=3 {
        append(folder.path(), &format!("{}\n", ITEM.replace('7', &line.to_string())));
        assert!(matches!(events.recv().await, Some(Event::Changes(deltas)) if deltas.len() == 1));
        assert!(matches!(events.recv().await, Some(Event::Commit { position, .. }) if lines_of(&position) == line));
    }
    drop(events);
    running.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_large_transaction_comes_in_parts_with_one_commit() {
    let rows = 3 * transaction::LARGE;
    let mut text = format!("{ITEM}\n{{\"begin\": true}}\n");
    for id in 0..rows {
        if id == rows / 2 {
            text += "nothing\n";
        }
        text += &format!("{{\"table\": \"items\", \"op\": \"insert\", \"after\": {{\"id\": {}}}}}\n", 100 + id);
    }
    text += &format!("{{\"commit\": true}}\n{}\n", ITEM.replace('7', "8"));
    let folder = folder(&[("changes.jsonl", &text)]);
    let source = with_changes(folder.path());
    let tables = discovered(&*source).await.unwrap();
    let (sender, mut events) = mpsc::channel(1);
    let from = Some(FilePosition::default().position());
    let running = tokio::spawn(async move {
        source.run(Capture { held: nothing_held(&tables, from.clone()), tables, from, until_caught_up: true }, sender).await
    });
    let (mut parts, mut deltas, mut commits, mut rejected) = (0, Vec::new(), Vec::new(), Vec::new());
    while let Some(event) = events.recv().await {
        match event {
            Event::Changes(part) => {
                parts += 1;
                assert!(part.len() <= transaction::BATCH);
                deltas.extend(part);
            }
            Event::Commit { position, .. } => commits.push((lines_of(&position), deltas.len())),
            Event::Rejected(record) => rejected.push(record.place),
            Event::CaughtUp => {}
            other => panic!("{other:?}"),
        }
    }
    running.await.unwrap().unwrap();
    assert!(parts > 3);
    let last = rows as u64 + 5;
    let bad = rows / 2 + 3;
    assert_eq!(rejected, [format!("{}, line {bad}", folder.path().join("changes.jsonl").display())]);
    assert_eq!(commits, [(1, 1), (last - 1, rows + 1), (last, rows + 2)]);
    let distinct: std::collections::HashSet<_> = deltas.iter().map(|delta| &delta.row).collect();
    assert_eq!(distinct.len(), rows + 2);
}

#[tokio::test]
async fn a_table_that_is_not_captured_only_moves_the_position() {
    let folder = folder(&[("changes.jsonl", "")]);
    append(folder.path(), &format!("{ITEM}\n"));
    let source = with_changes(folder.path());
    let tables = source.discover(&["orders".to_string()]).await.unwrap();
    let (sender, mut events) = mpsc::channel(10);
    let from = Some(FilePosition::default().position());
    source.run(Capture { held: nothing_held(&tables, from.clone()), tables, from, until_caught_up: true }, sender).await.unwrap();
    assert!(matches!(events.recv().await, Some(Event::Progress { position, .. }) if lines_of(&position) == 1));
}

/// Changes that cannot be read, with the reason.
const BAD_CHANGES: &[(&str, &str, &str)] = &[
    ("{\"table\"", "?", "it is not a JSON object"),
    ("[]", "?", "it is not a JSON object"),
    (r#"{"table": "itms", "op": "insert", "after": {}}"#, "?", "there is no table `itms`"),
    (r#"{"op": "insert", "after": {}}"#, "?", "a change needs `table`, the name of a table"),
    (r#"{"table": "items", "op": "upsert", "after": {}}"#, "items", "a change needs `op`, one of \"insert\", \"update\", \"delete\""),
    (r#"{"table": "items", "op": "update", "after": {"id": 7}}"#, "items", "this change needs `before`, an object of columns"),
    (r#"{"table": "items", "op": "insert", "after": {"id": 7, "odrer": 1}}"#, "items", "`odrer` is not a column"),
    (
        r#"{"table": "items", "op": "insert", "after": {"id": "secret"}}"#,
        "items",
        "column `id`: expected int32, but it is not a whole number",
    ),
    (r#"{"tabel": "items"}"#, "?", "`tabel` is not a field of a change; those are table, op, before, after, begin, commit, committed_ms"),
    (
        r#"{"table": "items", "op": "insert", "after": {"id": 7}, "committed_ms": "now"}"#,
        "?",
        "`committed_ms` is not a whole number of ms since 1970",
    ),
];

/// Wrong marks, with the reason.
const BAD_MARKS: &[(&str, &str)] = &[
    (r#"{"commit": true}"#, "`commit` without a `begin`"),
    (r#"{"begin": true, "commit": true}"#, "a mark is `{\"begin\": true}` or `{\"commit\": true}`, alone on its line"),
    (r#"{"begin": true, "committed_ms": "now"}"#, "`committed_ms` is not a whole number of ms since 1970"),
    ("{\"begin\": true}\n{\"begin\": true}", "`begin` inside a transaction"),
];

#[tokio::test]
async fn a_change_that_cannot_be_read_is_left_out_and_the_others_go_on() {
    for (line, table, reason) in BAD_CHANGES {
        let folder = folder(&[("changes.jsonl", "")]);
        append(folder.path(), &format!("{ITEM}\n{line}\n{}\n", ITEM.replace('7', "8")));
        let source = with_changes(folder.path());
        let (sent, ended) = run(&*source, None).await;
        ended.unwrap();
        let rejected = format!("rejected {table}: changes.jsonl, line 2: {reason}");
        let (first, last) = (r#"+1 items {"id":7,"order":1}"#, r#"+1 items {"id":8,"order":1}"#);
        assert_eq!(sent[2..], [first, "commit 1 None", &rejected, "progress 2", last, "commit 3 None", "caught up"]);
    }
}

#[tokio::test]
async fn a_strict_source_stops_at_a_bad_change_after_those_before_it() {
    for (line, _, reason) in BAD_CHANGES {
        let folder = folder(&[("changes.jsonl", "")]);
        append(folder.path(), &format!("{ITEM}\n{line}\n{ITEM}\n"));
        let (sent, ended) = run(&*with_changes_and(folder.path(), json!({"bad_lines": "stop"})), None).await;
        let separator = if reason.starts_with("column") { ", " } else { ": " };
        let path = folder.path().join("changes.jsonl");
        assert_eq!(ended.unwrap_err().to_string(), format!("{}, line 2{separator}{reason}", path.display()));
        assert_eq!(sent[2..], [r#"+1 items {"id":7,"order":1}"#, "commit 1 None"]);
    }
}

#[tokio::test]
async fn a_mark_that_is_wrong_stops_the_source_after_what_was_before_it() {
    for (lines, reason) in BAD_MARKS {
        let folder = folder(&[("changes.jsonl", "")]);
        append(folder.path(), &format!("{ITEM}\n{lines}\n{ITEM}\n"));
        let (sent, ended) = run(&*with_changes(folder.path()), None).await;
        let (path, line) = (folder.path().join("changes.jsonl"), 1 + lines.lines().count());
        assert_eq!(ended.unwrap_err().to_string(), format!("{}, line {line}: {reason}", path.display()));
        assert_eq!(sent[2..], [r#"+1 items {"id":7,"order":1}"#, "commit 1 None"]);
    }
}

#[tokio::test]
async fn a_bad_line_does_not_tear_its_transaction() {
    let bad = r#"{"table": "items", "op": "insert", "after": {"id": "secret"}}"#;
    let folder = folder(&[("changes.jsonl", "")]);
    append(folder.path(), &format!("{{\"begin\": true}}\n{bad}\n{ITEM}\nnothing\n"));
    let (sent, _) = run(&*with_changes(folder.path()), None).await;
    assert!(sent[2].starts_with("waiting: "), "what is not committed yet is not told of yet: {sent:?}");
    append(folder.path(), "{\"commit\": true}\n");
    let (sent, ended) = run(&*with_changes(folder.path()), None).await;
    ended.unwrap();
    assert_eq!(
        sent[2..],
        [
            "rejected items: changes.jsonl, line 2: column `id`: expected int32, but it is not a whole number",
            "rejected ?: changes.jsonl, line 4: it is not a JSON object",
            r#"+1 items {"id":7,"order":1}"#,
            "commit 5 None",
            "caught up"
        ]
    );
}

#[tokio::test]
async fn a_row_that_cannot_be_read_is_not_in_its_table_until_it_is_corrected() {
    let update = |before: &str, after: &str| {
        let row = |id: &str| format!("{{\"id\": {id}, \"order\": 1}}");
        format!("{{\"table\": \"items\", \"op\": \"update\", \"before\": {}, \"after\": {}}}\n", row(before), row(after))
    };
    let folder = folder(&[("changes.jsonl", &format!("{ITEM}\n{}{}", update("7", "\"x\""), update("\"x\"", "2")))]);
    let (sent, ended) = run(&*with_changes(folder.path()), None).await;
    ended.unwrap();
    let rejected = |line| format!("rejected items: changes.jsonl, line {line}: column `id`: expected int32, but it is not a whole number");
    let (gone, back) = (r#"-1 items {"id":7,"order":1}"#, r#"+1 items {"id":2,"order":1}"#);
    assert_eq!(sent[4..], [&rejected(2), gone, "commit 2 None", &rejected(3), back, "commit 3 None", "caught up"]);
}

#[tokio::test]
async fn another_file_in_its_place_is_noticed() {
    let folder = folder(&[("changes.jsonl", "")]);
    let path = folder.path().join("changes.jsonl");
    let source = with_changes(folder.path());
    append(folder.path(), &format!("{ITEM}\n{ITEM}\n"));
    let from = last_position(&*source, None).await;
    let other = ITEM.replace('7', "8");
    for text in [format!("{ITEM}\n"), format!("{ITEM}\n{other}\n"), format!("{other}\n{other}\n{other}\n{other}\n")] {
        std::fs::write(&path, text).unwrap();
        let (sent, ended) = run(&*source, Some(from.clone())).await;
        let bytes = 2 * (ITEM.len() + 1);
        assert_eq!(ended.unwrap_err().to_string(), format!("{} is not the file that was read up to byte {bytes} before", path.display()));
        assert!(sent.is_empty());
    }
}

#[tokio::test]
async fn a_file_that_is_replaced_while_it_is_followed_is_noticed() {
    let folder = folder(&[("changes.jsonl", "")]);
    let path = folder.path().join("changes.jsonl");
    append(folder.path(), &format!("{ITEM}\n"));
    let source = with_changes(folder.path());
    let tables = discovered(&*source).await.unwrap();
    let (sender, mut events) = mpsc::channel(10);
    let held = Arc::new(MemoryRows::new(&tables, None));
    let capture = Capture { tables, from: None, until_caught_up: false, held: held.clone() };
    let running = tokio::spawn(async move { source.run(capture, sender).await });
    loop {
        match events.recv().await {
            Some(Event::CaughtUp) => break,
            Some(event) => held.take(&event),
            None => panic!("the source ended"),
        }
    }
    std::fs::rename(&path, folder.path().join("old.jsonl")).unwrap();
    std::fs::write(&path, format!("{ITEM}\n{ITEM}\n")).unwrap();
    let bytes = ITEM.len() + 1;
    let expected = [
        format!("{} is not the file that was read up to byte {bytes} before", path.display()),
        // Between the two calls above there is no such file.
        format!("cannot read {}: No such file or directory (os error 2)", path.display()),
    ];
    let message = running.await.unwrap().unwrap_err().to_string();
    assert!(expected.contains(&message), "{message}");
}
