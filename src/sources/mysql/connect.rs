//! Opens connections with TLS and a time limit. Elsewhere: session settings (`session`), the meaning of errors (`errors`).

use std::time::Duration;

use mysql_async::{Conn, Error, Opts, OptsBuilder, ServerError, SslOpts};

use super::errors::{ACCESS_DENIED, address, connect_error};
use super::options::{MysqlOptions, Tls, TlsMode};
use super::server::Server;
use super::session;
use crate::sources::SourceError;

/// The maximum size of a packet. An event with both images of a 16 MB row is larger than the server's own limit.
const MAX_PACKET_BYTES: usize = 1 << 30;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);
/// Has no effect, because connections are not pooled. Without it the driver queries the server at login, before the session is set up.
const DRIVERS_WAIT_TIMEOUT: usize = 24 * 3600;
/// The limit of the server, of the user, and of the user's account.
const TOO_MANY_CONNECTIONS: [u16; 3] = [1040, 1203, 1226];

/// Opens a connection and sets up its session for reading.
pub(super) async fn connect(options: &MysqlOptions) -> Result<Conn, SourceError> {
    match tokio::time::timeout(CONNECT_TIMEOUT, set_up(options)).await {
        Ok(answer) => answer,
        Err(_) => {
            Err(SourceError::Transient { message: format!("{} did not answer within {} s", address(options), CONNECT_TIMEOUT.as_secs()) })
        }
    }
}

/// Connects and makes sure that it is this server. For every connection beside the one on which the server was identified.
pub(super) async fn connect_to(server: &Server, options: &MysqlOptions) -> Result<Conn, SourceError> {
    let mut conn = connect(options).await?;
    server.expect_same(&mut conn).await?;
    Ok(conn)
}

/// Like [`connect`], but returns `None` if no more connections are allowed.
async fn connect_if_allowed(options: &MysqlOptions) -> Result<Option<Conn>, SourceError> {
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

/// Opens connections to read tables with: at most `count`, and at least one. If the server allows no more, one stays free for reading the log.
pub(super) async fn connect_readers(options: &MysqlOptions, server: &Server, count: usize) -> Result<Vec<Conn>, SourceError> {
    let mut connections = vec![connect_to(server, options).await?];
    while connections.len() < count {
        match connect_if_allowed(options).await? {
            Some(mut conn) => {
                server.expect_same(&mut conn).await?;
                connections.push(conn);
            }
            None => {
                if connections.len() > 1 {
                    connections.pop();
                }
                tracing::warn!(wanted = count, connections = connections.len(), "the server allows no more connections for reading tables");
                break;
            }
        }
    }
    Ok(connections)
}

async fn set_up(options: &MysqlOptions) -> Result<Conn, SourceError> {
    let mut conn = log_in(options).await.map_err(|e| connect_error(options, e))?;
    session::set_up(&mut conn, options).await?;
    Ok(conn)
}

async fn log_in(options: &MysqlOptions) -> Result<Conn, Error> {
    match Conn::new(opts(options)).await {
        // The driver cuts a zero byte off the end of the nonce of MariaDB's ed25519 (mysql_common 0.37.3, `AuthSwitchRequest::plugin_data`),
        // so one login in 256 fails. The next attempt has another nonce.
        Err(Error::Server(ServerError { code: ACCESS_DENIED, .. })) => Conn::new(opts(options)).await,
        answer => answer,
    }
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
