//! How many bytes a column takes in a row image, for columns that are skipped.
//!
//! The lengths are those of `calc_field_size` in MySQL's `libs/mysql/binlog/event/binary_log_funcs.cpp`.

use super::bytes::{Bytes, Truncated};
use super::decimal::packed_length;
use super::table_map::{LogColumn, ty};

/// The bytes of a value that is not NULL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ValueSpan {
    Bytes(usize),
    /// So many bytes have the length of what follows.
    Counted(usize),
}

impl ValueSpan {
    pub(crate) fn skip(self, bytes: &mut Bytes) -> Result<(), Truncated> {
        let length = match self {
            ValueSpan::Bytes(length) => length,
            ValueSpan::Counted(width) => bytes.le(width)? as usize,
        };
        bytes.take(length).map(|_| ())
    }
}

/// Types that only tables of old servers have, which are never read.
const OLD_TIMESTAMP: u8 = 7;
const OLD_TIME: u8 = 11;
const OLD_DATETIME: u8 = 12;

/// `None`: the type is not known.
pub(crate) fn span(column: &LogColumn) -> Option<ValueSpan> {
    let LogColumn { ty, meta, .. } = *column;
    let fraction = (meta as usize).div_ceil(2);
    Some(match ty {
        ty::TINY | ty::YEAR => ValueSpan::Bytes(1),
        ty::SHORT => ValueSpan::Bytes(2),
        ty::INT24 | ty::DATE | ty::NEWDATE | OLD_TIME => ValueSpan::Bytes(3),
        ty::LONG | ty::FLOAT | OLD_TIMESTAMP => ValueSpan::Bytes(4),
        ty::LONGLONG | ty::DOUBLE | OLD_DATETIME => ValueSpan::Bytes(8),
        ty::TIMESTAMP2 => ValueSpan::Bytes(4 + fraction),
        ty::DATETIME2 => ValueSpan::Bytes(5 + fraction),
        ty::TIME2 => ValueSpan::Bytes(3 + fraction),
        ty::BIT => ValueSpan::Bytes((meta >> 8) as usize + usize::from(meta & 0xff > 0)),
        ty::NEWDECIMAL => ValueSpan::Bytes(packed_length(meta as u8, (meta >> 8) as u8)),
        ty::ENUM | ty::SET => ValueSpan::Bytes(meta as usize),
        ty::VARCHAR | ty::VAR_STRING | ty::STRING | ty::MARIADB_VARCHAR_COMPRESSED => ValueSpan::Counted(if meta < 256 { 1 } else { 2 }),
        ty::TINY_BLOB..=ty::BLOB | ty::GEOMETRY | ty::JSON | ty::VECTOR | ty::MARIADB_BLOB_COMPRESSED if (1..=4).contains(&meta) => {
            ValueSpan::Counted(meta as usize)
        }
        _ => return None,
    })
}
