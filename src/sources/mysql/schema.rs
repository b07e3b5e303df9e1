//! Reads table definitions from `information_schema` of a live server.
//!
//! Out: for each table a [`Table`], and for each column what decoding its values needs ([`MysqlColumn`]). A column that cannot be captured
//! exactly is refused here, by name, before anything runs.

use std::collections::BTreeSet;

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Row};

use super::column::MysqlColumn;
use super::described::{described, json_checks, text};
use super::errors::{is_access_error, query_error};
use super::options::MysqlOptions;
use super::quoting::{literal, quoted};
use super::server::Server;
use super::table_at::{TableAt, VERSIONED, unusable_kind};
use super::unique_keys;
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
    pub(crate) part: Option<ColumnPlaces>,
}

/// Which columns of a table are read, if not all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ColumnPlaces {
    /// For each column that is read, its place in the table.
    pub(crate) places: Vec<usize>,
    /// The number of all columns.
    pub(crate) of: usize,
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
        TableAt::new(&self.database, &self.name)
    }

    /// The index of the column with this name, which is compared as the server compares names of columns.
    pub(super) fn column(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| column.name.to_lowercase() == name.to_lowercase())
    }

    /// The table's name for a statement, with its database.
    pub(super) fn quoted(&self) -> String {
        self.at().quoted()
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
    let ServerTable { at, kind } = match (tables.pop(), tables.pop(), meanings.first()) {
        (Some(only), None, _) => only,
        (Some(one), Some(other), _) => {
            let (one, other) = (one.at.quoted(), other.at.quoted());
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
    if let Some(why) = unusable_kind(&kind) {
        let fix = (kind == VERSIONED).then(|| format!("ALTER TABLE {} DROP SYSTEM VERSIONING", at.quoted()));
        return Err(invalid(format!("`{spec_name}` {why}"), fix));
    }
    readable(conn, &at, &doing).await?.map_or(Ok(()), |(what, help)| Err(invalid(what, Some(help))))?;
    let json_checks = json_checks(conn, server, &at).await?;
    let mut columns = Vec::new();
    for described in described(conn, &at, spec_name).await? {
        let is_json = json_checks.contains(&described.name);
        columns.push(described.column(options, is_json, spec_name)?);
    }
    let keys = unique_keys::read(conn, &at.filter()).await.map_err(|e| query_error(&doing, e))?;
    let key = places(unique_keys::primary(&keys), &columns);
    Ok(MysqlTable::new(at.database, at.name, spec_name, columns, key, options.zero_dates))
}

/// The places of the columns with these names.
fn places(names: &[String], columns: &[MysqlColumn]) -> Vec<usize> {
    names.iter().filter_map(|name| columns.iter().position(|column| column.name == *name)).collect()
}

/// Reads these columns of a table, and those of its primary key, or of a unique key without NULLs if it has no primary key.
pub(super) async fn read_part(
    conn: &mut Conn,
    options: &MysqlOptions,
    table: &TableAt,
    wanted: &BTreeSet<String>,
) -> Result<MysqlTable, SourceError> {
    let spec_name = table.dotted();
    let doing = format!("reading the columns of `{spec_name}`");
    let all = described(conn, table, &spec_name).await?;
    let keys = unique_keys::read(conn, &table.filter()).await.map_err(|e| query_error(&doing, e))?;
    let key = unique_keys::identity(&keys);
    let of = all.len();
    let (mut columns, mut read) = (Vec::new(), Vec::new());
    for (place, described) in all.into_iter().enumerate() {
        let is_wanted = |name: &String| name.to_lowercase() == described.name.to_lowercase();
        if wanted.iter().any(is_wanted) || key.contains(&described.name) {
            read.push(place);
            columns.push(described.column(options, false, &spec_name)?);
        }
    }
    let key = places(key, &columns);
    let part = Some(ColumnPlaces { places: read, of });
    Ok(MysqlTable { part, ..MysqlTable::new(table.database.clone(), table.name.clone(), &spec_name, columns, key, options.zero_dates) })
}

/// Returns what is wrong and how to fix it if the user may read only some of the columns: the server does not describe the other ones.
async fn readable(conn: &mut Conn, table: &TableAt, doing: &str) -> Result<Option<(String, String)>, SourceError> {
    let query = format!("SELECT COUNT(*) FROM information_schema.COLUMN_PRIVILEGES WHERE {}", table.filter());
    let grants: Option<u64> = conn.query_first(query).await.map_err(|e| query_error(doing, e))?;
    if grants.unwrap_or(0) == 0 {
        return Ok(None);
    }
    let table = table.quoted();
    match conn.query_drop(format!("SELECT * FROM {table} LIMIT 0")).await {
        Err(error) if is_access_error(&error) => {
            let what = format!("the user may read only some columns of {table}, but the log has all of them");
            Ok(Some((what, format!("GRANT SELECT ON {table} TO the user"))))
        }
        // Other errors are reported when the table is read.
        _ => Ok(None),
    }
}

/// A table that the server has, and its kind in the server's words.
struct ServerTable {
    at: TableAt,
    kind: String,
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
    let wanted = TableAt::new(database, name);
    let query = format!("SELECT TABLE_SCHEMA, TABLE_NAME, TABLE_TYPE FROM information_schema.TABLES WHERE {}", wanted.filter());
    let rows: Vec<Row> = conn.query(query).await?;
    let found = |row: &Row| Some(ServerTable { at: TableAt::new(&text(row, 0)?, &text(row, 1)?), kind: text(row, 2)? });
    let here = |found: &ServerTable| server.same_table(&found.at, &wanted);
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
