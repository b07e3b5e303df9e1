//! Converts errors of MongoDB to [`SinkError`]s, transient or final. Omits the texts of the server, which quote values.

use mongodb::error::{Error, ErrorKind, TRANSIENT_TRANSACTION_ERROR};

use crate::sinks::SinkError;

/// The time limit of a command.
pub(super) const ANSWER_SECONDS: u64 = 120;

/// The target of a sink, for messages: hosts and collection, never the password.
#[derive(Debug, Clone)]
pub(super) struct TargetName {
    pub(super) hosts: String,
    pub(super) collection: String,
}

/// Codes of temporary errors: elections, shutdowns, conflicts, time limits. InternalError (1) is what a compatible server returns while its own
/// database is unavailable.
const PASSING: &[i32] = &[
    1, 6, 7, 24, 46, 50, 63, 64, 74, 79, 89, 91, 100, 112, 133, 134, 150, 189, 234, 246, 251, 262, 317, 358, 384, 9001, 10058, 10107,
    11000, 11600, 11602, 13388, 13435, 13436,
];

/// Codes of errors of the collection, the database or the user, which affect every write. Any other code concerns the document of a write.
const OF_TARGET: &[i32] =
    &[8, 13, 18, 20, 26, 31, 48, 59, 67, 68, 72, 73, 76, 96, 115, 166, 238, 263, 304, 352, 8000, 10003, 12501, 13297, 14031, 20250, 40415];

/// A unique index, which somebody created, has the value in another document.
pub(super) const DUPLICATE_KEY: i32 = 11000;

/// What the error of a write concerns.
pub(super) enum Verdict {
    /// Every write: the error is transient or final.
    Target(SinkError),
    /// Only this document: the reason, and whether the server may accept it after other writes.
    Document { reason: String, later: bool },
}

/// Why a command of writes failed as a whole.
#[derive(Debug)]
pub(super) struct WriteFailed {
    pub(super) error: SinkError,
    pub(super) retry: Retry,
}

/// How to retry at once. A failed transaction is rolled back in any case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Retry {
    No,
    /// The same transaction may succeed when it is started again.
    Transaction,
    /// The server does not accept so many writes, or this write, in one transaction.
    WithoutTransaction,
}

impl From<SinkError> for WriteFailed {
    fn from(error: SinkError) -> WriteFailed {
        WriteFailed { error, retry: Retry::No }
    }
}

/// TransactionTooLarge, TransactionExceededLifetimeLimitSeconds, TransactionTooLargeForCache, and BSONObjectTooLarge, which is the transaction's
/// entry in the log of operations; IllegalOperation, CommandNotFound, CommandNotSupported and OperationNotSupportedInTransaction of servers that
/// only seem to have transactions.
const NOT_IN_TRANSACTION: &[i32] = &[257, 290, 388, 10334, 20, 59, 115, 263];

impl TargetName {
    /// The error of a command in a transaction; `None`: no answer in time.
    pub(super) fn transaction_failed(&self, error: Option<Error>) -> WriteFailed {
        let retry = match &error {
            Some(error) if code_of(error).is_some_and(|code| NOT_IN_TRANSACTION.contains(&code)) => Retry::WithoutTransaction,
            Some(error) if error.contains_label(TRANSIENT_TRANSACTION_ERROR) => Retry::Transaction,
            _ => Retry::No,
        };
        WriteFailed { error: self.failed(error), retry }
    }

    /// Classifies the server's error of the write of one document, by its code.
    pub(super) fn verdict(&self, code: i32, name: Option<&str>) -> Verdict {
        let shown = name.filter(|name| !name.is_empty()).map_or_else(String::new, |name| format!(" ({name})"));
        match code {
            DUPLICATE_KEY => Verdict::Document {
                reason: "a unique index of the collection has its value in another document: error 11000".into(),
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

    /// Converts an error of the server, by its code.
    pub(super) fn code(&self, code: i32, name: Option<&str>) -> SinkError {
        let name = name.filter(|name| !name.is_empty()).map_or_else(String::new, |name| format!(" ({name})"));
        let (hosts, collection) = (&self.hosts, &self.collection);
        match code {
            13 | 18 => SinkError::Stopped {
                message: format!("MongoDB at {hosts} does not let this user write to {collection}"),
                help: Some("grant the role `readWrite` on the collection's database".into()),
            },
            _ if PASSING.contains(&code) => {
                SinkError::Transient { message: format!("MongoDB at {hosts} did not accept a write to {collection}: error {code}{name}") }
            }
            _ => SinkError::Stopped {
                message: format!("MongoDB at {hosts} refuses a write to {collection}: error {code}{name}"),
                help: None,
            },
        }
    }

    /// Converts the failure of a command: the driver's error, or `None` if there was no answer in time.
    pub(super) fn failed(&self, error: Option<Error>) -> SinkError {
        match error {
            Some(error) => self.error(error),
            None => SinkError::Transient { message: format!("MongoDB at {} did not answer within {ANSWER_SECONDS} s", self.hosts) },
        }
    }
}

/// The reason in the driver's message: the operating system's error of the connection, or that there is no primary.
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
        ErrorKind::InvalidArgument { .. } => "an option of the connection string is invalid",
        ErrorKind::InvalidTlsConfig { .. } => "the TLS options are invalid",
        ErrorKind::IncompatibleServer { .. } => "the server is too old",
        ErrorKind::InvalidResponse { .. } | ErrorKind::Bson(_) => "its answer cannot be read",
        _ => "the driver gave up",
    }
}

/// The server's error code, if the error is one of a command.
pub(super) fn code_of(error: &Error) -> Option<i32> {
    match &*error.kind {
        ErrorKind::Command(command) => Some(command.code),
        _ => None,
    }
}
