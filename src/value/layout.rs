//! Packed rows: one byte string per row, with direct access to every column.
//!
//! ```text
//! flags: u8              bit 0: end offsets are u32 instead of u16
//! nulls: ceil(n / 8)     bit i of byte i/8 is set if column i is NULL
//! fixed                  the values of fixed width, little endian, in column order, zeroes if NULL
//! ends                   for each column of variable length, the end of its bytes in `bytes`
//! bytes                  the values of variable length, in column order
//! ```
//! Two rows of one schema have equal bytes if and only if all their values are equal. The order of the bytes has no meaning: comparisons
//! use [`super::key`]. A struct is the packed row of its own schema. A list is `count: u32, end offsets: u32 * count, items`. An item is a
//! packed row: of the struct's schema in a list of structs, otherwise of a schema with the one column `item`.
//!
//! Columns of variable length can be appended to a row without touching its existing values ([`Layout::extend`]). A document is built that
//! way from the root's row and its children.

use std::sync::Arc;

use datafusion::arrow::datatypes::i256;

use super::{Column, Datum, Schema, Type};

/// The position of each column in the packed rows of a schema.
#[derive(Debug, Clone)]
pub struct Layout(Arc<LayoutInner>);

#[derive(Debug)]
struct LayoutInner {
    schema: Schema,
    slots: Vec<Slot>,
    /// Per column: the layout of a struct's rows or of a list's items; `None` for other types.
    nested: Vec<Option<Layout>>,
    /// Offset of the fixed area.
    fixed_at: usize,
    /// Offset of the end offsets.
    ends_at: usize,
    /// Number of columns of variable length.
    variable: usize,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Slot {
    /// Offset from the start of the row.
    Fixed(usize),
    /// Ordinal among the columns of variable length.
    Variable(usize),
}

/// The end offsets of a row's columns of variable length.
pub(super) struct EndOffsets<'a> {
    ends: &'a [u8],
    width: usize,
    bytes_at: usize,
}

impl EndOffsets<'_> {
    /// Offset in the row at which the values of variable length start.
    pub(super) fn bytes_at(&self) -> usize {
        self.bytes_at
    }

    /// The end of a value, relative to [`bytes_at`](Self::bytes_at), by its ordinal among the columns of variable length.
    pub(super) fn end(&self, ordinal: usize) -> usize {
        let end = &self.ends[ordinal * self.width..][..self.width];
        match self.width {
            2 => u16::from_le_bytes([end[0], end[1]]) as usize,
            _ => u32::from_le_bytes([end[0], end[1], end[2], end[3]]) as usize,
        }
    }
}

/// Flag bit of a row: its end offsets are u32.
pub(super) const WIDE: u8 = 1;

impl Layout {
    pub fn new(schema: &Schema) -> Layout {
        let fixed_at = 1 + schema.len().div_ceil(8);
        let (mut ends_at, mut variable) = (fixed_at, 0);
        let mut slots = Vec::with_capacity(schema.len());
        let mut nested = Vec::with_capacity(schema.len());
        for column in schema.columns() {
            nested.push(match &column.ty {
                Type::Struct(schema) => Some(Layout::new(schema)),
                Type::List(item) => Some(Layout::of_items(item)),
                _ => None,
            });
            match column.ty.fixed_width() {
                Some(width) => {
                    slots.push(Slot::Fixed(ends_at));
                    ends_at += width;
                }
                None => {
                    slots.push(Slot::Variable(variable));
                    variable += 1;
                }
            }
        }
        Layout(Arc::new(LayoutInner { schema: schema.clone(), slots, nested, fixed_at, ends_at, variable }))
    }

    /// The layout of the items of a list of this type.
    pub fn of_items(item: &Type) -> Layout {
        match item {
            Type::Struct(schema) => Layout::new(schema),
            other => Layout::new(&Schema::new(vec![Column::new("item", other.clone(), true)])),
        }
    }

    pub fn schema(&self) -> &Schema {
        &self.0.schema
    }

    /// The layout of the rows of a struct column, or of the items of a list column.
    pub fn nested(&self, column: usize) -> Option<&Layout> {
        self.0.nested[column].as_ref()
    }

    pub(super) fn slot(&self, column: usize) -> Slot {
        self.0.slots[column]
    }

    /// Length in bytes of flags, nulls and the fixed area.
    pub(super) fn head_length(&self) -> usize {
        self.0.ends_at
    }

    pub fn is_null(&self, row: &[u8], column: usize) -> bool {
        row[1 + column / 8] >> (column % 8) & 1 == 1
    }

    /// The value of a column. `row` must be of this layout; anything else panics or gives wrong values.
    pub fn get<'a>(&self, row: &'a [u8], column: usize) -> Datum<'a> {
        if self.is_null(row, column) {
            return Datum::Null;
        }
        match self.0.slots[column] {
            Slot::Fixed(at) => fixed(&self.0.schema.columns()[column].ty, &row[at..]),
            Slot::Variable(ordinal) => variable(&self.0.schema.columns()[column].ty, self.variable_bytes(row, ordinal)),
        }
    }

    /// The packed bytes of a column that is not NULL: little endian for fixed widths, the bytes themselves otherwise. Equal values have
    /// equal bytes.
    pub fn raw<'a>(&self, row: &'a [u8], column: usize) -> &'a [u8] {
        match self.0.slots[column] {
            Slot::Fixed(at) => {
                let width = self.0.schema.columns()[column].ty.fixed_width().expect("a fixed slot has a fixed width");
                &row[at..at + width]
            }
            Slot::Variable(ordinal) => self.variable_bytes(row, ordinal),
        }
    }

    fn variable_bytes<'a>(&self, row: &'a [u8], ordinal: usize) -> &'a [u8] {
        let width = if row[0] & WIDE != 0 { 4 } else { 2 };
        let end_of = |ordinal: usize| {
            let at = self.0.ends_at + ordinal * width;
            match width {
                2 => u16::from_le_bytes([row[at], row[at + 1]]) as usize,
                _ => u32::from_le_bytes([row[at], row[at + 1], row[at + 2], row[at + 3]]) as usize,
            }
        };
        let bytes_at = self.0.ends_at + self.0.variable * width;
        let start = if ordinal == 0 { 0 } else { end_of(ordinal - 1) };
        &row[bytes_at + start..bytes_at + end_of(ordinal)]
    }

    /// The end offsets of a row. `None` if the bytes are too short for a row of this layout.
    pub(super) fn ends<'a>(&self, row: &'a [u8]) -> Option<EndOffsets<'a>> {
        let width = if row.first()? & WIDE != 0 { 4 } else { 2 };
        let bytes_at = self.0.ends_at + self.0.variable * width;
        Some(EndOffsets { ends: row.get(self.0.ends_at..bytes_at)?, width, bytes_at })
    }

    /// Appends columns of variable length to a row of this layout and writes the result to `out`. The result is a row of this schema
    /// followed by one column of variable length for each of `more` (`None` is NULL).
    pub fn extend<'a>(&self, row: &[u8], more: impl ExactSizeIterator<Item = Option<&'a [u8]>> + Clone, out: &mut Vec<u8>) {
        let columns = self.0.schema.len();
        let total = columns + more.len();
        let base_width = if row[0] & WIDE != 0 { 4 } else { 2 };
        let base_bytes = &row[self.0.ends_at + self.0.variable * base_width..];
        let added: usize = more.clone().map(|m| m.map_or(0, <[u8]>::len)).sum();
        let wide = base_bytes.len() + added > u16::MAX as usize;
        let start = out.len();
        out.push(if wide { WIDE } else { 0 });
        out.extend_from_slice(&row[1..self.0.fixed_at]);
        out.resize(start + 1 + total.div_ceil(8), 0);
        for (i, payload) in more.clone().enumerate() {
            if payload.is_none() {
                out[start + 1 + (columns + i) / 8] |= 1 << ((columns + i) % 8);
            }
        }
        out.extend_from_slice(&row[self.0.fixed_at..self.0.ends_at]);
        let mut end = 0usize;
        for ordinal in 0..self.0.variable {
            end += self.variable_bytes(row, ordinal).len();
            push_end(out, end, wide);
        }
        for payload in more.clone() {
            end += payload.map_or(0, <[u8]>::len);
            push_end(out, end, wide);
        }
        out.extend_from_slice(base_bytes);
        for payload in more.flatten() {
            out.extend_from_slice(payload);
        }
    }
}

pub(super) fn push_end(out: &mut Vec<u8>, end: usize, wide: bool) {
    match wide {
        true => out.extend_from_slice(&u32::try_from(end).expect("a row is shorter than 4 GiB").to_le_bytes()),
        false => out.extend_from_slice(&(end as u16).to_le_bytes()),
    }
}

fn fixed<'a>(ty: &Type, at: &[u8]) -> Datum<'a> {
    fn array<const N: usize>(at: &[u8]) -> [u8; N] {
        at[..N].try_into().expect("the fixed area is long enough")
    }
    match ty {
        Type::Bool => Datum::Bool(at[0] != 0),
        Type::Int8 => Datum::Int(at[0] as i8 as i64),
        Type::Int16 => Datum::Int(i16::from_le_bytes(array(at)) as i64),
        Type::Int32 => Datum::Int(i32::from_le_bytes(array(at)) as i64),
        Type::Int64 => Datum::Int(i64::from_le_bytes(array(at))),
        Type::UInt8 => Datum::UInt(at[0] as u64),
        Type::UInt16 => Datum::UInt(u16::from_le_bytes(array(at)) as u64),
        Type::UInt32 => Datum::UInt(u32::from_le_bytes(array(at)) as u64),
        Type::UInt64 => Datum::UInt(u64::from_le_bytes(array(at))),
        Type::Float32 => Datum::Float32(f32::from_le_bytes(array(at))),
        Type::Float64 => Datum::Float64(f64::from_le_bytes(array(at))),
        Type::Decimal { precision: ..=18, .. } => Datum::Decimal(i64::from_le_bytes(array(at)) as i128),
        Type::Decimal { precision: ..=38, .. } => Datum::Decimal(i128::from_le_bytes(array(at))),
        Type::Decimal { .. } => Datum::Decimal256(i256::from_le_bytes(array(at))),
        Type::Date => Datum::Date(i32::from_le_bytes(array(at))),
        Type::DateTime { .. } => Datum::DateTime(i64::from_le_bytes(array(at))),
        Type::Timestamp { .. } => Datum::Timestamp(i64::from_le_bytes(array(at))),
        Type::Time { .. } => Datum::Time(i64::from_le_bytes(array(at))),
        Type::Text | Type::Binary | Type::Json | Type::Struct(_) | Type::List(_) => unreachable!("not of fixed width"),
    }
}

fn variable<'a>(ty: &Type, bytes: &'a [u8]) -> Datum<'a> {
    // Rows are built from `&str` only, so the bytes are UTF-8. They are checked anyway, because rows are also read from disk.
    let text = || std::str::from_utf8(bytes).expect("text in a packed row is UTF-8");
    match ty {
        Type::Text => Datum::Text(text()),
        Type::Json => Datum::Json(text()),
        Type::Binary => Datum::Binary(bytes),
        Type::Struct(_) => Datum::Struct(bytes),
        Type::List(_) => Datum::List(bytes),
        _ => unreachable!("of fixed width"),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::RowBuilder;
    use super::super::arbitrary::{self, RowSource};
    use super::*;

    proptest! {
        #[test]
        fn an_extended_row_is_the_longer_row(base in arbitrary::schema(), more in 0usize..10, seed: u64, large: bool) {
            let mut columns = base.columns().to_vec();
            columns.extend((0..more).map(|i| Column::new(format!("m{i}"), Type::Binary, true)));
            let longer = Layout::new(&Schema::new(columns));
            let mut source = RowSource::new(seed);
            source.longest = if large { 70_000 } else { 300 };
            let expected = source.row(&longer);

            let layout = Layout::new(&base);
            let mut builder = RowBuilder::new(&layout);
            (0..base.len()).for_each(|i| builder.push(longer.get(&expected, i)));
            let row = builder.finish();
            let added: Vec<Option<&[u8]>> = (base.len()..base.len() + more)
                .map(|i| (!longer.is_null(&expected, i)).then(|| longer.raw(&expected, i)))
                .collect();
            let mut out = vec![7];
            layout.extend(&row, added.iter().copied(), &mut out);
            prop_assert!(out[1..] == expected[..]);
        }
    }
}
