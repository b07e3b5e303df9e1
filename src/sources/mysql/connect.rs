//! Connections: address, TLS, session settings, and what the driver's errors mean for the engine.

use std::io::ErrorKind;
use std::time::Duration;

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, DriverError, Error, IoError, Opts, OptsBuilder, ServerError, SslOpts};

use super::options::{MysqlOptions, Tls, TlsMode};
use crate::sources::SourceError;

/// The most that one packet may hold: an event with the two images of a row of 16 MB is larger than the server's own limit.
const MAX_PACKET_BYTES: usize = 1 << 30;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);
/// A slow sink holds back reading; the server must not take that for a dead client.
const NET_WRITE_TIMEOUT_SECONDS: u32 = 24 * 3600;
const ACCESS_DENIED: u16 = 1045;
/// The codes by which a server says that the user may not do this.
pub(super) const ACCESS_ERRORS: [u16; 7] = [1044, ACCESS_DENIED, 1142, 1143, 1227, 1370, 4042];

/// Opens a connection. Text comes in the columns' own charsets (only so a snapshot decodes what the log decodes), times in UTC.
pub(super) async fn connect(options: &MysqlOptions) -> Result<Conn, SourceError> {
    match tokio::time::timeout(CONNECT_TIMEOUT, log_in(options)).await {
        Ok(answer) => answer.map_err(|e| connect_error(options, e)),
        Err(_) => {
            Err(SourceError::Transient { message: format!("{} did not answer within {} s", address(options), CONNECT_TIMEOUT.as_secs()) })
        }
    }
}

async fn log_in(options: &MysqlOptions) -> Result<Conn, Error> {
    let mut conn = match Conn::new(opts(options)).await {
        // The driver cuts a zero byte off the end of the nonce of MariaDB's ed25519 (mysql_common 0.37.3, `AuthSwitchRequest::plugin_data`),
        // so one login in 256 fails; the next nonce ends in something else.
        Err(Error::Server(ServerError { code: ACCESS_DENIED, .. })) => Conn::new(opts(options)).await?,
        answer => answer?,
    };
    conn.query_drop(format!(
        "SET SESSION time_zone='+00:00', sql_mode='', character_set_results=NULL, net_write_timeout={NET_WRITE_TIMEOUT_SECONDS}"
    ))
    .await?;
    Ok(conn)
}

/// `host:port`, for messages.
pub(super) fn address(options: &MysqlOptions) -> String {
    format!("{}:{}", options.opts.ip_or_hostname(), options.opts.tcp_port())
}

fn opts(options: &MysqlOptions) -> Opts {
    let mut builder = OptsBuilder::from_opts(options.opts.clone())
        .prefer_socket(false)
        .tcp_nodelay(true)
        .tcp_keepalive(Some(Duration::from_secs(60)))
        .stmt_cache_size(0)
        .max_allowed_packet(Some(MAX_PACKET_BYTES));
    if let Some(tls) = &options.tls {
        builder = builder.ssl_opts(ssl(tls));
    }
    builder.into()
}

fn ssl(tls: &Tls) -> Option<SslOpts> {
    let mut ssl = SslOpts::default();
    match tls.mode {
        TlsMode::Disable => return None,
        TlsMode::Require => ssl = ssl.with_danger_accept_invalid_certs(true),
        TlsMode::VerifyFull => {}
    }
    if let Some(ca) = &tls.ca {
        ssl = ssl.with_root_certs(vec![ca.clone().into()]).with_disable_built_in_roots(true);
    }
    Some(ssl)
}

/// What the spec must change where the server refuses us for good, else a transient error.
fn connect_error(options: &MysqlOptions, error: Error) -> SourceError {
    let at = address(options);
    let user = options.opts.user().unwrap_or_default();
    let invalid = |message: String, help: &str| SourceError::Invalid { message, table: None, help: Some(help.into()) };
    match &error {
        Error::Server(ServerError { code: ACCESS_DENIED, .. }) => {
            invalid(format!("{at} refuses the user `{user}` or its password"), "check user and password of `url`")
        }
        Error::Server(ServerError { code: 1044 | 1698, message, .. }) => {
            invalid(format!("{at} refuses the user `{user}`: {message}"), "check user, grants and database of `url`")
        }
        Error::Server(ServerError { code: 1049, .. }) => {
            let database = options.database().unwrap_or_default();
            invalid(format!("{at} has no database `{database}`"), "check the end of `url`")
        }
        Error::Io(IoError::Tls(tls)) => tls_error(&at, &tls.to_string()),
        // A handshake that fails comes as an input that makes no sense.
        Error::Io(IoError::Io(io)) if options.tls.is_some() && io.kind() == ErrorKind::InvalidData => tls_error(&at, &io.to_string()),
        Error::Driver(DriverError::NoClientSslFlagFromServer) => {
            invalid(format!("{at} does not offer TLS"), "switch TLS on at the server, or set `tls: {mode: disable}`")
        }
        Error::Driver(DriverError::UnknownAuthPlugin { name }) => {
            invalid(format!("{at} wants the authentication `{name}`, which is not supported"), "use another authentication for this user")
        }
        _ => transient(&format!("cannot connect to {at}"), error),
    }
}

fn tls_error(at: &str, error: &str) -> SourceError {
    let help = "name the authority that signed the server's certificate as `tls.ca`, and connect by a name that stands in the \
                certificate; `tls: {mode: require}` encrypts without looking";
    SourceError::Invalid { message: format!("TLS with {at} fails: {error}"), table: None, help: Some(help.into()) }
}

/// An error that goes away or not, but is not the spec's: `run` tries again.
pub(super) fn transient(doing: &str, error: Error) -> SourceError {
    SourceError::Transient { message: format!("{doing}: {}", reason(&error)) }
}

/// The error in few words; never a query text, which may hold anything.
pub(super) fn reason(error: &Error) -> String {
    match error {
        Error::Server(e) => format!("{} (error {})", e.message, e.code),
        Error::Driver(DriverError::ConnectionClosed) => "the connection was closed".into(),
        // How the driver says that the connection ended inside of a packet.
        Error::Io(IoError::Io(e)) if e.to_string() == "bytes remaining on stream" => "the connection was closed".into(),
        Error::Io(IoError::Io(e)) => e.to_string(),
        // These would print values.
        Error::Driver(DriverError::FromRow { .. } | DriverError::FromValue { .. }) => "an unexpected answer".into(),
        Error::Driver(e) => e.to_string(),
        other => other.to_string(),
    }
}

/// What an error of a query means while reading: an access error is the spec's, everything else may go away.
pub(super) fn query_error(doing: &str, error: Error) -> SourceError {
    match &error {
        Error::Server(ServerError { code, message, .. }) if ACCESS_ERRORS.contains(code) => SourceError::Invalid {
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

/// A name between backticks.
pub(super) fn quoted(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

/// A text between single quotes; right for `sql_mode=''`.
pub(super) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}
