//! Order-preserving keys: bytes whose order is the order of the values, column after column.
//!
//! Each value is one marker byte (0 NULL, 1 not NULL, so NULL comes first) and then
//! - integers and decimals: big endian, sign bit flipped;
//! - floats: the IEEE 754 total order (sign bit flipped for positives, all bits for negatives), `-0.0` made `0.0`, every NaN the same and last;
//! - bool, date, date-time, timestamp, time: as integers of their width;
//! - text, JSON, binary: the bytes with `00` written `00 FF`, ended by `00 00`, so that a prefix comes first and what follows
//!   cannot be mistaken (the "memcomparable" form of MyRocks and CockroachDB);
//! - struct: its columns; list: each item after a `02`, ended by a `00`.
//!
//! Text orders by its UTF-8 bytes. No two different column lists of one type give the same key ("a_b","c" is not "a","b_c").

use super::{Datum, Layout, Row, Type, list_items};

const NULL: u8 = 0;
const NOT_NULL: u8 = 1;
const ITEM: u8 = 2;

/// Appends the key of one value.
pub fn push(ty: &Type, datum: Datum, out: &mut Vec<u8>) {
    if let Datum::Null = datum {
        out.push(NULL);
        return;
    }
    out.push(NOT_NULL);
    match datum {
        Datum::Null => unreachable!("handled above"),
        Datum::Bool(v) => out.push(v as u8),
        Datum::Int(v) => match ty {
            Type::Int8 => out.push(v as u8 ^ 0x80),
            Type::Int16 => out.extend_from_slice(&(v as u16 ^ 0x8000).to_be_bytes()),
            Type::Int32 => out.extend_from_slice(&(v as u32 ^ 0x8000_0000).to_be_bytes()),
            _ => signed(v, out),
        },
        Datum::UInt(v) => match ty {
            Type::UInt8 => out.push(v as u8),
            Type::UInt16 => out.extend_from_slice(&(v as u16).to_be_bytes()),
            Type::UInt32 => out.extend_from_slice(&(v as u32).to_be_bytes()),
            _ => out.extend_from_slice(&v.to_be_bytes()),
        },
        Datum::Float32(v) => {
            let v = if v.is_nan() { f32::NAN } else { v + 0.0 };
            let bits = v.to_bits();
            let flip = if bits >> 31 == 1 { u32::MAX } else { 1 << 31 };
            out.extend_from_slice(&(bits ^ flip).to_be_bytes());
        }
        Datum::Float64(v) => {
            let v = if v.is_nan() { f64::NAN } else { v + 0.0 };
            let bits = v.to_bits();
            let flip = if bits >> 63 == 1 { u64::MAX } else { 1 << 63 };
            out.extend_from_slice(&(bits ^ flip).to_be_bytes());
        }
        Datum::Decimal(v) => match ty {
            Type::Decimal { precision: ..=18, .. } => signed(v as i64, out),
            Type::Decimal { precision: ..=38, .. } => out.extend_from_slice(&(v as u128 ^ 1 << 127).to_be_bytes()),
            _ => unreachable!("a decimal of more than 38 digits is Decimal256"),
        },
        Datum::Decimal256(v) => {
            let mut bytes = v.to_be_bytes();
            bytes[0] ^= 0x80;
            out.extend_from_slice(&bytes);
        }
        Datum::Date(v) => out.extend_from_slice(&(v as u32 ^ 0x8000_0000).to_be_bytes()),
        Datum::DateTime(v) | Datum::Timestamp(v) | Datum::Time(v) => signed(v, out),
        Datum::Text(v) | Datum::Json(v) => escaped(v.as_bytes(), out),
        Datum::Binary(v) => escaped(v, out),
        Datum::Struct(row) => {
            let Type::Struct(schema) = ty else { unreachable!("a struct has a struct's type") };
            let layout = Layout::new(schema);
            for (i, column) in schema.columns().iter().enumerate() {
                push(&column.ty, layout.get(row, i), out);
            }
        }
        Datum::List(list) => {
            let Type::List(item) = ty else { unreachable!("a list has a list's type") };
            let layout = Layout::of_items(item);
            for row in list_items(list) {
                out.push(ITEM);
                for (i, column) in layout.schema().columns().iter().enumerate() {
                    push(&column.ty, layout.get(row, i), out);
                }
            }
            out.push(0);
        }
    }
}

/// The key of the given columns of a row.
pub fn of(layout: &Layout, row: &[u8], columns: &[usize]) -> Row {
    let mut out = Vec::with_capacity(48);
    of_into(layout, row, columns, &mut out);
    out.into()
}

/// As [`of`], appended to `out`.
pub fn of_into(layout: &Layout, row: &[u8], columns: &[usize], out: &mut Vec<u8>) {
    for &column in columns {
        push(&layout.schema().columns()[column].ty, layout.get(row, column), out);
    }
}

/// As [`of`], or `None` where one of the columns is NULL: such a row matches nothing.
pub fn of_relation(layout: &Layout, row: &[u8], columns: &[usize]) -> Option<Row> {
    if columns.iter().any(|&column| layout.is_null(row, column)) {
        return None;
    }
    Some(of(layout, row, columns))
}

fn signed(v: i64, out: &mut Vec<u8>) {
    out.extend_from_slice(&(v as u64 ^ 1 << 63).to_be_bytes());
}

fn escaped(mut bytes: &[u8], out: &mut Vec<u8>) {
    while let Some(zero) = bytes.iter().position(|&b| b == 0) {
        out.extend_from_slice(&bytes[..=zero]);
        out.push(0xff);
        bytes = &bytes[zero + 1..];
    }
    out.extend_from_slice(bytes);
    out.extend_from_slice(&[0, 0]);
}
