//! Parses the event that describes the table of the following row events and its columns.
//!
//! Types and their metadata are always present; names, labels, the key, signedness and charsets only if the server's `binlog_row_metadata`
//! includes them. The format is that of `Table_map_event` in MySQL's `libs/mysql/binlog/event/rows_event.h`. Lists that count character
//! columns count as the server does: VECTOR is one at MySQL, GEOMETRY is one at MariaDB.

use super::bytes::{Bytes, Truncated};
use super::event::EventError;
use crate::sources::mysql::server::Flavour;

/// A parsed table map event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TableMap {
    pub(crate) database: String,
    pub(crate) name: String,
    pub(crate) columns: Vec<LogColumn>,
    /// The columns of the primary key, in key order; `None` if the log does not have it.
    pub(crate) key: Option<Vec<usize>>,
}

/// A column as the log describes it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct LogColumn {
    pub(crate) ty: u8,
    /// Two bytes whose meaning depends on the type.
    pub(crate) meta: u16,
    pub(crate) nullable: bool,
    pub(crate) name: Option<String>,
    pub(crate) unsigned: Option<bool>,
    pub(crate) collation: Option<u32>,
    pub(crate) labels: Option<Vec<Vec<u8>>>,
}

/// Column types, by number.
pub(crate) mod ty {
    pub(crate) const TINY: u8 = 1;
    pub(crate) const SHORT: u8 = 2;
    pub(crate) const LONG: u8 = 3;
    pub(crate) const FLOAT: u8 = 4;
    pub(crate) const DOUBLE: u8 = 5;
    pub(crate) const LONGLONG: u8 = 8;
    pub(crate) const INT24: u8 = 9;
    pub(crate) const DATE: u8 = 10;
    pub(crate) const YEAR: u8 = 13;
    pub(crate) const NEWDATE: u8 = 14;
    pub(crate) const VARCHAR: u8 = 15;
    pub(crate) const BIT: u8 = 16;
    pub(crate) const TIMESTAMP2: u8 = 17;
    pub(crate) const DATETIME2: u8 = 18;
    pub(crate) const TIME2: u8 = 19;
    pub(crate) const TYPED_ARRAY: u8 = 20;
    pub(crate) const MARIADB_BLOB_COMPRESSED: u8 = 140;
    pub(crate) const MARIADB_VARCHAR_COMPRESSED: u8 = 141;
    pub(crate) const VECTOR: u8 = 242;
    pub(crate) const JSON: u8 = 245;
    pub(crate) const NEWDECIMAL: u8 = 246;
    pub(crate) const ENUM: u8 = 247;
    pub(crate) const SET: u8 = 248;
    pub(crate) const TINY_BLOB: u8 = 249;
    pub(crate) const BLOB: u8 = 252;
    pub(crate) const VAR_STRING: u8 = 253;
    pub(crate) const STRING: u8 = 254;
    pub(crate) const GEOMETRY: u8 = 255;
}

/// Reads only the database and the name of a table map.
pub(crate) fn names(body: &[u8]) -> Result<(&[u8], &[u8]), EventError> {
    let mut body = Bytes(body);
    body.take(8)?;
    let database = name(&mut body)?;
    let table = name(&mut body)?;
    Ok((database, table))
}

fn name<'a>(body: &mut Bytes<'a>) -> Result<&'a [u8], Truncated> {
    let length = body.u8()? as usize;
    let name = body.take(length)?;
    body.u8()?;
    Ok(name)
}

impl TableMap {
    pub(crate) fn read(body: &[u8], flavour: Flavour) -> Result<TableMap, EventError> {
        let mut body = Bytes(body);
        body.take(8)?;
        let database = text(name(&mut body)?)?;
        let name = text(name(&mut body)?)?;
        let count = body.length()?;
        let types = body.take(count)?;
        let metadata_length = body.length()?;
        let mut metadata = Bytes(body.take(metadata_length)?);
        let nullable = body.take(count.div_ceil(8))?;
        let mut columns = Vec::with_capacity(count);
        for (i, &ty) in types.iter().enumerate() {
            let (ty, meta) = type_and_meta(ty, &mut metadata)?;
            columns.push(LogColumn { ty, meta, nullable: nullable[i / 8] >> (i % 8) & 1 == 1, ..LogColumn::default() });
        }
        let mut map = TableMap { database, name, columns, key: None };
        let is_character = match flavour {
            Flavour::Mysql => is_character,
            Flavour::Mariadb => is_mariadb_character,
        };
        while !body.is_empty() {
            let field = body.u8()?;
            let length = body.length()?;
            map.read_optional(field, Bytes(body.take(length)?), is_character)?;
        }
        Ok(map)
    }

    fn read_optional(&mut self, field: u8, mut value: Bytes, is_character: fn(u8) -> bool) -> Result<(), EventError> {
        match field {
            1 => self.read_signedness(value)?,
            2 => self.read_default_charset(value, is_character)?,
            3 => self.read_charsets(value, is_character)?,
            4 => {
                for column in &mut self.columns {
                    column.name = Some(text(string(&mut value)?)?);
                }
            }
            5 => self.read_labels(value, ty::SET)?,
            6 => self.read_labels(value, ty::ENUM)?,
            8 => self.read_key(value, false)?,
            9 => self.read_key(value, true)?,
            10 => self.read_default_charset(value, is_enum_or_set)?,
            11 => self.read_charsets(value, is_enum_or_set)?,
            // Geometry types, visibility, vector dimensions, and fields of newer servers: not needed to read values.
            _ => {}
        }
        Ok(())
    }

    /// One bit per numeric column, the first in the highest bit.
    fn read_signedness(&mut self, value: Bytes) -> Result<(), EventError> {
        for (i, column) in self.columns.iter_mut().filter(|c| is_numeric(c.ty)).enumerate() {
            let byte = value.0.get(i / 8).ok_or(Truncated)?;
            column.unsigned = Some(byte >> (7 - i % 8) & 1 == 1);
        }
        Ok(())
    }

    /// One collation for all columns of this sort, then pairs of (ordinal among them, collation) for the others.
    fn read_default_charset(&mut self, mut value: Bytes, sort: fn(u8) -> bool) -> Result<(), EventError> {
        let default = value.lenenc()? as u32;
        let mut columns: Vec<&mut LogColumn> = self.columns.iter_mut().filter(|c| sort(c.ty)).collect();
        for column in &mut columns {
            column.collation = Some(default);
        }
        while !value.is_empty() {
            let ordinal = value.lenenc()? as usize;
            let column = columns.get_mut(ordinal).ok_or(EventError::Malformed("a charset of no column"))?;
            column.collation = Some(value.lenenc()? as u32);
        }
        Ok(())
    }

    fn read_charsets(&mut self, mut value: Bytes, sort: fn(u8) -> bool) -> Result<(), EventError> {
        for column in self.columns.iter_mut().filter(|c| sort(c.ty)) {
            column.collation = Some(value.lenenc()? as u32);
        }
        Ok(())
    }

    fn read_labels(&mut self, mut value: Bytes, ty: u8) -> Result<(), EventError> {
        for column in self.columns.iter_mut().filter(|c| c.ty == ty) {
            let count = value.length()?;
            let mut labels = Vec::with_capacity(count);
            for _ in 0..count {
                labels.push(string(&mut value)?.to_vec());
            }
            column.labels = Some(labels);
        }
        Ok(())
    }

    fn read_key(&mut self, mut value: Bytes, with_prefix: bool) -> Result<(), EventError> {
        let mut key = Vec::new();
        while !value.is_empty() {
            let column = value.lenenc()? as usize;
            if column >= self.columns.len() {
                return Err(EventError::Malformed("a key of no column"));
            }
            key.push(column);
            if with_prefix {
                value.lenenc()?;
            }
        }
        self.key = Some(key);
        Ok(())
    }
}

fn text(bytes: &[u8]) -> Result<String, EventError> {
    Ok(std::str::from_utf8(bytes).map_err(|_| EventError::Malformed("a name"))?.to_string())
}

fn string<'a>(value: &mut Bytes<'a>) -> Result<&'a [u8], Truncated> {
    let length = value.length()?;
    value.take(length)
}

/// The real type of a column, and its metadata.
fn type_and_meta(raw: u8, metadata: &mut Bytes) -> Result<(u8, u16), EventError> {
    Ok(match raw {
        ty::FLOAT | ty::DOUBLE | ty::TIMESTAMP2 | ty::DATETIME2 | ty::TIME2 | ty::VECTOR | ty::JSON => (raw, metadata.u8()? as u16),
        ty::TINY_BLOB..=ty::BLOB | ty::GEOMETRY | ty::MARIADB_BLOB_COMPRESSED => (raw, metadata.u8()? as u16),
        ty::VARCHAR | ty::BIT | ty::NEWDECIMAL | ty::VAR_STRING | ty::ENUM | ty::SET | ty::MARIADB_VARCHAR_COMPRESSED => {
            (raw, metadata.u16()?)
        }
        ty::STRING => string_type(metadata.array()?),
        ty::TYPED_ARRAY => return Err(EventError::Malformed("a column that is an array")),
        _ => (raw, 0),
    })
}

/// CHAR, BINARY, ENUM and SET are all logged as STRING. The first byte is the real type; if the length is above 255, it also has two bits of
/// the length.
fn string_type([real, length]: [u8; 2]) -> (u8, u16) {
    match real {
        0 => (ty::STRING, length as u16),
        _ if real & 0x30 != 0x30 => (real | 0x30, length as u16 | (((real & 0x30) ^ 0x30) as u16) << 4),
        _ => (real, length as u16),
    }
}

fn is_numeric(column: u8) -> bool {
    use ty::*;
    matches!(column, TINY | SHORT | INT24 | LONG | LONGLONG | NEWDECIMAL | FLOAT | DOUBLE | YEAR)
}

fn is_character(column: u8) -> bool {
    use ty::*;
    matches!(column, STRING | VAR_STRING | VARCHAR | BLOB | VECTOR | MARIADB_BLOB_COMPRESSED | MARIADB_VARCHAR_COMPRESSED)
}

/// MariaDB counts every column that has a collation, including `binary`, which GEOMETRY has.
fn is_mariadb_character(column: u8) -> bool {
    is_character(column) || column == ty::GEOMETRY
}

fn is_enum_or_set(column: u8) -> bool {
    matches!(column, ty::ENUM | ty::SET)
}
