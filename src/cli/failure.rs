//! How a command ends when it does not end well: what is printed, and the exit code.

use std::io::Write;
use std::process::ExitCode;

use super::discover::Unreachable;
use crate::run::RunError;
use crate::serve::local::{AccessError, AccessErrorKind};
use crate::spec::Problems;

#[derive(Debug)]
pub(super) struct Failure {
    /// As it is printed.
    text: String,
    code: u8,
}

pub(super) const RUNNING: u8 = 1;
pub(super) const WRONG: u8 = 2;
const NOT_FOUND: u8 = 3;

impl Failure {
    /// Something failed while running.
    pub(super) fn running(message: impl Into<String>, help: Option<String>) -> Failure {
        Failure { text: plain(&message.into(), help), code: RUNNING }
    }

    /// The command is wrong.
    pub(super) fn wrong(message: impl Into<String>, help: Option<String>) -> Failure {
        Failure { text: plain(&message.into(), help), code: WRONG }
    }

    /// Everything has been said already; only the exit code is left.
    pub(super) fn said(code: u8) -> Failure {
        Failure { text: String::new(), code }
    }

    pub(super) fn report(self) -> ExitCode {
        if self.text.is_empty() {
            return ExitCode::from(self.code);
        }
        let _ = writeln!(std::io::stderr(), "{}", self.text.trim_end());
        ExitCode::from(self.code)
    }
}

fn plain(message: &str, help: Option<String>) -> String {
    match help {
        Some(help) => format!("error: {message}\n   = help: {help}"),
        None => format!("error: {message}"),
    }
}

impl From<Problems> for Failure {
    fn from(problems: Problems) -> Failure {
        Failure { text: problems.to_string(), code: WRONG }
    }
}

impl From<Unreachable> for Failure {
    fn from(Unreachable { source, reason, help }: Unreachable) -> Failure {
        Failure::running(format!("source `{source}`: {reason}"), help)
    }
}

impl From<RunError> for Failure {
    fn from(error: RunError) -> Failure {
        Failure::running(error.to_string(), error.help())
    }
}

impl From<AccessError> for Failure {
    fn from(error: AccessError) -> Failure {
        let code = match error.kind {
            AccessErrorKind::NotFound => NOT_FOUND,
            AccessErrorKind::Invalid => WRONG,
            AccessErrorKind::Failed | AccessErrorKind::CutOff => RUNNING,
        };
        Failure { text: plain(&error.message, error.help), code }
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Failure {
        Failure::running(format!("{error:#}"), None)
    }
}
