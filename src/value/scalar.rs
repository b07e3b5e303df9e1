//! Parses the text of one scalar value: any type but JSON, struct and list.
//!
//! Plain text and JSON share this code: both use the same digits, dates and times. Nothing is rounded or truncated.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::{Datum, RowBuilder, Type, decimal, temporal};

/// Why a text or a JSON value is not a value of a column. Names the type and the reason, never the value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected {expected}, but {reason}{}{}", if path.is_empty() { "" } else { ", at " }, path.join("."))]
pub struct ParseError {
    pub expected: Type,
    pub reason: &'static str,
    /// Field names from the outside in, if the value is inside a struct or a list.
    pub path: Vec<String>,
}

impl ParseError {
    pub(super) fn new(expected: &Type, reason: &'static str) -> ParseError {
        ParseError { expected: expected.clone(), reason, path: Vec::new() }
    }

    pub(super) fn within(mut self, field: &str) -> ParseError {
        self.path.insert(0, field.to_string());
        self
    }
}

pub(super) const NOT_AN_INTEGER: &str = "it is not a whole number";
pub(super) const OUT_OF_RANGE: &str = "it is out of range";
const NOT_A_NUMBER: &str = "it is not a number";
const NOT_A_BOOL: &str = "it is neither true nor false";
const NOT_BASE64: &str = "it is not base64";

/// Pushes `text` as the next column of `builder`, whose type must not be JSON, struct or list. After an error nothing was pushed.
pub(super) fn push_scalar(builder: &mut RowBuilder, text: &str) -> Result<(), ParseError> {
    let datum = match builder.next_type() {
        Type::Text => Ok(Datum::Text(text)),
        Type::Binary => {
            let bytes = STANDARD.decode(text).map_err(|_| ParseError::new(&Type::Binary, NOT_BASE64))?;
            builder.push(Datum::Binary(&bytes));
            return Ok(());
        }
        fixed => parse_scalar(fixed, text.as_bytes()),
    };
    match datum {
        Ok(datum) => builder.push(datum),
        Err(reason) => return Err(ParseError::new(builder.next_type(), reason)),
    }
    Ok(())
}

/// Parses a value of fixed width.
pub(super) fn parse_scalar(ty: &Type, text: &[u8]) -> Result<Datum<'static>, &'static str> {
    Ok(match ty {
        Type::Bool => Datum::Bool(parse_bool(text)?),
        Type::Int8 => Datum::Int(parse_int(text, i8::MIN as i64, i8::MAX as i64)?),
        Type::Int16 => Datum::Int(parse_int(text, i16::MIN as i64, i16::MAX as i64)?),
        Type::Int32 => Datum::Int(parse_int(text, i32::MIN as i64, i32::MAX as i64)?),
        Type::Int64 => Datum::Int(parse_int(text, i64::MIN, i64::MAX)?),
        Type::UInt8 => Datum::UInt(parse_uint(text, u8::MAX as u64)?),
        Type::UInt16 => Datum::UInt(parse_uint(text, u16::MAX as u64)?),
        Type::UInt32 => Datum::UInt(parse_uint(text, u32::MAX as u64)?),
        Type::UInt64 => Datum::UInt(parse_uint(text, u64::MAX)?),
        Type::Float32 => Datum::Float32(parse_float(text, f32::is_infinite)?),
        Type::Float64 => Datum::Float64(parse_float(text, f64::is_infinite)?),
        Type::Decimal { precision, scale } => decimal::parse(text, *precision, *scale)?,
        Type::Date => Datum::Date(temporal::parse_date(text)?),
        Type::DateTime { fsp } => Datum::DateTime(temporal::parse_datetime(text, *fsp)?),
        Type::Timestamp { fsp } => Datum::Timestamp(temporal::parse_timestamp(text, *fsp)?),
        Type::Time { fsp } => Datum::Time(temporal::parse_time(text, *fsp)?),
        Type::Text | Type::Binary | Type::Json | Type::Struct(_) | Type::List(_) => unreachable!("not of fixed width"),
    })
}

fn parse_bool(text: &[u8]) -> Result<bool, &'static str> {
    match text {
        b"1" => Ok(true),
        b"0" => Ok(false),
        _ if text.eq_ignore_ascii_case(b"true") => Ok(true),
        _ if text.eq_ignore_ascii_case(b"false") => Ok(false),
        _ => Err(NOT_A_BOOL),
    }
}

fn parse_int(text: &[u8], min: i64, max: i64) -> Result<i64, &'static str> {
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, text),
    };
    let magnitude = parse_digits(digits)?;
    let value = if negative { 0i64.checked_sub_unsigned(magnitude) } else { i64::try_from(magnitude).ok() };
    value.filter(|v| (min..=max).contains(v)).ok_or(OUT_OF_RANGE)
}

fn parse_uint(text: &[u8], max: u64) -> Result<u64, &'static str> {
    match text {
        [b'-', digits @ ..] => match parse_digits(digits)? {
            0 => Ok(0),
            _ => Err(OUT_OF_RANGE),
        },
        [b'+', digits @ ..] | digits => Some(parse_digits(digits)?).filter(|&v| v <= max).ok_or(OUT_OF_RANGE),
    }
}

fn parse_digits(digits: &[u8]) -> Result<u64, &'static str> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Err(NOT_AN_INTEGER);
    }
    let digit = |b: &u8| (b - b'0') as u64;
    if digits.len() <= 19 {
        return Ok(digits.iter().fold(0, |value, b| value * 10 + digit(b)));
    }
    digits.iter().try_fold(0u64, |value, b| value.checked_mul(10)?.checked_add(digit(b))).ok_or(OUT_OF_RANGE)
}

fn parse_float<F: std::str::FromStr + Copy>(text: &[u8], is_infinite: fn(F) -> bool) -> Result<F, &'static str> {
    let text = std::str::from_utf8(text).map_err(|_| NOT_A_NUMBER)?;
    let value: F = text.parse().map_err(|_| NOT_A_NUMBER)?;
    if is_infinite(value) && text.bytes().any(|b| b.is_ascii_digit()) { Err(OUT_OF_RANGE) } else { Ok(value) }
}
