//! One form for what the store, MongoDB and the server say, so that what is the same looks the same.
//!
//! A number is the text `#` and its decimal digits without zeros that mean nothing; objects have their fields in the order of the names.

use std::collections::BTreeMap;

use bson::{Bson, Document};
use mysql_async::consts::ColumnType;
use mysql_async::{Row, Value as Sql};
use serde_json::{Map, Value};

/// A row or document; its fields by name.
pub(crate) type Fields = Map<String, Value>;

/// What `tidemill get` and `tail` print.
pub(crate) fn of_json(value: &Value) -> Value {
    match value {
        Value::Number(number) => self::number(&number.to_string()),
        Value::Array(items) => items.iter().map(of_json).collect(),
        Value::Object(fields) => Value::Object(fields.iter().map(|(name, value)| (name.clone(), of_json(value))).collect()),
        Value::Null | Value::Bool(_) | Value::String(_) => value.clone(),
    }
}

pub(crate) fn of_line(line: &str) -> Fields {
    let value: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    of_object(&value).unwrap_or_else(|| panic!("no object: {line}"))
}

pub(crate) fn of_object(value: &Value) -> Option<Fields> {
    match of_json(value) {
        Value::Object(fields) => Some(fields),
        _ => None,
    }
}

/// A document of MongoDB without its `_id`.
pub(crate) fn of_document(document: &Document) -> Fields {
    document.iter().filter(|(name, _)| *name != "_id").map(|(name, value)| (name.clone(), of_bson(value))).collect()
}

fn of_bson(value: &Bson) -> Value {
    match value {
        Bson::Null => Value::Null,
        Bson::String(text) => text.as_str().into(),
        Bson::Int32(v) => number(&v.to_string()),
        Bson::Int64(v) => number(&v.to_string()),
        Bson::Double(v) => number(&v.to_string()),
        Bson::Decimal128(v) => number(&v.to_string()),
        Bson::Array(items) => items.iter().map(of_bson).collect(),
        Bson::Document(document) => Value::Object(document.iter().map(|(name, value)| (name.clone(), of_bson(value))).collect()),
        other => panic!("a value that no view here has: {other}"),
    }
}

/// A row of the server's answer.
pub(crate) fn of_row(row: &Row) -> Fields {
    let columns = row.columns_ref().iter().enumerate();
    columns.map(|(i, column)| (column.name_str().into_owned(), of_sql(row.as_ref(i).unwrap(), column.column_type()))).collect()
}

fn of_sql(value: &Sql, kind: ColumnType) -> Value {
    match value {
        Sql::NULL => Value::Null,
        Sql::Int(v) => number(&v.to_string()),
        Sql::UInt(v) => number(&v.to_string()),
        Sql::Double(v) => number(&v.to_string()),
        Sql::Bytes(bytes) => {
            let text = String::from_utf8(bytes.clone()).expect("the tables hold no other text");
            if kind == ColumnType::MYSQL_TYPE_NEWDECIMAL { number(&text) } else { text.into() }
        }
        other => panic!("a value that no table here has: {other:?}"),
    }
}

fn number(text: &str) -> Value {
    let digits = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { text };
    let digits = if digits == "-0" { "0" } else { digits };
    format!("#{digits}").into()
}

/// The text of a row, whatever the order of its fields.
pub(crate) fn text(row: Fields) -> String {
    in_order(Value::Object(row)).to_string()
}

fn in_order(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            let fields: BTreeMap<String, Value> = fields.into_iter().map(|(name, value)| (name, in_order(value))).collect();
            Value::Object(fields.into_iter().collect())
        }
        Value::Array(items) => items.into_iter().map(in_order).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value,
    }
}

/// Cents of an amount with two digits behind the point at most; nothing is 0.
pub(crate) fn cents(value: &Value) -> i64 {
    let Value::String(text) = value else { return 0 };
    let text = text.strip_prefix('#').expect("a number");
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    format!("{whole}{fraction:0<2}").parse().unwrap_or_else(|_| panic!("{text} is an amount"))
}
