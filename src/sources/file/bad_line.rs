//! A line that cannot be read. It is either left out and reported, or stops the source.

use std::fmt::{self, Display, Formatter};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::sources::{Rejected, SourceError};

/// How bad lines are handled.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum BadLines {
    #[default]
    Quarantine,
    Stop,
}

impl BadLines {
    /// Returns the report of a line that is left out. Fails if the source must stop at it.
    pub(super) fn set_aside(self, bad: BadLine, table: Option<&str>) -> Result<Rejected, SourceError> {
        match self {
            BadLines::Quarantine if !bad.and_the_rest => Ok(bad.rejected(table)),
            _ => Err(bad.stop()),
        }
    }
}

/// The position and the cause of a bad line: file, line, column and what was expected, never the value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct BadLine {
    path: PathBuf,
    line: u64,
    column: Option<String>,
    what: String,
    and_the_rest: bool,
}

impl BadLine {
    /// A bad line; the lines after it can still be read.
    pub(super) fn new(path: &Path, line: u64, what: impl Into<String>) -> BadLine {
        BadLine { path: path.into(), line, column: None, what: what.into(), and_the_rest: false }
    }

    /// A bad line after which the rest of the file cannot be trusted, so the source always stops at it.
    pub(super) fn of_the_rest(path: &Path, line: u64, what: impl Into<String>) -> BadLine {
        BadLine { and_the_rest: true, ..BadLine::new(path, line, what) }
    }

    /// A bad line whose error is in this column.
    pub(super) fn of_column(path: &Path, line: u64, column: &str, what: &dyn Display) -> BadLine {
        BadLine { column: Some(column.into()), ..BadLine::new(path, line, what.to_string()) }
    }

    pub(super) fn line(&self) -> u64 {
        self.line
    }

    /// Converts it to an error that stops the source.
    pub(super) fn stop(self) -> SourceError {
        SourceError::Stopped { message: self.to_string(), help: None }
    }

    fn rejected(&self, table: Option<&str>) -> Rejected {
        Rejected { table: table.map(String::from), place: self.place(), reason: self.reason() }
    }

    fn place(&self) -> String {
        format!("{}, line {}", self.path.display(), self.line)
    }

    fn reason(&self) -> String {
        match &self.column {
            Some(column) => format!("column `{column}`: {}", self.what),
            None => self.what.clone(),
        }
    }
}

impl Display for BadLine {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let separator = if self.column.is_some() { "," } else { ":" };
        write!(f, "{}{separator} {}", self.place(), self.reason())
    }
}
