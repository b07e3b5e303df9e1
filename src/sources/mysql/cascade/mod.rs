//! Carries out what foreign keys do to other tables, where the server does not log it.
//!
//! MariaDB, and MySQL before 9.6, log a parent that is deleted or changed, and nothing of the children that ON DELETE and ON UPDATE delete or
//! change with it. In: transactions of the log, with the changes of parents in their places. Out: the same transactions with the changes of
//! the children. For every position p: the rows that result = the rows of the server as of p.
//!
//! Children are found by notes ([`note`]) that are committed with the rows: for each foreign key the rows by their key. Tables that no view
//! reads, but through which changes pass on, are kept with the columns of their keys. What is followed is noted too, so it belongs to a
//! position. `followed` finds it, `matching` compares keys as the server does, `carry_out` does the work.

mod carry_out;
mod followed;
mod linked;
mod matching;
mod note;
mod state;

use std::sync::Arc;

use mysql_async::Conn;
use serde::{Deserialize, Serialize};

pub(super) use self::carry_out::carry_out;
use self::linked::Linked;
use super::binlog::assemble::TableRole;
use super::foreign_keys::ForeignKey;
use super::options::MysqlOptions;
use super::schema::MysqlTable;
use super::server::{Flavour, Server};
use super::settings::setting;
use super::table_at::TableAt;
use crate::sources::{Companion, Finding, HeldRows, Notes, SourceError};
use crate::value::{Row, Rows, key};

const NOT_LOGGED: &str = "the server no longer logs what foreign keys do";

/// The foreign keys that are followed, resolved to the tables of a run.
#[derive(Debug)]
pub(super) struct Cascades {
    /// The captured tables, then those that are needed for foreign keys only.
    pub(super) tables: Arc<Vec<MysqlTable>>,
    /// The number of captured tables; also the index of the table of notes at the engine.
    captured: usize,
    /// For each table beyond the captured ones: whether its rows are kept.
    held: Vec<bool>,
    keys: Vec<Linked>,
    /// For each table, the keys of which it is the child.
    keys_of_child: Vec<Vec<usize>>,
    /// For each table, the keys of which it is the parent, in the order in which they act.
    keys_of_parent: Vec<Vec<usize>>,
    /// Whether what foreign keys do is added here. If not, because the server logs it or because none acts, nothing is noted, and a change of
    /// a parent whose children the log lacks is an error.
    follows: bool,
    /// Whether a captured table has a foreign key with an action.
    acts: bool,
}

/// A table that is kept for foreign keys, as a note.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct KeptTable {
    table: TableAt,
    /// Each column with its type.
    columns: Vec<(String, String)>,
    key: Vec<usize>,
}

/// Whether the server itself carries out and logs what foreign keys do, as MySQL from 9.6 on does unless it is told to leave it to InnoDB.
async fn logs_actions(conn: &mut Conn, server: &Server) -> Result<bool, SourceError> {
    if server.flavour != Flavour::Mysql || server.version < (9, 6, 0) {
        return Ok(false);
    }
    let native = setting(conn, "innodb_native_foreign_keys").await?;
    Ok(native.is_none_or(|value| value.eq_ignore_ascii_case("OFF")))
}

/// Everything that keeps foreign keys of these tables from being followed exactly.
pub(super) async fn findings(
    conn: &mut Conn,
    server: &Server,
    options: &MysqlOptions,
    captured: &[MysqlTable],
) -> Result<Vec<Finding>, SourceError> {
    if logs_actions(conn, server).await? {
        return Ok(Vec::new());
    }
    let found = followed::find(conn, server, captured).await?;
    let mut findings = followed::hidden_parents(&found.hidden);
    if findings.is_empty() {
        let extra = followed::read_extra(conn, options, &followed::extra_tables(&found.keys, captured)).await?;
        let tables: Vec<MysqlTable> = captured.iter().cloned().chain(extra).collect();
        findings = followed::obstacles(conn, &found.keys, &tables, options.zero_dates).await?;
        if server.names_keys_by_table() {
            findings.extend(followed::in_each_others_way(&found.keys));
        }
    }
    Ok(findings)
}

impl Cascades {
    /// For a new capture: follows what the server has now.
    pub(super) async fn of_server(
        conn: &mut Conn,
        server: &Server,
        options: &MysqlOptions,
        captured: &[MysqlTable],
    ) -> Result<Cascades, SourceError> {
        let is_logged = logs_actions(conn, server).await?;
        let mut found = followed::find(conn, server, captured).await?;
        let acts = !found.keys.is_empty();
        if is_logged {
            // What the user may not see is not needed then.
            found.keys.retain(|key| !found.hidden.iter().any(|(table, _)| *table == key.parent));
        }
        Ok(Cascades { acts, ..Cascades::resolve(conn, options, captured, found.keys, !is_logged).await? })
    }

    pub(super) fn acts(&self) -> bool {
        self.acts
    }

    /// Whether notes are kept of rows.
    pub(super) fn follows_some(&self) -> bool {
        self.follows && !self.keys.is_empty()
    }

    /// For a caller that keeps no notes: without foreign keys that need some.
    pub(super) fn without_notes(self) -> Result<Cascades, SourceError> {
        match self.keys.first() {
            Some(linked) if self.follows => Err(SourceError::Stopped {
                message: format!("{} acts on its table, which cannot be followed without notes", linked.key.describe()),
                help: None,
            }),
            _ => Ok(Cascades { follows: false, ..self }),
        }
    }

    /// For a run that resumes: follows what was followed at its position.
    pub(super) async fn of_notes(
        conn: &mut Conn,
        server: &Server,
        options: &MysqlOptions,
        captured: &[MysqlTable],
        held: &dyn HeldRows,
    ) -> Result<Cascades, SourceError> {
        let is_logged = logs_actions(conn, server).await?;
        let notes = captured.len();
        let read = |beginning: &[u8]| held.rows_from(notes, &note::stored_prefix(beginning), None, usize::MAX);
        let unpack = Notes::default();
        let format = read(note::FORMAT)?;
        match format.first() {
            // The server logged everything when the tables were captured.
            None if is_logged => return Cascades::of_server(conn, server, options, captured).await,
            None => return Err(again(NOT_LOGGED)),
            Some(row) if unpack.value(row) != note::FORMAT_VALUE => return Err(again("the notes on foreign keys are of another version")),
            Some(_) => {}
        }
        let definitions = read(b"d")?;
        let keys: Result<Vec<ForeignKey>, _> = definitions.iter().map(|row| serde_json::from_slice(unpack.value(row))).collect();
        let keys = keys.map_err(|_| again("the notes on foreign keys cannot be read"))?;
        let cascades = Cascades::resolve(conn, options, captured, keys, true).await?;
        let kept = read(b"t")?;
        let kept: Result<Vec<KeptTable>, _> = kept.iter().map(|row| serde_json::from_slice(unpack.value(row))).collect();
        let same = kept.is_ok_and(|kept| kept == cascades.kept_tables().map(|(_, table)| table).collect::<Vec<_>>());
        if same { Ok(cascades) } else { Err(again("the columns of a table that foreign keys lead through have changed")) }
    }

    async fn resolve(
        conn: &mut Conn,
        options: &MysqlOptions,
        captured: &[MysqlTable],
        keys: Vec<ForeignKey>,
        follows: bool,
    ) -> Result<Cascades, SourceError> {
        let extra = followed::extra_tables(&keys, captured);
        let read = followed::read_extra(conn, options, &extra).await.map_err(|error| match error {
            SourceError::Transient { message } => again(&message),
            other => other,
        })?;
        let tables: Vec<MysqlTable> = captured.iter().cloned().chain(read).collect();
        let mut linked = Vec::with_capacity(keys.len());
        for key in keys {
            let name = key.describe();
            let found = Linked::new(conn, key, &tables).await?;
            linked.push(found.ok_or_else(|| again(&format!("the tables of {name} have changed")))?);
        }
        let held = extra.iter().map(|table| table.is_held && follows).collect();
        let keys_of = |table_of: fn(&Linked) -> usize| {
            let mut of_table = vec![Vec::new(); tables.len()];
            linked.iter().enumerate().for_each(|(number, key)| of_table[table_of(key)].push(number));
            of_table
        };
        let (keys_of_child, mut keys_of_parent) = (keys_of(|key| key.child), keys_of(|key| key.parent));
        for numbers in &mut keys_of_parent {
            numbers.sort_by(|one, other| linked[*one].key.rank().cmp(&linked[*other].key.rank()));
        }
        let (captured, acts) = (captured.len(), !linked.is_empty());
        Ok(Cascades { tables: Arc::new(tables), captured, held, keys: linked, keys_of_child, keys_of_parent, follows, acts })
    }

    /// For each table, what it is needed for.
    pub(super) fn roles(&self) -> Vec<TableRole> {
        let role = |table: usize| TableRole {
            is_held: table < self.captured || self.held[table - self.captured],
            is_extra: table >= self.captured,
            is_child: !self.keys_of_child[table].is_empty() && self.follows,
            referenced: {
                let mut columns: Vec<usize> =
                    self.keys_of_parent[table].iter().flat_map(|number| self.keys[*number].parent_columns.clone()).collect();
                columns.sort_unstable();
                columns.dedup();
                columns
            },
        };
        (0..self.tables.len()).map(role).collect()
    }

    /// The tables whose rows a snapshot must read: the captured ones, and those that are kept for foreign keys.
    pub(super) fn snapshot_tables(&self) -> Vec<usize> {
        (0..self.tables.len()).filter(|table| *table < self.captured || self.held[table - self.captured]).collect()
    }

    /// For a transaction that changes parents, and of which the log has nothing that foreign keys did. Fails if the log was to have it.
    pub(super) fn allow_parents(&self) -> Result<(), SourceError> {
        if self.follows { Ok(()) } else { Err(again(NOT_LOGGED)) }
    }

    /// Whether the rows of a table are sent as such, and not only as notes.
    pub(super) fn is_captured(&self, table: usize) -> bool {
        table < self.captured
    }

    /// Fails if foreign keys lead through this table, of which a row cannot be read.
    pub(super) fn allow_unreadable(&self, table: usize) -> Result<(), SourceError> {
        if !self.roles()[table].passes_on() {
            return Ok(());
        }
        let name = &self.tables[table].table.name;
        Err(SourceError::Stopped {
            message: format!("a row of `{name}` cannot be read, and foreign keys lead through the table to others"),
            help: Some("correct the row at the server".into()),
        })
    }

    /// The index of the table of notes.
    pub(super) fn notes_table(&self) -> usize {
        self.captured
    }

    /// The tables that are kept for foreign keys only.
    pub(super) fn companions(&self) -> Vec<Companion> {
        let companion = |(index, kept): (usize, KeptTable)| {
            let because = self.keys.iter().find(|linked| linked.child == index).map(|linked| linked.key.describe()).unwrap_or_default();
            Companion {
                table: format!("{}.{}", kept.table.database, kept.table.name),
                columns: kept.columns.into_iter().map(|(name, _)| name).collect(),
                reason: format!("{because} acts on it, and through it on captured tables"),
            }
        };
        self.kept_tables().map(companion).collect()
    }

    fn kept_tables(&self) -> impl Iterator<Item = (usize, KeptTable)> {
        let kept = self.tables.iter().enumerate().skip(self.captured).filter(|(table, _)| self.held[table - self.captured]);
        kept.map(|(index, table)| {
            let columns = table.table.schema.columns().iter().map(|column| (column.name.clone(), column.ty.to_string())).collect();
            (index, KeptTable { table: table.at(), columns, key: table.table.key.clone() })
        })
    }

    /// Whether both follow the same foreign keys, through the same columns.
    pub(super) fn follows_as(&self, other: &Cascades) -> bool {
        self.definitions().iter().eq(other.definitions().iter())
    }

    /// The notes of what is followed.
    pub(super) fn definitions(&self) -> Rows {
        let mut notes = Notes::default();
        let mut rows = Rows::default();
        if !self.follows {
            return rows;
        }
        rows.push(&notes.row(note::FORMAT, note::FORMAT_VALUE));
        for (number, linked) in self.keys.iter().enumerate() {
            rows.push(&notes.row(&note::definition(number), &serde_json::to_vec(&linked.key).expect("a foreign key is JSON")));
        }
        for (index, table) in self.kept_tables() {
            rows.push(&notes.row(&note::table(index - self.captured), &serde_json::to_vec(&table).expect("a table is JSON")));
        }
        rows
    }

    /// Adds the notes of a row of a table to `out`.
    pub(super) fn notes_of(&self, table: usize, row: &[u8], notes: &mut Notes, out: &mut Vec<Row>) {
        let is_kept = table >= self.captured && self.held[table - self.captured];
        if !self.follows || !is_kept && self.keys_of_child[table].is_empty() {
            return;
        }
        let described = &self.tables[table];
        let identity = identity(described, row);
        if is_kept {
            out.push(notes.row(&note::row(table - self.captured, &identity), row));
        }
        for &number in &self.keys_of_child[table] {
            let Some(key) = self.keys[number].child_key(described, row) else { continue };
            let mut entry = note::children(number, key.form);
            entry.extend_from_slice(&key.bytes);
            entry.extend_from_slice(&identity);
            out.push(notes.row(&entry, &(key.bytes.len() as u32).to_be_bytes()));
        }
    }
}

/// What tells a row from all others of its table: its primary key, or all of it if the table has none.
fn identity(table: &MysqlTable, row: &[u8]) -> Row {
    match table.table.key.is_empty() {
        true => key::encode(&table.layout, row, &(0..table.columns.len()).collect::<Vec<_>>()),
        false => key::encode(&table.layout, row, &table.table.key),
    }
}

/// The source must be captured again, because the notes do not fit.
fn again(why: &str) -> SourceError {
    SourceError::Resync { message: why.to_string(), table: None }
}
