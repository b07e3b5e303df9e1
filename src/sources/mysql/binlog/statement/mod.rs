//! Judges what a statement that is logged as text does to the captured tables.
//!
//! In: the text in the bytes of its session, and what its meaning depends on in the session and the server. Out: its [`Effect`]. In a log of
//! rows only transaction control and definitions are text. A statement that is known to leave rows and columns alone is harmless; one that
//! is not understood counts as a change of the captured table that it names. Texts may contain secrets and values, so they are never shown.
//!
//! A parser of whole statements does not fit: existing ones know only part of what the two servers write, and where they fail nothing is
//! known. Here the tokens are exact, and a statement is read only as far as needed to judge it.

mod alter;
mod cursor;
mod data;
#[cfg(test)]
mod tests;

pub(crate) use self::data::StatementTarget;

use self::cursor::{Cursor, NotUnderstood};
use super::lexer::{Rules, Token, Tokens};
use super::names::CapturedNames;
use super::session::{Session, SqlMode};
use crate::sources::mysql::charset::Charset;
use crate::sources::mysql::server::Flavour;

/// The effect of a statement on captured tables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Effect {
    Begin,
    Commit,
    Rollback,
    /// ROLLBACK TO a savepoint.
    RollbackTo,
    /// SAVEPOINT and RELEASE SAVEPOINT.
    Savepoint,
    XaStart,
    /// XA END and XA PREPARE.
    XaStep,
    XaCommit,
    XaRollback,
    /// Does not change rows or columns of captured tables.
    Harmless,
    /// A definition changes rows or columns of this captured table. `by` is the sort of statement.
    Changes {
        table: usize,
        by: &'static str,
    },
    /// A foreign key or another constraint of this captured table is dropped; rows and columns stay.
    DropsForeignKey {
        table: usize,
    },
    /// The statement is not understood, and it names this captured table or its database.
    Unclear {
        table: usize,
    },
    /// Rows were changed by a statement that is logged as text.
    Data(StatementTarget),
}

/// A statement of the log.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Statement<'a> {
    pub(crate) text: &'a [u8],
    pub(crate) session: &'a Session,
    /// The session's default database.
    pub(crate) database: &'a str,
    /// The server that wrote the statement, and its version as in `/*!80013 */`.
    pub(crate) flavour: Flavour,
    pub(crate) version: Option<u32>,
}

/// Judges a statement. If it can be read in several ways, a reading with an effect wins.
pub(crate) fn effect(statement: &Statement, captured: &CapturedNames) -> Effect {
    for text in readings(statement.text, statement.session.charset) {
        let mut modes = vec![statement.session.sql_mode];
        while let Some(sql_mode) = modes.pop() {
            let rules = Rules { sql_mode, flavour: statement.flavour, version: statement.version };
            let tokens = Tokens::lex(&text, &rules);
            if sql_mode == statement.session.sql_mode && sets_mode(&tokens.list) {
                modes.extend(other_modes(sql_mode));
            }
            match effect_of(&tokens, statement.database, captured) {
                Effect::Harmless => {}
                found => return found,
            }
        }
    }
    Effect::Harmless
}

/// Whether the statement mentions an action of a foreign key.
pub(crate) fn has_action(statement: &Statement) -> bool {
    let acts =
        |three: &[Token]| is_any(&three[0], &["ON"]) && is_any(&three[1], &["DELETE", "UPDATE"]) && is_any(&three[2], &["CASCADE", "SET"]);
    any_reading(statement, |tokens| tokens.windows(3).any(acts))
}

/// Whether one of these words, not in quotes, is in the statement.
pub(crate) fn mentions(statement: &Statement, words: &[&str]) -> bool {
    any_reading(statement, |tokens| tokens.iter().any(|token| is_any(token, words)))
}

fn any_reading(statement: &Statement, holds: impl Fn(&[Token]) -> bool) -> bool {
    let rules = Rules { sql_mode: statement.session.sql_mode, flavour: statement.flavour, version: statement.version };
    readings(statement.text, statement.session.charset).iter().any(|text| holds(&Tokens::lex(text, &rules).list))
}

fn is_any(token: &Token, words: &[&str]) -> bool {
    words.iter().any(|word| token.is(word))
}

/// The possible texts: in the session's character set, and in UTF-8, because the server itself writes names in UTF-8 regardless of the
/// session.
fn readings(bytes: &[u8], charset: Option<Charset>) -> Vec<String> {
    let as_utf8 = std::str::from_utf8(bytes).ok().map(str::to_string);
    let mut readings = match (charset, &as_utf8) {
        (Some(Charset::Swe7), _) => vec![doubtful(bytes, |b| b.is_ascii() && !b"[\\]^{|}~".contains(&b))],
        (_, Some(text)) if text.is_ascii() => Vec::new(),
        (Some(charset), _) => vec![decoded(bytes, charset)],
        (None, _) => return vec![doubtful(bytes, |b| b.is_ascii())],
    };
    readings.extend(as_utf8.filter(|text| !readings.contains(text)));
    readings
}

/// Replaces uncertain characters. A name with such a character may be any name.
fn doubtful(bytes: &[u8], is_certain: impl Fn(u8) -> bool) -> String {
    bytes.iter().map(|&b| if is_certain(b) { b as char } else { char::REPLACEMENT_CHARACTER }).collect()
}

fn decoded(bytes: &[u8], charset: Charset) -> String {
    let text = charset.decode(bytes, &mut String::new()).to_string();
    // Characters that the charset lacks are decoded as question marks.
    let written = bytes.iter().filter(|b| **b == b'?').count();
    if text.matches('?').count() > written { text.replace('?', "\u{fffd}") } else { text }
}

/// `SET STATEMENT sql_mode = ... FOR` is cut into tokens under the session's mode, but logged with the statement's mode.
fn sets_mode(tokens: &[Token]) -> bool {
    let is = |token: &Token, word: &str| matches!(token, Token::Word(w) if w.eq_ignore_ascii_case(word));
    tokens.len() > 2 && is(&tokens[0], "SET") && is(&tokens[1], "STATEMENT") && tokens.iter().any(|token| is(token, "sql_mode"))
}

fn other_modes(mode: SqlMode) -> [SqlMode; 3] {
    let (ansi_quotes, no_backslash_escapes) = (!mode.ansi_quotes, !mode.no_backslash_escapes);
    [SqlMode { ansi_quotes, ..mode }, SqlMode { no_backslash_escapes, ..mode }, SqlMode { ansi_quotes, no_backslash_escapes, ..mode }]
}

fn effect_of(tokens: &Tokens, database: &str, captured: &CapturedNames) -> Effect {
    let mut words = Cursor { rest: &tokens.list, database, captured };
    let all = words;
    let found = statement(&mut words);
    // A text that ends inside a quote was cut by other rules than the server's.
    if found == Effect::Harmless && !tokens.is_whole { unclear(&all) } else { found }
}

/// Returns `Unclear` if the statement names a captured table or the database of one.
fn unclear(words: &Cursor) -> Effect {
    match words.mentioned().or_else(|| words.mentioned_database()) {
        Some(table) => Effect::Unclear { table },
        None => Effect::Harmless,
    }
}

fn statement(words: &mut Cursor) -> Effect {
    let all = *words;
    let keyword = words.next_keyword();
    match keyword.as_str() {
        "BEGIN" if words.is_at_end() || words.accept("WORK") => Effect::Begin,
        "START" if words.accept("TRANSACTION") => Effect::Begin,
        "COMMIT" => Effect::Commit,
        "ROLLBACK" if words.has("TO") => Effect::RollbackTo,
        "ROLLBACK" => Effect::Rollback,
        "SAVEPOINT" | "RELEASE" => Effect::Savepoint,
        "XA" => match words.next_keyword().as_str() {
            "START" | "BEGIN" => Effect::XaStart,
            "COMMIT" => Effect::XaCommit,
            "ROLLBACK" => Effect::XaRollback,
            _ => Effect::XaStep,
        },
        // `BEGIN NOT ATOMIC` and other statements that may write are data too.
        "BEGIN" | "INSERT" | "UPDATE" | "DELETE" | "REPLACE" | "LOAD" | "CALL" | "DO" | "SELECT" | "WITH" | "TABLE" | "VALUES"
        | "EXECUTE" | "PREPARE" | "IF" | "LOOP" | "WHILE" | "REPEAT" | "FOR" => Effect::Data(data::written(&keyword, words)),
        "SET" if words.accept("STATEMENT") => match words.skip_past("FOR") {
            Ok(()) => statement(words),
            Err(NotUnderstood) => unclear(&all),
        },
        "TRUNCATE" => {
            words.accept("TABLE");
            of_table(words, "TRUNCATE TABLE")
        }
        "DROP" => drop_statement(words),
        "RENAME" if words.accept_any(&["TABLE", "TABLES"]) => of_any(words, "RENAME TABLE"),
        "RENAME" if words.accept_any(&["USER", "ROLE"]) => Effect::Harmless,
        "ALTER" => alter_statement(words),
        "CREATE" => create_statement(words),
        "REPAIR" => of_any(words, "REPAIR TABLE"),
        // `ANALYZE UPDATE` executes the update.
        "ANALYZE" if !words.is_at_any(&["TABLE", "TABLES", "LOCAL", "NO_WRITE_TO_BINLOG"]) => Effect::Data(StatementTarget::Unknown),
        "" if all.is_at_end() => Effect::Harmless,
        _ if HARMLESS.contains(&keyword.as_str()) => Effect::Harmless,
        _ => unclear(&all),
    }
}

/// Statements that change neither rows nor columns of base tables.
const HARMLESS: [&str; 29] = [
    "ANALYZE",
    "BINLOG",
    "CACHE",
    "CHANGE",
    "CHECK",
    "CHECKSUM",
    "CLONE",
    "DEALLOCATE",
    "DESCRIBE",
    "EXPLAIN",
    "FLUSH",
    "GRANT",
    "HANDLER",
    "HELP",
    "IMPORT",
    "INSTALL",
    "KILL",
    "LOCK",
    "OPTIMIZE",
    "PURGE",
    "RESET",
    "REVOKE",
    "SET",
    "SHOW",
    "SHUTDOWN",
    "START",
    "STOP",
    "UNINSTALL",
    "UNLOCK",
];

/// Objects other than tables that a definition may be about; none of them contains rows of a base table.
const OTHER_OBJECTS: [&str; 22] = [
    "AGGREGATE",
    "ALGORITHM",
    "DEFINER",
    "EVENT",
    "FUNCTION",
    "INSTANCE",
    "JSON",
    "LIBRARY",
    "LOGFILE",
    "MASKING",
    "MATERIALIZED",
    "PACKAGE",
    "PROCEDURE",
    "RESOURCE",
    "ROLE",
    "SERVER",
    "SPATIAL",
    "SQL",
    "TABLESPACE",
    "TRIGGER",
    "UNDO",
    "USER",
];

fn of_table(words: &mut Cursor, by: &'static str) -> Effect {
    let all = *words;
    let Ok(name) = words.table() else { return unclear(&all) };
    words.which(&name).map_or(Effect::Harmless, |table| Effect::Changes { table, by })
}

/// For a statement with a list of tables in any form.
fn of_any(words: &Cursor, by: &'static str) -> Effect {
    words.listed().map_or(Effect::Harmless, |table| Effect::Changes { table, by })
}

fn of_database(words: &mut Cursor, by: &'static str) -> Effect {
    let all = *words;
    let Ok(name) = words.next_name() else { return unclear(&all) };
    words.captured.in_database(name).map_or(Effect::Harmless, |table| Effect::Changes { table, by })
}

fn drop_statement(words: &mut Cursor) -> Effect {
    let all = *words;
    if words.accept_any(&["TABLE", "TABLES"]) {
        return of_any(words, "DROP TABLE");
    }
    if words.accept_any(&["DATABASE", "SCHEMA"]) {
        words.accept_all(&["IF", "EXISTS"]);
        return of_database(words, "DROP DATABASE");
    }
    words.accept_any(&["ONLINE", "OFFLINE"]);
    if words.accept("INDEX") {
        words.accept_all(&["IF", "EXISTS"]);
        return match words.next_name() {
            Ok(name) if !alter::is_primary(name) => Effect::Harmless,
            _ => of_any(words, "DROP INDEX"),
        };
    }
    // A view, a sequence or a temporary table with the table's name is not the table, and the server does not confuse them.
    if words.accept_any(&["TEMPORARY", "VIEW", "SEQUENCE", "PREPARE"]) || words.is_at_any(&OTHER_OBJECTS) {
        return Effect::Harmless;
    }
    unclear(&all)
}

fn create_statement(words: &mut Cursor) -> Effect {
    let all = *words;
    let replaces = words.accept_all(&["OR", "REPLACE"]);
    if words.accept_any(&["DATABASE", "SCHEMA"]) {
        words.accept_all(&["IF", "NOT", "EXISTS"]);
        return if replaces { of_database(words, "CREATE OR REPLACE DATABASE") } else { Effect::Harmless };
    }
    let is_index = words.accept_any(&["ONLINE", "OFFLINE", "UNIQUE", "FULLTEXT", "VECTOR"]);
    if is_index || words.is_at_any(&["INDEX", "VIEW", "TEMPORARY"]) || words.is_at_any(&OTHER_OBJECTS) {
        return Effect::Harmless;
    }
    if words.accept("SEQUENCE") {
        return of_any(words, "CREATE SEQUENCE");
    }
    if !words.accept("TABLE") {
        return unclear(&all);
    }
    // It has no effect on an existing table, and captured tables exist.
    let only_if_missing = words.accept_all(&["IF", "NOT", "EXISTS"]);
    let before = *words;
    let Ok(name) = words.table() else { return unclear(&all) };
    match words.which(&name) {
        Some(_) if only_if_missing && !replaces => Effect::Harmless,
        Some(table) => Effect::Changes { table, by: "CREATE TABLE" },
        // With its SELECT it is logged as text only in the statement format, and a function in it may write anywhere.
        None if before.has("SELECT") && data::may_call_functions(words) => Effect::Data(StatementTarget::Unknown),
        None => Effect::Harmless,
    }
}

fn alter_statement(words: &mut Cursor) -> Effect {
    let all = *words;
    words.accept_any(&["ONLINE", "OFFLINE"]);
    let ignores_rows = words.accept("IGNORE");
    if words.accept("TABLE") {
        return alter::effect(words, ignores_rows);
    }
    if words.accept_any(&["DATABASE", "SCHEMA", "VIEW", "SEQUENCE"]) || words.is_at_any(&OTHER_OBJECTS) {
        return Effect::Harmless;
    }
    unclear(&all)
}
