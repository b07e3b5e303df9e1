//! Plain text to values and back: CSV fields, keys typed on the command line.
//!
//! In: the text of one value, never NULL (the caller recognizes NULL). Out: the next column of a [`RowBuilder`]. Binary is base64; struct,
//! list and JSON columns are JSON; any other type has the form that `super::json` writes, without quotes. Nothing is rounded or truncated:
//! a value that does not fit its type is a [`ParseError`].

use super::scalar::{ParseError, push_scalar};
use super::{Datum, RowBuilder, Type, json};

const NOT_JSON: &str = "it is not JSON";

/// Pushes `text` as the next column of `builder`. After an error nothing was pushed: call [`RowBuilder::clear`] or push another value.
pub fn push_text(builder: &mut RowBuilder, text: &str) -> Result<(), ParseError> {
    match builder.next_type() {
        Type::Json | Type::Struct(_) | Type::List(_) => push_json_text(builder, text),
        _ => push_scalar(builder, text),
    }
}

/// Appends the text that [`push_text`] reads. NULL appends nothing.
pub fn write_text(ty: &Type, datum: Datum, out: &mut Vec<u8>) {
    match datum {
        Datum::Null => {}
        Datum::Text(text) => out.extend_from_slice(text.as_bytes()),
        Datum::Float32(_)
        | Datum::Float64(_)
        | Datum::Date(_)
        | Datum::DateTime(_)
        | Datum::Timestamp(_)
        | Datum::Time(_)
        | Datum::Binary(_) => {
            let start = out.len();
            json::write_datum(ty, datum, out);
            if out[start] == b'"' {
                out.remove(start);
                out.pop();
            }
        }
        other => json::write_datum(ty, other, out),
    }
}

fn push_json_text(builder: &mut RowBuilder, text: &str) -> Result<(), ParseError> {
    match serde_json::from_str(text) {
        Ok(value) => json::push_json(builder, &value),
        Err(_) => Err(ParseError::new(builder.next_type(), NOT_JSON)),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::arbitrary::{self, RowSource};
    use super::super::{Column, Layout, Schema};
    use super::*;

    proptest! {
        #[test]
        fn a_value_comes_back_from_its_text(ty in arbitrary::any_type(), seed: u64) {
            let layout = Layout::new(&Schema::new(vec![Column::new("c", ty, false)]));
            let row = RowSource::new(seed).row(&layout);
            let mut text = Vec::new();
            write_text(&layout.schema().columns()[0].ty, layout.get(&row, 0), &mut text);
            let text = String::from_utf8(text)?;
            let mut builder = RowBuilder::new(&layout);
            push_text(&mut builder, &text)?;
            prop_assert_eq!(builder.finish(), row, "{}", text);
        }
    }

    fn refused(ty: &str, text: &str) -> String {
        let layout = Layout::new(&Schema::new(vec![Column::new("c", ty.parse().unwrap(), true)]));
        let mut builder = RowBuilder::new(&layout);
        let error = push_text(&mut builder, text).unwrap_err().to_string();
        builder.push(Datum::Null);
        assert!(layout.is_null(&builder.finish(), 0), "nothing was pushed");
        error
    }

    #[test]
    fn what_is_not_of_the_type_is_refused() {
        assert_eq!(refused("int32", ""), "expected int32, but it is not a whole number");
        assert_eq!(refused("int32", "1.0"), "expected int32, but it is not a whole number");
        assert_eq!(refused("uint64", "18446744073709551616"), "expected uint64, but it is out of range");
        assert_eq!(refused("int64", "-9223372036854775809"), "expected int64, but it is out of range");
        assert_eq!(refused("float64", "1e999"), "expected float64, but it is out of range");
        assert_eq!(refused("float32", "x"), "expected float32, but it is not a number");
        assert_eq!(refused("bool", "yes"), "expected bool, but it is neither true nor false");
        assert_eq!(refused("binary", "*"), "expected binary, but it is not base64");
        assert_eq!(refused("json", "{"), "expected json, but it is not JSON");
        assert_eq!(refused("date", "2017-02-29"), "expected date, but the calendar has no such day");
    }
}
