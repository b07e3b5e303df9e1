//! Values as JSON, and back: the one mapping for everything that prints or reads JSON.
//!
//! Columns are written in order. Integers and decimals are numbers with all their digits (a decimal with exactly its scale). A finite float
//! is the shortest number that parses to the same float; the others are the strings `NaN`, `Infinity` and `-Infinity`. DATE is
//! `2017-10-02`, DATETIME `2017-10-02T10:56:33`, TIMESTAMP the same with `Z`, TIME `-838:59:59`, with fractions only if the type has them.
//! Binary is base64 with padding. A JSON column is written verbatim. A struct is an object, a list an array, NULL is `null`; a NULL column
//! that is `absent_when_null` is left out.
//!
//! Parsing accepts all of this. In addition a number may be a string, and a `null` in a JSON column becomes NULL. Object fields that the
//! schema does not have are ignored; missing fields are NULL.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

use super::scalar::{NOT_AN_INTEGER, ParseError, parse_scalar, push_scalar};
use super::{Datum, Layout, RowBuilder, Type, decimal, list_items, pack_list, temporal};

/// Appends a row as one JSON object, without a newline.
pub fn write_row(layout: &Layout, row: &[u8], out: &mut Vec<u8>) {
    out.push(b'{');
    let start = out.len();
    for (i, column) in layout.schema().columns().iter().enumerate() {
        let datum = layout.get(row, i);
        if column.absent_when_null && datum == Datum::Null {
            continue;
        }
        if out.len() > start {
            out.push(b',');
        }
        write_string(&column.name, out);
        out.push(b':');
        write_value(&column.ty, layout.nested(i), datum, out);
    }
    out.push(b'}');
}

/// Appends one value. `datum` must be a value of `ty`.
pub fn write_datum(ty: &Type, datum: Datum, out: &mut Vec<u8>) {
    match ty {
        Type::Struct(schema) => write_value(ty, Some(&Layout::new(schema)), datum, out),
        Type::List(item) => write_value(ty, Some(&Layout::of_items(item)), datum, out),
        _ => write_value(ty, None, datum, out),
    }
}

/// `nested` is the layout of a struct's row or of a list's items.
fn write_value(ty: &Type, nested: Option<&Layout>, datum: Datum, out: &mut Vec<u8>) {
    match datum {
        Datum::Null => out.extend_from_slice(b"null"),
        Datum::Bool(true) => out.extend_from_slice(b"true"),
        Datum::Bool(false) => out.extend_from_slice(b"false"),
        Datum::Int(v) => write_int(v, out),
        Datum::UInt(v) => decimal::write(v as i128, 0, out),
        Datum::Float32(v) if v.is_finite() => to_json(&v, out),
        Datum::Float64(v) if v.is_finite() => to_json(&v, out),
        Datum::Float32(v) => write_non_finite(v as f64, out),
        Datum::Float64(v) => write_non_finite(v, out),
        Datum::Decimal(v) => decimal::write(v, scale_of(ty), out),
        Datum::Decimal256(v) => decimal::write_i256(v, scale_of(ty), out),
        Datum::Text(v) => write_string(v, out),
        Datum::Json(v) => out.extend_from_slice(v.as_bytes()),
        Datum::Binary(v) => write_base64(v, out),
        Datum::Date(v) => quoted(out, |out| temporal::write_date(v, out)),
        Datum::DateTime(v) => quoted(out, |out| temporal::write_datetime(v, fsp_of(ty), out)),
        Datum::Timestamp(v) => quoted(out, |out| temporal::write_timestamp(v, fsp_of(ty), out)),
        Datum::Time(v) => quoted(out, |out| temporal::write_time(v, fsp_of(ty), out)),
        Datum::Struct(row) => write_row(nested.expect("a struct's type has a schema"), row, out),
        Datum::List(list) => write_list(ty, nested.expect("a list's type has an item type"), list, out),
    }
}

fn write_list(ty: &Type, items: &Layout, list: &[u8], out: &mut Vec<u8>) {
    let Type::List(item) = ty else { unreachable!("a list is of a list type") };
    out.push(b'[');
    for (i, row) in list_items(list).enumerate() {
        if i > 0 {
            out.push(b',');
        }
        match **item {
            Type::Struct(_) => write_row(items, row, out),
            _ => write_value(item, items.nested(0), items.get(row, 0), out),
        }
    }
    out.push(b']');
}

fn write_int(v: i64, out: &mut Vec<u8>) {
    decimal::write(v as i128, 0, out);
}

fn write_non_finite(v: f64, out: &mut Vec<u8>) {
    let text: &[u8] = if v.is_nan() { b"\"NaN\"" } else { [&b"\"-Infinity\""[..], b"\"Infinity\""][(v > 0.0) as usize] };
    out.extend_from_slice(text);
}

fn write_string(text: &str, out: &mut Vec<u8>) {
    let plain = |b: u8| b >= 0x20 && b != b'"' && b != b'\\';
    if text.bytes().all(plain) {
        quoted(out, |out| out.extend_from_slice(text.as_bytes()));
    } else {
        to_json(text, out);
    }
}

fn write_base64(bytes: &[u8], out: &mut Vec<u8>) {
    quoted(out, |out| {
        let start = out.len();
        out.resize(start + base64::encoded_len(bytes.len(), true).expect("a value is shorter than half the address space"), 0);
        STANDARD.encode_slice(bytes, &mut out[start..]).expect("the space is as long as the encoding");
    });
}

fn to_json<T: serde::Serialize + ?Sized>(value: &T, out: &mut Vec<u8>) {
    serde_json::to_writer(out, value).expect("text and finite floats have a JSON form, and memory takes it");
}

fn quoted(out: &mut Vec<u8>, content: impl FnOnce(&mut Vec<u8>)) {
    out.push(b'"');
    content(out);
    out.push(b'"');
}

fn scale_of(ty: &Type) -> u8 {
    let Type::Decimal { scale, .. } = ty else { unreachable!("a decimal is of a decimal type") };
    *scale
}

fn fsp_of(ty: &Type) -> u8 {
    let (Type::DateTime { fsp } | Type::Timestamp { fsp } | Type::Time { fsp }) = ty else { unreachable!("a time has fraction digits") };
    *fsp
}

/// Pushes the fields of an object, by name, as all columns of a row. After an error the builder must be [cleared](RowBuilder::clear).
pub fn push_object(builder: &mut RowBuilder, object: &Map<String, Value>) -> Result<(), ParseError> {
    let schema = builder.layout().schema().clone();
    for column in schema.columns() {
        push_json(builder, object.get(&column.name).unwrap_or(&Value::Null)).map_err(|e| e.within(&column.name))?;
    }
    Ok(())
}

/// Pushes a JSON value as the next column of `builder`. After an error nothing was pushed.
pub fn push_json(builder: &mut RowBuilder, value: &Value) -> Result<(), ParseError> {
    if value.is_null() {
        if !builder.next_column().nullable {
            return Err(ParseError::new(builder.next_type(), "it is NULL, which the column does not allow"));
        }
        builder.push(Datum::Null);
        return Ok(());
    }
    if let Type::Json = builder.next_type() {
        builder.push(Datum::Json(&value.to_string()));
        return Ok(());
    }
    match value {
        Value::String(text) if !matches!(builder.next_type(), Type::Struct(_) | Type::List(_)) => push_scalar(builder, text),
        Value::Number(number) => push_number(builder, number.as_str()),
        Value::Bool(v) if *builder.next_type() == Type::Bool => {
            builder.push(Datum::Bool(*v));
            Ok(())
        }
        Value::Object(object) => push_struct(builder, object),
        Value::Array(items) => push_list(builder, items),
        Value::Null | Value::Bool(_) | Value::String(_) => Err(unlike(builder, value)),
    }
}

fn push_number(builder: &mut RowBuilder, digits: &str) -> Result<(), ParseError> {
    let ty = builder.next_type();
    let parsed = match ty {
        Type::Decimal { .. } | Type::Float32 | Type::Float64 => parse_scalar(ty, digits.as_bytes()),
        Type::Int8 | Type::Int16 | Type::Int32 | Type::Int64 | Type::UInt8 | Type::UInt16 | Type::UInt32 | Type::UInt64 => {
            parse_scalar(ty, digits.as_bytes()).or_else(|reason| match reason {
                NOT_AN_INTEGER => parse_whole(ty, digits),
                other => Err(other),
            })
        }
        _ => Err("it is a JSON number"),
    };
    match parsed {
        Ok(datum) => builder.push(datum),
        Err(reason) => return Err(ParseError::new(builder.next_type(), reason)),
    }
    Ok(())
}

/// Parses a whole number written as `1.0` or `1e3`.
fn parse_whole(ty: &Type, digits: &str) -> Result<Datum<'static>, &'static str> {
    let Ok(Datum::Decimal(whole)) = decimal::parse(digits.as_bytes(), 20, 0) else { return Err(NOT_AN_INTEGER) };
    let mut text = Vec::with_capacity(21);
    decimal::write(whole, 0, &mut text);
    parse_scalar(ty, &text)
}

fn push_struct(builder: &mut RowBuilder, object: &Map<String, Value>) -> Result<(), ParseError> {
    let Type::Struct(_) = builder.next_type() else { return Err(unlike(builder, &Value::Object(Map::new()))) };
    let mut nested = RowBuilder::new(builder.next_nested());
    push_object(&mut nested, object)?;
    builder.push(Datum::Struct(&nested.finish()));
    Ok(())
}

fn push_list(builder: &mut RowBuilder, values: &[Value]) -> Result<(), ParseError> {
    let Type::List(item) = builder.next_type() else { return Err(unlike(builder, &Value::Array(Vec::new()))) };
    let of_structs = matches!(**item, Type::Struct(_));
    let mut nested = RowBuilder::new(builder.next_nested());
    let mut rows = Vec::with_capacity(values.len());
    for (i, value) in values.iter().enumerate() {
        let pushed = match value {
            Value::Object(object) if of_structs => push_object(&mut nested, object),
            other if of_structs => Err(ParseError::new(item, kind_of(other))),
            other => push_json(&mut nested, other),
        };
        pushed.map_err(|e| e.within(&i.to_string()))?;
        rows.push(nested.finish());
    }
    let mut list = Vec::new();
    pack_list(rows.iter().map(|row| &row[..]), &mut list);
    builder.push(Datum::List(&list));
    Ok(())
}

fn unlike(builder: &RowBuilder, value: &Value) -> ParseError {
    ParseError::new(builder.next_type(), kind_of(value))
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "it is a JSON null",
        Value::Bool(_) => "it is a JSON true or false",
        Value::Number(_) => "it is a JSON number",
        Value::String(_) => "it is a JSON string",
        Value::Array(_) => "it is a JSON array",
        Value::Object(_) => "it is a JSON object",
    }
}

#[cfg(test)]
mod tests;
