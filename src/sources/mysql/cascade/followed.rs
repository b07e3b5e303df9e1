//! Finds the foreign keys that must be followed, and the tables that are needed for them.
//!
//! A foreign key of a captured table is followed if it has an action. If its parent is deleted or changed by foreign keys itself, those are
//! followed too, and the rows of the parent are kept with the columns of its keys.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use mysql_async::Conn;
use mysql_async::prelude::Queryable;

use crate::sources::mysql::column::{ColumnKind, MysqlColumn};
use crate::sources::mysql::errors::query_error;
use crate::sources::mysql::foreign_keys::{self, ForeignKey, KeyAction};
use crate::sources::mysql::options::MysqlOptions;
use crate::sources::mysql::quoting::quoted;
use crate::sources::mysql::schema::{self, MysqlTable};
use crate::sources::mysql::server::Server;
use crate::sources::mysql::table_at::{TableAt, unusable_kind};
use crate::sources::mysql::unique_keys::{self, UniqueKey};
use crate::sources::mysql::values::ZeroDates;
use crate::sources::{Finding, Severity, SourceError};

/// The foreign keys that are followed, and what is in the way.
#[derive(Debug, Default)]
pub(super) struct FoundKeys {
    pub(super) keys: Vec<ForeignKey>,
    /// The user may not see these tables, which are parents of captured ones.
    pub(super) hidden: Vec<(TableAt, ForeignKey)>,
}

/// Reads the foreign keys of the captured tables, and of the tables that they lead to.
pub(super) async fn find(conn: &mut Conn, server: &Server, captured: &[MysqlTable]) -> Result<FoundKeys, SourceError> {
    let mut found = FoundKeys::default();
    let is_captured = |table: &TableAt| captured.iter().any(|c| c.at() == *table);
    let mut read: BTreeMap<TableAt, Vec<ForeignKey>> = BTreeMap::new();
    let mut open: VecDeque<TableAt> = captured.iter().map(MysqlTable::at).collect();
    while let Some(table) = open.pop_front() {
        if !read.contains_key(&table) {
            let mut keys = foreign_keys::of_table(conn, &table).await?;
            // A server on which case does not matter may write the name of the parent in another case.
            for key in keys.iter_mut().flatten() {
                let same = |other: &TableAt| server.same_table(other, &key.parent);
                if let Some(known) = captured.iter().map(MysqlTable::at).chain(read.keys().cloned()).find(same) {
                    key.parent = known;
                }
            }
            if keys.is_none()
                && let Some(because_of) = found.keys.iter().find(|key| key.parent == table)
            {
                found.hidden.push((table.clone(), because_of.clone()));
            }
            read.insert(table.clone(), keys.unwrap_or_default());
        }
        for key in read[&table].iter().filter(|key| key.acts()) {
            let matters = is_captured(&table) || found.keys.iter().any(|next| next.parent == table && leads_on(key, next));
            if matters && !found.keys.contains(key) {
                found.keys.push(key.clone());
                // Also if it was read: more of its keys may matter now.
                open.push_back(key.parent.clone());
            }
        }
    }
    found.keys.sort_by(|a, b| (&a.child, &a.name).cmp(&(&b.child, &b.name)));
    Ok(found)
}

/// Whether what `key` does to its child can do something to the children of that by `next`.
fn leads_on(key: &ForeignKey, next: &ForeignKey) -> bool {
    let deletes = key.on_delete == KeyAction::Cascade && next.on_delete != KeyAction::Restrict;
    let shared = key.columns.iter().any(|column| next.referenced.iter().any(|other| other.to_lowercase() == column.to_lowercase()));
    deletes || key.writes() && shared && next.on_update != KeyAction::Restrict
}

/// A table that is needed for foreign keys only, and its columns that are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ExtraTable {
    pub(super) at: TableAt,
    pub(super) columns: BTreeSet<String>,
    /// Whether its rows are kept, because foreign keys change them.
    pub(super) is_held: bool,
}

/// The tables that these foreign keys need beside the captured ones.
pub(super) fn extra_tables(keys: &[ForeignKey], captured: &[MysqlTable]) -> Vec<ExtraTable> {
    let mut extra: BTreeMap<TableAt, ExtraTable> = BTreeMap::new();
    for key in keys {
        for (at, columns, is_child) in [(&key.child, &key.columns, true), (&key.parent, &key.referenced, false)] {
            if captured.iter().any(|c| c.at() == *at) {
                continue;
            }
            let table = extra.entry(at.clone()).or_insert_with(|| ExtraTable { at: at.clone(), columns: BTreeSet::new(), is_held: false });
            table.columns.extend(columns.iter().cloned());
            table.is_held |= is_child;
        }
    }
    extra.into_values().collect()
}

/// Reads the columns of the extra tables.
pub(super) async fn read_extra(conn: &mut Conn, options: &MysqlOptions, extra: &[ExtraTable]) -> Result<Vec<MysqlTable>, SourceError> {
    let mut tables = Vec::with_capacity(extra.len());
    for table in extra {
        tables.push(schema::read_part(conn, options, &table.at, &table.columns).await?);
    }
    Ok(tables)
}

/// Charsets in which different texts are always read as different ones.
const LOSSLESS: [&str; 10] = ["ascii", "latin1", "utf8", "utf8mb3", "utf8mb4", "ucs2", "utf16", "utf16le", "utf32", "binary"];

/// What makes following these keys inexact, as findings of `check`. `tables` are the captured and the extra ones.
pub(super) async fn obstacles(
    conn: &mut Conn,
    keys: &[ForeignKey],
    tables: &[MysqlTable],
    zero_dates: ZeroDates,
) -> Result<Vec<Finding>, SourceError> {
    let mut findings = Vec::new();
    for key in keys {
        let Some(why) = obstacle(conn, key, tables, zero_dates).await? else { continue };
        findings.push(Finding {
            severity: Severity::Error,
            message: format!("{} acts on its table ({}), and the log does not have that: {why}", key.describe(), actions(key)),
            fix: Some(format!(
                "ALTER TABLE {} DROP FOREIGN KEY {}; and add it again without an action",
                key.child.quoted(),
                quoted(&key.name)
            )),
        });
    }
    Ok(findings)
}

/// A finding for every two keys of a table that share a column and do different things to the same rows: what is left then depends on which of
/// them acts first.
pub(super) fn in_each_others_way(keys: &[ForeignKey]) -> Vec<Finding> {
    let differ = |one: KeyAction, other: KeyAction| one != other && one != KeyAction::Restrict && other != KeyAction::Restrict;
    let mut findings = Vec::new();
    for (index, one) in keys.iter().enumerate() {
        for other in keys[..index].iter().filter(|other| other.child == one.child) {
            let shared = one.columns.iter().any(|column| other.columns.iter().any(|name| name.to_lowercase() == column.to_lowercase()));
            if shared && (differ(one.on_delete, other.on_delete) || differ(one.on_update, other.on_update)) {
                findings.push(Finding {
                    severity: Severity::Error,
                    message: format!(
                        "{} and `{}` do different things to the same rows, and the order in which this server lets them act is not known",
                        other.describe(),
                        one.name
                    ),
                    fix: Some(format!("ALTER TABLE {} so that both have the same actions", one.child.quoted())),
                });
            }
        }
    }
    findings
}

/// `ON DELETE CASCADE, ON UPDATE SET NULL`.
pub(super) fn actions(key: &ForeignKey) -> String {
    let name = |action| match action {
        KeyAction::Restrict => None,
        KeyAction::Cascade => Some("CASCADE"),
        KeyAction::SetNull => Some("SET NULL"),
    };
    let both = [("DELETE", name(key.on_delete)), ("UPDATE", name(key.on_update))];
    let both = both.into_iter().filter_map(|(event, action)| action.map(|action| format!("ON {event} {action}")));
    both.collect::<Vec<_>>().join(", ")
}

async fn obstacle(conn: &mut Conn, key: &ForeignKey, tables: &[MysqlTable], zero_dates: ZeroDates) -> Result<Option<String>, SourceError> {
    let table = |at: &TableAt| tables.iter().find(|table| table.at() == *at);
    let (Some(child), Some(parent)) = (table(&key.child), table(&key.parent)) else {
        return Ok(Some("its tables cannot be read".into()));
    };
    if child.table.key.is_empty() {
        let is_float = |column: &MysqlColumn| matches!(column.kind, ColumnKind::Float | ColumnKind::Double);
        if child.columns.iter().any(is_float) || unique_keys::identity(&unique_keys_of(conn, &key.child).await?).is_empty() {
            return Ok(Some("the table has no primary key, so its rows cannot be told apart".into()));
        }
    }
    for at in [&key.child, &key.parent] {
        if let Some(why) = unusable(conn, at).await? {
            return Ok(Some(format!("{} {why}", at.quoted())));
        }
    }
    for (own, other) in key.columns.iter().zip(&key.referenced) {
        let (Some(own), Some(other)) = (child.column(own), parent.column(other)) else {
            return Ok(Some(format!("its column `{own}` cannot be read")));
        };
        let (own, other) = (&child.columns[own], &parent.columns[other]);
        if own.kind.can_turn_null(zero_dates) {
            return Ok(Some(format!("`{}` may be a zero date, which is read as NULL (`zero_dates`)", own.name)));
        }
        if own.kind == ColumnKind::Bool {
            return Ok(Some(format!("`{}` is read as a boolean (`tinyint1_as_bool`)", own.name)));
        }
        if let Some(charset) = own.collation.as_deref().and_then(|name| name.split('_').next()).filter(|name| !LOSSLESS.contains(name)) {
            return Ok(Some(format!("`{}` is a text in {charset}, of which some characters are read as the same one", own.name)));
        }
        if !same_kind(&own.kind, &other.kind) || own.collation != other.collation {
            return Ok(Some(format!("`{}` and `{}` of its parent are of different types", own.name, other.name)));
        }
        // The server writes the parent's spaces into the child.
        if key.on_update == KeyAction::Cascade && own.is_padded != other.is_padded {
            return Ok(Some(format!("one of `{}` and `{}` of its parent is CHAR, the other VARCHAR", own.name, other.name)));
        }
    }
    if key.writes() {
        let names = |expression: &str| key.columns.iter().any(|column| expression.to_lowercase().contains(&column.to_lowercase()));
        let computed = child.columns.iter().find(|column| column.computed.as_deref().is_some_and(names));
        if let Some(column) = computed {
            return Ok(Some(format!("the server computes `{}` of a column that it writes", column.name)));
        }
    }
    match is_unique(&unique_keys_of(conn, &key.parent).await?, &key.referenced) {
        true => Ok(None),
        false => Ok(Some(format!("it refers to columns of {} that are not a unique key", key.parent.quoted()))),
    }
}

/// Whether equal values of two columns are equal at the server and here.
fn same_kind(one: &ColumnKind, other: &ColumnKind) -> bool {
    match (one, other) {
        (ColumnKind::Binary, ColumnKind::Binary) => true,
        (ColumnKind::FixedBinary { length }, ColumnKind::FixedBinary { length: other }) => length == other,
        _ => one == other,
    }
}

/// Why a table cannot be followed, as the rest of a sentence.
async fn unusable(conn: &mut Conn, table: &TableAt) -> Result<Option<String>, SourceError> {
    let query = format!("SELECT TABLE_TYPE FROM information_schema.TABLES WHERE {}", table.filter());
    let kind: Option<String> = conn.query_first(query).await.map_err(|e| query_error("reading the kind of a table", e))?;
    Ok(kind.map_or_else(|| Some("cannot be read".into()), |kind| unusable_kind(&kind)))
}

async fn unique_keys_of(conn: &mut Conn, table: &TableAt) -> Result<Vec<UniqueKey>, SourceError> {
    unique_keys::read(conn, &table.filter()).await.map_err(|e| query_error("reading the unique keys of a table", e))
}

/// Whether these are all columns of a unique key.
fn is_unique(keys: &[UniqueKey], columns: &[String]) -> bool {
    let lower = |columns: &[String]| columns.iter().map(|column| column.to_lowercase()).collect::<BTreeSet<String>>();
    keys.iter().filter_map(UniqueKey::whole_columns).any(|key| lower(key) == lower(columns))
}

/// The findings for parents that the user may not see.
pub(super) fn hidden_parents(hidden: &[(TableAt, ForeignKey)]) -> Vec<Finding> {
    let finding = |(table, key): &(TableAt, ForeignKey)| Finding {
        severity: Severity::Error,
        message: format!("{} has {}, and the user may not read its parent {}", key.describe(), actions(key), table.quoted()),
        fix: Some(format!("GRANT SELECT ON {} TO the user", table.quoted())),
    };
    hidden.iter().map(finding).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_do_different_things_to_the_same_column_are_found() {
        let key = |child: &str, name: &str, columns: &[&str], on_delete, on_update| ForeignKey {
            child: TableAt::new("d", child),
            name: name.into(),
            columns: columns.iter().map(|column| column.to_string()).collect(),
            parent: TableAt::new("d", "p"),
            referenced: columns.iter().map(|column| column.to_string()).collect(),
            on_delete,
            on_update,
        };
        use KeyAction::{Cascade, Restrict, SetNull};
        let keys = [
            key("t", "a", &["x", "y"], Cascade, Cascade),
            key("t", "b", &["Y"], SetNull, Cascade),
            key("t", "c", &["z"], SetNull, SetNull),
            key("t", "d", &["x"], Cascade, Restrict),
            key("u", "e", &["x"], SetNull, SetNull),
        ];
        let told: Vec<String> = in_each_others_way(&keys).into_iter().map(|finding| finding.message).collect();
        let why = "do different things to the same rows, and the order in which this server lets them act is not known";
        assert_eq!(told, [format!("the foreign key `a` of `d`.`t` and `b` {why}")]);
    }
}
