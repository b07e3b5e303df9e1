//! How a command fails: the text that it prints, and the exit code.

use std::io::Write;
use std::process::ExitCode;

use super::discover::Unreachable;
use crate::run::RunError;
use crate::serve::{AccessError, AccessErrorKind};
use crate::spec::Problems;

#[derive(Debug)]
pub(super) struct CommandError {
    /// The text to print; empty if everything was printed already.
    text: String,
    code: u8,
}

pub(super) const RUNNING: u8 = 1;
pub(super) const WRONG: u8 = 2;
const NOT_FOUND: u8 = 3;

impl CommandError {
    /// An error while running: exit code 1.
    pub(super) fn running(message: impl Into<String>, help: Option<String>) -> CommandError {
        CommandError { text: plain(&message.into(), help), code: RUNNING }
    }

    /// An error in the command or the spec: exit code 2.
    pub(super) fn wrong(message: impl Into<String>, help: Option<String>) -> CommandError {
        CommandError { text: plain(&message.into(), help), code: WRONG }
    }

    /// Only an exit code: everything was printed already.
    pub(super) fn said(code: u8) -> CommandError {
        CommandError { text: String::new(), code }
    }

    pub(super) fn text(&self) -> &str {
        self.text.trim_end()
    }

    pub(super) fn report(self) -> ExitCode {
        if self.text.is_empty() {
            return ExitCode::from(self.code);
        }
        let _ = writeln!(std::io::stderr(), "{}", self.text());
        ExitCode::from(self.code)
    }
}

fn plain(message: &str, help: Option<String>) -> String {
    match help {
        Some(help) => format!("error: {message}\n   = help: {help}"),
        None => format!("error: {message}"),
    }
}

impl From<Problems> for CommandError {
    fn from(problems: Problems) -> CommandError {
        CommandError { text: problems.to_string(), code: WRONG }
    }
}

impl From<Unreachable> for CommandError {
    fn from(Unreachable { source, reason, help }: Unreachable) -> CommandError {
        CommandError::running(format!("source `{source}`: {reason}"), help)
    }
}

impl From<RunError> for CommandError {
    fn from(error: RunError) -> CommandError {
        CommandError::running(error.to_string(), error.help())
    }
}

impl From<AccessError> for CommandError {
    fn from(error: AccessError) -> CommandError {
        let code = match error.kind {
            AccessErrorKind::NotFound => NOT_FOUND,
            AccessErrorKind::Invalid => WRONG,
            AccessErrorKind::Failed | AccessErrorKind::CutOff => RUNNING,
        };
        CommandError { text: plain(&error.message, error.help), code }
    }
}

impl From<anyhow::Error> for CommandError {
    fn from(error: anyhow::Error) -> CommandError {
        CommandError::running(format!("{error:#}"), None)
    }
}
