//! Describes all tables of a database with a few queries of `information_schema`, whatever the number of tables.
//!
//! Databases that foreign keys lead to, or come from, belong to it. Elsewhere: the exact definition of a table that a run captures
//! (`schema`).

use std::collections::{BTreeMap, BTreeSet};

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Row};

use super::described::{DESCRIBED, Described, json_column, text};
use super::errors::query_error;
use super::options::MysqlOptions;
use super::quoting::literal;
use super::server::{Flavour, Server};
use super::table_at::{TableAt, unusable_kind};
use super::unique_keys;
use crate::sources::{RowCount, SourceError, Survey, SurveyedColumn, SurveyedKey, SurveyedTable};
use crate::value::Type;

const DOING: &str = "reading the tables from information_schema";
const SYSTEM: [&str; 4] = ["mysql", "sys", "performance_schema", "information_schema"];
/// The position of the first column after those of [`Described::from_row`].
const AFTER_DESCRIBED: usize = 12;
/// Tables with fewer rows by the server's estimate are counted, up to this number.
const COUNTED: u64 = 20_000;
/// How many tables one statement counts.
const COUNTED_AT_ONCE: usize = 100;

/// Reads the tables of the URL's database, or of all databases if it names none, and of the databases that foreign keys connect with them.
pub(super) async fn survey(conn: &mut Conn, server: &Server, options: &MysqlOptions, root: Option<&str>) -> Result<Survey, SourceError> {
    if server.flavour == Flavour::Mysql {
        // Otherwise the numbers of rows may be a day old.
        ask(conn, "SET SESSION information_schema_stats_expiry = 0").await?;
    }
    let mut found: BTreeMap<TableAt, SurveyedTable> = BTreeMap::new();
    let mut keys: BTreeMap<(TableAt, String), ReadKey> = BTreeMap::new();
    let mut read = BTreeSet::new();
    let mut wanted = first_databases(conn, server, options, root).await?;
    while let Some(database) = wanted.pop() {
        if !read.insert(database.clone()) || SYSTEM.contains(&database.to_lowercase().as_str()) {
            continue;
        }
        read_database(conn, server, options, &database, &mut found).await?;
        for (constraint, key) in foreign_keys(conn, &database).await? {
            wanted.extend([key.child.database.clone(), key.parent.database.clone()]);
            keys.insert((key.child.clone(), constraint), key);
        }
    }
    count(conn, &mut found).await;
    let names = spec_names(found.keys(), options.database(), server);
    add_foreign_keys(&mut found, keys, &names);
    let mut tables: Vec<SurveyedTable> = found.into_iter().map(|(path, table)| named(path, table, &names)).collect();
    tables.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(Survey { tables })
}

async fn ask(conn: &mut Conn, query: impl AsRef<str> + Send + Sync) -> Result<Vec<Row>, SourceError> {
    conn.query(query.as_ref()).await.map_err(|e| query_error(DOING, e))
}

/// The databases to begin with.
async fn first_databases(conn: &mut Conn, server: &Server, options: &MysqlOptions, root: Option<&str>) -> Result<Vec<String>, SourceError> {
    let rows = ask(conn, "SELECT SCHEMA_NAME FROM information_schema.SCHEMATA ORDER BY 1").await?;
    let all: Vec<String> = rows.iter().filter_map(|row| text(row, 0)).collect();
    let Some(own) = options.database() else { return Ok(all) };
    let is_wanted = |database: &String| {
        let of_root = root
            .and_then(|root| root.get(..database.len()))
            .is_some_and(|start| server.same_name(start, database) && root.is_some_and(|root| root[database.len()..].starts_with('.')));
        of_root || server.same_name(database, own)
    };
    Ok(all.into_iter().filter(is_wanted).collect())
}

/// Reads the tables of a database with their columns and unique keys.
async fn read_database(
    conn: &mut Conn,
    server: &Server,
    options: &MysqlOptions,
    database: &str,
    found: &mut BTreeMap<TableAt, SurveyedTable>,
) -> Result<(), SourceError> {
    let here = literal(database);
    let tables =
        ask(conn, format!("SELECT TABLE_NAME, TABLE_TYPE, TABLE_ROWS FROM information_schema.TABLES WHERE TABLE_SCHEMA = {here}")).await?;
    let mut of_database: BTreeMap<String, SurveyedTable> = BTreeMap::new();
    for row in &tables {
        let (Some(name), Some(kind)) = (text(row, 0), text(row, 1)) else { continue };
        let rows = row.get_opt::<Option<u64>, usize>(2).and_then(Result::ok).flatten();
        let unusable = unusable_kind(&kind);
        let rows = rows.filter(|_| unusable.is_none()).map(|rows| RowCount { rows, exact: false });
        of_database.insert(name, SurveyedTable { unusable, rows, ..SurveyedTable::default() });
    }
    let json = json_columns(conn, server, &here).await?;
    let columns = ask(
        conn,
        format!(
            "SELECT {DESCRIBED}, TABLE_NAME FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = {here} ORDER BY TABLE_NAME, ORDINAL_POSITION"
        ),
    )
    .await?;
    for row in &columns {
        let Some(table) = text(row, AFTER_DESCRIBED) else { continue };
        let (Some(of), Some(described)) = (of_database.get_mut(&table), Described::from_row(row)) else { continue };
        let is_json = json.contains(&(table, described.name.clone()));
        add_column(of, &described, options, is_json);
    }
    add_unique_keys(conn, &here, &mut of_database).await?;
    for (name, mut table) in of_database {
        if table.unusable.is_some() {
            table = SurveyedTable { unusable: table.unusable, ..SurveyedTable::default() };
        }
        found.insert(TableAt::new(database, &name), table);
    }
    Ok(())
}

fn add_column(table: &mut SurveyedTable, described: &Described, options: &MysqlOptions, is_json: bool) {
    if table.unusable.is_some() {
        return;
    }
    match described.kind(options, is_json) {
        Ok(kind) => {
            let ty = kind.ty(options.zero_dates);
            let declared = if ty == Type::Json { "json".to_string() } else { described.data_type.clone() };
            let length = (described.length > 0).then_some(described.length);
            table.columns.push(SurveyedColumn { name: described.name.clone(), ty, nullable: described.nullable, declared, length });
        }
        Err(why) => table.unusable = Some(format!("has a column `{}`, which {why}", described.name)),
    }
}

/// Table and column of every column of the database that MariaDB stores as text with a check for JSON.
async fn json_columns(conn: &mut Conn, server: &Server, database: &str) -> Result<BTreeSet<(String, String)>, SourceError> {
    if server.flavour == Flavour::Mysql {
        return Ok(BTreeSet::new());
    }
    let query = format!("SELECT TABLE_NAME, CHECK_CLAUSE FROM information_schema.CHECK_CONSTRAINTS WHERE CONSTRAINT_SCHEMA = {database}");
    let rows = ask(conn, query).await?;
    Ok(rows.iter().filter_map(|row| Some((text(row, 0)?, json_column(&text(row, 1)?)?))).collect())
}

async fn add_unique_keys(conn: &mut Conn, database: &str, tables: &mut BTreeMap<String, SurveyedTable>) -> Result<(), SourceError> {
    let keys = unique_keys::read(conn, &format!("TABLE_SCHEMA = {database}")).await.map_err(|e| query_error(DOING, e))?;
    for key in keys {
        let (Some(table), Some(columns)) = (tables.get_mut(&key.table), key.whole_columns()) else { continue };
        let places: Option<Vec<usize>> = columns.iter().map(|name| table.columns.iter().position(|c| c.name == *name)).collect();
        match places {
            Some(places) if key.is_primary() => table.key = places,
            Some(places) => table.unique.push(places),
            None => {}
        }
    }
    Ok(())
}

/// A foreign key as the server lists it.
struct ReadKey {
    child: TableAt,
    parent: TableAt,
    columns: Vec<(String, String)>,
}

/// The foreign keys of a database's tables, and those of other databases that refer to it, by name of the constraint.
async fn foreign_keys(conn: &mut Conn, database: &str) -> Result<Vec<(String, ReadKey)>, SourceError> {
    let here = literal(database);
    let mut keys: BTreeMap<(TableAt, String), ReadKey> = BTreeMap::new();
    for filter in [format!("TABLE_SCHEMA = {here}"), format!("REFERENCED_TABLE_SCHEMA = {here} AND TABLE_SCHEMA <> {here}")] {
        let query = format!(
            "SELECT CONSTRAINT_NAME, TABLE_SCHEMA, TABLE_NAME, COLUMN_NAME, REFERENCED_TABLE_SCHEMA, REFERENCED_TABLE_NAME, \
             REFERENCED_COLUMN_NAME FROM information_schema.KEY_COLUMN_USAGE \
             WHERE {filter} AND REFERENCED_TABLE_NAME IS NOT NULL ORDER BY TABLE_SCHEMA, TABLE_NAME, CONSTRAINT_NAME, ORDINAL_POSITION"
        );
        for row in ask(conn, query).await? {
            let texts: Option<Vec<String>> = (0..7).map(|column| text(&row, column)).collect();
            let Some([constraint, database, table, column, to_database, to_table, to_column]) =
                texts.and_then(|texts| <[String; 7]>::try_from(texts).ok())
            else {
                continue;
            };
            let (child, parent) = (TableAt::new(&database, &table), TableAt::new(&to_database, &to_table));
            let key = keys.entry((child.clone(), constraint)).or_insert_with(|| ReadKey { child, parent, columns: Vec::new() });
            key.columns.push((column, to_column));
        }
    }
    Ok(keys.into_iter().map(|((_, constraint), key)| (constraint, key)).collect())
}

fn add_foreign_keys(
    found: &mut BTreeMap<TableAt, SurveyedTable>,
    keys: BTreeMap<(TableAt, String), ReadKey>,
    names: &BTreeMap<TableAt, Result<String, String>>,
) {
    for ((_, name), ReadKey { child, parent, columns }) in keys {
        // The server may write a name in a foreign key in another letter case than the table.
        let parent = match found.contains_key(&parent) {
            true => parent,
            false => {
                let alike = |at: &&TableAt| {
                    at.database.to_lowercase() == parent.database.to_lowercase() && at.name.to_lowercase() == parent.name.to_lowercase()
                };
                found.keys().find(alike).cloned().unwrap_or(parent)
            }
        };
        let table = match names.get(&parent) {
            Some(Ok(name)) => name.clone(),
            _ => parent.dotted(),
        };
        let of_table: Vec<String> = match found.get(&parent) {
            Some(parent) => columns.iter().map(|(_, column)| as_written(&parent.columns, column)).collect(),
            None => columns.iter().map(|(_, column)| column.clone()).collect(),
        };
        let Some(child) = found.get_mut(&child) else { continue };
        let place = |column: &str| child.columns.iter().position(|c| c.name.to_lowercase() == column.to_lowercase());
        let own: Option<Vec<usize>> = columns.iter().map(|(column, _)| place(column)).collect();
        child.references.extend(own.map(|columns| SurveyedKey { name, columns, table, of_table }));
    }
}

/// The name of a column as its table writes it; a foreign key may write it in another letter case.
fn as_written(columns: &[SurveyedColumn], name: &str) -> String {
    let found = columns.iter().find(|column| column.name.to_lowercase() == name.to_lowercase());
    found.map_or(name, |column| column.name.as_str()).to_string()
}

/// Counts the rows of small tables; estimates remain where that fails.
async fn count(conn: &mut Conn, found: &mut BTreeMap<TableAt, SurveyedTable>) {
    let is_small = |table: &SurveyedTable| table.unusable.is_none() && table.rows.is_none_or(|count| count.rows < COUNTED);
    let small: Vec<TableAt> = found.iter().filter(|(_, table)| is_small(table)).map(|(path, _)| path.clone()).collect();
    for some in small.chunks(COUNTED_AT_ONCE) {
        let one = |(number, table): (usize, &TableAt)| {
            format!("SELECT {number}, COUNT(*) FROM (SELECT 1 FROM {} LIMIT {}) AS t{number}", table.quoted(), COUNTED + 1)
        };
        let query = some.iter().enumerate().map(one).collect::<Vec<_>>().join(" UNION ALL ");
        let Ok(counts) = conn.query::<(usize, u64), _>(query).await else { continue };
        for (number, rows) in counts {
            let Some(table) = some.get(number).and_then(|path| found.get_mut(path)) else { continue };
            let estimated = table.rows.map_or(0, |count| count.rows);
            table.rows = Some(RowCount { rows: rows.max(if rows > COUNTED { estimated } else { 0 }), exact: rows <= COUNTED });
        }
    }
}

/// How a spec names each table, or why it cannot: where names have dots, one name could mean two tables.
fn spec_names<'a>(
    paths: impl Iterator<Item = &'a TableAt> + Clone,
    own: Option<&str>,
    server: &Server,
) -> BTreeMap<TableAt, Result<String, String>> {
    let all: BTreeSet<&TableAt> = paths.clone().collect();
    let is_own = |database: &str| own.is_some_and(|own| server.same_name(own, database));
    let could_mean = |name: &str| {
        let by_dots = name.match_indices('.').map(|(dot, _)| TableAt::new(&name[..dot], &name[dot + 1..]));
        let meant = |at: &TableAt| all.contains(at);
        by_dots.filter(meant).count() + all.iter().filter(|at| is_own(&at.database) && at.name == name).count()
    };
    let name = |at: &TableAt| {
        let short = is_own(&at.database).then(|| at.name.clone());
        let names = short.into_iter().chain([at.dotted()]);
        let mut clear = names.filter(|name| could_mean(name) == 1);
        clear.next().ok_or_else(|| "has a name that could mean two tables, because of its dots".to_string())
    };
    paths.map(|path| (path.clone(), name(path))).collect()
}

fn named(at: TableAt, table: SurveyedTable, names: &BTreeMap<TableAt, Result<String, String>>) -> SurveyedTable {
    let spec_name = names.get(&at).cloned().unwrap_or_else(|| Ok(at.dotted()));
    let dotted = at.dotted();
    let path = vec![at.database, at.name];
    match spec_name {
        Ok(name) => SurveyedTable { name, path, ..table },
        Err(why) => SurveyedTable { name: dotted, path, unusable: table.unusable.or(Some(why)), ..SurveyedTable::default() },
    }
}
