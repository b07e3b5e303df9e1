//! Row images straight into packed rows.
//!
//! A [`RowDecoder`] is made from a captured table and the table map under which its rows come; making it fails where the two
//! disagree, which is how a change of the table shows that no statement told of. Nothing is allocated per value.

use super::bytes::{Bytes, Truncated};
use super::decimal::{DecimalError, decimal};
use super::event::{Rows, RowsKind};
use super::table_map::{LogColumn, TableMap, ty};
use crate::sources::mysql::charset::Charset;
use crate::sources::mysql::column::ColumnKind;
use crate::sources::mysql::jsonb;
use crate::sources::mysql::schema::MysqlTable;
use crate::sources::mysql::unreadable::Unreadable;
use crate::sources::mysql::values::{Calendar, ValueError, ValueWriter, ZeroDates};
use crate::value::{Datum, Row, RowBuilder};

/// Why rows cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum DecodeError {
    /// Of one value; the row goes on behind it.
    #[error("a value that is {0}")]
    Value(#[from] ValueError),
    #[error("a row event is malformed: {0}")]
    Malformed(&'static str),
    #[error("a row event is malformed: {0}")]
    Truncated(#[from] Truncated),
    /// The writing session has `binlog_row_image` MINIMAL or NOBLOB.
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

/// How the table in the log is not the table that was captured.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Mismatch {
    #[error("it has {found} columns now, and not {expected}")]
    Count { expected: usize, found: usize },
    #[error("where `{expected}` was, its column is `{found}` now")]
    Name { expected: String, found: String },
    #[error("its column `{column}` has another type now")]
    Type { column: String },
}

/// A row before or after a change.
pub(crate) type Image = Result<Row, Box<Unreadable>>;

/// Decodes the rows of one table under one table map.
#[derive(Debug)]
pub(crate) struct RowDecoder {
    fields: Vec<Field>,
    writer: ValueWriter,
    builder: RowBuilder,
}

#[derive(Debug)]
struct Field {
    /// `None`: a column of the server's own, which no SELECT shows.
    kind: Option<ColumnKind>,
    /// The number of bytes of a length, a label's number, or a bit field; what else has no need of it.
    width: usize,
}

impl RowDecoder {
    pub(crate) fn new(table: &MysqlTable, map: &TableMap, zero_dates: ZeroDates) -> Result<RowDecoder, Mismatch> {
        let mut expected = table.columns.iter().peekable();
        let mut fields = Vec::with_capacity(map.columns.len());
        let count = || Mismatch::Count { expected: table.columns.len(), found: map.columns.len() };
        for logged in &map.columns {
            if expected.peek().is_none_or(|column| logged.name.as_ref() != Some(&column.name)) && is_hidden(logged) {
                fields.push(Field { kind: None, width: HIDDEN_BYTES });
                continue;
            }
            let column = expected.next().ok_or_else(count)?;
            if let Some(name) = logged.name.as_ref().filter(|name| **name != column.name) {
                return Err(Mismatch::Name { expected: column.name.clone(), found: name.clone() });
            }
            let width = width(&column.kind, logged).ok_or_else(|| Mismatch::Type { column: column.name.clone() })?;
            fields.push(Field { kind: Some(column.kind.clone()), width });
        }
        if expected.next().is_some() {
            return Err(count());
        }
        Ok(RowDecoder { fields, writer: ValueWriter::new(zero_dates), builder: RowBuilder::new(&table.layout) })
    }

    /// Hands every row of the event to `each`, with -1 for an image that goes and +1 for one that comes. An unreadable image that goes was
    /// never held, and is passed over.
    pub(crate) fn decode(&mut self, rows: &Rows, mut each: impl FnMut(Image, i64)) -> Result<(), DecodeError> {
        if rows.column_count != self.fields.len() {
            return Err(DecodeError::Malformed("its columns are not those of its table map"));
        }
        if !has_all(rows.before, rows.column_count) || !has_all(rows.after, rows.column_count) {
            return Err(DecodeError::PartialImage);
        }
        let mut bytes = Bytes(&rows.rows);
        while !bytes.is_empty() {
            match rows.kind {
                RowsKind::Write => each(self.image(&mut bytes)?, 1),
                RowsKind::Delete => {
                    let before = self.image(&mut bytes)?;
                    if before.is_ok() {
                        each(before, -1);
                    }
                }
                RowsKind::Update => {
                    let (before, after) = (self.image(&mut bytes)?, self.image(&mut bytes)?);
                    if before == after {
                        continue;
                    }
                    let was_held = before.is_ok();
                    if was_held {
                        each(before, -1);
                    }
                    // What stays unreadable was told when it came.
                    if was_held || after.is_ok() {
                        each(after, 1);
                    }
                }
            }
        }
        Ok(())
    }

    fn image(&mut self, bytes: &mut Bytes) -> Result<Image, DecodeError> {
        let nulls = bytes.take(self.fields.len().div_ceil(8))?;
        let (mut column, mut bad) = (0, None);
        for (i, field) in self.fields.iter().enumerate() {
            let is_null = nulls[i / 8] >> (i % 8) & 1 == 1;
            let Some(kind) = &field.kind else {
                bytes.take(if is_null { 0 } else { field.width })?;
                continue;
            };
            if is_null {
                self.builder.push(Datum::Null);
            } else {
                match push(&mut self.writer, &mut self.builder, kind, field.width, bytes) {
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

/// A BIGINT.
const HIDDEN_BYTES: usize = 8;

/// What MariaDB keeps a UNIQUE over a long column with.
fn is_hidden(logged: &LogColumn) -> bool {
    logged.ty == ty::LONGLONG && logged.name.as_deref().is_some_and(|name| name.starts_with("DB_ROW_HASH_"))
}

fn has_all(bitmap: &[u8], columns: usize) -> bool {
    (0..columns).all(|i| bitmap[i / 8] >> (i % 8) & 1 == 1)
}

/// What is needed beside the kind to read a column's values; `None` where the logged column is not of that kind.
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

/// Fractions of a second come in pairs of digits, a byte each.
fn fraction_bytes(fsp: u8) -> usize {
    fsp.div_ceil(2) as usize
}

/// How many microseconds the unit of a fraction of so many bytes is.
const FRACTION_UNIT: [u32; 4] = [0, 10_000, 100, 1];

/// Reads a value. After [`DecodeError::Value`] its bytes are read and nothing is pushed.
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

/// The values whose meaning is the [`ValueWriter`]'s to say.
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
        // Pushed as they are.
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

/// The server leaves trailing zero bytes of fixed columns out.
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

/// `sign 1 bit, unused 1, hour 10, minute 6, second 6`, then the fraction, all as one big-endian number with an offset, so that a negative
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
