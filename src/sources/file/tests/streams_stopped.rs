//! What stops the source of a stream, and what does not.

use std::path::Path;
use std::time::Duration;

use tokio::time::timeout;

use super::streams::{HEADER, append, built, come, on, refused, row, said, streams};
use super::*;

#[tokio::test]
async fn a_bad_line_is_told_of_once_and_the_others_come() {
    let folder = folder(&[("a.csv", &format!("{HEADER}secret\n")), ("b.jsonl", "")]);
    let source = streams(folder.path(), json!({}));
    let (sent, position, _) = run_on(&*source, None).await;
    assert_eq!(sent[1], "rejected a: a.csv, line 2: 1 fields where the header has 2");
    append(folder.path(), "a.csv", "s1,1\nsecret,secret\ns2,2\n");
    append(folder.path(), "b.jsonl", "nothing\n");
    let (sent, position) = on(&*source, position.unwrap()).await;
    assert_eq!(
        sent,
        [
            "rejected a: a.csv, line 4: column `reading`: expected int32, but it is not a whole number".to_string(),
            format!("+1 {}", row("a", "s1", 1, 3)),
            format!("+1 {}", row("a", "s2", 2, 5)),
            "commit 0 None".into(),
            "rejected b: b.jsonl, line 1: it is not a JSON object".into(),
            "progress 0".into(),
            "caught up".into(),
        ]
    );
    assert_eq!(on(&*source, position).await.0, ["caught up"]);
}

#[tokio::test]
async fn a_strict_source_stops_at_a_bad_line_behind_the_rows_before_it() {
    let folder = folder(&[("a.csv", HEADER), ("b.jsonl", "")]);
    let source = streams(folder.path(), json!({"bad_lines": "stop"}));
    let position = built(&*source).await;
    append(folder.path(), "a.csv", "s1,1\n\n\"s\n2\",2\nsecret\ns3,3\n");
    let (sent, last, ended) = run_on(&*source, Some(position)).await;
    assert_eq!(said(&ended.unwrap_err().to_string(), folder.path()), "a.csv, line 6: 1 fields where the header has 2");
    let before = [row("a", "s1", 1, 2), row("a", "s\\n2", 2, 4)];
    assert_eq!(sent, [come(&before), vec!["commit 0 None".into()]].concat());
    let (sent, message, _) = refused(&*source, &last.clone().unwrap(), folder.path()).await;
    assert_eq!((sent.len(), message.as_str()), (0, "a.csv, line 6: 1 fields where the header has 2"));
    // The line after the position may be corrected.
    std::fs::write(folder.path().join("a.csv"), format!("{HEADER}s1,1\n\n\"s\n2\",2\ns4,4\ns3,3\n")).unwrap();
    let (sent, _) = on(&*source, last.unwrap()).await;
    assert_eq!(sent[..2], come(&[row("a", "s4", 4, 6), row("a", "s3", 3, 7)]));
}

#[tokio::test]
async fn a_quote_that_is_never_closed_stops_the_source() {
    let folder = folder(&[("a.csv", &format!("{HEADER}s1,1\n")), ("b.jsonl", "")]);
    let source = streams(folder.path(), json!({}));
    let position = built(&*source).await;
    append(folder.path(), "a.csv", &format!("s2,2\n\"s3,3\n{}", "s,1\n".repeat(200)));
    let expected = "a.csv, line 4: the record has no end up to line 205: is a quote not closed?";
    let (sent, message, _) = refused(&*source, &position, folder.path()).await;
    assert_eq!((sent[0].clone(), message.as_str()), (format!("+1 {}", row("a", "s2", 2, 3)), expected));
    let (_, ended) = run(&*source, None).await;
    assert_eq!(said(&ended.unwrap_err().to_string(), folder.path()), expected);
}

#[tokio::test]
async fn a_file_that_is_not_the_one_that_was_read_stops_the_source() {
    let first = format!("{HEADER}s1,1\ns2,2\n");
    let folder = folder(&[("a.csv", &first), ("b.jsonl", "")]);
    let source = streams(folder.path(), json!({}));
    let position = built(&*source).await;
    let expected = format!("a.csv is not the file that was read up to byte {} before", first.len());
    for text in [format!("{HEADER}s1,1\n"), first.replace("s1", "s3") + "s4,4\n", format!("{HEADER}\n\n\n\n\n\n\n\n\n\n\n")] {
        std::fs::write(folder.path().join("a.csv"), &text).unwrap();
        let (sent, message, help) = refused(&*source, &position, folder.path()).await;
        assert_eq!((sent.len(), &message), (0, &expected), "{text}");
        assert_eq!(help, "the file of a stream is only ever appended to; put the old one back, or start with an empty state folder");
    }
    std::fs::write(folder.path().join("a.csv"), &first).unwrap();
    let moved = source_of_csv(&folder.path().join("c.csv"));
    std::fs::write(folder.path().join("c.csv"), &first).unwrap();
    let (_, message, _) = refused(&*moved, &position, folder.path()).await;
    assert_eq!(message, expected.replace("a.csv", "c.csv"));
    assert_eq!(on(&*source, position).await.0, ["caught up"]);
}

fn source_of_csv(path: &Path) -> Box<dyn Source> {
    source(json!({"tables": {"a": {"csv": path, "stream": true, "columns": {"sensor": "text", "reading": "int32"}}}}))
}

#[tokio::test]
async fn a_file_that_is_cut_or_replaced_while_it_is_followed_stops_the_source() {
    type Damage = fn(&Path);
    let damages: [Damage; 3] = [
        |path| std::fs::write(path, HEADER).unwrap(),
        |path| std::fs::write(path, format!("{HEADER}s9,9\ns2,2\ns3,3\n")).unwrap(),
        |path| {
            std::fs::write(path.with_extension("other"), format!("{HEADER}s1,1\ns2,2\n")).unwrap();
            std::fs::rename(path.with_extension("other"), path).unwrap();
        },
    ];
    for damage in damages {
        let folder = folder(&[("a.csv", &format!("{HEADER}s1,1\n"))]);
        let path = folder.path().join("a.csv");
        let source = source_of_csv(&path);
        let tables = discovered(&*source).await.unwrap();
        let (sender, mut events) = mpsc::channel(10);
        let running = tokio::spawn(async move {
            source.run(Capture { held: nothing_held(&tables, None), tables, from: None, until_caught_up: false }, sender).await
        });
        while !matches!(events.recv().await, Some(Event::CaughtUp)) {}
        damage(&path);
        let message = timeout(Duration::from_secs(30), running).await.expect("it is noticed").unwrap().unwrap_err().to_string();
        assert_eq!(said(&message, folder.path()), format!("a.csv is not the file that was read up to byte {} before", HEADER.len() + 5));
    }
}

#[tokio::test]
async fn a_position_that_knows_nothing_of_the_stream_is_refused() {
    let folder = folder(&[("a.csv", HEADER), ("b.jsonl", "")]);
    let source = streams(folder.path(), json!({}));
    let (sent, message, help) = refused(&*source, &Position::new("{}"), folder.path()).await;
    assert_eq!((sent.len(), message.as_str()), (0, "the stored position does not say how far the file of the stream `a` was read"));
    let before =
        "the state was built before files of streams were followed, or before this stream had a file; start with an empty state folder";
    assert_eq!(help, before);
}
