//! Makes packed rows from values.

use datafusion::arrow::datatypes::i256;

use super::layout::{Slot, WIDE, push_end};
use super::{Column, Datum, Layout, Row, Type};

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
        let head = vec![0; layout.head_length()];
        RowBuilder { layout: layout.clone(), head, ends: Vec::new(), bytes: Vec::new(), column: 0 }
    }

    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// The column that comes next.
    pub fn next_column(&self) -> &Column {
        &self.layout.schema().columns()[self.column]
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
        if let Slot::Variable(_) = self.layout.slot(self.column) {
            self.ends.push(self.bytes.len() as u32);
        }
        self.column += 1;
    }

    fn push_fixed(&mut self, bytes: &[u8]) {
        let Slot::Fixed(at) = self.layout.slot(self.column) else { panic!("a value of fixed width for a column of variable length") };
        debug_assert_eq!(self.next_type().fixed_width(), Some(bytes.len()));
        self.head[at..at + bytes.len()].copy_from_slice(bytes);
        self.column += 1;
    }

    fn push_variable(&mut self, bytes: &[u8]) {
        let Slot::Variable(_) = self.layout.slot(self.column) else { panic!("a value of variable length for a column of fixed width") };
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
        assert_eq!(self.column, self.layout.schema().len(), "every column of the row is given");
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
