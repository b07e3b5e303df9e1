//! Order-preserving keys: byte strings that sort like the values, column by column.
//!
//! Each value is one marker byte (0 NULL, 1 not NULL, so NULL sorts first), followed by
//! - integers and decimals: big endian, sign bit flipped;
//! - floats: the IEEE 754 total order (sign bit flipped for positives, all bits for negatives); `-0.0` becomes `0.0`, all NaNs become one,
//!   which sorts last;
//! - bool, date, date-time, timestamp, time: as integers of their width;
//! - text, JSON, binary: the bytes with `00` written as `00 FF`, ended by `00 00`. A prefix sorts first, and the following column cannot be
//!   confused with the text (the "memcomparable" form of MyRocks and CockroachDB);
//! - struct: its columns; list: each item after a `02`, ended by a `00`.
//!
//! Text sorts by its UTF-8 bytes. Different column lists of one type never have the same key ("a_b","c" differs from "a","b_c").

use super::{Datum, Layout, Row, Type, list_items};

const NULL: u8 = 0;
const NOT_NULL: u8 = 1;
const ITEM: u8 = 2;

/// Appends the key of one value.
pub fn push(ty: &Type, datum: Datum, out: &mut Vec<u8>) {
    match ty {
        Type::Struct(schema) => push_value(ty, Some(&Layout::new(schema)), datum, out),
        Type::List(item) => push_value(ty, Some(&Layout::of_items(item)), datum, out),
        _ => push_value(ty, None, datum, out),
    }
}

/// `nested` is the layout of a struct's row or of a list's items.
fn push_value(ty: &Type, nested: Option<&Layout>, datum: Datum, out: &mut Vec<u8>) {
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
        Datum::Struct(row) => push_row(nested.expect("a struct's type has a schema"), row, out),
        Datum::List(list) => {
            let items = nested.expect("a list's type has an item type");
            for row in list_items(list) {
                out.push(ITEM);
                push_row(items, row, out);
            }
            out.push(0);
        }
    }
}

/// The keys of all columns, one after another.
fn push_row(layout: &Layout, row: &[u8], out: &mut Vec<u8>) {
    for (i, column) in layout.schema().columns().iter().enumerate() {
        push_value(&column.ty, layout.nested(i), layout.get(row, i), out);
    }
}

/// The key of the given columns of a row.
pub fn encode(layout: &Layout, row: &[u8], columns: &[usize]) -> Row {
    let mut out = Vec::with_capacity(48);
    of_into(layout, row, columns, &mut out);
    out.into()
}

/// Same as [`encode`], appended to `out`.
pub fn of_into(layout: &Layout, row: &[u8], columns: &[usize], out: &mut Vec<u8>) {
    for &column in columns {
        push_value(&layout.schema().columns()[column].ty, layout.nested(column), layout.get(row, column), out);
    }
}

/// Same as [`encode`], or `None` if one of the columns is NULL: such a row matches nothing.
pub fn of_relation(layout: &Layout, row: &[u8], columns: &[usize]) -> Option<Row> {
    if columns.iter().any(|&column| layout.is_null(row, column)) {
        return None;
    }
    Some(encode(layout, row, columns))
}

fn signed(v: i64, out: &mut Vec<u8>) {
    out.extend_from_slice(&(v as u64 ^ 1 << 63).to_be_bytes());
}

fn escaped(mut bytes: &[u8], out: &mut Vec<u8>) {
    // Most values have no zero byte, and `contains` examines many bytes at once.
    if !bytes.contains(&0) {
        out.extend_from_slice(bytes);
        out.extend_from_slice(&[0, 0]);
        return;
    }
    while let Some(zero) = bytes.iter().position(|&b| b == 0) {
        out.extend_from_slice(&bytes[..=zero]);
        out.push(0xff);
        bytes = &bytes[zero + 1..];
    }
    out.extend_from_slice(bytes);
    out.extend_from_slice(&[0, 0]);
}

#[cfg(test)]
mod tests {
    use std::cmp::Ordering;

    use proptest::prelude::*;

    use super::super::arbitrary::{self, RowSource};
    use super::super::{Column, RowBuilder, Schema};
    use super::*;

    /// The order that the module's documentation states, from the values.
    fn compare(ty: &Type, a: Datum, b: Datum) -> Ordering {
        match (a, b) {
            (Datum::Null, Datum::Null) => Ordering::Equal,
            (Datum::Null, _) => Ordering::Less,
            (_, Datum::Null) => Ordering::Greater,
            (Datum::Bool(a), Datum::Bool(b)) => a.cmp(&b),
            (Datum::Int(a), Datum::Int(b)) => a.cmp(&b),
            (Datum::UInt(a), Datum::UInt(b)) => a.cmp(&b),
            (Datum::Float32(a), Datum::Float32(b)) => a.partial_cmp(&b).unwrap_or_else(|| a.is_nan().cmp(&b.is_nan())),
            (Datum::Float64(a), Datum::Float64(b)) => a.partial_cmp(&b).unwrap_or_else(|| a.is_nan().cmp(&b.is_nan())),
            (Datum::Decimal(a), Datum::Decimal(b)) => a.cmp(&b),
            (Datum::Decimal256(a), Datum::Decimal256(b)) => a.cmp(&b),
            (Datum::Text(a), Datum::Text(b)) | (Datum::Json(a), Datum::Json(b)) => a.as_bytes().cmp(b.as_bytes()),
            (Datum::Binary(a), Datum::Binary(b)) => a.cmp(b),
            (Datum::Date(a), Datum::Date(b)) => a.cmp(&b),
            (Datum::DateTime(a), Datum::DateTime(b)) | (Datum::Timestamp(a), Datum::Timestamp(b)) | (Datum::Time(a), Datum::Time(b)) => {
                a.cmp(&b)
            }
            (Datum::Struct(a), Datum::Struct(b)) => {
                let Type::Struct(schema) = ty else { unreachable!() };
                compare_rows(&Layout::new(schema), a, b)
            }
            (Datum::List(a), Datum::List(b)) => {
                let Type::List(item) = ty else { unreachable!() };
                let items = Layout::of_items(item);
                let pairs = list_items(a).zip(list_items(b)).map(|(a, b)| compare_rows(&items, a, b));
                pairs.fold(Ordering::Equal, Ordering::then).then(list_items(a).len().cmp(&list_items(b).len()))
            }
            (a, b) => panic!("{a:?} {b:?}"),
        }
    }

    fn compare_rows(layout: &Layout, a: &[u8], b: &[u8]) -> Ordering {
        let columns = layout.schema().columns().iter().enumerate();
        columns.map(|(i, column)| compare(&column.ty, layout.get(a, i), layout.get(b, i))).fold(Ordering::Equal, Ordering::then)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1000))]
        #[test]
        fn keys_order_as_their_values_and_differ_where_they_differ(schema in arbitrary::schema(), seed: u64) {
            let layout = Layout::new(&schema);
            let mut source = RowSource::new(seed);
            let columns: Vec<usize> = (0..schema.len()).collect();
            let mut builder = RowBuilder::new(&layout);
            let a = source.row(&layout);
            for round in 0..40 {
                // Columns at the front in common, so that the later ones matter.
                let other = source.row(&layout);
                let common = round % schema.len();
                columns.iter().for_each(|&i| builder.push(layout.get(if i < common { &a } else { &other }, i)));
                let b = builder.finish();
                let (key_a, key_b) = (encode(&layout, &a, &columns), encode(&layout, &b, &columns));
                prop_assert_eq!(key_a.cmp(&key_b), compare_rows(&layout, &a, &b));
                let starts = key_a.starts_with(&key_b) || key_b.starts_with(&key_a);
                prop_assert_eq!(starts, key_a == key_b, "no key begins with another");
            }
        }
    }

    fn key_of(texts: &[Option<&str>]) -> Row {
        let columns = (0..texts.len()).map(|i| Column::new(i.to_string(), Type::Text, true)).collect();
        let layout = Layout::new(&Schema::new(columns));
        let mut builder = RowBuilder::new(&layout);
        texts.iter().for_each(|text| builder.push(text.map_or(Datum::Null, Datum::Text)));
        encode(&layout, &builder.finish(), &(0..texts.len()).collect::<Vec<_>>())
    }

    #[test]
    fn columns_are_not_glued() {
        assert_ne!(key_of(&[Some("a_b"), Some("c")]), key_of(&[Some("a"), Some("b_c")]));
        assert_ne!(key_of(&[Some("a\0"), Some("")]), key_of(&[Some("a"), Some("\0")]));
        assert_ne!(key_of(&[None]), key_of(&[Some("")]));
        assert!(key_of(&[Some("a")]) < key_of(&[Some("a\0")]));
        assert!(key_of(&[Some("a\0")]) < key_of(&[Some("a\u{1}")]));
    }

    #[test]
    fn null_relates_to_nothing() {
        let layout = Layout::new(&Schema::new(vec![Column::new("a", Type::Int32, true)]));
        let mut builder = RowBuilder::new(&layout);
        builder.push(Datum::Null);
        assert_eq!(of_relation(&layout, &builder.finish(), &[0]), None);
        builder.push(Datum::Int(0));
        assert!(of_relation(&layout, &builder.finish(), &[0]).is_some());
    }
}
