//! Assembles events into whole transactions of captured tables, with the position after each.
//!
//! A transaction begins with its GTID (or a `BEGIN`) and ends with an XID, a `COMMIT`, or after its only statement. Row events of other
//! tables are skipped without decoding. An unknown event is an error, unless its writer marked it as ignorable. `statements` handles events
//! that are text, `place` the position. Elsewhere: where events come from (`stream`, `recorded`), and sending (`stream`).

mod place;
mod rows;
mod statements;

pub(crate) use self::statements::WrittenByText;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use mysql_common::binlog::events::Event;

use super::decode::{DecodeError, RowDecoder};
use super::event::{self, EventError, FLAG_IGNORABLE, MariadbGtid, MysqlGtid, RawEvent, kind};
use super::names::{CapturedNames, Case};
use super::table_map::{self, TableMap};
use super::trail::Trail;
use super::transaction::LogTransaction;
use crate::sources::mysql::position::LogPosition;
use crate::sources::mysql::schema::MysqlTable;
use crate::sources::mysql::server::Flavour;
use crate::sources::mysql::values::ZeroDates;
use crate::sources::{Rejected, SourceError};

/// The result of an event.
#[derive(Debug)]
pub(crate) enum Step {
    /// No result yet.
    Nothing,
    /// The position advanced without a change of a captured table. `rejected` has the rows of captured tables that cannot be read.
    Moved { committed_ms: Option<u64>, rejected: Vec<Rejected> },
    /// A transaction with changes is complete.
    Committed { changes: LogTransaction, committed_ms: Option<u64> },
    /// A statement was logged as text and wrote this. The caller finds out whether that changed a captured table, and calls
    /// [`Assembler::answer`].
    Asks(WrittenByText),
}

/// What a table of the log is needed for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TableRole {
    /// Its rows are kept. Else only its changes as a parent are.
    pub(crate) is_held: bool,
    /// It is captured for foreign keys only, not for views.
    pub(crate) is_extra: bool,
    /// It has foreign keys that write or delete its rows.
    pub(crate) is_child: bool,
    /// The columns that foreign keys of other tables refer to.
    pub(crate) referenced: Vec<usize>,
}

impl TableRole {
    /// The role of a table without foreign keys that matter.
    pub(crate) const CAPTURED: TableRole = TableRole { is_held: true, is_extra: false, is_child: false, referenced: Vec::new() };

    /// Whether foreign keys act on its rows and because of that on those of other tables.
    pub(crate) fn passes_on(&self) -> bool {
        self.is_extra && self.is_held || self.is_child && !self.referenced.is_empty()
    }
}

/// Assembles the transactions of one connection or file.
#[derive(Debug)]
pub(crate) struct Assembler {
    tables: Arc<Vec<MysqlTable>>,
    /// For each table.
    roles: Vec<TableRole>,
    /// The names of all tables.
    names: CapturedNames,
    /// The names of the captured tables, by which statements are judged first.
    captured: CapturedNames,
    /// The tables that are needed for foreign keys only, each by itself: a statement may name several.
    extra: Vec<(usize, CapturedNames)>,
    zero_dates: ZeroDates,
    maps: HashMap<u64, Mapped>,
    /// The end of the last transaction.
    position: LogPosition,
    /// The current file, and the offset after the last event.
    file: String,
    offset: u64,
    open: Option<Open>,
    trail: Trail,
    /// The version of the server that wrote the current file, as in `/*!80013 */`.
    version: Option<u32>,
    /// The changes of XA transactions that are prepared but not yet committed, by their ids.
    prepared: HashMap<Vec<u8>, LogTransaction>,
    /// Known targets whose writes change no captured table.
    alone: HashSet<WrittenByText>,
    /// The remaining bytes of events of the current compressed transaction.
    payload_left: u64,
    /// For a recorded log, which begins with empty tables: whether each table has had rows. Until then a definition cannot lose any.
    filled: Option<Vec<bool>>,
}

/// The captured table of a table id, if it is captured. `body` is the map, so that the same map is not parsed twice.
#[derive(Debug)]
struct Mapped {
    body: Vec<u8>,
    captured: Option<(usize, Box<RowDecoder>)>,
}

/// A transaction that has begun.
#[derive(Debug, Default)]
struct Open {
    gtid: Option<Gtid>,
    changes: LogTransaction,
    committed_ms: Option<u64>,
    /// Whether the transaction continues up to an end event; else it ends after its first statement.
    in_block: bool,
}

#[derive(Debug)]
enum Gtid {
    Mysql(MysqlGtid),
    Mariadb { gtid: MariadbGtid, server: u32 },
}

/// The names of these tables.
fn names_of(tables: &[MysqlTable], case: Case) -> CapturedNames {
    CapturedNames::new(tables.iter().map(|table| (table.database.clone(), table.name.clone())).collect(), case)
}

impl Assembler {
    /// `position` is where the first event is read from.
    pub(crate) fn new(tables: Arc<Vec<MysqlTable>>, case: Case, zero_dates: ZeroDates, position: LogPosition) -> Assembler {
        let names = names_of(&tables, case);
        let (file, offset) = position.file.as_ref().map_or((String::new(), 0), |f| (f.file.clone(), f.offset));
        let trail = Trail::new(&position);
        Assembler {
            roles: vec![TableRole::CAPTURED; tables.len()],
            tables,
            captured: names.clone(),
            names,
            extra: Vec::new(),
            zero_dates,
            maps: HashMap::new(),
            position,
            file,
            offset,
            open: None,
            trail,
            version: None,
            prepared: HashMap::new(),
            alone: HashSet::new(),
            payload_left: 0,
            filled: None,
        }
    }

    /// Sets the role of each table. Those that are needed for foreign keys only come after the others.
    pub(crate) fn with_roles(self, roles: Vec<TableRole>) -> Assembler {
        let captured = roles.iter().take_while(|role| !role.is_extra).count();
        let (tables, case) = (&self.tables, self.names.case());
        let one = |table: usize| (table, names_of(&tables[table..=table], case));
        let extra = (captured..tables.len()).map(one).collect();
        Assembler { captured: names_of(&tables[..captured], case), extra, roles, ..self }
    }

    /// For a recorded log: [`Assembler::at`] sets the file of each event. `from_start` means that nothing of the log was read before.
    pub(crate) fn of_recorded(tables: Arc<Vec<MysqlTable>>, position: LogPosition, from_start: bool) -> Assembler {
        let filled = vec![!from_start; tables.len()];
        Assembler { filled: Some(filled), ..Assembler::new(tables, Case::Unknown, ZeroDates::default(), position) }
    }

    /// Sets the end of the next event in a recorded file.
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

    /// The end of the last transaction.
    pub(crate) fn position(&self) -> &LogPosition {
        &self.position
    }

    /// Processes the next event.
    pub(crate) fn next(&mut self, event: &Event) -> Result<Step, SourceError> {
        if !event::is_intact(event) {
            // A transmission error may not recur. Damage in the server's file does, so it becomes visible by the repeated error.
            return Err(SourceError::Transient { message: format!("an event {} has a wrong checksum", self.place()) });
        }
        let raw = RawEvent::from_event(event);
        self.check_payload(&raw)?;
        if !raw.is_inner && self.filled.is_none() {
            self.advance(&raw);
            self.trail.pass(event, &raw, self.offset);
        }
        let step = self.dispatch(event, &raw)?;
        Ok(self.settled(step))
    }

    /// Updates the trail after a step that moved the position.
    fn settled(&mut self, step: Step) -> Step {
        if self.filled.is_none() && matches!(step, Step::Moved { .. } | Step::Committed { .. }) {
            self.trail.settle(&mut self.position);
        }
        step
    }

    /// The events of a compressed transaction must have exactly the announced number of bytes.
    fn check_payload(&mut self, raw: &RawEvent) -> Result<(), SourceError> {
        match (raw.is_inner, self.payload_left.checked_sub(raw.size as u64)) {
            (false, _) if self.payload_left == 0 => Ok(()),
            (true, Some(left)) => {
                self.payload_left = left;
                Ok(())
            }
            _ => Err(self.stop("a compressed transaction does not have its announced size", None)),
        }
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
            kind::QUERY | kind::MARIADB_QUERY_COMPRESSED | kind::EXECUTE_LOAD_QUERY => self.query(raw),
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
            kind::INCIDENT => Err(self.lost("the server reports that changes may be missing from its log (an incident event)")),
            kind::MARIADB_START_ENCRYPTION => Err(self.stop("the log is encrypted", None)),
            kind::STOP
            | kind::INTVAR
            | kind::RAND
            | kind::BEGIN_LOAD_QUERY
            | kind::APPEND_BLOCK
            | kind::DELETE_FILE
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
            unknown => Err(self.stop(&format!("an event of the unknown kind {unknown}"), None)),
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
        let captured = match self.names.mapped(database, name) {
            None => None,
            Some(table) => {
                let map = TableMap::read(raw.body, self.position.flavour).map_err(|e| self.unreadable(&e))?;
                let decoder = RowDecoder::new(&self.tables[table], &map, self.zero_dates).map_err(|mismatch| {
                    let name = self.table_name(table);
                    self.lost_of(Some(table), &format!("the table `{name}` has changed: {mismatch}"))
                })?;
                Some((table, Box::new(decoder)))
            }
        };
        self.maps.insert(id, Mapped { body: raw.body.to_vec(), captured });
        Ok(Step::Nothing)
    }

    fn partial_update(&mut self, raw: &RawEvent) -> Result<Step, SourceError> {
        let id = event::table_id(raw.body).map_err(|e| self.unreadable(&e))?;
        match self.maps.get(&id) {
            Some(Mapped { captured: None, .. }) => Ok(Step::Nothing),
            Some(Mapped { captured: Some((table, _)), .. }) => {
                let name = self.table_name(*table);
                Err(self.lost_of(Some(*table), &format!(
                    "an update of `{name}` contains only parts of its JSON; SET GLOBAL binlog_row_value_options = ''; and keep sessions from \
                     changing it"
                )))
            }
            None => Err(self.stop("a row event has no table map before it", None)),
        }
    }

    fn table_name(&self, table: usize) -> &str {
        &self.tables[table].table.name
    }

    /// The error for a change that is not in the log, so that the log does not continue from the stored state. Capturing a recorded log
    /// again would end at the same error, so there it is final.
    fn lost(&self, what: &str) -> SourceError {
        self.lost_of(None, what)
    }

    /// As [`lost`](Assembler::lost), for a change of one table that can have changed no other.
    fn lost_of(&self, table: Option<usize>, what: &str) -> SourceError {
        // A table that is kept for foreign keys only is not captured by itself.
        let table = table.filter(|table| !self.roles[*table].is_extra).map(|table| self.table_name(table).to_string());
        match self.filled {
            None => SourceError::Resync { message: format!("{what} ({})", self.place()), table },
            Some(_) => self.stop(what, Some("a recorded log cannot be followed past this; capture the server itself")),
        }
    }

    fn stop(&self, what: &str, help: Option<&str>) -> SourceError {
        SourceError::Stopped { message: format!("{what} ({})", self.place()), help: help.map(Into::into) }
    }

    fn unreadable(&self, error: &EventError) -> SourceError {
        self.stop(&error.to_string(), None)
    }

    fn bad_rows(&self, table: usize, error: &DecodeError) -> SourceError {
        let name = self.table_name(table);
        match error {
            DecodeError::PartialImage => self.lost_of(Some(table), &format!(
                "a row event of `{name}` does not have all columns (binlog_row_image is not FULL); SET GLOBAL binlog_row_image = 'FULL'; and \
                 keep sessions from changing it"
            )),
            other => self.stop(&format!("{other}, of the table `{name}`"), None),
        }
    }
}
