//! Findings of `tidemill check` about a server, before anything runs.

/// One finding about a source or a sink.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    pub severity: Severity,
    pub message: String,
    /// SQL or a command that fixes it.
    pub fix: Option<String>,
}

/// How serious a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// The source or sink will not run until this is fixed.
    Error,
    Warning,
    /// For information; nothing has to be done.
    Note,
}
