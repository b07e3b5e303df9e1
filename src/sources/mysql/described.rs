//! Columns as `information_schema` describes them: their types, and what decoding their values needs.

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Row};

use super::charset::Charset;
use super::column::{ColumnKind, MysqlColumn};
use super::errors::query_error;
use super::options::MysqlOptions;
use super::quoting::literal;
use super::server::{Flavour, Server};
use super::table_at::TableAt;
use crate::sources::SourceError;

/// Describes all columns of a table.
pub(super) async fn described(conn: &mut Conn, table: &TableAt, spec_name: &str) -> Result<Vec<Described>, SourceError> {
    let doing = format!("reading the columns of `{spec_name}`");
    let rows: Vec<Row> = conn
        .query(format!("SELECT {DESCRIBED} FROM information_schema.COLUMNS WHERE {} ORDER BY ORDINAL_POSITION", table.filter()))
        .await
        .map_err(|e| query_error(&doing, e))?;
    if rows.is_empty() {
        return Err(SourceError::Transient { message: format!("{doing}: it is being changed") });
    }
    let unread = || SourceError::Invalid {
        message: format!("the columns of `{spec_name}` cannot be read"),
        table: Some(spec_name.into()),
        help: None,
    };
    rows.iter().map(|row| Described::from_row(row).ok_or_else(unread)).collect()
}

/// The columns that were declared as JSON at MariaDB, which stores them as text with a check.
pub(super) async fn json_checks(conn: &mut Conn, server: &Server, table: &TableAt) -> Result<Vec<String>, SourceError> {
    if server.flavour == Flavour::Mysql {
        return Ok(Vec::new());
    }
    let rows: Vec<Row> = conn
        .query(format!(
            "SELECT CHECK_CLAUSE FROM information_schema.CHECK_CONSTRAINTS WHERE CONSTRAINT_SCHEMA = {} AND TABLE_NAME = {}",
            literal(&table.database),
            literal(&table.name)
        ))
        .await
        .map_err(|e| query_error("reading the checks of a table", e))?;
    Ok(rows.iter().filter_map(|row| json_column(&text(row, 0)?)).collect())
}

/// The column that a check declares to be JSON.
pub(super) fn json_column(check: &str) -> Option<String> {
    let name = check.strip_prefix("json_valid(`")?.strip_suffix("`)")?;
    Some(name.replace("``", "`"))
}

pub(super) fn text(row: &Row, column: usize) -> Option<String> {
    row.get_opt::<Option<String>, usize>(column)?.ok()?
}

/// The columns of `information_schema.COLUMNS` that [`Described::from_row`] reads.
pub(super) const DESCRIBED: &str = "COLUMN_NAME, DATA_TYPE, COLUMN_TYPE, IS_NULLABLE, NUMERIC_PRECISION, NUMERIC_SCALE, \
    DATETIME_PRECISION, CHARACTER_SET_NAME, COLLATION_NAME, CHARACTER_MAXIMUM_LENGTH, EXTRA, GENERATION_EXPRESSION";

/// A row of `information_schema.COLUMNS`.
pub(super) struct Described {
    pub(super) name: String,
    pub(super) data_type: String,
    column_type: String,
    pub(super) nullable: bool,
    precision: u64,
    scale: u64,
    fsp: u64,
    charset: Option<String>,
    collation: Option<String>,
    pub(super) length: u64,
    /// The expression of a virtual column.
    computed: Option<String>,
}

impl Described {
    pub(super) fn from_row(row: &Row) -> Option<Described> {
        let number = |column| row.get_opt::<Option<u64>, usize>(column).and_then(Result::ok).flatten().unwrap_or(0);
        Some(Described {
            name: text(row, 0)?,
            data_type: text(row, 1)?.to_lowercase(),
            column_type: text(row, 2)?,
            nullable: text(row, 3)? == "YES",
            precision: number(4),
            scale: number(5),
            fsp: number(6),
            charset: text(row, 7),
            collation: text(row, 8),
            length: number(9),
            computed: text(row, 10).filter(|extra| extra.to_uppercase().contains("VIRTUAL")).map(|_| text(row, 11).unwrap_or_default()),
        })
    }

    pub(super) fn column(self, options: &MysqlOptions, is_json_check: bool, spec_name: &str) -> Result<MysqlColumn, SourceError> {
        let kind = self.kind(options, is_json_check).map_err(|why| SourceError::Invalid {
            message: format!("the column `{}` of `{spec_name}` {why}", self.name),
            table: Some(spec_name.into()),
            help: Some("it cannot be captured as it is".into()),
        })?;
        Ok(MysqlColumn {
            name: self.name,
            kind,
            nullable: self.nullable,
            collation: self.collation,
            computed: self.computed,
            is_padded: self.data_type == "char",
        })
    }

    /// The column's type, or why the column cannot be captured.
    pub(super) fn kind(&self, options: &MysqlOptions, is_json_check: bool) -> Result<ColumnKind, String> {
        let column_type = self.column_type.to_lowercase();
        if column_type.contains("/*m!100301 compressed*/") || column_type.contains("/*!100301 compressed*/") {
            return Err("is COMPRESSED, which the log does not carry in a readable form".into());
        }
        let unsigned = column_type.contains("unsigned");
        let int = |bytes| ColumnKind::Int { bytes, unsigned };
        let fsp = self.fsp as u8;
        Ok(match self.data_type.as_str() {
            "tinyint" if options.tinyint1_as_bool && column_type.starts_with("tinyint(1)") && !unsigned => ColumnKind::Bool,
            "tinyint" => int(1),
            "smallint" => int(2),
            "mediumint" => int(3),
            "int" => int(4),
            "bigint" => int(8),
            "bit" => ColumnKind::Bit,
            "year" => ColumnKind::Year,
            "float" => ColumnKind::Float,
            "double" => ColumnKind::Double,
            "decimal" => ColumnKind::Decimal { precision: self.precision as u8, scale: self.scale as u8 },
            "date" => ColumnKind::Date,
            "datetime" | "timestamp" | "time" if column_type.contains("/* mariadb-5.3 */") => {
                return Err("has the time format of MariaDB 5.3; ALTER TABLE ... FORCE converts it to the current one".into());
            }
            "datetime" => ColumnKind::DateTime { fsp },
            "timestamp" => ColumnKind::Timestamp { fsp },
            "time" => ColumnKind::Time { fsp },
            "char" | "varchar" | "tinytext" | "text" | "mediumtext" | "longtext" => match self.charset()? {
                charset if is_json_check => ColumnKind::JsonText(charset),
                charset => ColumnKind::Text(charset),
            },
            "binary" => ColumnKind::FixedBinary { length: self.length as usize },
            "varbinary" | "tinyblob" | "blob" | "mediumblob" | "longblob" | "vector" => ColumnKind::Binary,
            "enum" => ColumnKind::Enum { labels: labels(&self.column_type)?, charset: self.charset()? },
            "set" => ColumnKind::Set { labels: labels(&self.column_type)?, charset: self.charset()? },
            "json" => ColumnKind::Json,
            "geometry" | "point" | "linestring" | "polygon" | "multipoint" | "multilinestring" | "multipolygon" | "geomcollection"
            | "geometrycollection" => ColumnKind::Geometry,
            "uuid" => ColumnKind::Uuid,
            "inet4" => ColumnKind::Inet4,
            "inet6" => ColumnKind::Inet6,
            other => return Err(format!("has the type {other}, which is not known")),
        })
    }

    fn charset(&self) -> Result<Charset, String> {
        let name = self.charset.as_deref().unwrap_or("binary");
        name.parse().map_err(|()| format!("has the charset {name}, which is not known"))
    }
}

/// Parses the labels of `enum('a','b''c')`, as the server prints it: quotes are doubled, special characters have a backslash.
fn labels(column_type: &str) -> Result<Vec<String>, String> {
    let malformed = || "has labels that cannot be read".to_string();
    let (_, list) = column_type.split_once('(').ok_or_else(malformed)?;
    let mut labels = Vec::new();
    let mut rest = list.chars().peekable();
    while rest.next() == Some('\'') {
        let mut label = String::new();
        loop {
            match rest.next().ok_or_else(malformed)? {
                '\'' if rest.peek() == Some(&'\'') => {
                    rest.next();
                    label.push('\'');
                }
                '\'' => break,
                '\\' => label.push(match rest.next().ok_or_else(malformed)? {
                    'n' => '\n',
                    'r' => '\r',
                    't' => '\t',
                    '0' => '\0',
                    other => other,
                }),
                other => label.push(other),
            }
        }
        labels.push(label);
        match rest.next() {
            Some(',') => {}
            Some(')') => return Ok(labels),
            _ => return Err(malformed()),
        }
    }
    Err(malformed())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_unquoted() {
        assert_eq!(labels("enum('a','b''c',' d,)','')").unwrap(), ["a", "b'c", " d,)", ""]);
        assert_eq!(labels(r"set('x\\y','é')").unwrap(), [r"x\y", "é"]);
        assert!(labels("enum('a'").is_err());
        assert!(labels("enum(a)").is_err());
    }
}
