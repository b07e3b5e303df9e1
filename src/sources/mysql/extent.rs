//! How large tables are: rows, counted where that is quick and otherwise estimated by the server, and rows from both ends of the key.
//!
//! The server's statistics may be of a time before many rows were inserted or deleted, so they are only used for tables that cannot be
//! counted in time. All statements have a time limit of the server, and what is read has a limit in bytes.

use std::time::{Duration, Instant};

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Error, Row as MysqlRow};

use super::cascade::Cascades;
use super::connect::connect;
use super::errors::query_error;
use super::options::MysqlOptions;
use super::quoting::quoted;
use super::schema::{MysqlTable, read_tables};
use super::select::{RowReader, select_list};
use super::server::{Flavour, Server};
use super::time_limit::{SHORTEST, is_out_of_time, limit_time};
use super::values::ValueWriter;
use crate::sources::{RowCount, SourceError, SourceExtent, Table, TableExtent};
use crate::value::Rows;

const DOING: &str = "looking how large the tables are";
/// How long a statement may take.
const STATEMENT: Duration = Duration::from_secs(2);
/// The rows whose length decides how many are read.
const FIRST_ROWS: u64 = 50;
/// The most rows of each end of the key, about how many bytes of them, and how many bytes if later rows are longer than the first.
const ROWS: u64 = 5_000;
const BYTES: u64 = 1 << 20;
const MOST_BYTES: u64 = 8 << 20;
/// A table whose rows cannot be counted in time has more than this.
const COUNTED_IN_TIME: u64 = 100_000;
/// If the server's pages have so many times the bytes of the rows that were read, others are much longer.
const MUCH_LARGER: f64 = 3.0;
/// The bytes of pages per byte of rows, where pages are filled as usual.
const PAGE_BYTES: f64 = 1.3;
/// What a row takes at the server beside its values.
const BESIDE: f64 = 30.0;

/// Ends at about `until`.
pub(super) async fn extents(options: &MysqlOptions, tables: &[Table], until: Instant) -> Result<SourceExtent, SourceError> {
    let mut conn = connect(options).await?;
    let server = Server::identify(&mut conn).await?;
    let names: Vec<String> = tables.iter().map(|t| t.name.clone()).collect();
    let found = read_tables(&mut conn, &server, options, &names).await?;
    if server.flavour == Flavour::Mysql {
        // Otherwise the statistics may be a day old. Versions without the variable do not keep them.
        let _ = conn.query_drop("SET SESSION information_schema_stats_expiry = 0").await;
    }
    let mut reader = ExtentReader { conn, flavour: server.flavour, writer: ValueWriter::new(options.zero_dates), until };
    let mut extents = Vec::new();
    for (number, table) in found.iter().enumerate() {
        let share = until.saturating_duration_since(Instant::now()) / (found.len() - number) as u32;
        reader.until = Instant::now() + share;
        extents.push(match reader.extent(table).await {
            Err(error) if is_out_of_time(&error) => Err("could not be measured in time".into()),
            answer => answer.map_err(|e| query_error(DOING, e))?,
        });
    }
    let followed = Cascades::of_server(&mut reader.conn, &server, options, &found).await.is_ok_and(|keys| keys.follows_some());
    super::close(reader.conn).await;
    let beside = followed.then(|| "what is kept to follow foreign keys is not counted".into());
    Ok(SourceExtent { tables: extents, beside })
}

struct ExtentReader {
    conn: Conn,
    flavour: Flavour,
    writer: ValueWriter,
    /// When the current table must be done.
    until: Instant,
}

/// What the server has noted about a table.
#[derive(Default)]
struct NotedSize {
    rows: Option<u64>,
    bytes: Option<u64>,
}

/// The first rows of a table in an order, and whether these are all.
struct FirstRows {
    rows: Rows,
    all: bool,
}

/// The SQL expression for the bytes of a row's values of variable length; `None` if the table has none.
fn lengths(table: &MysqlTable) -> Option<String> {
    let columns = table.columns.iter().zip(table.table.schema.columns()).filter(|(_, column)| column.ty.fixed_width().is_none());
    let lengths: Vec<String> = columns.map(|(column, _)| format!("IFNULL(OCTET_LENGTH({}), 0)", quoted(&column.name))).collect();
    (!lengths.is_empty()).then(|| lengths.join(" + "))
}

impl ExtentReader {
    /// The size of a table, or why it is unknown.
    async fn extent(&mut self, table: &MysqlTable) -> Result<Result<TableExtent, String>, Error> {
        let noted = self.noted(table).await?;
        let mut extent = self.sample(table).await?;
        if extent.whole {
            return Ok(Ok(extent));
        }
        extent.rows = match self.count(table).await? {
            Some(rows) => Some(RowCount { rows, exact: true }),
            None => noted.rows.filter(|rows| *rows > COUNTED_IN_TIME).map(|rows| RowCount { rows, exact: false }),
        };
        let Some(count) = extent.rows else {
            return Ok(Err(format!(
                "could not be counted in time, and the server's statistics do not fit: ANALYZE TABLE {}",
                table.quoted()
            )));
        };
        extent.row_bytes = self.row_bytes(table, &extent, count.rows, noted.bytes.unwrap_or_default()).await?;
        Ok(Ok(extent))
    }

    /// Limits the time of the next statement.
    async fn limit(&mut self) -> Result<(), Error> {
        let left = self.until.saturating_duration_since(Instant::now());
        limit_time(&mut self.conn, self.flavour, (left / 2).clamp(SHORTEST, STATEMENT)).await
    }

    async fn noted(&mut self, table: &MysqlTable) -> Result<NotedSize, Error> {
        self.limit().await?;
        let query = format!("SELECT TABLE_ROWS, DATA_LENGTH FROM information_schema.TABLES WHERE {}", table.at().filter());
        let row: Option<MysqlRow> = self.conn.query_first(query).await?;
        let number = |place: usize| row.as_ref()?.get_opt::<Option<u64>, usize>(place)?.ok()?;
        Ok(NotedSize { rows: number(0), bytes: number(1) })
    }

    /// `None`: counting takes too long.
    async fn count(&mut self, table: &MysqlTable) -> Result<Option<u64>, Error> {
        self.limit().await?;
        match self.conn.query_first::<u64, _>(format!("SELECT COUNT(*) FROM {}", table.quoted())).await {
            Err(error) if is_out_of_time(&error) => Ok(None),
            answer => answer,
        }
    }

    /// Reads rows of both ends of the key.
    async fn sample(&mut self, table: &MysqlTable) -> Result<TableExtent, Error> {
        let order = |direction: &str| {
            let column = |&column: &usize| format!("{}{direction}", quoted(&table.columns[column].name));
            let columns: Vec<String> = table.table.key.iter().map(column).collect();
            if columns.is_empty() { String::new() } else { format!(" ORDER BY {}", columns.join(", ")) }
        };
        let most = self.room(table, &order("")).await?;
        let first = self.read(table, &order(""), most).await?;
        if first.all {
            return Ok(TableExtent::whole(first.rows, None));
        }
        let mut places = vec![first.rows];
        if !table.table.key.is_empty() {
            places.push(self.read(table, &order(" DESC"), most).await?.rows);
        }
        Ok(TableExtent { places, ..TableExtent::default() })
    }

    /// How many rows are read at an end, by the length of the first rows.
    async fn room(&mut self, table: &MysqlTable, order: &str) -> Result<u64, Error> {
        let Some(lengths) = lengths(table) else { return Ok(ROWS) };
        self.limit().await?;
        let query = format!("SELECT AVG(l) + 0E0 FROM (SELECT {lengths} AS l FROM {}{order} LIMIT {FIRST_ROWS}) AS t", table.quoted());
        let mean = match self.conn.query_first::<Option<f64>, _>(query).await {
            Err(error) if is_out_of_time(&error) => BYTES as f64,
            answer => answer?.flatten().unwrap_or_default(),
        };
        Ok((BYTES as f64 / mean.max(1.0)).clamp(1.0, ROWS as f64) as u64)
    }

    /// Reads the first rows in an order, fewer if they take too long or too many bytes. Rows that cannot be represented are left out.
    async fn read(&mut self, table: &MysqlTable, order: &str, most: u64) -> Result<FirstRows, Error> {
        self.limit().await?;
        let query = format!("SELECT {} FROM {}{order} LIMIT {}", select_list(table), table.quoted(), most + 1);
        let mut reader = RowReader::new(table, &mut self.writer);
        let mut first = FirstRows { rows: Rows::default(), all: false };
        let mut result = match self.conn.exec_iter(query, ()).await {
            Err(error) if is_out_of_time(&error) => return Ok(first),
            answer => answer?,
        };
        for _ in 0..=most {
            match result.next().await {
                Err(error) if is_out_of_time(&error) => return Ok(first),
                Err(error) => return Err(error),
                Ok(None) => return Ok(FirstRows { all: true, ..first }),
                // With a definition that has just changed, rows cannot be read, and the sample is smaller.
                Ok(Some(row)) if (first.rows.bytes_len() as u64) < MOST_BYTES => drop(reader.read(&row, &mut first.rows)),
                Ok(Some(_)) => {}
            }
        }
        Ok(first)
    }

    /// The mean bytes of a row where rows that were not read are much longer; `None` if the sample tells.
    async fn row_bytes(&mut self, table: &MysqlTable, extent: &TableExtent, rows: u64, noted_bytes: u64) -> Result<Option<f64>, Error> {
        let read: usize = extent.places.iter().map(Rows::len).sum();
        let sampled = extent.places.iter().map(Rows::bytes_len).sum::<usize>() as f64 / read.max(1) as f64;
        let noted = noted_bytes as f64 / rows.max(1) as f64;
        let Some(lengths) = lengths(table).filter(|_| noted > MUCH_LARGER * (sampled + BESIDE)) else { return Ok(None) };
        self.limit().await?;
        let query = format!("SELECT AVG({lengths}) + 0E0 FROM {}", table.quoted());
        let fixed: usize = table.table.schema.columns().iter().map(|column| column.ty.fixed_width().unwrap_or(2)).sum();
        match self.conn.query_first::<Option<f64>, _>(query).await {
            Err(error) if is_out_of_time(&error) => Ok(Some(noted / PAGE_BYTES)),
            answer => Ok(answer?.flatten().map(|mean| mean + fixed as f64)),
        }
    }
}
