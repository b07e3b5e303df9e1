//! One borrowed value.

use datafusion::arrow::datatypes::i256;

/// One value. The column's [`Type`](super::Type) defines its meaning: integers of every width are `Int` or `UInt`, a decimal is its
/// unscaled integer, times are microseconds, a struct or a list is its packed bytes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Datum<'a> {
    Null,
    Bool(bool),
    /// `Int8` to `Int64`.
    Int(i64),
    /// `UInt8` to `UInt64`.
    UInt(u64),
    Float32(f32),
    Float64(f64),
    /// The unscaled integer of a `Decimal` of up to 38 digits.
    Decimal(i128),
    /// The unscaled integer of a `Decimal` of 39 to 76 digits.
    Decimal256(i256),
    Text(&'a str),
    Binary(&'a [u8]),
    /// The text of a JSON document.
    Json(&'a str),
    /// Days since 1970-01-01.
    Date(i32),
    DateTime(i64),
    Timestamp(i64),
    Time(i64),
    /// A packed row of the struct's own schema.
    Struct(&'a [u8]),
    /// A packed list, see [`list_items`](super::list_items).
    List(&'a [u8]),
}

impl Datum<'_> {
    /// The value of an integer, or the unscaled integer of a decimal of up to 38 digits. `None` for anything else.
    #[inline]
    pub fn unscaled(self) -> Option<i128> {
        match self {
            Datum::Int(value) => Some(value.into()),
            Datum::UInt(value) => Some(value.into()),
            Datum::Decimal(value) => Some(value),
            _ => None,
        }
    }
}
