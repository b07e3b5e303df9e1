//! Random queries over columns of every kind: whole numbers, decimals, doubles, texts, dates, times with and without zone, intervals, JSON.
//!
//! Everything in them is typed, so that what they say can be computed; nothing fails on a row (divisors are never 0, numbers stay small), since of a
//! query that fails PostgreSQL has no answer at all.

mod from;
mod queries;
mod tables;
mod values;

use serde_json::{Map, Value, json};

use self::tables::Tables;
use super::generate::Generated;
use super::random::Random;

/// A few random queries over the tables.
pub(crate) fn generate_typed(seed: u64) -> Generated {
    let mut random = Random::new(seed);
    let mut tables = Tables::new(&mut random);
    let (mut files, declared) = tables.files();
    let views: Map<String, Value> = (0..3).map(|n| (format!("q{n}"), json!({"sql": queries::query(&mut random)}))).collect();
    let spec = json!({"sources": {"s": {"kind": "file", "options": {"tables": declared, "changes": "changes.jsonl"}}}, "views": views});
    files.push(("spec.yaml".into(), format!("{spec:#}\n")));
    let changes = (0..2 + random.below(5)).map(|_| tables.transaction(&mut random)).collect();
    Generated { files, changes }
}

/// What a value is, as far as the grammar tells them apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Int,
    Decimal,
    Double,
    Text,
    Bool,
    Date,
    /// A time without zone.
    Local,
    /// A time with one.
    Instant,
}

/// Those that values can be compared of, grouped by and joined by.
const KINDS: [Kind; 7] = [Kind::Int, Kind::Decimal, Kind::Double, Kind::Text, Kind::Date, Kind::Local, Kind::Instant];

/// The columns of each table: name, type in the spec, what it is.
const COLUMNS: [(&str, &str, Option<Kind>); 9] = [
    ("id", "int32", Some(Kind::Int)),
    ("n", "int32", Some(Kind::Int)),
    ("m", "decimal(8,2)", Some(Kind::Decimal)),
    ("f", "float64", Some(Kind::Double)),
    ("c", "text", Some(Kind::Text)),
    ("d", "date", Some(Kind::Date)),
    ("w", "datetime(6)", Some(Kind::Local)),
    ("z", "timestamp(6)", Some(Kind::Instant)),
    ("j", "json", None),
];
