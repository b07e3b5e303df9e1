//! The problems of one view, collected while it is lowered.

use crate::plan::problem::ViewProblem;
use crate::plan::written::{Place, Written};
use crate::sql::SqlError;

/// The problems of one view found so far.
pub(super) struct ViewProblems {
    pub view: String,
    pub list: Vec<ViewProblem>,
}

impl ViewProblems {
    /// Reports a problem.
    pub(super) fn say(&mut self, at: Place, message: impl Into<String>, label: Option<String>, help: Option<String>) {
        let (view, message) = (self.view.clone(), message.into());
        self.list.push(ViewProblem { view, at, within: None, message, label, help });
    }

    /// Returns what was compiled, or reports the error with its place in the SQL text.
    pub(super) fn sql<T>(&mut self, written: &Written<String>, compiled: Result<T, SqlError>) -> Option<T> {
        match compiled {
            Ok(compiled) => Some(compiled),
            Err(error) => {
                self.say(written.at, error.message, None, error.help);
                if let Some(problem) = self.list.last_mut() {
                    problem.within = error.span;
                }
                None
            }
        }
    }
}
