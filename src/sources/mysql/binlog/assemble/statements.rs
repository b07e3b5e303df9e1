//! Handles statements in the log: ends of transactions, definitions, XA, and writes without rows.

use std::fmt::{self, Display, Formatter};

use super::super::event::{self, RawEvent};
use super::super::session::Session;
use super::super::statement::{self, Effect, Statement, StatementTarget};
use super::super::transaction::LogTransaction;
use super::{Assembler, Gtid, Open, Step};
use crate::sources::SourceError;
use crate::sources::mysql::server::Flavour;

/// What a statement that was logged as text wrote; none of it is captured.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum WrittenByText {
    Table {
        database: String,
        name: String,
    },
    /// Only databases without a captured table, including what triggers and views wrote.
    OtherDatabases,
}

impl Display for WrittenByText {
    fn fmt(&self, f: &mut Formatter) -> fmt::Result {
        match self {
            WrittenByText::Table { database, name } => write!(f, "the table `{database}`.`{name}`"),
            WrittenByText::OtherDatabases => f.write_str("other databases"),
        }
    }
}

const BY_TEXT: &str = "by a statement instead of rows (binlog_format STATEMENT or MIXED)";
/// Changes of a table that is needed for foreign keys only which leave its rows and keys alone. Its table maps show whether it still has the
/// columns that are needed.
const LEAVES_ROWS: [&str; 2] = ["ALTER TABLE ... ADD COLUMN", "ALTER TABLE ... DROP"];
/// Changes that do not matter if only the table's changes as a parent are needed.
const LEAVES_PARENT: [&str; 5] =
    ["ALTER TABLE ... ADD PRIMARY KEY", "ALTER TABLE ... DROP PRIMARY KEY", "TRUNCATE TABLE", "DROP TABLE", "CREATE TABLE"];
/// What the other clauses of such a statement must not be: a foreign key follows a table and a column that are renamed, and a text is compared
/// by the collation of its column.
const REACHES_KEYS: [&str; 9] = ["RENAME", "CHANGE", "MODIFY", "CONVERT", "EXCHANGE", "FOREIGN", "REFERENCES", "CONSTRAINT", "PERIOD"];
const KEEP_ROWS: &str = "SET GLOBAL binlog_format = 'ROW'; and keep sessions from changing it";

impl Assembler {
    pub(super) fn query(&mut self, raw: &RawEvent) -> Result<Step, SourceError> {
        let query = event::query(raw).map_err(|e| self.unreadable(&e))?;
        let effect = match &*query.text {
            b"BEGIN" => Effect::Begin,
            b"COMMIT" => Effect::Commit,
            _ if self.is_half_of_alter() => Effect::Harmless,
            text => {
                let session = Session::read(query.status).map_err(|e| self.unreadable(&e.into()))?;
                let database = String::from_utf8_lossy(query.database);
                let flavour = self.position.flavour;
                let statement = Statement { text, session: &session, database: &database, flavour, version: self.version };
                match self.effect(&statement) {
                    Effect::Data(StatementTarget::Unknown | StatementTarget::Other { .. }) if self.is_elsewhere(&session) => {
                        return Ok(self.written_by_text(WrittenByText::OtherDatabases));
                    }
                    Effect::Changes { table, .. } if self.hides_actions() && statement::has_action(&statement) => {
                        let name = self.table_name(table);
                        let what =
                            format!("the table `{name}` gets a foreign key with an action, and this log does not have what that does");
                        return Err(self.stop(&what, Some("capture the server itself")));
                    }
                    effect => effect,
                }
            }
        };
        self.carry_out(effect, &query.text)
    }

    /// The effect on the captured tables, or else on those that are needed for foreign keys.
    fn effect(&self, statement: &Statement) -> Effect {
        let on_captured = statement::effect(statement, &self.captured);
        if on_captured != Effect::Harmless {
            return on_captured;
        }
        for (table, name) in &self.extra {
            let table = *table;
            match statement::effect(statement, name) {
                Effect::Changes { by, .. } if self.leaves_keys_alone(table, by, statement) => {}
                Effect::Changes { by, .. } => return Effect::Changes { table, by },
                Effect::DropsForeignKey { .. } => return Effect::DropsForeignKey { table },
                Effect::Unclear { .. } => return Effect::Unclear { table },
                _ => {}
            }
        }
        Effect::Harmless
    }

    fn carry_out(&mut self, effect: Effect, text: &[u8]) -> Result<Step, SourceError> {
        match effect {
            Effect::Begin | Effect::XaStart => {
                self.open.get_or_insert_with(Open::default).in_block = true;
                Ok(Step::Nothing)
            }
            Effect::Commit => self.commit(),
            Effect::Rollback | Effect::RollbackTo if self.has_changes() => {
                Err(self.lost("a transaction is partly rolled back, which happens if one of its tables is not transactional"))
            }
            Effect::Rollback => self.commit(),
            Effect::RollbackTo | Effect::Savepoint | Effect::XaStep => Ok(Step::Nothing),
            Effect::XaCommit => self.xa_commit(text),
            Effect::XaRollback => {
                self.prepared.remove(&xid_of_text(text));
                self.commit()
            }
            Effect::Data(StatementTarget::Captured(table)) => {
                let name = self.table_name(table);
                Err(self.lost(&format!("a session changed the table `{name}` {BY_TEXT}; {KEEP_ROWS}")))
            }
            Effect::Data(StatementTarget::Unknown) => {
                Err(self.lost(&format!("a session changed data {BY_TEXT}, and it cannot be determined in which tables; {KEEP_ROWS}")))
            }
            Effect::Data(StatementTarget::Other { database, name }) => Ok(self.written_by_text(WrittenByText::Table { database, name })),
            Effect::Changes { table, .. } | Effect::Unclear { table } if self.is_still_empty(table) => Ok(self.statement_end()),
            Effect::DropsForeignKey { table } if !self.roles[table].is_child => Ok(self.statement_end()),
            Effect::DropsForeignKey { table } => {
                let name = self.table_name(table);
                Err(self.lost_of(Some(table), &format!("ALTER TABLE ... DROP FOREIGN KEY changed the table `{name}`")))
            }
            Effect::Changes { table, by } => {
                let name = self.table_name(table);
                Err(self.lost_of(Some(table), &format!("{by} changed the table `{name}`")))
            }
            Effect::Unclear { table } => {
                let name = self.table_name(table);
                Err(self.lost_of(Some(table), &format!("a statement that is not understood may concern the table `{name}`")))
            }
            Effect::Harmless => {
                // The statement may have created a trigger.
                self.alone.clear();
                Ok(self.statement_end())
            }
        }
    }

    /// Whether the server lists the written databases and none of them has a captured table.
    fn is_elsewhere(&self, session: &Session) -> bool {
        let databases = session.written_databases.as_deref().unwrap_or_default();
        !databases.is_empty() && databases.iter().all(|name| self.names.in_database(name).is_none())
    }

    fn written_by_text(&mut self, written: WrittenByText) -> Step {
        if self.alone.contains(&written) { self.statement_end() } else { Step::Asks(written) }
    }

    /// The caller's answer to [`Step::Asks`]: why the write may have changed a captured table, or `None` if it did not.
    pub(crate) fn answer(&mut self, written: WrittenByText, reaches_further: Option<&str>) -> Result<Step, SourceError> {
        if let Some(why) = reaches_further {
            return Err(self.lost(&format!("a session changed {written} {BY_TEXT}, and {why}; {KEEP_ROWS}")));
        }
        self.alone.insert(written);
        let step = self.statement_end();
        Ok(self.settled(step))
    }

    fn has_changes(&self) -> bool {
        self.open.as_ref().is_some_and(|open| !open.changes.is_empty())
    }

    /// Whether this table of a recorded log, which began empty, still has no rows.
    fn is_still_empty(&self, table: usize) -> bool {
        self.filled.as_ref().is_some_and(|filled| !filled[table])
    }

    /// Whether a change of a table does not matter, because the table is needed for foreign keys only.
    fn leaves_keys_alone(&self, table: usize, by: &str, statement: &Statement) -> bool {
        let is_parent_only = !self.roles[table].is_held;
        let leaves = LEAVES_ROWS.contains(&by) || is_parent_only && LEAVES_PARENT.contains(&by);
        leaves && !statement::mentions(statement, &REACHES_KEYS) && (is_parent_only || !statement::mentions(statement, &["PRIMARY"]))
    }

    /// Whether this is a recorded log without what foreign keys do. There is no server to ask which there are.
    fn hides_actions(&self) -> bool {
        self.filled.is_some() && (self.position.flavour == Flavour::Mariadb || self.version.is_none_or(|version| version < 90_600))
    }

    fn is_half_of_alter(&self) -> bool {
        let gtid = self.open.as_ref().and_then(|open| open.gtid.as_ref());
        matches!(gtid, Some(Gtid::Mariadb { gtid, .. }) if gtid.is_without_effect())
    }

    /// Called after a statement without effect on captured tables. Ends its transaction unless it continues.
    fn statement_end(&mut self) -> Step {
        match self.open.as_ref().is_some_and(|open| open.in_block) {
            true => Step::Nothing,
            false => self.end_transaction(),
        }
    }

    /// Handles the first phase of an XA transaction, or at MySQL a whole one-phase one.
    ///
    /// Its rows are kept until the second phase, but not across runs: the position moves on, and a second phase without its first makes the
    /// source be captured again.
    pub(super) fn xa_prepare(&mut self, raw: &RawEvent) -> Result<Step, SourceError> {
        let one_phase = raw.body.first() == Some(&1);
        if one_phase {
            return self.commit();
        }
        let xid = raw.body.get(1..).map(<[u8]>::to_vec).unwrap_or_default();
        let changes = self.open.as_mut().map_or_else(LogTransaction::default, |open| std::mem::take(&mut open.changes));
        self.prepared.insert(xid, changes);
        self.commit()
    }

    fn xa_commit(&mut self, text: &[u8]) -> Result<Step, SourceError> {
        match self.prepared.remove(&xid_of_text(text)) {
            Some(changes) => {
                self.open.get_or_insert_with(Open::default).changes = changes;
                self.commit()
            }
            None => {
                Err(self.lost("an XA transaction is committed that was prepared before this run began, and what it changed is not known"))
            }
        }
    }
}

/// Converts the id of `XA COMMIT X'..',X'..',1` to the format of XA_PREPARE: the format and the two lengths as u32, then the two parts.
fn xid_of_text(text: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(text);
    let mut parts = text.split('\'').skip(1).step_by(2).map(bytes_of_hex);
    let (global, branch) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let format = text.rsplit(',').next().and_then(|number| number.trim().parse::<i64>().ok()).unwrap_or_default() as u32;
    let lengths = [format, global.len() as u32, branch.len() as u32];
    [lengths.map(u32::to_le_bytes).concat(), global, branch].concat()
}

fn bytes_of_hex(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.chars().filter_map(|c| c.to_digit(16)).map(|d| d as u8).collect();
    digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn xids_are_read_from_text() {
        let xid = |format: u8, lengths: [u8; 2], data: &[u8]| [&[format, 0, 0, 0, lengths[0], 0, 0, 0, lengths[1], 0, 0, 0], data].concat();
        assert_eq!(xid_of_text(b"XA COMMIT X'7861',X'62',1"), xid(1, [2, 1], b"xab"));
        assert_eq!(xid_of_text(b"XA COMMIT X'7861',X'',7"), xid(7, [2, 0], b"xa"));
        assert_ne!(xid_of_text(b"XA COMMIT X'78',X'6162',1"), xid_of_text(b"XA COMMIT X'7861',X'62',1"));
    }
}
