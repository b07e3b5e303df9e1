//! What a statement that stands in the log as text does to the captured tables.
//!
//! In a log of rows only transaction control and definitions come as text. A statement that changes data as text, which happens when a
//! session left the row format, cannot be followed. Texts may hold secrets and values: they are judged here and never shown.

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
    /// A captured table is changed by a definition: which, and by what sort of statement.
    Changes {
        table: usize,
        by: &'static str,
    },
    /// Data is changed by a statement's text.
    Data,
}

/// The captured tables as (database, table).
pub(crate) type Names = [(String, String)];

/// Judges a statement of a session whose default database is `database`.
pub(crate) fn effect(text: &[u8], database: &str, captured: &Names) -> Effect {
    let tokens = Tokens::of(&String::from_utf8_lossy(text));
    let mut words = tokens.cursor(database, captured);
    match words.next_keyword().as_str() {
        "BEGIN" => Effect::Begin,
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
        "INSERT" | "UPDATE" | "DELETE" | "REPLACE" | "LOAD" | "CALL" | "DO" | "SELECT" | "WITH" | "TABLE" | "VALUES" | "IMPORT" => {
            Effect::Data
        }
        "TRUNCATE" => {
            words.accept("TABLE");
            words.table().map_or(Effect::Harmless, |table| Effect::Changes { table, by: "TRUNCATE TABLE" })
        }
        "DROP" => drop_statement(&mut words),
        "RENAME" => rename_statement(&mut words),
        "ALTER" => alter_statement(&mut words),
        "CREATE" => create_statement(&mut words),
        _ => Effect::Harmless,
    }
}

fn drop_statement(words: &mut Cursor) -> Effect {
    if words.accept("DATABASE") || words.accept("SCHEMA") {
        words.accept_all(&["IF", "EXISTS"]);
        let name = words.next_name();
        let table = words.captured.iter().position(|(database, _)| Some(database) == name.as_ref());
        return table.map_or(Effect::Harmless, |table| Effect::Changes { table, by: "DROP DATABASE" });
    }
    if words.accept("TEMPORARY") || !(words.accept("TABLE") || words.accept("TABLES")) {
        return Effect::Harmless;
    }
    words.accept_all(&["IF", "EXISTS"]);
    loop {
        if let Some(table) = words.table() {
            return Effect::Changes { table, by: "DROP TABLE" };
        }
        if !words.accept(",") {
            return Effect::Harmless;
        }
    }
}

fn rename_statement(words: &mut Cursor) -> Effect {
    if !(words.accept("TABLE") || words.accept("TABLES")) {
        return Effect::Harmless;
    }
    words.accept_all(&["IF", "EXISTS"]);
    loop {
        let from = words.table();
        words.skip_to("TO");
        if let Some(table) = from.or(words.table()) {
            return Effect::Changes { table, by: "RENAME TABLE" };
        }
        if !words.accept(",") {
            return Effect::Harmless;
        }
    }
}

fn create_statement(words: &mut Cursor) -> Effect {
    let replaces = words.accept_all(&["OR", "REPLACE"]);
    if words.accept("TEMPORARY") || !words.accept("TABLE") {
        return Effect::Harmless;
    }
    // It does nothing to a table that is there, and a captured one is.
    if words.accept_all(&["IF", "NOT", "EXISTS"]) && !replaces {
        return Effect::Harmless;
    }
    words.table().map_or(Effect::Harmless, |table| Effect::Changes { table, by: "CREATE TABLE" })
}

/// What an ALTER TABLE may begin its clauses with and leave rows and columns as they are.
const HARMLESS_CLAUSES: &[&[&str]] = &[
    &["ADD", "INDEX"],
    &["ADD", "KEY"],
    &["ADD", "UNIQUE"],
    &["ADD", "FULLTEXT"],
    &["ADD", "SPATIAL"],
    &["DROP", "INDEX"],
    &["DROP", "KEY"],
    &["DROP", "FOREIGN"],
    &["RENAME", "INDEX"],
    &["RENAME", "KEY"],
    &["ALTER", "INDEX"],
    &["DISABLE", "KEYS"],
    &["ENABLE", "KEYS"],
    &["AUTO_INCREMENT"],
    &["COMMENT"],
    &["ALGORITHM"],
    &["LOCK"],
    &["ENGINE"],
    &["FORCE"],
    &["ROW_FORMAT"],
    &["KEY_BLOCK_SIZE"],
    &["STATS_PERSISTENT"],
    &["STATS_AUTO_RECALC"],
    &["STATS_SAMPLE_PAGES"],
    &["MAX_ROWS"],
    &["MIN_ROWS"],
    &["AVG_ROW_LENGTH"],
    &["PACK_KEYS"],
    &["CHECKSUM"],
];

fn alter_statement(words: &mut Cursor) -> Effect {
    words.accept("ONLINE");
    words.accept("IGNORE");
    if !words.accept("TABLE") {
        return Effect::Harmless;
    }
    words.accept_all(&["IF", "EXISTS"]);
    let captured = words.table();
    while words.accept("WAIT") || words.accept("NOWAIT") || words.peek_is_number() {
        words.accept_number();
    }
    let Some(table) = captured else {
        // Another table may take a captured one's name, or swap a partition with it.
        let clauses = words.rest;
        let renamed = words.renamed_to();
        words.rest = clauses;
        return match renamed.or_else(|| words.exchanged_with()) {
            Some(table) => Effect::Changes { table, by: "ALTER TABLE" },
            None => Effect::Harmless,
        };
    };
    if words.every_clause_begins_with(HARMLESS_CLAUSES) { Effect::Harmless } else { Effect::Changes { table, by: "ALTER TABLE" } }
}

/// A statement's tokens, without comments; executable comments (`/*!40005 TEMPORARY */`) are part of it.
struct Tokens(Vec<Token>);

#[derive(Debug, Clone, PartialEq)]
enum Token {
    /// A bare word, as written.
    Word(String),
    /// A name between backticks (or double quotes).
    Quoted(String),
    /// A text between single quotes; its content does not matter.
    Text,
    Symbol(char),
}

impl Tokens {
    fn of(text: &str) -> Tokens {
        let mut tokens = Vec::new();
        let chars: Vec<char> = text.chars().collect();
        let mut i = 0;
        while i < chars.len() {
            let c = chars[i];
            let next = chars.get(i + 1).copied();
            match c {
                _ if c.is_whitespace() => i += 1,
                '#' => i = line_end(&chars, i),
                '-' if next == Some('-') => i = line_end(&chars, i),
                '/' if next == Some('*') => i = comment_end(&chars, i),
                // The end of an executable comment.
                '*' if next == Some('/') => i += 2,
                '\'' => {
                    i = quoted(&chars, i, true).1;
                    tokens.push(Token::Text);
                }
                '`' | '"' => {
                    let (name, end) = quoted(&chars, i, false);
                    i = end;
                    tokens.push(Token::Quoted(name));
                }
                _ if is_word(c) => {
                    let end = chars[i..].iter().position(|c| !is_word(*c)).map_or(chars.len(), |n| i + n);
                    tokens.push(Token::Word(chars[i..end].iter().collect()));
                    i = end;
                }
                _ => {
                    tokens.push(Token::Symbol(c));
                    i += 1;
                }
            }
        }
        Tokens(tokens)
    }

    fn cursor<'a>(&'a self, database: &'a str, captured: &'a Names) -> Cursor<'a> {
        Cursor { rest: &self.0, database, captured }
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_' || c == '$' || c == '@'
}

fn line_end(chars: &[char], from: usize) -> usize {
    chars[from..].iter().position(|c| *c == '\n').map_or(chars.len(), |n| from + n + 1)
}

/// After a comment; or, in an executable one, after its `/*!` or `/*M!` and version, so that its content is read.
fn comment_end(chars: &[char], from: usize) -> usize {
    let mut i = from + 2;
    if chars.get(i) == Some(&'M') && chars.get(i + 1) == Some(&'!') {
        i += 1;
    }
    if chars.get(i) == Some(&'!') {
        i += 1;
        while chars.get(i).is_some_and(char::is_ascii_digit) {
            i += 1;
        }
        return i;
    }
    let end = chars[i..].windows(2).position(|pair| pair == ['*', '/']);
    end.map_or(chars.len(), |n| i + n + 2)
}

/// The content of a quoted text or name that begins here, and where it ends.
fn quoted(chars: &[char], from: usize, escapes: bool) -> (String, usize) {
    let quote = chars[from];
    let (mut content, mut i) = (String::new(), from + 1);
    while i < chars.len() {
        if escapes && chars[i] == '\\' {
            i += 1;
        } else if chars[i] == quote {
            if chars.get(i + 1) != Some(&quote) {
                return (content, i + 1);
            }
            i += 1;
        }
        if let Some(c) = chars.get(i) {
            content.push(*c);
        }
        i += 1;
    }
    (content, chars.len())
}

struct Cursor<'a> {
    rest: &'a [Token],
    database: &'a str,
    captured: &'a Names,
}

impl Cursor<'_> {
    fn next_keyword(&mut self) -> String {
        match self.rest.split_first() {
            Some((Token::Word(word), rest)) => {
                self.rest = rest;
                word.to_ascii_uppercase()
            }
            // A statement may begin with a bracket.
            Some((Token::Symbol('('), rest)) => {
                self.rest = rest;
                self.next_keyword()
            }
            _ => String::new(),
        }
    }

    fn next_name(&mut self) -> Option<String> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        match first {
            Token::Word(name) | Token::Quoted(name) => Some(name.clone()),
            Token::Text | Token::Symbol(_) => None,
        }
    }

    fn is(token: &Token, word: &str) -> bool {
        match token {
            Token::Word(w) => w.eq_ignore_ascii_case(word),
            Token::Symbol(c) => word.len() == 1 && word.starts_with(*c),
            Token::Quoted(_) | Token::Text => false,
        }
    }

    fn accept(&mut self, word: &str) -> bool {
        let found = self.rest.first().is_some_and(|token| Self::is(token, word));
        if found {
            self.rest = &self.rest[1..];
        }
        found
    }

    fn accept_all(&mut self, words: &[&str]) -> bool {
        let found = self.rest.len() >= words.len() && words.iter().zip(self.rest).all(|(word, token)| Self::is(token, word));
        if found {
            self.rest = &self.rest[words.len()..];
        }
        found
    }

    fn peek_is_number(&self) -> bool {
        matches!(self.rest.first(), Some(Token::Word(word)) if word.bytes().all(|b| b.is_ascii_digit()))
    }

    fn accept_number(&mut self) {
        if self.peek_is_number() {
            self.rest = &self.rest[1..];
        }
    }

    fn has(&self, word: &str) -> bool {
        self.rest.iter().any(|token| Self::is(token, word))
    }

    fn skip_to(&mut self, word: &str) {
        let at = self.rest.iter().position(|token| Self::is(token, word)).map_or(self.rest.len(), |n| n + 1);
        self.rest = &self.rest[at..];
    }

    /// Reads a table's name, with or without its database: which captured table it is.
    fn table(&mut self) -> Option<usize> {
        let first = self.next_name()?;
        let (database, name) = match self.accept(".") {
            true => (first, self.next_name()?),
            false => (self.database.to_string(), first),
        };
        // Whether the server tells upper from lower case depends on its file system; a stop too many is the safer mistake.
        let same = |a: &str, b: &str| a.to_lowercase() == b.to_lowercase();
        self.captured.iter().position(|(d, n)| same(d, &database) && same(n, &name))
    }

    /// The captured table that a `RENAME [TO|AS]` clause names.
    fn renamed_to(&mut self) -> Option<usize> {
        while !self.rest.is_empty() {
            self.skip_to("RENAME");
            if self.accept("TO") || self.accept("AS") || !matches!(self.rest.first(), Some(Token::Word(w)) if is_rename_part(w)) {
                let rest = self.rest;
                if let Some(table) = self.table() {
                    return Some(table);
                }
                self.rest = rest;
            }
        }
        None
    }

    /// The captured table that `EXCHANGE PARTITION ... WITH TABLE` names.
    fn exchanged_with(&mut self) -> Option<usize> {
        self.skip_to("EXCHANGE");
        self.skip_to("WITH");
        self.accept("TABLE");
        self.table()
    }

    /// Whether each clause, separated by commas outside of brackets, begins with one of these.
    fn every_clause_begins_with(&mut self, beginnings: &[&[&str]]) -> bool {
        loop {
            if !beginnings.iter().any(|beginning| self.accept_all(beginning)) {
                return false;
            }
            let mut depth = 0i32;
            loop {
                match self.rest.split_first() {
                    None => return true,
                    Some((token, rest)) => {
                        self.rest = rest;
                        match token {
                            Token::Symbol('(') => depth += 1,
                            Token::Symbol(')') => depth -= 1,
                            Token::Symbol(',') if depth == 0 => break,
                            // Table options may follow each other without a comma; another verb hides a clause.
                            Token::Word(word) if depth == 0 && is_clause_verb(word) => return false,
                            _ => {}
                        }
                    }
                }
            }
        }
    }
}

fn is_rename_part(word: &str) -> bool {
    ["INDEX", "KEY", "COLUMN"].iter().any(|part| word.eq_ignore_ascii_case(part))
}

fn is_clause_verb(word: &str) -> bool {
    const VERBS: &[&str] = &[
        "ADD",
        "DROP",
        "MODIFY",
        "CHANGE",
        "ALTER",
        "RENAME",
        "CONVERT",
        "TRUNCATE",
        "EXCHANGE",
        "DISCARD",
        "IMPORT",
        "PARTITION",
        "CHARACTER",
        "CHARSET",
        "COLLATE",
    ];
    VERBS.iter().any(|verb| word.eq_ignore_ascii_case(verb))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(text: &str) -> Effect {
        let captured = [("shop".to_string(), "orders".to_string()), ("shop".to_string(), "items".to_string())];
        effect(text.as_bytes(), "shop", &captured)
    }

    fn changed(text: &str) -> bool {
        matches!(judged(text), Effect::Changes { .. })
    }

    #[test]
    fn transaction_control_is_known() {
        assert_eq!(judged("BEGIN"), Effect::Begin);
        assert_eq!(judged("begin"), Effect::Begin);
        assert_eq!(judged("COMMIT"), Effect::Commit);
        assert_eq!(judged("ROLLBACK"), Effect::Rollback);
        assert_eq!(judged("ROLLBACK TO `s`"), Effect::RollbackTo);
        assert_eq!(judged("SAVEPOINT `s`"), Effect::Savepoint);
        assert_eq!(judged("XA START X'78',X'',1"), Effect::XaStart);
        assert_eq!(judged("XA COMMIT X'78',X'',1"), Effect::XaCommit);
    }

    #[test]
    fn data_as_text_is_seen() {
        for text in [
            "insert into g values (1)",
            "/* c */ UPDATE g SET a=1",
            "(SELECT 1)",
            "LOAD DATA INFILE 'x' INTO TABLE g",
            "-- c\nDELETE FROM g",
        ] {
            assert_eq!(judged(text), Effect::Data, "{text}");
        }
    }

    #[test]
    fn definitions_of_captured_tables_are_seen() {
        for text in [
            "TRUNCATE orders",
            "TRUNCATE TABLE `shop`.`orders`",
            "DROP TABLE IF EXISTS a, `items` /* generated by server */",
            "DROP DATABASE shop",
            "RENAME TABLE x TO orders",
            "RENAME TABLE a TO b, orders TO c",
            "ALTER TABLE orders ADD COLUMN x INT",
            "ALTER TABLE Orders ADD x INT",
            "ALTER TABLE orders ADD INDEX i (a), DROP COLUMN b",
            "ALTER TABLE orders TRUNCATE PARTITION p0",
            "ALTER TABLE orders ENGINE=InnoDB CONVERT TO CHARACTER SET utf8mb4",
            "ALTER TABLE orders ADD CONSTRAINT f FOREIGN KEY (a) REFERENCES c (a) ON DELETE CASCADE",
            "ALTER TABLE orders_new RENAME TO orders",
            "ALTER TABLE t EXCHANGE PARTITION p WITH TABLE orders",
            "CREATE TABLE orders (a INT)",
            "CREATE OR REPLACE TABLE orders (a INT)",
            "/*!50003 DROP */ TABLE orders",
        ] {
            assert!(changed(text), "{text}: {:?}", judged(text));
        }
    }

    #[test]
    fn what_leaves_captured_tables_alone_is_harmless() {
        for text in [
            "TRUNCATE other",
            "TRUNCATE elsewhere.orders",
            "DROP TABLE a, b",
            "DROP TEMPORARY TABLE orders",
            "DROP /*!40005 TEMPORARY */ TABLE IF EXISTS `orders`",
            "DROP DATABASE other",
            "RENAME TABLE a TO b",
            "ALTER TABLE orders ADD INDEX i (a, b), ALGORITHM=INPLACE",
            "ALTER TABLE orders ADD UNIQUE KEY `add column` (a)",
            "ALTER TABLE orders COMMENT 'drop column x, add y'",
            "ALTER TABLE other ADD COLUMN x INT",
            "ALTER TABLE other ADD FOREIGN KEY (a) REFERENCES orders (a)",
            "CREATE TABLE IF NOT EXISTS orders (a INT)",
            "CREATE TABLE other LIKE orders",
            "CREATE INDEX i ON orders (a)",
            "CREATE VIEW v AS SELECT * FROM orders",
            "GRANT SELECT ON shop.orders TO u",
            "CREATE USER u IDENTIFIED BY 'TRUNCATE orders'",
            "FLUSH TABLES",
            "# Dum",
        ] {
            assert_eq!(judged(text), Effect::Harmless, "{text}");
        }
    }
}
