//! Random schemas and rows, for property tests.
//!
//! Schemas shrink. A row is generated from a seed, so that it fits the shrunk schema.

use datafusion::arrow::datatypes::i256;
use proptest::prelude::*;
use proptest::test_runner::{RngAlgorithm, TestRng};

use super::{Column, Datum, Layout, Row, RowBuilder, Schema, Type, pack_list};

/// Every type that contains no other types.
pub(crate) fn scalar_type() -> impl Strategy<Value = Type> {
    prop_oneof![
        15 => prop::sample::select(vec![
            Type::Bool,
            Type::Int8,
            Type::Int16,
            Type::Int32,
            Type::Int64,
            Type::UInt8,
            Type::UInt16,
            Type::UInt32,
            Type::UInt64,
            Type::Float32,
            Type::Float64,
            Type::Text,
            Type::Binary,
            Type::Json,
            Type::Date,
        ]),
        3 => (1u8..=76, 0u8..=76).prop_map(|(precision, scale)| Type::Decimal { precision, scale: scale.min(precision) }),
        1 => (0u8..=6).prop_map(|fsp| Type::DateTime { fsp }),
        1 => (0u8..=6).prop_map(|fsp| Type::Timestamp { fsp }),
        1 => (0u8..=6).prop_map(|fsp| Type::Time { fsp }),
    ]
}

pub(crate) fn any_type() -> impl Strategy<Value = Type> {
    scalar_type().prop_recursive(3, 12, 3, |inner| {
        prop_oneof![schema_of(inner.clone(), 1..4).prop_map(Type::Struct), inner.prop_map(|item| Type::List(Box::new(item)))]
    })
}

/// One to seven columns of any type; some nullable, some absent when NULL.
pub(crate) fn schema() -> impl Strategy<Value = Schema> {
    schema_of(any_type(), 1..8)
}

fn schema_of(ty: impl Strategy<Value = Type>, columns: std::ops::Range<usize>) -> impl Strategy<Value = Schema> {
    prop::collection::vec((ty, any::<bool>(), any::<bool>()), columns).prop_map(|columns| {
        let column = |(i, (ty, nullable, absent)): (usize, (Type, bool, bool))| Column {
            absent_when_null: nullable && absent,
            ..Column::new(format!("c{i}"), ty, nullable)
        };
        Schema::new(columns.into_iter().enumerate().map(column).collect())
    })
}

/// Generates rows from a seed; equal seeds give equal rows.
pub(crate) struct RowSource {
    rng: TestRng,
    /// Maximum length of one text or binary in ten; the maximum of the others is 12.
    pub(crate) longest: usize,
}

impl RowSource {
    pub(crate) fn new(seed: u64) -> RowSource {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        RowSource { rng: TestRng::from_seed(RngAlgorithm::ChaCha, &bytes), longest: 300 }
    }

    pub(crate) fn row(&mut self, layout: &Layout) -> Row {
        let mut builder = RowBuilder::new(layout);
        for column in layout.schema().columns() {
            self.push(&mut builder, column);
        }
        builder.finish()
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.rng.next_u64() % bound
    }

    /// Small numbers, extremes and values in between, all of them frequent.
    fn bits(&mut self) -> u64 {
        let raw = self.rng.next_u64();
        match self.below(4) {
            0 => self.below(3),
            1 => raw,
            2 => [u64::MAX, i64::MAX as u64, i64::MIN as u64][raw as usize % 3],
            _ => raw >> self.below(64),
        }
    }

    fn digits(&mut self, precision: u8) -> i256 {
        let count = self.below(precision as u64 + 1);
        let nines = self.below(4) == 0;
        let mut value = i256::ZERO;
        for _ in 0..count {
            let digit = if nines { 9 } else { self.below(10) };
            value = value.wrapping_mul(i256::from_i128(10)).wrapping_add(i256::from_i128(digit as i128));
        }
        if self.below(2) == 0 { value.wrapping_neg() } else { value }
    }

    /// Microseconds with `fsp` digits, up to `limit` seconds in either direction.
    fn micros(&mut self, fsp: u8, limit: i64) -> i64 {
        let unit = 10i64.pow(6 - fsp as u32);
        let micros = self.bits() as i64 % (limit * 1_000_000);
        micros / unit * unit
    }

    fn bytes(&mut self) -> Vec<u8> {
        let longest = if self.below(10) == 0 { self.longest } else { 12 };
        let length = self.below(longest as u64 + 1);
        // Many zeroes and 0xff bytes, because keys escape these.
        (0..length).map(|_| [0, 0xff, b'a', self.rng.next_u64() as u8][self.below(4) as usize]).collect()
    }

    fn text(&mut self) -> String {
        let longest = if self.below(10) == 0 { self.longest } else { 12 };
        let length = self.below(longest as u64 + 1);
        let special = ['\0', '\u{1}', '"', '\\', '\n', 'a', 'b', '_', 'ü', '日', '\u{1f600}', '\u{ffff}'];
        (0..length).map(|_| special[self.below(special.len() as u64) as usize]).collect()
    }

    fn json(&mut self, depth: u32) -> serde_json::Value {
        use serde_json::Value;
        match self.below(if depth == 0 { 4 } else { 6 }) {
            0 => Value::Bool(self.below(2) == 0),
            1 => serde_json::from_str(["0", "-1", "1.50", "1e+300", "18446744073709551616", "0.1", "2147483648"][self.below(7) as usize])
                .unwrap(),
            2 | 3 => Value::String(self.text()),
            4 => Value::Array((0..self.below(4)).map(|_| self.json(depth - 1)).collect()),
            _ => Value::Object((0..self.below(4)).map(|i| (format!("k{i}"), self.json(depth - 1))).collect()),
        }
    }

    fn push(&mut self, builder: &mut RowBuilder, column: &Column) {
        if column.nullable && self.below(4) == 0 {
            return builder.push(Datum::Null);
        }
        match &column.ty {
            Type::Bool => builder.push(Datum::Bool(self.below(2) == 0)),
            Type::Int8 => builder.push(Datum::Int(self.bits() as i8 as i64)),
            Type::Int16 => builder.push(Datum::Int(self.bits() as i16 as i64)),
            Type::Int32 => builder.push(Datum::Int(self.bits() as i32 as i64)),
            Type::Int64 => builder.push(Datum::Int(self.bits() as i64)),
            Type::UInt8 => builder.push(Datum::UInt(self.bits() as u8 as u64)),
            Type::UInt16 => builder.push(Datum::UInt(self.bits() as u16 as u64)),
            Type::UInt32 => builder.push(Datum::UInt(self.bits() as u32 as u64)),
            Type::UInt64 => builder.push(Datum::UInt(self.bits())),
            Type::Float32 => builder.push(Datum::Float32(f32::from_bits(self.bits() as u32))),
            Type::Float64 => builder.push(Datum::Float64(f64::from_bits(self.bits()))),
            Type::Decimal { precision: precision @ ..=38, .. } => {
                let value = self.digits(*precision).to_i128().expect("38 digits fit");
                builder.push(Datum::Decimal(value));
            }
            Type::Decimal { precision, .. } => builder.push(Datum::Decimal256(self.digits(*precision))),
            Type::Text => builder.push(Datum::Text(&self.text())),
            Type::Binary => builder.push(Datum::Binary(&self.bytes())),
            Type::Json => builder.push(Datum::Json(&self.json(2).to_string())),
            Type::Date => builder.push(Datum::Date(self.bits() as i32 % 4_000_000)),
            Type::DateTime { fsp } => builder.push(Datum::DateTime(self.micros(*fsp, 300_000_000_000))),
            Type::Timestamp { fsp } => builder.push(Datum::Timestamp(self.micros(*fsp, 300_000_000_000))),
            Type::Time { fsp } => builder.push(Datum::Time(self.micros(*fsp, 4_000_000))),
            Type::Struct(_) => {
                let row = self.row(builder.next_nested());
                builder.push(Datum::Struct(&row));
            }
            Type::List(_) => {
                let items = builder.next_nested().clone();
                let rows: Vec<Row> = (0..self.below(4)).map(|_| self.row(&items)).collect();
                let mut list = Vec::new();
                pack_list(rows.iter().map(|row| &row[..]), &mut list);
                builder.push(Datum::List(&list));
            }
        }
    }
}
