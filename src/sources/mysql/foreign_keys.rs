//! The foreign keys of tables, as the server describes them.
//!
//! In: tables that exist. Out: their foreign keys with actions. They are read from SHOW CREATE TABLE: MariaDB shows
//! `information_schema.REFERENTIAL_CONSTRAINTS` only to users that may change the table.

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Row};
use serde::{Deserialize, Serialize};

use super::errors::{is_access_error, query_error};
use super::table_at::TableAt;
use crate::sources::SourceError;

/// What happens to a child when the key of its parent is deleted or changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum KeyAction {
    /// RESTRICT and NO ACTION: the parent cannot be deleted or changed.
    Restrict,
    Cascade,
    SetNull,
}

/// A foreign key of a child table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ForeignKey {
    pub(super) child: TableAt,
    pub(super) name: String,
    pub(super) columns: Vec<String>,
    pub(super) parent: TableAt,
    /// The columns of the parent, in the order of `columns`.
    pub(super) referenced: Vec<String>,
    pub(super) on_delete: KeyAction,
    pub(super) on_update: KeyAction,
}

impl ForeignKey {
    /// Whether a change of a parent can change its children.
    pub(super) fn acts(&self) -> bool {
        self.on_delete != KeyAction::Restrict || self.on_update != KeyAction::Restrict
    }

    /// InnoDB lets the keys of a parent act in this order: by the child's database, then by the key's name, byte by byte (as run at MariaDB
    /// 10.11, and at MySQL 9.7 with `innodb_native_foreign_keys`).
    pub(super) fn rank(&self) -> (&[u8], &[u8]) {
        (self.child.database.as_bytes(), self.name.as_bytes())
    }

    /// Whether an action writes the columns of a child, instead of deleting it.
    pub(super) fn writes(&self) -> bool {
        self.on_delete == KeyAction::SetNull || self.on_update != KeyAction::Restrict
    }

    /// `the foreign key NAME of DATABASE.TABLE`, for messages.
    pub(super) fn describe(&self) -> String {
        format!("the foreign key `{}` of `{}`.`{}`", self.name, self.child.database, self.child.name)
    }
}

/// The foreign keys of a table. `None` if the user may not see the table.
pub(super) async fn of_table(conn: &mut Conn, table: &TableAt) -> Result<Option<Vec<ForeignKey>>, SourceError> {
    let doing = format!("reading the foreign keys of {}", table.quoted());
    let row: Option<Row> = match conn.query_first(format!("SHOW CREATE TABLE {}", table.quoted())).await {
        Ok(row) => row,
        Err(error) if is_access_error(&error) => return Ok(None),
        Err(error) => return Err(query_error(&doing, error)),
    };
    let text = row.and_then(|row| row.get_opt::<String, usize>(1)).and_then(Result::ok).unwrap_or_default();
    let keys = parse(table, &text);
    keys.map(Some).ok_or_else(|| SourceError::Stopped { message: format!("{doing}: the answer is not understood"), help: None })
}

/// Parses the lines of SHOW CREATE TABLE that define foreign keys. Names in it are in backticks, and a line break in a text is escaped.
fn parse(table: &TableAt, create: &str) -> Option<Vec<ForeignKey>> {
    let lines = create.lines().map(str::trim_start).filter(|line| line.starts_with("CONSTRAINT `"));
    let keys = lines.map(|line| constraint(table, line));
    Some(keys.collect::<Option<Vec<_>>>()?.into_iter().flatten().collect())
}

/// ``CONSTRAINT `f` FOREIGN KEY (`a`, `b`) REFERENCES `db`.`t` (`x`, `y`) ON DELETE CASCADE ON UPDATE SET NULL,``. The outer `None`: not
/// understood; the inner one: another constraint.
fn constraint(table: &TableAt, line: &str) -> Option<Option<ForeignKey>> {
    let mut text = ConstraintText(line.strip_prefix("CONSTRAINT ")?);
    let name = text.name()?;
    if !text.accept(" FOREIGN KEY ") {
        return Some(None);
    }
    let columns = text.names()?;
    text.accept(" REFERENCES ").then_some(())?;
    let first = text.name()?;
    let parent = match text.accept(".") {
        true => TableAt { database: first, name: text.name()? },
        false => TableAt { database: table.database.clone(), name: first },
    };
    text.accept(" ").then_some(())?;
    let referenced = text.names()?;
    let (mut on_delete, mut on_update) = (KeyAction::Restrict, KeyAction::Restrict);
    loop {
        let which = if text.accept(" ON DELETE ") {
            &mut on_delete
        } else if text.accept(" ON UPDATE ") {
            &mut on_update
        } else {
            break;
        };
        *which = text.action()?;
    }
    let is_whole = matches!(text.0, "" | ",") || text.0.starts_with(" /*");
    let key = ForeignKey { child: table.clone(), name, columns, parent, referenced, on_delete, on_update };
    (is_whole && key.columns.len() == key.referenced.len()).then_some(Some(key))
}

/// The rest of a line.
struct ConstraintText<'a>(&'a str);

impl ConstraintText<'_> {
    fn accept(&mut self, word: &str) -> bool {
        self.0.strip_prefix(word).map(|rest| self.0 = rest).is_some()
    }

    /// A name in backticks; a backtick in it is doubled.
    fn name(&mut self) -> Option<String> {
        let mut rest = self.0.strip_prefix('`')?;
        let mut name = String::new();
        loop {
            let (part, after) = rest.split_once('`')?;
            name.push_str(part);
            rest = after;
            match rest.strip_prefix('`') {
                Some(after) => {
                    name.push('`');
                    rest = after;
                }
                None => break,
            }
        }
        self.0 = rest;
        Some(name)
    }

    fn names(&mut self) -> Option<Vec<String>> {
        self.accept("(").then_some(())?;
        let mut names = vec![self.name()?];
        while self.accept(", ") {
            names.push(self.name()?);
        }
        self.accept(")").then_some(names)
    }

    /// SET DEFAULT is not understood: InnoDB does not carry it out.
    fn action(&mut self) -> Option<KeyAction> {
        let actions = [
            ("CASCADE", KeyAction::Cascade),
            ("SET NULL", KeyAction::SetNull),
            ("RESTRICT", KeyAction::Restrict),
            ("NO ACTION", KeyAction::Restrict),
        ];
        actions.into_iter().find(|(word, _)| self.accept(word)).map(|(_, action)| action)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(database: &str, name: &str) -> TableAt {
        TableAt { database: database.into(), name: name.into() }
    }

    #[test]
    fn foreign_keys_are_read_from_the_definition_of_a_table() {
        let create = "CREATE TABLE `t` (\n  `a` int(11) NOT NULL COMMENT 'CONSTRAINT `x` FOREIGN KEY',\n  PRIMARY KEY (`a`),\n  CONSTRAINT \
                      `f` FOREIGN KEY (`a`, `b``,`) REFERENCES `other`.`p q` (`x`, `y)`) ON DELETE CASCADE ON UPDATE SET NULL,\n  CONSTRAINT \
                      `g` FOREIGN KEY (`a`) REFERENCES `p` (`x`),\n  CONSTRAINT `c` CHECK (`a` > 0)\n) ENGINE=InnoDB";
        let keys = parse(&at("d", "t"), create).unwrap();
        let key = |name: &str, columns: &[&str], parent, referenced: &[&str], on_delete, on_update| ForeignKey {
            child: at("d", "t"),
            name: name.into(),
            columns: columns.iter().map(|c| c.to_string()).collect(),
            parent,
            referenced: referenced.iter().map(|c| c.to_string()).collect(),
            on_delete,
            on_update,
        };
        let f = key("f", &["a", "b`,"], at("other", "p q"), &["x", "y)"], KeyAction::Cascade, KeyAction::SetNull);
        let g = key("g", &["a"], at("d", "p"), &["x"], KeyAction::Restrict, KeyAction::Restrict);
        assert_eq!(keys, [f, g]);
        for wrong in ["(`a`) REFERENCES `p` (`x`) ON DELETE SET DEFAULT", "(`a`) REFERENCES `p` (`x`, `y`)", "(`a) REFERENCES `p` (`x`)"] {
            assert_eq!(parse(&at("d", "t"), &format!("  CONSTRAINT `f` FOREIGN KEY {wrong},")), None, "{wrong}");
        }
    }
}
