//! Each shape of a line by itself. Every case is run with all lines at once and with a run for each line.

use super::support::Program;
use super::{append, errors, program, run, stdout};

const KEYED: &str = "\
sources:
  s:
    kind: file
    options:
      tables:
        t: {csv: t.csv, key: [id], columns: {id: int64, v: int64}}
      changes: changes.jsonl
views:
  q: {sql: \"SELECT count(*) AS n, sum(v) AS total FROM s.t\"}
  r: {sql: \"SELECT id, v FROM s.t\"}
";

const ROWS: &str = "id,v\n1,10\n2,20\n3,30\n4,40\n";

/// The rows as `id=v`, what `q` says of them, and what was left out.
fn outcome(program: &Program) -> (String, String, Vec<String>) {
    let rows = stdout(program, &["get", "r"]);
    let shown = |line: &str| {
        let row: serde_json::Value = serde_json::from_str(line).unwrap();
        format!("{}={}", row["id"], row["v"])
    };
    let mut rows: Vec<String> = rows.lines().map(shown).collect();
    rows.sort();
    (rows.join(" "), stdout(program, &["get", "q"]).trim_end().to_string(), errors(program))
}

fn in_both_ways(spec: &str, table: (&str, &str), changes: &str) -> (String, String, Vec<String>) {
    let at_once = program(spec, &[table]);
    append(&at_once, changes);
    run(&at_once);
    let outcome_at_once = outcome(&at_once);
    let one_by_one = program(spec, &[table]);
    run(&one_by_one);
    let mut open = false;
    for line in changes.split_inclusive('\n') {
        append(&one_by_one, line);
        open = (open || line.contains("\"begin\"")) && !line.contains("\"commit\"");
        if !open {
            run(&one_by_one);
        }
    }
    assert_eq!(outcome(&one_by_one), outcome_at_once, "with a run for each line: {changes}");
    outcome_at_once
}

fn line(op: &str, before: &str, after: &str) -> String {
    let image = |name: &str, image: &str| if image.is_empty() { String::new() } else { format!(", \"{name}\": {{{image}}}") };
    format!("{{\"table\": \"t\", \"op\": \"{op}\"{}{}}}\n", image("before", before), image("after", after))
}

/// Op, `before`, `after`, the rows then, and why something was left out.
const CASES: &[(&str, &str, &str, &str, &str)] = &[
    // With the key alone, or with more of the row, or all of it.
    ("delete", r#""id": 2"#, "", "1=10 3=30 4=40", ""),
    ("delete", r#""id": 2, "v": 20"#, "", "1=10 3=30 4=40", ""),
    ("delete", r#""id": "2""#, "", "1=10 3=30 4=40", ""),
    ("update", r#""id": 2"#, r#""id": 2, "v": 21"#, "1=10 2=21 3=30 4=40", ""),
    ("update", r#""id": 2, "v": 20"#, r#""v": 21"#, "1=10 2=21 3=30 4=40", ""),
    ("update", r#""id": 2"#, r#""id": 2"#, "1=10 2=20 3=30 4=40", ""),
    ("update", r#""id": 2"#, "\"v\": null", "1=10 2=null 3=30 4=40", ""),
    ("update", r#""id": 2"#, r#""id": 7"#, "1=10 3=30 4=40 7=20", ""),
    ("insert", "", r#""id": 5, "v": 50"#, "1=10 2=20 3=30 4=40 5=50", ""),
    ("insert", "", r#""id": 5"#, "1=10 2=20 3=30 4=40 5=null", ""),
    // What contradicts the rows that are held.
    (
        "update",
        r#""id": 2, "v": 99"#,
        r#""id": 2, "v": 0"#,
        "1=10 2=20 3=30 4=40",
        r#"`before` does not match the row with the key {"id":2}: `v` differs"#,
    ),
    ("delete", r#""id": 2, "v": null"#, "", "1=10 2=20 3=30 4=40", r#"`before` does not match the row with the key {"id":2}: `v` differs"#),
    ("delete", r#""id": 9"#, "", "1=10 2=20 3=30 4=40", r#"the table has no row with the key {"id":9}"#),
    ("delete", r#""id": 9, "v": 20"#, "", "1=10 2=20 3=30 4=40", r#"the table has no row with the key {"id":9}"#),
    ("insert", "", r#""id": 2, "v": 20"#, "1=10 2=20 3=30 4=40", r#"the table already has a row with the key {"id":2}"#),
    ("insert", "", r#""id": 2, "v": 21"#, "1=10 2=20 3=30 4=40", r#"the table already has a row with the key {"id":2}"#),
    ("update", r#""id": 2"#, r#""id": 3"#, "1=10 2=20 3=30 4=40", r#"the table already has a row with the key {"id":3}"#),
    ("update", r#""id": 9"#, r#""v": 90"#, "1=10 2=20 3=30 4=40", r#"the table has no row with the key {"id":9}"#),
    // It may have been left out before, and is whole now.
    ("update", r#""id": 9"#, r#""id": 9, "v": 90"#, "1=10 2=20 3=30 4=40 9=90", r#"the table has no row with the key {"id":9}"#),
    ("update", r#""id": 9"#, r#""id": 3, "v": 90"#, "1=10 2=20 3=30 4=40", r#"the table already has a row with the key {"id":3}"#),
    // What does not say which row it is of, or cannot be read.
    ("delete", r#""v": 20"#, "", "1=10 2=20 3=30 4=40", "`before` must contain the key, and `id` is missing"),
    (
        "update",
        "\"id\": null",
        r#""v": 20"#,
        "1=10 2=20 3=30 4=40",
        "column `id`: expected int64, but it is NULL, which the column does not allow",
    ),
    ("insert", "", r#""v": 50"#, "1=10 2=20 3=30 4=40", "column `id`: expected int64, but it is NULL, which the column does not allow"),
    ("delete", r#""id": 2, "v": "x""#, "", "1=10 2=20 3=30 4=40", "column `v`: expected int64, but it is not a whole number"),
    ("delete", r#""id": 2, "w": 1"#, "", "1=10 2=20 3=30 4=40", "`w` is not a column"),
    ("delete", r#""id": 2, "id": 3"#, "", "1=10 2=20 3=30 4=40", "`id` occurs twice in an object"),
    ("update", r#""id": 2"#, r#""v": 1, "v": 1"#, "1=10 2=20 3=30 4=40", "`v` occurs twice in an object"),
    // A row that cannot be read is not in its table.
    ("update", r#""id": 2"#, r#""v": "x""#, "1=10 3=30 4=40", "column `v`: expected int64, but it is not a whole number"),
];

#[test]
fn each_change_of_a_table_with_a_key() {
    for (op, before, after, rows, reason) in CASES {
        let change = line(op, before, after);
        let (held, totals, errors) = in_both_ways(KEYED, ("t.csv", ROWS), &change);
        assert_eq!(held, *rows, "{change}");
        let reasons: Vec<&str> = errors.iter().map(|error| error.split_once(": ").unwrap().1).collect();
        assert_eq!(reasons, Vec::from_iter((!reason.is_empty()).then_some(*reason)), "{change}");
        let values: Vec<Option<i64>> = rows.split(' ').map(|row| row.split_once('=').unwrap().1.parse().ok()).collect();
        let total: i64 = values.iter().flatten().sum();
        assert_eq!(totals, format!("{{\"n\":{},\"total\":{total}}}", values.len()), "{change}");
    }
}

#[test]
fn changes_of_one_key_are_as_of_the_ones_before_them_also_inside_a_transaction() {
    let changes = [
        line("insert", "", r#""id": 5, "v": 50"#),
        "{\"begin\": true}\n".into(),
        line("update", r#""id": 5, "v": 50"#, r#""v": 51"#),
        line("update", r#""id": 5, "v": 50"#, r#""v": 52"#),
        line("delete", r#""id": 1"#, ""),
        line("insert", "", r#""id": 1, "v": 11"#),
        line("update", r#""id": 5, "v": 51"#, r#""id": 6"#),
        line("delete", r#""id": 5"#, ""),
        "{\"commit\": true}\n".into(),
        line("update", r#""id": 6, "v": 51"#, r#""v": 53"#),
        line("delete", r#""id": 1, "v": 10"#, ""),
    ];
    let (rows, _, errors) = in_both_ways(KEYED, ("t.csv", ROWS), &changes.concat());
    assert_eq!(rows, "1=11 2=20 3=30 4=40 6=53");
    assert_eq!(
        errors,
        [
            r#"changes.jsonl, line 4 of t: `before` does not match the row with the key {"id":5}: `v` differs"#,
            r#"changes.jsonl, line 8 of t: the table has no row with the key {"id":5}"#,
            r#"changes.jsonl, line 11 of t: `before` does not match the row with the key {"id":1}: `v` differs"#,
        ]
    );
}

#[test]
fn a_row_that_was_left_out_comes_back_by_a_change_that_names_its_key_only() {
    let bad = ROWS.replace("2,20", "2,twenty");
    let (rows, _, errors) = in_both_ways(KEYED, ("t.csv", &bad), &line("update", r#""id": 2"#, r#""id": 2, "v": 22"#));
    assert_eq!(rows, "1=10 2=22 3=30 4=40");
    assert_eq!(errors.len(), 2, "{errors:?}");
    let twice = [line("update", r#""id": 2"#, r#""v": "x""#), line("update", r#""id": 2"#, r#""id": 2, "v": 23"#)];
    let (rows, _, errors) = in_both_ways(KEYED, ("t.csv", ROWS), &twice.concat());
    assert_eq!(rows, "1=10 2=23 3=30 4=40");
    assert_eq!(errors.len(), 2, "{errors:?}");
}

#[test]
fn of_a_table_without_a_key_before_is_the_whole_row() {
    let spec = KEYED.replace("key: [id], ", "");
    let rows = "id,v\n1,10\n1,10\n2,20\n";
    for (op, before, after, expected, reason) in [
        ("delete", r#""id": 1, "v": 10"#, "", "1=10 2=20", ""),
        ("update", r#""id": 1, "v": 10"#, r#""v": 11"#, "1=10 1=11 2=20", ""),
        ("insert", "", r#""id": 1, "v": 10"#, "1=10 1=10 1=10 2=20", ""),
        ("delete", r#""id": 1"#, "", "1=10 1=10 2=20", "`before` of a table without a key must be the whole row, and `v` is missing"),
        ("delete", r#""id": 1, "v": 20"#, "", "1=10 1=10 2=20", "the table has no row equal to `before`"),
        ("update", r#""id": 3, "v": 30"#, r#""id": 3, "v": 31"#, "1=10 1=10 2=20", "the table has no row equal to `before`"),
    ] {
        let change = line(op, before, after);
        let (held, _, errors) = in_both_ways(&spec, ("t.csv", rows), &change);
        let reasons: Vec<&str> = errors.iter().map(|error| error.split_once(": ").unwrap().1).collect();
        assert_eq!((held.as_str(), reasons), (expected, Vec::from_iter((!reason.is_empty()).then_some(reason))), "{change}");
    }
    let all = line("delete", r#""id": 1, "v": 10"#, "").repeat(3) + &line("insert", "", r#""id": 1, "v": 10"#);
    let (held, _, errors) = in_both_ways(&spec, ("t.csv", rows), &all);
    assert_eq!((held.as_str(), errors.len()), ("1=10 2=20", 1));
}

#[test]
fn rows_that_get_their_order_of_arrival_are_completed_too() {
    let spec = KEYED.replace("    kind: file\n", "    kind: file\n    arrival: [t]\n");
    let changes =
        line("update", r#""id": 2, "v": 20"#, r#""v": 21"#) + &line("delete", r#""id": 3"#, "") + &line("delete", r#""id": 3"#, "");
    let (rows, _, errors) = in_both_ways(&spec, ("t.csv", ROWS), &changes);
    assert_eq!((rows.as_str(), errors.len()), ("1=10 2=21 4=40", 1));
}

#[test]
fn documents_in_columns_are_the_same_however_they_are_written() {
    let spec = KEYED.replace("v: int64", "v: json").replace("sum(v)", "count(v)");
    let rows = "id,v\n1,\"{\"\"a\"\": 1, \"\"b\"\": [2]}\"\n";
    let same = line("update", r#""id": 1, "v": {"b":[2],"a":1}"#, r#""v": 5"#);
    let other = line("delete", r#""id": 1, "v": 6"#, "");
    let (held, _, errors) = in_both_ways(&spec, ("t.csv", rows), &(same + &other));
    assert_eq!((held.as_str(), errors.len()), ("1=5", 1));
}

#[test]
fn a_strict_source_stops_at_what_contradicts() {
    let spec = KEYED.replace("      changes", "      bad_lines: stop\n      changes");
    let program = program(&spec, &[("t.csv", ROWS)]);
    append(&program, &(line("delete", r#""id": 1"#, "") + &line("delete", r#""id": 1"#, "")));
    let done = program.run(&["run", "spec.yaml", "--state", "state", "--until-caught-up"]);
    let expected = "changes.jsonl, line 2: the table has no row with the key {\"id\":1}";
    assert!(done.code == Some(1) && done.stderr.contains(expected), "{}", done.stderr);
    assert_eq!(outcome(&program).0, "2=20 3=30 4=40");
}

#[test]
fn a_second_row_of_one_key_is_left_out_in_every_format_and_order() {
    let spec = |format: &str| KEYED.replace("csv: t.csv", &format!("{format}: t.{format}"));
    let jsonl = |rows: &str| {
        rows.lines()
            .skip(1)
            .map(|row| row.split_once(',').map_or("x\n".into(), |(id, v)| format!("{{\"id\": {id}, \"v\": {v}}}\n")))
            .collect::<String>()
    };
    for (csv, rows, lines) in [
        ("id,v\n1,10\n1,11\n2,20\n", "1=10 2=20", vec![(3, 1)]),
        ("id,v\n2,20\n1,10\n2,21\n1,10\n3,30\n", "1=10 2=20 3=30", vec![(4, 2), (5, 1)]),
        ("id,v\n3,30\nx\n3,31\n2,20\n3,32\n", "2=20 3=30", vec![(3, 0), (4, 3), (6, 3)]),
    ] {
        for (format, first_line) in [("csv", 0), ("jsonl", 1)] {
            let text = if format == "csv" { csv.to_string() } else { jsonl(csv) };
            let (held, _, errors) = in_both_ways(&spec(format), (&format!("t.{format}"), &text), "");
            assert_eq!(held, rows, "{text}");
            let expected: Vec<String> = lines
                .iter()
                .map(|(line, key)| {
                    let reason = match key {
                        0 if format == "csv" => "1 fields where the header has 2".into(),
                        0 => "it is not a JSON object".into(),
                        key => format!("the key {{\"id\":{key}}} is that of an earlier row"),
                    };
                    format!("t.{format}, line {} of t: {reason}", line - first_line)
                })
                .collect();
            assert_eq!(errors, expected, "{text}");
        }
    }
    // Over many chunks, rising until nearly the end, and not at all.
    for (step, at) in [(1u64, 60_000), (7_919, 30_000)] {
        let ids: Vec<u64> = (0..60_000).map(|n| n * step % 60_013).collect();
        let mut text: String = "id,v\n".into();
        ids.iter().take(at).for_each(|id| text += &format!("{id},1\n"));
        text += &format!("{},2\n", ids[17]);
        ids.iter().skip(at).for_each(|id| text += &format!("{id},1\n"));
        text += &format!("{},2\n", ids[59_999]);
        let program = program(KEYED, &[("t.csv", &text)]);
        run(&program);
        assert_eq!(stdout(&program, &["get", "q"]), "{\"n\":60000,\"total\":60000}\n");
        let key = |line: u64, id: u64| format!("t.csv, line {line} of t: the key {{\"id\":{id}}} is that of an earlier row");
        assert_eq!(errors(&program), [key(at as u64 + 2, ids[17]), key(60_003, ids[59_999])]);
    }
}

#[test]
fn how_lines_end_and_files_begin_does_not_matter() {
    let changes = line("delete", r#""id": 2"#, "") + &line("insert", "", r#""id": 5, "v": 50"#);
    let expected = ("1=10 3=30 4=40 5=50".to_string(), 4, Vec::<String>::new());
    for (csv, text) in [
        (ROWS.to_string(), changes.clone()),
        (format!("\u{feff}{ROWS}"), format!("\u{feff}{changes}")),
        (ROWS.replace('\n', "\r\n"), changes.replace('\n', "\r\n")),
        (format!("\u{feff}\"id\"{}", &ROWS[2..]), format!("\u{feff}\n\n{}\n  \n", changes.replace('\n', "\n\n"))),
        // By a program that writes a byte order mark whenever it opens the file.
        (ROWS.to_string(), changes.replace('{', "\u{feff}{").replacen("\u{feff}{\"id", "{\"id", 2)),
        (ROWS.trim_end().to_string(), changes.trim_end().to_string()),
    ] {
        let program = program(KEYED, &[("t.csv", &csv)]);
        append(&program, &text);
        run(&program);
        let (rows, totals, errors) = outcome(&program);
        assert_eq!((rows, 4, errors), expected, "{text:?}");
        assert_eq!(totals, "{\"n\":4,\"total\":130}");
    }
    let garbage = line("delete", r#""id": 2"#, "").trim_end().to_string() + " x\n" + &line("delete", r#""id": 3"#, "");
    let (rows, _, errors) = in_both_ways(KEYED, ("t.csv", ROWS), &garbage);
    assert_eq!((rows.as_str(), errors), ("1=10 2=20 4=40", vec!["changes.jsonl, line 1 of ?: it is not a JSON object".to_string()]));
}

#[test]
fn half_a_last_line_is_waited_for() {
    let program = program(KEYED, &[("t.csv", ROWS)]);
    let change = line("delete", r#""id": 2"#, "");
    for part in [&change[..9], &change[9..30], &change[30..change.len() - 2]] {
        append(&program, part);
        run(&program);
        assert_eq!(outcome(&program).0, "1=10 2=20 3=30 4=40");
    }
    append(&program, &change[change.len() - 2..]);
    run(&program);
    assert_eq!(outcome(&program), ("1=10 3=30 4=40".into(), "{\"n\":3,\"total\":80}".into(), vec![]));
}

#[test]
fn files_in_utf_16_are_refused_by_name() {
    let little = |text: &str| [&[0xff, 0xfe][..], &text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>()].concat();
    let big = |text: &str| [&[0xfe, 0xff][..], &text.encode_utf16().flat_map(u16::to_be_bytes).collect::<Vec<u8>>()].concat();
    let object = "{\"id\": 1, \"v\": 1}\n";
    let change = line("delete", r#""id": 2"#, "");
    for (name, bytes, order) in [
        ("t.csv", little(ROWS), "little"),
        ("t.csv", big(ROWS), "big"),
        ("t.jsonl", little(object), "little"),
        ("changes.jsonl", little(&change), "little"),
        ("changes.jsonl", big(&change), "big"),
    ] {
        let spec = if name == "t.jsonl" { KEYED.replace("csv: t.csv", "jsonl: t.jsonl") } else { KEYED.into() };
        let program = program(&spec, &[("t.csv", ROWS)]);
        std::fs::write(program.folder().join(name), bytes).unwrap();
        let done = program.run(&["run", "spec.yaml", "--state", "state", "--until-caught-up"]);
        let expected = format!("{name} is UTF-16 ({order} endian), and must be UTF-8");
        assert!(done.code != Some(0) && done.stderr.contains(&expected) && done.stderr.contains("iconv"), "{}", done.stderr);
    }
}
