//! The order of JSON values, as documents order them: NULL first, numbers by value, text by its bytes.

use std::cmp::Ordering;

use serde_json::Value;

pub(crate) fn compare(a: &Value, b: &Value) -> Ordering {
    match (a, b) {
        (Value::Null, Value::Null) => Ordering::Equal,
        (Value::Null, _) => Ordering::Less,
        (_, Value::Null) => Ordering::Greater,
        (Value::Bool(a), Value::Bool(b)) => a.cmp(b),
        (Value::Number(a), Value::Number(b)) => compare_numbers(&a.to_string(), &b.to_string()),
        (Value::String(a), Value::String(b)) => a.as_bytes().cmp(b.as_bytes()),
        (Value::Array(a), Value::Array(b)) => {
            let items = a.iter().zip(b).map(|(a, b)| compare(a, b));
            items.chain([a.len().cmp(&b.len())]).find(|o| o.is_ne()).unwrap_or(Ordering::Equal)
        }
        _ => panic!("values of unlike types are compared"),
    }
}

fn compare_numbers(a: &str, b: &str) -> Ordering {
    match (Scaled::read(a), Scaled::read(b)) {
        (Some(a), Some(b)) => {
            let scale = a.scale.max(b.scale);
            a.at(scale).cmp(&b.at(scale))
        }
        _ => a.parse::<f64>().unwrap().total_cmp(&b.parse::<f64>().unwrap()),
    }
}

/// A decimal number, exactly.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Scaled {
    pub(crate) digits: i128,
    pub(crate) scale: u32,
}

impl Scaled {
    /// `None` for what has an exponent or too many digits.
    pub(crate) fn read(text: &str) -> Option<Scaled> {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        Some(Scaled { digits: format!("{whole}{fraction}").parse().ok()?, scale: fraction.len() as u32 })
    }

    pub(crate) fn at(self, scale: u32) -> i128 {
        self.digits * 10_i128.pow(scale - self.scale)
    }

    pub(crate) fn number(self) -> Value {
        let sign = if self.digits < 0 { "-" } else { "" };
        let digits = format!("{:0width$}", self.digits.unsigned_abs(), width = self.scale as usize + 1);
        let (whole, fraction) = digits.split_at(digits.len() - self.scale as usize);
        let point = if fraction.is_empty() { "" } else { "." };
        serde_json::from_str(&format!("{sign}{whole}{point}{fraction}")).expect("a number")
    }
}
