//! Values as BSON: the one mapping for MongoDB.
//!
//! | value | BSON |
//! |---|---|
//! | integers up to 32 bits | Int32 (uint32: Int64) |
//! | int64, uint64 | Int64; a uint64 above its range: Decimal128 |
//! | float32, float64 | Double |
//! | decimal | Decimal128 that keeps the zeroes of the scale (`10.50`). If it has more than 34 digits, trailing zeroes are dropped if it fits then; otherwise it is a String of its text |
//! | date, datetime, timestamp | DateTime in milliseconds: microseconds are cut off |
//! | time | String, as in JSON |
//! | binary | Binary, generic |
//! | JSON | document, array or scalar. A number is the first of Int32, Int64, Double, Decimal128, String that keeps its digits. If a field name has a zero byte, which BSON does not allow, the whole value is its text |
//! | struct, list | document, array |
//! | NULL | Null, or no field if the column is `absent_when_null` |
//!
//! The bytes are written directly ([BSON 1.1](https://bsonspec.org/spec.html)). Elsewhere: keys, which must not lose anything ([`exact`]).

pub mod exact;

use bson::spec::ElementType;
use bson::{Decimal128, RawBson, RawDocumentBuf};
use serde_json::Value;

use super::{Datum, Layout, Type, decimal, list_items, temporal};

/// A row as one document. Column names must have no zero byte.
pub fn write_row(layout: &Layout, row: &[u8]) -> RawDocumentBuf {
    let mut out = Vec::with_capacity(row.len() * 2 + layout.schema().len() * 16);
    write_document(layout, row, &mut out);
    RawDocumentBuf::from_bytes(out).expect("the document has the length it says")
}

/// One value. `datum` must be a value of `ty`.
pub fn to_bson(ty: &Type, datum: Datum) -> RawBson {
    let nested = match ty {
        Type::Struct(schema) => Some(Layout::new(schema)),
        Type::List(item) => Some(Layout::of_items(item)),
        _ => None,
    };
    let mut out = Vec::with_capacity(64);
    document(&mut out, |out| element("v", ty, nested.as_ref(), datum, out));
    let whole = RawDocumentBuf::from_bytes(out).expect("the document has the length it says");
    let value = whole.get("v").expect("the document is valid").expect("the field was written");
    value.into()
}

/// Appends a row as one document.
pub fn write_document(layout: &Layout, row: &[u8], out: &mut Vec<u8>) {
    write_columns(layout, row, 0, out);
}

/// Same as [`write_document`], with the columns from `first` on.
pub fn write_columns(layout: &Layout, row: &[u8], first: usize, out: &mut Vec<u8>) {
    document(out, |out| {
        for (i, column) in layout.schema().columns().iter().enumerate().skip(first) {
            let datum = layout.get(row, i);
            if datum != Datum::Null || !column.absent_when_null {
                element(&column.name, &column.ty, layout.nested(i), datum, out);
            }
        }
    });
}

/// Writes a document: its length, the fields, a zero byte.
fn document(out: &mut Vec<u8>, fields: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    fields(out);
    out.push(0);
    let length = i32::try_from(out.len() - start).expect("a document is shorter than 2 GiB");
    out[start..start + 4].copy_from_slice(&length.to_le_bytes());
}

/// Writes one element: type, name, value. `nested` is the layout of a struct's row or of a list's items.
fn element(name: &str, ty: &Type, nested: Option<&Layout>, datum: Datum, out: &mut Vec<u8>) {
    let type_at = field(name, out);
    out[type_at] = value(ty, nested, datum, out) as u8;
}

/// Writes a field's type byte (0 for now) and name. Returns the offset of the type byte, which the caller sets.
fn field(name: &str, out: &mut Vec<u8>) -> usize {
    assert!(!name.as_bytes().contains(&0), "the name of a field has no zero byte");
    let type_at = out.len();
    out.push(0);
    out.extend_from_slice(name.as_bytes());
    out.push(0);
    type_at
}

fn value(ty: &Type, nested: Option<&Layout>, datum: Datum, out: &mut Vec<u8>) -> ElementType {
    match datum {
        Datum::Null => ElementType::Null,
        Datum::Bool(v) => {
            out.push(v as u8);
            ElementType::Boolean
        }
        Datum::Int(v) => match ty {
            Type::Int64 => int64(v, out),
            _ => int32(i32::try_from(v).expect("an integer of up to 32 bits"), out),
        },
        Datum::UInt(v) => match (ty, i64::try_from(v)) {
            (Type::UInt8 | Type::UInt16, Ok(v)) => int32(v as i32, out),
            (_, Ok(v)) => int64(v, out),
            (_, Err(_)) => decimal128(false, v as u128, 0, out),
        },
        Datum::Float32(v) => double(v as f64, out),
        Datum::Float64(v) => double(v, out),
        Datum::Decimal(v) => decimal_value(v, ty, out),
        Datum::Decimal256(v) => match v.to_i128() {
            Some(v) => decimal_value(v, ty, out),
            None => {
                let mut text = Vec::with_capacity(80);
                decimal::write_i256(v, scale_of(ty), &mut text);
                number_text(std::str::from_utf8(&text).expect("digits are UTF-8"), out)
            }
        },
        Datum::Text(v) => string(v.as_bytes(), out),
        Datum::Binary(v) => {
            out.extend_from_slice(&i32::try_from(v.len()).expect("a value is shorter than 2 GiB").to_le_bytes());
            out.push(0);
            out.extend_from_slice(v);
            ElementType::Binary
        }
        Datum::Json(v) => json_text(v, out),
        Datum::Date(days) => date_time(days as i64 * 86_400_000, out),
        Datum::DateTime(micros) | Datum::Timestamp(micros) => date_time(micros.div_euclid(1000), out),
        Datum::Time(micros) => {
            let Type::Time { fsp } = ty else { unreachable!("a time is of a time type") };
            let mut text = Vec::with_capacity(20);
            temporal::write_time(micros, *fsp, &mut text);
            string(&text, out)
        }
        Datum::Struct(row) => {
            write_document(nested.expect("a struct's type has a schema"), row, out);
            ElementType::EmbeddedDocument
        }
        Datum::List(list) => list_value(ty, nested.expect("a list's type has an item type"), list, out),
    }
}

fn int32(v: i32, out: &mut Vec<u8>) -> ElementType {
    out.extend_from_slice(&v.to_le_bytes());
    ElementType::Int32
}

fn int64(v: i64, out: &mut Vec<u8>) -> ElementType {
    out.extend_from_slice(&v.to_le_bytes());
    ElementType::Int64
}

fn double(v: f64, out: &mut Vec<u8>) -> ElementType {
    out.extend_from_slice(&v.to_le_bytes());
    ElementType::Double
}

fn date_time(millis: i64, out: &mut Vec<u8>) -> ElementType {
    out.extend_from_slice(&millis.to_le_bytes());
    ElementType::DateTime
}

fn string(text: &[u8], out: &mut Vec<u8>) -> ElementType {
    out.extend_from_slice(&i32::try_from(text.len() + 1).expect("a value is shorter than 2 GiB").to_le_bytes());
    out.extend_from_slice(text);
    out.push(0);
    ElementType::String
}

fn scale_of(ty: &Type) -> u8 {
    let Type::Decimal { scale, .. } = ty else { unreachable!("a decimal is of a decimal type") };
    *scale
}

/// 10^34: the coefficient of a Decimal128 is smaller.
const COEFFICIENTS: u128 = 10u128.pow(34);

fn decimal_value(unscaled: i128, ty: &Type, out: &mut Vec<u8>) -> ElementType {
    let scale = scale_of(ty);
    let (mut coefficient, mut exponent) = (unscaled.unsigned_abs(), -(scale as i32));
    while coefficient >= COEFFICIENTS && coefficient.is_multiple_of(10) {
        coefficient /= 10;
        exponent += 1;
    }
    if coefficient < COEFFICIENTS {
        return decimal128(unscaled < 0, coefficient, exponent, out);
    }
    let mut text = Vec::with_capacity(42);
    decimal::write(unscaled, scale, &mut text);
    string(&text, out)
}

/// IEEE 754-2008 decimal128 with a binary integer significand: sign, 14 bits of exponent biased by 6176, 113 bits of coefficient. The form
/// for larger coefficients is never needed: 10^34 is less than 2^113.
fn decimal128(negative: bool, coefficient: u128, exponent: i32, out: &mut Vec<u8>) -> ElementType {
    let bits = (negative as u128) << 127 | ((exponent + 6176) as u128) << 113 | coefficient;
    out.extend_from_slice(&bits.to_le_bytes());
    ElementType::Decimal128
}

/// A Decimal128 with the digits of a decimal text, or the text itself if it does not fit.
fn number_text(text: &str, out: &mut Vec<u8>) -> ElementType {
    match text.parse::<Decimal128>() {
        Ok(number) => {
            out.extend_from_slice(&number.bytes());
            ElementType::Decimal128
        }
        Err(_) => string(text.as_bytes(), out),
    }
}

fn list_value(ty: &Type, items: &Layout, list: &[u8], out: &mut Vec<u8>) -> ElementType {
    let Type::List(item) = ty else { unreachable!("a list is of a list type") };
    document(out, |out| {
        for (i, row) in list_items(list).enumerate() {
            let type_at = index_field(i, out);
            out[type_at] = match **item {
                Type::Struct(_) => {
                    write_document(items, row, out);
                    ElementType::EmbeddedDocument
                }
                _ => value(item, items.nested(0), items.get(row, 0), out),
            } as u8;
        }
    });
    ElementType::Array
}

/// Same as [`field`], with an index as the name.
fn index_field(index: usize, out: &mut Vec<u8>) -> usize {
    let type_at = out.len();
    out.push(0);
    decimal::write(index as i128, 0, out);
    out.push(0);
    type_at
}

fn json_text(text: &str, out: &mut Vec<u8>) -> ElementType {
    match serde_json::from_str::<Value>(text) {
        Ok(json) if names_fit(&json) => json_value(&json, out),
        _ => string(text.as_bytes(), out),
    }
}

fn names_fit(json: &Value) -> bool {
    match json {
        Value::Object(fields) => fields.iter().all(|(name, field)| !name.contains('\0') && names_fit(field)),
        Value::Array(items) => items.iter().all(names_fit),
        _ => true,
    }
}

fn json_value(json: &Value, out: &mut Vec<u8>) -> ElementType {
    match json {
        Value::Null => ElementType::Null,
        Value::Bool(v) => {
            out.push(*v as u8);
            ElementType::Boolean
        }
        Value::Number(number) => json_number(number.as_str(), out),
        Value::String(text) => string(text.as_bytes(), out),
        Value::Array(items) => {
            document(out, |out| {
                for (i, item) in items.iter().enumerate() {
                    let type_at = index_field(i, out);
                    out[type_at] = json_value(item, out) as u8;
                }
            });
            ElementType::Array
        }
        Value::Object(fields) => {
            document(out, |out| {
                for (name, json) in fields {
                    let type_at = field(name, out);
                    out[type_at] = json_value(json, out) as u8;
                }
            });
            ElementType::EmbeddedDocument
        }
    }
}

fn json_number(text: &str, out: &mut Vec<u8>) -> ElementType {
    if let Ok(v) = text.parse::<i64>()
        && text != "-0"
    {
        return match i32::try_from(v) {
            Ok(v) => int32(v, out),
            Err(_) => int64(v, out),
        };
    }
    match text.parse::<f64>() {
        Ok(v) if v.is_finite() && significant(text) == significant(&format!("{v:?}")) => double(v, out),
        _ => number_text(text, out),
    }
}

/// Sign, digits without leading zeroes, and the power of ten of the last digit. Equal if and only if two texts have the same digits. A
/// trailing zero is a digit (1.50 differs from 1.5), except for the single one of `1.0`.
fn significant(text: &str) -> (bool, String, i64) {
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse().unwrap_or(i64::MAX / 2)),
        None => (text, 0),
    };
    let unsigned = mantissa.trim_start_matches('-');
    let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
    let fraction = if fraction == "0" { "" } else { fraction };
    let all = format!("{whole}{fraction}");
    let mut digits = all.trim_start_matches('0');
    let mut power = exponent - fraction.len() as i64;
    if fraction.is_empty() {
        let kept = digits.trim_end_matches('0');
        power += (digits.len() - kept.len()) as i64;
        digits = kept;
    }
    (mantissa.starts_with('-'), digits.to_string(), if digits.is_empty() && fraction.is_empty() { 0 } else { power })
}

#[cfg(test)]
mod tests;
