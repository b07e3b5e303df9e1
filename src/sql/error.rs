//! Errors of expressions: why one does not compile, and why one fails on a row. They contain no row values.

use std::ops::Range;

use datafusion::arrow::error::ArrowError;
use datafusion::common::{DataFusionError, SchemaError};
use datafusion::sql::sqlparser::tokenizer::{Location, Span};

use crate::value::ParseError;

/// Why an expression or a query is wrong, and where in its text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct SqlError {
    pub message: String,
    /// The wrong bytes of the text, if known.
    pub span: Option<Range<usize>>,
    /// A larger part of the text that contains the error, for use if `span` is not known.
    pub(super) around: Option<Range<usize>>,
    pub help: Option<String>,
    /// The planner did not find a name, or cannot turn a correlated subquery into a join.
    misses_name: bool,
}

/// Why an expression failed on a row (overflow, division by zero, invalid cast). Contains the reason, not the values.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct EvaluationError {
    pub reason: String,
}

impl SqlError {
    pub(crate) fn new(message: impl Into<String>) -> SqlError {
        SqlError { message: message.into(), span: None, around: None, help: None, misses_name: false }
    }

    pub(crate) fn at(self, span: Option<Range<usize>>) -> SqlError {
        SqlError { span, ..self }
    }

    pub(crate) fn not_a_join() -> SqlError {
        SqlError::new("this subquery cannot be made a join").help("join with it, or make it a view of its own")
    }

    /// The error after all names were resolved: a missing name then means that a subquery could not be made a join.
    pub(super) fn once_resolved(self) -> SqlError {
        if self.misses_name { SqlError::not_a_join() } else { self }
    }

    pub(crate) fn inside(self, around: Option<Range<usize>>) -> SqlError {
        SqlError { around: self.around.or(around), ..self }
    }

    pub(crate) fn help(self, help: impl Into<String>) -> SqlError {
        SqlError { help: Some(help.into()), ..self }
    }

    /// DataFusion's message about a definition, in one line. Definitions contain no row values.
    pub(crate) fn of_definition(error: &DataFusionError) -> SqlError {
        let message = match error.find_root() {
            DataFusionError::Plan(message) | DataFusionError::NotImplemented(message) | DataFusionError::Execution(message) => {
                message.clone()
            }
            DataFusionError::SQL(parser, _) => {
                let text = parser.to_string();
                text.strip_prefix("sql parser error: ").unwrap_or(&text).to_string()
            }
            other => other.strip_backtrace(),
        };
        let message = ["Schema error: ", "Internal error: "].iter().find_map(|kind| message.strip_prefix(kind)).unwrap_or(&message);
        let message = message.split_once("user-defined coercion failed with: ").map_or(message, |(_, why)| why);
        let message =
            ["Error during planning: ", "Execution error: "].iter().find_map(|kind| message.strip_prefix(kind)).unwrap_or(message);
        // Cut off lists of attempts, and syntax trees.
        let message = [", errors: ", " { expr: ", ". No function matches the given name"]
            .iter()
            .fold(message, |message, rest| message.split(rest).next().unwrap_or(message));
        let misses_name = match error.find_root() {
            DataFusionError::SchemaError(wrong, _) => matches!(**wrong, SchemaError::FieldNotFound { .. }),
            DataFusionError::Plan(message) => message.starts_with("Correlated "),
            _ => false,
        };
        SqlError { misses_name, ..SqlError::new(message.lines().next().unwrap_or_default().trim()) }
    }
}

impl From<DataFusionError> for EvaluationError {
    fn from(error: DataFusionError) -> EvaluationError {
        let reason = match error.find_root() {
            DataFusionError::ArrowError(arrow, _) => match arrow.as_ref() {
                ArrowError::DivideByZero => "division by zero".to_string(),
                ArrowError::ArithmeticOverflow(_) => "a number became too large for its type".to_string(),
                ArrowError::CastError(message) => without_values(message),
                other => without_values(&other.to_string()),
            },
            DataFusionError::Execution(message) => without_values(message),
            other => without_values(&other.strip_backtrace()),
        };
        EvaluationError { reason }
    }
}

impl From<ParseError> for EvaluationError {
    fn from(error: ParseError) -> EvaluationError {
        EvaluationError { reason: error.to_string() }
    }
}

/// The first line of a message, with quoted parts and numbers replaced, because they may be row values.
fn without_values(message: &str) -> String {
    let line = message.lines().next().unwrap_or_default();
    let mut text = line.to_string();
    for quote in ['\'', '"', '`'] {
        // From the first to the last quote, because a value may contain quotes.
        if let (Some(first), Some(last)) = (text.find(quote), text.rfind(quote))
            && first < last
        {
            text.replace_range(first..=last, "…");
        }
    }
    let (mut out, mut after_letter) = (String::with_capacity(text.len()), false);
    for c in text.chars() {
        match c.is_ascii_digit() && !after_letter {
            true if out.ends_with('…') => {}
            true => out.push('…'),
            false => {
                out.push(c);
                after_letter = c.is_alphanumeric();
            }
        }
    }
    out
}

/// The schema error inside a planner error, if there is one.
pub(super) fn schema_error(error: &DataFusionError) -> Option<&SchemaError> {
    match error.find_root() {
        DataFusionError::SchemaError(wrong, _) => Some(wrong),
        _ => None,
    }
}

/// Converts a planner error, with its place in the text and its help.
pub(super) fn planned_wrong(text: &str, error: &DataFusionError) -> SqlError {
    let span = error.diagnostic().and_then(|diagnostic| diagnostic.span).and_then(|span| bytes_of(text, parsed_span(span)));
    let help = error.diagnostic().and_then(|diagnostic| diagnostic.helps.first()).map(|help| help.message.clone());
    let described = SqlError::of_definition(error);
    SqlError { span, help: help.or(described.help.clone()), ..described }
}

/// The bytes of `text` that a parser's span covers. Lines and columns count from 1, in characters; the end is exclusive.
pub(super) fn bytes_of(text: &str, span: Span) -> Option<Range<usize>> {
    let (start, end) = (byte_of(text, span.start)?, byte_of(text, span.end)?);
    (start < end).then(|| start..with_closing_parentheses(text, start, end))
}

/// Converts a span of a plan to a span of the parser.
pub(super) fn parsed_span(span: datafusion::common::Span) -> Span {
    let place = |at: datafusion::common::Location| Location { line: at.line, column: at.column };
    Span { start: place(span.start), end: place(span.end) }
}

/// Extends a span over closing parentheses, because the parser's span of a call ends before its `)`.
fn with_closing_parentheses(text: &str, start: usize, mut end: usize) -> usize {
    let count = |c: char, end: usize| text[start..end].matches(c).count();
    while count('(', end) > count(')', end)
        && let rest = text[end..].trim_start()
        && rest.starts_with(')')
    {
        end = text.len() - rest.len() + 1;
    }
    end
}

pub(super) fn byte_of(text: &str, location: Location) -> Option<usize> {
    let (line, column) = (location.line.checked_sub(1)? as usize, location.column.checked_sub(1)? as usize);
    let line_start: usize = text.split_inclusive('\n').take(line).map(str::len).sum();
    let rest = &text[line_start..];
    Some(line_start + rest.char_indices().nth(column).map_or(rest.len(), |(at, _)| at))
}

/// The candidate that `name` most likely meant: equal except for case, or a few letters different.
pub(super) fn nearest<'a>(name: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let lower = name.to_lowercase();
    let allowed = (name.chars().count() / 3).max(1);
    candidates
        .map(|candidate| (strsim::osa_distance(&lower, &candidate.to_lowercase()), candidate))
        .filter(|(distance, _)| *distance <= allowed)
        .min()
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_have_no_values() {
        let text = without_values("Cannot cast string 'it's 5' to value of Int32 type");
        assert_eq!(text, "Cannot cast string … to value of Int32 type");
        assert_eq!(without_values("Overflow happened on: 9223372036854775807 + 1"), "Overflow happened on: … + …");
    }
}
