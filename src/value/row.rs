//! Packed rows: one byte string per row, every column reachable without walking the others.
//!
//! ```text
//! flags: u8              bit 0: end offsets are u32 instead of u16
//! nulls: ceil(n / 8)     bit i of byte i/8 is set where column i is NULL
//! fixed                  the values of fixed width, little endian, in column order, zeroes where NULL
//! ends                   for each column of variable length, the end of its bytes in `bytes`
//! bytes                  the values of variable length, in column order
//! ```
//! Two rows of one schema are the same bytes exactly when all their values are the same. The order of these bytes means nothing:
//! what is compared goes through [`super::key`]. A struct is the packed row of its own schema. A list is
//! `count: u32, end offsets: u32 * count, items`, where an item is a packed row: of the struct's schema for a list of structs,
//! else of a schema with the one column `item`.
//!
//! A row can be lengthened by columns of variable length without touching the values that it has ([`Layout::extend`]); a
//! document is built that way from the root's row and its children.

use std::ops::Deref;
use std::sync::Arc;

use datafusion::arrow::datatypes::i256;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{Column, Datum, Schema, Type};

/// A packed row.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Row(Box<[u8]>);

/// Where each column of a schema is in its packed rows.
#[derive(Debug, Clone)]
pub struct Layout(Arc<LayoutInner>);

#[derive(Debug)]
struct LayoutInner {
    schema: Schema,
    slots: Vec<Slot>,
    /// The layout of a struct's rows or of a list's items, for the columns that are such.
    nested: Vec<Option<Layout>>,
    /// Where the fixed area starts.
    fixed_at: usize,
    /// Where the end offsets start.
    ends_at: usize,
    variable: usize,
}

#[derive(Debug, Clone, Copy)]
enum Slot {
    /// Offset from the start of the row.
    Fixed(usize),
    /// Ordinal among the columns of variable length.
    Variable(usize),
}

const WIDE: u8 = 1;

impl Row {
    pub fn from_bytes(bytes: &[u8]) -> Row {
        Row(bytes.into())
    }
}

impl From<Vec<u8>> for Row {
    fn from(bytes: Vec<u8>) -> Row {
        Row(bytes.into_boxed_slice())
    }
}

impl Deref for Row {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl std::borrow::Borrow<[u8]> for Row {
    fn borrow(&self) -> &[u8] {
        &self.0
    }
}

/// The length only: row values are never printed.
impl std::fmt::Debug for Row {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Row({} bytes)", self.0.len())
    }
}

impl Serialize for Row {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Row {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Row, D::Error> {
        struct Bytes;
        impl serde::de::Visitor<'_> for Bytes {
            type Value = Row;
            fn expecting(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
                f.write_str("the bytes of a row")
            }
            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Row, E> {
                Ok(Row::from_bytes(bytes))
            }
            fn visit_byte_buf<E>(self, bytes: Vec<u8>) -> Result<Row, E> {
                Ok(bytes.into())
            }
        }
        deserializer.deserialize_byte_buf(Bytes)
    }
}

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

    /// The packed bytes of a column that is not NULL: little endian for fixed widths, the bytes themselves otherwise. Equal
    /// values have equal bytes.
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

    /// Lengthens a row of this layout by columns of variable length, appending the result to `out`. The result is a row of the
    /// schema that has this one's columns and then, for each of `more`, a column of variable length (`None` is NULL).
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

fn push_end(out: &mut Vec<u8>, end: usize, wide: bool) {
    match wide {
        true => out.extend_from_slice(&(end as u32).to_le_bytes()),
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
    // Rows are only made from `&str`, so the bytes are UTF-8; checked all the same, because they also come back from disk.
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

/// Packs rows of one layout, column by column. One builder serves any number of rows.
#[derive(Debug)]
pub struct RowBuilder {
    layout: Layout,
    /// flags, nulls, fixed.
    head: Vec<u8>,
    ends: Vec<u32>,
    bytes: Vec<u8>,
    column: usize,
}

impl RowBuilder {
    pub fn new(layout: &Layout) -> RowBuilder {
        let head = vec![0; layout.0.ends_at];
        RowBuilder { layout: layout.clone(), head, ends: Vec::with_capacity(layout.0.variable), bytes: Vec::new(), column: 0 }
    }

    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// The column that comes next.
    pub fn next_column(&self) -> &Column {
        &self.layout.0.schema.columns()[self.column]
    }

    /// The type of the column that comes next.
    pub fn next_type(&self) -> &Type {
        &self.next_column().ty
    }

    /// The layout of the rows of the struct, or of the items of the list, that comes next.
    ///
    /// # Panics
    /// Where the next column is neither.
    pub fn next_nested(&self) -> &Layout {
        self.layout.nested(self.column).expect("the next column is a struct or a list")
    }

    /// Forgets the columns pushed since the last row, to begin it again.
    pub fn clear(&mut self) {
        self.head.fill(0);
        self.ends.clear();
        self.bytes.clear();
        self.column = 0;
    }

    /// The value of the next column.
    ///
    /// # Panics
    /// Where the datum is not of the column's type, or an integer or decimal does not fit its width: the caller checks what comes
    /// from outside.
    pub fn push(&mut self, datum: Datum) {
        match datum {
            Datum::Null => self.push_null(),
            Datum::Bool(v) => self.push_fixed(&[v as u8]),
            Datum::Int(v) => self.push_int(v),
            Datum::UInt(v) => self.push_uint(v),
            // One NaN, so that equal values have equal bytes.
            Datum::Float32(v) => self.push_fixed(&if v.is_nan() { f32::NAN } else { v }.to_le_bytes()),
            Datum::Float64(v) => self.push_fixed(&if v.is_nan() { f64::NAN } else { v }.to_le_bytes()),
            Datum::Decimal(v) => self.push_decimal(v),
            Datum::Decimal256(v) => self.push_fixed(&v.to_le_bytes()),
            Datum::Date(v) => self.push_fixed(&v.to_le_bytes()),
            Datum::DateTime(v) | Datum::Timestamp(v) | Datum::Time(v) => self.push_fixed(&v.to_le_bytes()),
            Datum::Text(v) | Datum::Json(v) => self.push_variable(v.as_bytes()),
            Datum::Binary(v) | Datum::Struct(v) | Datum::List(v) => self.push_variable(v),
        }
    }

    fn push_null(&mut self) {
        self.head[1 + self.column / 8] |= 1 << (self.column % 8);
        if let Slot::Variable(_) = self.layout.0.slots[self.column] {
            self.ends.push(self.bytes.len() as u32);
        }
        self.column += 1;
    }

    fn push_fixed(&mut self, bytes: &[u8]) {
        let Slot::Fixed(at) = self.layout.0.slots[self.column] else { panic!("a value of fixed width for a column of variable length") };
        debug_assert_eq!(self.next_type().fixed_width(), Some(bytes.len()));
        self.head[at..at + bytes.len()].copy_from_slice(bytes);
        self.column += 1;
    }

    fn push_variable(&mut self, bytes: &[u8]) {
        let Slot::Variable(_) = self.layout.0.slots[self.column] else { panic!("a value of variable length for a column of fixed width") };
        self.bytes.extend_from_slice(bytes);
        self.ends.push(u32::try_from(self.bytes.len()).expect("a row is shorter than 4 GiB"));
        self.column += 1;
    }

    fn push_int(&mut self, v: i64) {
        match self.next_type().fixed_width() {
            Some(1) => self.push_fixed(&i8::try_from(v).expect("fits int8").to_le_bytes()),
            Some(2) => self.push_fixed(&i16::try_from(v).expect("fits int16").to_le_bytes()),
            Some(4) => self.push_fixed(&i32::try_from(v).expect("fits int32").to_le_bytes()),
            _ => self.push_fixed(&v.to_le_bytes()),
        }
    }

    fn push_uint(&mut self, v: u64) {
        match self.next_type().fixed_width() {
            Some(1) => self.push_fixed(&u8::try_from(v).expect("fits uint8").to_le_bytes()),
            Some(2) => self.push_fixed(&u16::try_from(v).expect("fits uint16").to_le_bytes()),
            Some(4) => self.push_fixed(&u32::try_from(v).expect("fits uint32").to_le_bytes()),
            _ => self.push_fixed(&v.to_le_bytes()),
        }
    }

    fn push_decimal(&mut self, v: i128) {
        match self.next_type().fixed_width() {
            Some(8) => self.push_fixed(&i64::try_from(v).expect("at most 18 digits").to_le_bytes()),
            Some(16) => self.push_fixed(&v.to_le_bytes()),
            _ => self.push_fixed(&i256::from_i128(v).to_le_bytes()),
        }
    }

    /// The row of the columns pushed since the last call; all must have been.
    pub fn finish(&mut self) -> Row {
        let mut out = Vec::with_capacity(self.head.len() + self.ends.len() * 4 + self.bytes.len());
        self.finish_into(&mut out);
        out.into()
    }

    /// As [`finish`](RowBuilder::finish), appended to `out`.
    pub fn finish_into(&mut self, out: &mut Vec<u8>) {
        assert_eq!(self.column, self.layout.0.slots.len(), "every column of the row is given");
        let wide = self.bytes.len() > u16::MAX as usize;
        self.head[0] = if wide { WIDE } else { 0 };
        out.extend_from_slice(&self.head);
        for &end in &self.ends {
            push_end(out, end as usize, wide);
        }
        out.extend_from_slice(&self.bytes);
        self.clear();
    }
}

/// Packs a list of packed items, appending it to `out`.
pub fn pack_list<'a>(items: impl ExactSizeIterator<Item = &'a [u8]> + Clone, out: &mut Vec<u8>) {
    out.extend_from_slice(&(items.len() as u32).to_le_bytes());
    let mut end = 0u32;
    for item in items.clone() {
        end += item.len() as u32;
        out.extend_from_slice(&end.to_le_bytes());
    }
    for item in items {
        out.extend_from_slice(item);
    }
}

/// The packed items of a packed list, in order.
pub fn list_items(list: &[u8]) -> impl ExactSizeIterator<Item = &[u8]> + Clone {
    let word = |i: usize| u32::from_le_bytes(list[i * 4..i * 4 + 4].try_into().expect("four bytes")) as usize;
    let count = word(0);
    let items = &list[4 + 4 * count..];
    (0..count).map(move |i| &items[if i == 0 { 0 } else { word(i) }..word(i + 1)])
}
