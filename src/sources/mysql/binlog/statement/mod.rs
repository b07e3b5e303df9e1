//! What a statement that stands in the log as text does to the captured tables.
//!
//! In: the text in the bytes of its session, and what of the session and the server its meaning depends on. Out: its [`Effect`]. In a log of
//! rows only transaction control and definitions come as text. What is known to leave rows and columns alone is harmless; what is not
//! understood and names a captured table counts as concerning it. Texts may hold secrets and values: they are judged here and never shown.
//!
//! A parser of whole statements does not fit: those at hand know a part of what the two servers write, and where they fail nothing is
//! known. Here tokens are exact, and of a statement only so much is read as decides.

mod alter;
mod cursor;
mod data;
#[cfg(test)]
mod tests;

pub(crate) use self::data::Written;

use self::cursor::{Cursor, NotUnderstood};
use super::lexer::{Rules, Token, Tokens};
use super::names::Names;
use super::session::{Session, SqlMode};
use crate::sources::mysql::charset::Charset;
use crate::sources::mysql::server::Flavour;

/// What a statement does, as far as it matters.
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
    /// Nothing to rows or columns of captured tables.
    Harmless,
    /// A captured table's rows or columns are changed by a definition: which, and by what sort of statement.
    Changes {
        table: usize,
        by: &'static str,
    },
    /// It is not understood, and it names this captured table or its database.
    Unclear {
        table: usize,
    },
    /// Rows are changed by a statement's text.
    Data(Written),
}

/// A statement of the log.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Statement<'a> {
    pub(crate) text: &'a [u8],
    pub(crate) session: &'a Session,
    /// The session's default database.
    pub(crate) database: &'a str,
    /// The server that wrote it, and its version as in `/*!80013 */`.
    pub(crate) flavour: Flavour,
    pub(crate) version: Option<u32>,
}

/// Judges a statement. Where it can be read in several ways the one that does something counts.
pub(crate) fn effect(statement: &Statement, captured: &Names) -> Effect {
    for text in readings(statement.text, statement.session.charset) {
        let mut modes = vec![statement.session.sql_mode];
        while let Some(sql_mode) = modes.pop() {
            let rules = Rules { sql_mode, flavour: statement.flavour, version: statement.version };
            let tokens = Tokens::of(&text, &rules);
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

/// The text in its session's character set. The server itself writes names in UTF-8, whatever the session is in.
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

/// A name with a character that cannot be told may be any.
fn doubtful(bytes: &[u8], is_certain: impl Fn(u8) -> bool) -> String {
    bytes.iter().map(|&b| if is_certain(b) { b as char } else { char::REPLACEMENT_CHARACTER }).collect()
}

fn decoded(bytes: &[u8], charset: Charset) -> String {
    let text = charset.decode(bytes, &mut String::new()).to_string();
    // What the charset does not have comes as a question mark.
    let written = bytes.iter().filter(|b| **b == b'?').count();
    if text.matches('?').count() > written { text.replace('?', "\u{fffd}") } else { text }
}

/// `SET STATEMENT sql_mode = ... FOR` is cut into tokens under the session's mode and logged with the statement's.
fn sets_mode(tokens: &[Token]) -> bool {
    let is = |token: &Token, word: &str| matches!(token, Token::Word(w) if w.eq_ignore_ascii_case(word));
    tokens.len() > 2 && is(&tokens[0], "SET") && is(&tokens[1], "STATEMENT") && tokens.iter().any(|token| is(token, "sql_mode"))
}

fn other_modes(mode: SqlMode) -> [SqlMode; 3] {
    let (ansi_quotes, no_backslash_escapes) = (!mode.ansi_quotes, !mode.no_backslash_escapes);
    [SqlMode { ansi_quotes, ..mode }, SqlMode { no_backslash_escapes, ..mode }, SqlMode { ansi_quotes, no_backslash_escapes, ..mode }]
}

fn effect_of(tokens: &Tokens, database: &str, captured: &Names) -> Effect {
    let mut words = Cursor { rest: &tokens.list, database, captured };
    let all = words;
    let found = statement(&mut words);
    // What ends inside a quote was read by other rules than the server's.
    if found == Effect::Harmless && !tokens.is_whole { unclear(&all) } else { found }
}

/// Concerns a captured table if it names one, or the database of one.
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
        // `BEGIN NOT ATOMIC` and what else may write is data too.
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
        // `ANALYZE UPDATE` is carried out.
        "ANALYZE" if !words.is_at_any(&["TABLE", "TABLES", "LOCAL", "NO_WRITE_TO_BINLOG"]) => Effect::Data(Written::Unknown),
        "" if all.is_at_end() => Effect::Harmless,
        _ if HARMLESS.contains(&keyword.as_str()) => Effect::Harmless,
        _ => unclear(&all),
    }
}

/// Statements that touch neither rows nor columns of base tables.
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

/// What a definition may be of beside a table, none of which holds rows of a base table.
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

/// Of a list of tables, in whatever form.
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
    // A view, a sequence or a temporary table of that name is not the table, and the server does not take one for the other.
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
    // It does nothing to a table that is there, and a captured one is.
    let only_if_missing = words.accept_all(&["IF", "NOT", "EXISTS"]);
    let before = *words;
    let Ok(name) = words.table() else { return unclear(&all) };
    match words.which(&name) {
        Some(_) if only_if_missing && !replaces => Effect::Harmless,
        Some(table) => Effect::Changes { table, by: "CREATE TABLE" },
        // With its SELECT it is logged in the statement format only, and a function there may write anywhere.
        None if before.has("SELECT") && data::may_call_functions(words) => Effect::Data(Written::Unknown),
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
