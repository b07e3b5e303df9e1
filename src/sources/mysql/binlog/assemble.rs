//! Events, one by one, into whole transactions of captured tables, and the position after each.
//!
//! A transaction begins with its GTID (or a `BEGIN`) and ends with an XID, a `COMMIT`, or the end of the one statement it is. Row events
//! of other tables are passed over without reading them. An event that is not understood is an error, unless its writer said that
//! it may be ignored. Elsewhere: where events come from (`stream`, `recorded`), and sending (`stream`).

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use mysql_common::binlog::events::Event;
use mysql_common::proto::MySerialize;

use super::decode::{DecodeError, RowDecoder};
use super::event::{self, EventError, FLAG_IGNORABLE, MariadbGtid, MysqlGtid, RawEvent, kind};
use super::gtid::GtidPosition;
use super::statement::{self, Effect};
use super::table_map::{self, TableMap};
use super::trail::Trail;
use super::transaction::Transaction;
use crate::sources::SourceError;
use crate::sources::mysql::position::{FilePosition, LogPosition};
use crate::sources::mysql::schema::MysqlTable;
use crate::sources::mysql::server::Flavour;
use crate::sources::mysql::values::ZeroDates;

/// What an event led to.
#[derive(Debug)]
pub(crate) enum Step {
    /// In the middle of something.
    Nothing,
    /// The position moved, and no captured table changed.
    Moved { committed_ms: Option<u64> },
    /// A transaction with changes is whole.
    Committed { changes: Transaction, committed_ms: Option<u64> },
}

/// Assembles the transactions of one connection or file.
#[derive(Debug)]
pub(crate) struct Assembler {
    tables: Arc<Vec<MysqlTable>>,
    names: Vec<(String, String)>,
    zero_dates: ZeroDates,
    maps: HashMap<u64, Mapped>,
    /// Up to the end of the last transaction.
    position: LogPosition,
    /// The file that events come from, and the offset after the last one.
    file: String,
    offset: u64,
    open: Option<Open>,
    trail: Trail,
    /// Prepared XA transactions that changed no captured table; their second halves are of no consequence.
    harmless_xids: HashSet<Vec<u8>>,
    /// How many bytes of events of the present compressed transaction are still to come.
    payload_left: u64,
    /// Of a recorded log that begins with empty tables: which of them have had rows. Until then no definition can lose any.
    filled: Option<Vec<bool>>,
}

/// What a table id stands for, and the map's bytes: the same map is not read twice.
#[derive(Debug)]
struct Mapped {
    body: Vec<u8>,
    captured: Option<(usize, Box<RowDecoder>)>,
}

/// A transaction that has begun.
#[derive(Debug, Default)]
struct Open {
    gtid: Option<Gtid>,
    changes: Transaction,
    committed_ms: Option<u64>,
    /// Statements belong together until an end; else the first one is all.
    in_block: bool,
}

#[derive(Debug)]
enum Gtid {
    Mysql(MysqlGtid),
    Mariadb { gtid: MariadbGtid, server: u32 },
}

impl Assembler {
    /// `position` is where the first event comes from.
    pub(crate) fn new(tables: Arc<Vec<MysqlTable>>, zero_dates: ZeroDates, position: LogPosition) -> Assembler {
        let names = tables.iter().map(|t| (t.database.clone(), t.name.clone())).collect();
        let (file, offset) = position.file.as_ref().map_or((String::new(), 0), |f| (f.file.clone(), f.offset));
        let trail = Trail::new(&position);
        Assembler {
            tables,
            names,
            zero_dates,
            maps: HashMap::new(),
            position,
            file,
            offset,
            open: None,
            trail,
            harmless_xids: HashSet::new(),
            payload_left: 0,
            filled: None,
        }
    }

    /// For a recorded log, whose files are told by [`Assembler::at`]; `from_start` where nothing of it was read before.
    pub(crate) fn of_recorded(tables: Arc<Vec<MysqlTable>>, position: LogPosition, from_start: bool) -> Assembler {
        let filled = vec![!from_start; tables.len()];
        Assembler { filled: Some(filled), ..Assembler::new(tables, ZeroDates::default(), position) }
    }

    /// The next event ends at this place of a recorded file.
    pub(crate) fn at(&mut self, flavour: Flavour, file: &str, offset: u64) {
        self.position.flavour = flavour;
        if self.file != file {
            self.file = file.to_string();
        }
        self.offset = offset;
    }

    /// Whether a transaction has begun and not ended.
    pub(crate) fn is_inside_transaction(&self) -> bool {
        self.open.as_ref().is_some_and(|open| open.in_block || !open.changes.is_empty())
    }

    pub(crate) fn position(&self) -> &LogPosition {
        &self.position
    }

    /// Takes the next event.
    pub(crate) fn next(&mut self, event: &Event) -> Result<Step, SourceError> {
        if !event::is_intact(event) {
            // A fault on the way may be gone on the next; one in the server's file comes again and again, and is seen so.
            return Err(SourceError::Transient { message: format!("an event {} has a wrong checksum", self.place()) });
        }
        let raw = RawEvent::of(event);
        self.check_payload(&raw)?;
        if !raw.is_inner && self.filled.is_none() {
            self.advance(&raw);
            self.trail.pass(event, &raw, self.offset);
        }
        let step = self.dispatch(event, &raw)?;
        if self.filled.is_none() && !matches!(step, Step::Nothing) {
            self.trail.settle(&mut self.position);
        }
        Ok(step)
    }

    /// The events of a compressed transaction must be exactly as many bytes as it says.
    fn check_payload(&mut self, raw: &RawEvent) -> Result<(), SourceError> {
        match (raw.is_inner, self.payload_left.checked_sub(raw.size as u64)) {
            (false, _) if self.payload_left == 0 => Ok(()),
            (true, Some(left)) => {
                self.payload_left = left;
                Ok(())
            }
            _ => Err(self.stop("a compressed transaction cannot be unpacked whole", None)),
        }
    }

    /// Headers have the low 32 bits of an offset only.
    fn advance(&mut self, raw: &RawEvent) {
        if raw.next_offset == 0 || raw.is_artificial() || matches!(raw.kind, kind::HEARTBEAT | kind::HEARTBEAT_2 | kind::FORMAT_DESCRIPTION)
        {
            return;
        }
        self.offset = follow_offset(self.offset, raw.next_offset);
    }

    fn dispatch(&mut self, event: &Event, raw: &RawEvent) -> Result<Step, SourceError> {
        match raw.kind {
            kind::TABLE_MAP => self.table_map(raw),
            kind::WRITE_ROWS_V1..=kind::DELETE_ROWS_V1
            | kind::WRITE_ROWS..=kind::DELETE_ROWS
            | kind::MARIADB_WRITE_ROWS_COMPRESSED_V1..=kind::MARIADB_DELETE_ROWS_COMPRESSED => self.rows(raw),
            kind::GTID | kind::ANONYMOUS_GTID | kind::TAGGED_GTID => {
                let gtid = event::mysql_gtid(event).map_err(|e| self.unreadable(&e))?;
                let committed_ms = gtid.committed_ms;
                self.begin(Gtid::Mysql(gtid), committed_ms, false)
            }
            kind::MARIADB_GTID => {
                let gtid = event::mariadb_gtid(raw.body).map_err(|e| self.unreadable(&e))?;
                let committed_ms = Some(raw.timestamp as u64 * 1000);
                self.begin(Gtid::Mariadb { gtid, server: raw.server_id }, committed_ms, !gtid.is_standalone())
            }
            kind::XID => self.commit(),
            kind::QUERY | kind::MARIADB_QUERY_COMPRESSED => self.query(raw),
            kind::XA_PREPARE => self.xa_prepare(raw),
            kind::TRANSACTION_PAYLOAD => {
                let payload: Result<mysql_common::binlog::events::TransactionPayloadEvent, _> = event.read_event();
                self.payload_left =
                    payload.map_err(|_| self.unreadable(&EventError::Malformed("a compressed transaction")))?.uncompressed_size();
                Ok(Step::Nothing)
            }
            kind::ROTATE => self.rotate(event, raw),
            kind::FORMAT_DESCRIPTION => self.format_description(raw),
            kind::HEARTBEAT => Ok(self.heartbeat(raw)),
            kind::PARTIAL_UPDATE_ROWS => self.partial_update(raw),
            kind::INCIDENT => {
                Err(self.stop("the server notes that changes may be missing from its log (an incident event)", Some(NEW_SNAPSHOT)))
            }
            kind::MARIADB_START_ENCRYPTION => Err(self.stop("the log is encrypted", None)),
            kind::STOP
            | kind::INTVAR
            | kind::RAND
            | kind::USER_VAR
            | kind::ROWS_QUERY
            | kind::PREVIOUS_GTIDS
            | kind::TRANSACTION_CONTEXT
            | kind::VIEW_CHANGE
            | kind::HEARTBEAT_2
            | kind::MARIADB_ANNOTATE
            | kind::MARIADB_CHECKPOINT
            | kind::MARIADB_GTID_LIST => Ok(self.idle_move()),
            _ if raw.flags & FLAG_IGNORABLE != 0 => Ok(self.idle_move()),
            unknown => Err(self.stop(&format!("an event of the kind {unknown}, which is not known"), None)),
        }
    }

    fn begin(&mut self, gtid: Gtid, committed_ms: Option<u64>, in_block: bool) -> Result<Step, SourceError> {
        if self.open.as_ref().is_some_and(|open| open.in_block) {
            return Err(self.stop("a transaction begins inside another", None));
        }
        self.open = Some(Open { gtid: Some(gtid), committed_ms, in_block, ..Open::default() });
        Ok(Step::Nothing)
    }

    fn table_map(&mut self, raw: &RawEvent) -> Result<Step, SourceError> {
        let id = event::table_id(raw.body).map_err(|e| self.unreadable(&e))?;
        if self.maps.get(&id).is_some_and(|mapped| mapped.body == raw.body) {
            return Ok(Step::Nothing);
        }
        let (database, name) = table_map::names(raw.body).map_err(|e| self.unreadable(&e))?;
        let captured = self.names.iter().position(|(d, n)| d.as_bytes() == database && n.as_bytes() == name);
        let captured = match captured {
            None => None,
            Some(table) => {
                let map = TableMap::read(raw.body, self.position.flavour).map_err(|e| self.unreadable(&e))?;
                let decoder = RowDecoder::new(&self.tables[table], &map, self.zero_dates).map_err(|mismatch| {
                    let name = &self.tables[table].table.name;
                    self.stop(&format!("the table `{name}` is not what it was: {mismatch}"), Some(NEW_SNAPSHOT))
                })?;
                Some((table, Box::new(decoder)))
            }
        };
        self.maps.insert(id, Mapped { body: raw.body.to_vec(), captured });
        Ok(Step::Nothing)
    }

    fn rows(&mut self, raw: &RawEvent) -> Result<Step, SourceError> {
        let id = event::table_id(raw.body).map_err(|e| self.unreadable(&e))?;
        let Some(mapped) = self.maps.get_mut(&id) else {
            return Err(self.stop("rows come before what table they are of", None));
        };
        let Some((table, decoder)) = &mut mapped.captured else { return Ok(Step::Nothing) };
        let table = *table;
        let rows = match event::rows(raw) {
            Ok(Some(rows)) => rows,
            Ok(None) => return Ok(Step::Nothing),
            Err(e) => return Err(self.unreadable(&e)),
        };
        if let Some(filled) = &mut self.filled {
            filled[table] = true;
        }
        let open = self.open.get_or_insert_with(Open::default);
        let mut spilling = Ok(());
        let decoded = decoder.decode(&rows, |row, diff| {
            if spilling.is_ok() {
                spilling = open.changes.push(table, row, diff);
            }
        });
        decoded.map_err(|e| self.bad_rows(table, &e))?;
        spilling.map_err(|e| SourceError::Transient { message: format!("a large transaction cannot be kept on disk: {e}") })?;
        Ok(Step::Nothing)
    }

    fn partial_update(&mut self, raw: &RawEvent) -> Result<Step, SourceError> {
        let id = event::table_id(raw.body).map_err(|e| self.unreadable(&e))?;
        match self.maps.get(&id) {
            Some(Mapped { captured: None, .. }) => Ok(Step::Nothing),
            Some(Mapped { captured: Some((table, _)), .. }) => {
                let name = &self.tables[*table].table.name;
                let what = format!("an update of `{name}` holds only parts of its JSON");
                Err(self.stop(&what, Some("SET GLOBAL binlog_row_value_options = ''; then start with a new state folder")))
            }
            None => Err(self.stop("rows come before what table they are of", None)),
        }
    }

    fn query(&mut self, raw: &RawEvent) -> Result<Step, SourceError> {
        let query = event::query(raw).map_err(|e| self.unreadable(&e))?;
        let database = String::from_utf8_lossy(query.database);
        let in_block = self.open.as_ref().is_some_and(|open| open.in_block);
        let has_changes = self.open.as_ref().is_some_and(|open| !open.changes.is_empty());
        match statement::effect(&query.text, &database, &self.names) {
            Effect::Begin | Effect::XaStart => {
                self.open.get_or_insert_with(Open::default).in_block = true;
                Ok(Step::Nothing)
            }
            Effect::Commit => self.commit(),
            Effect::Rollback | Effect::RollbackTo if has_changes => Err(self
                .stop("a transaction is rolled back in part, which happens when a table of it knows no transactions", Some(NEW_SNAPSHOT))),
            Effect::Rollback => self.commit(),
            Effect::RollbackTo | Effect::Savepoint | Effect::XaStep => Ok(Step::Nothing),
            Effect::XaCommit if !self.harmless_xids.remove(&xid_of_text(&query.text)) => {
                Err(self.stop("an XA transaction is committed of which it is not known what it changed", Some(NEW_SNAPSHOT)))
            }
            Effect::XaCommit | Effect::XaRollback => self.commit(),
            Effect::Data => Err(self.stop(
                "a session changed data by a statement instead of rows (binlog_format STATEMENT or MIXED)",
                Some("SET GLOBAL binlog_format = 'ROW'; and keep sessions from changing it; then start with a new state folder"),
            )),
            Effect::Changes { table, .. } if self.filled.as_ref().is_some_and(|filled| !filled[table]) => match in_block {
                true => Ok(Step::Nothing),
                false => self.commit(),
            },
            Effect::Changes { table, by } => {
                let name = &self.tables[table].table.name;
                Err(self.stop(&format!("{by} changed the table `{name}`"), Some(NEW_SNAPSHOT)))
            }
            Effect::Harmless if in_block => Ok(Step::Nothing),
            Effect::Harmless => self.commit(),
        }
    }

    /// The end of the present transaction, whatever it was.
    fn commit(&mut self) -> Result<Step, SourceError> {
        let open = self.open.take().unwrap_or_default();
        self.count_gtid(open.gtid);
        self.settle();
        let committed_ms = open.committed_ms;
        Ok(match open.changes.is_empty() {
            true => Step::Moved { committed_ms },
            false => Step::Committed { changes: open.changes, committed_ms },
        })
    }

    fn count_gtid(&mut self, gtid: Option<Gtid>) {
        if self.filled.is_some() {
            return;
        }
        match (gtid, &mut self.position.gtid) {
            (Some(Gtid::Mysql(gtid)), Some(GtidPosition::Mysql(set))) if gtid.number > 0 => set.add(gtid.uuid, &gtid.tag, gtid.number),
            // An anonymous transaction: from here on no set of GTIDs says where we are, also not one that begins later.
            (Some(Gtid::Mysql(gtid)), here) if gtid.number == 0 => *here = None,
            (Some(Gtid::Mariadb { gtid, server }), Some(GtidPosition::Mariadb(set))) => set.set(gtid.domain, server, gtid.sequence),
            _ => {}
        }
    }

    /// The first half of an XA transaction, or at MySQL the whole one where it has one phase only.
    fn xa_prepare(&mut self, raw: &RawEvent) -> Result<Step, SourceError> {
        let one_phase = raw.body.first() == Some(&1);
        if one_phase {
            return self.commit();
        }
        if self.open.as_ref().is_some_and(|open| !open.changes.is_empty()) {
            return Err(
                self.stop("an XA transaction with two phases changes a captured table, which is not supported yet", Some(NEW_SNAPSHOT))
            );
        }
        // one_phase u8, format u32, two lengths u32, the two parts of the id.
        let xid = raw.body.get(13..).map(<[u8]>::to_vec).unwrap_or_default();
        self.harmless_xids.insert(xid);
        self.commit()
    }

    fn rotate(&mut self, event: &Event, raw: &RawEvent) -> Result<Step, SourceError> {
        if self.filled.is_some() {
            return Ok(Step::Nothing);
        }
        let body = without_stray_checksum(event);
        let (file, offset) = event::rotate(body).map_err(|e| self.unreadable(&e))?;
        // A server that is asked by GTID names the file, and its start, before it goes to the place.
        let goes_back = self.file.as_bytes() == file && offset < self.offset;
        if !goes_back {
            self.file = String::from_utf8_lossy(file).into_owned();
            self.offset = offset;
        }
        if !raw.is_artificial() {
            self.maps.clear();
        }
        Ok(self.idle_move())
    }

    /// A server that crashed begins a new file; what was open then was never committed.
    fn format_description(&mut self, raw: &RawEvent) -> Result<Step, SourceError> {
        let created = raw.body.get(52..56).is_some_and(|created| created != [0; 4]);
        if created {
            self.open = None;
            self.maps.clear();
        }
        Ok(Step::Nothing)
    }

    fn heartbeat(&mut self, raw: &RawEvent) -> Step {
        if self.open.is_none() && raw.next_offset > 0 {
            self.offset = follow_offset(self.offset, raw.next_offset);
        }
        self.idle_move()
    }

    /// Between transactions the position follows every event.
    fn idle_move(&mut self) -> Step {
        if self.open.is_some() {
            return Step::Nothing;
        }
        self.settle();
        Step::Moved { committed_ms: None }
    }

    /// The position never goes back in a file, though what stands at its start comes again each time that it is asked for by GTID.
    fn settle(&mut self) {
        match &mut self.position.file {
            _ if self.file.is_empty() => {}
            Some(place) if place.file == self.file => place.offset = place.offset.max(self.offset),
            place => *place = Some(FilePosition { file: self.file.clone(), offset: self.offset }),
        }
    }

    /// Where in the log we are, for messages.
    fn place(&self) -> String {
        format!("before {}:{}", self.file, self.offset)
    }

    fn stop(&self, what: &str, help: Option<&str>) -> SourceError {
        SourceError::Stopped { message: format!("{what} ({})", self.place()), help: help.map(Into::into) }
    }

    fn unreadable(&self, error: &EventError) -> SourceError {
        self.stop(&error.to_string(), None)
    }

    fn bad_rows(&self, table: usize, error: &DecodeError) -> SourceError {
        let name = &self.tables[table].table.name;
        match error {
            DecodeError::PartialImage => self.stop(
                &format!("a row event of `{name}` does not have all columns (binlog_row_image is not FULL)"),
                Some("SET GLOBAL binlog_row_image = 'FULL'; and keep sessions from changing it; then start with a new state folder"),
            ),
            DecodeError::Value { column, error } => super::super::select::bad_value(name, column, error),
            other => self.stop(&format!("{other}, of the table `{name}`"), None),
        }
    }
}

const NEW_SNAPSHOT: &str = "start with a new state folder, which takes a new snapshot";

/// The offset whose low 32 bits these are, not before the last one.
fn follow_offset(last: u64, low: u32) -> u64 {
    let same = last & !0xffff_ffff | low as u64;
    if same + (1 << 31) < last { same + (1 << 32) } else { same }
}

/// The body of a ROTATE. The one that MariaDB makes up before it tells that events have checksums has one itself.
fn without_stray_checksum(event: &Event) -> &[u8] {
    let body = event.data();
    let Some((name, stray)) = body.split_last_chunk::<4>() else { return body };
    let mut header = Vec::with_capacity(19);
    event.header().serialize(&mut header);
    let mut crc = flate2::Crc::new();
    crc.update(&header);
    crc.update(name);
    if crc.sum() == u32::from_le_bytes(*stray) { name } else { body }
}

/// The id's bytes out of `XA COMMIT X'..',X'..',1`.
fn xid_of_text(text: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(text);
    let hex: String = text.split('\'').skip(1).step_by(2).collect();
    let digits: Vec<u8> = hex.chars().filter_map(|c| c.to_digit(16)).map(|d| d as u8).collect();
    digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_beyond_four_gib_are_followed() {
        assert_eq!(follow_offset(100, 500), 500);
        assert_eq!(follow_offset(0xffff_fff0, 0x10), 0x1_0000_0010);
        assert_eq!(follow_offset(0x1_0000_0010, 0x20), 0x1_0000_0020);
        assert_eq!(follow_offset(500, 400), 400);
    }

    #[test]
    fn xids_are_read_from_text() {
        assert_eq!(xid_of_text(b"XA COMMIT X'7861',X'62',1"), b"xab");
        assert_eq!(xid_of_text(b"XA COMMIT X'7861',X'',1"), b"xa");
    }
}
