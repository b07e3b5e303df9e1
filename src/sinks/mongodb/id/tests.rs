//! Different keys have different `_id`s. Checked by MongoDB's comparison as its manual describes it, implemented here independently.

use bson::{Bson, Document, doc};
use proptest::prelude::*;

use super::*;
use crate::value::arbitrary::{self, RowSource};
use crate::value::{Column, Datum, RowBuilder, Schema, key, push_text};

/// Whether two values are equal by the manual's "Comparison/Sort Order": numbers of all types by value, documents field by field in their
/// order (type, name, value), binaries by length, subtype and bytes.
fn is_equal(a: &Bson, b: &Bson) -> bool {
    match (number(a), number(b)) {
        (Some(a), Some(b)) => return a == b,
        (None, None) => {}
        _ => return false,
    }
    match (a, b) {
        (Bson::Document(a), Bson::Document(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|((a_name, a), (b_name, b))| a_name == b_name && is_equal(a, b))
        }
        (Bson::Array(a), Bson::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| is_equal(a, b)),
        (Bson::Binary(a), Bson::Binary(b)) => a.subtype == b.subtype && a.bytes == b.bytes,
        (Bson::String(a), Bson::String(b)) => a.as_bytes() == b.as_bytes(),
        (a, b) => a == b,
    }
}

/// A number as its exact decimal expansion, without insignificant zeroes.
fn number(value: &Bson) -> Option<String> {
    let text = match value {
        Bson::Int32(v) => v.to_string(),
        Bson::Int64(v) => v.to_string(),
        Bson::Double(v) if v.is_finite() => format!("{v:.1100}"),
        Bson::Double(v) => v.to_string(),
        Bson::Decimal128(v) => plain(&v.to_string()),
        _ => return None,
    };
    if !text.ends_with(|last: char| last.is_ascii_digit()) {
        return Some(text.to_lowercase().replace("infinity", "inf"));
    }
    let (sign, digits) = text.strip_prefix('-').map_or(("", text.as_str()), |rest| ("-", rest));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let (whole, fraction) = (whole.trim_start_matches('0'), fraction.trim_end_matches('0'));
    Some(if whole.is_empty() && fraction.is_empty() { "0".into() } else { format!("{sign}{whole}.{fraction}") })
}

/// Converts digits with an exponent to digits with a point.
fn plain(text: &str) -> String {
    let Some((mantissa, power)) = text.split_once('E') else { return text.to_string() };
    let (sign, digits) = mantissa.strip_prefix('-').map_or(("", mantissa), |rest| ("-", rest));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let point = whole.len() as i64 + power.parse::<i64>().unwrap();
    let all = format!("{whole}{fraction}");
    let shown = if point <= 0 {
        format!("0.{}{all}", "0".repeat(-point as usize))
    } else if point as usize >= all.len() {
        format!("{all}{}", "0".repeat(point as usize - all.len()))
    } else {
        format!("{}.{}", &all[..point as usize], &all[point as usize..])
    };
    format!("{sign}{shown}")
}

fn bson(id: &RawBson) -> Bson {
    id.clone().try_into().unwrap()
}

#[test]
fn the_judge_knows_numbers() {
    let decimal = |text: &str| Bson::Decimal128(text.parse().unwrap());
    for equal in [Bson::Int64(1), Bson::Double(1.0), decimal("1.00"), decimal("1E0"), decimal("0.1E1")] {
        assert!(is_equal(&Bson::Int32(1), &equal), "{equal}");
    }
    assert!(is_equal(&Bson::Double(-0.0), &Bson::Int32(0)) && is_equal(&decimal("-0.00"), &Bson::Int32(0)));
    assert!(is_equal(&Bson::Double(f64::NAN), &decimal("NaN")));
    assert!(is_equal(&decimal("1E+3"), &Bson::Int32(1000)) && is_equal(&decimal("5E-1"), &Bson::Double(0.5)));
    assert!(!is_equal(&decimal("0.1"), &Bson::Double(0.1)), "a double is not exactly a tenth");
    assert!(!is_equal(&Bson::Int64(i64::MAX), &Bson::Double(i64::MAX as f64)));
    assert!(!is_equal(&Bson::Int32(1), &Bson::String("1".into())) && !is_equal(&Bson::Null, &Bson::String(String::new())));
}

/// The `_id` and the key of rows of a view whose key is all its columns.
fn id_and_key(schema: &Schema, row: &Row) -> (RawBson, Row) {
    let layout = Layout::new(schema);
    let all: Vec<usize> = (0..schema.len()).collect();
    let key = key::encode(&layout, row, &all);
    (IdShape::new(layout).id(&key), key)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]
    #[test]
    fn ids_are_equal_where_keys_are_and_nowhere_else(schema in arbitrary::schema(), seed: u64) {
        let layout = Layout::new(&schema);
        let mut source = RowSource::new(seed);
        let mut builder = RowBuilder::new(&layout);
        let mut rows = vec![source.row(&layout)];
        for round in 0..12 {
            // Rows that differ from an earlier one in one column.
            let (other, like) = (source.row(&layout), rows[round % rows.len()].clone());
            let changed = round % schema.len();
            (0..schema.len()).for_each(|i| builder.push(layout.get(if i == changed { &other } else { &like }, i)));
            rows.push(builder.finish());
        }
        let made: Vec<_> = rows.iter().map(|row| id_and_key(&schema, row)).collect();
        for (a, a_key) in &made {
            for (b, b_key) in &made {
                let same = is_equal(&bson(a), &bson(b));
                prop_assert_eq!(same, a_key == b_key, "{} {}", bson(a), bson(b));
                prop_assert_eq!(comparable(a.as_raw_bson_ref()) == comparable(b.as_raw_bson_ref()), same);
            }
        }
    }
}

/// The `_id` of a key of one column.
fn id_of(ty: &str, datum: Datum) -> Bson {
    let schema = Schema::new(vec![Column::new("k", ty.parse().unwrap(), true)]);
    let mut builder = RowBuilder::new(&Layout::new(&schema));
    builder.push(datum);
    bson(&id_and_key(&schema, &builder.finish()).0)
}

#[test]
fn every_microsecond_is_a_key_of_its_own() {
    let micros = 1_506_941_793_000_001;
    assert_eq!(id_of("datetime(6)", Datum::DateTime(micros)), Bson::String("2017-10-02T10:56:33.000001".into()));
    assert_eq!(id_of("datetime(4)", Datum::DateTime(micros - 1)), Bson::String("2017-10-02T10:56:33.000000".into()));
    assert_eq!(id_of("timestamp(6)", Datum::Timestamp(micros)), Bson::String("2017-10-02T10:56:33.000001Z".into()));
    assert_eq!(id_of("datetime(3)", Datum::DateTime(micros - 1)), Bson::DateTime(bson::DateTime::from_millis(1_506_941_793_000)));
    // An expression may return values with more digits than its column's type.
    assert_eq!(id_of("timestamp", Datum::Timestamp(micros)), Bson::String("2017-10-02T10:56:33.000001Z".into()));
    assert_eq!(id_of("time", Datum::Time(-1)), Bson::String("-00:00:00.000001".into()));
    assert_eq!(id_of("time(2)", Datum::Time(-10_000)), Bson::String("-00:00:00.01".into()));
}

#[test]
fn json_keys_are_their_texts() {
    for text in ["1", "1.0", "1.00", "[1]", r#"{"$a":1}"#, "null"] {
        assert_eq!(id_of("json", Datum::Json(text)), Bson::String(text.into()));
    }
    assert_eq!(id_of("json", Datum::Null), Bson::Null);
}

#[test]
fn zeroes_and_nans_are_one_key_each() {
    assert_eq!(id_of("float64", Datum::Float64(-0.0)).as_f64().unwrap().to_bits(), 0f64.to_bits());
    let nan = |bits| id_of("float64", Datum::Float64(f64::from_bits(bits)));
    assert!(is_equal(&nan(0x7ff8_0000_0000_0000), &nan(0xfff8_0000_0000_0001)));
}

#[test]
fn a_list_alone_is_in_a_document_and_what_is_absent_is_null() {
    let list = Type::List(Box::new(Type::Int32));
    let schema = Schema::new(vec![Column::new("k", list, false)]);
    let mut builder = RowBuilder::new(&Layout::new(&schema));
    crate::value::json::push_object(&mut builder, serde_json::json!({"k": [1, null]}).as_object().unwrap()).unwrap();
    assert_eq!(bson(&id_and_key(&schema, &builder.finish()).0), Bson::Document(doc! {"k": [1, null]}));
    let absent = |name: &str| Column { absent_when_null: true, ..Column::new(name, Type::Text, true) };
    let schema = Schema::new(vec![absent("a"), absent("b")]);
    let mut builder = RowBuilder::new(&Layout::new(&schema));
    builder.push(Datum::Null);
    push_text(&mut builder, "").unwrap();
    assert_eq!(bson(&id_and_key(&schema, &builder.finish()).0), Bson::Document(doc! {"a": null, "b": ""}));
}

#[test]
fn foreign_ids_are_known_by_their_value() {
    let same = |a: Bson, b: Bson| {
        let raw = |v: Bson| RawBson::try_from(v).unwrap();
        let (a_raw, b_raw) = (raw(a.clone()), raw(b.clone()));
        let same = comparable(a_raw.as_raw_bson_ref()) == comparable(b_raw.as_raw_bson_ref());
        assert_eq!(same, is_equal(&a, &b), "{a} {b}");
        same
    };
    let decimal = |text: &str| Bson::Decimal128(text.parse().unwrap());
    let nested = |v: Bson| -> Bson { Bson::Document(Document::from_iter([("a".to_string(), v)])) };
    assert!(same(Bson::Int32(7), Bson::Double(7.0)) && same(Bson::Int64(7), decimal("7.000")) && same(decimal("70E-1"), Bson::Int32(7)));
    assert!(same(nested(Bson::Int32(7)), nested(Bson::Double(7.0))));
    assert!(same(Bson::Double(0.5), decimal("0.50")) && same(Bson::Double(-0.0), Bson::Int32(0)) && same(decimal("0E+5"), Bson::Int32(0)));
    assert!(same(Bson::Double(f64::NAN), decimal("NaN")) && same(Bson::Double(f64::INFINITY), decimal("Infinity")));
    assert!(same(Bson::Int64(i64::MAX), decimal("9223372036854775807")) && same(Bson::Double(1e300), Bson::Double(1e300)));
    assert!(!same(Bson::Double(f64::NEG_INFINITY), decimal("Infinity")) && !same(Bson::Double(0.1), decimal("0.1")));
    assert!(!same(Bson::Int64(i64::MAX), Bson::Double(i64::MAX as f64)) && !same(Bson::Int32(1), Bson::Boolean(true)));
}
