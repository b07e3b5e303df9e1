//! PostgreSQL's values as those of a view's columns: the same value, or a reason why it is none.

use serde_json::Value;
use tidemill::value::{Column, Layout, RowBuilder, Schema, Type, json};

use super::super::recording::{Object, text};

/// The type of a table's column at PostgreSQL that holds exactly the same values.
pub(super) fn column_type(ty: &Type) -> Result<String, String> {
    Ok(match ty {
        Type::Bool => "boolean".into(),
        Type::Int8 | Type::Int16 | Type::UInt8 => "smallint".into(),
        Type::Int32 | Type::UInt16 => "integer".into(),
        Type::Int64 | Type::UInt32 => "bigint".into(),
        Type::UInt64 => "numeric(20)".into(),
        Type::Float32 => "real".into(),
        Type::Float64 => "double precision".into(),
        Type::Decimal { precision, scale } => format!("numeric({precision}, {scale})"),
        Type::Text => "text".into(),
        Type::Json => "json".into(),
        Type::Date => "date".into(),
        Type::DateTime { fsp } => format!("timestamp({fsp})"),
        Type::Timestamp { fsp } => format!("timestamptz({fsp})"),
        Type::Time { .. } => "interval".into(),
        Type::Binary | Type::Struct(_) | Type::List(_) => return Err(format!("no column of a table at PostgreSQL is made of {ty:?}")),
    })
}

/// What is selected of a column so that its text is [read](row) as a value of the type. `given`: its type at PostgreSQL.
pub(super) fn selected(name: &str, ty: &Type, given: &str) -> String {
    match ty {
        // Half away from zero. A double's text is its shortest, which other than its cast has all its digits.
        Type::Decimal { scale, .. } if given.starts_with("double") || given == "real" => format!("round({name}::text::numeric, {scale})"),
        Type::Decimal { scale, .. } => format!("round({name}::numeric, {scale})"),
        Type::List(_) | Type::Struct(_) => format!("to_json({name})"),
        _ => name.to_string(),
    }
}

/// The type of values of which only PostgreSQL says the type.
pub(super) fn type_of(given: &str) -> Result<Type, String> {
    Ok(match given {
        "boolean" => Type::Bool,
        "smallint" | "integer" => Type::Int32,
        "bigint" => Type::Int64,
        "double precision" => Type::Float64,
        "text" | "character varying" => Type::Text,
        "date" => Type::Date,
        _ => return Err(format!("a document is made of values of type {given}")),
    })
}

/// A row as JSON, as the engine writes one that has these values; why it is no row of the view, where it is none.
pub(super) fn row_of(layout: &Layout, values: Object) -> Result<String, String> {
    let mut builder = RowBuilder::new(layout);
    match json::push_object(&mut builder, &values) {
        Ok(()) => Ok(text(layout, &builder.finish())),
        Err(reason) => Err(format!("{} is no row of the view: {reason}", Value::Object(values))),
    }
}

/// The same of PostgreSQL's texts.
pub(super) fn row(layout: &Layout, texts: &[Option<&str>]) -> Result<String, String> {
    row_of(layout, layout.schema().columns().iter().zip(texts).map(|(column, text)| (column.name.clone(), value(column, *text))).collect())
}

fn value(column: &Column, text: Option<&str>) -> Value {
    let Some(text) = text else { return Value::Null };
    match &column.ty {
        Type::Bool => Value::Bool(text == "t"),
        Type::List(_) | Type::Struct(_) => nested(&column.ty, serde_json::from_str(text).expect("to_json gives JSON")),
        Type::Json => serde_json::from_str(text).expect("a JSON value"),
        ty => scalar(ty, text),
    }
}

/// The value of a type that a text says.
pub(super) fn scalar(ty: &Type, text: &str) -> Value {
    let number = |text: &str| serde_json::from_str::<Value>(text).ok().filter(Value::is_number).unwrap_or_else(|| text.into());
    match ty {
        Type::Int8 | Type::Int16 | Type::Int32 | Type::Int64 | Type::UInt8 | Type::UInt16 | Type::UInt32 | Type::UInt64 => {
            // A numeric may have a scale though its value is whole.
            let whole = text.split_once('.').filter(|(_, fraction)| fraction.bytes().all(|digit| digit == b'0'));
            number(whole.map_or(text, |(whole, _)| whole))
        }
        Type::Float32 | Type::Float64 | Type::Decimal { .. } => number(text),
        Type::DateTime { .. } => text.replacen(' ', "T", 1).into(),
        Type::Timestamp { .. } => format!("{}Z", text.replacen(' ', "T", 1).trim_end_matches(":00").trim_end_matches("+00")).into(),
        _ => text.into(),
    }
}

fn nested(ty: &Type, value: Value) -> Value {
    match (ty, value) {
        (_, Value::Null) => Value::Null,
        (Type::List(item), Value::Array(items)) => items.into_iter().map(|value| nested(item, value)).collect(),
        (Type::Struct(schema), Value::Object(fields)) => {
            let field = |(column, (_, value)): (&Column, (String, Value))| (column.name.clone(), nested(&column.ty, value));
            schema.columns().iter().zip(fields).map(field).collect::<Object>().into()
        }
        (_, Value::Number(number)) => scalar(ty, &number.to_string()),
        (Type::DateTime { .. } | Type::Timestamp { .. }, Value::String(text)) => scalar(ty, &text),
        (_, value) => value,
    }
}

/// How far doubles may be from PostgreSQL's.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Nearness {
    /// The engine rounds once, when a result is told, PostgreSQL at each step: a few units in the last place.
    Ulps(u64),
    /// PostgreSQL has regressions by running formulas, of which nothing may be left but what was rounded: a share of the larger one, or of 1.
    Share(f64),
}

/// Whether a row of the engine's is one of PostgreSQL's: all values are equal, but for doubles that are near.
pub(crate) fn near(schema: &Schema, nearness: Nearness, is: &str, right: &str) -> bool {
    let [Ok(is), Ok(right)] = [is, right].map(serde_json::from_str::<Object>) else { return false };
    schema.columns().iter().all(|column| match (is.get(&column.name), right.get(&column.name)) {
        (Some(is), Some(right)) => near_values(&column.ty, nearness, is, right),
        (is, right) => is == right,
    })
}

fn near_values(ty: &Type, nearness: Nearness, is: &Value, right: &Value) -> bool {
    match (ty, is, right) {
        (Type::Float64, Value::Number(is), Value::Number(right)) => {
            let [is, right] = [is, right].map(|number| number.to_string().parse::<f64>().expect("a number"));
            match nearness {
                Nearness::Ulps(most) => ordered(is).abs_diff(ordered(right)) <= most,
                Nearness::Share(share) => (is - right).abs() <= share * is.abs().max(right.abs()).max(1.0),
            }
        }
        (Type::List(item), Value::Array(is), Value::Array(right)) => {
            is.len() == right.len() && is.iter().zip(right).all(|(is, right)| near_values(item, nearness, is, right))
        }
        _ => is == right,
    }
}

/// Doubles as numbers in their order: neighbours differ by 1.
fn ordered(double: f64) -> i64 {
    let bits = double.to_bits() as i64;
    if bits < 0 { i64::MIN - bits } else { bits }
}
