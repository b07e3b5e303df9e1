//! Doubles as text in PostgreSQL's form: the shortest digits that identify the number, such as `1` and `1e+20`, for which DataFusion writes
//! `1.0` and `1e20`. Can be removed when DataFusion casts 1e0 to the text `1`.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, AsArray, StringArray};
use datafusion::arrow::datatypes::{DataType, Float32Type, Float64Type};
use datafusion::common::Result;
use datafusion::logical_expr::Expr;

use super::own_function::{Arguments, OwnFunction};

/// The cast from `from` to text, if `from` is a float.
pub(in crate::sql) fn to_text(double: &Expr, from: &DataType) -> Option<Expr> {
    matches!(from, DataType::Float32 | DataType::Float64).then(|| FUNCTION.call(vec![double.clone()]))
}

static FUNCTION: OwnFunction = OwnFunction {
    name: "text_of_double",
    takes: |types| Ok(types.to_vec()),
    gives: |_, _| Ok(DataType::Utf8),
    compute: write,
    shown: Some(|arguments| arguments[0].schema_name().to_string()),
};

fn write(arguments: &Arguments) -> Result<ArrayRef> {
    let array = &arguments.arrays[0];
    // Numbers with up to this many digits before the point have no exponent: FLT_DIG and DBL_DIG of C.
    let texts: StringArray = match array.data_type() {
        DataType::Float32 => {
            array.as_primitive::<Float32Type>().iter().map(|value| value.map(|value| text(format!("{value:e}"), 6))).collect()
        }
        _ => array.as_primitive::<Float64Type>().iter().map(|value| value.map(|value| text(format!("{value:e}"), 15))).collect(),
    };
    Ok(Arc::new(texts))
}

/// Converts a text such as `1.25e-7`.
fn text(scientific: String, most_digits: i32) -> String {
    let parts = scientific.split_once('e').and_then(|(mantissa, exponent)| Some((mantissa, exponent.parse::<i32>().ok()?)));
    let Some((mantissa, exponent)) = parts else { return scientific.replace("inf", "Infinity") };
    if !(-4..most_digits).contains(&exponent) {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{mantissa}e{sign}{:02}", exponent.abs());
    }
    let (sign, digits) = match mantissa.strip_prefix('-') {
        Some(rest) => ("-", rest.replace('.', "")),
        None => ("", mantissa.replace('.', "")),
    };
    if exponent < 0 {
        return format!("{sign}0.{}{digits}", "0".repeat(-exponent as usize - 1));
    }
    let before = exponent as usize + 1;
    match digits.len() <= before {
        true => format!("{sign}{digits}{}", "0".repeat(before - digits.len())),
        false => format!("{sign}{}.{}", &digits[..before], &digits[before..]),
    }
}
