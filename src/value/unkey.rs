//! Decodes a [`key`](super::key) into the values that it was made from.

use datafusion::arrow::datatypes::i256;

use super::{Datum, Layout, Row, RowBuilder, Type, pack_list};

/// The row of a key over all columns of `layout`. It equals the row that the key was made from, except for `-0.0` and NaN, which have one
/// form in a key. `None` if the bytes are not such a key.
pub fn row_of_key(layout: &Layout, mut key: &[u8]) -> Option<Row> {
    let mut builder = RowBuilder::new(layout);
    for _ in layout.schema().columns() {
        pop(&mut key, &mut builder)?;
    }
    key.is_empty().then(|| builder.finish())
}

/// Decodes the builder's next value from the front of the key and removes it there.
fn pop(key: &mut &[u8], builder: &mut RowBuilder) -> Option<()> {
    if take::<1>(key)? == [0] {
        builder.push(Datum::Null);
        return Some(());
    }
    let datum = match builder.next_type().clone() {
        Type::Bool => Datum::Bool(take::<1>(key)? == [1]),
        Type::Int8 => Datum::Int((take::<1>(key)?[0] ^ 0x80) as i8 as i64),
        Type::Int16 => Datum::Int((u16::from_be_bytes(take(key)?) ^ 0x8000) as i16 as i64),
        Type::Int32 => Datum::Int((u32::from_be_bytes(take(key)?) ^ 0x8000_0000) as i32 as i64),
        Type::Int64 => Datum::Int(signed(key)?),
        Type::UInt8 => Datum::UInt(take::<1>(key)?[0] as u64),
        Type::UInt16 => Datum::UInt(u16::from_be_bytes(take(key)?) as u64),
        Type::UInt32 => Datum::UInt(u32::from_be_bytes(take(key)?) as u64),
        Type::UInt64 => Datum::UInt(u64::from_be_bytes(take(key)?)),
        Type::Float32 => {
            let bits = u32::from_be_bytes(take(key)?);
            Datum::Float32(f32::from_bits(bits ^ if bits >> 31 == 1 { 1 << 31 } else { u32::MAX }))
        }
        Type::Float64 => {
            let bits = u64::from_be_bytes(take(key)?);
            Datum::Float64(f64::from_bits(bits ^ if bits >> 63 == 1 { 1 << 63 } else { u64::MAX }))
        }
        Type::Decimal { precision: ..=18, .. } => Datum::Decimal(signed(key)? as i128),
        Type::Decimal { precision: ..=38, .. } => Datum::Decimal((u128::from_be_bytes(take(key)?) ^ 1 << 127) as i128),
        Type::Decimal { .. } => {
            let mut bytes = take::<32>(key)?;
            bytes[0] ^= 0x80;
            Datum::Decimal256(i256::from_be_bytes(bytes))
        }
        Type::Date => Datum::Date((u32::from_be_bytes(take(key)?) ^ 0x8000_0000) as i32),
        Type::DateTime { .. } => Datum::DateTime(signed(key)?),
        Type::Timestamp { .. } => Datum::Timestamp(signed(key)?),
        Type::Time { .. } => Datum::Time(signed(key)?),
        Type::Text => return push_text(key, builder, |text| Datum::Text(text)),
        Type::Json => return push_text(key, builder, |text| Datum::Json(text)),
        Type::Binary => {
            builder.push(Datum::Binary(&unescaped(key)?));
            return Some(());
        }
        Type::Struct(_) => {
            let mut nested = RowBuilder::new(builder.next_nested());
            let row = pop_row(key, &mut nested)?;
            builder.push(Datum::Struct(&row));
            return Some(());
        }
        Type::List(_) => return pop_list(key, builder),
    };
    builder.push(datum);
    Some(())
}

fn pop_row(key: &mut &[u8], builder: &mut RowBuilder) -> Option<Row> {
    for _ in 0..builder.layout().schema().len() {
        pop(key, builder)?;
    }
    Some(builder.finish())
}

fn pop_list(key: &mut &[u8], builder: &mut RowBuilder) -> Option<()> {
    let mut nested = RowBuilder::new(builder.next_nested());
    let mut rows = Vec::new();
    loop {
        match take::<1>(key)? {
            [0] => break,
            [2] => rows.push(pop_row(key, &mut nested)?),
            _ => return None,
        }
    }
    let mut list = Vec::new();
    pack_list(rows.iter().map(|row| &row[..]), &mut list);
    builder.push(Datum::List(&list));
    Some(())
}

fn push_text(key: &mut &[u8], builder: &mut RowBuilder, datum: impl Fn(&str) -> Datum) -> Option<()> {
    let text = String::from_utf8(unescaped(key)?).ok()?;
    builder.push(datum(&text));
    Some(())
}

fn take<const N: usize>(key: &mut &[u8]) -> Option<[u8; N]> {
    let (front, rest) = key.split_first_chunk::<N>()?;
    *key = rest;
    Some(*front)
}

fn signed(key: &mut &[u8]) -> Option<i64> {
    Some((u64::from_be_bytes(take(key)?) ^ 1 << 63) as i64)
}

fn unescaped(key: &mut &[u8]) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    loop {
        let zero = key.iter().position(|b| *b == 0)?;
        bytes.extend_from_slice(&key[..zero]);
        let after = *key.get(zero + 1)?;
        *key = &key[zero + 2..];
        match after {
            0 => return Some(bytes),
            0xff => bytes.push(0),
            _ => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::value::arbitrary::{self, RowSource};
    use crate::value::key;

    proptest! {
        #[test]
        fn a_row_comes_back_from_its_key(schema in arbitrary::schema(), seed: u64) {
            let layout = Layout::new(&schema);
            let columns: Vec<usize> = (0..schema.len()).collect();
            let row = RowSource::new(seed).row(&layout);
            let made = key::encode(&layout, &row, &columns);
            let back = row_of_key(&layout, &made).expect("a key");
            prop_assert_eq!(key::encode(&layout, &back, &columns), made);
            let has_float = schema.columns().iter().any(|c| c.ty.to_string().contains("float"));
            prop_assert!(has_float || back == row);
        }

        #[test]
        fn a_cut_or_lengthened_key_is_none(schema in arbitrary::schema(), seed: u64, cut: prop::sample::Index) {
            let layout = Layout::new(&schema);
            let columns: Vec<usize> = (0..schema.len()).collect();
            let mut made = key::encode(&layout, &RowSource::new(seed).row(&layout), &columns).to_vec();
            prop_assert_eq!(row_of_key(&layout, &made[..cut.index(made.len())]), None);
            made.push(0);
            prop_assert_eq!(row_of_key(&layout, &made), None);
        }
    }
}
