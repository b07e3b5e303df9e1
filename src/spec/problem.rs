//! Problems of a spec file, displayed with the line, the underlined place and how to fix it.

use std::fmt::{Display, Formatter, Result};
use std::sync::Arc;

use super::span::Span;
use super::text::Text;

/// One problem of a spec.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    pub(super) at: Option<Span>,
    /// The place in another file that the spec names at `at`, if the problem is there.
    pub(super) in_file: Option<Box<(Arc<Text>, Span)>>,
    pub message: String,
    /// A few words next to the underlined place.
    pub label: Option<String>,
    pub help: Option<String>,
}

/// All problems of one spec file, in the order of the file. Displays as the text for the user; never shows a secret.
#[derive(Debug, Clone)]
pub struct Problems {
    text: Arc<Text>,
    pub list: Vec<Problem>,
}

impl Problem {
    pub(super) fn new(at: Span, message: impl Into<String>) -> Problem {
        Problem { at: Some(at), in_file: None, message: message.into(), label: None, help: None }
    }

    pub(super) fn help(mut self, help: impl Into<String>) -> Problem {
        self.help = Some(help.into());
        self
    }

    pub(super) fn label(mut self, label: impl Into<String>) -> Problem {
        self.label = Some(label.into());
        self
    }

    /// A problem with the file as a whole.
    pub(super) fn of_file(message: impl Into<String>) -> Problem {
        Problem { at: None, in_file: None, message: message.into(), label: None, help: None }
    }
}

impl Problems {
    pub(super) fn new(text: Arc<Text>, mut list: Vec<Problem>) -> Problems {
        list.sort_by_key(|p| p.at);
        list.dedup();
        Problems { text, list }
    }

    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }
}

impl std::error::Error for Problems {}

impl Display for Problems {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        for (i, problem) in self.list.iter().enumerate() {
            if i > 0 {
                writeln!(f)?;
            }
            one(f, problem, &self.text)?;
        }
        Ok(())
    }
}

fn one(f: &mut Formatter<'_>, problem: &Problem, text: &Text) -> Result {
    writeln!(f, "error: {}", problem.message)?;
    let (text, at) = match &problem.in_file {
        Some(place) => (&*place.0, Some(place.1)),
        None => (text, problem.at),
    };
    match at {
        None => writeln!(f, "  --> {}", text.name)?,
        Some(at) => {
            let (line, carets) = text.underlined(at);
            let label = problem.label.as_ref().map(|l| format!(" {l}")).unwrap_or_default();
            writeln!(f, "  --> {}:{}:{}", text.name, at.line + 1, at.column + 1)?;
            writeln!(f, "   | {line}")?;
            writeln!(f, "   | {carets}{label}")?;
        }
    }
    match &problem.help {
        Some(help) => writeln!(f, "   = help: {help}"),
        None => Ok(()),
    }
}
