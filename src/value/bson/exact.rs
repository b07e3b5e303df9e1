//! Keys as BSON, for `_id`: different keys are different under MongoDB's comparison.
//!
//! In: a value as a key stores it ([`row_of_key`](crate::value::row_of_key): one zero, one NaN). Out: its BSON as in the parent module, except:
//!
//! | value | BSON |
//! |---|---|
//! | datetime, timestamp with more than 3 fractional digits | String with six digits: `2017-10-02T10:56:33.123456` (a timestamp with `Z`) |
//! | datetime, timestamp with fewer, if the value itself has more | the same String |
//! | time with more digits than its type | String with six fractional digits |
//! | JSON | String of its text: as numbers, 1 and 1.0 would be equal |
//! | NULL | Null, also if the column is `absent_when_null` |
//!
//! MongoDB compares numbers of all its types by value (<https://www.mongodb.com/docs/manual/reference/bson-type-comparison-order/>). Within
//! one column each value has one form, so two different values are never equal numbers. A decimal of more than 34 digits that is not a
//! Decimal128 is its text, and a number never equals a text.

use bson::spec::ElementType;
use bson::{RawBson, RawDocumentBuf};

use super::{document, field, index_field, string};
use crate::value::{Datum, Layout, Schema, Type, list_items, temporal};

/// One value of a key. `datum` must be a value of `ty`.
pub fn to_exact_bson(ty: &Type, datum: Datum) -> RawBson {
    let nested = match ty {
        Type::Struct(schema) => Some(Layout::new(schema)),
        Type::List(item) => Some(Layout::of_items(item)),
        _ => None,
    };
    let mut out = Vec::with_capacity(64);
    document(&mut out, |out| {
        let type_at = field("v", out);
        out[type_at] = value(ty, nested.as_ref(), datum, out) as u8;
    });
    let whole = RawDocumentBuf::from_bytes(out).expect("the document has the length it says");
    whole.get("v").expect("the document is valid").expect("the field was written").into()
}

/// The values of a key as one document.
pub fn exact_row(layout: &Layout, row: &[u8]) -> RawDocumentBuf {
    let mut out = Vec::with_capacity(row.len() * 2 + layout.schema().len() * 16);
    columns(layout, row, &mut out);
    RawDocumentBuf::from_bytes(out).expect("the document has the length it says")
}

/// Describes how keys of this type are written if that differs from documents; `None` if it does not. For nested types: the first
/// difference inside.
pub fn exact_form(ty: &Type) -> Option<&'static str> {
    match ty {
        Type::DateTime { fsp } if *fsp > 3 => Some("a text with microseconds, such as `2017-10-02T10:56:33.123456`"),
        Type::Timestamp { fsp } if *fsp > 3 => Some("a text with microseconds, such as `2017-10-02T10:56:33.123456Z`"),
        Type::Json => Some("its text"),
        Type::Struct(schema) => form_within(schema),
        Type::List(item) => exact_form(item),
        _ => None,
    }
}

fn form_within(schema: &Schema) -> Option<&'static str> {
    schema.columns().iter().find_map(|column| exact_form(&column.ty))
}

fn columns(layout: &Layout, row: &[u8], out: &mut Vec<u8>) {
    document(out, |out| {
        for (i, column) in layout.schema().columns().iter().enumerate() {
            let type_at = field(&column.name, out);
            out[type_at] = value(&column.ty, layout.nested(i), layout.get(row, i), out) as u8;
        }
    });
}

fn value(ty: &Type, nested: Option<&Layout>, datum: Datum, out: &mut Vec<u8>) -> ElementType {
    match (ty, datum) {
        (Type::DateTime { fsp }, Datum::DateTime(micros)) if is_finer(*fsp, micros) => {
            text(out, |text| temporal::write_datetime(micros, 6, text))
        }
        (Type::Timestamp { fsp }, Datum::Timestamp(micros)) if is_finer(*fsp, micros) => {
            text(out, |text| temporal::write_timestamp(micros, 6, text))
        }
        (Type::Time { fsp }, Datum::Time(micros)) if micros % 10i64.pow(6 - u32::from(*fsp).min(6)) != 0 => {
            text(out, |text| temporal::write_time(micros, 6, text))
        }
        (Type::Json, Datum::Json(json)) => string(json.as_bytes(), out),
        (Type::Struct(_), Datum::Struct(row)) => {
            columns(nested.expect("a struct's type has a schema"), row, out);
            ElementType::EmbeddedDocument
        }
        (Type::List(item), Datum::List(list)) => items(item, nested.expect("a list's type has an item type"), list, out),
        (ty, datum) => super::value(ty, nested, datum, out),
    }
}

/// Whether a date in milliseconds would lose precision, for this value or for others of its type.
fn is_finer(fsp: u8, micros: i64) -> bool {
    fsp > 3 || micros % 1000 != 0
}

fn text(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) -> ElementType {
    let mut text = Vec::with_capacity(28);
    write(&mut text);
    string(&text, out)
}

fn items(item: &Type, layout: &Layout, list: &[u8], out: &mut Vec<u8>) -> ElementType {
    document(out, |out| {
        for (i, row) in list_items(list).enumerate() {
            let type_at = index_field(i, out);
            out[type_at] = match item {
                Type::Struct(_) => {
                    columns(layout, row, out);
                    ElementType::EmbeddedDocument
                }
                _ => value(item, layout.nested(0), layout.get(row, 0), out),
            } as u8;
        }
    });
    ElementType::Array
}
