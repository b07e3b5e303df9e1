//! Maps the driver's errors to a wrong spec, a stopped source, or a transient error. Messages never contain a query text or a value.

use std::io::ErrorKind;

use mysql_async::{DriverError, Error, IoError, ServerError};

use super::options::{MysqlOptions, TlsMode};
use crate::sources::SourceError;

pub(super) const ACCESS_DENIED: u16 = 1045;
/// The server's error codes for missing privileges.
const ACCESS_ERRORS: [u16; 7] = [1044, ACCESS_DENIED, 1142, 1143, 1227, 1370, 4042];

/// Returns an invalid-spec error if the server refuses the connection for good, else a transient one.
pub(super) fn connect_error(options: &MysqlOptions, error: Error) -> SourceError {
    let at = address(options);
    let user = options.opts.user().unwrap_or_default();
    let invalid = |message: String, help: &str| SourceError::Invalid { message, table: None, help: Some(help.into()) };
    match &error {
        Error::Server(ServerError { code: ACCESS_DENIED, .. }) => {
            invalid(format!("{at} refuses the user `{user}` or its password"), &login_help(options))
        }
        Error::Server(ServerError { code: 1820 | 1862, .. }) => invalid(
            format!("the password of the user `{user}` at {at} has expired"),
            "ALTER USER ... IDENTIFIED BY a new one, and put that into `url`; to keep the old one, ALTER USER ... PASSWORD EXPIRE NEVER",
        ),
        Error::Server(ServerError { code: 3118 | 3955 | 4151, .. }) => {
            invalid(format!("the account of the user `{user}` at {at} is locked"), "ALTER USER ... ACCOUNT UNLOCK")
        }
        Error::Server(ServerError { code: 3159, .. }) => invalid(
            format!("{at} accepts only encrypted connections (require_secure_transport)"),
            "give the source `tls: {ca: FILE}`, or `tls: {mode: require}`, which encrypts without verifying the server",
        ),
        Error::Server(ServerError { code: 1044 | 1698, message, .. }) => {
            invalid(format!("{at} refuses the user `{user}`: {message}"), "check user, grants and database of `url`")
        }
        Error::Server(ServerError { code: 1049, .. }) => {
            let database = options.database().unwrap_or_default();
            invalid(format!("{at} has no database `{database}`"), "check the end of `url`")
        }
        Error::Server(ServerError { code: 1184, message, .. }) if message.contains("init_connect") => invalid(
            format!("{at} closes every connection of `{user}`, because its init_connect fails"),
            "correct it at the server (SELECT @@global.init_connect), or exempt the user from it (at MySQL GRANT CONNECTION_ADMIN, at MariaDB \
             GRANT CONNECTION ADMIN)",
        ),
        Error::Io(IoError::Tls(tls)) => tls_error(&at, &tls.to_string()),
        // A failed handshake is reported as invalid input.
        Error::Io(IoError::Io(io)) if options.tls.is_some() && io.kind() == ErrorKind::InvalidData => tls_error(&at, &io.to_string()),
        Error::Driver(DriverError::NoClientSslFlagFromServer) => {
            invalid(format!("{at} does not offer TLS"), "switch TLS on at the server, or set `tls: {mode: disable}`")
        }
        Error::Driver(DriverError::UnknownAuthPlugin { name }) => {
            invalid(format!("{at} requires the authentication plugin `{name}`, which is not supported"), "use another plugin for this user")
        }
        _ => transient(&format!("cannot connect to {at}"), error),
    }
}

/// Lists possible causes of a refused login, because the server does not tell which it is.
fn login_help(options: &MysqlOptions) -> String {
    let mut help = "check user and password of `url`".to_string();
    if options.password_is_escaped {
        help.push_str("; in the password, %XX means one character: write a literal `%` as %25");
    }
    if options.tls.as_ref().is_none_or(|tls| tls.mode == TlsMode::Disable) {
        help.push_str("; where encryption is required (REQUIRE SSL, require_secure_transport) the source needs `tls`");
    }
    help
}

fn tls_error(at: &str, error: &str) -> SourceError {
    let help = "set `tls.ca` to the authority that signed the server's certificate, and connect by a name that is in the \
                certificate; `tls: {mode: require}` encrypts without verifying the server";
    SourceError::Invalid { message: format!("TLS with {at} fails: {error}"), table: None, help: Some(help.into()) }
}

/// An error that is not caused by the spec and may go away: `run` retries.
pub(super) fn transient(doing: &str, error: Error) -> SourceError {
    SourceError::Transient { message: format!("{doing}: {}", reason(&error)) }
}

/// A short text for the error. It never contains the query text, which may contain values.
pub(super) fn reason(error: &Error) -> String {
    match error {
        Error::Server(e) => format!("{} (error {})", e.message, e.code),
        Error::Driver(DriverError::ConnectionClosed) => "the connection was closed".into(),
        // The driver's message for a connection that ended inside a packet.
        Error::Io(IoError::Io(e)) if e.to_string() == "bytes remaining on stream" => "the connection was closed".into(),
        Error::Io(IoError::Io(e)) => e.to_string(),
        // The driver's messages for these contain values.
        Error::Driver(DriverError::FromRow { .. } | DriverError::FromValue { .. }) => "an unexpected answer".into(),
        Error::Driver(e) => e.to_string(),
        other => other.to_string(),
    }
}

/// Whether the error is a missing privilege.
pub(super) fn is_access_error(error: &Error) -> bool {
    matches!(error, Error::Server(ServerError { code, .. }) if ACCESS_ERRORS.contains(code))
}

/// Whether the error is a lock timeout.
pub(super) fn is_lock_timeout(error: &Error) -> bool {
    matches!(error, Error::Server(ServerError { code: 1205, .. }))
}

/// Maps an error of a query: a missing privilege is the spec's error, a missing table or column stops the source, the rest is transient.
pub(super) fn query_error(doing: &str, error: Error) -> SourceError {
    match &error {
        Error::Server(ServerError { message, .. }) if is_access_error(&error) => SourceError::Invalid {
            message: format!("{doing}: {message}"),
            table: None,
            help: Some("`tidemill check` prints the grants that are missing".into()),
        },
        Error::Server(ServerError { code: 1146 | 1054 | 1051, message, .. }) => {
            SourceError::Stopped { message: format!("{doing}: {message}"), help: None }
        }
        _ => transient(doing, error),
    }
}

/// `host:port`, for messages.
pub(super) fn address(options: &MysqlOptions) -> String {
    format!("{}:{}", options.opts.ip_or_hostname(), options.opts.tcp_port())
}
