//! Infers the type of a column from all of its values.
//!
//! It is the first of these types that fits every value except NULLs: `bool` (true, false), `int64`, `decimal` (digits with a point; 18
//! digits if they suffice, else 38), `float64` (with an exponent), `date`, `datetime`, `timestamp` (with a zone); else `text`. Digits with a
//! leading zero or a plus are text (postal codes, telephone numbers), and so is a column without values. In JSON a string is never a number
//! or a bool, and a column of objects, arrays or mixed values is `json`.

use serde_json::Value;

use crate::value::{Type, temporal};

/// Which types fit all values seen so far.
#[derive(Debug, Clone)]
pub(super) struct Guess {
    any: bool,
    boolean: bool,
    int: bool,
    decimal: bool,
    number: bool,
    date: bool,
    datetime: bool,
    timestamp: bool,
    /// Whether some number has an exponent.
    exponent: bool,
    /// The maximum number of digits before and after the point.
    whole: usize,
    scale: usize,
    /// The maximum number of digits of a second's fraction.
    fsp: usize,
}

impl Default for Guess {
    fn default() -> Guess {
        Guess {
            any: false,
            boolean: true,
            int: true,
            decimal: true,
            number: true,
            date: true,
            datetime: true,
            timestamp: true,
            exponent: false,
            whole: 0,
            scale: 0,
            fsp: 0,
        }
    }
}

impl Guess {
    /// Adds a value, which must not be NULL.
    pub(super) fn see(&mut self, text: &[u8]) {
        self.any = true;
        self.boolean = self.boolean && (text.eq_ignore_ascii_case(b"true") || text.eq_ignore_ascii_case(b"false"));
        if self.number {
            self.see_number(text);
        }
        self.see_time(text);
    }

    fn see_number(&mut self, text: &[u8]) {
        let Some(number) = NumberShape::read(text) else {
            (self.int, self.decimal, self.number) = (false, false, false);
            return;
        };
        let digits = std::str::from_utf8(text).expect("a number is ASCII");
        self.int = self.int && number.scale.is_none() && !number.exponent && digits.parse::<i64>().is_ok();
        self.whole = self.whole.max(number.whole);
        self.scale = self.scale.max(number.scale.unwrap_or(0));
        self.exponent = self.exponent || number.exponent;
        self.decimal = self.decimal && !number.exponent && self.whole + self.scale <= 38;
    }

    fn see_time(&mut self, text: &[u8]) {
        self.date = self.date && text.len() == 10 && temporal::parse_date(text).is_ok();
        if !self.datetime && !self.timestamp {
            return;
        }
        let long = text.len() >= 19;
        let datetime = long && temporal::parse_datetime(text, 6).is_ok();
        self.timestamp = self.timestamp && long && !datetime && temporal::parse_timestamp(text, 6).is_ok();
        self.datetime = self.datetime && datetime;
        if let Some(point) = text.iter().position(|b| *b == b'.') {
            self.fsp = self.fsp.max(text[point + 1..].iter().take_while(|b| b.is_ascii_digit()).count());
        }
    }

    /// The first type that fits all values seen.
    pub(super) fn ty(&self) -> Type {
        let fsp = self.fsp.min(6) as u8;
        match self {
            Guess { any: false, .. } => Type::Text,
            Guess { boolean: true, .. } => Type::Bool,
            Guess { int: true, .. } => Type::Int64,
            Guess { decimal: true, .. } => {
                let precision = if self.whole + self.scale <= 18 { 18 } else { 38 };
                Type::Decimal { precision, scale: self.scale as u8 }
            }
            Guess { number: true, exponent: true, .. } => Type::Float64,
            Guess { date: true, .. } => Type::Date,
            Guess { datetime: true, .. } => Type::DateTime { fsp },
            Guess { timestamp: true, .. } => Type::Timestamp { fsp },
            _ => Type::Text,
        }
    }
}

/// The shape of a number's text.
struct NumberShape {
    /// Digits before the point.
    whole: usize,
    /// Digits after the point, if there is one.
    scale: Option<usize>,
    exponent: bool,
}

impl NumberShape {
    /// Accepts `-12`, `0.5`, `1e-9`; not `012`, `+1`, `.5`, `1.`.
    fn read(text: &[u8]) -> Option<NumberShape> {
        let digits = |text: &[u8]| text.iter().take_while(|b| b.is_ascii_digit()).count();
        let text = text.strip_prefix(b"-").unwrap_or(text);
        let whole = digits(text);
        if whole == 0 || whole > 1 && text[0] == b'0' {
            return None;
        }
        let mut rest = &text[whole..];
        let mut scale = None;
        if let Some(fraction) = rest.strip_prefix(b".") {
            let count = digits(fraction);
            if count == 0 {
                return None;
            }
            scale = Some(count);
            rest = &fraction[count..];
        }
        let exponent = matches!(rest, [b'e' | b'E', ..]);
        if exponent {
            rest = rest[1..].strip_prefix(b"-").or_else(|| rest[1..].strip_prefix(b"+")).unwrap_or(&rest[1..]);
            let count = digits(rest);
            if count == 0 {
                return None;
            }
            rest = &rest[count..];
        }
        rest.is_empty().then_some(NumberShape { whole, scale, exponent })
    }
}

/// Like [`Guess`], for JSON values.
#[derive(Debug, Clone, Default)]
pub(super) struct JsonGuess {
    bools: bool,
    nested: bool,
    numbers: Option<Guess>,
    strings: Option<Guess>,
}

impl JsonGuess {
    pub(super) fn see(&mut self, value: &Value) {
        match value {
            Value::Null => {}
            Value::Bool(_) => self.bools = true,
            Value::Number(number) => self.numbers.get_or_insert_default().see(number.as_str().as_bytes()),
            Value::String(text) => self.strings.get_or_insert_default().see(text.as_bytes()),
            Value::Array(_) | Value::Object(_) => self.nested = true,
        }
    }

    pub(super) fn ty(&self) -> Type {
        match (self.bools, self.nested, &self.numbers, &self.strings) {
            (false, false, None, None) => Type::Text,
            (true, false, None, None) => Type::Bool,
            (false, false, Some(numbers), None) => numbers.ty(),
            (false, false, None, Some(strings)) => match strings.ty() {
                time @ (Type::Date | Type::DateTime { .. } | Type::Timestamp { .. }) => time,
                _ => Type::Text,
            },
            _ => Type::Json,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guessed(values: &[&str]) -> String {
        let mut guess = Guess::default();
        values.iter().for_each(|value| guess.see(value.as_bytes()));
        guess.ty().to_string()
    }

    #[test]
    fn the_narrowest_type_that_fits_all_values() {
        for (values, ty) in [
            (&[][..], "text"),
            (&["true", "FALSE"], "bool"),
            (&["true", "1"], "text"),
            (&["0", "-7", "9223372036854775807"], "int64"),
            (&["9223372036854775808"], "decimal(38,0)"),
            (&["12.5", "3", "-0.125"], "decimal(18,3)"),
            (&["123456789012345678.5"], "decimal(38,1)"),
            (&["12.5", "1e3"], "float64"),
            (&["123456789012345678901234567890123456789"], "text"),
            (&["1", "x"], "text"),
            (&["2017-10-02"], "date"),
            (&["2017-10-02", "2017-02-30"], "text"),
            (&["2017-10-02 10:56:33", "2017-10-02T10:56:33.25"], "datetime(2)"),
            (&["2017-10-02", "2017-10-02 10:56:33"], "text"),
            (&["2017-10-02T10:56:33Z", "2017-10-02T10:56:33.125+02:00"], "timestamp(3)"),
            (&["2017-10-02T10:56:33Z", "2017-10-02T10:56:33"], "text"),
        ] {
            assert_eq!(guessed(values), ty, "of {values:?}");
        }
    }

    #[test]
    fn digits_that_are_not_a_number_stay_text() {
        for value in ["01151", "+4912", "1.", ".5", "-", "1e", "007.5", "1 000", "0x1f", "NaN"] {
            assert_eq!(guessed(&["1", value]), "text", "of {value}");
        }
    }

    #[test]
    fn json_strings_are_not_numbers_and_unlike_values_are_json() {
        let guessed = |values: &str| {
            let mut guess = JsonGuess::default();
            let Value::Array(values) = serde_json::from_str(values).unwrap() else { unreachable!() };
            values.iter().for_each(|value| guess.see(value));
            guess.ty().to_string()
        };
        assert_eq!(guessed("[null]"), "text");
        assert_eq!(guessed("[1, 2.50]"), "decimal(18,2)");
        assert_eq!(guessed("[\"1\", \"2\"]"), "text");
        assert_eq!(guessed("[true, null, false]"), "bool");
        assert_eq!(guessed("[\"true\"]"), "text");
        assert_eq!(guessed("[\"2017-10-02\"]"), "date");
        assert_eq!(guessed("[{\"a\": 1}, null]"), "json");
        assert_eq!(guessed("[1, \"1\"]"), "json");
    }
}
