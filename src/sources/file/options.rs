//! The options of a `file` source, and the checks that need no file.

use std::path::PathBuf;

use serde::Deserialize;

use super::bad_line::BadLines;
use crate::options::{Kind, OptionError, OptionSpec, OptionType};
use crate::value::Type;

pub(crate) const KIND: Kind = Kind {
    name: "file",
    help: "Tables from CSV or JSON-lines files and their changes from another, or both from recorded binary logs",
    options: &[
        OptionSpec {
            name: "tables",
            value: OptionType::Map(&OptionType::Record(TABLE)),
            required: false,
            secret: false,
            help: "The tables by name, each with the file of its rows",
        },
        OptionSpec {
            name: "changes",
            value: OptionType::Path,
            required: false,
            secret: false,
            help: "JSON lines of changes to the tables, followed while it grows",
        },
        OptionSpec {
            name: "bad_lines",
            value: OptionType::OneOf(&["quarantine", "stop"]),
            required: false,
            secret: false,
            help: "What to do with a line that cannot be read: `quarantine` (leave it out; `tidemill errors` counts and lists it) or \
                   `stop` (stop the source at it). Default: quarantine.",
        },
        OptionSpec {
            name: "binlog",
            value: OptionType::List(&OptionType::Path),
            required: false,
            secret: false,
            help: "Instead of the other options: binary logs of a MySQL or MariaDB server, in order, that begin with empty tables",
        },
    ],
};

const TABLE: &[OptionSpec] = &[
    OptionSpec {
        name: "csv",
        value: OptionType::Path,
        required: false,
        secret: false,
        help: "Rows as CSV (RFC 4180, UTF-8); the first line names the columns",
    },
    OptionSpec { name: "jsonl", value: OptionType::Path, required: false, secret: false, help: "Rows as JSON objects, one on a line" },
    OptionSpec {
        name: "key",
        value: OptionType::List(&OptionType::Text),
        required: false,
        secret: false,
        help: "The columns of the primary key; without a key, equal rows are only counted",
    },
    OptionSpec {
        name: "stream",
        value: OptionType::Bool,
        required: false,
        secret: false,
        help: "Whether rows are only ever appended: the file is then followed while it grows, and rows get the column ROWOFFSET, \
               which rises in order of arrival. Default: false",
    },
    OptionSpec {
        name: "columns",
        value: OptionType::Map(&OptionType::Text),
        required: false,
        secret: false,
        help: "Types of columns, e.g. `price: decimal(10,2)`; the others are inferred from the whole file",
    },
    OptionSpec {
        name: "null",
        value: OptionType::Text,
        required: false,
        secret: false,
        help: "The CSV field that means NULL; default: the empty one",
    },
    OptionSpec {
        name: "delimiter",
        value: OptionType::Text,
        required: false,
        secret: false,
        help: "The character between CSV fields; default: a comma",
    },
];

/// The checked options.
#[derive(Debug)]
pub(super) enum FileOptions {
    Tables {
        tables: Vec<TableOptions>,
        changes: Option<PathBuf>,
        bad_lines: BadLines,
    },
    /// Recorded logs, which contain the definitions of the tables.
    #[cfg(feature = "mysql")]
    Binlog(Vec<PathBuf>),
}

/// The options of one table.
#[derive(Debug, Clone)]
pub(super) struct TableOptions {
    pub(super) name: String,
    pub(super) rows: RowsFile,
    pub(super) key: Vec<String>,
    pub(super) stream: bool,
    /// In the order of the spec.
    pub(super) columns: Vec<(String, Type)>,
}

/// The initial rows of a table.
#[derive(Debug, Clone)]
pub(super) enum RowsFile {
    Csv {
        path: PathBuf,
        null: String,
        delimiter: u8,
    },
    JsonLines {
        path: PathBuf,
    },
    /// The table starts empty.
    None,
}

#[derive(Deserialize)]
struct WrittenFileOptions {
    #[serde(default)]
    tables: serde_json::Map<String, serde_json::Value>,
    changes: Option<PathBuf>,
    bad_lines: Option<BadLines>,
    #[serde(default)]
    binlog: Vec<PathBuf>,
}

#[derive(Deserialize)]
struct TypedTable {
    csv: Option<PathBuf>,
    jsonl: Option<PathBuf>,
    #[serde(default)]
    key: Vec<String>,
    #[serde(default)]
    stream: bool,
    #[serde(default)]
    columns: serde_json::Map<String, serde_json::Value>,
    null: Option<String>,
    delimiter: Option<String>,
}

impl FileOptions {
    /// Parses options that match [`KIND`].
    pub(super) fn read(options: &serde_json::Value) -> Result<FileOptions, OptionError> {
        let typed = WrittenFileOptions::deserialize(options).map_err(|e| refuse(&[], e.to_string(), None))?;
        if !typed.binlog.is_empty() {
            if !typed.tables.is_empty() || typed.changes.is_some() {
                let help = Some("remove `tables` and `changes`: the log has the tables and their changes");
                return Err(refuse(&["binlog"], "it cannot be combined with `tables` or `changes`".into(), help));
            }
            if typed.bad_lines.is_some() {
                let help = Some("remove it: a damaged log always stops the source");
                return Err(refuse(&["bad_lines"], "it cannot be combined with `binlog`, which has no lines".into(), help));
            }
            #[cfg(feature = "mysql")]
            return Ok(FileOptions::Binlog(typed.binlog));
            #[cfg(not(feature = "mysql"))]
            return Err(refuse(&["binlog"], "this program was built without MySQL".into(), Some("build it with the feature `mysql`")));
        }
        if typed.tables.is_empty() {
            let help = Some("give `tables: {orders: {csv: orders.csv, key: [order_id]}}` or `binlog: [shop.binlog]`");
            return Err(refuse(&["tables"], "there is no table".into(), help));
        }
        let tables = typed.tables.iter().map(|(name, value)| table(name, value)).collect::<Result<_, _>>()?;
        Ok(FileOptions::Tables { tables, changes: typed.changes, bad_lines: typed.bad_lines.unwrap_or_default() })
    }
}

fn table(name: &str, value: &serde_json::Value) -> Result<TableOptions, OptionError> {
    let at = ["tables", name];
    let typed = TypedTable::deserialize(value).map_err(|e| refuse(&at, e.to_string(), None))?;
    let columns = typed.columns.iter().map(|(column, ty)| column_type(name, column, ty)).collect::<Result<Vec<_>, _>>()?;
    if typed.csv.is_none() && (typed.null.is_some() || typed.delimiter.is_some()) {
        return Err(refuse(&at, "`null` and `delimiter` are for CSV".into(), None));
    }
    let delimiter = match typed.delimiter.as_deref() {
        None => b',',
        Some("\\t" | "tab") => b'\t',
        Some(text) => match text.as_bytes() {
            [byte] if byte.is_ascii() && !matches!(byte, b'"' | b'\r' | b'\n') => *byte,
            _ => return Err(refuse(&["tables", name, "delimiter"], "it must be one ASCII character".into(), Some("write a tab as `tab`"))),
        },
    };
    let rows = match (typed.csv, typed.jsonl) {
        (Some(_), Some(_)) => return Err(refuse(&at, "it has both `csv` and `jsonl`".into(), Some("keep one of them"))),
        (Some(path), None) => RowsFile::Csv { path, null: typed.null.unwrap_or_default(), delimiter },
        (None, Some(path)) => RowsFile::JsonLines { path },
        (None, None) if columns.is_empty() => {
            let help = Some("give `csv` or `jsonl`, or `columns` for a table that starts empty");
            return Err(refuse(&at, "it has neither a file nor columns".into(), help));
        }
        (None, None) => RowsFile::None,
    };
    if typed.stream && !typed.key.is_empty() {
        let help = "remove `key`: the rows of a stream are identified by their order of arrival";
        return Err(refuse(&["tables", name, "key"], "a stream has no key".into(), Some(help)));
    }
    Ok(TableOptions { name: name.into(), rows, key: typed.key, stream: typed.stream, columns })
}

fn column_type(table: &str, column: &str, ty: &serde_json::Value) -> Result<(String, Type), OptionError> {
    let at = ["tables", table, "columns", column];
    let text = ty.as_str().ok_or_else(|| refuse(&at, "it must be the name of a type".into(), None))?;
    let ty = text.parse::<Type>().map_err(|message| refuse(&at, message, Some(TYPES)))?;
    Ok((column.into(), ty))
}

const TYPES: &str = "types: bool, int8 to int64, uint8 to uint64, float32, float64, decimal(p,s), text, binary, json, date, datetime(n), \
                     timestamp(n), time(n)";

pub(super) fn refuse(path: &[&str], message: String, help: Option<&str>) -> OptionError {
    OptionError { path: path.iter().map(|p| p.to_string()).collect(), message, help: help.map(String::from) }
}

impl TableOptions {
    /// Whether the table's file is followed for appended rows.
    pub(super) fn is_followed(&self) -> bool {
        self.stream && self.rows.path().is_some()
    }
}

impl RowsFile {
    pub(super) fn path(&self) -> Option<&std::path::Path> {
        match self {
            RowsFile::Csv { path, .. } | RowsFile::JsonLines { path } => Some(path),
            RowsFile::None => None,
        }
    }
}
