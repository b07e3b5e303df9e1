//! A few words of SQL over JSON rows, for the recomputation: enough for the filters and computed columns of the cases.
//!
//! `or`, `and`, `not`, `is [not] null`, `= <> < <= > >=`, `||`, `+ - *` of integers, `upper()`, `lower()`, names, numbers, texts.

use std::cmp::Ordering;

use serde_json::Value;

use super::order::compare;

/// The value of `sql` where `column` tells the columns' values. Panics on what it does not know.
pub(crate) fn evaluate(sql: &str, column: &dyn Fn(&str) -> Value) -> Value {
    let tokens = tokens(sql);
    let mut parser = Parser { sql, tokens: &tokens, at: 0, column };
    let value = parser.or();
    assert_eq!(parser.at, tokens.len(), "not all of `{sql}` is understood");
    value
}

fn tokens(sql: &str) -> Vec<String> {
    let characters: Vec<char> = sql.chars().collect();
    let mut out = Vec::new();
    let mut i = 0;
    while i < characters.len() {
        let start = i;
        let c = characters[i];
        let word = |c: char| c.is_alphanumeric() || c == '_' || c == '.';
        if c.is_whitespace() {
            i += 1;
            continue;
        } else if c == '\'' {
            i += 1 + characters[i + 1..].iter().position(|c| *c == '\'').expect("a closed text") + 1;
        } else if word(c) {
            i += characters[i..].iter().take_while(|c| word(**c)).count();
        } else {
            let two: String = characters[i..].iter().take(2).collect();
            i += if ["<=", ">=", "<>", "||"].contains(&two.as_str()) { 2 } else { 1 };
        }
        out.push(characters[start..i].iter().collect());
    }
    out
}

struct Parser<'a> {
    sql: &'a str,
    tokens: &'a [String],
    at: usize,
    column: &'a dyn Fn(&str) -> Value,
}

impl Parser<'_> {
    fn take(&mut self, word: &str) -> bool {
        let there = self.tokens.get(self.at).is_some_and(|t| t.eq_ignore_ascii_case(word));
        self.at += there as usize;
        there
    }

    fn or(&mut self) -> Value {
        let mut left = self.and();
        while self.take("or") {
            let right = self.and();
            left = match (left, right) {
                (Value::Bool(true), _) | (_, Value::Bool(true)) => Value::Bool(true),
                (Value::Bool(false), Value::Bool(false)) => Value::Bool(false),
                _ => Value::Null,
            };
        }
        left
    }

    fn and(&mut self) -> Value {
        let mut left = self.not();
        while self.take("and") {
            let right = self.not();
            left = match (left, right) {
                (Value::Bool(false), _) | (_, Value::Bool(false)) => Value::Bool(false),
                (Value::Bool(true), Value::Bool(true)) => Value::Bool(true),
                _ => Value::Null,
            };
        }
        left
    }

    fn not(&mut self) -> Value {
        match self.take("not") {
            true => self.not().as_bool().map_or(Value::Null, |b| Value::Bool(!b)),
            false => self.comparison(),
        }
    }

    fn comparison(&mut self) -> Value {
        let left = self.sum();
        if self.take("is") {
            let negated = self.take("not");
            assert!(self.take("null"), "`is` without `null` in `{}`", self.sql);
            return Value::Bool(left.is_null() != negated);
        }
        for (sign, holds) in COMPARISONS {
            if self.take(sign) {
                let right = self.sum();
                let known = !left.is_null() && !right.is_null();
                return if known { Value::Bool(holds(compare(&left, &right))) } else { Value::Null };
            }
        }
        left
    }

    fn sum(&mut self) -> Value {
        let mut left = self.product();
        loop {
            let sign = ["+", "-", "||"].into_iter().find(|sign| self.take(sign));
            let Some(sign) = sign else { return left };
            let right = self.product();
            left = match sign {
                "||" => texts(&left, &right, |a, b| format!("{a}{b}")),
                "+" => integers(&left, &right, i64::checked_add),
                _ => integers(&left, &right, i64::checked_sub),
            };
        }
    }

    fn product(&mut self) -> Value {
        let mut left = self.atom();
        while self.take("*") {
            let right = self.atom();
            left = integers(&left, &right, i64::checked_mul);
        }
        left
    }

    fn atom(&mut self) -> Value {
        let token = self.tokens.get(self.at).unwrap_or_else(|| panic!("`{}` ends too early", self.sql)).clone();
        self.at += 1;
        if token == "(" {
            let value = self.or();
            assert!(self.take(")"), "`{}` is not closed", self.sql);
            return value;
        }
        if let Some(text) = token.strip_prefix('\'') {
            return Value::String(text.trim_end_matches('\'').to_string());
        }
        if token.starts_with(|c: char| c.is_ascii_digit()) {
            return serde_json::from_str(&token).expect("a number");
        }
        if !self.take("(") {
            return if token.eq_ignore_ascii_case("null") { Value::Null } else { (self.column)(&token) };
        }
        let argument = self.or();
        assert!(self.take(")"), "`{}` is not closed", self.sql);
        let change = |f: fn(&str) -> String| argument.as_str().map_or(Value::Null, |text| Value::String(f(text)));
        match token.to_ascii_lowercase().as_str() {
            "upper" => change(str::to_uppercase),
            "lower" => change(str::to_lowercase),
            other => panic!("the recomputation does not know `{other}`"),
        }
    }
}

type Holds = fn(Ordering) -> bool;

const COMPARISONS: [(&str, Holds); 6] = [
    ("=", Ordering::is_eq),
    ("<>", Ordering::is_ne),
    ("<=", Ordering::is_le),
    (">=", Ordering::is_ge),
    ("<", Ordering::is_lt),
    (">", Ordering::is_gt),
];

fn integers(a: &Value, b: &Value, f: fn(i64, i64) -> Option<i64>) -> Value {
    let (Some(a), Some(b)) = (a.as_i64(), b.as_i64()) else { return Value::Null };
    f(a, b).expect("no overflow in a case").into()
}

fn texts(a: &Value, b: &Value, f: fn(&str, &str) -> String) -> Value {
    let (Some(a), Some(b)) = (a.as_str(), b.as_str()) else { return Value::Null };
    f(a, b).into()
}
