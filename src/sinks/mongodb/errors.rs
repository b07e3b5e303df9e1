//! What went wrong at MongoDB, as a [`SinkError`]: to be repeated or final. Server texts are left out: they quote values.

use mongodb::error::{Error, ErrorKind};

use crate::sinks::SinkError;

/// Where a sink writes, for messages: hosts and collection, never the password.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub(super) hosts: String,
    pub(super) collection: String,
}

/// Codes that go away by themselves: elections, shutdowns, conflicts, time limits; InternalError (1) is what a compatible server
/// answers while its own database is away.
const PASSING: &[i32] = &[
    1, 6, 7, 24, 46, 50, 63, 64, 74, 79, 89, 91, 100, 112, 133, 134, 150, 189, 234, 246, 262, 317, 358, 384, 9001, 10058, 10107, 11000,
    11600, 11602, 13388, 13435, 13436,
];

impl Place {
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

    pub(super) fn no_answer(&self, seconds: u64) -> SinkError {
        SinkError::Transient { message: format!("MongoDB at {} did not answer within {seconds} s", self.hosts) }
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
