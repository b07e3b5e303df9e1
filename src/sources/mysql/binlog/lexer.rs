//! Cuts a statement into tokens by the server's own lexical rules.
//!
//! In: a decoded text, the session's `sql_mode` and the server's version; the last two decide what is a name, a text, or a comment. Out: the
//! tokens without comments, except that a comment that the server executes is part of the statement. The rules are those of `sql/sql_lex.cc`
//! of both servers.

use super::session::SqlMode;
use crate::sources::mysql::server::Flavour;

/// A token of a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Token {
    /// A bare word, as written: a keyword, a name, or a number.
    Word(String),
    /// A quoted name, without quotes.
    Quoted(String),
    /// A text; its content does not matter.
    Text,
    Symbol(char),
}

/// What the tokens of a text depend on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rules {
    pub(crate) sql_mode: SqlMode,
    pub(crate) flavour: Flavour,
    /// As in `/*!80013 */`; `None` if unknown.
    pub(crate) version: Option<u32>,
}

/// The tokens of one statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tokens {
    pub(crate) list: Vec<Token>,
    /// Whether every quote and comment is closed.
    pub(crate) is_whole: bool,
}

impl Tokens {
    pub(crate) fn lex(text: &str, rules: &Rules) -> Tokens {
        let mut lexer = Lexer { chars: text.chars().collect(), at: 0, rules, in_comment: false, is_whole: true };
        let mut list = Vec::new();
        while let Some(token) = lexer.next() {
            list.push(token);
        }
        Tokens { list, is_whole: lexer.is_whole && !lexer.in_comment }
    }
}

struct Lexer<'a> {
    chars: Vec<char>,
    at: usize,
    rules: &'a Rules,
    /// Inside a comment that the server executes.
    in_comment: bool,
    is_whole: bool,
}

impl Lexer<'_> {
    fn peek(&self, ahead: usize) -> Option<char> {
        self.chars.get(self.at + ahead).copied()
    }

    fn next(&mut self) -> Option<Token> {
        loop {
            let c = self.peek(0)?;
            match (c, self.peek(1)) {
                _ if is_space(c) => self.at += 1,
                ('#', _) => self.skip_line(),
                ('-', Some('-')) if self.peek(2).is_none_or(|c| is_space(c) || c.is_control()) => self.skip_line(),
                ('/', Some('*')) => self.comment(),
                ('*', Some('/')) if self.in_comment => {
                    self.at += 2;
                    self.in_comment = false;
                }
                ('\'', _) => return Some(self.text(c)),
                ('"', _) if !self.rules.sql_mode.ansi_quotes => return Some(self.text(c)),
                ('`' | '"', _) => return Some(self.name(c)),
                ('[', _) if self.rules.sql_mode.brackets => return Some(self.name(']')),
                _ if is_word(c) => return Some(self.word()),
                _ => {
                    self.at += 1;
                    return Some(Token::Symbol(c));
                }
            }
        }
    }

    fn skip_line(&mut self) {
        while self.peek(0).is_some_and(|c| c != '\n') {
            self.at += 1;
        }
    }

    /// Skips a comment, or only the beginning of one that the server executes.
    fn comment(&mut self) {
        self.at += 2;
        let of_mariadb = self.peek(0) == Some('M') && self.peek(1) == Some('!') && self.rules.flavour == Flavour::Mariadb;
        if of_mariadb {
            self.at += 1;
        }
        if self.peek(0) != Some('!') {
            return self.skip_comment(false);
        }
        self.at += 1;
        match self.version() {
            Some(version) if !self.is_reached(version, of_mariadb) => self.skip_comment(true),
            _ => self.in_comment = true,
        }
    }

    /// Reads a version: five or six digits, without a space before them.
    fn version(&mut self) -> Option<u32> {
        let digits = (0..6).map_while(|i| self.peek(i)?.to_digit(10)).collect::<Vec<_>>();
        if digits.len() < 5 {
            return None;
        }
        self.at += digits.len();
        Some(digits.into_iter().fold(0, |version, digit| version * 10 + digit))
    }

    fn is_reached(&self, version: u32, of_mariadb: bool) -> bool {
        // MariaDB skips comments with a MySQL version from 5.7 to 9.99.
        let of_mysql_only = self.rules.flavour == Flavour::Mariadb && !of_mariadb && (50_700..=99_999).contains(&version);
        !of_mysql_only && self.rules.version.is_none_or(|here| version <= here)
    }

    fn skip_comment(&mut self, may_nest: bool) {
        while let Some(c) = self.peek(0) {
            match (c, self.peek(1)) {
                ('*', Some('/')) => {
                    self.at += 2;
                    return;
                }
                ('/', Some('*')) if may_nest => {
                    self.at += 2;
                    self.skip_comment(false);
                }
                _ => self.at += 1,
            }
        }
        self.is_whole = false;
    }

    fn text(&mut self, quote: char) -> Token {
        self.at += 1;
        while let Some(c) = self.peek(0) {
            self.at += 1;
            if c == '\\' && !self.rules.sql_mode.no_backslash_escapes {
                self.at += 1;
            } else if c == quote {
                if self.peek(0) != Some(quote) {
                    return Token::Text;
                }
                self.at += 1;
            }
        }
        self.is_whole = false;
        Token::Text
    }

    fn name(&mut self, end: char) -> Token {
        self.at += 1;
        let mut name = String::new();
        while let Some(c) = self.peek(0) {
            self.at += 1;
            if c == end {
                if self.peek(0) != Some(end) {
                    return Token::Quoted(name);
                }
                self.at += 1;
            }
            name.push(c);
        }
        self.is_whole = false;
        Token::Quoted(name)
    }

    fn word(&mut self) -> Token {
        let length = self.chars[self.at..].iter().position(|c| !is_word(*c)).unwrap_or(self.chars.len() - self.at);
        let word = self.chars[self.at..self.at + length].iter().collect();
        self.at += length;
        Token::Word(word)
    }
}

/// All characters outside of ASCII may be part of a bare name. If the server's charset disagrees, the server has already refused the
/// statement.
fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == '$' || !c.is_ascii()
}

fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\r' | '\u{b}' | '\u{c}')
}

#[cfg(test)]
mod tests {
    use super::*;

    const MYSQL: Rules = Rules {
        sql_mode: SqlMode { ansi_quotes: false, no_backslash_escapes: false, brackets: false },
        flavour: Flavour::Mysql,
        version: Some(90_704),
    };
    const MARIADB: Rules = Rules { flavour: Flavour::Mariadb, version: Some(101_119), ..MYSQL };

    /// Prints words as they are, names in backticks, texts as a quote.
    fn shown(text: &str, rules: &Rules) -> String {
        let tokens = Tokens::lex(text, rules);
        assert!(tokens.is_whole, "{text}");
        let shown = tokens.list.iter().map(|token| match token {
            Token::Word(word) => word.clone(),
            Token::Quoted(name) => format!("`{name}`"),
            Token::Text => "'".into(),
            Token::Symbol(c) => c.to_string(),
        });
        shown.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn comments_are_carried_out_by_the_servers_they_are_for() {
        for (text, mysql, mariadb) in [
            ("a /* b */ c", "a c", "a c"),
            ("a /*! b */ c", "a b c", "a b c"),
            ("a /*!50000 b */ c", "a b c", "a b c"),
            ("a /*!50701 b */ c", "a b c", "a c"),
            ("a /*!80013 b */ c", "a b c", "a c"),
            ("a /*!100100 b */ c", "a c", "a b c"),
            ("a /*M!100100 b */ c", "a c", "a b c"),
            ("a /*M!50701 b */ c", "a c", "a b c"),
            ("a /*!999999 b /* x */ d */ c", "a c", "a c"),
            ("a /*!123 b */ c", "a 123 b c", "a 123 b c"),
            ("a /*!50000b*/c", "a b c", "a b c"),
            ("a # b\nc -- d\ne --\nf", "a c e f", "a c e f"),
            ("a --b", "a - - b", "a - - b"),
            ("a /*", "", ""),
        ] {
            if mysql.is_empty() {
                assert!(!Tokens::lex(text, &MYSQL).is_whole);
                continue;
            }
            assert_eq!((shown(text, &MYSQL).as_str(), shown(text, &MARIADB).as_str()), (mysql, mariadb), "{text}");
        }
    }

    #[test]
    fn quotes_end_where_the_session_says() {
        let with = |ansi_quotes, no_backslash_escapes, brackets| Rules {
            sql_mode: SqlMode { ansi_quotes, no_backslash_escapes, brackets },
            ..MARIADB
        };
        for (text, rules, expected) in [
            (r#"a "b""c" d"#, with(false, false, false), "a ' d"),
            (r#"a "b""c" d"#, with(true, false, false), r#"a `b"c` d"#),
            (r"a 'b\' c' d", with(false, false, false), "a ' d"),
            (r"a 'b\' c, 'd'", with(false, true, false), "a ' c , '"),
            (r"a `b\` c", with(false, false, false), r"a `b\` c"),
            ("a [b]]c] d", with(false, false, true), "a `b]c` d"),
            ("a [b] c", with(false, false, false), "a [ b ] c"),
            ("é.`表`", with(false, false, false), "é . `表`"),
        ] {
            assert_eq!(shown(text, &rules), expected, "{text}");
        }
        for text in ["'a", "`a", "\"a", r"'a\'", "/*! a"] {
            assert!(!Tokens::lex(text, &MYSQL).is_whole, "{text}");
        }
    }
}
