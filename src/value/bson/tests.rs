use bson::{Bson, Document, doc};
use datafusion::arrow::datatypes::i256;
use proptest::prelude::*;

use super::*;
use crate::value::arbitrary::{self, RowSource};
use crate::value::json;

fn bson(ty: &str, datum: Datum) -> Bson {
    to_bson(&ty.parse().unwrap(), datum).try_into().unwrap()
}

fn number(text: &str) -> Bson {
    Bson::Decimal128(text.parse().unwrap())
}

#[test]
fn numbers_keep_their_value_and_digits() {
    assert_eq!(bson("int8", Datum::Int(-1)), Bson::Int32(-1));
    assert_eq!(bson("int64", Datum::Int(1)), Bson::Int64(1));
    assert_eq!(bson("uint16", Datum::UInt(65_535)), Bson::Int32(65_535));
    assert_eq!(bson("uint32", Datum::UInt(1)), Bson::Int64(1));
    assert_eq!(bson("uint64", Datum::UInt(1)), Bson::Int64(1));
    assert_eq!(bson("uint64", Datum::UInt(u64::MAX)), number("18446744073709551615"));
    assert_eq!(bson("decimal(10,2)", Datum::Decimal(1050)), number("10.50"));
    assert_eq!(bson("decimal(10,2)", Datum::Decimal(-1)), number("-0.01"));
    assert_eq!(bson("decimal(10,2)", Datum::Decimal(0)), number("0.00"));
    let nines = 10i128.pow(34) - 1;
    assert_eq!(bson("decimal(38,4)", Datum::Decimal(nines)), number("999999999999999999999999999999.9999"));
    assert_eq!(bson("decimal(38,0)", Datum::Decimal(-nines * 1000)), number("-9999999999999999999999999999999999E3"));
    assert_eq!(bson("decimal(38,2)", Datum::Decimal(nines * 10 + 1)), Bson::String("999999999999999999999999999999999.91".into()));
    let wide = i256::from_i128(i128::MAX).wrapping_mul(i256::from_i128(10));
    assert_eq!(bson("decimal(65,1)", Datum::Decimal256(wide)), Bson::String(format!("{}.0", i128::MAX)));
    let tens = i256::from_i128(10).wrapping_pow(60);
    assert_eq!(bson("decimal(65,0)", Datum::Decimal256(tens)), number(&format!("1{}", "0".repeat(60))));
}

#[test]
fn times_are_dates_of_milliseconds() {
    let millis = |v| Bson::DateTime(bson::DateTime::from_millis(v));
    assert_eq!(bson("date", Datum::Date(-1)), millis(-86_400_000));
    assert_eq!(bson("datetime(6)", Datum::DateTime(1_506_941_793_123_456)), millis(1_506_941_793_123));
    assert_eq!(bson("timestamp(6)", Datum::Timestamp(-1)), millis(-1));
    assert_eq!(bson("time", Datum::Time(-3_020_399_000_000)), Bson::String("-838:59:59".into()));
}

#[test]
fn json_is_nested() {
    let json = |text| bson("json", Datum::Json(text));
    let nested = json(r#"{"a":[1,2147483648,0.1,1.50,1.0,1e300,-0,null,true],"b":{},"":"\u0000"}"#);
    let items = vec![
        Bson::Int32(1),
        Bson::Int64(2_147_483_648),
        Bson::Double(0.1),
        number("1.50"),
        Bson::Double(1.0),
        Bson::Double(1e300),
        Bson::Double(-0.0),
        Bson::Null,
        Bson::Boolean(true),
    ];
    assert_eq!(nested, Bson::Document(doc! {"a": items, "b": {}, "": "\0"}));
    assert_eq!(json("100000000000000000000"), Bson::Double(1e20));
    assert_eq!(json("18446744073709551616"), number("18446744073709551616"));
    assert_eq!(json("0.1000000000000000055511151231257827"), number("0.1000000000000000055511151231257827"));
    assert_eq!(json("1e+7000"), Bson::String("1e+7000".into()));
    assert_eq!(json("{\"a\\u0000\":1}"), Bson::String("{\"a\\u0000\":1}".into()));
}

/// Whether a BSON value says what the JSON mapping says, except for microseconds.
fn same(json: &Value, ty: &Type, bson: &Bson) -> bool {
    match (ty, bson) {
        (_, Bson::Null) => json.is_null(),
        (Type::Struct(schema), Bson::Document(document)) => schema.columns().iter().all(|column| {
            let (json, bson) = (json.get(&column.name), document.get(&column.name));
            json.is_none() == bson.is_none() && json.is_none_or(|json| same(json, &column.ty, bson.unwrap()))
        }),
        (Type::List(item), Bson::Array(items)) => {
            json.as_array().is_some_and(|array| array.len() == items.len() && array.iter().zip(items).all(|(j, b)| same(j, item, b)))
        }
        (Type::Json, Bson::Document(document)) => {
            json.as_object().is_some_and(|object| object.len() == document.len() && object.iter().all(|(k, v)| same(v, ty, &document[k])))
        }
        (Type::Json, Bson::Array(items)) => {
            json.as_array().is_some_and(|array| array.len() == items.len() && array.iter().zip(items).all(|(j, b)| same(j, ty, b)))
        }
        (Type::Float32, Bson::Double(v)) => text_of(json) == text_of(&float(*v as f32)),
        (_, Bson::Double(v)) => json.as_f64() == Some(*v) || text_of(json) == text_of(&float(*v)),
        (_, Bson::Int32(v)) => text_of(json) == v.to_string(),
        (_, Bson::Int64(v)) => text_of(json) == v.to_string(),
        (_, Bson::Boolean(v)) => json == v,
        (_, Bson::Decimal128(v)) => match ty {
            Type::Decimal { scale, .. } => {
                let digits = |text: &str| decimal::parse(text.as_bytes(), 76, *scale);
                digits(&v.to_string()) == digits(&text_of(json))
            }
            _ => text_of(json) == v.to_string(),
        },
        (_, Bson::String(v)) => text_of(json) == *v,
        (_, Bson::Binary(v)) => {
            use base64::Engine;
            text_of(json) == base64::engine::general_purpose::STANDARD.encode(&v.bytes)
        }
        (_, Bson::DateTime(v)) => {
            let text = text_of(json);
            let micros = temporal::parse_timestamp(text.as_bytes(), 6).unwrap();
            micros.div_euclid(1000) == v.timestamp_millis()
        }
        _ => false,
    }
}

fn float<T: serde::Serialize + std::fmt::Display + Into<f64> + Copy>(v: T) -> Value {
    let wide: f64 = v.into();
    match (wide.is_finite(), wide.is_nan()) {
        (true, _) => serde_json::to_value(v).unwrap(),
        (false, true) => "NaN".into(),
        (false, false) => if wide > 0.0 { "Infinity" } else { "-Infinity" }.into(),
    }
}

fn text_of(json: &Value) -> String {
    json.as_str().map_or_else(|| json.to_string(), str::to_string)
}

proptest! {
    #[test]
    fn bson_says_what_json_says(schema in arbitrary::schema(), seed: u64) {
        let layout = Layout::new(&schema);
        let row = RowSource::new(seed).row(&layout);
        let document: Document = write_row(&layout, &row).try_into()?;
        let mut text = Vec::new();
        json::write_row(&layout, &row, &mut text);
        let json: Value = serde_json::from_slice(&text)?;
        prop_assert!(document.keys().eq(json.as_object().unwrap().keys()));
        prop_assert!(same(&json, &Type::Struct(schema), &Bson::Document(document.clone())), "{} {}", json, document);
    }
}
