//! Connections: address, TLS, and what the driver's errors mean for the engine. Elsewhere: what a session is set to (`session`).

use std::io::ErrorKind;
use std::time::Duration;

use mysql_async::{Conn, DriverError, Error, IoError, Opts, OptsBuilder, ServerError, SslOpts};

use super::options::{MysqlOptions, Tls, TlsMode};
use super::session;
use crate::sources::SourceError;

/// The most that one packet may hold: an event with the two images of a row of 16 MB is larger than the server's own limit.
const MAX_PACKET_BYTES: usize = 1 << 30;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);
/// Of no consequence: connections are not pooled. Without it the driver asks the server when it logs in, before the session is set up.
const DRIVERS_WAIT_TIMEOUT: usize = 24 * 3600;
const ACCESS_DENIED: u16 = 1045;
/// Of the server, of the user, and of the user's account.
const TOO_MANY_CONNECTIONS: [u16; 3] = [1040, 1203, 1226];
/// The codes by which a server says that the user may not do this.
const ACCESS_ERRORS: [u16; 7] = [1044, ACCESS_DENIED, 1142, 1143, 1227, 1370, 4042];

/// Opens a connection whose session is as reading needs it.
pub(super) async fn connect(options: &MysqlOptions) -> Result<Conn, SourceError> {
    match tokio::time::timeout(CONNECT_TIMEOUT, set_up(options)).await {
        Ok(answer) => answer,
        Err(_) => {
            Err(SourceError::Transient { message: format!("{} did not answer within {} s", address(options), CONNECT_TIMEOUT.as_secs()) })
        }
    }
}

/// The same; `None` where no more connections are allowed.
pub(super) async fn connect_if_allowed(options: &MysqlOptions) -> Result<Option<Conn>, SourceError> {
    let late = || SourceError::Transient { message: format!("{} did not answer within {} s", address(options), CONNECT_TIMEOUT.as_secs()) };
    let in_time = tokio::time::timeout(CONNECT_TIMEOUT, log_in(options)).await.map_err(|_| late())?;
    match in_time {
        Ok(mut conn) => {
            session::set_up(&mut conn, options).await?;
            Ok(Some(conn))
        }
        Err(Error::Server(ServerError { code, .. })) if TOO_MANY_CONNECTIONS.contains(&code) => Ok(None),
        Err(error) => Err(connect_error(options, error)),
    }
}

async fn set_up(options: &MysqlOptions) -> Result<Conn, SourceError> {
    let mut conn = log_in(options).await.map_err(|e| connect_error(options, e))?;
    session::set_up(&mut conn, options).await?;
    Ok(conn)
}

async fn log_in(options: &MysqlOptions) -> Result<Conn, Error> {
    match Conn::new(opts(options)).await {
        // The driver cuts a zero byte off the end of the nonce of MariaDB's ed25519 (mysql_common 0.37.3, `AuthSwitchRequest::plugin_data`),
        // so one login in 256 fails; the next nonce ends in something else.
        Err(Error::Server(ServerError { code: ACCESS_DENIED, .. })) => Conn::new(opts(options)).await,
        answer => answer,
    }
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
        .wait_timeout(Some(DRIVERS_WAIT_TIMEOUT))
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
            "ALTER USER ... IDENTIFIED BY a new one, and put that into `url`; ALTER USER ... PASSWORD EXPIRE NEVER keeps it",
        ),
        Error::Server(ServerError { code: 3118 | 3955 | 4151, .. }) => {
            invalid(format!("the account of the user `{user}` at {at} is locked"), "ALTER USER ... ACCOUNT UNLOCK")
        }
        Error::Server(ServerError { code: 3159, .. }) => invalid(
            format!("{at} takes only connections that are encrypted (require_secure_transport)"),
            "give the source `tls: {ca: FILE}`, or `tls: {mode: require}`, which encrypts without looking who the server is",
        ),
        Error::Server(ServerError { code: 1044 | 1698, message, .. }) => {
            invalid(format!("{at} refuses the user `{user}`: {message}"), "check user, grants and database of `url`")
        }
        Error::Server(ServerError { code: 1049, .. }) => {
            let database = options.database().unwrap_or_default();
            invalid(format!("{at} has no database `{database}`"), "check the end of `url`")
        }
        Error::Server(ServerError { code: 1184, message, .. }) if message.contains("init_connect") => invalid(
            format!("{at} ends every connection of `{user}`, because what its init_connect says fails"),
            "correct it there (SELECT @@global.init_connect), or let the user pass it over (at MySQL GRANT CONNECTION_ADMIN, at MariaDB \
             GRANT CONNECTION ADMIN)",
        ),
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

/// What may be wrong with a login that is refused: the server does not say.
fn login_help(options: &MysqlOptions) -> String {
    let mut help = "check user and password of `url`".to_string();
    if options.password_is_escaped {
        help.push_str("; the password there has %XX, which stands for one character: a `%` itself is written %25");
    }
    if options.tls.as_ref().is_none_or(|tls| tls.mode == TlsMode::Disable) {
        help.push_str("; where encryption is required (REQUIRE SSL, require_secure_transport) the source needs `tls`");
    }
    help
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

/// Whether the user may not do what was asked.
pub(super) fn is_access_error(error: &Error) -> bool {
    matches!(error, Error::Server(ServerError { code, .. }) if ACCESS_ERRORS.contains(code))
}

/// Whether a lock was not to be had in time.
pub(super) fn is_lock_timeout(error: &Error) -> bool {
    matches!(error, Error::Server(ServerError { code: 1205, .. }))
}

/// What an error of a query means while reading: an access error is the spec's, everything else may go away.
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

/// A name between backticks.
pub(super) fn quoted(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

/// A text between single quotes; right for `sql_mode=''`.
pub(super) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}
