//! Finds the table that is written by a statement that is logged as text instead of rows.
//!
//! A session in the format STATEMENT, or a server in MIXED, logs the statement itself. Only a statement that names one table and calls
//! nothing that could write elsewhere counts as a write to that table. Triggers, views and foreign keys do not appear in a text.

use super::super::lexer::Token;
use super::cursor::{Cursor, NotUnderstood, StatementTable};

/// What a statement writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum StatementTarget {
    Captured(usize),
    /// This uncaptured table, and what its triggers write.
    Other {
        database: String,
        name: String,
    },
    /// The text does not show which tables.
    Unknown,
}

/// Judges the rest of a statement that begins with this keyword.
pub(super) fn written(keyword: &str, words: &mut Cursor) -> StatementTarget {
    let target = match keyword {
        "INSERT" | "REPLACE" => insert(words),
        "UPDATE" => update(words),
        "DELETE" => delete(words),
        "LOAD" => load(words),
        _ => Err(NotUnderstood),
    };
    let Ok(target) = target else { return StatementTarget::Unknown };
    match words.which(&target) {
        Some(table) => StatementTarget::Captured(table),
        None if may_call_functions(words) => StatementTarget::Unknown,
        None => StatementTarget::Other { database: target.database, name: target.name },
    }
}

const MODIFIERS: [&str; 5] = ["LOW_PRIORITY", "HIGH_PRIORITY", "DELAYED", "QUICK", "IGNORE"];

fn insert(words: &mut Cursor) -> Result<StatementTable, NotUnderstood> {
    while words.accept_any(&MODIFIERS) {}
    words.accept("INTO");
    let table = words.table()?;
    column_list(words);
    Ok(table)
}

/// Skips the column names before the values.
fn column_list(words: &mut Cursor) {
    let before = *words;
    if words.accept("(") && words.skip_past_bracket().is_err() {
        *words = before;
    }
}

fn update(words: &mut Cursor) -> Result<StatementTable, NotUnderstood> {
    while words.accept_any(&MODIFIERS) {}
    let table = words.table()?;
    if !words.is_at("SET") {
        words.accept("AS");
        words.next_name()?;
    }
    if words.is_at("SET") { Ok(table) } else { Err(NotUnderstood) }
}

fn delete(words: &mut Cursor) -> Result<StatementTable, NotUnderstood> {
    while words.accept_any(&MODIFIERS) {}
    if !words.accept("FROM") {
        return Err(NotUnderstood);
    }
    let table = words.table()?;
    let is_one = words.is_at_end() || words.is_at_any(&["WHERE", "ORDER", "LIMIT", "RETURNING"]);
    if is_one { Ok(table) } else { Err(NotUnderstood) }
}

fn load(words: &mut Cursor) -> Result<StatementTable, NotUnderstood> {
    words.skip_past("INTO")?;
    if !words.accept("TABLE") {
        return Err(NotUnderstood);
    }
    words.table()
}

/// Words that may precede a bracket without calling a user's function: keywords, and functions of the server, which users cannot replace.
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

/// Whether the rest of a statement may call a user's function.
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
