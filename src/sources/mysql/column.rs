//! What must be known of a column of a MySQL or MariaDB table to decode its values.
//!
//! Built from `information_schema` (`schema`) or from a table map event of a recorded log (`recorded`); used for snapshots and for logs.

use super::charset::Charset;
use super::values::ZeroDates;
use crate::value::Type;

/// The type of a column at the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ColumnKind {
    /// `bytes`: 1, 2, 3, 4 or 8.
    Int {
        bytes: u8,
        unsigned: bool,
    },
    /// TINYINT(1), if the spec asks for it.
    Bool,
    Bit,
    Year,
    Float,
    Double,
    Decimal {
        precision: u8,
        scale: u8,
    },
    Date,
    DateTime {
        fsp: u8,
    },
    Timestamp {
        fsp: u8,
    },
    Time {
        fsp: u8,
    },
    Text(Charset),
    /// VARBINARY, the BLOBs, VECTOR.
    Binary,
    /// BINARY(length).
    FixedBinary {
        length: usize,
    },
    /// The decoded labels, and the charset in which a `SELECT` returns them.
    Enum {
        labels: Vec<String>,
        charset: Charset,
    },
    Set {
        labels: Vec<String>,
        charset: Charset,
    },
    /// MySQL's binary JSON.
    Json,
    /// JSON stored as text (MariaDB).
    JsonText(Charset),
    Geometry,
    Uuid,
    Inet4,
    Inet6,
}

/// A column and how to decode its values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MysqlColumn {
    pub(crate) name: String,
    pub(crate) kind: ColumnKind,
    pub(crate) nullable: bool,
    /// The name of the collation, for text columns.
    pub(crate) collation: Option<String>,
    /// The expression of a column that the server computes whenever it is read.
    pub(crate) computed: Option<String>,
    /// Whether it is a CHAR, whose values the server pads with spaces.
    pub(crate) is_padded: bool,
}

impl ColumnKind {
    /// The engine's type of the column's values.
    pub(crate) fn ty(&self, zero_dates: ZeroDates) -> Type {
        let dates_are_text = zero_dates == ZeroDates::Text;
        match *self {
            ColumnKind::Int { bytes: 1, unsigned: false } => Type::Int8,
            ColumnKind::Int { bytes: 2, unsigned: false } => Type::Int16,
            ColumnKind::Int { bytes: 3 | 4, unsigned: false } => Type::Int32,
            ColumnKind::Int { unsigned: false, .. } => Type::Int64,
            ColumnKind::Int { bytes: 1, unsigned: true } => Type::UInt8,
            ColumnKind::Int { bytes: 2, unsigned: true } | ColumnKind::Year => Type::UInt16,
            ColumnKind::Int { bytes: 3 | 4, unsigned: true } => Type::UInt32,
            ColumnKind::Int { unsigned: true, .. } | ColumnKind::Bit => Type::UInt64,
            ColumnKind::Bool => Type::Bool,
            ColumnKind::Float => Type::Float32,
            ColumnKind::Double => Type::Float64,
            ColumnKind::Decimal { precision, scale } => Type::Decimal { precision, scale },
            ColumnKind::Date | ColumnKind::DateTime { .. } | ColumnKind::Timestamp { .. } if dates_are_text => Type::Text,
            ColumnKind::Date => Type::Date,
            ColumnKind::DateTime { fsp } => Type::DateTime { fsp },
            ColumnKind::Timestamp { fsp } => Type::Timestamp { fsp },
            ColumnKind::Time { fsp } => Type::Time { fsp },
            ColumnKind::Text(_) | ColumnKind::Enum { .. } | ColumnKind::Set { .. } => Type::Text,
            ColumnKind::Uuid | ColumnKind::Inet4 | ColumnKind::Inet6 => Type::Text,
            ColumnKind::Binary | ColumnKind::FixedBinary { .. } | ColumnKind::Geometry => Type::Binary,
            ColumnKind::Json | ColumnKind::JsonText(_) => Type::Json,
        }
    }

    /// Whether values are compared by a collation.
    pub(crate) fn is_text(&self) -> bool {
        matches!(self, ColumnKind::Text(_) | ColumnKind::JsonText(_))
    }

    /// Whether a value that is not NULL at the server can be NULL here.
    pub(crate) fn can_turn_null(&self, zero_dates: ZeroDates) -> bool {
        let is_date = matches!(self, ColumnKind::Date | ColumnKind::DateTime { .. } | ColumnKind::Timestamp { .. });
        is_date && zero_dates == ZeroDates::Null
    }
}
