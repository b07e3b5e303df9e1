//! Parses one event of a binary log as deep as its kind needs. Works for both servers and for recorded files.
//!
//! The formats are those of MySQL's `libs/mysql/binlog/event` and MariaDB's `sql/log_event.h` and
//! <https://mariadb.com/kb/en/replication-protocol/>.

use std::io::Read;

use flate2::read::ZlibDecoder;
use mysql_common::binlog::consts::BinlogChecksumAlg;
use mysql_common::binlog::events::{Event, GtidEvent};

use super::bytes::{Bytes, Truncated};
use super::gtid::NotGtids;
use crate::sources::mysql::server::Flavour;

/// The kinds of events, by number.
pub(crate) mod kind {
    pub(crate) const QUERY: u8 = 2;
    pub(crate) const STOP: u8 = 3;
    pub(crate) const ROTATE: u8 = 4;
    pub(crate) const INTVAR: u8 = 5;
    pub(crate) const APPEND_BLOCK: u8 = 9;
    pub(crate) const DELETE_FILE: u8 = 11;
    pub(crate) const RAND: u8 = 13;
    pub(crate) const USER_VAR: u8 = 14;
    pub(crate) const FORMAT_DESCRIPTION: u8 = 15;
    pub(crate) const XID: u8 = 16;
    pub(crate) const BEGIN_LOAD_QUERY: u8 = 17;
    pub(crate) const EXECUTE_LOAD_QUERY: u8 = 18;
    pub(crate) const TABLE_MAP: u8 = 19;
    pub(crate) const WRITE_ROWS_V1: u8 = 23;
    pub(crate) const DELETE_ROWS_V1: u8 = 25;
    pub(crate) const INCIDENT: u8 = 26;
    pub(crate) const HEARTBEAT: u8 = 27;
    pub(crate) const ROWS_QUERY: u8 = 29;
    pub(crate) const WRITE_ROWS: u8 = 30;
    pub(crate) const DELETE_ROWS: u8 = 32;
    pub(crate) const GTID: u8 = 33;
    pub(crate) const ANONYMOUS_GTID: u8 = 34;
    pub(crate) const PREVIOUS_GTIDS: u8 = 35;
    pub(crate) const TRANSACTION_CONTEXT: u8 = 36;
    pub(crate) const VIEW_CHANGE: u8 = 37;
    pub(crate) const XA_PREPARE: u8 = 38;
    pub(crate) const PARTIAL_UPDATE_ROWS: u8 = 39;
    pub(crate) const TRANSACTION_PAYLOAD: u8 = 40;
    pub(crate) const HEARTBEAT_2: u8 = 41;
    pub(crate) const TAGGED_GTID: u8 = 42;
    pub(crate) const MARIADB_ANNOTATE: u8 = 160;
    pub(crate) const MARIADB_CHECKPOINT: u8 = 161;
    pub(crate) const MARIADB_GTID: u8 = 162;
    pub(crate) const MARIADB_GTID_LIST: u8 = 163;
    pub(crate) const MARIADB_START_ENCRYPTION: u8 = 164;
    pub(crate) const MARIADB_QUERY_COMPRESSED: u8 = 165;
    pub(crate) const MARIADB_WRITE_ROWS_COMPRESSED_V1: u8 = 166;
    pub(crate) const MARIADB_DELETE_ROWS_COMPRESSED: u8 = 171;
}

/// The event is not in the log; the server generated it for this connection.
pub(crate) const FLAG_ARTIFICIAL: u16 = 0x20;
/// A reader that does not know the event may skip it.
pub(crate) const FLAG_IGNORABLE: u16 = 0x80;

/// Why an event cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum EventError {
    #[error("an event is malformed: {0}")]
    Malformed(&'static str),
    #[error(transparent)]
    Truncated(#[from] Truncated),
}

/// An event without its checksum.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RawEvent<'a> {
    pub(crate) kind: u8,
    /// Seconds since 1970.
    pub(crate) timestamp: u32,
    pub(crate) server_id: u32,
    /// In bytes, with header and checksum.
    pub(crate) size: u32,
    /// The low 32 bits of the offset after the event; 0 if it has no offset.
    pub(crate) next_offset: u32,
    pub(crate) flags: u16,
    pub(crate) body: &'a [u8],
    /// Whether the event is from a compressed transaction.
    pub(crate) is_inner: bool,
}

impl<'a> RawEvent<'a> {
    pub(crate) fn from_event(event: &'a Event) -> RawEvent<'a> {
        let header = event.header();
        RawEvent {
            kind: header.event_type_raw(),
            timestamp: header.timestamp(),
            server_id: header.server_id(),
            size: header.event_size(),
            next_offset: header.log_pos(),
            flags: header.flags_raw(),
            body: event.data(),
            is_inner: !event.footer().get_checksum_enabled(),
        }
    }

    pub(crate) fn is_artificial(&self) -> bool {
        self.flags & FLAG_ARTIFICIAL != 0
    }
}

/// Whether the event is undamaged: its checksum is right, or it has none.
pub(crate) fn is_intact(event: &Event) -> bool {
    let footer = event.footer();
    match footer.get_checksum_alg() {
        Ok(Some(BinlogChecksumAlg::BINLOG_CHECKSUM_ALG_CRC32)) if footer.get_checksum_enabled() => {
            let expected = event.checksum().map(u32::from_le_bytes);
            expected == Some(event.calc_checksum(BinlogChecksumAlg::BINLOG_CHECKSUM_ALG_CRC32))
        }
        Ok(_) => true,
        Err(_) => false,
    }
}

/// A statement in the log.
#[derive(Debug)]
pub(crate) struct QueryEvent<'a> {
    /// The session's default database.
    pub(crate) database: &'a [u8],
    /// The status variables (see `session`).
    pub(crate) status: &'a [u8],
    pub(crate) text: std::borrow::Cow<'a, [u8]>,
}

/// The bytes of LOAD DATA before the status variables: a file's id, where the file's name is in the text, how duplicates are handled.
const LOAD_BYTES: usize = 13;

pub(crate) fn query<'a>(event: &RawEvent<'a>) -> Result<QueryEvent<'a>, EventError> {
    let mut body = Bytes(event.body);
    body.take(8)?;
    let database_length = body.u8()? as usize;
    body.u16()?;
    let status_length = body.u16()? as usize;
    if event.kind == kind::EXECUTE_LOAD_QUERY {
        body.take(LOAD_BYTES)?;
    }
    let status = body.take(status_length)?;
    let database = body.take(database_length)?;
    body.u8()?;
    let text = match event.kind {
        kind::MARIADB_QUERY_COMPRESSED => uncompress(body.0)?.into(),
        _ => body.0.into(),
    };
    Ok(QueryEvent { database, status, text })
}

/// The version of the server that wrote the log, from the body of FORMAT_DESCRIPTION.
pub(crate) fn server_version(body: &[u8]) -> Option<&str> {
    let text = body.get(2..52)?;
    let end = text.iter().position(|b| *b == 0).unwrap_or(text.len());
    std::str::from_utf8(&text[..end]).ok()
}

/// The name of the next file, and the offset in it.
pub(crate) fn rotate(body: &[u8]) -> Result<(&[u8], u64), EventError> {
    let mut body = Bytes(body);
    let offset = body.u64()?;
    Ok((body.0, offset))
}

/// The beginning of a transaction at MySQL.
#[derive(Debug)]
pub(crate) struct MysqlGtid {
    pub(crate) uuid: [u8; 16],
    pub(crate) tag: String,
    /// 0 for an anonymous transaction.
    pub(crate) number: u64,
    pub(crate) committed_ms: Option<u64>,
}

pub(crate) fn mysql_gtid(event: &Event) -> Result<MysqlGtid, EventError> {
    let gtid: GtidEvent = event.read_event().map_err(|_| EventError::Malformed("a GTID"))?;
    let tag = gtid.tag().map_or(String::new(), |tag| tag.as_str().to_string());
    let committed_micros = gtid.immediate_commit_timestamp();
    let committed_ms = (committed_micros > 0).then_some(committed_micros / 1000);
    Ok(MysqlGtid { uuid: gtid.sid(), tag, number: gtid.gno(), committed_ms })
}

/// The beginning of a transaction, or of a standalone statement, at MariaDB.
#[derive(Debug, Clone, Copy)]
pub(crate) struct MariadbGtid {
    pub(crate) domain: u32,
    pub(crate) sequence: u64,
    flags: u8,
    more_flags: u8,
}

impl MariadbGtid {
    /// Whether this is the first half of an ALTER TABLE that is logged in two halves, or one that was rolled back: it did not take effect
    /// (yet).
    pub(crate) fn is_without_effect(self) -> bool {
        const START_ALTER: u8 = 2;
        const ROLLBACK_ALTER: u8 = 8;
        self.more_flags & (START_ALTER | ROLLBACK_ALTER) != 0
    }

    /// Whether one statement follows, without an event that ends the transaction.
    pub(crate) fn is_standalone(self) -> bool {
        self.flags & 1 != 0
    }
}

pub(crate) fn mariadb_gtid(body: &[u8]) -> Result<MariadbGtid, EventError> {
    const GROUP_COMMIT: u8 = 2;
    const OF_XA: u8 = 64 | 128;
    let mut body = Bytes(body);
    let (sequence, domain, flags) = (body.u64()?, body.u32()?, body.u8()?);
    if flags & GROUP_COMMIT != 0 {
        body.u64()?;
    }
    if flags & OF_XA != 0 {
        body.u32()?;
        let (global, branch) = (body.u8()? as usize, body.u8()? as usize);
        body.take(global + branch)?;
    }
    let more_flags = if body.is_empty() { 0 } else { body.u8()? };
    Ok(MariadbGtid { sequence, domain, flags, more_flags })
}

/// Which images a row event has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RowsKind {
    Write,
    Update,
    Delete,
}

/// The session that wrote a row event did not check foreign keys, so nothing was carried out.
const NO_FOREIGN_KEY_CHECKS: u16 = 0x2;
/// The server itself carries out what foreign keys ask for, and logs it as rows (MySQL 9.6 and later).
const SQL_FOREIGN_KEYS: u16 = 0x10;

/// Whether what foreign keys made of a row event is missing in the log.
pub(crate) fn may_cascade(body: &[u8], flavour: Flavour) -> bool {
    let flags = body.get(6..8).map_or(0, |flags| u16::from_le_bytes([flags[0], flags[1]]));
    let is_logged = flavour == Flavour::Mysql && flags & SQL_FOREIGN_KEYS != 0;
    !is_logged && flags & NO_FOREIGN_KEY_CHECKS == 0
}

/// A row event with its rows still packed.
#[derive(Debug)]
pub(crate) struct RowsEvent<'a> {
    pub(crate) kind: RowsKind,
    pub(crate) column_count: usize,
    /// One bit per column: whether the only image, or the image before an update, has the column.
    pub(crate) before: &'a [u8],
    /// The same for the image after an update.
    pub(crate) after: &'a [u8],
    pub(crate) rows: std::borrow::Cow<'a, [u8]>,
}

/// The table id at the beginning of a table map or row event.
pub(crate) fn table_id(body: &[u8]) -> Result<u64, EventError> {
    Ok(Bytes(body).le(6)?)
}

/// Parses a row event of any version, including MariaDB's compressed ones; `None` for other kinds of events.
pub(crate) fn rows<'a>(event: &RawEvent<'a>) -> Result<Option<RowsEvent<'a>>, EventError> {
    let Some((kind, has_extra, compressed)) = rows_kind(event.kind) else { return Ok(None) };
    let mut body = Bytes(event.body);
    body.take(8)?;
    if has_extra {
        let extra = (body.u16()? as usize).checked_sub(2).ok_or(EventError::Malformed("the extra data of a row event"))?;
        body.take(extra)?;
    }
    let column_count = body.lenenc()? as usize;
    let bitmap = column_count.div_ceil(8);
    let before = body.take(bitmap)?;
    let after = if kind == RowsKind::Update { body.take(bitmap)? } else { before };
    let rows = if compressed { uncompress(body.0)?.into() } else { body.0.into() };
    Ok(Some(RowsEvent { kind, column_count, before, after, rows }))
}

fn rows_kind(kind: u8) -> Option<(RowsKind, bool, bool)> {
    const ORDER: [RowsKind; 3] = [RowsKind::Write, RowsKind::Update, RowsKind::Delete];
    match kind {
        kind::WRITE_ROWS_V1..=kind::DELETE_ROWS_V1 => Some((ORDER[(kind - kind::WRITE_ROWS_V1) as usize], false, false)),
        kind::WRITE_ROWS..=kind::DELETE_ROWS => Some((ORDER[(kind - kind::WRITE_ROWS) as usize], true, false)),
        kind::MARIADB_WRITE_ROWS_COMPRESSED_V1..=kind::MARIADB_DELETE_ROWS_COMPRESSED => {
            let offset = kind - kind::MARIADB_WRITE_ROWS_COMPRESSED_V1;
            Some((ORDER[(offset % 3) as usize], offset >= 3, true))
        }
        _ => None,
    }
}

/// MariaDB's compressed format: a byte of flags (80, the algorithm, the number of length bytes), the length, big endian, a zlib stream.
fn uncompress(bytes: &[u8]) -> Result<Vec<u8>, EventError> {
    const BAD: EventError = EventError::Malformed("compressed data");
    let mut bytes = Bytes(bytes);
    let header = bytes.u8()?;
    if header & 0xf0 != 0x80 {
        return Err(BAD);
    }
    let length_bytes = (header & 7) as usize;
    let length = bytes.be(length_bytes)? as usize;
    let mut out = Vec::with_capacity(length.min(64 << 20));
    ZlibDecoder::new(bytes.0).take(length as u64 + 1).read_to_end(&mut out).map_err(|_| BAD)?;
    if out.len() == length { Ok(out) } else { Err(BAD) }
}

impl From<NotGtids> for EventError {
    fn from(_: NotGtids) -> EventError {
        EventError::Malformed("a GTID")
    }
}
