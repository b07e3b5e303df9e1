//! The `_id`s of documents, built from the view's keys, so that different keys have different `_id`s. Also MongoDB's equality of `_id`s.
//!
//! In: keys of a view. Out: for a key of one column its value; for a key of several columns, or of a list, which MongoDB does not accept as
//! `_id`, a document of the values. The values are those of [`exact`](crate::value::bson::exact).

use ::bson::{Decimal128, RawArray, RawBson, RawBsonRef, RawDocument, RawDocumentBuf};

use super::cstr;
use crate::value::bson::exact::{exact_form, exact_row, to_exact_bson};
use crate::value::{Layout, Row, Type, row_of_key};

/// How a view's keys become `_id`s.
#[derive(Debug, Clone)]
pub(super) struct IdShape {
    /// The layout of the key's columns.
    key: Layout,
    /// The key has one column, whose value is the `_id`.
    bare: bool,
}

impl IdShape {
    pub(super) fn new(key: Layout) -> IdShape {
        let bare = matches!(key.schema().columns(), [column] if !matches!(column.ty, Type::List(_)));
        IdShape { key, bare }
    }

    pub(super) fn id(&self, key: &Row) -> RawBson {
        let row = row_of_key(&self.key, key).expect("a change has a key of its view");
        match self.bare {
            true => to_exact_bson(&self.key.schema().columns()[0].ty, self.key.get(&row, 0)),
            false => RawBson::Document(exact_row(&self.key, &row)),
        }
    }

    /// The key's columns whose value in `_id` has another form than in the document: name, type and form.
    pub(super) fn exact_forms(&self) -> impl Iterator<Item = (&str, &Type, &'static str)> {
        self.key.schema().columns().iter().filter_map(|column| Some((column.name.as_str(), &column.ty, exact_form(&column.ty)?)))
    }
}

/// Encodes an `_id` so that two encodings are equal exactly if the `_id`s are equal in MongoDB's comparison: numbers by their value regardless
/// of their type, everything else by type and bytes.
pub(super) fn comparable(id: RawBsonRef) -> Vec<u8> {
    let mut out = Vec::with_capacity(32);
    push(id, &mut out);
    out
}

const NUMBER: u8 = 0xf0;
const INTEGER: u8 = 0xf1;
/// Integers with a smaller absolute value are encoded as integers. This number is exact as a double too.
const SHORT: u64 = 9_000_000_000_000_000_000;

fn is_short(v: i64) -> bool {
    v.unsigned_abs() < SHORT
}

fn push(value: RawBsonRef, out: &mut Vec<u8>) {
    match value {
        RawBsonRef::Int32(v) => push_integer(v.into(), out),
        RawBsonRef::Int64(v) if is_short(v) => push_integer(v, out),
        RawBsonRef::Int64(v) => push_number(&v.to_string(), out),
        RawBsonRef::Double(v) if v.fract() == 0.0 && v.abs() < SHORT as f64 => push_integer(v as i64, out),
        // With so many digits after the point, the decimal expansion of any double is exact.
        RawBsonRef::Double(v) if v.is_finite() => push_number(&format!("{v:.1074}"), out),
        RawBsonRef::Double(v) => push_number(&v.to_string(), out),
        RawBsonRef::Decimal128(v) => push_decimal(v, out),
        RawBsonRef::Document(document) => push_fields(document, value, out),
        RawBsonRef::Array(array) => push_items(array, value, out),
        RawBsonRef::Symbol(text) => push_bytes(RawBsonRef::String(text), out),
        other => push_bytes(other, out),
    }
}

fn push_fields(fields: &RawDocument, whole: RawBsonRef, out: &mut Vec<u8>) {
    out.push(whole.element_type() as u8);
    for field in fields {
        // A document that cannot be read is compared by its bytes.
        let Ok((name, value)) = field else { return push_bytes(whole, out) };
        out.extend_from_slice(&(name.as_str().len() as u32).to_le_bytes());
        out.extend_from_slice(name.as_str().as_bytes());
        push(value, out);
    }
    out.push(0);
}

fn push_items(items: &RawArray, whole: RawBsonRef, out: &mut Vec<u8>) {
    out.push(whole.element_type() as u8);
    for item in items {
        let Ok(value) = item else { return push_bytes(whole, out) };
        push(value, out);
    }
    out.push(0);
}

fn push_bytes(value: RawBsonRef, out: &mut Vec<u8>) {
    let mut document = RawDocumentBuf::new();
    document.append(cstr!(""), RawBson::from(value));
    out.extend_from_slice(document.as_bytes());
}

fn push_integer(v: i64, out: &mut Vec<u8>) {
    out.push(INTEGER);
    out.extend_from_slice(&v.to_le_bytes());
}

fn push_decimal(v: Decimal128, out: &mut Vec<u8>) {
    push_number(&v.to_string(), out);
}

/// Encodes a number's text as sign, power of ten and digits, without zeroes at either end.
fn push_number(text: &str, out: &mut Vec<u8>) {
    let (negative, unsigned) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
    if !unsigned.starts_with(|first: char| first.is_ascii_digit()) {
        // Infinity, or NaN, which has no sign.
        let name = unsigned.get(..1).unwrap_or_default().to_ascii_lowercase();
        out.extend_from_slice(&[NUMBER, u8::from(negative && name == "i")]);
        out.extend_from_slice(name.as_bytes());
        return;
    }
    let (mantissa, power) = match unsigned.split_once(['E', 'e']) {
        Some((mantissa, power)) => (mantissa, power.trim_start_matches('+').parse::<i64>().unwrap_or_default()),
        None => (unsigned, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let all = format!("{whole}{fraction}");
    let significant = all.trim_start_matches('0').trim_end_matches('0');
    let trailing = all.len() - all.trim_end_matches('0').len();
    let power = power - fraction.len() as i64 + trailing as i64;
    if significant.is_empty() {
        return push_integer(0, out);
    }
    let digits = usize::try_from(power).ok().filter(|power| significant.len() + power <= 19);
    if let Some(zeroes) = digits
        && let Ok(v) = format!("{significant}{}", "0".repeat(zeroes)).parse::<i64>()
        && is_short(v)
    {
        return push_integer(if negative { -v } else { v }, out);
    }
    out.extend_from_slice(&[NUMBER, u8::from(negative)]);
    out.extend_from_slice(&power.to_le_bytes());
    out.extend_from_slice(significant.as_bytes());
}

#[cfg(test)]
mod tests;
