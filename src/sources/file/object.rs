//! Parses the JSON object of a line and refuses duplicate names at any depth.
//!
//! A parser that keeps the last of two equal names would lose a value silently.

use std::cell::RefCell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use super::Object;

/// Returns the object of a line, or what is wrong with the line. A byte order mark before it is skipped, because a program may write one
/// whenever it opens a file.
pub(super) fn object(text: &[u8]) -> Result<Object, String> {
    let text = text.strip_prefix(super::chunks::BYTE_ORDER_MARK).unwrap_or(text);
    let twice = RefCell::new(None);
    let mut reader = serde_json::Deserializer::from_slice(text);
    let value = Once { twice: &twice }.deserialize(&mut reader);
    match value.and_then(|value| reader.end().map(|()| value)) {
        Ok(Value::Object(object)) => Ok(object),
        _ => Err(match twice.take() {
            Some(name) => format!("`{name}` occurs twice in an object"),
            None => "it is not a JSON object".into(),
        }),
    }
}

/// Deserializes a value and fails if an object has a name twice; `twice` then has the name.
#[derive(Clone, Copy)]
struct Once<'t> {
    twice: &'t RefCell<Option<String>>,
}

/// `serde_json` passes numbers other than 64-bit integers to foreign visitors as a map with this one name and all their digits.
const NUMBER: &str = "$serde_json::private::Number";

impl<'de> DeserializeSeed<'de> for Once<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Once<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(Value::String(text.into()))
    }

    fn visit_string<E>(self, text: String) -> Result<Value, E> {
        Ok(Value::String(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut all = Vec::new();
        while let Some(item) = items.next_element_seed(self)? {
            all.push(item);
        }
        Ok(Value::Array(all))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(name) = fields.next_key::<String>()? {
            if name == NUMBER {
                let digits: String = fields.next_value()?;
                return digits.parse::<Number>().map(Value::Number).map_err(A::Error::custom);
            }
            let value = fields.next_value_seed(self)?;
            if object.contains_key(&name) {
                self.twice.replace(Some(name));
                return Err(A::Error::custom("a name occurs twice in an object"));
            }
            object.insert(name, value);
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read_as_the_library_reads_it() {
        for text in [
            "{}",
            r#" {"a": null, "b": [true, false, "x\u00fc\n", {}, []], "c": {"d": {"a": 1}}} "#,
            r#"{"n": [0, -0, 1e3, 1.50, 123456789012345678901234567890.123456789, -7, 1E-400]}"#,
            "{\"a\": 1}\r\n",
        ] {
            assert_eq!(object(text.as_bytes()).unwrap(), serde_json::from_str::<Object>(text).unwrap(), "{text}");
        }
        for text in
            ["", "[]", "1", "null", "\"a\"", "{\"a\": 1} x", "{\"a\": 1}{}", "{\"a\": 1", "{\"a\": 01}", "{a: 1}", "\u{feff}\u{feff}{}"]
        {
            assert_eq!(object(text.as_bytes()).unwrap_err(), "it is not a JSON object", "{text}");
        }
        assert_eq!(object("\u{feff}{\"a\": 1}".as_bytes()).unwrap().len(), 1);
    }

    #[test]
    fn a_name_that_stands_twice_is_told_at_whatever_depth() {
        for text in [
            r#"{"id": 1, "id": 2}"#,
            r#"{"id": 1, "a": 2, "id": 1}"#,
            r#"{"a": {"id": 1, "id": 1}}"#,
            r#"{"a": [1, {"b": {"id": [], "id": null}}]}"#,
            r#"{"id": 1, "\u0069d": 2}"#,
        ] {
            assert_eq!(object(text.as_bytes()).unwrap_err(), "`id` occurs twice in an object", "{text}");
        }
    }
}
