//! Bounded reads of a server's tables: the first rows, or those whose columns equal given values (`equal`).
//!
//! All reads are of one consistent state of the server, on one connection. Each statement has a LIMIT and a time limit of the server, so a
//! column without an index does not make the server read a large table.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use mysql_async::Conn;
use mysql_async::prelude::Queryable;

use super::connect::connect;
use super::equal::Conditions;
use super::errors::{query_error, transient};
use super::options::MysqlOptions;
use super::quoting::quoted;
use super::schema::{MysqlTable, read_tables};
use super::select::{RowReader, select_list};
use super::server::{Flavour, Server};
use super::time_limit::{SHORTEST, is_out_of_time, limit_time};
use super::values::ValueWriter;
use crate::sources::{BoundedRead, BoundedReader, LeftRows, ReadRows, SourceError, Table, WantedRows};
use crate::value::{Row, key};

const DOING: &str = "reading some rows";
/// How much longer than the server's time limit an answer is waited for.
const PATIENCE: Duration = Duration::from_secs(2);

pub(super) struct MysqlBoundedReader {
    conn: Conn,
    flavour: Flavour,
    tables: Vec<MysqlTable>,
    writer: ValueWriter,
}

impl MysqlBoundedReader {
    pub(super) async fn open(options: &MysqlOptions, tables: &[Table]) -> Result<MysqlBoundedReader, SourceError> {
        let mut conn = connect(options).await?;
        let server = Server::identify(&mut conn).await?;
        let names: Vec<String> = tables.iter().map(|t| t.name.clone()).collect();
        let found = read_tables(&mut conn, &server, options, &names).await?;
        super::unchanged(tables, &found)?;
        conn.query_drop("START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY").await.map_err(|e| query_error(DOING, e))?;
        Ok(MysqlBoundedReader { conn, flavour: server.flavour, tables: found, writer: ValueWriter::new(options.zero_dates) })
    }

    /// The rows of a statement, `most` at most. `rest`: the text after the name of the table.
    async fn select(&mut self, table: usize, rest: &str, most: usize, until: Instant) -> Result<ReadRows, SourceError> {
        let mut read = ReadRows::default();
        let left = until.saturating_duration_since(Instant::now());
        if left < SHORTEST {
            return Ok(late(read));
        }
        limit_time(&mut self.conn, self.flavour, left).await.map_err(|e| query_error(DOING, e))?;
        let described = &self.tables[table];
        let query = format!("SELECT {} FROM {}{rest} LIMIT {}", select_list(described), described.quoted(), most + 1);
        let mut reader = RowReader::new(described, &mut self.writer);
        let mut result = match self.conn.exec_iter(query, ()).await {
            Err(error) if is_out_of_time(&error) => return Ok(late(read)),
            answer => answer.map_err(|e| query_error(DOING, e))?,
        };
        loop {
            let row = match result.next().await {
                Err(error) if is_out_of_time(&error) => return Ok(late(read)),
                answer => answer.map_err(|e| transient(DOING, e))?,
            };
            let Some(row) = row else { return Ok(read) };
            if read.rows.len() == most {
                read.left = Some(LeftRows::More);
            } else if let Some(bad) = reader.read(&row, &mut read.rows)? {
                read.rejected.push(bad.rejected(described, "at the server"));
            }
        }
    }

    async fn first(&mut self, table: usize, most: usize, until: Instant) -> Result<ReadRows, SourceError> {
        let described = &self.tables[table];
        let key: Vec<String> = described.table.key.iter().map(|&column| quoted(&described.columns[column].name)).collect();
        let order = if key.is_empty() { String::new() } else { format!(" ORDER BY {}", key.join(", ")) };
        self.select(table, &order, most, until).await
    }

    async fn matching(&mut self, columns: &[usize], keys: &[Row], bounds: &BoundedRead) -> Result<ReadRows, SourceError> {
        let BoundedRead { table, most, until, .. } = *bounds;
        let conditions = Conditions::new(&self.tables[table], columns, keys);
        let mut all = ReadRows::default();
        for condition in &conditions.certain {
            let found = self.select(table, &format!(" WHERE {}", condition.text), most - all.rows.len(), until).await?;
            self.keep(&mut all, found, (table, columns), &condition.keys);
            if all.left.is_some() {
                break;
            }
        }
        if let Some(LeftRows::Late { help }) = &mut all.left {
            *help = self.missing_index(table, columns).await?;
        }
        if !conditions.uncertain.is_empty() {
            let found = self.first(table, most, until).await?;
            let is_whole = found.left.is_none();
            let before = all.left.take();
            self.keep(&mut all, found, (table, columns), &conditions.uncertain);
            let column = self.tables[table].columns[columns[0]].name.clone();
            all.left = before.or((!is_whole).then_some(LeftRows::Incomparable { column }));
        }
        Ok(all)
    }

    /// Adds the rows that have one of these keys. A row has only one, so no row is added twice.
    fn keep(&self, all: &mut ReadRows, found: ReadRows, (table, columns): (usize, &[usize]), keys: &[Row]) {
        let layout = &self.tables[table].layout;
        let keys: HashSet<&Row> = keys.iter().collect();
        found.rows.iter().filter(|row| keys.contains(&key::encode(layout, row, columns))).for_each(|row| all.rows.push(row));
        all.rejected.extend(found.rejected);
        all.left = found.left;
    }

    /// The index that would let the server find rows by these columns, if it has none.
    async fn missing_index(&mut self, table: usize, columns: &[usize]) -> Result<Option<String>, SourceError> {
        let described = &self.tables[table];
        let query = format!("SELECT COLUMN_NAME FROM information_schema.STATISTICS WHERE {} AND SEQ_IN_INDEX = 1", described.at().filter());
        let leading: Vec<String> = self.conn.query(query).await.map_err(|e| query_error(DOING, e))?;
        let described = &self.tables[table];
        let names: Vec<&str> = columns.iter().map(|&column| described.columns[column].name.as_str()).collect();
        let is_indexed = leading.iter().any(|name| names.contains(&name.as_str()));
        let listed: Vec<String> = names.iter().map(|name| quoted(name)).collect();
        let index = quoted(&format!("{}_by_{}", described.name, names.join("_")));
        Ok((!is_indexed).then(|| format!("CREATE INDEX {index} ON {} ({})", described.quoted(), listed.join(", "))))
    }

    async fn read_in_time(&mut self, read: BoundedRead) -> Result<ReadRows, SourceError> {
        match &read.wanted {
            WantedRows::First => self.first(read.table, read.most, read.until).await,
            WantedRows::Matching { columns, keys } => self.matching(columns, keys, &read).await,
        }
    }
}

#[async_trait]
impl BoundedReader for MysqlBoundedReader {
    async fn read(&mut self, read: BoundedRead) -> Result<ReadRows, SourceError> {
        let latest = read.until.max(Instant::now()) + PATIENCE;
        let answer = tokio::time::timeout_at(latest.into(), self.read_in_time(read)).await;
        answer.unwrap_or_else(|_| Err(SourceError::Transient { message: format!("{DOING}: the server does not answer") }))
    }
}

/// What was read before the time was over is valid.
fn late(read: ReadRows) -> ReadRows {
    ReadRows { left: Some(LeftRows::Late { help: None }), ..read }
}
