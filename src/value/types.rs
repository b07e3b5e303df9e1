//! Column types, columns and schemas, and their one to one mapping to Arrow.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, Fields, IntervalUnit, Schema as ArrowSchema, TimeUnit};

/// The column that gives the order in which the rows of a stream arrived. The name is ksqlDB's.
pub const ROW_OFFSET: &str = "ROWOFFSET";

/// The type of a column.
///
/// Every variant has exactly one packed form ([`super::Row`]), one key form ([`super::key`]), one Arrow form ([`Type::arrow`]), one JSON
/// and one BSON form. `fsp` is the number of fractional second digits that the source column declares (0 to 6); the packed value is always
/// in microseconds.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Type {
    Bool,
    Int8,
    Int16,
    Int32,
    Int64,
    UInt8,
    UInt16,
    UInt32,
    UInt64,
    Float32,
    Float64,
    /// Exact decimal: `precision` digits (1 to 76), of which `scale` are after the point.
    Decimal {
        precision: u8,
        scale: u8,
    },
    Text,
    Binary,
    /// A JSON document as compact UTF-8 text; numbers keep all their digits.
    Json,
    /// Days since 1970-01-01.
    Date,
    /// A date and time without a zone: microseconds since 1970-01-01T00:00:00 of the same local calendar.
    DateTime {
        fsp: u8,
    },
    /// An instant: microseconds since 1970-01-01T00:00:00Z.
    Timestamp {
        fsp: u8,
    },
    /// A signed duration in microseconds; MySQL's range is -838:59:59 to 838:59:59.
    Time {
        fsp: u8,
    },
    Struct(Schema),
    List(Box<Type>),
}

/// One column.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Column {
    pub name: String,
    pub ty: Type,
    pub nullable: bool,
    /// If true, a NULL field is left out of JSON and BSON (an `object` lookup without a child) instead of written as `null`.
    pub absent_when_null: bool,
}

/// The columns of a row, in order. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Schema(Arc<[Column]>);

impl Column {
    pub fn new(name: impl Into<String>, ty: Type, nullable: bool) -> Column {
        Column { name: name.into(), ty, nullable, absent_when_null: false }
    }
}

impl Schema {
    pub fn new(columns: Vec<Column>) -> Schema {
        Schema(columns.into())
    }

    pub fn columns(&self) -> &[Column] {
        &self.0
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The index of the column of this name, compared exactly.
    pub fn index_of(&self, name: &str) -> Option<usize> {
        self.0.iter().position(|c| c.name == name)
    }

    /// The schema of the given columns, in the given order.
    pub fn project(&self, columns: &[usize]) -> Schema {
        Schema::new(columns.iter().map(|&i| self.0[i].clone()).collect())
    }

    pub fn arrow(&self) -> ArrowSchema {
        ArrowSchema::new(self.fields())
    }

    /// Converts an Arrow schema. The error describes the first field with an unsupported type.
    pub fn from_arrow(schema: &ArrowSchema) -> Result<Schema, String> {
        schema.fields().iter().map(|f| Column::from_arrow(f)).collect::<Result<Vec<_>, _>>().map(Schema::new)
    }

    fn fields(&self) -> Fields {
        self.0.iter().map(Column::arrow).collect()
    }
}

const EXTENSION: &str = "tidemill.type";
const FSP: &str = "tidemill.fsp";
const ABSENT: &str = "tidemill.absent_when_null";

impl Column {
    pub fn arrow(&self) -> Field {
        let mut metadata = HashMap::new();
        if let Type::Json = self.ty {
            metadata.insert(EXTENSION.to_string(), "json".to_string());
        }
        if let Type::DateTime { fsp } | Type::Timestamp { fsp } | Type::Time { fsp } = self.ty {
            metadata.insert(FSP.to_string(), fsp.to_string());
        }
        if self.absent_when_null {
            metadata.insert(ABSENT.to_string(), "true".to_string());
        }
        Field::new(&self.name, self.ty.arrow(), self.nullable).with_metadata(metadata)
    }

    /// Converts an Arrow field. If the type is not supported, the error has the field's name and type.
    pub fn from_arrow(field: &Field) -> Result<Column, String> {
        let fsp = field.metadata().get(FSP).and_then(|v| v.parse().ok());
        let json = field.metadata().get(EXTENSION).is_some_and(|v| v == "json");
        let ty = match field.data_type() {
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View if json => Type::Json,
            other => {
                Type::from_arrow(other, fsp).ok_or_else(|| format!("`{}` has the type {other}, which is not carried", field.name()))?
            }
        };
        let absent_when_null = field.metadata().contains_key(ABSENT);
        Ok(Column { name: field.name().clone(), ty, nullable: field.is_nullable(), absent_when_null })
    }
}

impl Type {
    pub fn arrow(&self) -> DataType {
        match self {
            Type::Bool => DataType::Boolean,
            Type::Int8 => DataType::Int8,
            Type::Int16 => DataType::Int16,
            Type::Int32 => DataType::Int32,
            Type::Int64 => DataType::Int64,
            Type::UInt8 => DataType::UInt8,
            Type::UInt16 => DataType::UInt16,
            Type::UInt32 => DataType::UInt32,
            Type::UInt64 => DataType::UInt64,
            Type::Float32 => DataType::Float32,
            Type::Float64 => DataType::Float64,
            Type::Decimal { precision, scale } if *precision <= 38 => DataType::Decimal128(*precision, *scale as i8),
            Type::Decimal { precision, scale } => DataType::Decimal256(*precision, *scale as i8),
            Type::Text | Type::Json => DataType::Utf8,
            Type::Binary => DataType::Binary,
            Type::Date => DataType::Date32,
            Type::DateTime { .. } => DataType::Timestamp(TimeUnit::Microsecond, None),
            Type::Timestamp { .. } => DataType::Timestamp(TimeUnit::Microsecond, Some("+00:00".into())),
            Type::Time { .. } => DataType::Duration(TimeUnit::Microsecond),
            Type::Struct(schema) => DataType::Struct(schema.fields()),
            Type::List(item) => DataType::List(Arc::new(Column::new("item", (**item).clone(), true).arrow())),
        }
    }

    pub fn is_integer(&self) -> bool {
        matches!(self, Type::Int8 | Type::Int16 | Type::Int32 | Type::Int64 | Type::UInt8 | Type::UInt16 | Type::UInt32 | Type::UInt64)
    }

    /// Whether values contain floats, which can be equal although their bytes differ.
    pub fn has_floats(&self) -> bool {
        match self {
            Type::Float32 | Type::Float64 => true,
            Type::Struct(schema) => schema.columns().iter().any(|column| column.ty.has_floats()),
            Type::List(item) => item.has_floats(),
            _ => false,
        }
    }

    /// Converts an Arrow type; `None` if it is not supported. Times of other units become microseconds with the digits of their unit,
    /// unless `fsp` gives the digits. All text forms become one type, and so do all binary forms. Time zones other than UTC, intervals and
    /// dates in milliseconds are not supported: they would lose information.
    fn from_arrow(ty: &DataType, fsp: Option<u8>) -> Option<Type> {
        let digits = |unit: &TimeUnit| match unit {
            TimeUnit::Second => 0,
            TimeUnit::Millisecond => 3,
            TimeUnit::Microsecond | TimeUnit::Nanosecond => 6,
        };
        Some(match ty {
            DataType::Boolean => Type::Bool,
            DataType::Int8 => Type::Int8,
            DataType::Int16 => Type::Int16,
            DataType::Int32 => Type::Int32,
            DataType::Int64 => Type::Int64,
            DataType::UInt8 => Type::UInt8,
            DataType::UInt16 => Type::UInt16,
            DataType::UInt32 => Type::UInt32,
            DataType::UInt64 => Type::UInt64,
            DataType::Float32 => Type::Float32,
            DataType::Float64 => Type::Float64,
            DataType::Decimal32(p, s) | DataType::Decimal64(p, s) | DataType::Decimal128(p, s) | DataType::Decimal256(p, s) => {
                Type::Decimal { precision: *p, scale: u8::try_from(*s).ok()? }
            }
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Null => Type::Text,
            DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => Type::Binary,
            DataType::Date32 => Type::Date,
            DataType::Timestamp(unit, None) => Type::DateTime { fsp: fsp.unwrap_or(digits(unit)) },
            DataType::Timestamp(unit, Some(zone)) if matches!(zone.as_ref(), "+00:00" | "UTC") => {
                Type::Timestamp { fsp: fsp.unwrap_or(digits(unit)) }
            }
            DataType::Duration(unit) | DataType::Time32(unit) | DataType::Time64(unit) => Type::Time { fsp: fsp.unwrap_or(digits(unit)) },
            DataType::Struct(fields) => {
                Type::Struct(Schema::new(fields.iter().map(|f| Column::from_arrow(f)).collect::<Result<_, _>>().ok()?))
            }
            DataType::List(item) | DataType::LargeList(item) => Type::List(Box::new(Column::from_arrow(item).ok()?.ty)),
            DataType::Dictionary(_, value) => Type::from_arrow(value, fsp)?,
            DataType::Interval(IntervalUnit::YearMonth | IntervalUnit::DayTime | IntervalUnit::MonthDayNano) => return None,
            _ => return None,
        })
    }

    /// The number of bytes in the packed fixed area, or `None` for types of variable length.
    pub(crate) fn fixed_width(&self) -> Option<usize> {
        Some(match self {
            Type::Bool | Type::Int8 | Type::UInt8 => 1,
            Type::Int16 | Type::UInt16 => 2,
            Type::Int32 | Type::UInt32 | Type::Float32 | Type::Date => 4,
            Type::Int64 | Type::UInt64 | Type::Float64 | Type::DateTime { .. } | Type::Timestamp { .. } | Type::Time { .. } => 8,
            Type::Decimal { precision: ..=18, .. } => 8,
            Type::Decimal { precision: ..=38, .. } => 16,
            Type::Decimal { .. } => 32,
            Type::Text | Type::Binary | Type::Json | Type::Struct(_) | Type::List(_) => return None,
        })
    }
}

impl std::fmt::Display for Type {
    /// The name used in specs and messages, e.g. `decimal(10,2)`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Type::Bool => f.write_str("bool"),
            Type::Int8 => f.write_str("int8"),
            Type::Int16 => f.write_str("int16"),
            Type::Int32 => f.write_str("int32"),
            Type::Int64 => f.write_str("int64"),
            Type::UInt8 => f.write_str("uint8"),
            Type::UInt16 => f.write_str("uint16"),
            Type::UInt32 => f.write_str("uint32"),
            Type::UInt64 => f.write_str("uint64"),
            Type::Float32 => f.write_str("float32"),
            Type::Float64 => f.write_str("float64"),
            Type::Decimal { precision, scale } => write!(f, "decimal({precision},{scale})"),
            Type::Text => f.write_str("text"),
            Type::Binary => f.write_str("binary"),
            Type::Json => f.write_str("json"),
            Type::Date => f.write_str("date"),
            Type::DateTime { fsp: 0 } => f.write_str("datetime"),
            Type::DateTime { fsp } => write!(f, "datetime({fsp})"),
            Type::Timestamp { fsp: 0 } => f.write_str("timestamp"),
            Type::Timestamp { fsp } => write!(f, "timestamp({fsp})"),
            Type::Time { fsp: 0 } => f.write_str("time"),
            Type::Time { fsp } => write!(f, "time({fsp})"),
            Type::Struct(schema) => {
                f.write_str("struct(")?;
                for (i, column) in schema.columns().iter().enumerate() {
                    let comma = if i > 0 { ", " } else { "" };
                    write!(f, "{comma}{} {}", column.name, column.ty)?;
                }
                f.write_str(")")
            }
            Type::List(item) => write!(f, "list({item})"),
        }
    }
}

impl std::str::FromStr for Type {
    type Err = String;

    /// Parses a scalar type from the name that [`Display`](std::fmt::Display) writes, or from an alias such as `bigint`.
    fn from_str(text: &str) -> Result<Type, String> {
        let text = text.trim().to_ascii_lowercase();
        let (name, arguments) = match text.split_once('(') {
            Some((name, rest)) => (name.trim(), rest.strip_suffix(')').ok_or("a closing `)` is missing")?),
            None => (text.as_str(), ""),
        };
        let takes_numbers = matches!(name, "decimal" | "datetime" | "timestamp" | "time");
        let numbers = arguments
            .split(',')
            .filter(|a| takes_numbers && !a.trim().is_empty())
            .map(|a| a.trim().parse::<u8>().map_err(|_| format!("`{}` is not a number of digits", a.trim())))
            .collect::<Result<Vec<_>, _>>()?;
        let fsp = numbers.first().copied().unwrap_or(0);
        if fsp > 6 && matches!(name, "datetime" | "timestamp" | "time") {
            return Err(format!("{name} has at most 6 fractional digits"));
        }
        let ty = match name {
            "bool" | "boolean" => Type::Bool,
            "int8" => Type::Int8,
            "int16" | "smallint" => Type::Int16,
            "int32" | "int" | "integer" => Type::Int32,
            "int64" | "bigint" => Type::Int64,
            "uint8" => Type::UInt8,
            "uint16" => Type::UInt16,
            "uint32" => Type::UInt32,
            "uint64" => Type::UInt64,
            "float32" | "float" => Type::Float32,
            "float64" | "double" => Type::Float64,
            "decimal" => match numbers[..] {
                [precision] if (1..=76).contains(&precision) => Type::Decimal { precision, scale: 0 },
                [precision, scale] if (1..=76).contains(&precision) && scale <= precision => Type::Decimal { precision, scale },
                _ => return Err("decimal takes (precision, scale), precision 1 to 76, scale at most precision".into()),
            },
            "text" | "string" | "varchar" => Type::Text,
            "binary" => Type::Binary,
            "json" => Type::Json,
            "date" => Type::Date,
            "datetime" => Type::DateTime { fsp },
            "timestamp" => Type::Timestamp { fsp },
            "time" => Type::Time { fsp },
            _ => return Err(format!("there is no type `{name}`")),
        };
        match takes_numbers || arguments.trim().is_empty() {
            true => Ok(ty),
            false => Err(format!("write `{name}` without `({arguments})`")),
        }
    }
}
