//! The log's values against another program's: `mysql_cdc`, where it is right (it cuts microseconds and knows no negative times).

use std::fmt::Write;

use mysql_async::prelude::Queryable;
use mysql_cdc::binlog_client::BinlogClient;
use mysql_cdc::binlog_options::BinlogOptions;
use mysql_cdc::events::binlog_event::BinlogEvent;
use mysql_cdc::events::row_events::mysql_value::MySqlValue;
use mysql_cdc::replica_options::ReplicaOptions;
use mysql_cdc::ssl_mode::SslMode;
use tidemill::value::{Datum, Layout};

use super::support::*;

const ROWS: u64 = 400;

const TABLE: &str = "CREATE TABLE t (
    id INT PRIMARY KEY, a TINYINT, b SMALLINT UNSIGNED, c MEDIUMINT UNSIGNED, d INT, e BIGINT UNSIGNED, f FLOAT, g DOUBLE,
    h DECIMAL(12,3), i DECIMAL(65,30), j VARCHAR(300) CHARACTER SET utf8mb4, k BLOB, l DATE, m DATETIME, n DATETIME(3), o TIMESTAMP(3) NULL,
    p TIME(2), q YEAR, r ENUM('x','y','z'), s SET('x','y','z'), u BIT(12), v TEXT)";

/// A row of values that depend on a number only.
fn values_of(id: u64) -> String {
    let mut state = id.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = |below: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % below
    };
    let mut row = format!("({id}");
    let mut push = |value: String| write!(row, ", {value}").unwrap();
    push((next(256) as i64 - 128).to_string());
    push(next(65_536).to_string());
    push(next(1 << 24).to_string());
    push((next(1 << 32) as i64 - (1 << 31)).to_string());
    push(next(u64::MAX).to_string());
    push(format!("{}", next(1_000_000) as f32 / 64.0));
    push(format!("{:e}", f64::from_bits(next(0x7fe0_0000_0000_0000))));
    push(format!("-{}.{:03}", next(999_999_999), next(1000)));
    push(format!("{}.{:09}", next(1 << 60), next(1_000_000_000)));
    push(format!("REPEAT('ž😀', {})", next(150)));
    push(format!("UNHEX(REPEAT('{:02X}', {}))", next(256), next(500)));
    push(format!("'{:04}-{:02}-{:02}'", 1000 + next(9000), 1 + next(12), 1 + next(28)));
    push(format!("'{:04}-{:02}-{:02} {:02}:{:02}:{:02}'", 1000 + next(9000), 1 + next(12), 1 + next(28), next(24), next(60), next(60)));
    push(format!("'2024-{:02}-{:02} {:02}:00:59.{:03}'", 1 + next(12), 1 + next(28), next(24), next(1000)));
    push(if next(7) == 0 { "NULL".into() } else { format!("'20{:02}-01-01 {:02}:30:00.{:03}'", next(38), next(24), next(1000)) });
    push(format!("'{}:{:02}:{:02}.{:02}'", next(839), next(59), next(59), next(100)));
    push((1901 + next(255)).to_string());
    push((1 + next(3)).to_string());
    push(next(8).to_string());
    push(next(1 << 12).to_string());
    push("NULL".into());
    row + ")"
}

async fn decoders_agree(family: Family) {
    let mut db = Db::create(family, "second").await;
    db.run(&[TABLE]).await;
    let source = db.source();
    let tables = discover(&*source, &["t"]).await;
    let before = run(&*source, &tables, None).await.unwrap();
    let statement = if family == Family::Mariadb { "SHOW MASTER STATUS" } else { "SHOW BINARY LOG STATUS" };
    let place: mysql_async::Row = db.conn.query_first(statement).await.unwrap().unwrap();
    let (file, offset): (String, u32) = (place.get(0).unwrap(), place.get(1).unwrap());
    let rows: Vec<String> = (0..ROWS).map(values_of).collect();
    db.run(&[&format!("INSERT INTO t VALUES {}", rows.join(", "))]).await;
    let ours = run(&*source, &tables, Some(before.position())).await.unwrap();
    assert_eq!(ours.transactions[0].len() as u64, ROWS);

    let (name, url) = (db.name.clone(), db.url());
    let theirs = tokio::task::spawn_blocking(move || read_with_mysql_cdc(&url, &name, file, offset)).await.unwrap();
    assert_eq!(theirs.len() as u64, ROWS);
    let layout = Layout::new(&tables[0].schema);
    for (ours, theirs) in ours.transactions[0].iter().zip(theirs) {
        for (i, (column, theirs)) in tables[0].schema.columns().iter().zip(theirs).enumerate() {
            assert_eq!(ours_as_text(layout.get(&ours.row, i)), as_text(&column.name, theirs), "{}", column.name);
        }
    }
    db.drop().await;
}

fn read_with_mysql_cdc(url: &str, database: &str, file: String, offset: u32) -> Vec<Vec<Option<MySqlValue>>> {
    let opts = mysql_async::Opts::from_url(url).unwrap();
    let options = ReplicaOptions {
        hostname: opts.ip_or_hostname().into(),
        port: opts.tcp_port(),
        username: opts.user().unwrap().into(),
        password: opts.pass().unwrap_or_default().into(),
        blocking: false,
        ssl_mode: SslMode::Disabled,
        binlog: BinlogOptions::from_position(file, offset),
        ..ReplicaOptions::default()
    };
    let (mut rows, mut ours) = (Vec::new(), None);
    for event in BinlogClient::new(options).replicate().unwrap() {
        match event {
            Ok((_, BinlogEvent::TableMapEvent(map))) if map.database_name == database => ours = Some(map.table_id),
            Ok((_, BinlogEvent::WriteRowsEvent(write))) if Some(write.table_id) == ours => {
                rows.extend(write.rows.into_iter().map(|row| row.cells));
            }
            Ok(_) => {}
            // Other tests write things that it does not read; ours has been by then.
            Err(_) => break,
        }
    }
    rows
}

fn ours_as_text(datum: Datum) -> String {
    match datum {
        Datum::Null => "NULL".into(),
        Datum::Int(v) => v.to_string(),
        Datum::UInt(v) => v.to_string(),
        Datum::Float32(v) => v.to_bits().to_string(),
        Datum::Float64(v) => v.to_bits().to_string(),
        Datum::Decimal(v) => v.to_string(),
        Datum::Decimal256(v) => v.to_string(),
        Datum::Text(v) => v.into(),
        Datum::Binary(v) => format!("{v:?}"),
        Datum::Date(v) => v.to_string(),
        Datum::DateTime(v) | Datum::Timestamp(v) | Datum::Time(v) => (v / 1000).to_string(),
        other => panic!("{other:?}"),
    }
}

/// Their value in our words. Days are counted here, one by one, and not by our formula.
fn as_text(column: &str, value: Option<MySqlValue>) -> String {
    let Some(value) = value else { return "NULL".into() };
    let labels = ["x", "y", "z"];
    match value {
        MySqlValue::TinyInt(v) => (v as i8).to_string(),
        MySqlValue::SmallInt(v) => v.to_string(),
        MySqlValue::MediumInt(v) => v.to_string(),
        MySqlValue::Int(v) => (v as i32).to_string(),
        MySqlValue::BigInt(v) => v.to_string(),
        MySqlValue::Float(v) => v.to_bits().to_string(),
        MySqlValue::Double(v) => v.to_bits().to_string(),
        MySqlValue::Decimal(v) => {
            let digits: String = v.chars().filter(char::is_ascii_digit).collect();
            let digits = digits.trim_start_matches('0');
            if digits.is_empty() { "0".into() } else { format!("{}{digits}", if v.starts_with('-') { "-" } else { "" }) }
        }
        MySqlValue::String(v) => v,
        MySqlValue::Blob(v) if column == "v" => String::from_utf8(v).unwrap(),
        MySqlValue::Blob(v) => format!("{v:?}"),
        MySqlValue::Bit(bits) => bits.iter().fold(0u64, |v, bit| v << 1 | *bit as u64).to_string(),
        MySqlValue::Enum(v) => labels[v as usize - 1].into(),
        MySqlValue::Set(v) => (0..3).filter(|i| v >> i & 1 == 1).map(|i| labels[i]).collect::<Vec<_>>().join(","),
        MySqlValue::Year(v) => v.to_string(),
        MySqlValue::Date(v) => days(v.year, v.month, v.day).to_string(),
        MySqlValue::Time(v) => (((v.hour as i64 * 60 + v.minute as i64) * 60 + v.second as i64) * 1000 + v.millis as i64).to_string(),
        MySqlValue::DateTime(v) => {
            let seconds = (v.hour as i64 * 60 + v.minute as i64) * 60 + v.second as i64;
            ((days(v.year, v.month, v.day) * 86_400 + seconds) * 1000 + v.millis as i64).to_string()
        }
        MySqlValue::Timestamp(millis) => millis.to_string(),
    }
}

fn days(year: u16, month: u8, day: u8) -> i64 {
    let leap = |y: i64| i64::from(y % 4 == 0 && (y % 100 != 0 || y % 400 == 0));
    let of_years: i64 = match year {
        1970.. => (1970..year as i64).map(|y| 365 + leap(y)).sum(),
        _ => -(year as i64..1970).map(|y| 365 + leap(y)).sum::<i64>(),
    };
    let months = [31, 28 + leap(year as i64), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    of_years + months[..month as usize - 1].iter().sum::<i64>() + day as i64 - 1
}

#[tokio::test(flavor = "multi_thread")]
async fn decoders_agree_on_mariadb() {
    decoders_agree(Family::Mariadb).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn decoders_agree_on_mysql() {
    decoders_agree(Family::Mysql).await;
}
