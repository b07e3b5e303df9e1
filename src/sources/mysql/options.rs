//! The options of the kinds `mysql` and `mariadb`: declared once as data, parsed into [`MysqlOptions`].

use std::path::PathBuf;

use mysql_async::{Opts, UrlError};
use serde::Deserialize;

use super::values::ZeroDates;
use crate::options::{Kind, OptionError, OptionSpec, OptionType};

pub(in crate::sources) const MYSQL: Kind =
    Kind { name: "mysql", help: "Tables of a MySQL or MariaDB server: a snapshot, then its binary log.", options: OPTIONS };
pub(in crate::sources) const MARIADB: Kind = Kind { name: "mariadb", help: "The same as `mysql`.", options: OPTIONS };

const OPTIONS: &[OptionSpec] = &[
    OptionSpec {
        name: "url",
        value: OptionType::Text,
        required: true,
        secret: true,
        help: "Server, user and database: mysql://user:password@host:port/database. Tables are named `table` or `database.table`.",
    },
    OptionSpec {
        name: "server_id",
        value: OptionType::Integer,
        required: false,
        secret: false,
        help: "The replica id under which the binary log is read, unique among everything that reads it (1 to 4294967295). \
               Default: a random one for each connection.",
    },
    OptionSpec {
        name: "tls",
        value: OptionType::Record(TLS),
        required: false,
        secret: false,
        help: "How the connection is encrypted. Default: not encrypted.",
    },
    OptionSpec {
        name: "heartbeat_ms",
        value: OptionType::Integer,
        required: false,
        secret: false,
        help: "How often the server sends a heartbeat when nothing changes, in ms. Default: 5000.",
    },
    OptionSpec {
        name: "read_timeout_ms",
        value: OptionType::Integer,
        required: false,
        secret: false,
        help: "How long the server may be silent before the connection counts as dead, in ms. Default: 30000, at least twice \
               the heartbeat.",
    },
    OptionSpec {
        name: "snapshot_connections",
        value: OptionType::Integer,
        required: false,
        secret: false,
        help: "How many connections read a snapshot in parallel (1 to 64). Default: 4.",
    },
    OptionSpec {
        name: "snapshot_rows_per_second",
        value: OptionType::Integer,
        required: false,
        secret: false,
        help: "The maximum number of rows per second that a snapshot reads, over all its connections. Default: no limit.",
    },
    OptionSpec {
        name: "zero_dates",
        value: OptionType::OneOf(&["null", "text", "error"]),
        required: false,
        secret: false,
        help: "How to read dates that do not exist, like 0000-00-00 or 2024-02-00: `null`, `text` (every date and time \
               column of these tables is text), or `error` (the row is left out and reported). Default: null.",
    },
    OptionSpec {
        name: "tinyint1_as_bool",
        value: OptionType::Bool,
        required: false,
        secret: false,
        help: "Whether TINYINT(1) is a boolean and not a number. Default: false.",
    },
];

const TLS: &[OptionSpec] = &[
    OptionSpec {
        name: "mode",
        value: OptionType::OneOf(&["disable", "require", "verify-full"]),
        required: false,
        secret: false,
        help: "`disable`; `require`: encrypted, without verifying the server; `verify-full`: encrypted, and the server's certificate is \
               signed by a known authority and names the host. Default: verify-full.",
    },
    OptionSpec {
        name: "ca",
        value: OptionType::Path,
        required: false,
        secret: false,
        help: "A PEM file with the certificates of the authorities to trust. Default: the well-known public ones.",
    },
];

/// The validated options of one source.
#[derive(Debug, Clone)]
pub(super) struct MysqlOptions {
    /// Contains the password, so it is never printed.
    pub(super) opts: Opts,
    /// Whether the password in the URL contains a %XX escape.
    pub(super) password_is_escaped: bool,
    pub(super) server_id: Option<u32>,
    pub(super) tls: Option<Tls>,
    pub(super) heartbeat_ms: u64,
    pub(super) read_timeout_ms: u64,
    pub(super) snapshot_connections: usize,
    pub(super) snapshot_rows_per_second: Option<u64>,
    pub(super) zero_dates: ZeroDates,
    pub(super) tinyint1_as_bool: bool,
}

/// How the connection is encrypted.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Tls {
    #[serde(default)]
    pub(super) mode: TlsMode,
    pub(super) ca: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum TlsMode {
    Disable,
    Require,
    #[default]
    VerifyFull,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenMysqlOptions {
    url: String,
    server_id: Option<u64>,
    tls: Option<Tls>,
    heartbeat_ms: Option<u64>,
    read_timeout_ms: Option<u64>,
    snapshot_connections: Option<u64>,
    snapshot_rows_per_second: Option<u64>,
    #[serde(default)]
    zero_dates: ZeroDates,
    #[serde(default)]
    tinyint1_as_bool: bool,
}

const DEFAULT_HEARTBEAT_MS: u64 = 5_000;
const DEFAULT_READ_TIMEOUT_MS: u64 = 30_000;
const DEFAULT_CONNECTIONS: u64 = 4;

impl MysqlOptions {
    pub(super) fn read(options: &serde_json::Value) -> Result<MysqlOptions, OptionError> {
        let typed: WrittenMysqlOptions = serde_json::from_value(options.clone()).map_err(|e| problem(&[], &e.to_string(), None))?;
        let opts = Opts::from_url(&typed.url).map_err(|e| url_problem(&e))?;
        if opts.user().is_none() {
            return Err(problem(&["url"], "it names no user", Some(URL_FORM)));
        }
        let server_id = typed.server_id.map(|id| in_range("server_id", id, 1, u32::MAX as u64)).transpose()?.map(|id| id as u32);
        let heartbeat_ms = in_range("heartbeat_ms", typed.heartbeat_ms.unwrap_or(DEFAULT_HEARTBEAT_MS), 10, 4_000_000)?;
        let read_timeout_ms = typed.read_timeout_ms.unwrap_or(DEFAULT_READ_TIMEOUT_MS.max(2 * heartbeat_ms));
        if read_timeout_ms < 2 * heartbeat_ms {
            return Err(problem(&["read_timeout_ms"], "it is less than twice `heartbeat_ms`", None));
        }
        let connections = in_range("snapshot_connections", typed.snapshot_connections.unwrap_or(DEFAULT_CONNECTIONS), 1, 64)?;
        if typed.snapshot_rows_per_second == Some(0) {
            return Err(problem(&["snapshot_rows_per_second"], "no row would ever be read", Some("leave it out for no limit")));
        }
        Ok(MysqlOptions {
            opts,
            password_is_escaped: password_is_escaped(&typed.url),
            server_id,
            tls: typed.tls,
            heartbeat_ms,
            read_timeout_ms,
            snapshot_connections: connections as usize,
            snapshot_rows_per_second: typed.snapshot_rows_per_second,
            zero_dates: typed.zero_dates,
            tinyint1_as_bool: typed.tinyint1_as_bool,
        })
    }

    /// The database of tables whose name has none.
    pub(super) fn database(&self) -> Option<&str> {
        self.opts.db_name()
    }
}

fn password_is_escaped(url: &str) -> bool {
    let login = url.split_once("://").and_then(|(_, rest)| rest.rsplit_once('@')).map_or("", |(login, _)| login);
    let password = login.split_once(':').map_or("", |(_, password)| password);
    let is_escape = |bytes: &[u8]| bytes[0] == b'%' && bytes[1..].iter().all(u8::is_ascii_hexdigit);
    password.as_bytes().windows(3).any(is_escape)
}

const URL_FORM: &str = "write it as mysql://user:password@host:port/database, with %40 for `@`, %3A for `:`, %2F for `/`, %3F for `?`, \
                        %23 for `#` and %25 for `%` in a password";

/// Never shows the URL, which contains a password.
fn url_problem(error: &UrlError) -> OptionError {
    let what = match error {
        UrlError::UnsupportedScheme { .. } => "it does not start with mysql://".to_string(),
        UrlError::UnknownParameter { param } | UrlError::InvalidParamValue { param, .. } => {
            format!("its parameter `{param}` is not understood")
        }
        _ => "it is not a URL".to_string(),
    };
    problem(&["url"], &what, Some(URL_FORM))
}

fn in_range(name: &str, value: u64, least: u64, most: u64) -> Result<u64, OptionError> {
    if (least..=most).contains(&value) { Ok(value) } else { Err(problem(&[name], &format!("it must be {least} to {most}"), None)) }
}

fn problem(path: &[&str], message: &str, help: Option<&str>) -> OptionError {
    OptionError { path: path.iter().map(|p| p.to_string()).collect(), message: message.into(), help: help.map(Into::into) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(options: serde_json::Value) -> Result<MysqlOptions, OptionError> {
        MysqlOptions::read(&options)
    }

    #[test]
    fn a_bad_url_is_named_without_its_password() {
        let error = read(serde_json::json!({"url": "postgres://u:sesame@h/db"})).unwrap_err();
        assert_eq!(error.to_string(), "option `url`: it does not start with mysql://");
        let error = read(serde_json::json!({"url": "mysql://u:sesame@h:port/db"})).unwrap_err();
        assert_eq!(error.to_string(), "option `url`: it is not a URL");
        assert!(!format!("{error:?}").contains("sesame"));
    }

    #[test]
    fn an_escape_in_a_password_is_seen() {
        let escaped = |url: &str| read(serde_json::json!({ "url": url })).unwrap().password_is_escaped;
        assert!(escaped("mysql://u:a%41b@h/db") && escaped("mysql://u:a@b%40@h/db"));
        assert!(!escaped("mysql://u:a%4@h/db") && !escaped("mysql://u:a%zzb@h/db") && !escaped("mysql://u%41:a@h/d%41b"));
        for url in ["mysql://u:a/b@h/db", "mysql://u:a#b@h/db", "mysql://u:1?b@h/db", "mysql://u:1/b@h/db"] {
            let error = read(serde_json::json!({ "url": url })).unwrap_err();
            assert!(error.help.as_deref().is_some_and(|help| help.contains("%2F for `/`, %3F for `?`, %23 for `#`")), "{url}: {error}");
        }
    }

    #[test]
    fn defaults_are_filled_in() {
        let options = read(serde_json::json!({"url": "mysql://u:p%40ss@h/db", "tls": {}})).unwrap();
        assert_eq!(options.opts.pass(), Some("p@ss"));
        assert_eq!(options.database(), Some("db"));
        assert_eq!(options.tls.unwrap().mode, TlsMode::VerifyFull);
        assert_eq!((options.heartbeat_ms, options.read_timeout_ms, options.snapshot_connections), (5_000, 30_000, 4));
    }

    #[test]
    fn a_timeout_below_the_heartbeat_is_refused() {
        let error = read(serde_json::json!({"url": "mysql://u@h/db", "heartbeat_ms": 1000, "read_timeout_ms": 1500})).unwrap_err();
        assert_eq!(error.to_string(), "option `read_timeout_ms`: it is less than twice `heartbeat_ms`");
    }
}
