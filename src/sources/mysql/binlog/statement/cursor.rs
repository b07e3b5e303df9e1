//! Reads the tokens of a statement one by one.

use super::super::lexer::Token;
use super::super::names::CapturedNames;

/// The tokens of a statement that are not read yet.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cursor<'a> {
    pub(super) rest: &'a [Token],
    /// The session's default database.
    pub(super) database: &'a str,
    pub(super) captured: &'a CapturedNames,
}

/// The next tokens do not fit the part of the grammar that is known here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NotUnderstood;

/// A table as a statement names it, with the default database if it names none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct StatementTable {
    pub(super) database: String,
    pub(super) name: String,
}

impl Token {
    /// Whether this is the keyword (not a quoted name) or symbol.
    pub(super) fn is(&self, word: &str) -> bool {
        match self {
            Token::Word(w) => w.eq_ignore_ascii_case(word),
            Token::Symbol(c) => word.len() == 1 && word.starts_with(*c),
            Token::Quoted(_) | Token::Text => false,
        }
    }

    fn as_name(&self) -> Option<&str> {
        match self {
            Token::Word(name) | Token::Quoted(name) => Some(name),
            Token::Text | Token::Symbol(_) => None,
        }
    }
}

impl<'a> Cursor<'a> {
    pub(super) fn is_at_end(&self) -> bool {
        self.rest.is_empty()
    }

    /// Returns the next keyword in upper case; empty if there is none. Skips opening brackets, with which a statement may begin.
    pub(super) fn next_keyword(&mut self) -> String {
        while self.accept("(") {}
        match self.rest.split_first() {
            Some((Token::Word(word), rest)) => {
                self.rest = rest;
                word.to_ascii_uppercase()
            }
            _ => String::new(),
        }
    }

    pub(super) fn next_token(&mut self) -> Option<&'a Token> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(first)
    }

    pub(super) fn next_name(&mut self) -> Result<&'a str, NotUnderstood> {
        let name = self.rest.first().and_then(Token::as_name).ok_or(NotUnderstood)?;
        self.rest = &self.rest[1..];
        Ok(name)
    }

    pub(super) fn is_at(&self, word: &str) -> bool {
        self.rest.first().is_some_and(|token| token.is(word))
    }

    pub(super) fn is_at_any(&self, words: &[&str]) -> bool {
        words.iter().any(|word| self.is_at(word))
    }

    pub(super) fn accept(&mut self, word: &str) -> bool {
        self.accept_all(&[word])
    }

    pub(super) fn accept_any(&mut self, words: &[&str]) -> bool {
        words.iter().any(|word| self.accept(word))
    }

    /// Accepts all of these words in order, or none.
    pub(super) fn accept_all(&mut self, words: &[&str]) -> bool {
        let found = self.rest.len() >= words.len() && words.iter().zip(self.rest).all(|(word, token)| token.is(word));
        if found {
            self.rest = &self.rest[words.len()..];
        }
        found
    }

    /// Accepts a bare number.
    pub(super) fn accept_number(&mut self) -> bool {
        let found = matches!(self.rest.first(), Some(Token::Word(word)) if word.bytes().all(|b| b.is_ascii_digit()));
        if found {
            self.rest = &self.rest[1..];
        }
        found
    }

    /// Whether this word occurs anywhere in the rest.
    pub(super) fn has(&self, word: &str) -> bool {
        self.rest.iter().any(|token| token.is(word))
    }

    pub(super) fn has_any(&self, words: &[&str]) -> bool {
        words.iter().any(|word| self.has(word))
    }

    /// Skips to after the next occurrence of this word outside of brackets.
    pub(super) fn skip_past(&mut self, word: &str) -> Result<(), NotUnderstood> {
        let mut depth = 0i32;
        while let Some(token) = self.next_token() {
            match token {
                Token::Symbol('(') => depth += 1,
                Token::Symbol(')') => depth -= 1,
                _ if depth == 0 && token.is(word) => return Ok(()),
                _ => {}
            }
        }
        Err(NotUnderstood)
    }

    /// Skips to after the bracket that closes the one just opened.
    pub(super) fn skip_past_bracket(&mut self) -> Result<(), NotUnderstood> {
        let mut depth = 1i32;
        while depth > 0 {
            match self.next_token().ok_or(NotUnderstood)? {
                Token::Symbol('(') => depth += 1,
                Token::Symbol(')') => depth -= 1,
                _ => {}
            }
        }
        Ok(())
    }

    /// Reads a table's name: `t`, `d.t`, or `.t`.
    pub(super) fn table(&mut self) -> Result<StatementTable, NotUnderstood> {
        if self.accept(".") {
            return Ok(StatementTable { database: self.database.into(), name: self.next_name()?.into() });
        }
        let first = self.next_name()?;
        Ok(match self.rest {
            // In `DELETE t.* FROM` the star is not a name.
            [Token::Symbol('.'), second, ..] if second.as_name().is_some() => {
                self.rest = &self.rest[1..];
                StatementTable { database: first.into(), name: self.next_name()?.into() }
            }
            _ => StatementTable { database: self.database.into(), name: first.into() },
        })
    }

    /// Returns the index of the captured table with this name.
    pub(super) fn which(&self, table: &StatementTable) -> Option<usize> {
        self.captured.table(&table.database, &table.name)
    }

    /// The first captured table whose name occurs anywhere in the rest.
    pub(super) fn mentioned(&self) -> Option<usize> {
        (0..self.rest.len()).find_map(|at| self.mentioned_at(at))
    }

    /// Like [`mentioned`](Cursor::mentioned), for lists of table names: a name before a dot is a database and does not count.
    pub(super) fn listed(&self) -> Option<usize> {
        let is_database = |at: usize| self.rest.get(at + 1) == Some(&Token::Symbol('.'));
        (0..self.rest.len()).filter(|&at| !is_database(at)).find_map(|at| self.mentioned_at(at))
    }

    fn mentioned_at(&self, at: usize) -> Option<usize> {
        let name = self.rest[at].as_name()?;
        let before = self.rest[..at].split_last_chunk::<2>().map(|(_, pair)| pair);
        let database = match before {
            Some([database, Token::Symbol('.')]) => database.as_name().unwrap_or(self.database),
            _ => self.database,
        };
        self.captured.table(database, name)
    }

    /// A captured table of the first database whose name occurs anywhere in the rest.
    pub(super) fn mentioned_database(&self) -> Option<usize> {
        self.rest.iter().filter_map(Token::as_name).find_map(|name| self.captured.in_database(name))
    }
}
