//! What went wrong at MongoDB, as a [`SinkError`]: to be repeated or final. Server texts are left out: they quote values.

use mongodb::error::{Error, ErrorKind, TRANSIENT_TRANSACTION_ERROR};

use crate::sinks::SinkError;

/// How long a command may take.
pub(super) const ANSWER_SECONDS: u64 = 120;

/// Where a sink writes, for messages: hosts and collection, never the password.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub(super) hosts: String,
    pub(super) collection: String,
}

/// Codes that go away by themselves: elections, shutdowns, conflicts, time limits; InternalError (1) is what a compatible server
/// answers while its own database is away.
const PASSING: &[i32] = &[
    1, 6, 7, 24, 46, 50, 63, 64, 74, 79, 89, 91, 100, 112, 133, 134, 150, 189, 234, 246, 251, 262, 317, 358, 384, 9001, 10058, 10107,
    11000, 11600, 11602, 13388, 13435, 13436,
];

/// Codes that are about the collection, the database or the user, and so about every write: whatever else the server says of a write is
/// about its document.
const OF_TARGET: &[i32] =
    &[8, 13, 18, 20, 26, 31, 48, 59, 67, 68, 72, 73, 76, 96, 115, 166, 238, 263, 304, 352, 8000, 10003, 12501, 13297, 14031, 20250, 40415];

/// A unique index that somebody made holds the value for another document.
pub(super) const DUPLICATE_KEY: i32 = 11000;

/// What a server's answer to a write is about.
pub(super) enum Verdict {
    /// Everything: the write may be repeated, or never comes through.
    Target(SinkError),
    /// This document alone; why, and whether it may be taken after others were written.
    Document { reason: String, later: bool },
}

/// Why a command of writes failed as a whole.
#[derive(Debug)]
pub(super) struct WriteFailed {
    pub(super) error: SinkError,
    pub(super) retry: Retry,
}

/// What may be done about it at once. In a transaction the whole of it was taken back in any case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Retry {
    No,
    /// The same transaction may come through when it is begun anew.
    Transaction,
    /// The server does not take so much, or not this, in one transaction.
    WithoutTransaction,
}

impl From<SinkError> for WriteFailed {
    fn from(error: SinkError) -> WriteFailed {
        WriteFailed { error, retry: Retry::No }
    }
}

/// TransactionTooLarge, TransactionExceededLifetimeLimitSeconds, TransactionTooLargeForCache, and BSONObjectTooLarge, which is the transaction's
/// entry in the log of operations; IllegalOperation, CommandNotFound, CommandNotSupported and OperationNotSupportedInTransaction of servers that
/// only look as if they had transactions.
const NOT_IN_TRANSACTION: &[i32] = &[257, 290, 388, 10334, 20, 59, 115, 263];

impl Place {
    /// Of a command in a transaction.
    pub(super) fn transaction_failed(&self, error: Option<Error>) -> WriteFailed {
        let retry = match &error {
            Some(error) if code_of(error).is_some_and(|code| NOT_IN_TRANSACTION.contains(&code)) => Retry::WithoutTransaction,
            Some(error) if error.contains_label(TRANSIENT_TRANSACTION_ERROR) => Retry::Transaction,
            _ => Retry::No,
        };
        WriteFailed { error: self.failed(error), retry }
    }

    /// An error that the server answered to the write of one document, by its code.
    pub(super) fn verdict(&self, code: i32, name: Option<&str>) -> Verdict {
        let shown = name.filter(|name| !name.is_empty()).map_or_else(String::new, |name| format!(" ({name})"));
        match code {
            DUPLICATE_KEY => Verdict::Document {
                reason: "a unique index of the collection has its value for another document: error 11000".into(),
                later: true,
            },
            _ if PASSING.contains(&code) || OF_TARGET.contains(&code) => Verdict::Target(self.code(code, name)),
            _ => Verdict::Document { reason: format!("MongoDB refuses the document: error {code}{shown}"), later: false },
        }
    }

    pub(super) fn error(&self, error: Error) -> SinkError {
        let hosts = &self.hosts;
        match &*error.kind {
            ErrorKind::Authentication { .. } => SinkError::Stopped {
                message: format!("MongoDB at {hosts} refuses the user or the password"),
                help: Some("check user, password and `authSource` of the sink's `uri`".into()),
            },
            ErrorKind::ServerSelection { message, .. } => {
                SinkError::Transient { message: format!("no MongoDB server answers at {hosts}{}", reason_of(message)) }
            }
            ErrorKind::Io(io) => SinkError::Transient { message: format!("the connection to MongoDB at {hosts} failed: {}", io.kind()) },
            ErrorKind::ConnectionPoolCleared { .. } | ErrorKind::DnsResolve { .. } => {
                SinkError::Transient { message: format!("the connection to MongoDB at {hosts} was lost") }
            }
            ErrorKind::Command(command) => self.code(command.code, Some(&command.code_name)),
            _ => SinkError::Stopped {
                message: format!("MongoDB at {hosts} cannot be used for {}: {}", self.collection, kind_of(&error)),
                help: None,
            },
        }
    }

    /// An error that the server answered, by its code.
    pub(super) fn code(&self, code: i32, name: Option<&str>) -> SinkError {
        let name = name.filter(|name| !name.is_empty()).map_or_else(String::new, |name| format!(" ({name})"));
        let (hosts, collection) = (&self.hosts, &self.collection);
        match code {
            13 | 18 => SinkError::Stopped {
                message: format!("MongoDB at {hosts} does not let this user write to {collection}"),
                help: Some("grant the role `readWrite` on the collection's database".into()),
            },
            _ if PASSING.contains(&code) => {
                SinkError::Transient { message: format!("MongoDB at {hosts} did not take a write to {collection}: error {code}{name}") }
            }
            _ => SinkError::Stopped {
                message: format!("MongoDB at {hosts} refuses a write to {collection}: error {code}{name}"),
                help: None,
            },
        }
    }

    /// Of a command: the driver's error, or that no answer came.
    pub(super) fn failed(&self, error: Option<Error>) -> SinkError {
        match error {
            Some(error) => self.error(error),
            None => SinkError::Transient { message: format!("MongoDB at {} did not answer within {ANSWER_SECONDS} s", self.hosts) },
        }
    }
}

/// What the driver last saw of the servers: the operating system's word on the connection, or that there is no primary.
fn reason_of(selection: &str) -> String {
    if let Some((_, rest)) = selection.split_once("I/O error: ") {
        let reason = rest.split([',', '(']).next().unwrap_or_default();
        return format!(": {}", reason.trim());
    }
    match selection.contains("ReplicaSetNoPrimary") {
        true => ": none of them is the primary of the replica set".into(),
        false => String::new(),
    }
}

fn kind_of(error: &Error) -> &'static str {
    match &*error.kind {
        ErrorKind::InvalidArgument { .. } => "an option of the connection string is not possible",
        ErrorKind::InvalidTlsConfig { .. } => "the TLS options are not possible",
        ErrorKind::IncompatibleServer { .. } => "the server is too old",
        ErrorKind::InvalidResponse { .. } | ErrorKind::Bson(_) => "its answer is not understood",
        _ => "the driver gave up",
    }
}

/// The code of a command that the server refused.
pub(super) fn code_of(error: &Error) -> Option<i32> {
    match &*error.kind {
        ErrorKind::Command(command) => Some(command.code),
        _ => None,
    }
}
