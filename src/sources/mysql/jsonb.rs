//! Converts MySQL's binary JSON to compact JSON text: the text that the server prints, without white space between tokens.
//!
//! Object keys are in the server's order (by length, then by bytes), numbers have all their digits, and types that JSON lacks (dates,
//! decimals, blobs) are printed as the server prints them. The format is described in MySQL's `sql-common/json_binary.h`.

use std::fmt::Write;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use super::binlog::bytes::{Bytes, Truncated};
use super::binlog::decimal::decimal;
use crate::value::Datum;

/// Names what is malformed.
type Malformed = &'static str;
const MALFORMED: Malformed = "a JSON document";

impl From<Truncated> for &'static str {
    fn from(_: Truncated) -> &'static str {
        MALFORMED
    }
}

/// The server's limit of nesting; deeper documents are malformed.
const DEEPEST: usize = 128;

/// Converts a document; fails if its bytes are malformed.
pub(crate) fn to_text(document: &[u8]) -> Result<String, Malformed> {
    let mut out = String::with_capacity(document.len() * 2);
    // With strict mode off the server stores an empty document; it reads it as null.
    let Some((&kind, value)) = document.split_first() else { return Ok("null".into()) };
    write_value(kind, value, &mut out, 0)?;
    Ok(out)
}

fn write_value(kind: u8, value: &[u8], out: &mut String, depth: usize) -> Result<(), Malformed> {
    if depth > DEEPEST {
        return Err(MALFORMED);
    }
    let mut bytes = Bytes(value);
    match kind {
        0 => write_container(value, Container::OBJECT, out, depth)?,
        1 => write_container(value, Container::LARGE_OBJECT, out, depth)?,
        2 => write_container(value, Container::ARRAY, out, depth)?,
        3 => write_container(value, Container::LARGE_ARRAY, out, depth)?,
        4 => out.push_str(match bytes.u8()? {
            0 => "null",
            1 => "true",
            2 => "false",
            _ => return Err(MALFORMED),
        }),
        5 => write_display(bytes.u16()? as i16, out),
        6 => write_display(bytes.u16()?, out),
        7 => write_display(bytes.u32()? as i32, out),
        8 => write_display(bytes.u32()?, out),
        9 => write_display(bytes.u64()? as i64, out),
        10 => write_display(bytes.u64()?, out),
        11 => write_double(f64::from_le_bytes(bytes.array()?), out),
        12 => {
            let length = variable_length(&mut bytes)?;
            write_string(text(bytes.take(length)?)?, out);
        }
        15 => {
            let ty = bytes.u8()?;
            let length = variable_length(&mut bytes)?;
            write_opaque(ty, bytes.take(length)?, out)?;
        }
        _ => return Err(MALFORMED),
    }
    Ok(())
}

fn write_display(value: impl std::fmt::Display, out: &mut String) {
    let _ = write!(out, "{value}");
}

fn text(bytes: &[u8]) -> Result<&str, Malformed> {
    std::str::from_utf8(bytes).map_err(|_| MALFORMED)
}

/// Seven bits per byte, the lowest first; the high bit means that another byte follows.
fn variable_length(bytes: &mut Bytes) -> Result<usize, Malformed> {
    let mut length = 0usize;
    for i in 0..5 {
        let byte = bytes.u8()?;
        length |= ((byte & 0x7f) as usize) << (7 * i);
        if byte & 0x80 == 0 {
            return Ok(length);
        }
    }
    Err(MALFORMED)
}

/// Containers are objects or arrays, each in a small and a large format.
#[derive(Clone, Copy)]
struct Container {
    is_object: bool,
    /// The number of bytes of an offset or a size.
    offset_bytes: usize,
}

impl Container {
    const OBJECT: Container = Container { is_object: true, offset_bytes: 2 };
    const LARGE_OBJECT: Container = Container { is_object: true, offset_bytes: 4 };
    const ARRAY: Container = Container { is_object: false, offset_bytes: 2 };
    const LARGE_ARRAY: Container = Container { is_object: false, offset_bytes: 4 };

    /// Whether values of this type are stored in the entry itself.
    fn holds_inline(self, kind: u8) -> bool {
        matches!(kind, 4..=6) || self.offset_bytes == 4 && matches!(kind, 7 | 8)
    }
}

/// `count, size, key entries (offset, length: u16), value entries (type, offset or value), keys, values`; offsets from the start.
fn write_container(whole: &[u8], shape: Container, out: &mut String, depth: usize) -> Result<(), Malformed> {
    let mut head = Bytes(whole);
    let count = head.le(shape.offset_bytes)? as usize;
    let size = head.le(shape.offset_bytes)? as usize;
    let whole = whole.get(..size).ok_or(MALFORMED)?;
    let key_entry_bytes = if shape.is_object { shape.offset_bytes + 2 } else { 0 };
    let keys_at = 2 * shape.offset_bytes;
    let mut keys = Bytes(whole.get(keys_at..).ok_or(MALFORMED)?);
    let mut values = Bytes(whole.get(keys_at + count * key_entry_bytes..).ok_or(MALFORMED)?);
    out.push(if shape.is_object { '{' } else { '[' });
    for i in 0..count {
        if i > 0 {
            out.push(',');
        }
        if shape.is_object {
            let (at, length) = (keys.le(shape.offset_bytes)? as usize, keys.u16()? as usize);
            let key = whole.get(at..).and_then(|rest| rest.get(..length)).ok_or(MALFORMED)?;
            write_string(text(key)?, out);
            out.push(':');
        }
        let kind = values.u8()?;
        let entry = values.take(shape.offset_bytes)?;
        if shape.holds_inline(kind) {
            write_value(kind, entry, out, depth + 1)?;
        } else {
            let at = Bytes(entry).le(shape.offset_bytes)? as usize;
            write_value(kind, whole.get(at..).ok_or(MALFORMED)?, out, depth + 1)?;
        }
    }
    out.push(if shape.is_object { '}' } else { ']' });
    Ok(())
}

/// Escapes as the server does (`double_quote` in `sql-common/json_dom.cc`).
fn write_string(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{8}' => out.push_str("\\b"),
            '\t' => out.push_str("\\t"),
            '\n' => out.push_str("\\n"),
            '\u{c}' => out.push_str("\\f"),
            '\r' => out.push_str("\\r"),
            control @ '\0'..='\u{1f}' => {
                let _ = write!(out, "\\u{:04x}", control as u32);
            }
            other => out.push(other),
        }
    }
    out.push('"');
}

/// Writes the shortest digits that identify this double, formatted like `my_gcvt`: with an exponent from 1e15 up and below 1e-14
/// (`DBL_DIG`), and with `.0` if neither point nor exponent would mark it as a double.
fn write_double(value: f64, out: &mut String) {
    let shortest = format!("{value:e}");
    let (mantissa, exponent) = shortest.split_once('e').unwrap_or((&shortest, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let (sign, mantissa) = match mantissa.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", mantissa),
    };
    let digits: String = mantissa.chars().filter(|c| *c != '.').collect();
    out.push_str(sign);
    if !(-15..=14).contains(&exponent) {
        let (first, rest) = digits.split_at(1);
        let point = if rest.is_empty() { "" } else { "." };
        let _ = write!(out, "{first}{point}{rest}e{exponent}");
        return;
    }
    if exponent < 0 {
        let _ = write!(out, "0.{}{digits}", "0".repeat((-exponent - 1) as usize));
        return;
    }
    let before_point = exponent as usize + 1;
    if digits.len() > before_point {
        let _ = write!(out, "{}.{}", &digits[..before_point], &digits[before_point..]);
    } else {
        let _ = write!(out, "{digits}{}.0", "0".repeat(before_point - digits.len()));
    }
}

mod opaque {
    pub(super) const TIMESTAMP: u8 = 7;
    pub(super) const DATE: u8 = 10;
    pub(super) const TIME: u8 = 11;
    pub(super) const DATETIME: u8 = 12;
    pub(super) const NEWDECIMAL: u8 = 246;
}

/// A value of a type that JSON lacks: decimals as numbers, dates and times as text, everything else as tagged base64.
fn write_opaque(ty: u8, data: &[u8], out: &mut String) -> Result<(), Malformed> {
    match ty {
        opaque::NEWDECIMAL => write_decimal(data, out)?,
        opaque::DATE | opaque::DATETIME | opaque::TIMESTAMP => write_date_time(ty, Bytes(data).u64()? as i64, out),
        opaque::TIME => write_time(Bytes(data).u64()? as i64, out),
        _ => {
            let _ = write!(out, "\"base64:type{ty}:{}\"", BASE64_STANDARD.encode(data));
        }
    }
    Ok(())
}

/// Precision and scale in a byte each, then the digits in the format of a row.
fn write_decimal(data: &[u8], out: &mut String) -> Result<(), Malformed> {
    let mut bytes = Bytes(data);
    let (precision, scale) = (bytes.u8()?, bytes.u8()?);
    if scale > precision || precision > 76 {
        return Err(MALFORMED);
    }
    let unscaled = match decimal(&mut bytes, precision, scale).map_err(|_| MALFORMED)? {
        Datum::Decimal(v) => v.to_string(),
        Datum::Decimal256(v) => v.to_string(),
        _ => return Err(MALFORMED),
    };
    let (sign, digits) = match unscaled.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", unscaled.as_str()),
    };
    let digits = format!("{digits:0>width$}", width = scale as usize + 1);
    let (whole, fraction) = digits.split_at(digits.len() - scale as usize);
    let point = if scale > 0 { "." } else { "" };
    let _ = write!(out, "{sign}{whole}{point}{fraction}");
    Ok(())
}

/// The packed form of a date and time: `(year * 13 + month, day, hour, minute, second)` over 24 bits of microseconds.
fn write_date_time(ty: u8, packed: i64, out: &mut String) {
    let packed = packed.unsigned_abs();
    let (micros, whole) = (packed & 0xff_ffff, packed >> 24);
    let (date, time) = (whole >> 17, whole & 0x1_ffff);
    let months = date >> 5;
    let _ = write!(out, "\"{:04}-{:02}-{:02}", months / 13, months % 13, date & 31);
    if ty != opaque::DATE {
        let _ = write!(out, " {:02}:{:02}:{:02}.{micros:06}", time >> 12, time >> 6 & 63, time & 63);
    }
    out.push('"');
}

/// The packed form of a time: `(hour, minute, second)` over 24 bits of microseconds, the sign outside.
fn write_time(packed: i64, out: &mut String) {
    let sign = if packed < 0 { "-" } else { "" };
    let packed = packed.unsigned_abs();
    let (micros, whole) = (packed & 0xff_ffff, packed >> 24);
    let _ = write!(out, "\"{sign}{:02}:{:02}:{:02}.{micros:06}\"", whole >> 12 & 0x3ff, whole >> 6 & 63, whole & 63);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn double(value: f64) -> String {
        let mut out = String::new();
        write_double(value, &mut out);
        out
    }

    #[test]
    fn doubles_are_laid_out_as_the_server_does() {
        for (value, text) in [
            (1.0, "1.0"),
            (-0.0, "-0.0"),
            (0.1, "0.1"),
            (123456.789, "123456.789"),
            (1e14, "100000000000000.0"),
            (1e15, "1e15"),
            (1.5e20, "1.5e20"),
            (-2.5e-7, "-0.00000025"),
            (1e-15, "0.000000000000001"),
            (1e-16, "1e-16"),
            (1.7976931348623157e308, "1.7976931348623157e308"),
            (5e-324, "5e-324"),
        ] {
            assert_eq!(double(value), text);
        }
    }

    #[test]
    fn containers_are_walked() {
        // {"a": [1, "x"], "bb": null}, as MySQL encodes it.
        let document = [
            &[0u8][..],
            &[2, 0, 37, 0],
            &[18, 0, 1, 0, 19, 0, 2, 0],
            &[2, 21, 0, 4, 0, 0],
            b"abb",
            &[2, 0, 12, 0, 5, 1, 0, 12, 10, 0, 1, b'x'],
            &[0; 4],
        ]
        .concat();
        assert_eq!(to_text(&document).unwrap(), r#"{"a":[1,"x"],"bb":null}"#);
    }

    #[test]
    fn cut_documents_are_refused() {
        let document = [2u8, 1, 0, 9, 0, 12, 7, 0, 1, b'x'];
        assert_eq!(to_text(&document).unwrap(), r#"["x"]"#);
        for length in 1..document.len() {
            assert!(to_text(&document[..length]).is_err(), "{length}");
        }
    }

    #[test]
    fn opaque_values_are_printed() {
        let mut out = String::new();
        write_opaque(opaque::NEWDECIMAL, &[5, 2, 0x80, 5, 50], &mut out).unwrap();
        assert_eq!(out, "5.50");
        out.clear();
        write_opaque(252, b"abc", &mut out).unwrap();
        assert_eq!(out, "\"base64:type252:YWJj\"");
    }
}
