//! Builds packed rows from values.

use datafusion::arrow::datatypes::i256;

use super::layout::{Slot, WIDE, push_end};
use super::{Column, Datum, Layout, Row, Type};

/// Packs rows of one layout, column by column. One builder serves any number of rows.
#[derive(Debug)]
pub struct RowBuilder {
    layout: Layout,
    /// Flags, nulls and the fixed area.
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

    /// The column that the next push fills.
    pub fn next_column(&self) -> &Column {
        &self.layout.schema().columns()[self.column]
    }

    /// The type of the column that the next push fills.
    pub fn next_type(&self) -> &Type {
        &self.next_column().ty
    }

    /// The layout of a struct's row or of a list's items, for the column that the next push fills.
    ///
    /// # Panics
    /// If the next column is neither a struct nor a list.
    pub fn next_nested(&self) -> &Layout {
        self.layout.nested(self.column).expect("the next column is a struct or a list")
    }

    /// Discards the columns pushed since the last row, so that the row can be started again.
    pub fn clear(&mut self) {
        self.head.fill(0);
        self.ends.clear();
        self.bytes.clear();
        self.column = 0;
    }

    /// Appends the value of the next column.
    ///
    /// # Panics
    /// If the datum is not of the column's type, or an integer or decimal does not fit its width. The caller checks external input.
    pub fn push(&mut self, datum: Datum) {
        match datum {
            Datum::Null => self.push_null(),
            Datum::Bool(v) => self.push_fixed(&[v as u8]),
            Datum::Int(v) => self.push_int(v),
            Datum::UInt(v) => self.push_uint(v),
            // All NaNs get the same bits, so that equal values have equal bytes.
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

    /// The row of the columns pushed since the last call. Panics if a column is missing.
    pub fn finish(&mut self) -> Row {
        // Exactly the length of the row, so that the box needs no second allocation.
        let end_width = if self.is_wide() { 4 } else { 2 };
        let mut out = Vec::with_capacity(self.head.len() + self.ends.len() * end_width + self.bytes.len());
        self.finish_into(&mut out);
        out.into()
    }

    fn is_wide(&self) -> bool {
        self.bytes.len() > u16::MAX as usize
    }

    /// Same as [`finish`](RowBuilder::finish), appended to `out`.
    pub fn finish_into(&mut self, out: &mut Vec<u8>) {
        assert_eq!(self.column, self.layout.schema().len(), "every column of the row is given");
        let wide = self.is_wide();
        self.head[0] = if wide { WIDE } else { 0 };
        out.extend_from_slice(&self.head);
        for &end in &self.ends {
            push_end(out, end as usize, wide);
        }
        out.extend_from_slice(&self.bytes);
        self.clear();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::arbitrary::{self, RowSource};
    use super::super::{Schema, list_items, pack_list};
    use super::*;

    /// The same row, made from the values that `row` gives.
    fn again(layout: &Layout, row: &[u8]) -> Row {
        let mut builder = RowBuilder::new(layout);
        for i in 0..layout.schema().len() {
            match layout.get(row, i) {
                Datum::Struct(inner) => builder.push(Datum::Struct(&again(layout.nested(i).unwrap(), inner))),
                Datum::List(list) => {
                    let items: Vec<Row> = list_items(list).map(|item| again(layout.nested(i).unwrap(), item)).collect();
                    let mut list = Vec::new();
                    pack_list(items.iter().map(|item| &item[..]), &mut list);
                    builder.push(Datum::List(&list));
                }
                datum => builder.push(datum),
            }
        }
        builder.finish()
    }

    proptest! {
        #[test]
        fn a_row_made_from_its_values_is_the_same(schema in arbitrary::schema(), seed: u64, large: bool) {
            let layout = Layout::new(&schema);
            let mut source = RowSource::new(seed);
            source.longest = if large { 70_000 } else { 300 };
            let row = source.row(&layout);
            prop_assert_eq!(again(&layout, &row), row);
        }
    }

    fn one_of_each() -> Vec<(&'static str, Datum<'static>)> {
        vec![
            ("bool", Datum::Bool(true)),
            ("int8", Datum::Int(i8::MIN as i64)),
            ("int16", Datum::Int(i16::MIN as i64)),
            ("int32", Datum::Int(i32::MIN as i64)),
            ("int64", Datum::Int(i64::MIN)),
            ("uint8", Datum::UInt(u8::MAX as u64)),
            ("uint16", Datum::UInt(u16::MAX as u64)),
            ("uint32", Datum::UInt(u32::MAX as u64)),
            ("uint64", Datum::UInt(u64::MAX)),
            ("float32", Datum::Float32(-0.5)),
            ("float64", Datum::Float64(f64::MIN_POSITIVE)),
            ("decimal(18,2)", Datum::Decimal(-999_999_999_999_999_999)),
            ("decimal(38,2)", Datum::Decimal(10i128.pow(38) - 1)),
            ("decimal(65,2)", Datum::Decimal256(i256::from_i128(-1))),
            ("text", Datum::Text("ü")),
            ("binary", Datum::Binary(&[0, 255])),
            ("json", Datum::Json("{}")),
            ("date", Datum::Date(-1)),
            ("datetime(6)", Datum::DateTime(-1)),
            ("timestamp(6)", Datum::Timestamp(i64::MAX)),
            ("time(6)", Datum::Time(-3_020_399_000_000)),
            ("text", Datum::Text("")),
        ]
    }

    #[test]
    fn every_type_comes_back() {
        let values = one_of_each();
        let columns = values.iter().map(|(ty, _)| Column::new("c", ty.parse().unwrap(), true)).collect();
        let layout = Layout::new(&Schema::new(columns));
        let mut builder = RowBuilder::new(&layout);
        for round in 0..2 {
            values.iter().for_each(|(_, datum)| builder.push(*datum));
            let row = builder.finish();
            for (i, (ty, datum)) in values.iter().enumerate() {
                assert_eq!(layout.get(&row, i), *datum, "{ty} in round {round}");
            }
            values.iter().for_each(|_| builder.push(Datum::Null));
            let row = builder.finish();
            assert!((0..values.len()).all(|i| layout.get(&row, i) == Datum::Null));
        }
    }

    #[test]
    fn a_cleared_builder_begins_again() {
        let layout = Layout::new(&Schema::new(vec![Column::new("a", Type::Text, true), Column::new("b", Type::Int8, true)]));
        let mut builder = RowBuilder::new(&layout);
        builder.push(Datum::Null);
        builder.clear();
        builder.push(Datum::Text("x"));
        builder.push(Datum::Int(1));
        let row = builder.finish();
        assert_eq!((layout.get(&row, 0), layout.get(&row, 1)), (Datum::Text("x"), Datum::Int(1)));
    }

    #[test]
    fn every_nan_is_the_same_bytes() {
        let layout = Layout::new(&Schema::new(vec![Column::new("a", Type::Float64, false), Column::new("b", Type::Float32, false)]));
        let mut builder = RowBuilder::new(&layout);
        let mut row = |a: f64, b: f32| {
            builder.push(Datum::Float64(a));
            builder.push(Datum::Float32(b));
            builder.finish()
        };
        assert_eq!(row(f64::NAN, f32::NAN), row(-f64::NAN, f32::from_bits(0xffff_ffff)));
    }
}
