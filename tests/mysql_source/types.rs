//! Values are the same whether they come in by the snapshot or by the log, for every type.

use super::support::*;

/// Columns that both families have: name, definition, values as SQL.
const SHARED: &[(&str, &str, &[&str])] = &[
    ("tiny", "TINYINT", &["-128", "127", "0", "NULL"]),
    ("tiny_u", "TINYINT UNSIGNED", &["0", "255"]),
    ("tiny_1", "TINYINT(1)", &["0", "1", "-1"]),
    ("small", "SMALLINT", &["-32768", "32767"]),
    ("small_u", "SMALLINT UNSIGNED", &["65535"]),
    ("medium", "MEDIUMINT", &["-8388608", "-1", "8388607"]),
    ("medium_u", "MEDIUMINT UNSIGNED", &["16777215"]),
    ("int_", "INT", &["-2147483648", "2147483647"]),
    ("int_u", "INT UNSIGNED", &["4294967295"]),
    ("big", "BIGINT", &["-9223372036854775808", "9223372036854775807"]),
    ("big_u", "BIGINT UNSIGNED", &["18446744073709551615", "0"]),
    ("bit_1", "BIT(1)", &["0", "1"]),
    ("bit_9", "BIT(9)", &["b'101010101'"]),
    ("bit_64", "BIT(64)", &["18446744073709551615"]),
    ("year_", "YEAR", &["0", "1901", "2155"]),
    ("float_", "FLOAT", &["0.1", "-3.4028234e38", "1.17549435e-38", "16777217"]),
    ("double_", "DOUBLE", &["0.1", "-1.7976931348623157e308", "2.2250738585072014e-308", "-0.0"]),
    ("dec_1", "DECIMAL(1,0)", &["-9", "9"]),
    ("dec_10_2", "DECIMAL(10,2)", &["-99999999.99", "0.01", "-0.05"]),
    ("dec_18_9", "DECIMAL(18,9)", &["123456789.987654321", "-999999999.999999999"]),
    ("dec_38", "DECIMAL(38,30)", &["99999999.999999999999999999999999999999", "-0.000000000000000000000000000001"]),
    ("dec_65", "DECIMAL(65,30)", &["-99999999999999999999999999999999999.999999999999999999999999999999", "1"]),
    ("dec_65_0", "DECIMAL(65,0)", &["99999999999999999999999999999999999999999999999999999999999999999"]),
    ("date_", "DATE", &["'1000-01-01'", "'9999-12-31'", "'2024-02-29'", "'0000-00-00'", "'2024-00-00'", "'1969-12-31'", "'0001-01-01'"]),
    ("datetime_", "DATETIME", &["'1000-01-01 00:00:00'", "'9999-12-31 23:59:59'", "'0000-00-00 00:00:00'", "'2024-02-00 10:00:00'"]),
    ("datetime_1", "DATETIME(1)", &["'2024-01-02 03:04:05.9'"]),
    ("datetime_3", "DATETIME(3)", &["'2024-01-02 03:04:05.123'"]),
    ("datetime_6", "DATETIME(6)", &["'1969-12-31 23:59:59.999999'", "'2024-01-02 03:04:05.000001'"]),
    ("timestamp_", "TIMESTAMP NULL", &["'1970-01-01 00:00:01'", "'2038-01-19 03:14:07'", "'0000-00-00 00:00:00'", "NULL"]),
    ("timestamp_6", "TIMESTAMP(6) NULL", &["'2024-01-02 03:04:05.000001'", "'2038-01-19 03:14:07.999999'"]),
    ("time_", "TIME", &["'-838:59:59'", "'838:59:59'", "'00:00:00'", "'-00:00:01'"]),
    ("time_1", "TIME(1)", &["'-00:00:00.1'", "'12:34:56.7'"]),
    ("time_2", "TIME(2)", &["'-00:00:00.01'", "'-838:59:58.99'"]),
    ("time_3", "TIME(3)", &["'-01:02:03.004'"]),
    ("time_6", "TIME(6)", &["'-838:59:58.999999'", "'838:59:58.999999'", "'-00:00:00.000001'"]),
    ("char_", "CHAR(10) CHARACTER SET utf8mb4", &["'žluť 😀  '", "''"]),
    ("char_long", "CHAR(200) CHARACTER SET utf8mb4", &["REPEAT('😀', 200)"]),
    ("varchar_", "VARCHAR(100) CHARACTER SET utf8mb4", &["'trailing  '", "REPEAT('x', 100)"]),
    ("varchar_long", "VARCHAR(2000) CHARACTER SET utf8mb4", &["REPEAT('č', 2000)", "''"]),
    ("latin1_", "VARCHAR(50) CHARACTER SET latin1", &["'café €'"]),
    ("latin2_", "VARCHAR(50) CHARACTER SET latin2", &["'žluťoučký'"]),
    ("cp1251_", "VARCHAR(50) CHARACTER SET cp1251", &["'Привет'"]),
    ("koi8r_", "VARCHAR(50) CHARACTER SET koi8r", &["'Привет'"]),
    ("greek_", "VARCHAR(50) CHARACTER SET greek", &["'Ελλάδα'"]),
    ("ascii_", "VARCHAR(50) CHARACTER SET ascii", &["'plain'"]),
    ("ucs2_", "VARCHAR(50) CHARACTER SET ucs2", &["'ж中'"]),
    ("utf16_", "VARCHAR(50) CHARACTER SET utf16", &["'ж中😀'"]),
    ("utf16le_", "CHAR(50) CHARACTER SET utf16le", &["'ж中😀'"]),
    ("utf32_", "TEXT CHARACTER SET utf32", &["'ж中😀'"]),
    ("sjis_", "VARCHAR(50) CHARACTER SET sjis", &["'日本語'"]),
    ("ujis_", "VARCHAR(50) CHARACTER SET ujis", &["'日本語'"]),
    ("gbk_", "VARCHAR(50) CHARACTER SET gbk", &["'中文'"]),
    ("big5_", "VARCHAR(50) CHARACTER SET big5", &["'中文'"]),
    ("euckr_", "VARCHAR(50) CHARACTER SET euckr", &["'한국'"]),
    ("tinytext_", "TINYTEXT", &["'t'"]),
    ("mediumtext_", "MEDIUMTEXT", &["REPEAT('m', 70000)"]),
    ("longtext_", "LONGTEXT CHARACTER SET latin1", &["REPEAT('é', 70000)"]),
    ("binary_", "BINARY(8)", &["x'0000000000000000'", "x'01'", "x'FF00'", "x'0102030405060708'"]),
    ("binary_255", "BINARY(255)", &["x'01'"]),
    ("varbinary_", "VARBINARY(300)", &["x'00FF00'", "''"]),
    ("tinyblob_", "TINYBLOB", &["x'00'"]),
    ("blob_", "BLOB", &["x'DEADBEEF00'"]),
    ("mediumblob_", "MEDIUMBLOB", &["REPEAT(x'00', 70000)"]),
    ("longblob_", "LONGBLOB", &["REPEAT(x'FF', 70000)"]),
    ("enum_", "ENUM('a','b''c','č','d,e','back\\\\slash')", &["'a'", "'b''c'", "'č'", "'d,e'", "5", "'not a label'", "NULL"]),
    ("enum_latin1", "ENUM('café','naïve') CHARACTER SET latin1", &["'café'", "'naïve'"]),
    ("set_", "SET('x','y z','č','w')", &["''", "'x,w'", "'č'", "15"]),
    ("geometry_", "GEOMETRY", &["ST_GeomFromText('POINT(1 2)')", "ST_GeomFromText('LINESTRING(0 0, 1 1)')"]),
    ("point_srid", "GEOMETRY", &["ST_GeomFromText('POINT(1 2)', 4326)"]),
    ("stored", "INT AS (small + 1) STORED", &[]),
    ("virt", "INT AS (small + 2) VIRTUAL", &[]),
    (
        "json_",
        "JSON",
        &["'null'", "NULL", "'{\"b\": [1, 2.50, -3e5, \"x y\"], \"a\": {\"é\": \"\\\\u00e9\\\\n\"}, \"\": true}'", "'[]'", "'\"s\"'"],
    ),
];

const MARIADB_ONLY: &[(&str, &str, &[&str])] = &[
    (
        "uuid_",
        "UUID",
        &[
            "'123e4567-e89b-12d3-a456-426655440000'",
            "'00000000-0000-0000-0000-000000000000'",
            "'f81d4fae-7dec-11d0-a765-00a0c91e6bf6'",
            "'017f22e2-79b0-7cc3-98c4-dc0c0c07398f'",
            "'ffffffff-ffff-ffff-ffff-ffffffffffff'",
            "'12345678-9abc-4def-0123-456789abcdef'",
        ],
    ),
    ("inet6_", "INET6", &["'::'", "'2001:db8::ff00:42:8329'", "'::ffff:192.0.2.128'", "'1::'"]),
    ("inet4_", "INET4", &["'0.0.0.0'", "'192.168.1.255'"]),
];

const MYSQL_ONLY: &[(&str, &str, &[&str])] = &[
    ("gb18030_", "VARCHAR(50) CHARACTER SET gb18030", &["'中文😀'"]),
    ("vector_", "VECTOR(3)", &["TO_VECTOR('[1,2.5,-3]')"]),
    (
        "json_opaque",
        "JSON",
        &[
            "JSON_OBJECT('d', CAST('2024-01-02' AS DATE), 'dt', CAST('2024-01-02 03:04:05.678' AS DATETIME(3)), 't', CAST('-12:34:56.5' AS TIME(1)))",
            "JSON_ARRAY(CAST('-12.50' AS DECIMAL(10,2)), CAST('0.001' AS DECIMAL(5,3)), CAST(REPEAT('9', 65) AS DECIMAL(65,0)))",
            "JSON_ARRAY(18446744073709551615, -9223372036854775808, 65536, -32769, 4294967296, 1e100, 1.5e-7, 1e15, 123456789012345.6, 1.0, 0.1, 5e-324)",
            "JSON_OBJECT('bin', CAST(x'00FF' AS BINARY), 'bit', b'1', 'long', REPEAT('x', 70000))",
            "JSON_OBJECT('c', CHAR(1 USING utf8mb4), 'q', '\"', 'bs', '\\\\', 'n', '\\n', 'del', CHAR(127 USING utf8mb4))",
        ],
    ),
];

fn columns(family: Family) -> Vec<(&'static str, &'static str, &'static [&'static str])> {
    let own = if family == Family::Mariadb { MARIADB_ONLY } else { MYSQL_ONLY };
    SHARED.iter().chain(own).copied().collect()
}

/// Makes the table and returns the statements that fill it: one row for each round of values.
fn statements(family: Family) -> (String, Vec<String>) {
    let columns = columns(family);
    let mut definition = "CREATE TABLE every_type (id INT PRIMARY KEY".to_string();
    for (name, ty, _) in &columns {
        definition += &format!(", `{name}` {ty}");
    }
    definition += ") CHARACTER SET utf8mb4";
    let rounds = columns.iter().map(|c| c.2.len()).max().unwrap();
    let inserts = (0..rounds)
        .map(|round| {
            let given: Vec<_> = columns.iter().filter(|c| !c.2.is_empty()).collect();
            let names: Vec<String> = given.iter().map(|c| format!("`{}`", c.0)).collect();
            let values: Vec<&str> = given.iter().map(|c| c.2[round % c.2.len()]).collect();
            format!("INSERT INTO every_type (id, {}) VALUES ({round}, {})", names.join(", "), values.join(", "))
        })
        .collect();
    (definition, inserts)
}

async fn both_ways_give_the_same(family: Family, name: &str, options: serde_json::Value) {
    let mut db = Db::create(family, name).await;
    let (definition, inserts) = statements(family);
    db.run(&[&definition, "CREATE TABLE marker (a INT)"]).await;
    let source = db.source_with(options);
    let tables = discover(&*source, &["every_type"]).await;

    let empty = run(&*source, &tables, None).await.unwrap();
    assert!(empty.snapshot.is_empty() && empty.transactions.is_empty());
    for insert in &inserts {
        db.run(&[insert]).await;
    }
    let logged = run(&*source, &tables, Some(empty.position())).await.unwrap();
    assert_eq!(logged.transactions.len(), inserts.len());
    let snapshot = run(&*source, &tables, None).await.unwrap();
    assert_eq!(snapshot.snapshot.len(), inserts.len());

    let id = |row: &tidemill::value::Row| values(&tables[0], row)[0].1.clone();
    for (_, row) in &snapshot.snapshot {
        let from_log = logged.transactions.iter().flatten().find(|d| id(&d.row) == id(row)).unwrap();
        for (snapshot, log) in values(&tables[0], row).iter().zip(values(&tables[0], &from_log.row)) {
            assert_eq!(*snapshot, log, "snapshot, log");
        }
        assert!(*row == from_log.row, "the packed bytes are the same too");
    }
    db.run(&["UPDATE every_type SET id = id + 100", "DELETE FROM every_type"]).await;
    let gone = run(&*source, &tables, Some(snapshot.position())).await.unwrap();
    assert_eq!(gone.state(snapshot.state(State::new())), State::new(), "what the log takes away is what the snapshot gave");
    db.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_type_is_the_same_both_ways_on_mariadb() {
    both_ways_give_the_same(Family::Mariadb, "types", serde_json::json!({})).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_type_is_the_same_both_ways_on_mysql() {
    both_ways_give_the_same(Family::Mysql, "types", serde_json::json!({})).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dates_as_text_and_booleans_are_the_same_both_ways() {
    both_ways_give_the_same(Family::Mysql, "types_text", serde_json::json!({"zero_dates": "text", "tinyint1_as_bool": true})).await;
}
