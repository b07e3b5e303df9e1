//! What `tidemill check` says of a server before anything runs.

/// Something to say of a source or a sink before it runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    pub severity: Severity,
    pub message: String,
    /// SQL or a command that mends it.
    pub mend: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// It cannot run so.
    Error,
    Warning,
    /// It is so, and nothing has to be done.
    Note,
}
