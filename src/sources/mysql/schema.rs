//! Reads table definitions from `information_schema` of a live server.
//!
//! Out: for each table a [`Table`], and for each column what decoding its values needs ([`ColumnKind`]). A column that cannot be captured
//! exactly is refused here, by name, before anything runs.

use std::collections::BTreeSet;

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Row};

use super::charset::Charset;
use super::column::ColumnKind;
use super::errors::{is_access_error, query_error};
use super::foreign_keys::TableAt;
use super::options::MysqlOptions;
use super::quoting::{literal, quoted};
use super::server::{Flavour, Server};
use super::values::ZeroDates;
use crate::sources::{SourceError, Table};
use crate::value::{Column, Layout, Schema};

/// A table and how to decode its rows.
#[derive(Debug, Clone)]
pub(crate) struct MysqlTable {
    pub(crate) database: String,
    pub(crate) name: String,
    pub(crate) columns: Vec<MysqlColumn>,
    pub(crate) table: Table,
    pub(crate) layout: Layout,
    /// `None`: `columns` are all columns of the table.
    pub(crate) part: Option<ReadColumns>,
}

/// Which columns of a table are read, if not all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ReadColumns {
    /// For each column that is read, its place in the table.
    pub(crate) places: Vec<usize>,
    /// The number of all columns.
    pub(crate) of: usize,
}

/// A column and how to decode its values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MysqlColumn {
    pub(crate) name: String,
    pub(crate) kind: ColumnKind,
    pub(crate) nullable: bool,
    /// The name of the collation, for text columns.
    pub(crate) collation: Option<String>,
    /// The expression of a column that the server computes whenever it is read.
    pub(crate) computed: Option<String>,
    /// Whether it is a CHAR, whose values the server pads with spaces.
    pub(crate) is_padded: bool,
}

impl MysqlTable {
    pub(crate) fn new(
        database: String,
        name: String,
        spec_name: &str,
        columns: Vec<MysqlColumn>,
        key: Vec<usize>,
        zero_dates: ZeroDates,
    ) -> MysqlTable {
        let schema = Schema::new(
            columns.iter().map(|c| Column::new(&c.name, c.kind.ty(zero_dates), c.nullable || c.kind.can_turn_null(zero_dates))).collect(),
        );
        let layout = Layout::new(&schema);
        MysqlTable { database, name, columns, table: Table { name: spec_name.into(), schema, key, stream: false }, layout, part: None }
    }

    /// Whether the spec names the table without its database, so that the database is that of the URL.
    pub(super) fn is_named_without_database(&self) -> bool {
        let (spec_name, database) = (self.table.name.to_lowercase(), self.database.to_lowercase());
        !spec_name.strip_prefix(&database).is_some_and(|rest| rest.starts_with('.'))
    }

    pub(super) fn at(&self) -> TableAt {
        TableAt { database: self.database.clone(), name: self.name.clone() }
    }

    /// The index of the column with this name, which is compared as the server compares names of columns.
    pub(super) fn column(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| column.name.to_lowercase() == name.to_lowercase())
    }

    /// The table's name for a statement, with its database.
    pub(super) fn quoted(&self) -> String {
        format!("{}.{}", quoted(&self.database), quoted(&self.name))
    }
}

/// Reads the tables with these names. Each name is `table` of the URL's database, or `database.table`.
pub(super) async fn read_tables(
    conn: &mut Conn,
    server: &Server,
    options: &MysqlOptions,
    names: &[String],
) -> Result<Vec<MysqlTable>, SourceError> {
    let mut tables: Vec<MysqlTable> = Vec::with_capacity(names.len());
    for spec_name in names {
        let table = read_table(conn, server, options, spec_name).await?;
        if let Some(same) = tables.iter().find(|t| (&t.database, &t.name) == (&table.database, &table.name)) {
            return Err(SourceError::Invalid {
                message: format!("`{}` and `{spec_name}` are one table, {}", same.table.name, table.quoted()),
                table: Some(spec_name.clone()),
                help: Some(format!("name it `{}` everywhere", same.table.name)),
            });
        }
        tables.push(table);
    }
    Ok(tables)
}

/// All ways to split a name into a database and a table. Both may contain dots, so every dot is tried.
fn meanings<'a>(spec_name: &'a str, options: &'a MysqlOptions) -> Vec<(&'a str, &'a str)> {
    let by_dots = spec_name.match_indices('.').map(|(dot, _)| (&spec_name[..dot], &spec_name[dot + 1..]));
    by_dots.chain(options.database().map(|database| (database, spec_name))).filter(|(d, t)| !d.is_empty() && !t.is_empty()).collect()
}

/// All base tables that the user can see, named as the spec would name them.
pub(super) async fn table_names(conn: &mut Conn, options: &MysqlOptions) -> Result<Vec<String>, SourceError> {
    let rows: Vec<Row> = conn
        .query(
            "SELECT TABLE_SCHEMA, TABLE_NAME FROM information_schema.TABLES \
             WHERE TABLE_TYPE = 'BASE TABLE' AND TABLE_SCHEMA NOT IN ('mysql', 'sys', 'performance_schema', 'information_schema') \
             ORDER BY 1, 2",
        )
        .await
        .map_err(|e| query_error("listing the tables", e))?;
    let name = |row: Row| {
        let (database, table) = (text(&row, 0)?, text(&row, 1)?);
        Some(if options.database() == Some(database.as_str()) { table } else { format!("{database}.{table}") })
    };
    Ok(rows.into_iter().filter_map(name).collect())
}

async fn read_table(conn: &mut Conn, server: &Server, options: &MysqlOptions, spec_name: &str) -> Result<MysqlTable, SourceError> {
    let invalid = |message: String, help: Option<String>| SourceError::Invalid { message, table: Some(spec_name.into()), help };
    let doing = format!("reading the columns of `{spec_name}`");
    let mut tables = Vec::new();
    let mut alike = None;
    let meanings = meanings(spec_name, options);
    for (database, name) in &meanings {
        match found(conn, server, database, name).await.map_err(|e| query_error(&doing, e))? {
            Ok(found) => tables.push(found),
            Err(other) => alike = alike.or(other),
        }
    }
    let ServerTable { database, name, kind } = match (tables.pop(), tables.pop(), meanings.first()) {
        (Some(only), None, _) => only,
        (Some(one), Some(other), _) => {
            let (one, other) = (one.quoted(), other.quoted());
            let help = "end `url` with another database, or with none";
            return Err(invalid(format!("`{spec_name}` may be the table {one} or the table {other}"), Some(help.into())));
        }
        (None, _, Some((database, name))) => {
            return Err(invalid(format!("there is no table `{name}` in the database `{database}`"), alike));
        }
        (None, _, None) => {
            let help = "name it `database.table`, or end `url` with the database";
            return Err(invalid(format!("the database of the table `{spec_name}` is not given"), Some(help.into())));
        }
    };
    let (database, name) = (database.as_str(), name.as_str());
    let filter = format!("TABLE_SCHEMA = {} AND TABLE_NAME = {}", literal(database), literal(name));
    match kind.as_str() {
        "BASE TABLE" => {}
        "SYSTEM VERSIONED" => {
            return Err(invalid(
                format!("`{spec_name}` is system-versioned, and its log does not say what was deleted"),
                Some(format!("ALTER TABLE {}.{} DROP SYSTEM VERSIONING", quoted(database), quoted(name))),
            ));
        }
        other => return Err(invalid(format!("`{spec_name}` is not a table but a {}", other.to_lowercase()), None)),
    }
    readable(conn, &filter, database, name, &doing).await?.map_or(Ok(()), |(what, help)| Err(invalid(what, Some(help))))?;
    let json_checks = json_checks(conn, server, database, name).await?;
    let mut columns = Vec::new();
    for described in described(conn, &filter, spec_name).await? {
        let is_json = json_checks.contains(&described.name);
        columns.push(described.column(options, is_json, spec_name)?);
    }
    let key = primary_key(conn, &filter, &columns).await.map_err(|e| query_error(&doing, e))?;
    Ok(MysqlTable::new(database.into(), name.into(), spec_name, columns, key, options.zero_dates))
}

/// Reads these columns of a table, and those of its primary key, or of a unique key without NULLs if it has no primary key.
pub(super) async fn read_part(
    conn: &mut Conn,
    options: &MysqlOptions,
    table: &TableAt,
    wanted: &BTreeSet<String>,
) -> Result<MysqlTable, SourceError> {
    let spec_name = format!("{}.{}", table.database, table.name);
    let filter = format!("TABLE_SCHEMA = {} AND TABLE_NAME = {}", literal(&table.database), literal(&table.name));
    let doing = format!("reading the columns of `{spec_name}`");
    let all = described(conn, &filter, &spec_name).await?;
    let mut key = primary_key_names(conn, &filter).await.map_err(|e| query_error(&doing, e))?;
    if key.is_empty() {
        key = unique_key_names(conn, &filter).await.map_err(|e| query_error(&doing, e))?;
    }
    let of = all.len();
    let (mut columns, mut places) = (Vec::new(), Vec::new());
    for (place, described) in all.into_iter().enumerate() {
        let is_wanted = |name: &String| name.to_lowercase() == described.name.to_lowercase();
        if wanted.iter().any(is_wanted) || key.contains(&described.name) {
            places.push(place);
            columns.push(described.column(options, false, &spec_name)?);
        }
    }
    let key = key.iter().filter_map(|name| columns.iter().position(|column: &MysqlColumn| column.name == *name)).collect();
    let read = MysqlTable::new(table.database.clone(), table.name.clone(), &spec_name, columns, key, options.zero_dates);
    Ok(MysqlTable { part: Some(ReadColumns { places, of }), ..read })
}

/// Describes all columns of a table.
async fn described(conn: &mut Conn, filter: &str, spec_name: &str) -> Result<Vec<Described>, SourceError> {
    let doing = format!("reading the columns of `{spec_name}`");
    let rows: Vec<Row> = conn
        .query(format!("SELECT {DESCRIBED} FROM information_schema.COLUMNS WHERE {filter} ORDER BY ORDINAL_POSITION"))
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

/// Returns what is wrong and how to fix it if the user may read only some of the columns: the server does not describe the other ones.
async fn readable(conn: &mut Conn, filter: &str, database: &str, name: &str, doing: &str) -> Result<Option<(String, String)>, SourceError> {
    let query = format!("SELECT COUNT(*) FROM information_schema.COLUMN_PRIVILEGES WHERE {filter}");
    let grants: Option<u64> = conn.query_first(query).await.map_err(|e| query_error(doing, e))?;
    if grants.unwrap_or(0) == 0 {
        return Ok(None);
    }
    let table = format!("{}.{}", quoted(database), quoted(name));
    match conn.query_drop(format!("SELECT * FROM {table} LIMIT 0")).await {
        Err(error) if is_access_error(&error) => {
            let what = format!("the user may read only some columns of {table}, but the log has all of them");
            Ok(Some((what, format!("GRANT SELECT ON {table} TO the user"))))
        }
        // Other errors are reported when the table is read.
        _ => Ok(None),
    }
}

/// A table, with the names as the server writes them.
struct ServerTable {
    database: String,
    name: String,
    kind: String,
}

impl ServerTable {
    fn quoted(&self) -> String {
        format!("{}.{}", quoted(&self.database), quoted(&self.name))
    }
}

/// Finds the table of this name, compared as the server compares names. If there is none, returns help when another table differs only in
/// case.
///
/// The collation of `information_schema` treats more letters as equal than the server does for names.
async fn found(
    conn: &mut Conn,
    server: &Server,
    database: &str,
    name: &str,
) -> Result<Result<ServerTable, Option<String>>, mysql_async::Error> {
    let query = format!(
        "SELECT TABLE_SCHEMA, TABLE_NAME, TABLE_TYPE FROM information_schema.TABLES WHERE TABLE_SCHEMA = {} AND TABLE_NAME = {}",
        literal(database),
        literal(name)
    );
    let rows: Vec<Row> = conn.query(query).await?;
    let found = |row: &Row| Some(ServerTable { database: text(row, 0)?, name: text(row, 1)?, kind: text(row, 2)? });
    let here = |found: &ServerTable| server.same_name(&found.database, database) && server.same_name(&found.name, name);
    if let Some(found) = rows.iter().filter_map(found).find(here) {
        return Ok(Ok(found));
    }
    let query = format!(
        "SELECT TABLE_SCHEMA, TABLE_NAME FROM information_schema.TABLES WHERE LOWER(TABLE_SCHEMA) = LOWER({}) AND LOWER(TABLE_NAME) = LOWER({})",
        literal(database),
        literal(name)
    );
    let rows: Vec<Row> = conn.query(query).await?;
    let is_alike = |(other_database, other): &(String, String)| {
        other_database.to_lowercase() == database.to_lowercase() && other.to_lowercase() == name.to_lowercase()
    };
    let other = rows.iter().filter_map(|row| Some((text(row, 0)?, text(row, 1)?))).find(is_alike);
    let help = |(database, name)| format!("names are case-sensitive at this server, which has {}.{}", quoted(database), quoted(name));
    Ok(Err(other.as_ref().map(|(database, name)| (database.as_str(), name.as_str())).map(help)))
}

async fn primary_key(conn: &mut Conn, filter: &str, columns: &[MysqlColumn]) -> Result<Vec<usize>, mysql_async::Error> {
    let names = primary_key_names(conn, filter).await?;
    Ok(names.iter().filter_map(|name| columns.iter().position(|c| c.name == *name)).collect())
}

/// The columns of the first unique key in which no column can be NULL.
async fn unique_key_names(conn: &mut Conn, filter: &str) -> Result<Vec<String>, mysql_async::Error> {
    let rows: Vec<(String, String, bool)> = conn
        .query(format!(
            "SELECT INDEX_NAME, COLUMN_NAME, NULLABLE = 'YES' OR SUB_PART IS NOT NULL FROM information_schema.STATISTICS WHERE {filter} AND \
             NON_UNIQUE = 0 AND COLUMN_NAME IS NOT NULL ORDER BY INDEX_NAME, SEQ_IN_INDEX"
        ))
        .await?;
    let whole = rows.chunk_by(|a, b| a.0 == b.0).find(|key| key.iter().all(|(_, _, is_partial)| !is_partial));
    Ok(whole.unwrap_or_default().iter().map(|(_, column, _)| column.clone()).collect())
}

async fn primary_key_names(conn: &mut Conn, filter: &str) -> Result<Vec<String>, mysql_async::Error> {
    let rows: Vec<Row> = conn
        .query(format!(
            "SELECT COLUMN_NAME FROM information_schema.STATISTICS WHERE {filter} AND INDEX_NAME = 'PRIMARY' ORDER BY SEQ_IN_INDEX"
        ))
        .await?;
    Ok(rows.iter().filter_map(|row| text(row, 0)).collect())
}

/// The columns that were declared as JSON at MariaDB, which stores them as text with a check.
async fn json_checks(conn: &mut Conn, server: &Server, database: &str, name: &str) -> Result<Vec<String>, SourceError> {
    if server.flavour == Flavour::Mysql {
        return Ok(Vec::new());
    }
    let rows: Vec<Row> = conn
        .query(format!(
            "SELECT CHECK_CLAUSE FROM information_schema.CHECK_CONSTRAINTS WHERE CONSTRAINT_SCHEMA = {} AND TABLE_NAME = {}",
            literal(database),
            literal(name)
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

    fn column(self, options: &MysqlOptions, is_json_check: bool, spec_name: &str) -> Result<MysqlColumn, SourceError> {
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
