//! Describes all tables of a database with a few queries of `information_schema`, whatever the number of tables.
//!
//! Databases that foreign keys lead to, or come from, belong to it. Elsewhere: the exact definition of a table that a run captures
//! (`schema`).

use std::collections::{BTreeMap, BTreeSet};

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Row};

use super::errors::query_error;
use super::options::MysqlOptions;
use super::quoting::{literal, quoted};
use super::schema::{DESCRIBED, Described, json_column, text};
use super::server::{Flavour, Server};
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

/// A database and a table.
type Path = (String, String);

/// Reads the tables of the URL's database, or of all databases if it names none, and of the databases that foreign keys connect with them.
pub(super) async fn survey(conn: &mut Conn, server: &Server, options: &MysqlOptions, root: Option<&str>) -> Result<Survey, SourceError> {
    if server.flavour == Flavour::Mysql {
        // Otherwise the numbers of rows may be a day old.
        ask(conn, "SET SESSION information_schema_stats_expiry = 0").await?;
    }
    let mut found: BTreeMap<Path, SurveyedTable> = BTreeMap::new();
    let mut keys: BTreeMap<(Path, String), ReadKey> = BTreeMap::new();
    let mut read = BTreeSet::new();
    let mut wanted = first_databases(conn, server, options, root).await?;
    while let Some(database) = wanted.pop() {
        if !read.insert(database.clone()) || SYSTEM.contains(&database.to_lowercase().as_str()) {
            continue;
        }
        read_database(conn, server, options, &database, &mut found).await?;
        for (constraint, key) in foreign_keys(conn, &database).await? {
            wanted.extend([key.child.0.clone(), key.parent.0.clone()]);
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
    found: &mut BTreeMap<Path, SurveyedTable>,
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
        found.insert((database.to_string(), name), table);
    }
    Ok(())
}

fn unusable_kind(kind: &str) -> Option<String> {
    match kind {
        "BASE TABLE" => None,
        "SYSTEM VERSIONED" => Some("is system-versioned, and its log does not say what was deleted".into()),
        other => Some(format!("is not a table but a {}", other.to_lowercase())),
    }
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
    let query = format!(
        "SELECT TABLE_NAME, INDEX_NAME, COLUMN_NAME, SUB_PART FROM information_schema.STATISTICS \
         WHERE TABLE_SCHEMA = {database} AND NON_UNIQUE = 0 ORDER BY TABLE_NAME, INDEX_NAME, SEQ_IN_INDEX"
    );
    // `None`: a part of the index is an expression or the beginning of a column, so the columns alone are not unique.
    let mut indexes: BTreeMap<(String, String), Option<Vec<usize>>> = BTreeMap::new();
    for row in ask(conn, query).await? {
        let (Some(table), Some(index)) = (text(&row, 0), text(&row, 1)) else { continue };
        let Some(of) = tables.get(&table) else { continue };
        let is_part = row.get_opt::<Option<u64>, usize>(3).and_then(Result::ok).flatten().is_some();
        let column = text(&row, 2).and_then(|name| of.columns.iter().position(|c| c.name == name)).filter(|_| !is_part);
        let columns = indexes.entry((table, index)).or_insert_with(|| Some(Vec::new()));
        match (columns.as_mut(), column) {
            (Some(columns), Some(column)) => columns.push(column),
            _ => *columns = None,
        }
    }
    for ((table, index), columns) in indexes {
        let (Some(table), Some(columns)) = (tables.get_mut(&table), columns) else { continue };
        if index == "PRIMARY" {
            table.key = columns;
        } else {
            table.unique.push(columns);
        }
    }
    Ok(())
}

/// A foreign key as the server lists it.
struct ReadKey {
    child: Path,
    parent: Path,
    columns: Vec<(String, String)>,
}

/// The foreign keys of a database's tables, and those of other databases that refer to it, by name of the constraint.
async fn foreign_keys(conn: &mut Conn, database: &str) -> Result<Vec<(String, ReadKey)>, SourceError> {
    let here = literal(database);
    let mut keys: BTreeMap<(Path, String), ReadKey> = BTreeMap::new();
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
            let (child, parent) = ((database, table), (to_database, to_table));
            let key = keys.entry((child.clone(), constraint)).or_insert_with(|| ReadKey { child, parent, columns: Vec::new() });
            key.columns.push((column, to_column));
        }
    }
    Ok(keys.into_iter().map(|((_, constraint), key)| (constraint, key)).collect())
}

fn add_foreign_keys(
    found: &mut BTreeMap<Path, SurveyedTable>,
    keys: BTreeMap<(Path, String), ReadKey>,
    names: &BTreeMap<Path, Result<String, String>>,
) {
    for ((_, name), ReadKey { child, parent, columns }) in keys {
        // The server may write a name in a foreign key in another letter case than the table.
        let parent = match found.contains_key(&parent) {
            true => parent,
            false => {
                let alike =
                    |path: &&Path| path.0.to_lowercase() == parent.0.to_lowercase() && path.1.to_lowercase() == parent.1.to_lowercase();
                found.keys().find(alike).cloned().unwrap_or(parent)
            }
        };
        let table = match names.get(&parent) {
            Some(Ok(name)) => name.clone(),
            _ => format!("{}.{}", parent.0, parent.1),
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
async fn count(conn: &mut Conn, found: &mut BTreeMap<Path, SurveyedTable>) {
    let is_small = |table: &SurveyedTable| table.unusable.is_none() && table.rows.is_none_or(|count| count.rows < COUNTED);
    let small: Vec<Path> = found.iter().filter(|(_, table)| is_small(table)).map(|(path, _)| path.clone()).collect();
    for some in small.chunks(COUNTED_AT_ONCE) {
        let one = |(number, (database, table)): (usize, &Path)| {
            let from = format!("{}.{}", quoted(database), quoted(table));
            format!("SELECT {number}, COUNT(*) FROM (SELECT 1 FROM {from} LIMIT {}) AS t{number}", COUNTED + 1)
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
    paths: impl Iterator<Item = &'a Path> + Clone,
    own: Option<&str>,
    server: &Server,
) -> BTreeMap<Path, Result<String, String>> {
    let all: BTreeSet<&Path> = paths.clone().collect();
    let is_own = |database: &str| own.is_some_and(|own| server.same_name(own, database));
    let could_mean = |name: &str| {
        let by_dots = name.match_indices('.').map(|(dot, _)| (name[..dot].to_string(), name[dot + 1..].to_string()));
        let meant = |path: &Path| all.contains(path);
        by_dots.filter(meant).count() + all.iter().filter(|(database, table)| is_own(database) && table == name).count()
    };
    let name = |(database, table): &Path| {
        let short = is_own(database).then(|| table.clone());
        let names = short.into_iter().chain([format!("{database}.{table}")]);
        let mut clear = names.filter(|name| could_mean(name) == 1);
        clear.next().ok_or_else(|| "has a name that could mean two tables, because of its dots".to_string())
    };
    paths.map(|path| (path.clone(), name(path))).collect()
}

fn named((database, name): Path, table: SurveyedTable, names: &BTreeMap<Path, Result<String, String>>) -> SurveyedTable {
    let path = (database, name);
    let spec_name = names.get(&path).cloned().unwrap_or_else(|| Ok(format!("{}.{}", path.0, path.1)));
    match spec_name {
        Ok(name) => SurveyedTable { name, path: vec![path.0, path.1], ..table },
        Err(why) => {
            let name = format!("{}.{}", path.0, path.1);
            SurveyedTable { name, path: vec![path.0, path.1], unusable: table.unusable.or(Some(why)), ..SurveyedTable::default() }
        }
    }
}
