//! Converts the rows of a `SELECT` in the binary protocol to packed rows.

use mysql_async::{Row as MysqlRow, Value};

use super::column::ColumnKind;
use super::schema::MysqlTable;
use super::unreadable::Unreadable;
use super::values::{Calendar, ValueError, ValueWriter, decimal_text};
use crate::sources::SourceError;
use crate::value::{Datum, RowBuilder, Rows};

/// The select list that [`RowReader::read`] expects.
pub(super) fn select_list(table: &MysqlTable) -> String {
    let column = |c: &super::column::MysqlColumn| {
        let name = super::quoting::quoted(&c.name);
        match c.kind {
            // As bytes, so that values of a snapshot and of the log are printed the same.
            ColumnKind::Uuid | ColumnKind::Inet6 => format!("CAST({name} AS BINARY(16))"),
            ColumnKind::Inet4 => format!("CAST({name} AS BINARY(4))"),
            _ => name,
        }
    };
    table.columns.iter().map(column).collect::<Vec<_>>().join(", ")
}

/// Packs the rows of one table.
#[derive(Debug)]
pub(super) struct RowReader<'a> {
    table: &'a MysqlTable,
    writer: &'a mut ValueWriter,
    builder: RowBuilder,
}

impl<'a> RowReader<'a> {
    pub(super) fn new(table: &'a MysqlTable, writer: &'a mut ValueWriter) -> RowReader<'a> {
        RowReader { table, writer, builder: RowBuilder::new(&table.layout) }
    }

    /// Appends a row to `rows`. A row with a value that cannot be converted is left out and returned.
    pub(super) fn read(&mut self, row: &MysqlRow, rows: &mut Rows) -> Result<Option<Unreadable>, SourceError> {
        let mut bad = None;
        for (i, column) in self.table.columns.iter().enumerate() {
            let value = row.as_ref(i).unwrap_or(&Value::NULL);
            match push(self.writer, &mut self.builder, &column.kind, value) {
                Ok(()) => {}
                Err(ValueError::OtherType) => return Err(self.other_type(&column.name)),
                Err(error) => {
                    self.builder.push(Datum::Null);
                    bad.get_or_insert((i, error));
                }
            }
        }
        let Some((column, error)) = bad else {
            rows.push_built(&mut self.builder);
            return Ok(None);
        };
        Ok(Some(Unreadable { column, error, row: self.builder.finish() }))
    }

    /// A new capture uses the table's new definition.
    fn other_type(&self, column: &str) -> SourceError {
        let table = &self.table.table.name;
        SourceError::Resync {
            message: format!("the column `{column}` of `{table}` changed its type while the table was read"),
            table: None,
        }
    }
}

const UNEXPECTED: ValueError = ValueError::OtherType;

fn push(writer: &mut ValueWriter, row: &mut RowBuilder, kind: &ColumnKind, value: &Value) -> Result<(), ValueError> {
    match (kind, value) {
        (_, Value::NULL) => row.push(Datum::Null),
        (ColumnKind::Int { bytes, unsigned: false }, _) => row.push(Datum::Int(int(value, *bytes)?)),
        (ColumnKind::Int { bytes, unsigned: true }, _) => row.push(Datum::UInt(uint(value, *bytes)?)),
        (ColumnKind::Year, _) => row.push(Datum::UInt(uint(value, 2)?)),
        (ColumnKind::Bool, _) => row.push(Datum::Bool(int(value, 1)? != 0)),
        (ColumnKind::Float, Value::Float(v)) => row.push(Datum::Float32(*v)),
        (ColumnKind::Double, Value::Double(v)) => row.push(Datum::Float64(*v)),
        (ColumnKind::Date, Value::Date(..)) => return writer.date(row, calendar(value)),
        (ColumnKind::DateTime { fsp }, Value::Date(..)) => return writer.date_time(row, *fsp, calendar(value)),
        (ColumnKind::Timestamp { fsp }, Value::Date(..)) => return writer.timestamp(row, *fsp, calendar(value)),
        (ColumnKind::Time { .. }, &Value::Time(negative, days, hours, minutes, seconds, micros)) => {
            let seconds = ((days as i64 * 24 + hours as i64) * 60 + minutes as i64) * 60 + seconds as i64;
            let time = seconds * 1_000_000 + micros as i64;
            row.push(Datum::Time(if negative { -time } else { time }));
        }
        (_, Value::Bytes(bytes)) => return push_bytes(writer, row, kind, bytes),
        _ => return Err(UNEXPECTED),
    }
    Ok(())
}

fn push_bytes(writer: &mut ValueWriter, row: &mut RowBuilder, kind: &ColumnKind, bytes: &[u8]) -> Result<(), ValueError> {
    match kind {
        ColumnKind::Decimal { precision, scale } => row.push(decimal_text(bytes, *precision, *scale)?),
        ColumnKind::Text(charset) => return writer.text(row, *charset, bytes),
        ColumnKind::Enum { charset, .. } | ColumnKind::Set { charset, .. } => return writer.text(row, *charset, bytes),
        ColumnKind::Binary => row.push(Datum::Binary(bytes)),
        ColumnKind::FixedBinary { length } => return writer.padded(row, *length, bytes),
        ColumnKind::Json => return writer.json_text(row, super::charset::Charset::Utf8, bytes),
        ColumnKind::JsonText(charset) => return writer.json_text(row, *charset, bytes),
        ColumnKind::Geometry => return writer.geometry(row, bytes),
        ColumnKind::Bit if bytes.len() <= 8 => row.push(Datum::UInt(bytes.iter().fold(0, |v, &b| v << 8 | b as u64))),
        ColumnKind::Uuid => return writer.uuid(row, bytes.try_into().map_err(|_| UNEXPECTED)?),
        ColumnKind::Inet6 => return writer.inet6(row, bytes.try_into().map_err(|_| UNEXPECTED)?),
        ColumnKind::Inet4 => return writer.inet4(row, bytes.try_into().map_err(|_| UNEXPECTED)?),
        _ => return Err(UNEXPECTED),
    }
    Ok(())
}

fn calendar(value: &Value) -> Calendar {
    match *value {
        Value::Date(year, month, day, hour, minute, second, micros) => Calendar { year, month, day, hour, minute, second, micros },
        _ => Calendar::default(),
    }
}

/// A signed integer, if it fits its column; the column's type may have changed since the schema was read.
fn int(value: &Value, bytes: u8) -> Result<i64, ValueError> {
    let Value::Int(v) = *value else { return Err(UNEXPECTED) };
    let spare = match bytes {
        1 => 56,
        2 => 48,
        3 => 40,
        4 => 32,
        _ => 0,
    };
    if (v << spare) >> spare == v { Ok(v) } else { Err(UNEXPECTED) }
}

fn uint(value: &Value, bytes: u8) -> Result<u64, ValueError> {
    let v = match *value {
        Value::Int(v) => u64::try_from(v).map_err(|_| UNEXPECTED)?,
        Value::UInt(v) => v,
        _ => return Err(UNEXPECTED),
    };
    let spare = 64 - 8 * bytes as u32;
    if (v << spare) >> spare == v { Ok(v) } else { Err(UNEXPECTED) }
}
