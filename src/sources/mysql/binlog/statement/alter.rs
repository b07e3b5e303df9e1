//! Judges what an ALTER TABLE does to the rows and columns of its table.
//!
//! Every clause must be known to leave them unchanged; any other clause counts as a change. A known clause may rebuild the table, but keeps
//! every row: a row that does not fit makes the statement fail.

use super::super::lexer::Token;
use super::cursor::Cursor;
use super::{Effect, unclear};

/// The clause that changes a table.
type Changed = &'static str;

const ALTER: Changed = "ALTER TABLE";

/// Judges the part after `ALTER [ONLINE] [IGNORE] TABLE`.
pub(super) fn effect(words: &mut Cursor, ignores_rows: bool) -> Effect {
    words.accept_all(&["IF", "EXISTS"]);
    let all = *words;
    let Ok(table) = words.table() else { return unclear(&all) };
    while words.accept_any(&["WAIT", "NOWAIT"]) || words.accept_number() {}
    let Some(table) = words.which(&table) else { return of_another(words) };
    // With IGNORE, rows that do not fit are dropped.
    let changed = if ignores_rows { Err(ALTER) } else { clauses(words) };
    match changed {
        Ok(Constraints::Kept) => Effect::Harmless,
        Ok(Constraints::Dropped) => Effect::DropsForeignKey { table },
        Err(by) => Effect::Changes { table, by },
    }
}

/// An uncaptured table may take a captured one's name, take it in as a partition, or swap rows with it.
fn of_another(words: &Cursor) -> Effect {
    let may_reach_others = words.has_any(&["RENAME", "EXCHANGE", "CONVERT"]);
    match words.mentioned() {
        Some(table) if may_reach_others => Effect::Changes { table, by: ALTER },
        _ => Effect::Harmless,
    }
}

/// Whether a statement drops constraints that may be foreign keys.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Constraints {
    Kept,
    Dropped,
}

fn clauses(words: &mut Cursor) -> Result<Constraints, Changed> {
    let mut constraints = Constraints::Kept;
    while !words.is_at_end() {
        let mut ahead = *words;
        if ahead.accept("DROP") && ahead.is_at_any(&["FOREIGN", "CONSTRAINT"]) {
            constraints = Constraints::Dropped;
        }
        clause(words)?;
        // Options and partitions may follow without a comma.
        words.accept(",");
    }
    Ok(constraints)
}

fn clause(words: &mut Cursor) -> Result<(), Changed> {
    if words.accept("ADD") {
        return add(words);
    }
    if words.accept("DROP") {
        return drop(words);
    }
    if words.accept("RENAME") {
        return if words.accept_any(&["INDEX", "KEY"]) { to_comma(words) } else { Err("ALTER TABLE ... RENAME") };
    }
    if words.accept("ALTER") {
        return alter(words);
    }
    if words.accept_all(&["PARTITION", "BY"]) || words.accept_all(&["REMOVE", "PARTITIONING"]) {
        return to_comma(words);
    }
    const SAME_ROWS: [&str; 6] = ["REORGANIZE", "COALESCE", "REBUILD", "OPTIMIZE", "ANALYZE", "CHECK"];
    if SAME_ROWS.iter().any(|verb| words.accept_all(&[verb, "PARTITION"])) {
        return to_end(words);
    }
    if words.accept_all(&["ORDER", "BY"]) {
        return to_end(words);
    }
    for flag in [&["DISABLE", "KEYS"][..], &["ENABLE", "KEYS"], &["FORCE"], &["WITH", "VALIDATION"], &["WITHOUT", "VALIDATION"]] {
        if words.accept_all(flag) {
            return Ok(());
        }
    }
    for (part, by) in ROW_CHANGES {
        if words.accept_all(part) {
            return Err(by);
        }
    }
    option(words)
}

/// Named for the message only; an unlisted clause is a change too.
const ROW_CHANGES: [(&[&str], Changed); 9] = [
    (&["MODIFY"], "ALTER TABLE ... MODIFY"),
    (&["CHANGE"], "ALTER TABLE ... CHANGE"),
    (&["CONVERT", "TO"], "ALTER TABLE ... CONVERT TO CHARACTER SET"),
    (&["CONVERT"], "ALTER TABLE ... CONVERT PARTITION"),
    (&["TRUNCATE"], "ALTER TABLE ... TRUNCATE PARTITION"),
    (&["EXCHANGE"], "ALTER TABLE ... EXCHANGE PARTITION"),
    (&["DISCARD"], "ALTER TABLE ... DISCARD TABLESPACE"),
    (&["IMPORT"], "ALTER TABLE ... IMPORT TABLESPACE"),
    (&["REPAIR"], "ALTER TABLE ... REPAIR PARTITION"),
];

fn add(words: &mut Cursor) -> Result<(), Changed> {
    if words.is_at_any(&["PERIOD", "SYSTEM"]) {
        return Err("ALTER TABLE ... ADD SYSTEM VERSIONING");
    }
    if words.accept("CONSTRAINT") {
        words.accept_all(&["IF", "NOT", "EXISTS"]);
        if !words.is_at_any(&["UNIQUE", "FOREIGN", "CHECK", "PRIMARY"]) {
            words.next_name().map_err(|_| ALTER)?;
        }
        if !words.is_at_any(&["UNIQUE", "FOREIGN", "CHECK", "PRIMARY"]) {
            return Err(ALTER);
        }
    }
    if words.accept_any(&["INDEX", "KEY", "UNIQUE", "FULLTEXT", "SPATIAL", "VECTOR", "PARTITION"]) {
        return to_comma(words);
    }
    if words.accept("FOREIGN") {
        return foreign_key(words);
    }
    if words.accept("CHECK") {
        return check(words);
    }
    Err(if words.is_at("PRIMARY") { "ALTER TABLE ... ADD PRIMARY KEY" } else { "ALTER TABLE ... ADD COLUMN" })
}

/// The actions of a foreign key may not be logged, so it must be checked again whether the table can be captured.
fn foreign_key(words: &mut Cursor) -> Result<(), Changed> {
    let clause = part_to_comma(words)?;
    let acts = clause.windows(3).any(|three| {
        let is = |at: usize, any: &[&str]| Cursor { rest: &three[at..], ..*words }.is_at_any(any);
        is(0, &["ON"]) && is(1, &["DELETE", "UPDATE"]) && is(2, &["CASCADE", "SET"])
    });
    if acts { Err("ALTER TABLE ... ADD FOREIGN KEY with an action") } else { Ok(()) }
}

/// MariaDB's JSON is a text with this check.
fn check(words: &mut Cursor) -> Result<(), Changed> {
    let clause = part_to_comma(words)?;
    if (Cursor { rest: clause, ..*words }).has("JSON_VALID") { Err("ALTER TABLE ... ADD CHECK (JSON_VALID)") } else { Ok(()) }
}

fn drop(words: &mut Cursor) -> Result<(), Changed> {
    if words.accept_any(&["FOREIGN", "CHECK"]) {
        return to_comma(words);
    }
    if words.accept_any(&["INDEX", "KEY", "CONSTRAINT"]) {
        words.accept_all(&["IF", "EXISTS"]);
        let name = words.next_name().map_err(|_| ALTER)?;
        return if is_primary(name) { Err("ALTER TABLE ... DROP PRIMARY KEY") } else { to_comma(words) };
    }
    Err(if words.is_at("PARTITION") { "ALTER TABLE ... DROP PARTITION" } else { "ALTER TABLE ... DROP" })
}

/// Whether this is the name of the primary key; it is the same for all tables.
pub(super) fn is_primary(index: &str) -> bool {
    index.eq_ignore_ascii_case("PRIMARY")
}

fn alter(words: &mut Cursor) -> Result<(), Changed> {
    if words.accept_any(&["INDEX", "KEY", "CHECK", "CONSTRAINT"]) {
        return to_comma(words);
    }
    words.accept("COLUMN");
    words.accept_all(&["IF", "EXISTS"]);
    words.next_name().map_err(|_| ALTER)?;
    if words.accept("SET") || words.accept_all(&["DROP", "DEFAULT"]) { to_comma(words) } else { Err(ALTER) }
}

/// Options whose value is one token.
const OPTIONS: [&[&str]; 41] = [
    &["AUTO_INCREMENT"],
    &["AUTOEXTEND_SIZE"],
    &["AVG_ROW_LENGTH"],
    &["CHARACTER", "SET"],
    &["CHARSET"],
    &["COLLATE"],
    &["DEFAULT", "CHARACTER", "SET"],
    &["DEFAULT", "CHARSET"],
    &["DEFAULT", "COLLATE"],
    &["CHECKSUM"],
    &["TABLE_CHECKSUM"],
    &["COMMENT"],
    &["COMPRESSION"],
    &["CONNECTION"],
    &["DATA", "DIRECTORY"],
    &["INDEX", "DIRECTORY"],
    &["DELAY_KEY_WRITE"],
    &["ENCRYPTED"],
    &["ENCRYPTION"],
    &["ENCRYPTION_KEY_ID"],
    &["ENGINE_ATTRIBUTE"],
    &["INSERT_METHOD"],
    &["KEY_BLOCK_SIZE"],
    &["MAX_ROWS"],
    &["MIN_ROWS"],
    &["PACK_KEYS"],
    &["PAGE_CHECKSUM"],
    &["PAGE_COMPRESSED"],
    &["PAGE_COMPRESSION_LEVEL"],
    &["PASSWORD"],
    &["ROW_FORMAT"],
    &["SECONDARY_ENGINE"],
    &["SECONDARY_ENGINE_ATTRIBUTE"],
    &["STATS_AUTO_RECALC"],
    &["STATS_PERSISTENT"],
    &["STATS_SAMPLE_PAGES"],
    &["STORAGE"],
    &["TABLESPACE"],
    &["TRANSACTIONAL"],
    &["ALGORITHM"],
    &["LOCK"],
];

/// Engines that keep every row. MEMORY and BLACKHOLE do not, and FEDERATED and similar ones show rows of another place.
const KEEPING_ENGINES: [&str; 7] = ["INNODB", "MYISAM", "ARIA", "ROCKSDB", "MYROCKS", "NDB", "NDBCLUSTER"];

fn option(words: &mut Cursor) -> Result<(), Changed> {
    if words.accept_any(&["ENGINE", "TYPE"]) {
        words.accept("=");
        let engine = words.next_name().map_err(|_| ALTER)?;
        let keeps = KEEPING_ENGINES.iter().any(|known| engine.eq_ignore_ascii_case(known));
        return if keeps { Ok(()) } else { Err("ALTER TABLE ... ENGINE") };
    }
    if !OPTIONS.iter().any(|option| words.accept_all(option)) {
        return Err(ALTER);
    }
    words.accept("=");
    match words.next_token() {
        Some(Token::Word(_) | Token::Quoted(_) | Token::Text) => Ok(()),
        Some(Token::Symbol(_)) | None => Err(ALTER),
    }
}

fn to_comma(words: &mut Cursor) -> Result<(), Changed> {
    part_to_comma(words).map(|_| ())
}

/// Takes everything up to the next comma outside of brackets.
fn part_to_comma<'a>(words: &mut Cursor<'a>) -> Result<&'a [Token], Changed> {
    part(words, |token| *token == Token::Symbol(','))
}

fn to_end(words: &mut Cursor) -> Result<(), Changed> {
    part(words, |_| false).map(|_| ())
}

/// Takes everything up to an end outside of brackets. Fails if it may contain another clause.
fn part<'a>(words: &mut Cursor<'a>, is_end: impl Fn(&Token) -> bool) -> Result<&'a [Token], Changed> {
    const VERBS: [&str; 12] =
        ["ADD", "DROP", "MODIFY", "CHANGE", "ALTER", "RENAME", "CONVERT", "TRUNCATE", "EXCHANGE", "DISCARD", "IMPORT", "VERSIONING"];
    let (whole, mut depth) = (words.rest, 0i32);
    while let Some(token) = words.rest.first() {
        match token {
            _ if depth == 0 && is_end(token) => break,
            _ if depth == 0 && words.is_at_any(&VERBS) => return Err(ALTER),
            Token::Symbol('(') => depth += 1,
            Token::Symbol(')') => depth -= 1,
            _ => {}
        }
        words.rest = &words.rest[1..];
    }
    Ok(&whole[..whole.len() - words.rest.len()])
}
