//! Checks with a few rows whether the values of one table's columns are in another table.
//!
//! The first rows of the child are read, and their values are looked up in the parent by its unique key. So both reads are bounded, however
//! large the tables are. No value is returned.

use std::collections::BTreeSet;

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Error, Row, Value};

use super::quoting::{literal, quoted};
use crate::sources::{SurveyedColumn, ValueQuestion, ValueSample};
use crate::value::Type;

/// How many rows of the child are read.
const ROWS: usize = 1000;
/// How many different values are looked up.
const VALUES: usize = 200;

/// The answer; `None` if the rows cannot be read.
pub(super) async fn sample(conn: &mut Conn, question: &ValueQuestion) -> Option<ValueSample> {
    answer(conn, question).await.ok()
}

async fn answer(conn: &mut Conn, question: &ValueQuestion) -> Result<ValueSample, Error> {
    let children: Vec<&SurveyedColumn> = question.columns.iter().map(|(child, _)| child).collect();
    let parents: Vec<&SurveyedColumn> = question.columns.iter().map(|(_, parent)| parent).collect();
    let rows: Vec<Row> = conn.query(format!("SELECT {} FROM {} LIMIT {ROWS}", selected(&children), from(&question.child))).await?;
    let wanted: BTreeSet<Vec<String>> = rows.iter().filter_map(|row| texts(row, &children)).take(VALUES).collect();
    if wanted.is_empty() {
        return Ok(ValueSample::default());
    }
    let names: Vec<String> = parents.iter().map(|column| quoted(&column.name)).collect();
    let tuple = |values: &Vec<String>| {
        let values: Vec<String> = values.iter().zip(&parents).map(|(value, column)| constant(value, &column.ty)).collect();
        format!("({})", values.join(", "))
    };
    let tuples: Vec<String> = wanted.iter().map(tuple).collect();
    let query =
        format!("SELECT {} FROM {} WHERE ({}) IN ({})", selected(&parents), from(&question.parent), names.join(", "), tuples.join(", "));
    let rows: Vec<Row> = conn.query(query).await?;
    let held: BTreeSet<Vec<String>> = rows.iter().filter_map(|row| texts(row, &parents)).collect();
    let folded = |values: &[String]| values.iter().map(|value| value.to_lowercase()).collect::<Vec<String>>();
    let held_folded: BTreeSet<Vec<String>> = held.iter().map(|values| folded(values)).collect();
    let found = wanted.iter().filter(|values| held.contains(*values)).count() as u64;
    let in_any_case = wanted.iter().filter(|values| held_folded.contains(&folded(values))).count() as u64;
    Ok(ValueSample { values: wanted.len() as u64, found, alike: in_any_case - found })
}

fn from(path: &[String]) -> String {
    path.iter().map(|part| quoted(part)).collect::<Vec<_>>().join(".")
}

/// The columns, as texts in UTF-8 or as digits in hexadecimal.
fn selected(columns: &[&SurveyedColumn]) -> String {
    let one = |column: &&SurveyedColumn| match column.ty {
        Type::Text => format!("CONVERT({} USING utf8mb4)", quoted(&column.name)),
        Type::Binary => format!("HEX({})", quoted(&column.name)),
        _ => quoted(&column.name),
    };
    columns.iter().map(one).collect::<Vec<_>>().join(", ")
}

/// The values of a row; `None` if one is NULL or stands for none, or cannot be written as a constant.
fn texts(row: &Row, columns: &[&SurveyedColumn]) -> Option<Vec<String>> {
    let one = |(place, column): (usize, &&SurveyedColumn)| {
        let Some(Value::Bytes(bytes)) = row.as_ref(place) else { return None };
        let text = String::from_utf8(bytes.clone()).ok()?;
        match column.ty {
            Type::Text | Type::Binary => (!text.is_empty()).then_some(text),
            _ => number(&text),
        }
    };
    columns.iter().enumerate().map(one).collect()
}

/// The shortest form of a number that is not 0; ZEROFILL puts zeros in front.
fn number(text: &str) -> Option<String> {
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'-' | b'.')) && !text.is_empty();
    let short = text.trim_start_matches('0');
    (is_number && !short.is_empty()).then(|| short.to_string())
}

fn constant(value: &str, ty: &Type) -> String {
    match ty {
        Type::Text => literal(value),
        Type::Binary => format!("x'{value}'"),
        _ => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_numbers_become_constants_without_quotes() {
        assert_eq!(number("0007").as_deref(), Some("7"));
        assert_eq!(number("-12.50").as_deref(), Some("-12.50"));
        assert_eq!((number("0"), number(""), number("1; DROP TABLE t")), (None, None, None));
        assert_eq!(constant("it's", &Type::Text), "'it''s'");
        assert_eq!(constant("00FF", &Type::Binary), "x'00FF'");
    }
}
