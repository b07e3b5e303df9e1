//! Decodes row images directly into packed rows.
//!
//! A [`RowDecoder`] is built from a captured table and the table map of its rows. Building it fails if the two disagree, which reveals a
//! change of the table that no statement in the log announced. Nothing is allocated per value.

use super::bytes::{Bytes, Truncated};
use super::decimal::{DecimalError, decimal};
use super::event::{RowsEvent, RowsKind};
use super::span::{ValueSpan, span};
use super::table_map::{LogColumn, TableMap, ty};
use crate::sources::mysql::charset::Charset;
use crate::sources::mysql::column::ColumnKind;
use crate::sources::mysql::jsonb;
use crate::sources::mysql::schema::MysqlTable;
use crate::sources::mysql::unreadable::Unreadable;
use crate::sources::mysql::values::{Calendar, ValueError, ValueWriter, ZeroDates};
use crate::value::{Datum, Row, RowBuilder};

/// Why rows cannot be decoded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum DecodeError {
    /// One value is wrong; the row's other values can still be read.
    #[error("a value that is {0}")]
    Value(#[from] ValueError),
    #[error("a row event is malformed: {0}")]
    Malformed(&'static str),
    #[error("a row event is malformed: {0}")]
    Truncated(#[from] Truncated),
    /// The session that wrote the row has `binlog_row_image` MINIMAL or NOBLOB.
    #[error("a row event does not have all columns")]
    PartialImage,
}

impl From<DecimalError> for DecodeError {
    fn from(error: DecimalError) -> DecodeError {
        match error {
            DecimalError::Truncated => DecodeError::Truncated(Truncated),
            DecimalError::TooLong => DecodeError::Malformed("a DECIMAL"),
        }
    }
}

/// How the table in the log differs from the captured table.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ColumnMismatch {
    #[error("it now has {found} columns instead of {expected}")]
    Count { expected: usize, found: usize },
    #[error("it now has the column `{found}` in place of `{expected}`")]
    Name { expected: String, found: String },
    #[error("its column `{column}` now has another type")]
    Type { column: String },
    #[error("its column number {place} has a type that is not known")]
    Unknown { place: usize },
}

/// A row before or after a change.
pub(crate) type Image = Result<Row, Box<Unreadable>>;

/// Decodes the rows of one table under one table map.
#[derive(Debug)]
pub(crate) struct RowDecoder {
    fields: Vec<ImageField>,
    writer: ValueWriter,
    builder: RowBuilder,
}

#[derive(Debug)]
enum ImageField {
    /// `width`: the number of bytes of an integer, a length, a label's number, a fraction or a bit field; unused for other kinds.
    Read { kind: ColumnKind, width: usize },
    /// A column that is not read, or a hidden column of the server, which SELECT does not return.
    Skipped(ValueSpan),
}

impl RowDecoder {
    pub(crate) fn new(table: &MysqlTable, map: &TableMap, zero_dates: ZeroDates) -> Result<RowDecoder, ColumnMismatch> {
        let mut expected = table.columns.iter().peekable();
        let mut fields = Vec::with_capacity(map.columns.len());
        let all = table.part.as_ref().map_or(table.columns.len(), |part| part.of);
        let count = || ColumnMismatch::Count { expected: all, found: map.columns.len() };
        let mut place = 0;
        for logged in &map.columns {
            if expected.peek().is_none_or(|column| logged.name.as_ref() != Some(&column.name)) && is_hidden(logged) {
                fields.push(ImageField::Skipped(ValueSpan::Bytes(HIDDEN_BYTES)));
                continue;
            }
            let is_read = table.part.as_ref().is_none_or(|part| match &logged.name {
                Some(name) => table.columns.iter().any(|column| column.name == *name),
                None => part.places.contains(&place),
            });
            place += 1;
            if !is_read {
                fields.push(ImageField::Skipped(span(logged).ok_or(ColumnMismatch::Unknown { place })?));
                continue;
            }
            let column = expected.next().ok_or_else(count)?;
            if let Some(name) = logged.name.as_ref().filter(|name| **name != column.name) {
                return Err(ColumnMismatch::Name { expected: column.name.clone(), found: name.clone() });
            }
            let width = width(&column.kind, logged).ok_or_else(|| ColumnMismatch::Type { column: column.name.clone() })?;
            fields.push(ImageField::Read { kind: column.kind.clone(), width });
        }
        let is_named = map.columns.iter().all(|column| column.name.is_some());
        if expected.next().is_some() || place != all && !(table.part.is_some() && is_named) {
            return Err(count());
        }
        Ok(RowDecoder { fields, writer: ValueWriter::new(zero_dates), builder: RowBuilder::new(&table.layout) })
    }

    /// Calls `each` for every row of the event, with its images before and after the change.
    pub(crate) fn decode(&mut self, rows: &RowsEvent, mut each: impl FnMut(Option<Image>, Option<Image>)) -> Result<(), DecodeError> {
        if rows.column_count != self.fields.len() {
            return Err(DecodeError::Malformed("its columns are not those of its table map"));
        }
        if !has_all(rows.before, rows.column_count) || !has_all(rows.after, rows.column_count) {
            return Err(DecodeError::PartialImage);
        }
        let mut bytes = Bytes(&rows.rows);
        while !bytes.is_empty() {
            let before = if rows.kind == RowsKind::Write { None } else { Some(self.image(&mut bytes)?) };
            let after = if rows.kind == RowsKind::Delete { None } else { Some(self.image(&mut bytes)?) };
            each(before, after);
        }
        Ok(())
    }

    fn image(&mut self, bytes: &mut Bytes) -> Result<Image, DecodeError> {
        let nulls = bytes.take(self.fields.len().div_ceil(8))?;
        let (mut column, mut bad) = (0, None);
        for (i, field) in self.fields.iter().enumerate() {
            let is_null = nulls[i / 8] >> (i % 8) & 1 == 1;
            let (kind, width) = match field {
                ImageField::Read { kind, width } => (kind, *width),
                ImageField::Skipped(_) if is_null => continue,
                ImageField::Skipped(span) => {
                    span.skip(bytes)?;
                    continue;
                }
            };
            if is_null {
                self.builder.push(Datum::Null);
            } else {
                match push(&mut self.writer, &mut self.builder, kind, width, bytes) {
                    Ok(()) => {}
                    Err(DecodeError::Value(error)) => {
                        self.builder.push(Datum::Null);
                        bad.get_or_insert((column, error));
                    }
                    Err(error) => return Err(error),
                }
            }
            column += 1;
        }
        let row = self.builder.finish();
        Ok(match bad {
            None => Ok(row),
            Some((column, error)) => Err(Box::new(Unreadable { column, error, row })),
        })
    }
}

/// The size of a BIGINT.
const HIDDEN_BYTES: usize = 8;

/// Whether this is the hidden column with which MariaDB enforces UNIQUE on a long column.
fn is_hidden(logged: &LogColumn) -> bool {
    logged.ty == ty::LONGLONG && logged.name.as_deref().is_some_and(|name| name.starts_with("DB_ROW_HASH_"))
}

fn has_all(bitmap: &[u8], columns: usize) -> bool {
    (0..columns).all(|i| bitmap[i / 8] >> (i % 8) & 1 == 1)
}

/// The width for [`ImageField::Read`]; `None` if the logged column is not of this kind.
fn width(kind: &ColumnKind, logged: &LogColumn) -> Option<usize> {
    let LogColumn { ty, meta, .. } = *logged;
    let sign_is = |unsigned: bool| logged.unsigned.is_none_or(|found| found == unsigned);
    let of_length = |length: u16| if length < 256 { 1 } else { 2 };
    let width = match *kind {
        ColumnKind::Int { bytes, unsigned } => {
            let expected = match bytes {
                1 => ty::TINY,
                2 => ty::SHORT,
                3 => ty::INT24,
                4 => ty::LONG,
                _ => ty::LONGLONG,
            };
            (ty == expected && sign_is(unsigned)).then_some(bytes as usize)?
        }
        ColumnKind::Bool => (ty == ty::TINY).then_some(1)?,
        ColumnKind::Bit => (ty == ty::BIT && meta >> 8 <= 8).then_some((meta >> 8) as usize + usize::from(meta & 0xff > 0))?,
        ColumnKind::Year => (ty == ty::YEAR).then_some(1)?,
        ColumnKind::Float => (ty == ty::FLOAT).then_some(4)?,
        ColumnKind::Double => (ty == ty::DOUBLE).then_some(8)?,
        ColumnKind::Decimal { precision, scale } => {
            (ty == ty::NEWDECIMAL && meta == precision as u16 | (scale as u16) << 8 && scale <= precision && precision <= 76)
                .then_some(0)?
        }
        ColumnKind::Date => matches!(ty, ty::DATE | ty::NEWDATE).then_some(3)?,
        ColumnKind::DateTime { fsp } => (ty == ty::DATETIME2 && meta == fsp as u16).then_some(fraction_bytes(fsp))?,
        ColumnKind::Timestamp { fsp } => (ty == ty::TIMESTAMP2 && meta == fsp as u16).then_some(fraction_bytes(fsp))?,
        ColumnKind::Time { fsp } => (ty == ty::TIME2 && meta == fsp as u16).then_some(fraction_bytes(fsp))?,
        ColumnKind::Text(charset) | ColumnKind::JsonText(charset) => {
            let has_charset = logged.collation.is_none_or(|id| charset_of(id) == Some(charset));
            match ty {
                ty::VARCHAR | ty::VAR_STRING | ty::STRING if has_charset => of_length(meta),
                ty::TINY_BLOB..=ty::BLOB if has_charset => blob_width(meta)?,
                _ => return None,
            }
        }
        ColumnKind::Binary => {
            let is_binary = logged.collation.is_none_or(|id| id == 63);
            match ty {
                ty::VARCHAR | ty::VAR_STRING if is_binary => of_length(meta),
                ty::TINY_BLOB..=ty::BLOB if is_binary => blob_width(meta)?,
                ty::VECTOR => blob_width(meta)?,
                _ => return None,
            }
        }
        ColumnKind::FixedBinary { length } => (ty == ty::STRING && meta as usize == length).then_some(of_length(meta))?,
        ColumnKind::Uuid | ColumnKind::Inet6 => (ty == ty::STRING && meta == 16).then_some(1)?,
        ColumnKind::Inet4 => (ty == ty::STRING && meta == 4).then_some(1)?,
        ColumnKind::Enum { ref labels, charset } => (ty == ty::ENUM && same_labels(labels, charset, logged)).then_some(meta as usize)?,
        ColumnKind::Set { ref labels, charset } => (ty == ty::SET && same_labels(labels, charset, logged)).then_some(meta as usize)?,
        ColumnKind::Json => (ty == ty::JSON).then_some(blob_width(meta)?)?,
        ColumnKind::Geometry => (ty == ty::GEOMETRY).then_some(blob_width(meta)?)?,
    };
    (width <= 8).then_some(width)
}

fn blob_width(meta: u16) -> Option<usize> {
    (1..=4).contains(&meta).then_some(meta as usize)
}

fn charset_of(collation: u32) -> Option<Charset> {
    Charset::name_of_collation(collation)?.parse().ok()
}

fn same_labels(labels: &[String], charset: Charset, logged: &LogColumn) -> bool {
    let Some(logged) = &logged.labels else { return true };
    let mut scratch = String::new();
    logged.len() == labels.len() && logged.iter().zip(labels).all(|(bytes, label)| charset.decode(bytes, &mut scratch) == label)
}

/// A fraction of a second has one byte per two digits.
fn fraction_bytes(fsp: u8) -> usize {
    fsp.div_ceil(2) as usize
}

/// By the number of bytes of a fraction: the microseconds of its unit.
const FRACTION_UNIT: [u32; 4] = [0, 10_000, 100, 1];

/// Reads a value and pushes it. After [`DecodeError::Value`] the value's bytes are read, but nothing is pushed.
fn push(writer: &mut ValueWriter, row: &mut RowBuilder, kind: &ColumnKind, width: usize, bytes: &mut Bytes) -> Result<(), DecodeError> {
    let datum = match *kind {
        ColumnKind::Int { unsigned: true, .. } => Datum::UInt(bytes.le(width)?),
        ColumnKind::Int { .. } => {
            let spare = 64 - 8 * width as u32;
            Datum::Int(((bytes.le(width)? << spare) as i64) >> spare)
        }
        ColumnKind::Bool => Datum::Bool(bytes.u8()? != 0),
        ColumnKind::Bit => Datum::UInt(bytes.be(width)?),
        ColumnKind::Year => match bytes.u8()? {
            0 => Datum::UInt(0),
            year => Datum::UInt(1900 + year as u64),
        },
        ColumnKind::Float => Datum::Float32(f32::from_le_bytes(bytes.array()?)),
        ColumnKind::Double => Datum::Float64(f64::from_le_bytes(bytes.array()?)),
        ColumnKind::Decimal { precision, scale } => decimal(bytes, precision, scale)?,
        ColumnKind::Time { .. } => Datum::Time(time(bytes, width)?),
        ColumnKind::Binary => Datum::Binary(sized(bytes, width)?),
        _ => return write(writer, row, kind, width, bytes),
    };
    row.push(datum);
    Ok(())
}

/// Reads the values that [`ValueWriter`] converts.
fn write(writer: &mut ValueWriter, row: &mut RowBuilder, kind: &ColumnKind, width: usize, bytes: &mut Bytes) -> Result<(), DecodeError> {
    let written = match kind {
        ColumnKind::Date => {
            let packed = bytes.le(3)?;
            let (year, month, day) = ((packed >> 9) as u16, (packed >> 5 & 15) as u8, (packed & 31) as u8);
            writer.date(row, Calendar { year, month, day, ..Calendar::default() })
        }
        ColumnKind::DateTime { fsp } => writer.date_time(row, *fsp, date_time(bytes, width)?),
        ColumnKind::Timestamp { fsp } => {
            let seconds = bytes.be(4)? as i64;
            let micros = bytes.be(width)? as i64 * FRACTION_UNIT[width] as i64;
            writer.timestamp_micros(row, *fsp, seconds * 1_000_000 + micros)
        }
        ColumnKind::Text(charset) => writer.text(row, *charset, sized(bytes, width)?),
        ColumnKind::JsonText(charset) => writer.json_text(row, *charset, sized(bytes, width)?),
        ColumnKind::Json => writer.json(row, &jsonb::to_text(sized(bytes, width)?).map_err(ValueError::Malformed)?),
        ColumnKind::FixedBinary { length } => writer.padded(row, *length, sized(bytes, width)?),
        ColumnKind::Enum { labels, .. } => writer.enumeration(row, labels, bytes.le(width)?),
        ColumnKind::Set { labels, .. } => writer.set(row, labels, bytes.le(width)?),
        ColumnKind::Geometry => writer.geometry(row, sized(bytes, width)?),
        ColumnKind::Uuid => writer.uuid(row, &zero_padded(sized(bytes, width)?)?),
        ColumnKind::Inet6 => writer.inet6(row, &zero_padded(sized(bytes, width)?)?),
        ColumnKind::Inet4 => writer.inet4(row, &zero_padded(sized(bytes, width)?)?),
        // `push` handles these.
        ColumnKind::Int { .. }
        | ColumnKind::Bool
        | ColumnKind::Bit
        | ColumnKind::Year
        | ColumnKind::Float
        | ColumnKind::Double
        | ColumnKind::Decimal { .. }
        | ColumnKind::Time { .. }
        | ColumnKind::Binary => Ok(()),
    };
    Ok(written?)
}

fn sized<'a>(bytes: &mut Bytes<'a>, width: usize) -> Result<&'a [u8], Truncated> {
    let length = bytes.le(width)? as usize;
    bytes.take(length)
}

/// The server omits trailing zero bytes of fixed-length columns.
fn zero_padded<const N: usize>(bytes: &[u8]) -> Result<[u8; N], DecodeError> {
    let mut whole = [0u8; N];
    whole.get_mut(..bytes.len()).ok_or(DecodeError::Malformed("a value that is too long"))?.copy_from_slice(bytes);
    Ok(whole)
}

/// `sign 1 bit, year * 13 + month 17 bits, day 5, hour 5, minute 6, second 6`, big endian, then the fraction.
fn date_time(bytes: &mut Bytes, width: usize) -> Result<Calendar, Truncated> {
    let packed = bytes.be(5)? & 0x7f_ffff_ffff;
    let micros = bytes.be(width)? as u32 * FRACTION_UNIT[width];
    let (date, time) = (packed >> 17, packed & 0x1_ffff);
    let months = date >> 5;
    Ok(Calendar {
        year: (months / 13) as u16,
        month: (months % 13) as u8,
        day: (date & 31) as u8,
        hour: (time >> 12) as u8,
        minute: (time >> 6 & 63) as u8,
        second: (time & 63) as u8,
        micros,
    })
}

/// `sign 1 bit, unused 1, hour 10, minute 6, second 6`, then the fraction. All is one big-endian number with an offset, so that a negative
/// time is the two's complement of the whole.
fn time(bytes: &mut Bytes, width: usize) -> Result<i64, Truncated> {
    let packed = bytes.be(3 + width)? as i64 - (0x80_0000i64 << (8 * width));
    let magnitude = packed.unsigned_abs();
    let fraction = (magnitude & ((1 << (8 * width)) - 1)) as i64 * FRACTION_UNIT[width] as i64;
    let whole = (magnitude >> (8 * width)) as i64;
    let seconds = ((whole >> 12 & 0x3ff) * 60 + (whole >> 6 & 63)) * 60 + (whole & 63);
    let micros = seconds * 1_000_000 + fraction;
    Ok(if packed < 0 { -micros } else { micros })
}
