//! Which table is written by a statement that stands in the log in the place of rows.
//!
//! A session in the format STATEMENT, or a server in MIXED, logs what it was asked to do. Only a statement that names one table and calls
//! nothing that could write elsewhere is taken for a write to that table; triggers, views and foreign keys do not show in a text.

use super::super::lexer::Token;
use super::cursor::{Cursor, NotUnderstood, TableName};

/// What a statement writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Written {
    Captured(usize),
    /// This table that nobody captures, and what its triggers do.
    Other {
        database: String,
        name: String,
    },
    /// Which tables cannot be told from the text.
    Unknown,
}

/// The rest of a statement that begins with this keyword.
pub(super) fn written(keyword: &str, words: &mut Cursor) -> Written {
    let target = match keyword {
        "INSERT" | "REPLACE" => insert(words),
        "UPDATE" => update(words),
        "DELETE" => delete(words),
        "LOAD" => load(words),
        _ => Err(NotUnderstood),
    };
    let Ok(target) = target else { return Written::Unknown };
    match words.which(&target) {
        Some(table) => Written::Captured(table),
        None if may_call_functions(words) => Written::Unknown,
        None => Written::Other { database: target.database, name: target.name },
    }
}

const MODIFIERS: [&str; 5] = ["LOW_PRIORITY", "HIGH_PRIORITY", "DELAYED", "QUICK", "IGNORE"];

fn insert(words: &mut Cursor) -> Result<TableName, NotUnderstood> {
    while words.accept_any(&MODIFIERS) {}
    words.accept("INTO");
    let table = words.table()?;
    column_list(words);
    Ok(table)
}

/// The columns' names, which stand before the values.
fn column_list(words: &mut Cursor) {
    let before = *words;
    if words.accept("(") && words.skip_past_bracket().is_err() {
        *words = before;
    }
}

fn update(words: &mut Cursor) -> Result<TableName, NotUnderstood> {
    while words.accept_any(&MODIFIERS) {}
    let table = words.table()?;
    if !words.is_at("SET") {
        words.accept("AS");
        words.next_name()?;
    }
    if words.is_at("SET") { Ok(table) } else { Err(NotUnderstood) }
}

fn delete(words: &mut Cursor) -> Result<TableName, NotUnderstood> {
    while words.accept_any(&MODIFIERS) {}
    if !words.accept("FROM") {
        return Err(NotUnderstood);
    }
    let table = words.table()?;
    let is_one = words.is_at_end() || words.is_at_any(&["WHERE", "ORDER", "LIMIT", "RETURNING"]);
    if is_one { Ok(table) } else { Err(NotUnderstood) }
}

fn load(words: &mut Cursor) -> Result<TableName, NotUnderstood> {
    words.skip_past("INTO")?;
    if !words.accept("TABLE") {
        return Err(NotUnderstood);
    }
    words.table()
}

/// Words that may stand before a bracket without calling a function of somebody's own: keywords, and functions of the server, which no
/// other can take the place of.
const BUILT_IN: [&str; 79] = [
    "ABS",
    "ADDDATE",
    "ADDTIME",
    "ALL",
    "AND",
    "ANY",
    "AS",
    "AVG",
    "BIN_TO_UUID",
    "BY",
    "CASE",
    "CAST",
    "CEIL",
    "CEILING",
    "CHAR",
    "COALESCE",
    "CONCAT",
    "CONCAT_WS",
    "CONNECTION_ID",
    "CONVERT",
    "COUNT",
    "CRC32",
    "CURDATE",
    "CURRENT_DATE",
    "CURRENT_TIME",
    "CURRENT_TIMESTAMP",
    "CURRENT_USER",
    "CURTIME",
    "DATABASE",
    "DATE",
    "DATE_ADD",
    "DATE_FORMAT",
    "DATE_SUB",
    "DECIMAL",
    "ELSE",
    "EXISTS",
    "FLOOR",
    "FROM_UNIXTIME",
    "GREATEST",
    "HEX",
    "IF",
    "IFNULL",
    "IN",
    "INTERVAL",
    "KEY",
    "LAST_INSERT_ID",
    "LEAST",
    "LEFT",
    "LENGTH",
    "LIKE",
    "LOCALTIME",
    "LOCALTIMESTAMP",
    "LOWER",
    "MAX",
    "MD5",
    "MIN",
    "NOT",
    "NOW",
    "NULLIF",
    "ON",
    "OR",
    "PARTITION",
    "RAND",
    "REPLACE",
    "ROUND",
    "SELECT",
    "SUM",
    "SYSDATE",
    "THEN",
    "TRIM",
    "UNHEX",
    "UNIX_TIMESTAMP",
    "UPPER",
    "USING",
    "UTC_TIMESTAMP",
    "UUID",
    "VALUES",
    "VERSION",
    "WHEN",
];

pub(super) fn may_call_functions(words: &Cursor) -> bool {
    words.rest.windows(2).enumerate().any(|(at, pair)| match pair {
        [Token::Word(word), Token::Symbol('(')] => {
            let is_qualified = at > 0 && words.rest[at - 1] == Token::Symbol('.');
            is_qualified || !BUILT_IN.iter().any(|known| word.eq_ignore_ascii_case(known))
        }
        [Token::Quoted(_), Token::Symbol('(')] => true,
        _ => false,
    })
}
