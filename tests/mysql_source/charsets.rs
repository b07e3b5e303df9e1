//! Text is what its server says in utf8mb4: every character of every character set that the server has, by the snapshot and by the log.

use std::collections::HashMap;

use mysql_async::prelude::Queryable;
use tidemill::sources::Table;
use tidemill::value::{Datum, Layout, Row};

use super::support::*;

/// The code points of one row of a Unicode character set.
const BLOCK: u32 = 256;

/// What fills a table with all characters of a character set: statements that insert into `filled (id, c)`.
fn fill(charset: &str) -> Vec<String> {
    // `z` behind each, so that one that takes a byte too many is seen. What the server takes for text of this charset, as it is, counts.
    let insert = |id: &str, bytes: &str, from: &str| {
        format!(
            "INSERT INTO filled SELECT {id}, CONVERT(b USING {charset}) FROM (SELECT {id}, {bytes} AS b FROM {from}) bytes \
             WHERE HEX(CONVERT(b USING {charset})) = HEX(b)"
        )
    };
    let hex = |digits: usize| format!("LPAD(HEX(i), {digits}, '0')");
    let one = insert("i", &format!("UNHEX(CONCAT({}, '7A'))", hex(2)), "numbers WHERE i < 256");
    let two = insert("i", &format!("UNHEX(CONCAT({}, '7A'))", hex(4)), "numbers WHERE i >= 32768");
    match charset {
        "utf8mb3" | "utf8mb4" | "utf16" | "utf16le" | "utf32" | "ucs2" => (0..0x110000 / BLOCK)
            .filter(|block| !(0xd800..0xe000).contains(&(block * BLOCK)))
            .collect::<Vec<_>>()
            .chunks(64)
            .map(|blocks| {
                let text = |block: &u32| (block * BLOCK..(block + 1) * BLOCK).map(|point| format!("{point:08X}")).collect::<String>();
                let rows: Vec<String> = blocks.iter().map(|block| format!("({block}, _utf32 x'{}')", text(block))).collect();
                format!("INSERT INTO filled VALUES {}", rows.join(", "))
            })
            .collect(),
        "big5" | "cp932" | "euckr" | "gb2312" | "gbk" | "sjis" => vec![one, two],
        "ujis" | "eucjpms" => {
            let three = insert(
                "id",
                "UNHEX(CONCAT('8F', LPAD(HEX(i), 4, '0'), '7A'))",
                "(SELECT i, i + 65536 AS id FROM numbers WHERE i >= 32768) n",
            );
            vec![one, two, three]
        }
        "gb18030" => {
            let fourth: Vec<String> = (0..10).map(|digit| format!("front, '3{digit}'")).collect();
            let front = "SELECT a.i * 65536 + b.i * 256 + c.i + 65536 AS id, CONCAT(HEX(a.i), HEX(b.i), HEX(c.i)) AS front \
                         FROM numbers a JOIN numbers b JOIN numbers c \
                         WHERE a.i BETWEEN 129 AND 254 AND b.i BETWEEN 48 AND 57 AND c.i BETWEEN 129 AND 254";
            vec![one, two, insert("id", &format!("UNHEX(CONCAT({}))", fourth.join(", ")), &format!("({front}) n"))]
        }
        _ => vec![one],
    }
}

async fn every_character(family: Family) {
    let mut db = Db::create(family, "charsets").await;
    let digits: Vec<String> = (0..16).map(|i| format!("({i})")).collect();
    db.run(&[
        "CREATE TABLE digits (i INT)",
        &format!("INSERT INTO digits VALUES {}", digits.join(", ")),
        "CREATE TABLE numbers (i INT PRIMARY KEY)",
        "INSERT INTO numbers SELECT a.i * 4096 + b.i * 256 + c.i * 16 + d.i FROM digits a, digits b, digits c, digits d",
    ])
    .await;
    let charsets = "SELECT character_set_name FROM information_schema.character_sets WHERE character_set_name <> 'binary' ORDER BY 1";
    let charsets: Vec<String> = db.conn.query(charsets).await.unwrap();
    assert!(charsets.len() >= 39, "{charsets:?}");
    for charset in charsets {
        let definition = format!("(id INT PRIMARY KEY, c VARCHAR(300) CHARACTER SET {charset})");
        db.run(&[
            "DROP TABLE IF EXISTS filled, logged",
            &format!("CREATE TABLE filled {definition}"),
            &format!("CREATE TABLE logged {definition}"),
        ])
        .await;
        let source = db.source();
        let tables = discover(&*source, &["filled", "logged"]).await;
        for statement in fill(&charset) {
            db.run(&[&statement]).await;
        }
        let snapshot = run(&*source, &tables, None).await.unwrap();
        db.run(&["INSERT INTO logged SELECT * FROM filled"]).await;
        let log = run(&*source, &tables, Some(snapshot.position())).await.unwrap();

        let right: Vec<(i64, String, String)> =
            db.conn.query("SELECT id, HEX(c), HEX(CONVERT(c USING utf8mb4)) FROM filled").await.unwrap();
        assert!(right.len() >= 128, "{charset} has {} rows", right.len());
        let by_snapshot = by_id(&tables[0], snapshot.snapshot.iter().map(|(_, row)| row));
        let by_log = by_id(&tables[1], log.transactions.iter().flatten().map(|delta| &delta.row));
        assert_eq!((by_snapshot.len(), by_log.len()), (right.len(), right.len()), "{charset}");
        for (id, bytes, text) in right {
            assert_eq!(by_snapshot[&id], text, "by the snapshot, {charset} {bytes}");
            assert_eq!(by_log[&id], text, "by the log, {charset} {bytes}");
        }
    }
    db.drop().await;
}

/// The text of each row, as hexadecimal digits of its UTF-8.
fn by_id<'r>(table: &Table, rows: impl Iterator<Item = &'r Row>) -> HashMap<i64, String> {
    let layout = Layout::new(&table.schema);
    let shown = |row: &Row| match (layout.get(row, 0), layout.get(row, 1)) {
        (Datum::Int(id), Datum::Text(text)) => (id, text.bytes().map(|byte| format!("{byte:02X}")).collect()),
        other => panic!("an id and a text, not {other:?}"),
    };
    rows.map(shown).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_character_of_every_character_set_is_what_mariadb_says() {
    every_character(Family::Mariadb).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_character_of_every_character_set_is_what_mysql_says() {
    every_character(Family::Mysql).await;
}
